/* Receive queues, completion queues and completion events. */
#include "stub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LOOK_NS = 50000 }; /* how soon an armed completion queue is looked at */

static uint32_t power_of_two(uint32_t least)
{
  uint32_t size = 1;
  while (size < least)
    size *= 2;
  return size;
}

/* --- receives ----------------------------------------------------------------------------------------------------- */

bool stub_rq_make(struct stub_rq *rq, uint32_t entries)
{
  uint32_t slots = power_of_two(entries);
  *rq = (struct stub_rq){.ids = calloc(slots, sizeof *rq->ids), .size = entries, .mask = slots - 1};
  return rq->ids != NULL;
}

void stub_rq_free(struct stub_rq *rq)
{
  free(rq->ids);
  rq->ids = NULL;
}

static int post_receives(struct stub_rq *rq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
  for (; wr != NULL; wr = wr->next) {
    if (rq->tail - rq->head >= rq->size) {
      *bad = wr;
      return ENOMEM;
    }
    rq->ids[rq->tail++ & rq->mask] = wr->wr_id;
  }
  return 0;
}

int stub_post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
  struct stub_qp *qp = (struct stub_qp *)ibv;
  if (!qp->listening && !stub_listen(qp)) {
    *bad = wr;
    return ENOMEM;
  }
  return post_receives(&qp->own, wr, bad);
}

int stub_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
  return post_receives(&((struct stub_srq *)srq)->rq, wr, bad);
}

/* A completion queue looks only at queue pairs that were ever given a receive. */
bool stub_listen(struct stub_qp *qp)
{
  struct stub_cq *cq = qp->recv_cq;
  struct stub_qp **all = realloc(cq->listeners, (cq->n_listeners + 1) * sizeof *all);
  if (all == NULL)
    return false;
  all[cq->n_listeners++] = qp;
  cq->listeners = all;
  qp->listening = true;
  return true;
}

void stub_deafen(struct stub_qp *qp)
{
  struct stub_cq *cq = qp->recv_cq;
  for (uint32_t i = 0; i < cq->n_listeners; i++) {
    if (cq->listeners[i] == qp) {
      cq->listeners[i] = cq->listeners[--cq->n_listeners];
      break;
    }
  }
  qp->listening = false;
}

static bool can_receive(const struct stub_qp *qp)
{
  return qp->rq->head != qp->rq->tail && atomic_load_explicit(&qp->slot->arrived, memory_order_acquire) != qp->taken;
}

static int receive(struct stub_qp *qp, int most, struct ibv_wc *out)
{
  const struct stub_slot *from = qp->slot;
  uint32_t grh = qp->base.qp_base.qp_type == IBV_QPT_UD ? STUB_GRH_BYTES : 0;
  int n = 0;
  for (; n < most && can_receive(qp); n++) {
    out[n] = (struct ibv_wc){
      .wr_id = qp->rq->ids[qp->rq->head++ & qp->rq->mask],
      .status = IBV_WC_SUCCESS,
      .opcode = (enum ibv_wc_opcode)from->opcode,
      .byte_len = from->length + grh,
      .imm_data = from->imm,
      .qp_num = qp->qpn,
      .src_qp = from->sender,
      .wc_flags = from->wc_flags | (grh != 0 ? IBV_WC_GRH : 0U),
    };
    qp->taken++;
  }
  return n;
}

/* --- completions -------------------------------------------------------------------------------------------------- */

/* Each poll begins with another queue pair, so that none starves the others. */
static int poll_listeners(struct stub_cq *cq, int most, struct ibv_wc *out)
{
  int n = 0;
  uint32_t at = cq->turn;
  for (uint32_t i = 0; i < cq->n_listeners && n < most; i++) {
    at = at + 1 < cq->n_listeners ? at + 1 : 0;
    n += receive(cq->listeners[at], most - n, out + n);
  }
  cq->turn = at;
  return n;
}

static _Noreturn void overrun(const struct stub_cq *cq)
{
  fprintf(stderr, "stub verbs: a completion queue of %u entries was overrun\n", cq->mask + 1);
  abort();
}

int stub_poll_cq(struct ibv_cq *ibv, int most, struct ibv_wc *out)
{
  struct stub_cq *cq = (struct stub_cq *)ibv;
  uint32_t ready = cq->tail - cq->head;
  if (ready > cq->mask + 1)
    overrun(cq);
  int n = ready < (uint32_t)most ? (int)ready : most;
  for (int i = 0; i < n; i++) {
    const struct stub_cqe *e = &cq->ring[cq->head++ & cq->mask];
    out[i].wr_id = e->wr_id;
    out[i].status = (enum ibv_wc_status)e->status;
    out[i].opcode = (enum ibv_wc_opcode)e->opcode;
    out[i].qp_num = e->qpn;
    out[i].wc_flags = 0;
  }
  if (cq->n_listeners != 0 && n < most)
    n += poll_listeners(cq, most - n, out + n);
  return n;
}

bool stub_cq_ready(const struct stub_cq *cq)
{
  bool ready = cq->tail != cq->head;
  for (uint32_t i = 0; i < cq->n_listeners && !ready; i++)
    ready = can_receive(cq->listeners[i]);
  return ready;
}

/* --- extended polling --------------------------------------------------------------------------------------------- */

static int next_poll(struct ibv_cq_ex *ex)
{
  struct stub_cq *cq = (struct stub_cq *)ex;
  if (stub_poll_cq(&cq->base.plain, 1, &cq->now) == 0)
    return ENOENT;
  ex->wr_id = cq->now.wr_id;
  ex->status = cq->now.status;
  return 0;
}

static int start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
  return attr->comp_mask != 0 ? EINVAL : next_poll(ex);
}

static void end_poll(struct ibv_cq_ex *ex)
{
  (void)ex;
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.opcode;
}

static uint32_t read_byte_len(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.imm_data;
}

static uint32_t read_qp_num(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.qp_num;
}

static uint32_t read_src_qp(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.src_qp;
}

static unsigned read_wc_flags(struct ibv_cq_ex *ex)
{
  return ((struct stub_cq *)ex)->now.wc_flags;
}

/* Vendor error, LID and path bits: there are none. */
static uint32_t read_zero(struct ibv_cq_ex *ex)
{
  (void)ex;
  return 0;
}

static uint8_t read_zero_byte(struct ibv_cq_ex *ex)
{
  (void)ex;
  return 0;
}

static void fill_extended(struct ibv_cq_ex *ex)
{
  ex->start_poll = start_poll;
  ex->next_poll = next_poll;
  ex->end_poll = end_poll;
  ex->read_opcode = read_opcode;
  ex->read_vendor_err = read_zero;
  ex->read_byte_len = read_byte_len;
  ex->read_imm_data = read_imm_data;
  ex->read_qp_num = read_qp_num;
  ex->read_src_qp = read_src_qp;
  ex->read_wc_flags = read_wc_flags;
  ex->read_slid = read_zero;
  ex->read_sl = read_zero_byte;
  ex->read_dlid_path_bits = read_zero_byte;
}

/* --- making them -------------------------------------------------------------------------------------------------- */

static void join_channel(struct stub_cq *cq, struct ibv_comp_channel *channel)
{
  struct stub_channel *of = (struct stub_channel *)channel;
  cq->next = of->cqs;
  of->cqs = cq;
  channel->refcnt++;
}

static void leave_channel(struct stub_cq *cq, struct ibv_comp_channel *channel)
{
  struct stub_cq **at = &((struct stub_channel *)channel)->cqs;
  while (*at != NULL && *at != cq)
    at = &(*at)->next;
  if (*at == cq)
    *at = cq->next;
  channel->refcnt--;
}

struct ibv_cq_ex *stub_create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr)
{
  bool unknown = (attr->wc_flags & ~(uint64_t)IBV_WC_STANDARD_FLAGS) != 0 ||
                 (attr->comp_mask & ~(uint32_t)IBV_CQ_INIT_ATTR_MASK_FLAGS) != 0;
  if (unknown || attr->cqe == 0 || attr->cqe > STUB_MAX_CQE) {
    errno = unknown ? EOPNOTSUPP : EINVAL;
    return NULL;
  }
  struct stub_cq *cq = calloc(1, sizeof *cq);
  uint32_t slots = power_of_two(attr->cqe);
  if (cq == NULL || (cq->ring = calloc(slots, sizeof *cq->ring)) == NULL) {
    free(cq);
    errno = ENOMEM;
    return NULL;
  }
  cq->mask = slots - 1;
  struct ibv_cq_ex *ex = &cq->base.ex;
  ex->context = context;
  ex->channel = attr->channel;
  ex->cq_context = attr->cq_context;
  ex->cqe = (int)slots;
  fill_extended(ex);
  if (attr->channel != NULL)
    join_channel(cq, attr->channel);
  return ex;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context, struct ibv_comp_channel *channel,
                             int comp_vector)
{
  (void)comp_vector;
  struct ibv_cq_init_attr_ex attr = {
    .cqe = cqe > 0 ? (uint32_t)cqe : 0, .cq_context = cq_context, .channel = channel};
  struct ibv_cq_ex *ex = stub_create_cq_ex(context, &attr);
  return ex == NULL ? NULL : ibv_cq_ex_to_cq(ex);
}

int ibv_resize_cq(struct ibv_cq *cq, int cqe)
{
  (void)cq, (void)cqe;
  return EOPNOTSUPP;
}

int ibv_destroy_cq(struct ibv_cq *ibv)
{
  struct stub_cq *cq = (struct stub_cq *)ibv;
  if (ibv->channel != NULL)
    leave_channel(cq, ibv->channel);
  free(cq->listeners);
  free(cq->ring);
  free(cq);
  return 0;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Completions may come from another process, which cannot reach a descriptor of this one, and posting must not pay for
 * events. So the descriptor of a channel is a timer: it runs out a moment after a completion queue was armed, and gives
 * an event whether something came or not. Programs poll after an event; they may find nothing. */
static int start_timer(const struct ibv_comp_channel *channel)
{
  const struct itimerspec soon = {.it_value = {.tv_nsec = LOOK_NS}};
  return timerfd_settime(channel->fd, 0, &soon, NULL) == 0 ? 0 : errno;
}

int stub_req_notify(struct ibv_cq *cq, int solicited_only)
{
  (void)solicited_only;
  if (cq->channel == NULL)
    return EINVAL;
  ((struct stub_cq *)cq)->armed = true;
  return start_timer(cq->channel);
}

/* The armed completion queue with the best claim to an event, and how many are armed. */
static struct stub_cq *choose(const struct stub_channel *channel, unsigned *armed)
{
  struct stub_cq *chosen = NULL;
  *armed = 0;
  for (struct stub_cq *cq = channel->cqs; cq != NULL; cq = cq->next) {
    if (!cq->armed)
      continue;
    *armed += 1;
    if (chosen == NULL || (stub_cq_ready(cq) && !stub_cq_ready(chosen)))
      chosen = cq;
  }
  return chosen;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context)
{
  uint64_t times;
  if (read(channel->fd, &times, sizeof times) != (ssize_t)sizeof times)
    return -1;
  unsigned armed;
  struct stub_cq *chosen = choose((const struct stub_channel *)channel, &armed);
  if (chosen == NULL) {
    errno = EAGAIN;
    return -1;
  }
  chosen->armed = false;
  if (armed > 1)
    (void)start_timer(channel);
  *cq = &chosen->base.plain;
  *cq_context = chosen->base.plain.cq_context;
  return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned n)
{
  cq->comp_events_completed += n;
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
  struct stub_channel *channel = calloc(1, sizeof *channel);
  if (channel == NULL)
    return NULL;
  channel->base.context = context;
  channel->base.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (channel->base.fd < 0) {
    free(channel);
    return NULL;
  }
  return &channel->base;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
  if (channel->refcnt != 0)
    return EBUSY;
  close(channel->fd);
  free(channel);
  return 0;
}

/* --- shared receive queues ---------------------------------------------------------------------------------------- */

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
  if (attr->attr.max_wr == 0 || attr->attr.max_wr > STUB_MAX_WR || attr->attr.max_sge > STUB_MAX_SGE) {
    errno = EINVAL;
    return NULL;
  }
  struct stub_srq *srq = calloc(1, sizeof *srq);
  if (srq == NULL || !stub_rq_make(&srq->rq, attr->attr.max_wr)) {
    free(srq);
    errno = ENOMEM;
    return NULL;
  }
  srq->base.context = pd->context;
  srq->base.pd = pd;
  srq->base.srq_context = attr->srq_context;
  return &srq->base;
}

int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
  *attr = (struct ibv_srq_attr){.max_wr = ((struct stub_srq *)srq)->rq.size, .max_sge = STUB_MAX_SGE};
  return 0;
}

int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask)
{
  (void)srq, (void)attr, (void)mask;
  return EOPNOTSUPP;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
  stub_rq_free(&((struct stub_srq *)srq)->rq);
  free(srq);
  return 0;
}
