/* Windows, slots and receives: what an end plans with the memory and the queues that there are. */
#include <string.h>

#include "load/integrity.h"
#include "load/layout.h"
#include "load/memory.h"
#include "load/payload.h"
#include "test.h"

#define MIB (UINT64_C(1) << 20)

static struct load_end_spec spec_of(bool source, enum load_opcode verb, uint32_t bytes, uint64_t messages)
{
  return (struct load_end_spec){.id = "e",
                                .source = source,
                                .flow = {.name = "f", .op = load_op_of(verb), .message_bytes = bytes, .messages = messages,
                                         .qps = 1, .check_payload = true, .options = {.batch = 1, .sges = 1}}};
}

static const struct load_limits roomy = {512 * MIB, 1 << 15, 1 << 20, 1 << 15};

static struct load_layout plan(const struct load_end_spec *spec, const struct load_limits *limits)
{
  struct load_layout out;
  struct load_error e;
  if (!load_layout_plan(spec, limits, &out, &e))
    test_fail(__FILE__, __LINE__, "%s", e.message);
  return out;
}

static void refused(const struct load_end_spec *spec, const struct load_limits *limits, const char *words)
{
  struct load_layout out;
  struct load_error e;
  ASSERT(!load_layout_plan(spec, limits, &out, &e));
  ASSERT_EQ((int)e.kind, (int)LOAD_NO_RESOURCES);
  ASSERT_CONTAINS(e.message, words);
}

TEST(layout_window_is_the_least_of_its_limits)
{
  struct load_end_spec s = spec_of(true, LOAD_WRITE, 1000, 5000);
  ASSERT_EQ(plan(&s, &roomy).window, (uint32_t)LOAD_SEND_DEPTH);
  s.flow.max_outstanding = 7;
  ASSERT_EQ(plan(&s, &roomy).window, 7U);
  s.flow.window_bytes = 3500;
  ASSERT_EQ(plan(&s, &roomy).window, 3U);
  s.flow.window_bytes = 10; /* less than a message: one at a time */
  ASSERT_EQ(plan(&s, &roomy).window, 1U);
  s.flow.window_bytes = 0;
  s.flow.messages = 2;
  ASSERT_EQ(plan(&s, &roomy).window, 2U);
  s.flow.messages = 5000;
  s.flow.max_outstanding = 100000;
  ASSERT_EQ(plan(&s, &roomy).window, 5000U);
  struct load_limits few = {512 * MIB, 50, 1 << 20, 1};
  ASSERT_EQ(plan(&s, &few).window, 50U);
  few = (struct load_limits){512 * MIB, 1 << 15, 80, 1};
  s.flow.qps = 20;
  ASSERT_EQ(plan(&s, &few).window, 4U); /* completions of all QPs have room in one queue */
  s.flow.qps = 200;
  ASSERT_EQ(plan(&s, &few).window, 1U);
}

TEST(layout_endless_flows_have_little_under_way)
{
  struct load_end_spec s = spec_of(true, LOAD_WRITE, 1 << 20, 0);
  ASSERT_EQ(plan(&s, &roomy).window, 8U);
  s.flow.message_bytes = 1U << 30;
  ASSERT_EQ(plan(&s, &roomy).window, 2U);
}

TEST(layout_slots_and_pattern_fit_the_budget_or_fold)
{
  static const uint32_t sizes[] = {1, 64, 4096, 65536, 1000000, 1U << 30, 1U << 31};
  static const uint64_t budgets[] = {1 << 16, MIB, 64 * MIB, 512 * MIB};
  static const enum load_opcode verbs[] = {LOAD_WRITE, LOAD_SEND, LOAD_READ, LOAD_WRITE_IMM};
  for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++) {
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      for (size_t b = 0; b < sizeof budgets / sizeof budgets[0]; b++) {
        for (int source = 0; source < 2; source++) {
          struct load_end_spec s = spec_of(source == 1, verbs[v], sizes[i], 1000);
          struct load_limits limits = {budgets[b], 1 << 15, 1 << 20, 1 << 15};
          struct load_layout l = plan(&s, &limits);
          uint64_t used = l.slots * l.slot_window + l.pattern_window;
          ASSERT(used <= budgets[b] || used <= 2 * (UINT64_C(1) << 16) + LOAD_PERIOD + LOAD_ALIGN);
          ASSERT(l.slots == 0 || (l.stride >= sizes[i] && l.slot_window <= l.stride));
          ASSERT(l.pattern_bytes == 0 || l.pattern_bytes >= sizes[i]);
          if (l.slots > 0 && l.slot_window < l.stride)
            ASSERT(l.slots == 1 && l.stride % l.slot_window == 0 && (l.slot_window & (l.slot_window - 1)) == 0);
          if (l.pattern_window < l.pattern_bytes)
            ASSERT(l.pattern_bytes % l.pattern_window == 0 && l.period == l.pattern_window);
        }
      }
    }
  }
}

TEST(layout_a_slot_sees_each_payload)
{
  struct load_end_spec s = spec_of(false, LOAD_WRITE, 4096, 1 << 20);
  for (uint64_t budget = 127 * 4096; budget < 127 * 4096 * 40; budget += 4096) {
    struct load_limits limits = {budget, 1 << 15, 1 << 20, 1 << 15};
    struct load_layout l = plan(&s, &limits);
    ASSERT(l.slots % LOAD_CYCLE != 0);
  }
}

TEST(layout_receives_are_those_that_were_asked_or_none_at_all)
{
  struct load_end_spec s = spec_of(false, LOAD_SEND, 1000, 5000);
  ASSERT_EQ(plan(&s, &roomy).receives, (uint32_t)LOAD_RECV_DEPTH);
  s.flow.recv_depth = 3;
  struct load_layout l = plan(&s, &roomy);
  ASSERT(l.receives == 3 && l.slots == 3 && l.receive_bytes == 1000);
  s.flow.recv_depth = 100000;
  refused(&s, &roomy, "recv_depth 100000: the device takes 32768");
  s.flow.recv_depth = 1000;
  struct load_limits small = {MIB / 2, 1 << 15, 1 << 20, 1 << 15};
  refused(&s, &small, "recv_depth 1000 of 1000 bytes: memory for");
  s = spec_of(false, LOAD_SEND, 1000, 5000);
  s.flow.transport = LOAD_UD;
  ASSERT_EQ(plan(&s, &roomy).receive_bytes, 1040U);
  s = spec_of(false, LOAD_WRITE, 1000, 5000);
  ASSERT_EQ(plan(&s, &roomy).receives, 0U);
  s.notify = true;
  ASSERT_EQ(plan(&s, &roomy).receives, 1U);
}

TEST(layout_a_shared_queue_serves_all)
{
  struct load_end_spec s = spec_of(false, LOAD_SEND, 100, 0);
  s.flow.srq = true;
  s.flow.qps = 16;
  ASSERT_EQ(plan(&s, &roomy).receives, 16U * LOAD_RECV_DEPTH);
  struct load_limits few = {512 * MIB, 1 << 15, 1 << 20, 100};
  ASSERT_EQ(plan(&s, &few).receives, 100U);
}

TEST(layout_sealed_writes_have_more_slots_than_receives)
{
  struct load_end_spec s = spec_of(false, LOAD_WRITE_IMM, 1000, 0);
  s.flow.options.integrity = true;
  for (uint64_t budget = 8192; budget < 2 * MIB; budget += 20000) {
    struct load_limits limits = {budget, 1 << 15, 1 << 20, 1 << 15};
    struct load_layout l = plan(&s, &limits);
    ASSERT(l.receives > 0 && l.receives < l.slots);
  }
  ASSERT_EQ(plan(&s, &roomy).receives, (uint32_t)LOAD_RECV_DEPTH);
  s.flow.messages = 10; /* a slot for each: none is used twice */
  ASSERT_EQ(plan(&s, &roomy).receives, 10U);
  s.flow.messages = 5000;
  s.flow.recv_depth = 300;
  struct load_limits small = {200 * 1024, 1 << 15, 1 << 20, 1 << 15};
  refused(&s, &small, "integrity needs memory for more messages");
  s.flow.recv_depth = 0;
  s.flow.message_bytes = 1 << 20;
  refused(&s, &small, "integrity needs memory");
}

TEST(layout_ping_pong_and_integrity_need_whole_messages)
{
  struct load_end_spec s = spec_of(true, LOAD_SEND, 1 << 20, 10);
  struct load_limits small = {MIB, 1 << 15, 1 << 20, 1 << 15};
  s.flow.ping_pong = true;
  refused(&s, &small, "ping_pong needs");
  ASSERT_EQ(plan(&s, &roomy).window, (uint32_t)LOAD_PING_SLOTS);
  s = spec_of(true, LOAD_SEND, 2 << 20, 10);
  s.flow.options.integrity = true;
  refused(&s, &small, "integrity needs memory for a whole message");
  s.source = false;
  refused(&s, &small, "integrity needs memory for a whole message");
}
