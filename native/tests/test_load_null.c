/* The null device: that it does what hardware does, and that each of its faults happens. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"
#include "load/device.h"
#include "test.h"

enum { BYTES = 8192, DEPTH = 64, ALL = (1 << LOAD_OPCODES) - 1, GRH = 40 };
enum {
  ANY = LOAD_LOCAL_WRITE | LOAD_REMOTE_WRITE | LOAD_REMOTE_READ | LOAD_REMOTE_ATOMIC,
  QKEY = 0x1234,
};

static const struct load_device_ops *const ops = &load_null_ops;

/* One end: a device with memory, a queue pair and what it completes to. */
struct side {
  struct load_device device;
  struct load_mr mr;
  struct load_cq cq;
  struct load_srq srq;
  struct load_qp qp;
  struct load_route route;
  _Alignas(64) uint8_t memory[BYTES];
};

/* Two ends, a sends to b. */
struct pair {
  struct side a, b;
};

/* What a test wants otherwise than usual. */
struct wish {
  enum load_transport transport;
  const char *a, *b; /* devices */
  uint32_t entries, depth;
  bool srq, timestamps;
  unsigned access; /* of b's memory; 0: any */
  uint8_t rnr_retry, rnr_timer; /* timer 0: the shortest */
  uint32_t moderate_count, moderate_period_us;
};

#define GOOD(call)                                                                                                     \
  do {                                                                                                                 \
    struct load_error why = {0};                                                                                       \
    if (!(call))                                                                                                       \
      test_fail(__FILE__, __LINE__, "%s: %s", #call, why.message);                                                     \
  } while (0)

static void open_device(struct load_device *device, const char *name)
{
  struct load_error e = {0};
  *device = (struct load_device){.ops = ops};
  (void)snprintf(device->name, sizeof device->name, "%s", name);
  if (!ops->open(device, &e))
    test_fail(__FILE__, __LINE__, "%s: %s", name, e.message);
}

static void side_make(struct side *s, const char *name, const struct wish *w, unsigned access)
{
  open_device(&s->device, name);
  struct load_cq_wish cq = {.entries = w->entries != 0 ? w->entries : 4 * DEPTH,
                            .timestamps = w->timestamps,
                            .moderate_count = w->moderate_count,
                            .moderate_period_us = w->moderate_period_us,
                            .events = s->device.caps.can_event};
  GOOD(ops->reg(&s->device, s->memory, BYTES, access, &s->mr, &why));
  GOOD(ops->cq_make(&s->device, &cq, &s->cq, &why));
  if (w->srq)
    GOOD(ops->srq_make(&s->device, DEPTH, &s->srq, &why));
  struct load_qp_wish qp = {.transport = w->transport,
                            .cq = &s->cq,
                            .srq = w->srq ? &s->srq : NULL,
                            .sends = w->depth != 0 ? w->depth : DEPTH,
                            .receives = DEPTH,
                            .sges = 4,
                            .inline_bytes = 64,
                            .opcodes = ALL};
  GOOD(ops->qp_make(&s->device, &qp, &s->qp, &why));
}

static void side_free(struct side *s)
{
  if (s->qp.impl != NULL)
    ops->qp_free(&s->qp);
  if (s->srq.impl != NULL)
    ops->srq_free(&s->srq);
  ops->cq_free(&s->cq);
  ops->dereg(&s->device, &s->mr);
  ops->close(&s->device);
}

static struct load_route route_between(struct side *from, struct side *to, uint8_t rnr_retry, uint8_t rnr_timer)
{
  struct load_gid gid;
  const struct load_gid_wish any = {.index = -1, .v2 = true};
  struct load_route route = {.port = 1,
                             .remote_qpn = to->qp.qpn,
                             .remote_psn = to->qp.qpn * 7,
                             .psn = from->qp.qpn * 7,
                             .mtu = 1024,
                             .traffic_class = 106,
                             .hop_limit = 64,
                             .retry_count = 7,
                             .rnr_retry = rnr_retry,
                             .rnr_timer = rnr_timer != 0 ? rnr_timer : 1,
                             .max_rd_atomic = 4,
                             .qkey = QKEY,
                             .access = ANY};
  GOOD(ops->gid(&to->device, 1, &any, &gid, &why));
  memcpy(route.dgid, gid.raw, sizeof route.dgid);
  return route;
}

static void join(struct pair *p, uint8_t rnr_retry, uint8_t rnr_timer)
{
  p->a.route = route_between(&p->a, &p->b, rnr_retry, rnr_timer);
  p->b.route = route_between(&p->b, &p->a, rnr_retry, rnr_timer);
  GOOD(ops->qp_connect(&p->a.qp, &p->a.route, &why));
  GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
}

static struct pair *pair_apart(struct wish w)
{
  struct pair *p = aligned_alloc(64, sizeof *p);
  ASSERT(p != NULL);
  memset(p, 0, sizeof *p);
  side_make(&p->a, w.a != NULL ? w.a : "null0", &w, ANY);
  side_make(&p->b, w.b != NULL ? w.b : "null1", &w, w.access != 0 ? w.access : ANY);
  for (size_t i = 0; i < BYTES; i++)
    p->a.memory[i] = (uint8_t)(i * 31 + 5);
  return p;
}

static struct pair *pair_make(struct wish w)
{
  struct pair *p = pair_apart(w);
  join(p, w.rnr_retry, w.rnr_timer);
  return p;
}

static void pair_free(struct pair *p)
{
  side_free(&p->a);
  side_free(&p->b);
  free(p);
}

static struct load_sge sge_of(struct side *s, uint32_t offset, uint32_t length)
{
  return (struct load_sge){(uint64_t)(uintptr_t)(s->memory + offset), length, s->mr.lkey};
}

/* A signalled request from the start of a's memory to the start of b's. */
static struct load_wr wr_to(struct pair *p, uint64_t id, const struct load_sge *sge)
{
  return (struct load_wr){.id = id,
                          .flags = LOAD_SIGNALED,
                          .imm = 0x01020304,
                          .raddr = (uint64_t)(uintptr_t)p->b.memory,
                          .rkey = p->b.mr.rkey,
                          .n_sge = 1,
                          .sge = sge};
}

static int post(struct side *s, enum load_opcode opcode, const struct load_wr *wr)
{
  unsigned done = 99;
  int problem = ops->poster(&s->qp, opcode)(&s->qp, wr, 1, &done);
  ASSERT_EQ(done, problem == 0 ? 1U : 0U);
  return problem;
}

/* Posts `length` bytes of a. */
static void send_bytes(struct pair *p, enum load_opcode opcode, uint64_t id, uint32_t length)
{
  struct load_sge sge = sge_of(&p->a, 0, length);
  struct load_wr wr = wr_to(p, id, &sge);
  ASSERT_EQ(post(&p->a, opcode, &wr), 0);
}

static void receive(struct side *s, uint64_t id, uint32_t offset, uint32_t length)
{
  struct load_recv recv = {id, sge_of(s, offset, length)};
  unsigned done = 0;
  int problem = s->srq.impl != NULL ? ops->post_srq(&s->srq, &recv, 1, &done)
                                    : ops->post_recv(&s->qp, &recv, 1, &done);
  ASSERT_EQ(problem, 0);
  ASSERT_EQ(done, 1U);
}

static struct load_wc take(struct side *s)
{
  struct load_wc wc;
  if (ops->poll(&s->cq, &wc, 1) != 1)
    test_fail(__FILE__, __LINE__, "%s: no completion", s->device.name);
  return wc;
}

static struct load_wc wait_for(struct side *s)
{
  struct load_wc wc;
  uint64_t late = load_mono_ns() + UINT64_C(5000000000);
  while (ops->poll(&s->cq, &wc, 1) == 0)
    ASSERT(load_mono_ns() < late);
  return wc;
}

static void expect(struct side *s, uint64_t id, enum load_status status)
{
  struct load_wc wc = take(s);
  ASSERT_EQ(wc.id, id);
  ASSERT_STR(load_status_name(wc.status), load_status_name(status));
  ASSERT_EQ(wc.qpn, s->qp.qpn);
  ASSERT_EQ(wc.vendor != 0 ? 1 : 0, status != LOAD_WC_SUCCESS ? 1 : 0);
}

static void expect_nothing(struct side *s)
{
  struct load_wc wc;
  ASSERT_EQ(ops->poll(&s->cq, &wc, 1), 0U);
}

static void expect_event(struct side *s, const char *text, bool fatal)
{
  char found[64] = "none";
  bool bad = false;
  (void)ops->async_event(&s->device, found, sizeof found, &bad);
  ASSERT_CONTAINS(found, text);
  ASSERT(bad == fatal);
}

static void expect_no_event(struct side *s)
{
  char found[64];
  bool bad;
  ASSERT(!ops->async_event(&s->device, found, sizeof found, &bad));
}

/* --- names, limits, addresses ------------------------------------------------------------------------------------ */

static void refuse_name(const char *name, const char *value, const char *expected)
{
  struct load_device device = {.ops = ops};
  struct load_error e = {0};
  (void)snprintf(device.name, sizeof device.name, "%s", name);
  ASSERT(!ops->open(&device, &e));
  ASSERT_EQ((int)e.kind, (int)LOAD_BAD_REQUEST);
  ASSERT_STR(e.value, value);
  ASSERT_CONTAINS(e.expected, expected);
}

TEST(null_refuses_names_and_options_it_does_not_know)
{
  refuse_name("null", "null", "nullN[:option=value,...]");
  refuse_name("nullx", "nullx", "nullN");
  refuse_name("null70000", "null70000", "nullN");
  refuse_name("null0:", "", "data, latency, rate, loss, dup, corrupt, reorder, unreliable, die_after, qp_error_after, "
                            "hang_after, max_qp, max_wr, max_cqe, no_events, seed");
  refuse_name("null0:los=1", "los=1", "loss");
  refuse_name("null0:loss", "loss", "loss");
  refuse_name("null0:loss=1,", "", "loss");
  refuse_name("null0:loss=2", "loss=2", "0.01 or 1%");
  refuse_name("null0:loss=-1", "loss=-1", "0.01 or 1%");
  refuse_name("null0:loss=nan", "loss=nan", "0.01 or 1%");
  refuse_name("null0:loss=101%", "loss=101%", "0.01 or 1%");
  refuse_name("null0:latency=10", "latency=10", "10us");
  refuse_name("null0:latency=11s", "latency=11s", "10us");
  refuse_name("null0:rate=10GB", "rate=10GB", "10Gbps");
  refuse_name("null0:max_qp=0", "max_qp=0", "from 1 to 65536");
  refuse_name("null0:max_wr=1.5", "max_wr=1.5", "whole number from 1 to 16384");
  refuse_name("null0:max_cqe=4194304", "max_cqe=4194304", "from 1 to 4194303");
  refuse_name("null0:data=yes", "data=yes", "on or off");
  refuse_name("null0:seed=1,data=off,corrupt=1%", "null0:seed=1,data=off,corrupt=1%", "data=on");
}

TEST(null_tells_what_it_can)
{
  struct load_device d;
  struct load_port port;
  struct load_error e = {0};
  open_device(&d, "null0");
  ASSERT_EQ(d.caps.max_qp, 65536U);
  ASSERT_EQ(d.caps.max_qp_wr, 16384U);
  ASSERT_EQ(d.caps.max_cqe, 4194303U);
  ASSERT_EQ(d.caps.max_sge, 16U);
  ASSERT(d.caps.atomics && d.caps.srq && d.caps.timestamps && d.caps.pacing && d.caps.can_event && d.caps.software);
  ASSERT(ops->port(&d, 1, &port, &e));
  ASSERT_EQ(port.mtu, 4096U);
  ASSERT_EQ(port.rate_bps, UINT64_C(0));
  ASSERT(!ops->port(&d, 2, &port, &e));
  ASSERT_CONTAINS(e.message, "no port 2");
  ops->close(&d);
  open_device(&d, "null3:rate=2.5Gbps,max_qp=4,max_wr=8,max_cqe=9,no_events=on");
  ASSERT(d.caps.max_qp == 4 && d.caps.max_qp_wr == 8 && d.caps.max_cqe == 9 && !d.caps.can_event && !d.caps.software);
  ASSERT(ops->port(&d, 1, &port, &e));
  ASSERT_EQ(port.rate_bps, UINT64_C(2500000000));
  ops->close(&d);
}

TEST(null_has_one_gid)
{
  struct load_device d;
  struct load_gid gid;
  struct load_error e = {0};
  open_device(&d, "null258");
  const uint8_t right[16] = {[10] = 255, 255, 10, 255, 1, 2};
  GOOD(ops->gid(&d, 1, &(struct load_gid_wish){.index = -1, .v2 = true}, &gid, &why));
  ASSERT(memcmp(gid.raw, right, sizeof right) == 0 && gid.index == 0 && gid.v2);
  ASSERT_STR(gid.family, "ipv4");
  GOOD(ops->gid(&d, 1, &(struct load_gid_wish){.index = 0}, &gid, &why));
  ASSERT(!ops->gid(&d, 1, &(struct load_gid_wish){.index = 1}, &gid, &e));
  ASSERT_EQ((int)e.kind, (int)LOAD_NO_GID);
  ASSERT_CONTAINS(e.message, "no GID with index 1; there is 0: RoCE v2 ipv4 10.255.1.2");
  ASSERT(!ops->gid(&d, 1, &(struct load_gid_wish){.index = -1, .v2 = false}, &gid, &e));
  ASSERT_CONTAINS(e.message, "RoCE v1, any family");
  ASSERT(!ops->gid(&d, 1, &(struct load_gid_wish){.index = -1, .v2 = true, .family = "ipv6"}, &gid, &e));
  ASSERT_CONTAINS(e.message, "RoCE v2, ipv6");
  ops->close(&d);
}

TEST(null_keeps_the_limits_of_queues)
{
  struct load_device d;
  struct load_cq cq, more;
  struct load_srq srq;
  struct load_error e = {0};
  open_device(&d, "null0:max_wr=8,max_cqe=16,no_events=on");
  ASSERT(!ops->cq_make(&d, &(struct load_cq_wish){.entries = 17}, &cq, &e));
  ASSERT_CONTAINS(e.message, "17 entries (it takes 1 to 16)");
  ASSERT(!ops->cq_make(&d, &(struct load_cq_wish){.entries = 16, .events = true}, &more, &e));
  ASSERT_STR(e.feature, "events");
  GOOD(ops->cq_make(&d, &(struct load_cq_wish){.entries = 16}, &cq, &why));
  ASSERT_EQ(cq.fd, -1);
  ASSERT(!ops->arm(&cq));
  ASSERT(!ops->srq_make(&d, 9, &srq, &e));
  ASSERT_CONTAINS(e.message, "9 entries (it takes 1 to 8)");
  ops->cq_free(&cq);
  ops->close(&d);
}

static void refuse_qp(struct load_device *d, struct load_qp_wish wish, const char *message)
{
  struct load_qp qp;
  struct load_error e = {0};
  ASSERT(!ops->qp_make(d, &wish, &qp, &e));
  ASSERT_CONTAINS(e.message, message);
}

TEST(null_keeps_the_limits_of_queue_pairs)
{
  struct load_device d;
  struct load_cq cq;
  struct load_qp qp[3];
  struct load_error e = {0};
  open_device(&d, "null0:max_qp=2,max_wr=8");
  GOOD(ops->cq_make(&d, &(struct load_cq_wish){.entries = 16}, &cq, &why));
  struct load_qp_wish wish = {.cq = &cq, .sends = 8, .receives = 8, .sges = 16, .inline_bytes = 1024, .opcodes = ALL};
  struct load_qp_wish sends = wish, receives = wish, sges = wish, inlines = wish;
  sends.sends = 9;
  receives.receives = 9;
  sges.sges = 17;
  inlines.inline_bytes = 1025;
  refuse_qp(&d, sends, "9 sends and 8 receives (it takes 8 of each)");
  refuse_qp(&d, receives, "8 sends and 9 receives (it takes 8 of each)");
  refuse_qp(&d, sges, "17 scatter/gather elements (it takes 1 to 16)");
  refuse_qp(&d, inlines, "1025 bytes inline (it takes 1024)");
  GOOD(ops->qp_make(&d, &wish, &qp[0], &why));
  GOOD(ops->qp_make(&d, &wish, &qp[1], &why));
  ASSERT(qp[0].qpn != qp[1].qpn);
  ASSERT(!ops->qp_make(&d, &wish, &qp[2], &e));
  ASSERT_EQ(e.number, ENOMEM);
  ASSERT_EQ((int)e.kind, (int)LOAD_NO_RESOURCES);
  ops->qp_free(&qp[0]);
  GOOD(ops->qp_make(&d, &wish, &qp[2], &why)); /* there is room again */
  ops->qp_free(&qp[1]);
  ops->qp_free(&qp[2]);
  ops->cq_free(&cq);
  ops->close(&d);
}

TEST(null_numbers_are_not_used_again_soon)
{
  struct load_device d;
  struct load_cq cq;
  open_device(&d, "null0");
  GOOD(ops->cq_make(&d, &(struct load_cq_wish){.entries = 16}, &cq, &why));
  struct load_qp_wish wish = {.cq = &cq, .sends = 1, .receives = 1, .sges = 1, .opcodes = ALL};
  uint32_t before = 0;
  for (int i = 0; i < 1000; i++) {
    struct load_qp qp;
    GOOD(ops->qp_make(&d, &wish, &qp, &why));
    ASSERT(qp.qpn != before);
    before = qp.qpn;
    ops->qp_free(&qp);
  }
  ops->cq_free(&cq);
  ops->close(&d);
}

TEST(null_survives_want_of_memory)
{
  for (uint64_t nth = 1; nth < 12; nth++) {
    struct load_device d;
    struct load_cq cq = {0};
    struct load_srq srq = {0};
    struct load_qp qp = {0};
    struct load_error e = {0};
    open_device(&d, "null0");
    test_fail_allocation(nth);
    bool good = ops->cq_make(&d, &(struct load_cq_wish){.entries = 16, .events = true}, &cq, &e) &&
                ops->srq_make(&d, 4, &srq, &e);
    struct load_qp_wish wish = {.cq = &cq, .sends = 1, .receives = 1, .sges = 1, .opcodes = ALL};
    good = good && ops->qp_make(&d, &wish, &qp, &e);
    test_fail_allocation(0);
    ASSERT(good == (nth > 6)); /* two of each */
    ASSERT(good || e.kind == LOAD_NO_RESOURCES);
    if (qp.impl != NULL)
      ops->qp_free(&qp);
    if (srq.impl != NULL)
      ops->srq_free(&srq);
    if (cq.impl != NULL)
      ops->cq_free(&cq);
    ops->close(&d);
  }
}

/* --- what arrives ------------------------------------------------------------------------------------------------ */

TEST(null_write_moves_bytes)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_sge sge = sge_of(&p->a, 3, 100);
  struct load_wr wr = wr_to(p, 7, &sge);
  wr.raddr += 11;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect(&p->a, 7, LOAD_WC_SUCCESS);
  expect_nothing(&p->b);
  ASSERT(memcmp(p->b.memory + 11, p->a.memory + 3, 100) == 0);
  ASSERT(p->b.memory[10] == 0 && p->b.memory[111] == 0);
  wr.flags = 0;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect_nothing(&p->a); /* not signalled */
  pair_free(p);
}

TEST(null_gathers_and_takes_inline_data_when_posted)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:latency=1ms"});
  struct load_sge sge[3] = {sge_of(&p->a, 100, 10), sge_of(&p->a, 0, 0), sge_of(&p->a, 200, 6)};
  struct load_wr wr = wr_to(p, 1, sge);
  wr.n_sge = 3;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  wr.raddr += 64;
  wr.flags |= LOAD_INLINE;
  sge[0].lkey = sge[2].lkey = 0; /* is not looked at */
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  uint8_t before = p->a.memory[100];
  p->a.memory[100] = (uint8_t)~before;
  ASSERT_EQ(wait_for(&p->a).id, UINT64_C(1));
  ASSERT_EQ((int)wait_for(&p->a).status, 0);
  ASSERT_EQ(p->b.memory[0], (uint8_t)~before); /* read when it was sent */
  ASSERT_EQ(p->b.memory[64], before);
  ASSERT(memcmp(p->b.memory + 10, p->a.memory + 200, 6) == 0);
  ASSERT(memcmp(p->b.memory + 65, p->a.memory + 101, 9) == 0);
  sge[0].length = 59; /* 65 in all */
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), EINVAL);
  pair_free(p);
}

TEST(null_inline_needs_no_key)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_sge sge = sge_of(&p->a, 0, 32);
  struct load_wr wr = wr_to(p, 1, &sge);
  sge.lkey = 12345;
  wr.flags |= LOAD_INLINE;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  ASSERT(memcmp(p->b.memory, p->a.memory, 32) == 0);
  pair_free(p);
}

TEST(null_read_brings_bytes)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_sge sge[2] = {sge_of(&p->a, 0, 5), sge_of(&p->a, 50, 7)};
  struct load_wr wr = wr_to(p, 1, sge);
  wr.n_sge = 2;
  for (unsigned i = 0; i < 12; i++)
    p->b.memory[i] = (uint8_t)(200 + i);
  ASSERT_EQ(post(&p->a, LOAD_READ, &wr), 0);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  ASSERT(memcmp(p->a.memory, p->b.memory, 5) == 0 && memcmp(p->a.memory + 50, p->b.memory + 5, 7) == 0);
  pair_free(p);
}

TEST(null_atomics)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  uint64_t value = 40, found = 0;
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 1, &sge);
  memcpy(p->b.memory, &value, sizeof value);
  wr.compare_add = 2;
  ASSERT_EQ(post(&p->a, LOAD_FETCH_ADD, &wr), 0);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  memcpy(&found, p->a.memory, sizeof found);
  memcpy(&value, p->b.memory, sizeof value);
  ASSERT_EQ(found, UINT64_C(40));
  ASSERT_EQ(value, UINT64_C(42));
  for (int round = 0; round < 2; round++) { /* the second one finds something else */
    wr.compare_add = 42;
    wr.swap = 99;
    ASSERT_EQ(post(&p->a, LOAD_COMPARE_SWAP, &wr), 0);
    expect(&p->a, 1, LOAD_WC_SUCCESS);
    memcpy(&found, p->a.memory, sizeof found);
    memcpy(&value, p->b.memory, sizeof value);
    ASSERT_EQ(found, round == 0 ? UINT64_C(42) : UINT64_C(99));
    ASSERT_EQ(value, UINT64_C(99));
  }
  sge.length = 4;
  ASSERT_EQ(post(&p->a, LOAD_FETCH_ADD, &wr), 0);
  expect(&p->a, 1, LOAD_WC_LOC_LEN_ERR);
  pair_free(p);
}

TEST(null_send_fills_receives_in_order)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  receive(&p->b, 10, 1000, 50);
  receive(&p->b, 11, 2000, 50);
  send_bytes(p, LOAD_SEND, 1, 50);
  send_bytes(p, LOAD_SEND_IMM, 2, 30);
  struct load_wc wc = take(&p->b);
  ASSERT(wc.id == 10 && wc.recv && wc.bytes == 50 && !wc.has_imm && wc.status == 0 && wc.qpn == p->b.qp.qpn);
  wc = take(&p->b);
  ASSERT(wc.id == 11 && wc.recv && wc.bytes == 30 && wc.has_imm && wc.imm == 0x01020304);
  ASSERT(memcmp(p->b.memory + 1000, p->a.memory, 50) == 0 && memcmp(p->b.memory + 2000, p->a.memory, 30) == 0);
  ASSERT_EQ(p->b.memory[2030], 0U);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_SUCCESS);
  pair_free(p);
}

TEST(null_write_imm_takes_a_receive_without_memory)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_recv recv = {.id = 5};
  unsigned done;
  ASSERT_EQ(ops->post_recv(&p->b.qp, &recv, 1, &done), 0);
  send_bytes(p, LOAD_WRITE_IMM, 1, 77);
  struct load_wc wc = take(&p->b);
  ASSERT(wc.id == 5 && wc.bytes == 77 && wc.has_imm && wc.imm == 0x01020304);
  ASSERT(memcmp(p->b.memory, p->a.memory, 77) == 0);
  pair_free(p);
}

TEST(null_datagrams_come_with_their_header)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_UD});
  receive(&p->b, 5, 0, 200);
  send_bytes(p, LOAD_SEND_IMM, 1, 60);
  struct load_wc wc = take(&p->b);
  ASSERT(wc.bytes == 60 + GRH && wc.has_imm);
  ASSERT(memcmp(p->b.memory + GRH, p->a.memory, 60) == 0);
  const uint8_t *ip = p->b.memory + 20;
  const uint8_t from[4] = {10, 255, 0, 0}, to[4] = {10, 255, 0, 1};
  ASSERT(ip[0] == 0x45 && ip[1] == 106 && ip[8] == 64 && ip[9] == 17);
  ASSERT_EQ(ip[2] * 256 + ip[3], 20 + 8 + 12 + 8 + 60 + 4);
  ASSERT(memcmp(ip + 12, from, 4) == 0 && memcmp(ip + 16, to, 4) == 0);
  uint32_t sum = 0; /* of a good header: all ones */
  for (int i = 0; i < 20; i += 2)
    sum += (uint32_t)ip[i] << 8 | ip[i + 1];
  ASSERT_EQ((sum & 0xFFFF) + (sum >> 16), 0xFFFFU);
  send_bytes(p, LOAD_SEND, 2, 1025); /* above the MTU */
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_LOC_LEN_ERR);
  pair_free(p);
}

TEST(null_shared_receives_serve_all)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .srq = true});
  struct load_qp second[2];
  struct load_qp_wish wish = {.transport = LOAD_RC, .sends = DEPTH, .receives = 1, .sges = 1, .opcodes = ALL};
  wish.cq = &p->a.cq;
  GOOD(ops->qp_make(&p->a.device, &wish, &second[0], &why));
  wish.cq = &p->b.cq;
  wish.srq = &p->b.srq;
  GOOD(ops->qp_make(&p->b.device, &wish, &second[1], &why));
  struct load_route there = p->a.route, back = p->b.route;
  there.remote_qpn = second[1].qpn;
  back.remote_qpn = second[0].qpn;
  GOOD(ops->qp_connect(&second[0], &there, &why));
  GOOD(ops->qp_connect(&second[1], &back, &why));
  receive(&p->b, 1, 0, 10);
  receive(&p->b, 2, 10, 10);
  receive(&p->b, 3, 20, 10);
  send_bytes(p, LOAD_SEND, 1, 10);
  struct load_sge sge = sge_of(&p->a, 0, 10);
  struct load_wr wr = wr_to(p, 2, &sge);
  unsigned done;
  ASSERT_EQ(ops->poster(&second[0], LOAD_SEND)(&second[0], &wr, 1, &done), 0);
  ASSERT_EQ(take(&p->b).qpn, p->b.qp.qpn);
  struct load_wc wc = take(&p->b);
  ASSERT(wc.qpn == second[1].qpn && wc.id == 2 && wc.status == 0);
  ASSERT_EQ(ops->post_recv(&p->b.qp, &(struct load_recv){.id = 1}, 1, &done), EINVAL);
  /* a QP that fails takes no shared receive with it */
  wr.rkey = 1;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect_nothing(&p->b);
  ASSERT_EQ(ops->poster(&second[0], LOAD_SEND)(&second[0], &wr, 1, &done), 0);
  ASSERT_EQ(take(&p->b).id, UINT64_C(3));
  ops->qp_free(&second[0]);
  ops->qp_free(&second[1]);
  pair_free(p);
}

TEST(null_posts_only_what_a_queue_pair_is_for)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_UC});
  struct load_sge sge[5] = {sge_of(&p->a, 0, 8)};
  struct load_wr wr = wr_to(p, 1, sge);
  ASSERT_EQ(post(&p->a, LOAD_READ, &wr), EINVAL);
  ASSERT_EQ(post(&p->a, LOAD_FETCH_ADD, &wr), EINVAL);
  wr.n_sge = 5;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), EINVAL);
  struct load_qp qp;
  struct load_qp_wish wish = {
      .cq = &p->a.cq, .sends = 1, .receives = 1, .sges = 1, .opcodes = 1U << LOAD_WRITE, .transport = LOAD_RC};
  GOOD(ops->qp_make(&p->a.device, &wish, &qp, &why));
  unsigned done = 9;
  wr.n_sge = 1;
  ASSERT_EQ(ops->poster(&qp, LOAD_SEND)(&qp, &wr, 1, &done), EINVAL);
  ASSERT_EQ(done, 0U);
  ASSERT_EQ(ops->poster(&qp, LOAD_WRITE)(&qp, &wr, 1, &done), EINVAL); /* still in RESET */
  ASSERT_EQ(ops->post_recv(&qp, &(struct load_recv){.id = 1}, 1, &done), EINVAL);
  ops->qp_free(&qp);
  pair_free(p);
}

TEST(null_queues_are_as_deep_as_asked)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .depth = 3});
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr[5];
  unsigned done;
  for (unsigned i = 0; i < 5; i++) {
    wr[i] = wr_to(p, i, &sge);
    wr[i].flags = i == 1 ? LOAD_SIGNALED : 0;
  }
  load_post_fn *write = ops->poster(&p->a.qp, LOAD_WRITE);
  ASSERT_EQ(write(&p->a.qp, wr, 5, &done), ENOMEM);
  ASSERT_EQ(done, 3U);
  ASSERT_EQ(write(&p->a.qp, wr, 1, &done), ENOMEM);
  expect(&p->a, 1, LOAD_WC_SUCCESS); /* tells that two are over */
  ASSERT_EQ(write(&p->a.qp, wr, 5, &done), ENOMEM);
  ASSERT_EQ(done, 2U);
  struct load_recv recv = {.id = 1};
  for (unsigned i = 0; i < DEPTH; i++)
    ASSERT_EQ(ops->post_recv(&p->b.qp, &recv, 1, &done), 0);
  ASSERT_EQ(ops->post_recv(&p->b.qp, &recv, 1, &done), ENOMEM);
  pair_free(p);
}

/* --- what fails -------------------------------------------------------------------------------------------------- */

/* After a failure of a: later sends and its receives are flushed, also those that come later. */
static void expect_flushed(struct pair *p)
{
  send_bytes(p, LOAD_WRITE, 70, 8);
  expect(&p->a, 70, LOAD_WC_WR_FLUSH_ERR);
  struct load_recv recv = {.id = 71};
  unsigned done;
  ASSERT_EQ(ops->post_recv(&p->a.qp, &recv, 1, &done), 0);
  struct load_wc wc = take(&p->a);
  ASSERT(wc.id == 71 && wc.status == LOAD_WC_WR_FLUSH_ERR);
  expect_nothing(&p->a);
}

TEST(null_bad_local_keys)
{
  static const struct {
    enum load_opcode opcode;
    int shift;         /* of the address */
    uint32_t key;      /* is added */
    unsigned access;   /* of a's memory */
    bool fails;
  } cases[] = {
      {LOAD_WRITE, 0, 0, ANY, false},     {LOAD_WRITE, 0, 1, ANY, true},  {LOAD_WRITE, 0, 1U << 31, ANY, true},
      {LOAD_WRITE, -1, 0, ANY, true},     {LOAD_WRITE, 1, 0, ANY, true},  {LOAD_SEND, 1, 0, ANY, true},
      {LOAD_WRITE, 0, 0, 0, false},       {LOAD_READ, 0, 0, 0, true},     {LOAD_READ, 0, 0, ANY, false},
      {LOAD_WRITE, 0, 0xFFFFFF, ANY, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
    ops->dereg(&p->a.device, &p->a.mr);
    GOOD(ops->reg(&p->a.device, p->a.memory, BYTES, cases[i].access, &p->a.mr, &why));
    receive(&p->b, 9, 0, BYTES);
    if (cases[i].fails)
      receive(&p->a, 3, 0, 8);
    struct load_sge sge = sge_of(&p->a, 0, BYTES);
    sge.addr += (uint64_t)(int64_t)cases[i].shift;
    sge.lkey += cases[i].key;
    struct load_wr wr = wr_to(p, 1, &sge);
    wr.flags = cases[i].fails ? 0 : LOAD_SIGNALED; /* an error completes all the same */
    ASSERT_EQ(post(&p->a, cases[i].opcode, &wr), 0);
    expect(&p->a, 1, cases[i].fails ? LOAD_WC_LOC_PROT_ERR : LOAD_WC_SUCCESS);
    if (cases[i].fails) {
      expect(&p->a, 3, LOAD_WC_WR_FLUSH_ERR);
      expect_flushed(p);
      expect_nothing(&p->b); /* nothing had left */
    }
    pair_free(p);
  }
}

TEST(null_bad_remote_keys)
{
  static const struct {
    enum load_opcode opcode;
    int shift;
    uint32_t key;
    unsigned access; /* of b's memory */
    unsigned qp;     /* access of b's QP */
    enum load_status status;
  } cases[] = {
      {LOAD_WRITE, 0, 1, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_WRITE, BYTES - 7, 0, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_WRITE, BYTES - 8, 0, ANY, ANY, LOAD_WC_SUCCESS},
      {LOAD_WRITE, -8, 0, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_WRITE, 0, 1U << 31, ANY, ANY, LOAD_WC_REM_ACCESS_ERR}, /* an lkey */
      {LOAD_WRITE_IMM, 0, 1, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_READ, 0, 1, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_FETCH_ADD, 0, 1, ANY, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_WRITE, 0, 0, LOAD_LOCAL_WRITE | LOAD_REMOTE_READ, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_READ, 0, 0, LOAD_LOCAL_WRITE | LOAD_REMOTE_WRITE, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_COMPARE_SWAP, 0, 0, LOAD_LOCAL_WRITE | LOAD_REMOTE_WRITE, ANY, LOAD_WC_REM_ACCESS_ERR},
      {LOAD_WRITE, 0, 0, ANY, LOAD_REMOTE_READ, LOAD_WC_REM_INV_REQ_ERR},
      {LOAD_READ, 0, 0, ANY, LOAD_REMOTE_WRITE, LOAD_WC_REM_INV_REQ_ERR},
      {LOAD_FETCH_ADD, 0, 0, ANY, LOAD_REMOTE_WRITE, LOAD_WC_REM_INV_REQ_ERR},
      {LOAD_FETCH_ADD, 4, 0, ANY, ANY, LOAD_WC_REM_INV_REQ_ERR}, /* not aligned */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct pair *p = pair_apart((struct wish){.transport = LOAD_RC, .access = cases[i].access});
    p->a.route = route_between(&p->a, &p->b, 0, 0);
    p->b.route = route_between(&p->b, &p->a, 0, 0);
    p->b.route.access = cases[i].qp;
    GOOD(ops->qp_connect(&p->a.qp, &p->a.route, &why));
    GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
    receive(&p->b, 9, 0, 8);
    struct load_sge sge = sge_of(&p->a, 0, 8);
    struct load_wr wr = wr_to(p, 1, &sge);
    wr.raddr += (uint64_t)(int64_t)cases[i].shift;
    wr.rkey += cases[i].key;
    ASSERT_EQ(post(&p->a, cases[i].opcode, &wr), 0);
    expect(&p->a, 1, cases[i].status);
    if (cases[i].status != LOAD_WC_SUCCESS) {
      expect_flushed(p);
      expect(&p->b, 9, LOAD_WC_WR_FLUSH_ERR); /* the target's QP fails too */
      expect_event(&p->b, cases[i].status == LOAD_WC_REM_ACCESS_ERR ? "QP_ACCESS_ERR QP " : "QP_REQ_ERR QP ", false);
    }
    expect_no_event(&p->b);
    expect_no_event(&p->a);
    pair_free(p);
  }
}

TEST(null_a_batch_stops_at_its_failure)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr[4];
  unsigned done;
  for (unsigned i = 0; i < 4; i++) {
    wr[i] = wr_to(p, i, &sge);
    wr[i].flags = 0;
    wr[i].raddr += 100 * i;
  }
  wr[2].rkey = 0;
  ASSERT_EQ(ops->poster(&p->a.qp, LOAD_WRITE)(&p->a.qp, wr, 4, &done), 0);
  ASSERT_EQ(done, 4U);
  expect(&p->a, 2, LOAD_WC_REM_ACCESS_ERR);
  expect(&p->a, 3, LOAD_WC_WR_FLUSH_ERR);
  expect_nothing(&p->a);
  ASSERT(memcmp(p->b.memory + 100, p->a.memory, 8) == 0);
  ASSERT(p->b.memory[200] == 0 && p->b.memory[300] == 0);
  pair_free(p);
}

TEST(null_keys_end_with_their_region)
{
  enum { TIMES = 40 }; /* more than there is room for at first */
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  uint32_t before[TIMES];
  for (int i = 0; i < TIMES; i++) {
    before[i] = p->b.mr.rkey;
    ops->dereg(&p->b.device, &p->b.mr);
    GOOD(ops->reg(&p->b.device, p->b.memory, BYTES, ANY, &p->b.mr, &why));
    for (int k = 0; k <= i; k++)
      ASSERT(p->b.mr.rkey != before[k]);
  }
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 1, &sge);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  wr.rkey = before[TIMES - 1];
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect(&p->a, 1, LOAD_WC_REM_ACCESS_ERR);
  pair_free(p);
}

TEST(null_many_regions_have_keys_of_their_own)
{
  enum { MANY = 500 };
  struct load_device d;
  struct load_mr mr[MANY];
  uint8_t memory[64];
  open_device(&d, "null0");
  for (int i = 0; i < MANY; i++) {
    GOOD(ops->reg(&d, memory, sizeof memory, ANY, &mr[i], &why));
    for (int k = 0; k < i; k++)
      ASSERT(mr[k].lkey != mr[i].lkey && mr[k].rkey != mr[i].lkey);
  }
  for (int i = 0; i < MANY; i++)
    ops->dereg(&d, &mr[i]);
  struct load_error e = {0};
  ASSERT(!ops->reg(&d, memory, 0, ANY, &mr[0], &e));
  ops->close(&d);
}

/* What is wrong with the way to the target. */
enum wrong { NO_SUCH_QP, OTHER_GID, OTHER_PSN, NOT_CONNECTED, OTHER_PEER, IN_ERROR, FREED, OTHER_QKEY };

static struct pair *misled(enum load_transport transport, enum wrong wrong)
{
  struct pair *p = pair_apart((struct wish){.transport = transport});
  p->a.route = route_between(&p->a, &p->b, 7, 0);
  p->b.route = route_between(&p->b, &p->a, 7, 0);
  p->a.route.remote_qpn ^= wrong == NO_SUCH_QP ? 1U << 22 : 0;
  p->a.route.dgid[15] ^= wrong == OTHER_GID ? 64 : 0;
  p->a.route.psn += wrong == OTHER_PSN ? 1 : 0;
  p->a.route.qkey += wrong == OTHER_QKEY ? 1 : 0;
  p->b.route.remote_qpn += wrong == OTHER_PEER ? 1 : 0;
  GOOD(ops->qp_connect(&p->a.qp, &p->a.route, &why));
  if (wrong != NOT_CONNECTED)
    GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
  if (wrong == IN_ERROR) {
    struct load_wr bad = {.n_sge = 1, .sge = &(struct load_sge){.length = 1}};
    ASSERT_EQ(post(&p->b, LOAD_SEND, &bad), 0);
    expect(&p->b, 0, LOAD_WC_LOC_PROT_ERR);
  }
  if (wrong == FREED)
    ops->qp_free(&p->b.qp);
  return p;
}

TEST(null_nobody_answers)
{
  static const enum wrong wrongs[] = {NO_SUCH_QP, OTHER_GID, OTHER_PSN, NOT_CONNECTED, OTHER_PEER, IN_ERROR, FREED};
  for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
    struct pair *p = misled(LOAD_RC, wrongs[i]);
    send_bytes(p, LOAD_WRITE, 1, 8);
    expect(&p->a, 1, LOAD_WC_RETRY_EXC_ERR);
    ASSERT_EQ(p->b.memory[0], 0U);
    expect_flushed(p);
    pair_free(p);
  }
}

TEST(null_unreliable_messages_to_nobody_are_lost)
{
  static const enum wrong wrongs[] = {NO_SUCH_QP, OTHER_GID, OTHER_PEER, NOT_CONNECTED, IN_ERROR, FREED};
  for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
    struct pair *p = misled(LOAD_UC, wrongs[i]);
    send_bytes(p, LOAD_WRITE, 1, 8);
    send_bytes(p, LOAD_SEND, 2, 8);
    expect(&p->a, 1, LOAD_WC_SUCCESS);
    expect(&p->a, 2, LOAD_WC_SUCCESS);
    ASSERT_EQ(p->b.memory[0], 0U);
    pair_free(p);
  }
  struct pair *p = misled(LOAD_UD, OTHER_QKEY);
  receive(&p->b, 9, 0, 100);
  send_bytes(p, LOAD_SEND, 1, 8);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect_nothing(&p->b);
  pair_free(p);
}

TEST(null_unreliable_targets_drop_what_they_refuse)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_UC});
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 1, &sge);
  wr.rkey += 1;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  send_bytes(p, LOAD_SEND, 2, 8); /* no receive */
  expect(&p->a, 2, LOAD_WC_SUCCESS);
  receive(&p->b, 9, 100, 4);
  send_bytes(p, LOAD_SEND, 3, 8); /* a short one, which stays */
  expect(&p->a, 3, LOAD_WC_SUCCESS);
  expect_nothing(&p->b);
  send_bytes(p, LOAD_SEND, 4, 4);
  expect(&p->b, 9, LOAD_WC_SUCCESS);
  ASSERT_EQ(p->b.memory[0], 0U);
  pair_free(p);
}

TEST(null_receives_that_do_not_fit)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  receive(&p->b, 8, 0, 7);
  receive(&p->b, 9, 0, 100);
  send_bytes(p, LOAD_SEND, 1, 8);
  expect(&p->a, 1, LOAD_WC_REM_INV_REQ_ERR);
  expect(&p->b, 8, LOAD_WC_LOC_LEN_ERR);
  expect(&p->b, 9, LOAD_WC_WR_FLUSH_ERR);
  expect_flushed(p);
  pair_free(p);
}

TEST(null_receives_into_foreign_memory)
{
  for (int t = 0; t < 2; t++) {
    struct pair *p = pair_make((struct wish){.transport = t == 0 ? LOAD_RC : LOAD_UC, .access = LOAD_REMOTE_WRITE});
    receive(&p->b, 8, 0, 100); /* memory that its own device may not write to */
    send_bytes(p, LOAD_SEND, 1, 8);
    expect(&p->a, 1, t == 0 ? LOAD_WC_REM_OP_ERR : LOAD_WC_SUCCESS);
    expect(&p->b, 8, LOAD_WC_LOC_PROT_ERR);
    pair_free(p);
  }
}

TEST(null_receiver_not_ready)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .rnr_retry = 0});
  send_bytes(p, LOAD_SEND, 1, 8);
  expect(&p->a, 1, LOAD_WC_RNR_RETRY_EXC_ERR);
  expect_flushed(p);
  pair_free(p);
  p = pair_make((struct wish){.transport = LOAD_RC, .rnr_retry = 2});
  uint64_t began = load_mono_ns();
  send_bytes(p, LOAD_WRITE_IMM, 1, 8);
  send_bytes(p, LOAD_WRITE, 2, 8); /* waits behind it */
  ASSERT_STR(load_status_name(wait_for(&p->a).status), "RNR_RETRY_EXC_ERR");
  ASSERT(load_mono_ns() - began >= 20000); /* two tries, 10 us apart */
  expect(&p->a, 2, LOAD_WC_WR_FLUSH_ERR);
  ASSERT_EQ(p->b.memory[0], 0U);
  pair_free(p);
}

TEST(null_waits_for_a_receive)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .rnr_retry = 7});
  send_bytes(p, LOAD_SEND, 1, 8);
  send_bytes(p, LOAD_WRITE, 2, 8);
  uint64_t until = load_mono_ns() + 1000000;
  while (load_mono_ns() < until)
    expect_nothing(&p->a);
  ASSERT_EQ(p->b.memory[0], 0U);
  receive(&p->b, 9, 100, 8);
  ASSERT_EQ(wait_for(&p->b).id, UINT64_C(9)); /* whoever polls makes it go on */
  ASSERT_EQ(wait_for(&p->a).id, UINT64_C(1));
  ASSERT_EQ(wait_for(&p->a).id, UINT64_C(2));
  pair_free(p);
}

enum { HALF_A_SECOND = 31 }; /* as an RNR timer */

/* Two requests of one QP and one of another wait; receives let them go on long before the timer does. */
TEST(null_a_receive_ends_the_wait)
{
  for (int srq = 0; srq < 2; srq++) {
    struct pair *p = pair_make(
        (struct wish){.transport = LOAD_RC, .srq = srq == 1, .rnr_retry = 1, .rnr_timer = HALF_A_SECOND});
    uint64_t began = load_mono_ns();
    send_bytes(p, LOAD_SEND, 1, 8);
    send_bytes(p, LOAD_SEND, 2, 8);
    for (uint64_t i = 1; i <= 2; i++) {
      expect_nothing(&p->a);
      receive(&p->b, 10 * i, 0, 8);
      expect(&p->b, 10 * i, LOAD_WC_SUCCESS);
      expect(&p->a, i, LOAD_WC_SUCCESS);
    }
    ASSERT(load_mono_ns() - began < 400000000);
    pair_free(p);
  }
}

/* Waiting for a receive is no try: only the timer counts. */
TEST(null_early_looks_count_nothing)
{
  struct pair *p =
      pair_make((struct wish){.transport = LOAD_RC, .srq = true, .rnr_retry = 1, .rnr_timer = HALF_A_SECOND});
  struct load_qp other[2];
  struct load_qp_wish wish = {.transport = LOAD_RC, .sends = 4, .receives = 1, .sges = 1, .opcodes = ALL};
  wish.cq = &p->a.cq;
  GOOD(ops->qp_make(&p->a.device, &wish, &other[0], &why));
  wish.cq = &p->b.cq;
  wish.srq = &p->b.srq;
  GOOD(ops->qp_make(&p->b.device, &wish, &other[1], &why));
  struct load_route there = p->a.route, back = p->b.route;
  there.remote_qpn = other[1].qpn;
  back.remote_qpn = other[0].qpn;
  GOOD(ops->qp_connect(&other[0], &there, &why));
  GOOD(ops->qp_connect(&other[1], &back, &why));
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 50, &sge);
  unsigned done;
  for (uint64_t i = 0; i < 4; i++) {
    ASSERT_EQ(ops->poster(&other[0], LOAD_SEND)(&other[0], &wr, 1, &done), 0);
    send_bytes(p, LOAD_SEND, i, 8);
  }
  for (unsigned i = 0; i < 8; i++) { /* each time one goes on and the other finds nothing again */
    receive(&p->b, i, 0, 8);
    ASSERT_EQ(take(&p->b).id, (uint64_t)i);
    ASSERT_EQ((int)take(&p->a).status, 0);
  }
  expect_nothing(&p->a);
  ops->qp_free(&other[0]);
  ops->qp_free(&other[1]);
  pair_free(p);
}

TEST(null_who_waits_may_go)
{
  for (int what = 0; what < 6; what++) {
    struct pair *p = pair_make(
        (struct wish){.transport = LOAD_RC, .srq = what % 2 == 1, .rnr_retry = 7, .rnr_timer = HALF_A_SECOND});
    send_bytes(p, LOAD_SEND, 1, 8);
    if (what < 2) {
      ops->qp_free(&p->a.qp);
      receive(&p->b, 1, 0, 8); /* finds nobody */
    } else if (what < 4) {
      ops->qp_free(&p->b.qp); /* told when the timer is over, if anybody waits for it */
      if (p->b.srq.impl != NULL)
        ops->srq_free(&p->b.srq);
    } else {
      GOOD(ops->qp_reset(&p->b.qp, &why));
      GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
      receive(&p->b, 1, 0, 8);
      ASSERT_EQ((int)wait_for(&p->a).status, 0);
    }
    pair_free(p);
  }
}

TEST(null_packets_longer_than_the_target_takes)
{
  struct pair *p = pair_apart((struct wish){.transport = LOAD_RC});
  p->a.route = route_between(&p->a, &p->b, 7, 0);
  p->b.route = route_between(&p->b, &p->a, 7, 0);
  p->b.route.mtu = 256;
  GOOD(ops->qp_connect(&p->a.qp, &p->a.route, &why));
  GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
  send_bytes(p, LOAD_WRITE, 1, 256);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  send_bytes(p, LOAD_WRITE, 2, 257);
  expect(&p->a, 2, LOAD_WC_REM_INV_REQ_ERR);
  pair_free(p);
}

TEST(null_refuses_routes_that_cannot_be)
{
  struct pair *p = pair_apart((struct wish){.transport = LOAD_RC});
  struct load_error e = {0};
  struct load_route good = route_between(&p->a, &p->b, 7, 0), bad = good;
  bad.port = 2;
  ASSERT(!ops->qp_connect(&p->a.qp, &bad, &e));
  ASSERT_CONTAINS(e.message, "port 2");
  bad = good;
  bad.sgid_index = 3;
  ASSERT(!ops->qp_connect(&p->a.qp, &bad, &e));
  bad = good;
  bad.mtu = 1500;
  ASSERT(!ops->qp_connect(&p->a.qp, &bad, &e));
  ASSERT_CONTAINS(e.message, "1500");
  bad = good;
  bad.max_rd_atomic = 17;
  ASSERT(!ops->qp_connect(&p->a.qp, &bad, &e));
  ASSERT(ops->qp_connect(&p->a.qp, &good, &e));
  ASSERT(!ops->qp_connect(&p->a.qp, &good, &e)); /* not from RTS */
  pair_free(p);
}

TEST(null_completion_queues_overrun)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .entries = 5});
  for (uint64_t i = 0; i < 5; i++)
    send_bytes(p, LOAD_WRITE, i, 8);
  expect_no_event(&p->a);
  send_bytes(p, LOAD_WRITE, 5, 8);
  expect_event(&p->a, "CQ_ERR", true);
  for (uint64_t i = 0; i < 5; i++)
    expect(&p->a, i, LOAD_WC_SUCCESS);
  send_bytes(p, LOAD_WRITE, 6, 8);
  expect_nothing(&p->a); /* it is broken for good */
  expect_no_event(&p->a);
  pair_free(p);
}

/* --- reset and recovery ------------------------------------------------------------------------------------------ */

TEST(null_recovers_by_reset)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 1, &sge);
  wr.rkey = 0;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  for (int i = 0; i < DEPTH - 1; i++) /* fills the queue with flushed ones */
    send_bytes(p, LOAD_WRITE, 2, 8);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), ENOMEM);
  GOOD(ops->qp_reset(&p->a.qp, &why));
  GOOD(ops->qp_reset(&p->b.qp, &why));
  join(p, 7, 0);
  for (int i = 0; i < DEPTH; i++) /* there is room */
    send_bytes(p, LOAD_WRITE, 3, 8);
  expect(&p->a, 1, LOAD_WC_REM_ACCESS_ERR);
  for (int i = 0; i < DEPTH - 1; i++)
    expect(&p->a, 2, LOAD_WC_WR_FLUSH_ERR);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), ENOMEM); /* what was before makes none */
  for (int i = 0; i < DEPTH; i++)
    expect(&p->a, 3, LOAD_WC_SUCCESS);
  send_bytes(p, LOAD_WRITE, 4, 8);
  pair_free(p);
}

/* Completions of a queue pair that is gone say nothing of one that got its number. */
TEST(null_old_completions_make_no_room)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .depth = 4});
  struct load_qp_wish wish = {.cq = &p->a.cq, .sends = 4, .receives = 1, .sges = 1, .opcodes = ALL};
  uint32_t number = p->a.qp.qpn;
  send_bytes(p, LOAD_WRITE, 1, 8);
  send_bytes(p, LOAD_WRITE, 2, 8);
  do {
    ops->qp_free(&p->a.qp);
    GOOD(ops->qp_make(&p->a.device, &wish, &p->a.qp, &why));
  } while (p->a.qp.qpn != number);
  GOOD(ops->qp_reset(&p->b.qp, &why));
  join(p, 7, 0);
  for (uint64_t i = 3; i <= 6; i++)
    send_bytes(p, LOAD_WRITE, i, 8);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_SUCCESS);
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 7, &sge);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), ENOMEM);
  expect(&p->a, 3, LOAD_WC_SUCCESS);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0);
  pair_free(p);
}

TEST(null_may_be_freed_with_work_under_way)
{
  static const char *const names[] = {"null0:latency=1s", "null0:hang_after=2", "null0:rate=1kbps", "null0:reorder=1"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    for (int how = 0; how < 3; how++) {
      struct pair *p = pair_make((struct wish){.transport = LOAD_UC, .a = names[i], .b = "null1:latency=1s"});
      receive(&p->b, 1, 0, 100);
      for (uint64_t k = 0; k < 10; k++)
        send_bytes(p, LOAD_SEND, k, 8);
      if (how == 0) {
        GOOD(ops->qp_reset(&p->a.qp, &why));
        struct load_wc wc;
        while (ops->poll(&p->a.cq, &wc, 1) > 0)
          ASSERT_EQ((int)wc.status, 0);
      } else {
        ops->qp_free(how == 1 ? &p->a.qp : &p->b.qp);
      }
      pair_free(p);
    }
  }
}

TEST(null_reset_forgets_receives)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  receive(&p->b, 9, 0, 8);
  GOOD(ops->qp_reset(&p->b.qp, &why));
  GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
  expect_nothing(&p->b);
  send_bytes(p, LOAD_SEND, 1, 8);
  expect(&p->a, 1, LOAD_WC_RNR_RETRY_EXC_ERR);
  pair_free(p);
}

/* --- time -------------------------------------------------------------------------------------------------------- */

TEST(null_latency)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:latency=50ms"});
  receive(&p->b, 9, 100, 8);
  uint64_t began = load_mono_ns();
  send_bytes(p, LOAD_WRITE, 1, 8);
  send_bytes(p, LOAD_SEND, 2, 8);
  expect_nothing(&p->a);
  ASSERT_EQ(p->b.memory[0], 0U); /* has not arrived */
  ASSERT_EQ(wait_for(&p->b).id, UINT64_C(9));
  ASSERT(load_mono_ns() - began >= 49990000);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_SUCCESS);
  ASSERT(memcmp(p->b.memory, p->a.memory, 8) == 0);
  pair_free(p);
}

/* Latency is not paid once a message, and the rate is: 100 of 1000 bytes at 100 Mbit/s take 8 ms. */
TEST(null_rate)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:rate=100Mbps,latency=3ms", .depth = 100});
  uint64_t began = load_mono_ns();
  for (uint64_t i = 0; i < 100; i++)
    send_bytes(p, LOAD_WRITE, i, 1000);
  uint64_t first = 0;
  for (uint64_t i = 0; i < 100; i++) {
    struct load_wc wc = wait_for(&p->a);
    ASSERT_EQ(wc.id, i);
    first = i == 0 ? load_mono_ns() : first;
  }
  double all = (double)(load_mono_ns() - began);
  ASSERT(first - began >= 3079000);
  ASSERT(all >= 10.99e6 && all < 200e6);
  pair_free(p);
}

/* One QP is held to 8 Mbit/s; another one on the same port is not, though it was posted later. */
TEST(null_paces_queue_pairs)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  struct load_qp other;
  struct load_qp_wish wish = {.cq = &p->a.cq, .sends = DEPTH, .receives = 1, .sges = 1, .opcodes = ALL};
  GOOD(ops->qp_make(&p->a.device, &wish, &other, &why));
  GOOD(ops->qp_connect(&other, &p->a.route, &why)); /* nobody is there for it, which it is told */
  GOOD(ops->qp_pace(&p->a.qp, 8000000, &why));
  uint64_t began = load_mono_ns();
  for (uint64_t i = 0; i < 11; i++)
    send_bytes(p, LOAD_WRITE, i, 1000);
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 77, &sge);
  unsigned done;
  ASSERT_EQ(ops->poster(&other, LOAD_WRITE)(&other, &wr, 1, &done), 0);
  uint64_t ids[12];
  for (int i = 0; i < 12; i++)
    ids[i] = wait_for(&p->a).id;
  ASSERT(load_mono_ns() - began >= 9990000); /* ten gaps of 1 ms */
  ASSERT(ids[0] == 77 || ids[1] == 77);
  ASSERT_EQ(ids[11], UINT64_C(10));
  GOOD(ops->qp_pace(&p->a.qp, 0, &why));
  send_bytes(p, LOAD_WRITE, 5, 1000);
  expect(&p->a, 5, LOAD_WC_SUCCESS);
  ops->qp_free(&other);
  pair_free(p);
}

TEST(null_completions_carry_time)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .timestamps = true});
  uint64_t before = load_ticks(), began = load_mono_ns();
  send_bytes(p, LOAD_WRITE, 1, 8);
  uint64_t first = take(&p->a).time;
  while (load_mono_ns() - began < 5000000) {
  }
  send_bytes(p, LOAD_WRITE, 2, 8);
  uint64_t second = take(&p->a).time, span = load_mono_ns() - began;
  ASSERT(first >= before && second > first && second <= load_ticks());
  double ns = (double)(second - first) * ops->tick_ns(&p->a.device);
  ASSERT(ns > 0.99 * 4.5e6 && ns < 1.01 * (double)span);
  pair_free(p);
  p = pair_make((struct wish){.transport = LOAD_RC});
  send_bytes(p, LOAD_WRITE, 1, 8);
  ASSERT_EQ(take(&p->a).time, UINT64_C(0)); /* was not asked for */
  pair_free(p);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static bool readable(const struct side *s, int ms)
{
  struct pollfd fd = {.fd = s->cq.fd, .events = POLLIN};
  return poll(&fd, 1, ms) == 1;
}

TEST(null_events_come_when_armed)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC});
  ASSERT(p->a.cq.fd >= 0);
  send_bytes(p, LOAD_WRITE, 1, 8);
  ASSERT(!readable(&p->a, 5)); /* not armed */
  ASSERT(ops->arm(&p->a.cq));
  ASSERT(!readable(&p->a, 5)); /* what was there before does not count */
  send_bytes(p, LOAD_WRITE, 2, 8);
  ASSERT(readable(&p->a, 1000));
  ops->acknowledge(&p->a.cq);
  send_bytes(p, LOAD_WRITE, 3, 8);
  ASSERT(!readable(&p->a, 5)); /* one arming, one event */
  ASSERT(ops->arm(&p->b.cq));
  receive(&p->b, 9, 0, 8);
  send_bytes(p, LOAD_SEND, 4, 8);
  ASSERT(readable(&p->b, 1000));
  pair_free(p);
}

/* Who sleeps is woken when something is due, whether it was posted before or after the arming. */
TEST(null_events_wait_for_what_is_due)
{
  for (int late = 0; late < 2; late++) {
    struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:latency=20ms"});
    uint64_t began = load_mono_ns();
    if (late == 0)
      send_bytes(p, LOAD_WRITE, 1, 8);
    ASSERT(ops->arm(&p->a.cq));
    if (late == 1)
      send_bytes(p, LOAD_WRITE, 1, 8);
    ASSERT(readable(&p->a, 2000));
    ASSERT(load_mono_ns() - began >= 19900000);
    ops->acknowledge(&p->a.cq);
    (void)wait_for(&p->a);
    pair_free(p);
  }
}

/* The target sleeps, and the source never looks again. */
TEST(null_a_sleeping_target_gets_what_is_due)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:latency=5ms"});
  receive(&p->b, 9, 0, 8);
  ASSERT(ops->arm(&p->b.cq));
  send_bytes(p, LOAD_SEND, 1, 8);
  ASSERT(readable(&p->b, 2000));
  ops->acknowledge(&p->b.cq);
  expect(&p->b, 9, LOAD_WC_SUCCESS);
  pair_free(p);
}

TEST(null_moderates_events)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .moderate_count = 3, .moderate_period_us = 60000});
  ASSERT(ops->arm(&p->a.cq));
  uint64_t began = load_mono_ns();
  send_bytes(p, LOAD_WRITE, 1, 8);
  send_bytes(p, LOAD_WRITE, 2, 8);
  ASSERT(!readable(&p->a, 0));
  send_bytes(p, LOAD_WRITE, 3, 8);
  bool soon = readable(&p->a, 1000);
  ASSERT(soon && (load_mono_ns() - began < 59000000 || load_mono_ns() - began > 1000000000));
  ops->acknowledge(&p->a.cq);
  ASSERT(ops->arm(&p->a.cq));
  began = load_mono_ns();
  send_bytes(p, LOAD_WRITE, 4, 8);
  ASSERT(readable(&p->a, 2000)); /* time has passed */
  ASSERT(load_mono_ns() - began >= 59900000);
  pair_free(p);
}

/* --- faults by option -------------------------------------------------------------------------------------------- */

/* Sends numbered messages of 8 bytes over a pair; returns which arrived, in order, in `seen`. */
static unsigned exchange(const char *name, enum load_transport transport, unsigned n, uint64_t *seen)
{
  struct pair *p = pair_make((struct wish){.transport = transport, .a = name});
  unsigned arrived = 0;
  for (uint64_t i = 0; i < n; i++) {
    memcpy(p->a.memory, &i, sizeof i);
    receive(&p->b, 1, 64, 64);
    receive(&p->b, 2, 256, 64);
    send_bytes(p, LOAD_SEND, i, 8);
    expect(&p->a, i, LOAD_WC_SUCCESS);
    struct load_wc wc;
    unsigned came = 0;
    uint64_t values[2]; /* which of the receives is next depends on what came before */
    for (; ops->poll(&p->b.cq, &wc, 1) == 1; came++) {
      ASSERT(came < 2);
      memcpy(&values[came], p->b.memory + (wc.id == 1 ? 64 : 256), sizeof values[came]);
      seen[arrived + came] = values[came];
    }
    arrived += came;
    GOOD(ops->qp_reset(&p->b.qp, &why)); /* no receive is left over */
    GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
  }
  pair_free(p);
  return arrived;
}

enum { MANY = 2000 };

TEST(null_loses_messages)
{
  uint64_t seen[2 * MANY], again[2 * MANY];
  unsigned n = exchange("null0:loss=0.25", LOAD_UC, MANY, seen);
  ASSERT_NEAR((double)n, 0.75 * MANY, 4 * sqrt(MANY * 0.25 * 0.75));
  for (unsigned i = 1; i < n; i++)
    ASSERT(seen[i] > seen[i - 1]);
  ASSERT_EQ(exchange("null0:loss=25%", LOAD_UC, MANY, again), n); /* the same seed, the same losses */
  ASSERT(memcmp(seen, again, n * sizeof seen[0]) == 0);
  unsigned other = exchange("null0:loss=25%,seed=2", LOAD_UC, MANY, again);
  ASSERT(other != n || memcmp(seen, again, n * sizeof seen[0]) != 0);
  ASSERT_EQ(exchange("null0:loss=1", LOAD_RC, 50, seen), 50U); /* RC repairs */
  ASSERT_EQ(exchange("null0:loss=1,unreliable=on", LOAD_RC, 50, seen), 0U);
}

TEST(null_doubles_messages)
{
  uint64_t seen[2 * MANY];
  unsigned n = exchange("null0:dup=0.25", LOAD_UC, MANY, seen);
  ASSERT_NEAR((double)n, 1.25 * MANY, 4 * sqrt(MANY * 0.25 * 0.75));
  for (unsigned i = 1; i < n; i++)
    ASSERT(seen[i] == seen[i - 1] || seen[i] == seen[i - 1] + 1);
  ASSERT_EQ(exchange("null0:dup=1", LOAD_RC, 50, seen), 50U);
}

TEST(null_reorders_messages)
{
  uint64_t seen[2 * MANY];
  unsigned n = exchange("null0:reorder=0.25", LOAD_UC, MANY, seen), swapped = 0;
  ASSERT(n == MANY || n == MANY - 1); /* the last one may still be under way */
  for (unsigned i = 0; i < n; i++) {
    if (seen[i] == i)
      continue;
    ASSERT(seen[i] == i + 1 && seen[i + 1] == i);
    swapped++;
    i++;
  }
  /* a held one is released by the next: a share of p / (1 + p) of the messages is held */
  ASSERT_NEAR((double)swapped, MANY * 0.2, 4 * sqrt(MANY * 0.2));
}

TEST(null_delivers_a_held_message_that_none_follows)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_UC, .a = "null0:reorder=1"});
  uint64_t began = load_mono_ns();
  receive(&p->b, 9, 0, 8);
  ASSERT(ops->arm(&p->b.cq));
  send_bytes(p, LOAD_SEND, 1, 8);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  uint8_t sent[8];
  memcpy(sent, p->a.memory, 8);
  memset(p->a.memory, 0xEE, 8); /* ours again: it was completed */
  ASSERT(readable(&p->b, 2000));
  ASSERT_EQ(wait_for(&p->b).id, UINT64_C(9));
  ASSERT(load_mono_ns() - began >= 990000);
  ASSERT(memcmp(p->b.memory, sent, 8) == 0);
  pair_free(p);
}

static unsigned wrong_bytes(const uint8_t *a, const uint8_t *b, unsigned n)
{
  unsigned wrong = 0;
  for (unsigned i = 0; i < n; i++)
    wrong += a[i] != b[i] ? 1 : 0;
  return wrong;
}

TEST(null_corrupts_one_byte)
{
  static const enum load_opcode opcodes[] = {LOAD_WRITE, LOAD_SEND, LOAD_READ};
  for (int i = 0; i < 3; i++) {
    struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:corrupt=1,unreliable=on"});
    receive(&p->b, 9, 0, 1000);
    if (opcodes[i] == LOAD_READ)
      memcpy(p->b.memory, p->a.memory + 3000, 1000);
    send_bytes(p, opcodes[i], 1, 1000);
    expect(&p->a, 1, LOAD_WC_SUCCESS);
    ASSERT_EQ(wrong_bytes(p->a.memory, p->b.memory, 1000), 1U);
    pair_free(p);
  }
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:corrupt=1"});
  send_bytes(p, LOAD_WRITE, 1, 1000);
  ASSERT_EQ(wrong_bytes(p->a.memory, p->b.memory, 1000), 0U); /* RC repairs */
  pair_free(p);
  p = pair_make((struct wish){.transport = LOAD_UD, .a = "null0:corrupt=1"});
  receive(&p->b, 9, 0, 1000);
  send_bytes(p, LOAD_SEND, 1, 500);
  ASSERT_EQ(wrong_bytes(p->a.memory, p->b.memory + GRH, 500), 1U);
  pair_free(p);
}

TEST(null_moves_no_data_when_asked)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:data=off"});
  receive(&p->b, 9, 100, 100);
  send_bytes(p, LOAD_WRITE, 1, 100);
  send_bytes(p, LOAD_SEND_IMM, 2, 100);
  struct load_wc wc = take(&p->b);
  ASSERT(wc.bytes == 100 && wc.imm == 0x01020304);
  ASSERT_EQ(wrong_bytes(p->b.memory, (const uint8_t[200]){0}, 200), 0U);
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 3, &sge);
  wr.rkey++;
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), 0); /* keys are looked at all the same */
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_SUCCESS);
  expect(&p->a, 3, LOAD_WC_REM_ACCESS_ERR);
  pair_free(p);
}

TEST(null_dies)
{
  for (int who = 0; who < 2; who++) { /* the source's device, the target's */
    struct pair *p = pair_make((struct wish){.transport = LOAD_RC,
                                             .a = who == 0 ? "null0:die_after=3" : "null0",
                                             .b = who == 1 ? "null1:die_after=3" : "null1"});
    struct side *dead = who == 0 ? &p->a : &p->b;
    receive(dead, 9, 0, 8);
    for (uint64_t i = 0; i < 3; i++) {
      expect_no_event(dead);
      send_bytes(p, LOAD_WRITE, i, 8);
      expect(&p->a, i, LOAD_WC_SUCCESS);
    }
    expect_event(dead, "DEVICE_FATAL", true);
    expect_no_event(dead);
    expect(dead, 9, LOAD_WC_WR_FLUSH_ERR);
    send_bytes(p, LOAD_WRITE, 4, 8);
    expect(&p->a, 4, who == 0 ? LOAD_WC_WR_FLUSH_ERR : LOAD_WC_RETRY_EXC_ERR);
    struct load_error e = {0};
    struct load_mr mr;
    struct load_port port;
    ASSERT(!ops->reg(&dead->device, p->a.memory, 8, ANY, &mr, &e));
    ASSERT_EQ(e.number, EIO);
    ASSERT(!ops->qp_reset(&dead->qp, &e));
    ASSERT(!ops->port(&dead->device, 1, &port, &e));
    ASSERT_EQ((int)e.kind, (int)LOAD_PORT_DOWN);
    pair_free(p);
  }
}

TEST(null_fails_a_queue_pair_once)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:qp_error_after=2"});
  send_bytes(p, LOAD_WRITE, 0, 8);
  send_bytes(p, LOAD_WRITE, 1, 8);
  send_bytes(p, LOAD_WRITE, 2, 8);
  expect(&p->a, 0, LOAD_WC_SUCCESS);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  expect(&p->a, 2, LOAD_WC_REM_OP_ERR);
  expect_flushed(p);
  GOOD(ops->qp_reset(&p->a.qp, &why));
  GOOD(ops->qp_connect(&p->a.qp, &p->a.route, &why));
  for (uint64_t i = 0; i < 10; i++) {
    send_bytes(p, LOAD_WRITE, i, 8);
    expect(&p->a, i, LOAD_WC_SUCCESS);
  }
  pair_free(p);
}

TEST(null_hangs)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = "null0:hang_after=2", .depth = 5});
  for (uint64_t i = 0; i < 5; i++)
    send_bytes(p, LOAD_WRITE, i, 8);
  expect(&p->a, 0, LOAD_WC_SUCCESS);
  expect(&p->a, 1, LOAD_WC_SUCCESS);
  ASSERT(ops->arm(&p->a.cq));
  ASSERT(!readable(&p->a, 20));
  expect_nothing(&p->a);
  send_bytes(p, LOAD_WRITE, 5, 8);
  send_bytes(p, LOAD_WRITE, 6, 8);
  struct load_sge sge = sge_of(&p->a, 0, 8);
  struct load_wr wr = wr_to(p, 7, &sge);
  ASSERT_EQ(post(&p->a, LOAD_WRITE, &wr), ENOMEM);
  expect_no_event(&p->a);
  pair_free(p);
}

/* --- threads ----------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 3000, BATCH = 8 };

struct hammer {
  struct side *self, *peer;
  bool counter; /* adds to the word of the other in place of sends */
  uint64_t sent, received, failed;
};

/* Sends and receives at once, as a full mesh does; ends when all of both has come. */
static void *hammer(void *argument)
{
  struct hammer *h = argument;
  struct side *s = h->self;
  uint64_t posted = 0;
  load_post_fn *send = ops->poster(&s->qp, h->counter ? LOAD_FETCH_ADD : LOAD_SEND);
  struct load_sge sge = sge_of(s, 0, 8);
  struct load_wr wr = {.flags = LOAD_SIGNALED,
                       .raddr = (uint64_t)(uintptr_t)(h->peer->memory + 64),
                       .rkey = h->peer->mr.rkey,
                       .n_sge = 1,
                       .sge = &sge,
                       .compare_add = 1};
  uint64_t expected = h->counter ? 0 : ROUNDS, late = load_mono_ns() + UINT64_C(50000000000);
  while ((h->sent < ROUNDS || h->received < expected) && load_mono_ns() < late) {
    unsigned done;
    if (posted < ROUNDS && posted - h->sent < BATCH && send(&s->qp, &wr, 1, &done) == 0)
      posted++;
    struct load_wc wc[16];
    unsigned n = ops->poll(&s->cq, wc, 16);
    for (unsigned i = 0; i < n; i++) {
      h->failed += wc[i].status != 0 ? 1 : 0;
      if (wc[i].recv) {
        h->received++;
        receive(s, 1, 128, 64);
      } else {
        h->sent++;
      }
    }
  }
  return NULL;
}

static void hammer_both(const char *a, const char *b, bool counter)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_RC, .a = a, .b = b, .rnr_retry = 7});
  for (unsigned i = 0; i < DEPTH; i++) {
    receive(&p->a, 1, 128, 64);
    receive(&p->b, 1, 128, 64);
  }
  memset(p->a.memory, 0, 128);
  struct hammer h[2] = {{.self = &p->a, .peer = &p->b, .counter = counter},
                        {.self = &p->b, .peer = &p->a, .counter = counter}};
  pthread_t thread[2];
  for (int i = 0; i < 2; i++)
    ASSERT_EQ(pthread_create(&thread[i], NULL, hammer, &h[i]), 0);
  for (int i = 0; i < 2; i++)
    ASSERT_EQ(pthread_join(thread[i], NULL), 0);
  for (int i = 0; i < 2; i++) {
    ASSERT_EQ(h[i].sent, (uint64_t)ROUNDS);
    ASSERT_EQ(h[i].received, counter ? UINT64_C(0) : (uint64_t)ROUNDS);
    ASSERT_EQ(h[i].failed, UINT64_C(0));
  }
  if (counter) {
    uint64_t value;
    memcpy(&value, p->b.memory + 64, sizeof value);
    ASSERT_EQ(value, (uint64_t)ROUNDS);
  }
  pair_free(p);
}

TEST(null_threads_send_to_each_other)
{
  hammer_both("null0", "null1", false);
  hammer_both("null0:latency=5us", "null1:rate=100Mbps", false);
}

TEST(null_threads_share_a_device)
{
  hammer_both("null0", "null0", false);
}

TEST(null_threads_add_to_a_word)
{
  hammer_both("null0", "null1", true);
  hammer_both("null0:latency=2us", "null1:latency=2us", true);
}

/* While one thread writes, the other takes its queue pair and its memory away and brings them back. */
static void *disturb(void *argument)
{
  struct pair *p = argument;
  for (int i = 0; i < 300; i++) {
    struct load_wc wc;
    GOOD(ops->qp_reset(&p->b.qp, &why));
    ops->dereg(&p->b.device, &p->b.mr);
    GOOD(ops->reg(&p->b.device, p->b.memory, BYTES, ANY, &p->b.mr, &why));
    GOOD(ops->qp_connect(&p->b.qp, &p->b.route, &why));
    receive(&p->b, 1, 128, 64);
    while (ops->poll(&p->b.cq, &wc, 1) > 0) {
    }
  }
  return NULL;
}

TEST(null_threads_take_things_away)
{
  struct pair *p = pair_make((struct wish){.transport = LOAD_UC});
  pthread_t thread;
  struct load_sge sge = sge_of(&p->a, 0, 4096);
  struct load_wr wr = wr_to(p, 1, &sge);
  ASSERT_EQ(pthread_create(&thread, NULL, disturb, p), 0);
  for (int i = 0; i < 20000; i++) {
    struct load_wc wc;
    ASSERT_EQ(post(&p->a, i % 2 == 0 ? LOAD_WRITE : LOAD_SEND, &wr), 0);
    while (ops->poll(&p->a.cq, &wc, 1) > 0)
      ASSERT_EQ((int)wc.status, 0);
  }
  ASSERT_EQ(pthread_join(thread, NULL), 0);
  pair_free(p);
}
