/* Flows and ends as they are read from requests. */
#include <stdio.h>
#include <string.h>

#include "common/arena.h"
#include "load/spec.h"
#include "test.h"

/* What was read, and what it was read from. */
struct reading {
  struct json_doc *doc;
  struct arena *arena;
  struct load_error error;
  struct load_flow flow;
  bool failed;
};

static struct reading read_flow(const char *text)
{
  struct reading r = {.arena = arena_new()};
  struct json_error e;
  r.doc = json_parse(text, strlen(text), NULL, &e);
  if (r.doc == NULL)
    test_fail(__FILE__, __LINE__, "%s: %s", e.message, text);
  struct load_fields f = load_fields_top(r.doc, json_root(r.doc), &r.error, &r.failed);
  load_read_flow(&f, r.arena, &r.flow);
  return r;
}

static void forget(struct reading *r)
{
  json_free(r->doc);
  arena_free(r->arena);
}

#define FLOW(keys) "{\"name\":\"f\",\"message_bytes\":1000" keys "}"

TEST(spec_has_its_defaults)
{
  struct reading r = read_flow(FLOW(""));
  const struct load_flow *flow = &r.flow;
  ASSERT(!r.failed);
  ASSERT_STR(flow->name, "f");
  ASSERT_STR(flow->op->name, "write");
  ASSERT_EQ((int)flow->transport, (int)LOAD_RC);
  ASSERT_EQ(flow->messages, (uint64_t)1);
  ASSERT_EQ(flow->qps, 1U);
  ASSERT(flow->check_payload && !flow->ping_pong && !flow->srq);
  ASSERT(flow->flow_label == -1 && flow->udp_sport == -1);
  ASSERT(flow->options.batch == 1 && flow->options.sges == 1 && flow->options.signal_every == 0);
  ASSERT(flow->options.relaxed_ordering);
  forget(&r);
}

TEST(spec_reads_every_option)
{
  struct reading r = read_flow(FLOW(
      ",\"transport\":\"uc\",\"verb\":\"send_imm\",\"messages\":7,\"qps\":3,\"start_ps\":5000,\"after\":[\"a\",\"b\"],"
      "\"after_delay_ps\":7000,\"rate_bps\":9,\"window_bytes\":11,\"max_outstanding\":13,\"message_interval_ps\":17000,"
      "\"arrivals\":\"poisson\",\"flow_label\":19,\"udp_sport\":50000,\"recv_depth\":23,\"recv_repost_ps\":29000,"
      "\"verbs\":{\"check_payload\":false,\"fault\":\"long_send\",\"recover\":\"rebuild\"},"
      "\"load\":{\"batch\":31,\"signal_every\":37,\"inline_bytes\":41,\"sges\":4,\"post\":\"legacy\",\"poll\":\"event\","
      "\"cq_moderation\":{\"count\":43,\"period_us\":47},\"burst\":{\"on_ps\":53000,\"off_ps\":59000},"
      "\"start_jitter_ps\":61000,\"pacing\":\"device\",\"threads\":\"flow\",\"device_time\":true,"
      "\"relaxed_ordering\":false,\"integrity\":true}"));
  const struct load_flow *flow = &r.flow;
  const struct load_options *o = &flow->options;
  if (r.failed)
    test_fail(__FILE__, __LINE__, "%s", r.error.message);
  ASSERT_STR(flow->op->name, "send_imm");
  ASSERT_EQ((int)flow->transport, (int)LOAD_UC);
  ASSERT(flow->messages == 7 && flow->qps == 3 && flow->start_ns == 5 && flow->after_delay_ns == 7);
  ASSERT_EQ(flow->n_after, 2U);
  ASSERT_STR(flow->after[0], "a");
  ASSERT_STR(flow->after[1], "b");
  ASSERT(flow->rate_bps == 9 && flow->window_bytes == 11 && flow->max_outstanding == 13 && flow->interval_ns == 17);
  ASSERT(flow->poisson && flow->flow_label == 19 && flow->udp_sport == 50000);
  ASSERT(flow->recv_depth == 23 && flow->recv_repost_ns == 29 && !flow->check_payload);
  ASSERT(flow->fault == LOAD_LONG_SEND && flow->recover == LOAD_RECOVER_REBUILD);
  ASSERT(o->batch == 31 && o->signal_every == 37 && o->inline_bytes == 41 && o->sges == 4);
  ASSERT(o->posting == LOAD_POST_LEGACY && o->polling == LOAD_POLL_EVENT);
  ASSERT(o->moderate_count == 43 && o->moderate_period_us == 47 && o->burst_on_ns == 53 && o->burst_off_ns == 59);
  ASSERT(o->start_jitter_ns == 61 && o->device_pacing && o->thread_per_flow && o->device_time && o->integrity);
  ASSERT(!o->relaxed_ordering);
  forget(&r);
}

TEST(spec_refuses_what_cannot_be)
{
  static const struct {
    const char *text, *key;
  } cases[] = {
      {"{}", "name"},
      {"{\"name\":\"f\"}", "message_bytes"},
      {FLOW(",\"messages\":1099511627777"), "messages"},
      {FLOW(",\"verb\":\"read\",\"transport\":\"uc\""), "verb"},
      {FLOW(",\"verb\":\"write\",\"transport\":\"ud\""), "verb"},
      {FLOW(",\"verb\":\"fetch_add\""), "message_bytes"},
      {FLOW(",\"verb\":\"send_imm\",\"verbs\":{\"ping_pong\":true}"), "verb"},
      {FLOW(",\"transport\":\"uc\",\"verb\":\"send\",\"verbs\":{\"srq\":true}"), "verbs.srq"},
      {FLOW(",\"verb\":\"read\",\"load\":{\"integrity\":true}"), "load.integrity"},
      {"{\"name\":\"f\",\"message_bytes\":16,\"load\":{\"integrity\":true}}", "load.integrity"},
      {FLOW(",\"load\":{\"integrity\":true,\"sizes\":[[64,1]]}"), "load.sizes"},
      {FLOW(",\"verbs\":{\"ping_pong\":true},\"load\":{\"sges\":2}"), "load.sges"},
      {"{\"name\":\"f\",\"message_bytes\":3,\"load\":{\"sges\":4}}", "load.sges"},
      {FLOW(",\"verb\":\"read\",\"load\":{\"inline_bytes\":64}"), "load.inline_bytes"},
      {FLOW(",\"load\":{\"sizes\":[[64,1e19]]}"), "load.sizes"},
      {FLOW(",\"load\":{\"sizes\":[[64]]}"), "load.sizes"},
      {FLOW(",\"load\":{\"sizes\":[64]}"), "load.sizes"},
      {FLOW(",\"load\":{\"sizes\":[[64,\"a\"]]}"), "load.sizes"},
      {FLOW(",\"load\":{\"burst\":{\"on_ps\":1000}}"), "load.burst.off_ps"},
      {FLOW(",\"after\":[7]"), "after"},
      {FLOW(",\"verbs\":[]"), "verbs"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct reading r = read_flow(cases[i].text);
    if (!r.failed)
      test_fail(__FILE__, __LINE__, "taken: %s", cases[i].text);
    ASSERT_EQ((int)r.error.kind, (int)LOAD_BAD_REQUEST);
    ASSERT_STR(r.error.key, cases[i].key);
    ASSERT_CONTAINS(r.error.message, cases[i].key);
    forget(&r);
  }
}

TEST(spec_says_what_it_does_not_have)
{
  static const char *const cases[][2] = {
      {FLOW(",\"transport\":\"xrc\""), "xrc"},
      {FLOW(",\"reduce\":{}"), "reduce"},
      {FLOW(",\"verbs\":{\"engine\":\"perftest\"}"), "perftest"},
      {FLOW(",\"udp_sport\":65535,\"qps\":2"), "udp_sport"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct reading r = read_flow(cases[i][0]);
    ASSERT(r.failed);
    ASSERT_EQ((int)r.error.kind, (int)LOAD_UNSUPPORTED);
    ASSERT_STR(r.error.feature, cases[i][1]);
    forget(&r);
  }
}

TEST(spec_sizes_come_as_often_as_they_weigh)
{
  struct reading r = read_flow(FLOW(",\"load\":{\"sizes\":[[64,1],[512,2],[2000,5]]}"));
  ASSERT(!r.failed);
  ASSERT_EQ(r.flow.message_bytes, 2000U); /* the largest */
  enum { N = 80000 };
  uint32_t small = 0, middle = 0, large = 0, differs = 0;
  for (uint64_t k = 0; k < N; k++) {
    uint32_t size = load_size_of(&r.flow, 3, k);
    small += size == 64;
    middle += size == 512;
    large += size == 2000;
    differs += size != load_size_of(&r.flow, 4, k);
    ASSERT_EQ(size, load_size_of(&r.flow, 3, k));
  }
  ASSERT_EQ(small + middle + large, (uint32_t)N);
  /* five standard deviations of counts with shares 1/8, 2/8, 5/8 */
  ASSERT_NEAR(small, 10000.0, 5 * 93.6);
  ASSERT_NEAR(middle, 20000.0, 5 * 122.5);
  ASSERT_NEAR(large, 50000.0, 5 * 137.0);
  ASSERT(differs > N / 3); /* QPs do not go in step */
  forget(&r);
}

TEST(spec_wire_bits_count_every_header)
{
  static const struct {
    const char *keys, *family;
    uint32_t bytes, mtu;
    uint64_t frames, extra; /* payload rounded up to 4, and headers that are there once */
  } cases[] = {
      {"", "ipv4", 1000, 1024, 1, 1000 + 16},                                        /* RETH 16 */
      {"", "ipv4", 1025, 1024, 2, 1028 + 16},
      {"", "ipv6", 4096, 1024, 4, 4096 + 16},
      {",\"verb\":\"send\"", "ipv4", 1, 1024, 1, 4},
      {",\"verb\":\"send_imm\",\"transport\":\"ud\"", "ipv4", 64, 1024, 1, 64 + 4 + 8}, /* immediate 4, DETH 8 */
      {",\"verb\":\"write_imm\"", "ipv4", 64, 1024, 1, 64 + 16 + 4},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[200];
    (void)snprintf(text, sizeof text, "{\"name\":\"f\",\"message_bytes\":64%s}", cases[i].keys);
    struct reading r = read_flow(text);
    ASSERT(!r.failed);
    /* preamble and gap 20, Ethernet 14, UDP 8, BTH 12, ICRC 4, FCS 4 */
    uint64_t frame = 62 + (strcmp(cases[i].family, "ipv4") == 0 ? 20 : 40);
    ASSERT_EQ(load_wire_bits(&r.flow, cases[i].bytes, cases[i].mtu, cases[i].family),
              8 * (cases[i].frames * frame + cases[i].extra));
    forget(&r);
  }
}

TEST(spec_qos_is_checked)
{
  static const char *const wrong[] = {"{\"mtu_bytes\":1000}", "{\"mtu_bytes\":8192}", "{\"retry_count\":8}",
                                      "{\"rnr_retry\":8}", "{\"ack_timeout_exponent\":32}", "{\"max_rd_atomic\":0}"};
  struct load_qos qos;
  struct load_error e;
  struct json_error je;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    bool failed;
    struct json_doc *doc = json_parse(wrong[i], strlen(wrong[i]), NULL, &je);
    struct load_fields f = load_fields_top(doc, json_root(doc), &e, &failed);
    load_read_qos(&f, &qos);
    ASSERT(failed);
    ASSERT(e.key[0] != '\0' && strstr(wrong[i], e.key) != NULL);
    json_free(doc);
  }
}
