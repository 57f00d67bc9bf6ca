/* `events`: what happens to the fabric during the run. */
#include <stdlib.h>
#include <string.h>

#include "job_parts.h"

#define EVENT struct event_text
enum { MAX_QUANTA = 65535, MAX_ITERATION = 1000000 };

/* An event as its table reads it. */
struct event_text {
  struct job_event event;
  const struct json_value *flow, *packets, *node, *nic, *sw;
};

static const struct job_choice kinds[] = {{"link_down", EV_LINK_DOWN},
                                          {"link_up", EV_LINK_UP},
                                          {"link_rate", EV_LINK_RATE},
                                          {"pause_storm", EV_PAUSE_STORM},
                                          {"drain_rate", EV_DRAIN_RATE},
                                          {"impair", EV_IMPAIR},
                                          {"qos", EV_QOS},
                                          {NULL, 0}};
static const struct job_choice actions[] = {{"drop", IMPAIR_DROP},           {"corrupt", IMPAIR_CORRUPT},
                                            {"mark", IMPAIR_MARK},           {"delay", IMPAIR_DELAY},
                                            {"duplicate", IMPAIR_DUPLICATE}, {NULL, 0}};

#define COMMON_KEYS JOB_U64_REQUIRED("at_ps", EVENT, event.at_ps, 0, JOB_MAX_PS), JOB_SKIP_REQUIRED("kind")

static const struct job_field link_fields[] = {COMMON_KEYS, JOB_PORT("port", EVENT, event.port)};
static const struct job_field rate_fields[] = {
    COMMON_KEYS,
    JOB_PORT("port", EVENT, event.port),
    JOB_U64_REQUIRED("rate_bps", EVENT, event.rate_bps, 1, JOB_MAX_BPS),
};
static const struct job_field storm_fields[] = {
    COMMON_KEYS,
    JOB_PORT("port", EVENT, event.port),
    {.key = "priorities", .kind = FIELD_PRIORITIES, .offset = offsetof(EVENT, event.prio_mask), .required = true},
    JOB_U64_REQUIRED("duration_ps", EVENT, event.duration_ps, 1, JOB_MAX_PS),
    JOB_U32("quanta", EVENT, event.quanta, MAX_QUANTA, 1, MAX_QUANTA),
    JOB_U64_OR_NULL("interval_ps", EVENT, event.interval_ps, JOB_MIN_TIMER_PS, JOB_MAX_PS),
};
static const struct job_field drain_fields[] = {
    COMMON_KEYS,
    JOB_PORT("port", EVENT, event.port),
    JOB_U64_REQUIRED("rate_bps", EVENT, event.rate_bps, 0, JOB_MAX_BPS),
};
static const struct job_field impair_fields[] = {
    COMMON_KEYS,
    JOB_VALUE_REQUIRED("flow", EVENT, flow),
    JOB_U32("qp", EVENT, event.qp, 0, 0, JOB_MAX_QPS),
    JOB_ENUM_REQUIRED("action", EVENT, event.action, actions),
    JOB_VALUE("packets", EVENT, packets),
    JOB_U32("iteration", EVENT, event.iteration, 1, 1, MAX_ITERATION),
    {.key = "fraction",
     .kind = FIELD_POSITIVE,
     .offset = offsetof(EVENT, event.fraction),
     .real_high = 1.0,
     .nullable = true},
    JOB_U64("delay_ps", EVENT, event.delay_ps, 0, 0, JOB_MAX_PS),
};
static const struct job_field qos_fields[] = {
    COMMON_KEYS,
    JOB_VALUE_REQUIRED("node", EVENT, node),
    JOB_VALUE("nic", EVENT, nic),
    JOB_VALUE("switch", EVENT, sw),
};

static const struct job_table tables[] = {
    [EV_LINK_DOWN] = JOB_TABLE("a link_down event", link_fields),
    [EV_LINK_UP] = JOB_TABLE("a link_up event", link_fields),
    [EV_LINK_RATE] = JOB_TABLE("a link_rate event", rate_fields),
    [EV_PAUSE_STORM] = JOB_TABLE("a pause_storm event", storm_fields),
    [EV_DRAIN_RATE] = JOB_TABLE("a drain_rate event", drain_fields),
    [EV_IMPAIR] = JOB_TABLE("an impair event", impair_fields),
    [EV_QOS] = JOB_TABLE("a qos event", qos_fields),
};

/* --- events on ports ------------------------------------------------------------------------------------------- */

/* The port has a link, and is a host's when the event is about a host. */
static bool check_port(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       const struct event_text *text)
{
  const struct job_event *event = &text->event;
  const struct job_port *port = &ctx->job->ports[event->port];
  bool on_host = event->kind == EV_PAUSE_STORM || event->kind == EV_DRAIN_RATE;
  if (on_host && ctx->job->nodes[port->node].is_switch) {
    return job_fail_key(ctx, where, value, "port", "%s is a port of a switch; %s needs a port of a host", port->name,
                        kinds[event->kind].name);
  }
  if (port->link < 0) {
    return job_fail_key(ctx, where, value, "port", "port %s has no link", port->name);
  }
  if (event->kind == EV_DRAIN_RATE && event->rate_bps > 0 &&
      ctx->job->nodes[port->node].nic->rx_buffer_bytes == 0) {
    return job_fail_key(ctx, where, value, "rate_bps", "needs a receive buffer: %s has nic.rx.buffer_bytes 0", port->name);
  }
  if (event->kind == EV_PAUSE_STORM && event->prio_mask == 0) {
    return job_fail_key(ctx, where, value, "priorities", "must name at least one priority");
  }
  return true;
}

/* --- impair ---------------------------------------------------------------------------------------------------- */

static int compare_u64(const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left;
  uint64_t b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

/* Data packets of one QP of the flow; UINT64_MAX when it never ends. */
static uint64_t packets_of_qp(const struct job *job, const struct job_flow *flow)
{
  uint64_t src = job->nodes[job->ports[flow->src_port].node].nic->mtu_bytes;
  uint64_t dst = job->nodes[job->ports[flow->dst_port].node].nic->mtu_bytes;
  uint64_t mtu = src < dst ? src : dst;
  return flow->messages == 0 ? UINT64_MAX : flow->messages * ((flow->message_bytes + mtu - 1) / mtu);
}

/* Sorts the indices and refuses one that is there twice. */
static bool sort_packets(struct job_ctx *ctx, const struct job_where *where, const struct json_value *list,
                         struct job_event *event)
{
  qsort(event->packets, event->n_packets, sizeof *event->packets, compare_u64);
  for (uint32_t i = 1; i < event->n_packets; i++) {
    if (event->packets[i] == event->packets[i - 1]) {
      return job_fail(ctx, where, list, "lists packet %llu twice", (unsigned long long)event->packets[i]);
    }
  }
  return true;
}

static bool read_packets(struct job_ctx *ctx, const struct job_where *where, const struct json_value *list,
                         struct job_event *event)
{
  uint64_t limit = packets_of_qp(ctx->job, &ctx->job->flows[event->flow]);
  if (!job_expect(ctx, where, list, JSON_ARRAY)) {
    return false;
  }
  if (list->count == 0) {
    return job_fail(ctx, where, list, "must list at least one packet");
  }
  event->packets = arena_array(ctx->arena, list->count, sizeof *event->packets);
  if (event->packets == NULL) {
    return job_fail_memory(ctx);
  }
  size_t index = 0;
  for (const struct json_value *element = list->first; element != NULL; element = element->next, index++) {
    if (!job_integer(ctx, JOB_INDEX(where, index), element, 0, INT64_MAX, &event->packets[index])) {
      return false;
    }
    if (event->packets[index] >= limit) {
      return job_fail_value(ctx, JOB_INDEX(where, index), element,
                            "is past the last data packet: each queue pair of the flow sends %llu, numbered from 0",
                            (unsigned long long)limit);
    }
  }
  event->n_packets = list->count;
  return sort_packets(ctx, where, list, event);
}

static bool find_flow(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint32_t *out)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  int64_t flow = namemap_find(&ctx->flows, value->string, value->count);
  if (flow == NAMEMAP_NONE) {
    return job_fail_no_flow(ctx, where, value);
  }
  *out = (uint32_t)flow;
  return true;
}

/* Either a list of packets or a fraction of them; a delay when the action is one. */
static bool check_impair(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                         const struct event_text *text)
{
  const struct job_event *event = &text->event;
  bool listed = !job_absent(text->packets);
  if (listed == (event->fraction > 0.0)) {
    return job_fail(ctx, where, value, "an impair event needs either 'packets' or 'fraction'%s",
                    listed ? ", not both" : "");
  }
  if (!listed && event->iteration != 1) {
    return job_fail_key(ctx, where, value, "iteration", "goes with 'packets', not with 'fraction'");
  }
  if ((event->action == IMPAIR_DELAY) != (event->delay_ps > 0)) {
    return job_fail_key(ctx, where, value, "delay_ps", "%s",
                        event->action == IMPAIR_DELAY ? "action \"delay\" needs a delay_ps above 0"
                                                      : "goes with action \"delay\" only");
  }
  return true;
}

static bool finish_impair(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                          struct event_text *text)
{
  struct job_event *event = &text->event;
  if (!find_flow(ctx, JOB_KEY(where, "flow"), text->flow, &event->flow) || !check_impair(ctx, where, value, text)) {
    return false;
  }
  uint32_t qps = ctx->job->flows[event->flow].qps;
  if (event->qp >= qps) {
    return job_fail_key(ctx, where, value, "qp", "flow has %u queue pairs, numbered from 0", (unsigned)qps);
  }
  return job_absent(text->packets) || read_packets(ctx, JOB_KEY(where, "packets"), text->packets, event);
}

/* --- qos ------------------------------------------------------------------------------------------------------- */

/* Finds the node, and the object of its kind. The configuration is built later, in the order of time. */
static bool finish_qos(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       struct event_text *text)
{
  if (!job_expect(ctx, JOB_KEY(where, "node"), text->node, JSON_STRING)) {
    return false;
  }
  int64_t found = namemap_find(&ctx->nodes, text->node->string, text->node->count);
  if (found == NAMEMAP_NONE) {
    return job_fail_no_node(ctx, JOB_KEY(where, "node"), text->node, text->node->count);
  }
  const struct job_node *node = &ctx->job->nodes[found];
  bool wrong = !job_absent(node->is_switch ? text->nic : text->sw);
  if (wrong || job_absent(node->is_switch ? text->sw : text->nic)) {
    return job_fail(ctx, where, value, "%s is a %s: a qos event for it needs the key '%s'%s", node->name,
                    node->is_switch ? "switch" : "host", node->is_switch ? "switch" : "nic",
                    wrong ? (node->is_switch ? " and not 'nic'" : " and not 'switch'") : "");
  }
  text->event.node = (uint32_t)found;
  return true;
}

/* Queue pairs agree on their MTU when they are made. */
static bool lay_nic(struct job_ctx *ctx, const struct job_where *where, struct event_text *text,
                    const struct nic_cfg *before)
{
  struct nic_cfg *nic = arena_alloc(ctx->arena, sizeof *nic);
  if (nic == NULL) {
    return job_fail_memory(ctx);
  }
  *nic = *before;
  text->event.nic = nic;
  if (!job_read_nic(ctx, where, text->nic, nic)) {
    return false;
  }
  if (nic->mtu_bytes != before->mtu_bytes) {
    return job_fail_key(ctx, where, text->nic, "mtu_bytes",
                        "cannot change during a run (it is %u): queue pairs keep their MTU",
                        (unsigned)before->mtu_bytes);
  }
  return true;
}

static bool lay_switch(struct job_ctx *ctx, const struct job_where *where, struct event_text *text,
                       const struct switch_cfg *before)
{
  struct switch_cfg *sw = arena_alloc(ctx->arena, sizeof *sw);
  if (sw == NULL) {
    return job_fail_memory(ctx);
  }
  *sw = *before;
  text->event.sw = sw;
  return job_read_switch(ctx, where, text->sw, sw) &&
         job_check_profiles(ctx, where, text->sw, text->event.node, &sw->ecn);
}

/* Lays one change over what the node has by then. `latest` has, by node, its last qos event so far. */
static bool lay_qos(struct job_ctx *ctx, const struct job_where *where, struct event_text *text,
                    const struct job_event **latest)
{
  uint32_t index = text->event.node;
  const struct job_node *node = &ctx->job->nodes[index];
  const struct job_event *before = latest[index];
  latest[index] = &text->event;
  if (node->is_switch) {
    return lay_switch(ctx, JOB_KEY(where, "switch"), text, before != NULL ? before->sw : node->sw);
  }
  return lay_nic(ctx, JOB_KEY(where, "nic"), text, before != NULL ? before->nic : node->nic);
}

/* --- the list --------------------------------------------------------------------------------------------------- */

/* What a table cannot tell, by kind. */
static bool finish(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                   struct event_text *text)
{
  if (text->event.at_ps > ctx->job->duration_ps) {
    return job_fail_key(ctx, where, value, "at_ps", "%llu is after the end of the run, duration_ps %llu",
                        (unsigned long long)text->event.at_ps, (unsigned long long)ctx->job->duration_ps);
  }
  switch (text->event.kind) {
  case EV_IMPAIR:
    return finish_impair(ctx, where, value, text);
  case EV_QOS:
    return finish_qos(ctx, where, value, text);
  default:
    return check_port(ctx, where, value, text);
  }
}

static bool read_event(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       struct event_text *text)
{
  int kind = 0;
  if (!job_expect(ctx, where, value, JSON_OBJECT)) {
    return false;
  }
  const struct json_value *named = json_get(value, "kind");
  if (named == NULL) {
    return job_fail(ctx, where, value, "an event needs the key 'kind'");
  }
  if (!job_choice(ctx, JOB_KEY(where, "kind"), named, kinds, &kind)) {
    return false;
  }
  job_defaults(&tables[kind], text);
  text->event.kind = (enum event_kind)kind;
  return job_read(ctx, where, value, &tables[kind], text) && finish(ctx, where, value, text);
}

/* A place in the text with its time, for sorting. */
struct moment {
  uint64_t at_ps;
  uint32_t index;
};

static int compare_moments(const void *left, const void *right)
{
  const struct moment *a = left;
  const struct moment *b = right;
  if (a->at_ps != b->at_ps) {
    return a->at_ps < b->at_ps ? -1 : 1;
  }
  return a->index < b->index ? -1 : a->index > b->index;
}

/* Takes the events in the order of time, equal times in that of the text, into the job. */
static bool put_in_order(struct job_ctx *ctx, struct event_text *texts, struct moment *moments,
                         const struct job_event **latest)
{
  const struct job_where *where = JOB_KEY(NULL, "events");
  struct job *job = ctx->job;
  qsort(moments, job->n_events, sizeof *moments, compare_moments);
  for (uint32_t i = 0; i < job->n_events; i++) {
    uint32_t index = moments[i].index;
    struct event_text *text = &texts[index];
    if (text->event.kind == EV_QOS && !lay_qos(ctx, JOB_INDEX(where, index), text, latest)) {
      return false;
    }
    job->events[i] = text->event;
  }
  return true;
}

static bool read_all(struct job_ctx *ctx, const struct json_value *list, struct event_text *texts,
                     struct moment *moments)
{
  const struct job_where *where = JOB_KEY(NULL, "events");
  uint32_t index = 0;
  for (const struct json_value *element = list->first; element != NULL; element = element->next, index++) {
    if (!read_event(ctx, JOB_INDEX(where, index), element, &texts[index])) {
      return false;
    }
    moments[index] = (struct moment){texts[index].event.at_ps, index};
  }
  ctx->job->n_events = index;
  return true;
}

bool job_read_events(struct job_ctx *ctx, const struct json_value *list)
{
  if (!job_list(ctx, JOB_KEY(NULL, "events"), list, JOB_MAX_EVENTS, "events")) {
    return false;
  }
  size_t n = (size_t)list->count + 1; /* calloc(0) may give NULL */
  struct event_text *texts = calloc(n, sizeof *texts);
  struct moment *moments = calloc(n, sizeof *moments);
  const struct job_event **latest = calloc(ctx->job->n_nodes, sizeof *latest);
  ctx->job->events = arena_array(ctx->arena, list->count, sizeof *ctx->job->events);
  bool memory = texts != NULL && moments != NULL && latest != NULL && ctx->job->events != NULL;
  bool ok =
      memory ? read_all(ctx, list, texts, moments) && put_in_order(ctx, texts, moments, latest) : job_fail_memory(ctx);
  free(texts);
  free(moments);
  free(latest);
  return ok;
}
