/* Queue pairs and address handles. */
#include "stub.h"

#include <errno.h>
#include <stdlib.h>

static bool is_possible(const struct ibv_qp_init_attr_ex *a)
{
  bool type = a->qp_type == IBV_QPT_RC || a->qp_type == IBV_QPT_UC || a->qp_type == IBV_QPT_UD;
  return type && a->send_cq != NULL && a->recv_cq != NULL && a->cap.max_send_wr <= STUB_MAX_WR &&
         a->cap.max_recv_wr <= STUB_MAX_WR && a->cap.max_send_sge <= STUB_MAX_SGE &&
         a->cap.max_recv_sge <= STUB_MAX_SGE && a->cap.max_inline_data <= STUB_MAX_INLINE;
}

/* Everything but its number; NULL with errno. */
static struct stub_qp *make(struct ibv_context *context, const struct ibv_qp_init_attr_ex *a)
{
  struct stub_qp *qp = calloc(1, sizeof *qp);
  if (qp == NULL || !stub_rq_make(&qp->own, a->srq == NULL ? a->cap.max_recv_wr : 0)) {
    free(qp);
    errno = ENOMEM;
    return NULL;
  }
  struct ibv_qp *base = &qp->base.qp_base;
  base->context = context;
  base->qp_context = a->qp_context;
  base->pd = a->pd;
  base->send_cq = a->send_cq;
  base->recv_cq = a->recv_cq;
  base->srq = a->srq;
  base->state = IBV_QPS_RESET;
  base->qp_type = a->qp_type;
  qp->init = (struct ibv_qp_init_attr){a->qp_context, a->send_cq, a->recv_cq,    a->srq,
                                       a->cap,        a->qp_type, a->sq_sig_all};
  qp->send_cq = (struct stub_cq *)a->send_cq;
  qp->recv_cq = (struct stub_cq *)a->recv_cq;
  qp->rq = a->srq == NULL ? &qp->own : &((struct stub_srq *)a->srq)->rq;
  qp->forced = a->sq_sig_all != 0 ? IBV_SEND_SIGNALED : 0;
  return qp;
}

static bool number(struct stub_qp *qp, struct stub_wire *wire)
{
  uint32_t made = atomic_load(&wire->made);
  do {
    if (made >= STUB_QPS - STUB_FIRST_QPN)
      return false;
  } while (!atomic_compare_exchange_weak(&wire->made, &made, made + 1));
  qp->qpn = made + STUB_FIRST_QPN;
  qp->base.qp_base.qp_num = qp->qpn;
  qp->base.qp_base.handle = qp->qpn;
  qp->wire = wire;
  qp->slot = &wire->slot[qp->qpn];
  qp->peer = &wire->slot[0]; /* nobody, until it is connected */
  return true;
}

struct ibv_qp *stub_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr)
{
  const uint32_t known = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  if ((attr->comp_mask & ~known) != 0 || !is_possible(attr)) {
    errno = (attr->comp_mask & ~known) != 0 ? EOPNOTSUPP : EINVAL;
    return NULL;
  }
  struct stub_qp *qp = make(context, attr);
  if (qp == NULL)
    return NULL;
  if (!number(qp, stub_context_of(context)->wire) || (attr->srq != NULL && !stub_listen(qp))) {
    stub_rq_free(&qp->own);
    free(qp);
    errno = ENOMEM;
    return NULL;
  }
  qp->has_wr = (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) != 0;
  if (qp->has_wr)
    stub_fill_wr(qp, attr->send_ops_flags);
  return &qp->base.qp_base;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *a)
{
  struct ibv_qp_init_attr_ex attr = {.qp_context = a->qp_context,
                                     .send_cq = a->send_cq,
                                     .recv_cq = a->recv_cq,
                                     .srq = a->srq,
                                     .cap = a->cap,
                                     .qp_type = a->qp_type,
                                     .sq_sig_all = a->sq_sig_all,
                                     .comp_mask = IBV_QP_INIT_ATTR_PD,
                                     .pd = pd};
  return stub_create_qp_ex(pd->context, &attr);
}

struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *ibv)
{
  struct stub_qp *qp = (struct stub_qp *)ibv;
  return qp->has_wr ? &qp->base : NULL;
}

/* Receives that are outstanding complete with an error, and so does all that is posted from now on. */
static void fail(struct stub_qp *qp)
{
  qp->error = IBV_WC_WR_FLUSH_ERR;
  qp->forced = IBV_SEND_SIGNALED;
  struct stub_cq *cq = qp->recv_cq;
  while (qp->own.head != qp->own.tail) {
    uint64_t id = qp->own.ids[qp->own.head++ & qp->own.mask];
    cq->ring[cq->tail++ & cq->mask] = (struct stub_cqe){id, qp->qpn, IBV_WC_RECV, IBV_WC_WR_FLUSH_ERR};
  }
}

static void reset(struct stub_qp *qp)
{
  qp->error = IBV_WC_SUCCESS;
  qp->forced = qp->init.sq_sig_all != 0 ? IBV_SEND_SIGNALED : 0;
  qp->open = false;
  qp->own.head = qp->own.tail;
  qp->taken = atomic_load(&qp->slot->arrived);
}

/* RESET, INIT, RTR, RTS, one after the other; RESET and ERR from everywhere. */
static bool is_next(enum ibv_qp_state from, enum ibv_qp_state to)
{
  return to == IBV_QPS_RESET || to == IBV_QPS_ERR || to == from || (to <= IBV_QPS_RTS && (int)to == (int)from + 1);
}

int ibv_modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int mask)
{
  struct stub_qp *qp = (struct stub_qp *)ibv;
  if ((mask & IBV_QP_STATE) != 0) {
    if (!is_next(ibv->state, attr->qp_state))
      return EINVAL;
    ibv->state = attr->qp_state;
    if (ibv->state == IBV_QPS_RESET)
      reset(qp);
    if (ibv->state == IBV_QPS_ERR)
      fail(qp);
  }
  if ((mask & IBV_QP_QKEY) != 0)
    qp->qkey = attr->qkey;
  if ((mask & IBV_QP_DEST_QPN) != 0) {
    qp->dest_qpn = attr->dest_qp_num;
    qp->peer = &qp->wire->slot[attr->dest_qp_num % STUB_QPS];
  }
  return 0;
}

/* State, capabilities, peer and Q_Key: nothing else is kept. */
int ibv_query_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int mask, struct ibv_qp_init_attr *init)
{
  (void)mask;
  const struct stub_qp *qp = (const struct stub_qp *)ibv;
  *attr = (struct ibv_qp_attr){.qp_state = ibv->state,
                               .cur_qp_state = ibv->state,
                               .cap = qp->init.cap,
                               .dest_qp_num = qp->dest_qpn,
                               .qkey = qp->qkey,
                               .port_num = 1};
  *init = qp->init;
  return 0;
}

int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags)
{
  (void)qp, (void)op, (void)flags;
  return 0;
}

int ibv_destroy_qp(struct ibv_qp *ibv)
{
  struct stub_qp *qp = (struct stub_qp *)ibv;
  if (qp->listening)
    stub_deafen(qp);
  stub_rq_free(&qp->own);
  free(qp);
  return 0;
}

int ibv_attach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
  (void)qp, (void)gid, (void)lid;
  return EOPNOTSUPP;
}

int ibv_detach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
  (void)qp, (void)gid, (void)lid;
  return EOPNOTSUPP;
}

int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
  (void)qp, (void)ece;
  return EOPNOTSUPP;
}

int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece)
{
  (void)qp, (void)ece;
  return EOPNOTSUPP;
}

/* --- address handles ---------------------------------------------------------------------------------------------- */

struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
  (void)attr;
  struct ibv_ah *ah = calloc(1, sizeof *ah);
  if (ah != NULL)
    *ah = (struct ibv_ah){.context = pd->context, .pd = pd};
  return ah;
}

/* There is one address, so who sent a message does not matter. */
int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port, struct ibv_wc *wc, struct ibv_grh *grh,
                        struct ibv_ah_attr *attr)
{
  (void)wc, (void)grh;
  *attr = (struct ibv_ah_attr){.is_global = 1, .port_num = port, .grh = {.hop_limit = 64}};
  return ibv_query_gid(context, port, 0, &attr->grh.dgid);
}

struct ibv_ah *ibv_create_ah_from_wc(struct ibv_pd *pd, struct ibv_wc *wc, struct ibv_grh *grh, uint8_t port)
{
  struct ibv_ah_attr attr;
  return ibv_init_ah_from_wc(pd->context, port, wc, grh, &attr) == 0 ? ibv_create_ah(pd, &attr) : NULL;
}

int ibv_destroy_ah(struct ibv_ah *ah)
{
  free(ah);
  return 0;
}
