#include "spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "integrity.h"

enum { PS_PER_NS = 1000, MAX_PORT = 65535, FIRST_SPORT = 49152, ATOMIC_BYTES = 8 };
#define MAX_INT (UINT64_MAX >> 1)
#define MOST_WEIGHT 1e18 /* of a size; their sum is a number, too */

static const char *const transports[] = {"rc", "uc", "ud", "xrc", NULL};
static const char *const faults[] = {"none",      "bad_rkey", "bad_address", "no_remote_write", "no_remote_read",
                                     "no_remote_atomic", "long_send", "bad_lkey", "no_receiver", NULL};
static const char *const recoveries[] = {"none", "reset", "rebuild", NULL};
static const char *const engines[] = {"pyverbs", "native", "perftest", NULL};
static const char *const arrivals[] = {"fixed", "poisson", NULL};
static const char *const postings[] = {"auto", "wr", "legacy", NULL};
static const char *const pollings[] = {"auto", "busy", "event", NULL};
static const char *const pacings[] = {"software", "device", NULL};
static const char *const threads[] = {"port", "flow", NULL};
static const char *const roles[] = {"src", "dst", NULL};
static const char *const versions[] = {"v1", "v2", NULL};
static const char *const families[] = {"any", "ipv4", "ipv6", "link_local", NULL};

/* A copy of a text, "" of none; texts with NUL inside end there. */
static const char *copy(struct arena *arena, const struct json_value *text, struct load_fields *f)
{
  if (text == NULL)
    return "";
  const char *copied = arena_strndup(arena, text->string, text->count);
  if (copied == NULL && !*f->failed) {
    *f->failed = true;
    (void)load_fail(f->error, LOAD_NO_RESOURCES, "memory is short for the request");
  }
  return copied != NULL ? copied : "";
}

static void unsupported(struct load_fields *f, const char *feature, const char *flow)
{
  if (*f->failed)
    return;
  *f->failed = true;
  (void)load_fail_feature(f->error, feature, "flow %.80s: roce-load has no %s", flow, feature);
}

void load_read_qos(struct load_fields *f, struct load_qos *out)
{
  out->mtu_bytes = (uint32_t)load_fields_integer(f, "mtu_bytes", 256, 4096, 1024);
  if ((out->mtu_bytes & (out->mtu_bytes - 1)) != 0)
    load_fields_wrong(f, "mtu_bytes", f->object != NULL ? json_get(f->object, "mtu_bytes") : NULL,
                      "one of 256, 512, 1024, 2048, 4096");
  out->ack_timeout = (uint8_t)load_fields_integer(f, "ack_timeout_exponent", 0, 31, 14);
  out->retry_count = (uint8_t)load_fields_integer(f, "retry_count", 0, 7, 7);
  out->rnr_timer = (uint8_t)load_fields_integer(f, "rnr_timer", 0, 31, 12);
  out->rnr_retry = (uint8_t)load_fields_integer(f, "rnr_retry", 0, 7, 7);
  out->max_rd_atomic = (uint8_t)load_fields_integer(f, "max_rd_atomic", 1, 255, 16);
}

/* --- load ------------------------------------------------------------------------------------------------------ */

static void read_sizes(struct load_fields *f, struct load_options *out)
{
  const struct json_value *list = load_fields_list(f, "sizes", false);
  if (list == NULL || *f->failed)
    return;
  if (list->count == 0 || list->count > LOAD_MAX_SIZES) {
    load_fields_wrong(f, "sizes", list, "1 to 32 pairs of bytes and weight");
    return;
  }
  double weights[LOAD_MAX_SIZES], total = 0;
  for (const struct json_value *pair = list->first; pair != NULL; pair = pair->next) {
    const struct json_value *bytes = pair->type == JSON_ARRAY && pair->count == 2 ? pair->first : NULL;
    const struct json_value *weight = bytes != NULL ? bytes->next : NULL;
    bool good = bytes != NULL && bytes->type == JSON_INT && bytes->integer >= 1 && bytes->integer <= INT64_C(1) << 31 &&
                ((weight->type == JSON_INT && weight->integer > 0) || (weight->type == JSON_REAL && weight->real > 0));
    good = good && (weight->type == JSON_INT || weight->real <= MOST_WEIGHT);
    if (!good) {
      load_fields_wrong(f, "sizes", pair, "a pair: bytes from 1 to 2147483648, a weight above 0 and at most 1e18");
      return;
    }
    out->sizes[out->n_sizes].bytes = (uint32_t)bytes->integer;
    weights[out->n_sizes] = weight->type == JSON_INT ? (double)weight->integer : weight->real;
    total += weights[out->n_sizes++];
  }
  double sum = 0;
  for (uint32_t i = 0; i < out->n_sizes; i++) {
    sum += weights[i];
    out->sizes[i].up_to = (uint32_t)(sum / total * 4294967295.0);
  }
}

static void read_options(struct load_fields *flow, struct load_options *out)
{
  static const char *const known[] = {"batch",     "signal_every", "inline_bytes", "sges",   "post",
                                      "cq_moderation", "poll", "integrity", "sizes", "burst", "start_jitter_ps",
                                      "pacing",    "threads",  "device_time",    "relaxed_ordering", NULL};
  static const char *const of_burst[] = {"on_ps", "off_ps", NULL};
  static const char *const of_moderation[] = {"count", "period_us", NULL};
  *out = (struct load_options){.batch = 1, .sges = 1, .relaxed_ordering = true};
  struct load_fields f = load_fields_object(flow, "load", false);
  if (f.object == NULL)
    return;
  load_fields_only(&f, known);
  out->batch = (uint32_t)load_fields_integer(&f, "batch", 1, LOAD_MAX_BATCH, 1);
  if (!load_fields_absent(&f, "signal_every"))
    out->signal_every = (uint32_t)load_fields_integer(&f, "signal_every", 1, 65536, 1);
  out->inline_bytes = (uint32_t)load_fields_integer(&f, "inline_bytes", 0, 1024, 0);
  out->sges = (uint32_t)load_fields_integer(&f, "sges", 1, LOAD_MAX_SGE, 1);
  out->posting = (enum load_posting)load_fields_choice(&f, "post", postings, LOAD_POST_AUTO);
  out->polling = (enum load_polling)load_fields_choice(&f, "poll", pollings, LOAD_POLL_AUTO);
  out->integrity = load_fields_boolean(&f, "integrity", false);
  out->start_jitter_ns = load_fields_integer(&f, "start_jitter_ps", 0, MAX_INT, 0) / PS_PER_NS;
  out->device_pacing = load_fields_choice(&f, "pacing", pacings, 0) == 1;
  out->device_time = load_fields_boolean(&f, "device_time", false);
  out->relaxed_ordering = load_fields_boolean(&f, "relaxed_ordering", true);
  out->thread_per_flow = load_fields_choice(&f, "threads", threads, 0) == 1;
  struct load_fields moderation = load_fields_object(&f, "cq_moderation", false);
  if (moderation.object != NULL) {
    load_fields_only(&moderation, of_moderation);
    out->moderate_count = (uint32_t)load_fields_integer(&moderation, "count", 1, 65535, 1);
    out->moderate_period_us = (uint32_t)load_fields_integer(&moderation, "period_us", 0, 65535, 0);
  }
  struct load_fields burst = load_fields_object(&f, "burst", false);
  if (burst.object != NULL) {
    load_fields_only(&burst, of_burst);
    out->burst_on_ns = load_fields_integer(&burst, "on_ps", PS_PER_NS, MAX_INT, LOAD_REQUIRED) / PS_PER_NS;
    out->burst_off_ns = load_fields_integer(&burst, "off_ps", 0, MAX_INT, LOAD_REQUIRED) / PS_PER_NS;
  }
  read_sizes(&f, out);
}

/* --- flow ------------------------------------------------------------------------------------------------------ */

static void read_verbs(struct load_fields *flow, struct load_flow *out)
{
  static const char *const known[] = {"check_payload", "ping_pong", "fault", "recover", "engine", "srq", NULL};
  out->check_payload = true;
  struct load_fields f = load_fields_object(flow, "verbs", false);
  if (f.object == NULL)
    return;
  load_fields_only(&f, known);
  out->check_payload = load_fields_boolean(&f, "check_payload", true);
  out->ping_pong = load_fields_boolean(&f, "ping_pong", false);
  out->fault = (enum load_fault)load_fields_choice(&f, "fault", faults, LOAD_FAULT_NONE);
  out->recover = (enum load_recovery)load_fields_choice(&f, "recover", recoveries, LOAD_RECOVER_NOT);
  out->srq = load_fields_boolean(&f, "srq", false);
  if (load_fields_choice(&f, "engine", engines, 0) == 2)
    unsupported(&f, "perftest", out->name);
}

static void read_after(struct load_fields *f, struct arena *arena, struct load_flow *out)
{
  const struct json_value *list = load_fields_list(f, "after", false);
  if (list == NULL || list->count == 0)
    return;
  out->after = arena_array(arena, list->count, sizeof *out->after);
  for (const struct json_value *item = list->first; item != NULL && out->after != NULL; item = item->next) {
    if (item->type != JSON_STRING) {
      load_fields_wrong(f, "after", item, "a list of texts");
      return;
    }
    out->after[out->n_after++] = copy(arena, item, f);
  }
}

static const struct json_value *value_of(const struct load_fields *f, const char *key)
{
  return f->object != NULL ? json_get(f->object, key) : NULL;
}

/* Refuses what contradicts itself. */
static void check_flow(struct load_fields *f, const struct load_flow *flow)
{
  const struct load_options *o = &flow->options;
  if (flow->op->atomic && flow->message_bytes != ATOMIC_BYTES)
    load_fields_wrong(f, "message_bytes", value_of(f, "message_bytes"), "8 for an atomic");
  if (flow->ping_pong && flow->op->immediate)
    load_fields_wrong(f, "verb", value_of(f, "verb"), "write, send, read or an atomic for ping_pong");
  if (flow->srq && flow->transport != LOAD_RC)
    load_fields_wrong(f, "verbs.srq", NULL, "false for a transport other than rc");
  if (flow->udp_sport >= 0 && (flow->udp_sport < FIRST_SPORT || flow->udp_sport > MAX_PORT + 1 - (int64_t)flow->qps))
    unsupported(f, "udp_sport", flow->name);
  if (o->integrity && (flow->op->fetches || flow->ping_pong || flow->message_bytes <= LOAD_TRAILER))
    load_fields_wrong(f, "load.integrity", NULL, "false for reads, atomics, ping_pong and messages of 16 bytes or less");
  if (o->n_sizes > 0 && (flow->op->atomic || flow->ping_pong || o->integrity))
    load_fields_wrong(f, "load.sizes", NULL, "null for atomics, ping_pong and with integrity");
  if (o->sges > 1 && (flow->op->atomic || flow->ping_pong))
    load_fields_wrong(f, "load.sges", NULL, "1 for atomics and ping_pong");
  if (o->sges > flow->message_bytes)
    load_fields_wrong(f, "load.sges", NULL, "at most one element a byte");
  if (o->inline_bytes > 0 && flow->op->fetches)
    load_fields_wrong(f, "load.inline_bytes", NULL, "0 for reads and atomics: their data come from the target");
}

/* With a mix of sizes the flow's own size is the largest. */
static void apply_sizes(struct load_flow *flow)
{
  for (uint32_t i = 0; i < flow->options.n_sizes; i++) {
    if (i == 0 || flow->options.sizes[i].bytes > flow->message_bytes)
      flow->message_bytes = flow->options.sizes[i].bytes;
  }
}

static void read_verb(struct load_fields *f, struct load_flow *out)
{
  int transport = load_fields_choice(f, "transport", transports, 0);
  if (transport == 3)
    unsupported(f, "xrc", out->name);
  out->transport = transport < 3 ? (enum load_transport)transport : LOAD_RC;
  const struct json_value *verb = load_fields_text(f, "verb", false);
  out->op = verb != NULL ? load_op_named(verb->string, verb->count) : load_op_of(LOAD_WRITE);
  if (out->op == NULL || (out->op->transports & (1U << out->transport)) == 0) {
    load_fields_wrong(f, "verb", verb, "a verb that its transport has");
    out->op = load_op_of(LOAD_SEND);
  }
}

void load_read_flow(struct load_fields *f, struct arena *arena, struct load_flow *out)
{
  *out = (struct load_flow){.flow_label = -1, .udp_sport = -1};
  out->name = copy(arena, load_fields_text(f, "name", true), f);
  read_verb(f, out);
  out->message_bytes = (uint32_t)load_fields_integer(f, "message_bytes", 1, UINT64_C(1) << 31, LOAD_REQUIRED);
  out->messages = load_fields_integer(f, "messages", 0, UINT64_C(1) << 40, 1);
  out->qps = (uint32_t)load_fields_integer(f, "qps", 1, LOAD_MAX_QPS, 1);
  out->start_ns = load_fields_integer(f, "start_ps", 0, MAX_INT, 0) / PS_PER_NS;
  out->after_delay_ns = load_fields_integer(f, "after_delay_ps", 0, MAX_INT, 0) / PS_PER_NS;
  out->rate_bps = load_fields_integer(f, "rate_bps", 0, MAX_INT, 0);
  out->window_bytes = load_fields_integer(f, "window_bytes", 0, MAX_INT, 0);
  out->max_outstanding = (uint32_t)load_fields_integer(f, "max_outstanding", 0, INT32_MAX, 0);
  out->interval_ns = load_fields_integer(f, "message_interval_ps", 0, MAX_INT, 0) / PS_PER_NS;
  out->poisson = load_fields_choice(f, "arrivals", arrivals, 0) == 1;
  out->flow_label = load_fields_integer_or_none(f, "flow_label", 0, 0xFFFFF);
  out->udp_sport = load_fields_integer_or_none(f, "udp_sport", 0, MAX_PORT);
  out->recv_depth = (uint32_t)load_fields_integer(f, "recv_depth", 0, INT32_MAX, 0);
  out->recv_repost_ns = load_fields_integer(f, "recv_repost_ps", 0, MAX_INT, 0) / PS_PER_NS;
  if (!load_fields_absent(f, "reduce"))
    unsupported(f, "reduce", out->name);
  read_after(f, arena, out);
  read_verbs(f, out);
  read_options(f, &out->options);
  apply_sizes(out);
  check_flow(f, out);
}

/* --- end ------------------------------------------------------------------------------------------------------- */

static void read_gid(struct load_fields *end, struct load_gid_wish *out)
{
  static const char *const known[] = {"index", "roce", "family", NULL};
  struct load_fields f = load_fields_object(end, "gid", false);
  load_fields_only(&f, known);
  out->index = (int32_t)load_fields_integer_or_none(&f, "index", 0, 1023);
  out->v2 = load_fields_choice(&f, "roce", versions, 1) == 1;
  int family = load_fields_choice(&f, "family", families, 0);
  out->family = family == 0 ? NULL : families[family];
}

void load_read_end(struct load_fields *f, struct arena *arena, struct load_end_spec *out)
{
  static const char *const known[] = {"id", "flow", "role", "device", "port", "gid", "tos", "sl",
                                      "first_psn", "notify", "dport", NULL};
  *out = (struct load_end_spec){.first_psn = -1};
  load_fields_only(f, known);
  (void)load_fields_integer(f, "dport", 4791, 4791, 4791); /* RoCEv2; devices have no other */
  out->id = copy(arena, load_fields_text(f, "id", true), f);
  out->source = load_fields_choice(f, "role", roles, -1) == 0;
  out->device = copy(arena, load_fields_text(f, "device", true), f);
  out->port = (uint8_t)load_fields_integer(f, "port", 1, 255, LOAD_REQUIRED);
  out->tos = (uint8_t)load_fields_integer(f, "tos", 0, 255, 0);
  out->sl = (uint8_t)load_fields_integer(f, "sl", 0, 15, 0);
  out->first_psn = (int32_t)load_fields_integer_or_none(f, "first_psn", 0, 0xFFFFFF);
  out->notify = load_fields_boolean(f, "notify", false);
  read_gid(f, &out->gid);
  struct load_fields flow = load_fields_object(f, "flow", true);
  if (flow.object != NULL)
    load_read_flow(&flow, arena, &out->flow);
}

/* --- wire ------------------------------------------------------------------------------------------------------ */

/* Preamble 8 and least gap 12 bytes (IEEE 802.3, 4.4.2); Ethernet 14, UDP 8, BTH 12, ICRC 4, FCS 4. */
enum { GAP_BYTES = 20, FRAME_BYTES = 42, IPV4_BYTES = 20, IPV6_BYTES = 40, DETH_BYTES = 8 };

uint64_t load_wire_bits(const struct load_flow *flow, uint32_t bytes, uint32_t mtu, const char *family)
{
  uint64_t packets = bytes > mtu ? ((uint64_t)bytes + mtu - 1) / mtu : 1;
  uint64_t ip = strcmp(family, "ipv4") == 0 ? IPV4_BYTES : IPV6_BYTES;
  uint64_t payload = flow->op->atomic ? 0 : ((uint64_t)bytes + 3) / 4 * 4;
  uint64_t extra = flow->op->header_bytes + (flow->transport == LOAD_UD ? DETH_BYTES : 0U);
  return 8 * (packets * (FRAME_BYTES + ip + GAP_BYTES) + payload + extra);
}
