/* The hot path of a sender: ibv_post_send and the ibv_wr_ functions. */
#include "stub.h"

#include <errno.h>

/* Hands the message that was built to its receiver. */
static void hand_over(struct stub_qp *qp)
{
  qp->open = false;
  if (qp->error != IBV_WC_SUCCESS)
    return;
  struct stub_slot *to = qp->peer;
  to->length = qp->length;
  to->imm = qp->imm;
  to->sender = qp->qpn;
  to->opcode = qp->opcode;
  to->wc_flags = qp->wc_flags;
  atomic_fetch_add_explicit(&to->arrived, 1, memory_order_release);
}

static void begin(struct stub_qp *qp, uint32_t opcode, uint32_t wc_flags, uint32_t imm)
{
  qp->opcode = opcode;
  qp->wc_flags = wc_flags;
  qp->imm = imm;
  qp->length = 0;
  qp->open = true;
}

/* --- ibv_post_send ------------------------------------------------------------------------------------------------ */

static void send_whole(struct stub_qp *qp, const struct ibv_send_wr *wr)
{
  bool immediate = wr->opcode != IBV_WR_SEND;
  begin(qp, wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV,
        immediate ? IBV_WC_WITH_IMM : 0, immediate ? wr->imm_data : 0);
  for (int i = 0; i < wr->num_sge; i++)
    qp->length += wr->sg_list[i].length;
  if (qp->base.qp_base.qp_type == IBV_QPT_UD)
    qp->peer = &qp->wire->slot[wr->wr.ud.remote_qpn % STUB_QPS];
  hand_over(qp);
}

int stub_post_send(struct ibv_qp *ibv, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
  static const struct {
    uint16_t opcode;
    bool wants_receive;
  } kinds[] = {
    [IBV_WR_RDMA_WRITE] = {IBV_WC_RDMA_WRITE, false},
    [IBV_WR_RDMA_WRITE_WITH_IMM] = {IBV_WC_RDMA_WRITE, true},
    [IBV_WR_SEND] = {IBV_WC_SEND, true},
    [IBV_WR_SEND_WITH_IMM] = {IBV_WC_SEND, true},
    [IBV_WR_RDMA_READ] = {IBV_WC_RDMA_READ, false},
    [IBV_WR_ATOMIC_CMP_AND_SWP] = {IBV_WC_COMP_SWAP, false},
    [IBV_WR_ATOMIC_FETCH_AND_ADD] = {IBV_WC_FETCH_ADD, false},
  };
  struct stub_qp *qp = (struct stub_qp *)ibv;
  for (; wr != NULL; wr = wr->next) {
    unsigned opcode = wr->opcode;
    if (opcode >= sizeof kinds / sizeof *kinds) {
      *bad = wr;
      return EINVAL;
    }
    if (kinds[opcode].wants_receive)
      send_whole(qp, wr);
    stub_complete(qp, wr->wr_id, wr->send_flags, kinds[opcode].opcode);
  }
  return 0;
}

/* --- ibv_wr_: builders -------------------------------------------------------------------------------------------- */

static void wr_start(struct ibv_qp_ex *ex)
{
  struct stub_qp *qp = (struct stub_qp *)ex;
  qp->started = qp->send_cq->tail;
}

static void wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address)
{
  (void)rkey, (void)address;
  stub_complete((struct stub_qp *)ex, ex->wr_id, ex->wr_flags, IBV_WC_RDMA_WRITE);
}

static void wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address)
{
  (void)rkey, (void)address;
  stub_complete((struct stub_qp *)ex, ex->wr_id, ex->wr_flags, IBV_WC_RDMA_READ);
}

static void wr_compare_swap(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address, uint64_t compare, uint64_t swap)
{
  (void)rkey, (void)address, (void)compare, (void)swap;
  stub_complete((struct stub_qp *)ex, ex->wr_id, ex->wr_flags, IBV_WC_COMP_SWAP);
}

static void wr_fetch_add(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address, uint64_t add)
{
  (void)rkey, (void)address, (void)add;
  stub_complete((struct stub_qp *)ex, ex->wr_id, ex->wr_flags, IBV_WC_FETCH_ADD);
}

/* A message that wants a receive is handed over when the next one begins or the batch ends: its length comes last. */
static void close_open(struct stub_qp *qp)
{
  if (qp->open)
    hand_over(qp);
}

static void wr_send(struct ibv_qp_ex *ex)
{
  struct stub_qp *qp = (struct stub_qp *)ex;
  close_open(qp);
  begin(qp, IBV_WC_RECV, 0, 0);
  stub_complete(qp, ex->wr_id, ex->wr_flags, IBV_WC_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *ex, __be32 imm)
{
  struct stub_qp *qp = (struct stub_qp *)ex;
  close_open(qp);
  begin(qp, IBV_WC_RECV, IBV_WC_WITH_IMM, imm);
  stub_complete(qp, ex->wr_id, ex->wr_flags, IBV_WC_SEND);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address, __be32 imm)
{
  (void)rkey, (void)address;
  struct stub_qp *qp = (struct stub_qp *)ex;
  close_open(qp);
  begin(qp, IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_WITH_IMM, imm);
  stub_complete(qp, ex->wr_id, ex->wr_flags, IBV_WC_RDMA_WRITE);
}

/* Of queue pairs that also send: what they built before is not to take the length of this. */
static void mixed_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address)
{
  close_open((struct stub_qp *)ex);
  wr_rdma_write(ex, rkey, address);
}

static void mixed_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address)
{
  close_open((struct stub_qp *)ex);
  wr_rdma_read(ex, rkey, address);
}

static void mixed_compare_swap(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address, uint64_t compare, uint64_t swap)
{
  close_open((struct stub_qp *)ex);
  wr_compare_swap(ex, rkey, address, compare, swap);
}

static void mixed_fetch_add(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t address, uint64_t add)
{
  close_open((struct stub_qp *)ex);
  wr_fetch_add(ex, rkey, address, add);
}

/* --- ibv_wr_: data ------------------------------------------------------------------------------------------------ */

static void ignore_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t address, uint32_t length)
{
  (void)ex, (void)lkey, (void)address, (void)length;
}

static void ignore_sge_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_sge *list)
{
  (void)ex, (void)n, (void)list;
}

static void ignore_inline(struct ibv_qp_ex *ex, void *address, size_t length)
{
  (void)ex, (void)address, (void)length;
}

static void ignore_inline_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_data_buf *list)
{
  (void)ex, (void)n, (void)list;
}

static void set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t address, uint32_t length)
{
  (void)lkey, (void)address;
  ((struct stub_qp *)ex)->length = length;
}

static void set_sge_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_sge *list)
{
  uint32_t length = 0;
  for (size_t i = 0; i < n; i++)
    length += list[i].length;
  ((struct stub_qp *)ex)->length = length;
}

static void set_inline(struct ibv_qp_ex *ex, void *address, size_t length)
{
  (void)address;
  ((struct stub_qp *)ex)->length = (uint32_t)length;
}

static void set_inline_list(struct ibv_qp_ex *ex, size_t n, const struct ibv_data_buf *list)
{
  size_t length = 0;
  for (size_t i = 0; i < n; i++)
    length += list[i].length;
  ((struct stub_qp *)ex)->length = (uint32_t)length;
}

static void set_ud_addr(struct ibv_qp_ex *ex, struct ibv_ah *ah, uint32_t qpn, uint32_t qkey)
{
  (void)ah, (void)qkey;
  struct stub_qp *qp = (struct stub_qp *)ex;
  qp->peer = &qp->wire->slot[qpn % STUB_QPS];
}

/* --- ibv_wr_: the end of a batch ---------------------------------------------------------------------------------- */

static int complete_one_sided(struct ibv_qp_ex *ex)
{
  (void)ex;
  return 0;
}

static int complete_batch(struct ibv_qp_ex *ex)
{
  close_open((struct stub_qp *)ex);
  return 0;
}

/* Takes back the completions of the batch; messages that were handed over stay so. */
static void wr_abort(struct ibv_qp_ex *ex)
{
  struct stub_qp *qp = (struct stub_qp *)ex;
  qp->send_cq->tail = qp->started;
  qp->open = false;
}

static void fill_two_sided(struct ibv_qp_ex *ex)
{
  ex->wr_send = wr_send;
  ex->wr_send_imm = wr_send_imm;
  ex->wr_rdma_write_imm = wr_rdma_write_imm;
  ex->wr_rdma_write = mixed_rdma_write;
  ex->wr_rdma_read = mixed_rdma_read;
  ex->wr_atomic_cmp_swp = mixed_compare_swap;
  ex->wr_atomic_fetch_add = mixed_fetch_add;
  ex->wr_set_sge = set_sge;
  ex->wr_set_sge_list = set_sge_list;
  ex->wr_set_inline_data = set_inline;
  ex->wr_set_inline_data_list = set_inline_list;
  ex->wr_set_ud_addr = set_ud_addr;
  ex->wr_complete = complete_batch;
}

static void fill_one_sided(struct ibv_qp_ex *ex)
{
  ex->wr_rdma_write = wr_rdma_write;
  ex->wr_rdma_read = wr_rdma_read;
  ex->wr_atomic_cmp_swp = wr_compare_swap;
  ex->wr_atomic_fetch_add = wr_fetch_add;
  ex->wr_set_sge = ignore_sge;
  ex->wr_set_sge_list = ignore_sge_list;
  ex->wr_set_inline_data = ignore_inline;
  ex->wr_set_inline_data_list = ignore_inline_list;
  ex->wr_complete = complete_one_sided;
}

void stub_fill_wr(struct stub_qp *qp, uint64_t send_ops)
{
  const uint64_t want_receives =
    IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
  struct ibv_qp_ex *ex = &qp->base;
  ex->wr_start = wr_start;
  ex->wr_abort = wr_abort;
  if ((send_ops & want_receives) != 0)
    fill_two_sided(ex);
  else
    fill_one_sided(ex);
}
