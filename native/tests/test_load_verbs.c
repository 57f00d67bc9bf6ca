/* The verbs device without a device: what is handed to a provider (one of this file), GIDs, and what sysfs tells. */
#include "test.h"

#ifdef ROCE_LOAD_VERBS

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/device_verbs.h"
#include "load/op.h"

/* --- a provider that writes down what it is told
 * ---------------------------------------------------------------------- */

struct provider {
  struct ibv_qp_ex ex; /* first: what it is called with is this */
  struct ibv_context context;
  char log[4096];
  size_t used;
  int answer;                  /* of wr_complete and post_send */
  unsigned calls, refuse_from; /* post_send refuses the request with this index of a call */
};

static void note(struct ibv_qp_ex *q, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct ibv_qp_ex *q, const char *format, ...)
{
  struct provider *p = (struct provider *)q;
  va_list args;
  va_start(args, format);
  p->used += (size_t)vsnprintf(p->log + p->used, sizeof p->log - p->used, format, args);
  va_end(args);
  ASSERT(p->used < sizeof p->log);
}

static void on_start(struct ibv_qp_ex *q)
{
  note(q, "start\n");
}

static int on_complete(struct ibv_qp_ex *q)
{
  note(q, "complete\n");
  return ((struct provider *)q)->answer;
}

static void on_write(struct ibv_qp_ex *q, uint32_t rkey, uint64_t raddr)
{
  note(q, "%d:%u write %u %#x", (int)q->wr_id, q->wr_flags, rkey, (unsigned)raddr);
}

static void on_write_imm(struct ibv_qp_ex *q, uint32_t rkey, uint64_t raddr, __be32 imm)
{
  note(q, "%d:%u write_imm %u %#x %#x", (int)q->wr_id, q->wr_flags, rkey, (unsigned)raddr, imm);
}

static void on_read(struct ibv_qp_ex *q, uint32_t rkey, uint64_t raddr)
{
  note(q, "%d:%u read %u %#x", (int)q->wr_id, q->wr_flags, rkey, (unsigned)raddr);
}

static void on_send(struct ibv_qp_ex *q)
{
  note(q, "%d:%u send", (int)q->wr_id, q->wr_flags);
}

static void on_send_imm(struct ibv_qp_ex *q, __be32 imm)
{
  note(q, "%d:%u send_imm %#x", (int)q->wr_id, q->wr_flags, imm);
}

static void on_fetch_add(struct ibv_qp_ex *q, uint32_t rkey, uint64_t raddr, uint64_t add)
{
  note(q, "%d:%u fetch_add %u %#x %d", (int)q->wr_id, q->wr_flags, rkey, (unsigned)raddr, (int)add);
}

static void on_compare_swap(struct ibv_qp_ex *q, uint32_t rkey, uint64_t raddr, uint64_t compare, uint64_t swap)
{
  note(q, "%d:%u compare_swap %u %#x %d %d", (int)q->wr_id, q->wr_flags, rkey, (unsigned)raddr, (int)compare,
       (int)swap);
}

static void on_ud_addr(struct ibv_qp_ex *q, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
  note(q, " to %#x %u %#x", (unsigned)(uintptr_t)ah, qpn, qkey);
}

static void on_sge(struct ibv_qp_ex *q, uint32_t lkey, uint64_t addr, uint32_t length)
{
  note(q, " | %u %#x %u\n", lkey, (unsigned)addr, length);
}

static void on_sge_list(struct ibv_qp_ex *q, size_t n, const struct ibv_sge *list)
{
  note(q, " |");
  for (size_t i = 0; i < n; i++)
    note(q, " %u %#x %u", list[i].lkey, (unsigned)list[i].addr, list[i].length);
  note(q, "\n");
}

static void on_inline(struct ibv_qp_ex *q, void *addr, size_t length)
{
  note(q, " = %#x %zu\n", (unsigned)(uintptr_t)addr, length);
}

static void on_inline_list(struct ibv_qp_ex *q, size_t n, const struct ibv_data_buf *list)
{
  note(q, " =");
  for (size_t i = 0; i < n; i++)
    note(q, " %#x %zu", (unsigned)(uintptr_t)list[i].addr, list[i].length);
  note(q, "\n");
}

static void note_chained(struct ibv_qp_ex *q, const struct ibv_send_wr *wr)
{
  note(q, "%d:%u opcode %d", (int)wr->wr_id, wr->send_flags, (int)wr->opcode);
  if (wr->opcode == IBV_WR_SEND_WITH_IMM || wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM)
    note(q, " imm %#x", wr->imm_data);
  if (q->qp_base.qp_type == IBV_QPT_UD)
    note(q, " to %#x %u %#x", (unsigned)(uintptr_t)wr->wr.ud.ah, wr->wr.ud.remote_qpn, wr->wr.ud.remote_qkey);
  else if (wr->opcode == IBV_WR_ATOMIC_CMP_AND_SWP || wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
    note(q, " %u %#x %d %d", wr->wr.atomic.rkey, (unsigned)wr->wr.atomic.remote_addr, (int)wr->wr.atomic.compare_add,
         (int)wr->wr.atomic.swap);
  else if (wr->opcode != IBV_WR_SEND && wr->opcode != IBV_WR_SEND_WITH_IMM)
    note(q, " %u %#x", wr->wr.rdma.rkey, (unsigned)wr->wr.rdma.remote_addr);
  note(q, " |");
  for (int i = 0; i < wr->num_sge; i++)
    note(q, " %u %#x %u", wr->sg_list[i].lkey, (unsigned)wr->sg_list[i].addr, wr->sg_list[i].length);
  note(q, "\n");
}

static int on_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
  struct provider *p = (struct provider *)qp;
  p->calls++;
  for (unsigned i = 0; wr != NULL; wr = wr->next, i++) {
    if (p->answer != 0 && i == p->refuse_from) {
      *bad = wr;
      return p->answer;
    }
    note_chained(&p->ex, wr);
  }
  return 0;
}

static struct provider provider(enum ibv_qp_type type)
{
  struct provider p = {.ex = {.wr_start = on_start,
                              .wr_complete = on_complete,
                              .wr_rdma_write = on_write,
                              .wr_rdma_write_imm = on_write_imm,
                              .wr_rdma_read = on_read,
                              .wr_send = on_send,
                              .wr_send_imm = on_send_imm,
                              .wr_atomic_fetch_add = on_fetch_add,
                              .wr_atomic_cmp_swp = on_compare_swap,
                              .wr_set_ud_addr = on_ud_addr,
                              .wr_set_sge = on_sge,
                              .wr_set_sge_list = on_sge_list,
                              .wr_set_inline_data = on_inline,
                              .wr_set_inline_data_list = on_inline_list}};
  p.ex.qp_base.qp_type = type;
  p.context.ops.post_send = on_post_send;
  return p;
}

/* --- posting
 * ---------------------------------------------------------------------------------------------------------- */

static const struct load_sge elements[] = {{0x1000, 64, 7}, {0x2000, 32, 8}, {0x3000, 16, 9}};
static const struct load_wr two[] = {
    {.id = 1, .imm = 0xa1, .raddr = 0x500, .rkey = 3, .n_sge = 1, .sge = elements, .compare_add = 4, .swap = 5},
    {.id = 2,
     .flags = LOAD_SIGNALED,
     .imm = 0xa2,
     .raddr = 0x600,
     .rkey = 3,
     .n_sge = 1,
     .sge = elements + 1,
     .compare_add = 5,
     .swap = 6},
};

/* Posts by the extended API; `plain` as a QP of one element without inline. Returns what the function returned. */
static int post_wr(struct provider *p, enum load_opcode opcode, bool ud, bool plain, const struct load_wr *wr,
                   unsigned n, unsigned *done)
{
  struct load_verbs_qp q = {.qp = &p->ex.qp_base,
                            .ex = &p->ex,
                            .ah = (struct ibv_ah *)(uintptr_t)0xaa,
                            .remote_qpn = 77,
                            .qkey = 0x1111,
                            .transport = ud ? LOAD_UD : LOAD_RC,
                            .plain = plain};
  struct load_qp qp = {.impl = &q, .fast = &p->ex};
  p->used = 0;
  load_post_fn *function = load_verbs_poster(&qp, opcode);
  ASSERT(function != NULL);
  return function(&qp, wr, n, done);
}

static void each_verb_is_posted(bool plain)
{
  static const struct {
    enum load_opcode opcode;
    const char *log;
  } cases[] = {
      {LOAD_WRITE, "start\n1:0 write 3 0x500 | 7 0x1000 64\n2:2 write 3 0x600 | 8 0x2000 32\ncomplete\n"},
      {LOAD_WRITE_IMM,
       "start\n1:0 write_imm 3 0x500 0xa1 | 7 0x1000 64\n2:2 write_imm 3 0x600 0xa2 | 8 0x2000 32\ncomplete\n"},
      {LOAD_READ, "start\n1:0 read 3 0x500 | 7 0x1000 64\n2:2 read 3 0x600 | 8 0x2000 32\ncomplete\n"},
      {LOAD_SEND, "start\n1:0 send | 7 0x1000 64\n2:2 send | 8 0x2000 32\ncomplete\n"},
      {LOAD_SEND_IMM, "start\n1:0 send_imm 0xa1 | 7 0x1000 64\n2:2 send_imm 0xa2 | 8 0x2000 32\ncomplete\n"},
      {LOAD_FETCH_ADD,
       "start\n1:0 fetch_add 3 0x500 4 | 7 0x1000 64\n2:2 fetch_add 3 0x600 5 | 8 0x2000 32\ncomplete\n"},
      {LOAD_COMPARE_SWAP,
       "start\n1:0 compare_swap 3 0x500 4 5 | 7 0x1000 64\n2:2 compare_swap 3 0x600 5 6 | 8 0x2000 32\ncomplete\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct provider p = provider(IBV_QPT_RC);
    unsigned done = 9;
    ASSERT_EQ(post_wr(&p, cases[i].opcode, false, plain, two, 2, &done), 0);
    ASSERT_EQ(done, 2U);
    ASSERT_STR(p.log, cases[i].log);
  }
}

static void each_verb_is_posted_by_both_loops(void)
{
  each_verb_is_posted(true);
  each_verb_is_posted(false);
}

static void ud_sends_are_addressed(void)
{
  for (int plain = 0; plain < 2; plain++) {
    struct provider p = provider(IBV_QPT_UD);
    unsigned done = 0;
    ASSERT_EQ(post_wr(&p, LOAD_SEND, true, plain != 0, two, 1, &done), 0);
    ASSERT_STR(p.log, "start\n1:0 send to 0xaa 77 0x1111 | 7 0x1000 64\ncomplete\n");
    ASSERT_EQ(post_wr(&p, LOAD_SEND_IMM, true, plain != 0, two, 1, &done), 0);
    ASSERT_STR(p.log, "start\n1:0 send_imm 0xa1 to 0xaa 77 0x1111 | 7 0x1000 64\ncomplete\n");
  }
  struct load_verbs_qp q = {.transport = LOAD_UD};
  struct load_qp qp = {.impl = &q};
  ASSERT(load_verbs_poster(&qp, LOAD_WRITE) == NULL);
}

static void lists_and_inline(void)
{
  struct load_wr wr = two[0];
  struct provider p = provider(IBV_QPT_RC);
  unsigned done = 0;
  wr.n_sge = 3;
  ASSERT_EQ(post_wr(&p, LOAD_WRITE, false, false, &wr, 1, &done), 0);
  ASSERT_STR(p.log, "start\n1:0 write 3 0x500 | 7 0x1000 64 8 0x2000 32 9 0x3000 16\ncomplete\n");
  wr.flags = LOAD_INLINE | LOAD_SIGNALED;
  ASSERT_EQ(post_wr(&p, LOAD_WRITE, false, false, &wr, 1, &done), 0);
  ASSERT_STR(p.log, "start\n1:10 write 3 0x500 = 0x1000 64 0x2000 32 0x3000 16\ncomplete\n");
  wr.n_sge = 1;
  ASSERT_EQ(post_wr(&p, LOAD_WRITE, false, false, &wr, 1, &done), 0);
  ASSERT_STR(p.log, "start\n1:10 write 3 0x500 = 0x1000 64\ncomplete\n");
}

static void refused_batch_is_not_posted(void)
{
  struct provider p = provider(IBV_QPT_RC);
  unsigned done = 9;
  p.answer = ENOMEM;
  ASSERT_EQ(post_wr(&p, LOAD_WRITE, false, true, two, 2, &done), ENOMEM);
  ASSERT_EQ(done, 0U);
}

static void each_verb_is_chained(void)
{
  static const struct {
    enum load_opcode opcode;
    enum ibv_qp_type type;
    const char *log;
  } cases[] = {
      {LOAD_WRITE, IBV_QPT_RC, "1:0 opcode 0 3 0x500 | 7 0x1000 64\n2:2 opcode 0 3 0x600 | 8 0x2000 32\n"},
      {LOAD_WRITE_IMM, IBV_QPT_UC,
       "1:0 opcode 1 imm 0xa1 3 0x500 | 7 0x1000 64\n2:2 opcode 1 imm 0xa2 3 0x600 | 8 0x2000 32\n"},
      {LOAD_READ, IBV_QPT_RC, "1:0 opcode 4 3 0x500 | 7 0x1000 64\n2:2 opcode 4 3 0x600 | 8 0x2000 32\n"},
      {LOAD_SEND, IBV_QPT_RC, "1:0 opcode 2 | 7 0x1000 64\n2:2 opcode 2 | 8 0x2000 32\n"},
      {LOAD_SEND, IBV_QPT_UD,
       "1:0 opcode 2 to 0xaa 77 0x1111 | 7 0x1000 64\n2:2 opcode 2 to 0xaa 77 0x1111 | 8 0x2000 32\n"},
      {LOAD_SEND_IMM, IBV_QPT_UD,
       "1:0 opcode 3 imm 0xa1 to 0xaa 77 0x1111 | 7 0x1000 64\n2:2 opcode 3 imm 0xa2 to 0xaa 77 0x1111 | 8 0x2000 "
       "32\n"},
      {LOAD_FETCH_ADD, IBV_QPT_RC, "1:0 opcode 6 3 0x500 4 5 | 7 0x1000 64\n2:2 opcode 6 3 0x600 5 6 | 8 0x2000 32\n"},
      {LOAD_COMPARE_SWAP, IBV_QPT_RC,
       "1:0 opcode 5 3 0x500 4 5 | 7 0x1000 64\n2:2 opcode 5 3 0x600 5 6 | 8 0x2000 32\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct provider p = provider(cases[i].type);
    struct ibv_send_wr chain[2] = {{.next = &chain[1]}};
    struct load_verbs_qp q = {.qp = &p.ex.qp_base,
                              .ah = (struct ibv_ah *)(uintptr_t)0xaa,
                              .remote_qpn = 77,
                              .qkey = 0x1111,
                              .transport = cases[i].type == IBV_QPT_UD ? LOAD_UD : LOAD_RC,
                              .plain = true,
                              .chain = chain,
                              .chain_length = 2,
                              .cut = 1};
    struct load_qp qp = {.impl = &q};
    unsigned done = 0;
    p.ex.qp_base.context = &p.context;
    ASSERT_EQ(load_verbs_poster(&qp, cases[i].opcode)(&qp, two, 2, &done), 0);
    ASSERT_EQ(done, 2U);
    ASSERT_STR(p.log, cases[i].log);
  }
}

/* A QP with a chain of 4. */
struct chained {
  struct provider p;
  struct ibv_send_wr chain[4];
  struct load_verbs_qp q;
  struct load_device device;
  struct load_qp qp;
  struct load_wr wr[10]; /* number i has id and address i */
};

static void make_chained(struct chained *c)
{
  *c = (struct chained){.p = provider(IBV_QPT_RC), .device = {.ops = &load_verbs_ops}};
  c->p.ex.qp_base.context = &c->p.context;
  for (unsigned i = 0; i < 3; i++)
    c->chain[i].next = &c->chain[i + 1];
  c->q = (struct load_verbs_qp){
      .qp = &c->p.ex.qp_base, .transport = LOAD_RC, .chain = c->chain, .chain_length = 4, .cut = 3};
  c->qp = (struct load_qp){.device = &c->device, .impl = &c->q};
  for (unsigned i = 0; i < 10; i++)
    c->wr[i] = (struct load_wr){.id = i, .raddr = i, .n_sge = 1, .sge = elements};
}

static const char *posted(struct chained *c, load_post_fn *post, unsigned n)
{
  unsigned done = 0;
  c->p.used = 0;
  c->p.log[0] = '\0';
  ASSERT_EQ(post(&c->qp, c->wr, n, &done), 0);
  ASSERT_EQ(done, n);
  return c->p.log;
}

static void long_batches_are_chained_in_parts(void)
{
  struct chained c;
  make_chained(&c);
  load_post_fn *post = load_verbs_poster(&c.qp, LOAD_WRITE);
  const char *log = posted(&c, post, 10);
  ASSERT_EQ(c.p.calls, 3U);
  ASSERT_CONTAINS(log, "3:0 opcode 0 0 0x3 | 7 0x1000 64\n4:0 opcode 0 0 0x4 | 7 0x1000 64\n");
  ASSERT_CONTAINS(log, "9:0 opcode 0 0 0x9 | 7 0x1000 64\n");
  log = posted(&c, post, 1);
  ASSERT_STR(log, "0:0 opcode 0 0 0 | 7 0x1000 64\n");
  log = posted(&c, post, 3);
  ASSERT_STR(log,
             "0:0 opcode 0 0 0 | 7 0x1000 64\n1:0 opcode 0 0 0x1 | 7 0x1000 64\n2:0 opcode 0 0 0x2 | 7 0x1000 64\n");
  ASSERT_EQ(c.p.calls, 5U);
}

static void refused_request_ends_the_chain(void)
{
  struct chained c;
  make_chained(&c);
  unsigned done = 9;
  c.p.answer = ENOMEM;
  c.p.refuse_from = 3;
  ASSERT_EQ(load_verbs_poster(&c.qp, LOAD_WRITE)(&c.qp, c.wr, 10, &done), ENOMEM);
  ASSERT_EQ(done, 3U);
  ASSERT_EQ(c.p.calls, 1U);
  make_chained(&c);
  load_post_fn *repost = load_reposter(&c.qp, LOAD_WRITE);
  posted(&c, repost, 3);
  c.p.answer = ENOMEM;
  c.p.refuse_from = 1;
  ASSERT_EQ(repost(&c.qp, c.wr, 3, &done), ENOMEM);
  ASSERT_EQ(done, 1U);
  ASSERT_EQ(repost(&c.qp, c.wr, 2, &done), ENOMEM); /* another length */
  ASSERT_EQ(done, 1U);
}

/* What a poster makes of it, on a QP of its own. */
static void same_as_posting(const struct chained *reposted, unsigned n)
{
  struct chained c;
  make_chained(&c);
  memcpy(c.wr, reposted->wr, sizeof c.wr);
  ASSERT_STR(reposted->p.log, posted(&c, load_verbs_poster(&c.qp, LOAD_WRITE), n));
}

static void reposting_is_as_posting(void)
{
  static const unsigned lengths[] = {2, 2, 1, 3, 3, 2, 4, 1, 4, 9, 3, 10, 4, 4};
  struct chained c;
  make_chained(&c);
  load_post_fn *post = load_reposter(&c.qp, LOAD_WRITE);
  ASSERT(post != load_verbs_poster(&c.qp, LOAD_WRITE));
  unsigned before = 0;
  for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    c.wr[before].flags = 0; /* signalled as the last of the call before */
    before = lengths[i] - 1;
    c.wr[before].flags = i % 3 != 0 ? LOAD_SIGNALED : 0;
    c.wr[before].id = 100 + i;
    posted(&c, post, lengths[i]);
    same_as_posting(&c, lengths[i]);
  }
}

static void reposting_copies_no_more_than_it_must(void)
{
  struct chained c;
  make_chained(&c);
  load_post_fn *post = load_reposter(&c.qp, LOAD_WRITE);
  posted(&c, post, 3);
  c.wr[0].raddr = 0xbad; /* against what was agreed: it is not looked at */
  ASSERT_STR(posted(&c, post, 3),
             "0:0 opcode 0 0 0 | 7 0x1000 64\n1:0 opcode 0 0 0x1 | 7 0x1000 64\n2:0 opcode 0 0 0x2 | 7 0x1000 64\n");
  post = load_reposter(&c.qp, LOAD_WRITE); /* asked again: all is new */
  ASSERT_CONTAINS(posted(&c, post, 3), "0:0 opcode 0 0 0xbad");
  posted(&c, load_verbs_poster(&c.qp, LOAD_READ), 2); /* something else in between */
  c.wr[1].raddr = 0xbee;
  ASSERT_CONTAINS(posted(&c, post, 3), "1:0 opcode 0 0 0xbee");
  c.q.ex = &c.p.ex;
  ASSERT(load_reposter(&c.qp, LOAD_WRITE) == load_verbs_poster(&c.qp, LOAD_WRITE));
}

/* --- completions and events
 * ------------------------------------------------------------------------------------------- */

/* A completion queue that gives three completions: a send, a receive with an immediate, an error. */
struct timed {
  struct ibv_cq_ex ex;
  unsigned at, ended;
};

static struct timed *timed_of(struct ibv_cq_ex *ex)
{
  return (struct timed *)ex;
}

static int on_next(struct ibv_cq_ex *ex)
{
  if (timed_of(ex)->at == 3)
    return ENOENT;
  unsigned i = timed_of(ex)->at++;
  ex->wr_id = 10 + i;
  ex->status = i == 2 ? IBV_WC_REM_ACCESS_ERR : IBV_WC_SUCCESS;
  return 0;
}

static int on_start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
  ASSERT_EQ(attr->comp_mask, 0U);
  return on_next(ex);
}

static void on_end_poll(struct ibv_cq_ex *ex)
{
  timed_of(ex)->ended++;
}

static enum ibv_wc_opcode on_opcode(struct ibv_cq_ex *ex)
{
  return ex->wr_id == 11 ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RDMA_WRITE;
}

static unsigned on_wc_flags(struct ibv_cq_ex *ex)
{
  return ex->wr_id == 11 ? IBV_WC_WITH_IMM : 0;
}

static uint32_t on_vendor(struct ibv_cq_ex *ex)
{
  return ex->wr_id == 12 ? 0x88 : 0x99;
}

static uint32_t on_length(struct ibv_cq_ex *ex)
{
  (void)ex;
  return 64;
}

static __be32 on_imm(struct ibv_cq_ex *ex)
{
  (void)ex;
  return 0xabcd;
}

static uint32_t on_qpn(struct ibv_cq_ex *ex)
{
  (void)ex;
  return 77;
}

static uint64_t on_time(struct ibv_cq_ex *ex)
{
  return ex->wr_id * 1000;
}

static void timed_completions(void)
{
  struct timed t = {.ex = {.start_poll = on_start_poll,
                           .next_poll = on_next,
                           .end_poll = on_end_poll,
                           .read_opcode = on_opcode,
                           .read_vendor_err = on_vendor,
                           .read_byte_len = on_length,
                           .read_imm_data = on_imm,
                           .read_qp_num = on_qpn,
                           .read_wc_flags = on_wc_flags,
                           .read_completion_ts = on_time}};
  struct load_verbs_cq v = {.ex = &t.ex};
  struct load_cq cq = {.impl = &v, .fd = -1};
  struct load_wc wc[4];
  ASSERT_EQ(load_verbs_poll(&cq, wc, 2), 2U);
  ASSERT_EQ(load_verbs_poll(&cq, wc + 2, 2), 1U);
  ASSERT_EQ(load_verbs_poll(&cq, wc + 3, 1), 0U);
  ASSERT_EQ(t.ended, 2U); /* a poll that found nothing is not ended */
  ASSERT(wc[0].id == 10 && wc[0].qpn == 77 && !wc[0].recv && !wc[0].has_imm && wc[0].time == 10000);
  ASSERT(wc[0].status == 0 && wc[0].vendor == 0);
  ASSERT(wc[1].recv && wc[1].bytes == 64 && wc[1].has_imm && wc[1].imm == 0xabcd && wc[1].time == 11000);
  ASSERT(wc[2].status == LOAD_WC_REM_ACCESS_ERR && wc[2].vendor == 0x88 && wc[2].time == 0 && wc[2].qpn == 77);
}

static void bad_events_in_words(void)
{
  struct ibv_qp qp = {.qp_num = 17};
  struct ibv_async_event event = {.element.qp = &qp, .event_type = IBV_EVENT_QP_FATAL};
  char text[64] = "";
  bool fatal = true;
  ASSERT(load_verbs_event_words(&event, text, sizeof text, &fatal));
  ASSERT_STR(text, "QP_FATAL QP 17");
  ASSERT(!fatal);
  event = (struct ibv_async_event){.element.port_num = 1, .event_type = IBV_EVENT_PORT_ERR};
  ASSERT(load_verbs_event_words(&event, text, sizeof text, &fatal));
  ASSERT_STR(text, "PORT_ERR 1");
  ASSERT(!fatal);
  event = (struct ibv_async_event){.event_type = IBV_EVENT_DEVICE_FATAL};
  ASSERT(load_verbs_event_words(&event, text, sizeof text, &fatal));
  ASSERT_STR(text, "DEVICE_FATAL");
  ASSERT(fatal);
  event.event_type = IBV_EVENT_CQ_ERR;
  ASSERT(load_verbs_event_words(&event, text, sizeof text, &fatal) && fatal);
  event.event_type = IBV_EVENT_PORT_ACTIVE;
  ASSERT(!load_verbs_event_words(&event, text, sizeof text, &fatal));
  event.event_type = IBV_EVENT_COMM_EST;
  ASSERT(!load_verbs_event_words(&event, text, sizeof text, &fatal));
}

/* --- GIDs
 * ------------------------------------------------------------------------------------------------------------- */

static const struct load_gid_entry table[] = {
    {.gid = {.raw = {0xfe, 0x80, [15] = 1}}, .index = 0, .port = 1, .type = LOAD_GID_ROCE_V1},
    {.gid = {.raw = {0xfe, 0x80, [15] = 1}}, .index = 1, .port = 1, .type = LOAD_GID_ROCE_V2},
    {.gid = {.raw = {0x20, 0x01, 0x0d, 0xb8, [15] = 2}}, .index = 2, .port = 1, .type = LOAD_GID_ROCE_V2},
    {.gid = {.raw = {[10] = 0xff, 0xff, 10, 0, 0, 7}}, .index = 5, .port = 1, .type = LOAD_GID_ROCE_V2},
    {.gid = {.raw = {[10] = 0xff, 0xff, 10, 0, 0, 8}}, .index = 4, .port = 1, .type = LOAD_GID_ROCE_V2},
    {.gid = {.raw = {[10] = 0xff, 0xff, 10, 0, 0, 7}}, .index = 3, .port = 1, .type = LOAD_GID_ROCE_V1},
};
enum { ENTRIES = sizeof table / sizeof table[0] };

static int chosen(size_t n, int32_t index, bool v2, const char *family)
{
  struct load_gid_wish wish = {index, v2, family};
  const struct load_gid_entry *entry = load_gid_choose(table, n, &wish);
  return entry == NULL ? -1 : (int)entry->index;
}

static void gid_by_type_and_family(void)
{
  ASSERT_EQ(chosen(ENTRIES, -1, true, NULL), 4);
  ASSERT_EQ(chosen(3, -1, true, NULL), 2);
  ASSERT_EQ(chosen(2, -1, true, NULL), 1);
  ASSERT_EQ(chosen(1, -1, true, NULL), -1);
  ASSERT_EQ(chosen(ENTRIES, -1, false, NULL), 3);
  ASSERT_EQ(chosen(ENTRIES, -1, false, "link_local"), 0);
  ASSERT_EQ(chosen(ENTRIES, -1, true, "ipv6"), 2);
  ASSERT_EQ(chosen(ENTRIES, -1, true, "link_local"), 1);
  ASSERT_EQ(chosen(ENTRIES, -1, false, "ipv6"), -1);
  ASSERT_EQ(chosen(ENTRIES, 0, true, "ipv4"), 0); /* an index is the whole wish */
  ASSERT_EQ(chosen(ENTRIES, 9, true, NULL), -1);
}

static void gid_families(void)
{
  static const uint8_t febf[16] = {0xfe, 0xbf}, fec0[16] = {0xfe, 0xc0}, compatible[16] = {[12] = 10, [15] = 1};
  ASSERT_STR(load_gid_family(table[3].gid.raw), "ipv4");
  ASSERT_STR(load_gid_family(table[2].gid.raw), "ipv6");
  ASSERT_STR(load_gid_family(table[0].gid.raw), "link_local");
  ASSERT_STR(load_gid_family(febf), "link_local");
  ASSERT_STR(load_gid_family(fec0), "ipv6");
  ASSERT_STR(load_gid_family(compatible), "ipv6");
}

static void gid_words(void)
{
  char text[160];
  load_gid_words(table, 0, text, sizeof text);
  ASSERT_STR(text, "none");
  load_gid_words(table + 3, 1, text, sizeof text);
  ASSERT_STR(text, "5: RoCE v2 ipv4 10.0.0.7 on ?");
  load_gid_words(table, ENTRIES, text, sizeof text);
  ASSERT_CONTAINS(text, "0: IB/RoCE v1 link_local fe80::1 on ?, 1: RoCE v2 link_local fe80::1 on ?");
  ASSERT_CONTAINS(text, ", and more");
  load_gid_words(table, ENTRIES, text, 8);
  ASSERT(strlen(text) < 8);
}

/* --- sysfs
 * ------------------------------------------------------------------------------------------------------------ */

static char root[64];

static void make(const char *path, const char *text)
{
  char whole[256];
  snprintf(whole, sizeof whole, "%s/class/infiniband/%s", root, path);
  for (char *slash = strchr(whole + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(whole, 0777);
    *slash = '/';
  }
  FILE *out = fopen(whole, "w");
  ASSERT(out != NULL);
  fputs(text, out);
  fclose(out);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
  (void)facts;
  (void)kind;
  (void)place;
  return remove(path);
}

static void sysfs_facts(void)
{
  snprintf(root, sizeof root, "/tmp/roce-tests-sysfs-%ld", (long)getpid());
  make("mlx5_0/device/numa_node", "1\n");
  make("mlx5_0/device/driver/module", "");
  make("mlx5_0/parent", "eth0\n");
  make("mlx5_0/ports/1/rate", "100 Gb/sec (4X EDR)\n");
  make("mlx5_0/ports/2/rate", "2.5 Gb/sec (1X SDR)\n");
  make("mlx5_0/ports/3/rate", "fast\n");
  make("rxe0/parent", "eth0\n");
  make("old0/device/numa_node", "-1\n");
  ASSERT_EQ(load_sysfs_numa_node(root, "mlx5_0"), 1);
  ASSERT_EQ(load_sysfs_numa_node(root, "old0"), -1);
  ASSERT_EQ(load_sysfs_numa_node(root, "rxe0"), -1);
  ASSERT(!load_sysfs_software(root, "mlx5_0"));
  ASSERT(load_sysfs_software(root, "rxe0"));
  ASSERT(!load_sysfs_software(root, "none0"));
  ASSERT_EQ(load_sysfs_rate(root, "mlx5_0", 1), UINT64_C(100000000000));
  ASSERT_EQ(load_sysfs_rate(root, "mlx5_0", 2), UINT64_C(2500000000));
  ASSERT_EQ(load_sysfs_rate(root, "mlx5_0", 3), UINT64_C(0));
  ASSERT_EQ(load_sysfs_rate(root, "rxe0", 1), UINT64_C(0));
  char text[16];
  ASSERT(load_sysfs_text(root, "rxe0", "parent", text, sizeof text));
  ASSERT_STR(text, "eth0");
  ASSERT_EQ(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void no_such_device(void)
{
  struct load_device device = {.ops = &load_verbs_ops, .name = "no_such_device"};
  struct load_error e = {0};
  ASSERT(!load_verbs_ops.open(&device, &e));
  ASSERT_EQ((int)e.kind, (int)LOAD_NO_DEVICE);
  ASSERT_CONTAINS(e.message, "no RDMA device no_such_device");
  ASSERT(device.impl == NULL);
}

static void lists_are_not_posted_by_rxe(void)
{
  struct load_device device = {.ops = &load_verbs_ops, .name = "rxe0", .caps = {.software = true}};
  struct load_qp_wish wish = {
      .transport = LOAD_RC, .sends = 8, .sges = 2, .opcodes = 1U << LOAD_WRITE, .posting = LOAD_POST_WR};
  struct load_qp qp;
  struct load_error e = {0};
  ASSERT(!load_verbs_ops.qp_make(&device, &wish, &qp, &e));
  ASSERT_EQ((int)e.kind, (int)LOAD_UNSUPPORTED);
  ASSERT_STR(e.feature, "post");
  ASSERT_CONTAINS(e.message, "no 2 elements");
  ASSERT(qp.impl == NULL);
}

#define WITH_VERBS(call) call
#else
#include <stdio.h>
#define WITH_VERBS(call) puts("not run: this program was built without libibverbs")
#endif

TEST(load_verbs_post_each_verb)
{
  WITH_VERBS(each_verb_is_posted_by_both_loops());
}

TEST(load_verbs_post_ud)
{
  WITH_VERBS(ud_sends_are_addressed());
}

TEST(load_verbs_post_lists_and_inline)
{
  WITH_VERBS(lists_and_inline());
}

TEST(load_verbs_post_refused)
{
  WITH_VERBS(refused_batch_is_not_posted());
}

TEST(load_verbs_chain_each_verb)
{
  WITH_VERBS(each_verb_is_chained());
}

TEST(load_verbs_chain_in_parts)
{
  WITH_VERBS(long_batches_are_chained_in_parts());
}

TEST(load_verbs_chain_refused)
{
  WITH_VERBS(refused_request_ends_the_chain());
}

TEST(load_verbs_repost)
{
  WITH_VERBS(reposting_is_as_posting());
}

TEST(load_verbs_repost_copies_little)
{
  WITH_VERBS(reposting_copies_no_more_than_it_must());
}

TEST(load_verbs_timed_completions)
{
  WITH_VERBS(timed_completions());
}

TEST(load_verbs_events)
{
  WITH_VERBS(bad_events_in_words());
}

TEST(load_verbs_gid_choice)
{
  WITH_VERBS(gid_by_type_and_family());
}

TEST(load_verbs_gid_families)
{
  WITH_VERBS(gid_families());
}

TEST(load_verbs_gid_words)
{
  WITH_VERBS(gid_words());
}

TEST(load_verbs_sysfs)
{
  WITH_VERBS(sysfs_facts());
}

TEST(load_verbs_no_such_device)
{
  WITH_VERBS(no_such_device());
}

TEST(load_verbs_lists_on_rxe)
{
  WITH_VERBS(lists_are_not_posted_by_rxe());
}
