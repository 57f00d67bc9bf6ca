/* Posting on a null device: at once where nothing speaks against it, else by way of a queue with due times. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device_null.h"

/* --- the queue of what waits ------------------------------------------------------------------------------------- */

static bool queue_ready(struct null_qp *qp)
{
  if (qp->queue != NULL)
    return true;
  uint32_t room = 1;
  while (room < qp->wish.sends)
    room *= 2;
  qp->queue_mask = room - 1;
  qp->queue = malloc(room * sizeof *qp->queue);
  qp->queue_sge = malloc((size_t)room * qp->wish.sges * sizeof *qp->queue_sge);
  qp->queue_bytes = malloc((size_t)room * qp->wish.inline_bytes + 1);
  if (qp->queue != NULL && qp->queue_sge != NULL && qp->queue_bytes != NULL)
    return true;
  null_queue_free(qp);
  return false;
}

void null_queue_free(struct null_qp *qp)
{
  free(qp->queue);
  free(qp->queue_sge);
  free(qp->queue_bytes);
  qp->queue = NULL;
  qp->queue_sge = NULL;
  qp->queue_bytes = NULL;
}

void null_queue_drop(struct null_qp *qp, bool flush)
{
  while (qp->head != qp->tail) {
    const struct load_wr *wr = &qp->queue[qp->head++ & qp->queue_mask].wr;
    if (flush)
      null_qp_sent(qp, wr, LOAD_WC_WR_FLUSH_ERR);
  }
  qp->head = qp->left = qp->tail = 0;
  null_rq_leave(qp);
  free(qp->held.bytes);
  qp->held = (struct null_held){0};
  null_fabric_schedule(qp->device->fabric, qp, NULL_NEVER);
}

static void copy_inline(struct null_qp *qp, uint32_t slot, struct load_wr *wr)
{
  uint8_t *bytes = qp->queue_bytes + (size_t)slot * qp->wish.inline_bytes;
  struct load_sge *sge = qp->queue_sge + (size_t)slot * qp->wish.sges;
  uint32_t used = 0;
  for (uint32_t i = 0; i < wr->n_sge; i++) {
    memcpy(bytes + used, (const void *)(uintptr_t)wr->sge[i].addr, wr->sge[i].length);
    used += wr->sge[i].length;
  }
  *sge = (struct load_sge){(uint64_t)(uintptr_t)bytes, used, 0};
  wr->sge = sge;
  wr->n_sge = 1;
}

static struct null_work *enqueue(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr)
{
  if (!queue_ready(qp))
    return NULL;
  uint32_t slot = qp->tail & qp->queue_mask;
  struct null_work *work = &qp->queue[slot];
  *work = (struct null_work){.wr = *wr, .opcode = opcode, .length = null_length(wr)};
  if ((wr->flags & LOAD_INLINE) != 0) {
    copy_inline(qp, slot, &work->wr);
  } else {
    struct load_sge *sge = qp->queue_sge + (size_t)slot * qp->wish.sges;
    memcpy(sge, wr->sge, wr->n_sge * sizeof *sge);
    work->wr.sge = sge;
  }
  qp->tail++;
  return work;
}

/* --- time -------------------------------------------------------------------------------------------------------- */

static double since_zero(const struct null_fabric *fabric, uint64_t ticks)
{
  return (double)(ticks - fabric->zero);
}

/* When the next message of a QP with a pace may leave. */
static uint64_t pace(struct null_qp *qp, uint64_t length, uint64_t now)
{
  const struct null_fabric *fabric = qp->device->fabric;
  if (qp->pace_ticks <= 0)
    return now;
  double start = fmax(qp->pace_free, since_zero(fabric, now));
  qp->pace_free = start + (double)length * qp->pace_ticks;
  return fabric->zero + (uint64_t)ceil(start);
}

/* A message leaves through the port, after those that left before it. */
static void depart(struct null_qp *qp, struct null_work *work)
{
  struct null_device *d = qp->device;
  double start = fmax(d->port_free, since_zero(d->fabric, work->start));
  d->port_free = start + (double)work->length * d->byte_ticks;
  work->due = d->fabric->zero + (uint64_t)ceil(d->port_free) + d->latency_ticks;
  qp->left++;
}

static void schedule(struct null_qp *qp)
{
  uint64_t due = qp->held.any ? qp->held.until : NULL_NEVER;
  const struct null_work *queue = qp->queue;
  if (queue != NULL && qp->head != qp->left && queue[qp->head & qp->queue_mask].due < due)
    due = queue[qp->head & qp->queue_mask].due;
  if (queue != NULL && qp->left != qp->tail && queue[qp->left & qp->queue_mask].start < due)
    due = queue[qp->left & qp->queue_mask].start;
  null_fabric_schedule(qp->device->fabric, qp, due);
}

static void arrive(struct null_qp *qp, uint64_t now)
{
  while (qp->state == NULL_READY && qp->head != qp->left) {
    struct null_work *work = &qp->queue[qp->head & qp->queue_mask];
    if (work->due > now)
      return;
    qp->head++; /* before it is done: when it fails, what is behind it is flushed */
    uint64_t again = null_execute(qp, work->opcode, &work->wr, now);
    if (again != 0) {
      qp->head--;
      work->due = again;
      return;
    }
  }
}

void null_qp_progress(struct null_qp *qp, uint64_t now)
{
  if (qp->held.any && qp->held.until <= now)
    null_held_release(qp);
  while (qp->left != qp->tail && qp->queue[qp->left & qp->queue_mask].start <= now)
    depart(qp, &qp->queue[qp->left & qp->queue_mask]);
  arrive(qp, now);
  schedule(qp);
}

void null_rq_leave(struct null_qp *qp)
{
  if (qp->waits_for == NULL)
    return;
  struct null_qp **at = &qp->waits_for->waiting;
  while (*at != qp)
    at = &(*at)->next_waiting;
  *at = qp->next_waiting;
  qp->waits_for = NULL;
}

void null_rq_forget(struct null_rq *rq)
{
  while (rq->waiting != NULL)
    null_rq_leave(rq->waiting);
}

void null_rq_ready(struct null_rq *rq)
{
  while (rq->waiting != NULL) {
    struct null_qp *qp = rq->waiting;
    null_rq_leave(qp);
    qp->queue[qp->head & qp->queue_mask].due = load_ticks();
    schedule(qp);
  }
}

/* --- posting ----------------------------------------------------------------------------------------------------- */

static int check(const struct null_qp *qp, const struct load_wr *wr)
{
  if (qp->state == NULL_RESET || wr->n_sge > qp->wish.sges)
    return EINVAL;
  if ((wr->flags & LOAD_INLINE) != 0 && null_length(wr) > qp->wish.inline_bytes)
    return EINVAL;
  return qp->posted - qp->retired == qp->wish.sends ? ENOMEM : 0;
}

static int queue_up(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr, uint64_t now, uint64_t due)
{
  struct null_work *work = enqueue(qp, opcode, wr);
  if (work == NULL) {
    if (qp->head == qp->tail)
      null_rq_leave(qp); /* there is nothing to wait with */
    return ENOMEM;
  }
  qp->posted++;
  work->start = due != 0 ? now : pace(qp, work->length, now);
  if (due != 0) { /* was on its way already */
    work->due = due;
    qp->left++;
  } else if (work->start <= now && qp->left + 1 == qp->tail) {
    depart(qp, work);
  }
  return 0;
}

/* World. */
static int post_one(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr, uint64_t now)
{
  int problem = check(qp, wr);
  if (problem != 0)
    return problem;
  if (qp->state == NULL_ERROR) {
    qp->posted++;
    null_qp_sent(qp, wr, LOAD_WC_WR_FLUSH_ERR);
    return 0;
  }
  if (qp->head != qp->tail || qp->device->delays || qp->pace_ticks > 0)
    return queue_up(qp, opcode, wr, now, 0);
  uint64_t again = null_execute(qp, opcode, wr, now);
  if (again != 0)
    return queue_up(qp, opcode, wr, now, again);
  qp->posted++;
  return 0;
}

static int post(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr, unsigned n, unsigned *done)
{
  int problem = 0;
  null_world_enter(qp->device->fabric);
  uint64_t now = load_ticks();
  for (; *done < n && problem == 0; *done += problem == 0 ? 1 : 0)
    problem = post_one(qp, opcode, &wr[*done], now);
  if (qp->state == NULL_READY)
    schedule(qp);
  null_world_leave(qp->device->fabric);
  return problem;
}

/* Writes that nothing stands in the way of; stops at the first of which that is not sure. Returns how many. Device. */
static unsigned write_quickly(struct null_qp *qp, const struct load_wr *wr, unsigned n)
{
  const struct null_qp *peer = null_peer(qp);
  if (peer == NULL || !qp->peer_quick || qp->head != qp->tail)
    return 0;
  const struct null_device *d = qp->device;
  bool data = d->options.data;
  uint32_t room = qp->wish.sends - (qp->posted - qp->retired);
  unsigned most = n < room ? n : room, i = 0;
  for (; i < most; i++) {
    const struct load_wr *w = &wr[i];
    uint64_t length = w->n_sge == 1 ? w->sge[0].length : 0;
    bool local = (w->flags & LOAD_INLINE) != 0
                     ? length <= qp->wish.inline_bytes
                     : length > 0 && null_allowed(d, w->sge[0].lkey, w->sge[0].addr, length, 0);
    if (!local || length == 0 || (w->rkey & NULL_RKEY) == 0 ||
        !null_allowed(peer->device, w->rkey & ~NULL_RKEY, w->raddr, length, LOAD_REMOTE_WRITE))
      break;
    if (data)
      null_copy(w->raddr, (const void *)(uintptr_t)w->sge[0].addr, length);
    null_qp_sent(qp, w, LOAD_WC_SUCCESS);
  }
  qp->posted += i;
  return i;
}

static int post_write(struct load_qp *to, const struct load_wr *wr, unsigned n, unsigned *done)
{
  struct null_qp *qp = to->impl;
  *done = 0;
  null_lock_take(&qp->device->lock);
  if (qp->quick)
    *done = write_quickly(qp, wr, n);
  null_lock_give(&qp->device->lock);
  return *done == n ? 0 : post(qp, LOAD_WRITE, wr, n, done);
}

#define POST(verb, opcode)                                                                                             \
  static int post_##verb(struct load_qp *to, const struct load_wr *wr, unsigned n, unsigned *done)                     \
  {                                                                                                                    \
    *done = 0;                                                                                                         \
    return post(to->impl, opcode, wr, n, done);                                                                        \
  }
POST(write_imm, LOAD_WRITE_IMM)
POST(read, LOAD_READ)
POST(send, LOAD_SEND)
POST(send_imm, LOAD_SEND_IMM)
POST(fetch_add, LOAD_FETCH_ADD)
POST(compare_swap, LOAD_COMPARE_SWAP)

/* What the QP was not made for. */
static int post_refused(struct load_qp *to, const struct load_wr *wr, unsigned n, unsigned *done)
{
  (void)to;
  (void)wr;
  *done = 0;
  return n == 0 ? 0 : EINVAL;
}

load_post_fn *null_poster(const struct load_qp *qp, enum load_opcode opcode)
{
  static load_post_fn *const posters[LOAD_OPCODES] = {
      [LOAD_WRITE] = post_write,         [LOAD_WRITE_IMM] = post_write_imm, [LOAD_READ] = post_read,
      [LOAD_SEND] = post_send,           [LOAD_SEND_IMM] = post_send_imm,   [LOAD_FETCH_ADD] = post_fetch_add,
      [LOAD_COMPARE_SWAP] = post_compare_swap,
  };
  static const unsigned transports[] = {
      [LOAD_RC] = (1U << LOAD_OPCODES) - 1,
      [LOAD_UC] = 1U << LOAD_WRITE | 1U << LOAD_WRITE_IMM | 1U << LOAD_SEND | 1U << LOAD_SEND_IMM,
      [LOAD_UD] = 1U << LOAD_SEND | 1U << LOAD_SEND_IMM,
  };
  const struct null_qp *impl = qp->impl;
  bool able = (transports[impl->wish.transport] & impl->wish.opcodes & 1U << opcode) != 0;
  return able ? posters[opcode] : post_refused;
}
