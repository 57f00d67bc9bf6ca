/* Queue pairs and receive queues of a null device. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_null.h"

/* Our code of an error: tells in reports whose it is. "N" and the status. */
#define VENDOR_ERROR 0x4E00U

/* --- completions ------------------------------------------------------------------------------------------------- */

void null_qp_sent(struct null_qp *qp, const struct load_wr *wr, enum load_status status)
{
  qp->over++;
  if (status == LOAD_WC_SUCCESS && (wr->flags & LOAD_SIGNALED) == 0)
    return;
  struct null_cqe cqe = {.epoch = qp->epoch, .sent = qp->over};
  cqe.wc.id = wr->id;
  cqe.wc.qpn = qp->qpn;
  cqe.wc.status = (uint8_t)status;
  cqe.wc.vendor = status == LOAD_WC_SUCCESS ? 0 : VENDOR_ERROR + status;
  null_cq_add(qp->cq, &cqe);
}

void null_qp_received(struct null_qp *qp, uint64_t id, enum load_status status, uint32_t bytes, const uint32_t *imm)
{
  struct null_cqe cqe = {.epoch = qp->epoch};
  cqe.wc.id = id;
  cqe.wc.qpn = qp->qpn;
  cqe.wc.recv = true;
  cqe.wc.status = (uint8_t)status;
  cqe.wc.vendor = status == LOAD_WC_SUCCESS ? 0 : VENDOR_ERROR + status;
  cqe.wc.bytes = bytes;
  cqe.wc.has_imm = imm != NULL;
  cqe.wc.imm = imm != NULL ? *imm : 0;
  null_cq_add(qp->cq, &cqe);
}

void null_qp_fail(struct null_qp *qp)
{
  if (qp->state == NULL_ERROR)
    return;
  qp->state = NULL_ERROR;
  qp->quick = false;
  qp->device->fabric->version++;
  null_queue_drop(qp, true);
  for (struct null_rq *rq = &qp->own_rq; rq->head != rq->tail; rq->head++)
    null_qp_received(qp, rq->ring[rq->head & rq->mask].id, LOAD_WC_WR_FLUSH_ERR, 0, NULL);
}

/* --- receive queues ---------------------------------------------------------------------------------------------- */

static bool rq_make(struct null_rq *rq, uint32_t depth)
{
  uint32_t room = 1;
  while (room < depth)
    room *= 2;
  *rq = (struct null_rq){.ring = calloc(room, sizeof *rq->ring), .mask = room - 1, .depth = depth};
  return rq->ring != NULL;
}

static int rq_add(struct null_rq *rq, const struct load_recv *recv, unsigned n, unsigned *done)
{
  for (*done = 0; *done < n; (*done)++) {
    if (rq->tail - rq->head == rq->depth)
      return ENOMEM;
    rq->ring[rq->tail++ & rq->mask] = recv[*done];
  }
  return 0;
}

/* After receives were posted, and with nothing held: who waits for them may go on. */
static void wake(struct null_device *device, struct null_rq *rq)
{
  null_world_enter(device->fabric);
  null_rq_ready(rq);
  null_fabric_run(device->fabric);
  null_world_leave(device->fabric);
}

int null_post_recv(struct load_qp *to, const struct load_recv *recv, unsigned n, unsigned *done)
{
  struct null_qp *qp = to->impl;
  int problem = 0;
  *done = 0;
  null_lock_take(&qp->device->lock);
  if (qp->state == NULL_RESET || qp->wish.srq != NULL) {
    problem = EINVAL;
  } else if (qp->state == NULL_ERROR) {
    for (; *done < n; (*done)++)
      null_qp_received(qp, recv[*done].id, LOAD_WC_WR_FLUSH_ERR, 0, NULL);
  } else {
    problem = rq_add(&qp->own_rq, recv, n, done);
  }
  bool waited = qp->own_rq.waiting != NULL;
  null_lock_give(&qp->device->lock);
  if (waited)
    wake(qp->device, &qp->own_rq);
  return problem;
}

struct null_srq {
  struct null_device *device;
  struct null_rq rq;
};

bool null_srq_make(struct load_device *device, uint32_t depth, struct load_srq *out, struct load_error *e)
{
  struct null_device *d = null_device_of(device);
  if (depth == 0 || depth > device->caps.max_srq_wr)
    return load_fail_os(e, EINVAL, "%s: a shared receive queue of %u entries (it takes 1 to %u)", device->name, depth,
                        device->caps.max_srq_wr);
  struct null_srq *srq = malloc(sizeof *srq);
  int problem = d->dead ? EIO : srq == NULL || !rq_make(&srq->rq, depth) ? ENOMEM : 0;
  if (problem != 0) {
    free(srq);
    return load_fail_os(e, problem, "%s: a shared receive queue of %u entries", device->name, depth);
  }
  srq->device = d;
  *out = (struct load_srq){device, srq};
  return true;
}

void null_srq_free(struct load_srq *which)
{
  struct null_srq *srq = which->impl;
  null_world_enter(srq->device->fabric);
  null_rq_forget(&srq->rq);
  null_world_leave(srq->device->fabric);
  free(srq->rq.ring);
  free(srq);
  *which = (struct load_srq){0};
}

int null_post_srq(struct load_srq *to, const struct load_recv *recv, unsigned n, unsigned *done)
{
  struct null_srq *srq = to->impl;
  null_lock_take(&srq->device->lock);
  int problem = rq_add(&srq->rq, recv, n, done);
  bool waited = srq->rq.waiting != NULL;
  null_lock_give(&srq->device->lock);
  if (waited)
    wake(srq->device, &srq->rq);
  return problem;
}

/* --- queue pairs ------------------------------------------------------------------------------------------------- */

static bool check_wish(struct load_device *device, const struct load_qp_wish *wish, struct load_error *e)
{
  const struct load_caps *caps = &device->caps;
  if (wish->sends == 0 || wish->sends > caps->max_qp_wr || wish->receives > caps->max_qp_wr)
    return load_fail_os(e, EINVAL, "%s: a queue pair with %u sends and %u receives (it takes %u of each)", device->name,
                        wish->sends, wish->receives, caps->max_qp_wr);
  if (wish->sges == 0 || wish->sges > caps->max_sge)
    return load_fail_os(e, EINVAL, "%s: a queue pair with %u scatter/gather elements (it takes 1 to %u)", device->name,
                        wish->sges, caps->max_sge);
  if (wish->inline_bytes > NULL_MAX_INLINE)
    return load_fail_feature(e, "inline", "%s: %u bytes inline (it takes %d)", device->name, wish->inline_bytes,
                             NULL_MAX_INLINE);
  return true;
}

/* World. */
static int add_qp(struct null_device *device, struct null_qp *qp)
{
  if (device->dead)
    return EIO;
  if (device->n_qps >= device->options.max_qp || !null_fabric_add(device->fabric, qp))
    return ENOMEM;
  qp->epoch = ++device->fabric->epoch;
  device->n_qps++;
  qp->next = device->qps;
  qp->link = &device->qps;
  if (device->qps != NULL)
    device->qps->link = &qp->next;
  device->qps = qp;
  return 0;
}

bool null_qp_make(struct load_device *device, const struct load_qp_wish *wish, struct load_qp *out,
                  struct load_error *e)
{
  struct null_device *d = null_device_of(device);
  if (!check_wish(device, wish, e))
    return false;
  struct null_qp *qp = malloc(sizeof *qp);
  int problem = ENOMEM;
  if (qp != NULL) {
    *qp = (struct null_qp){.device = d, .wish = *wish, .cq = wish->cq->impl, .due = NULL_NEVER};
    qp->rq = wish->srq != NULL ? &((struct null_srq *)wish->srq->impl)->rq : &qp->own_rq;
    if (rq_make(&qp->own_rq, wish->srq != NULL || wish->receives == 0 ? 1 : wish->receives)) {
      null_world_enter(d->fabric);
      problem = add_qp(d, qp);
      null_world_leave(d->fabric);
    }
  }
  if (problem != 0) {
    if (qp != NULL)
      free(qp->own_rq.ring);
    free(qp);
    return load_fail_os(e, problem, "%s: a queue pair with %u sends and %u receives (it takes %u queue pairs)",
                        device->name, wish->sends, wish->receives, device->caps.max_qp);
  }
  *out = (struct load_qp){.device = device, .qpn = qp->qpn, .impl = qp};
  return true;
}

static bool check_route(const struct load_device *device, const struct load_route *route, struct load_error *e)
{
  if (route->port != 1 || route->sgid_index != 0)
    return load_fail_os(e, EINVAL, "%s: port %u with GID index %u (there is port 1 with index 0)", device->name,
                        route->port, route->sgid_index);
  if (route->mtu < 256 || route->mtu > NULL_MTU || (route->mtu & (route->mtu - 1)) != 0)
    return load_fail_os(e, EINVAL, "%s: an MTU of %u (256 to %d, a power of two)", device->name, route->mtu, NULL_MTU);
  if (route->max_rd_atomic > NULL_MAX_RD_ATOMIC)
    return load_fail_os(e, EINVAL, "%s: %u reads at a time (it takes %d)", device->name, route->max_rd_atomic,
                        NULL_MAX_RD_ATOMIC);
  return true;
}

/* Whether plain writes need no look at anything. */
static bool may_be_quick(const struct null_qp *qp)
{
  const struct null_device *d = qp->device;
  bool spoilt = d->spoils && (qp->wish.transport != LOAD_RC || d->options.unreliable);
  return qp->state == NULL_READY && qp->wish.transport != LOAD_UD && !spoilt && !d->counts && !d->delays &&
         qp->pace_ticks <= 0;
}

bool null_qp_connect(struct load_qp *which, const struct load_route *route, struct load_error *e)
{
  struct null_qp *qp = which->impl;
  struct null_fabric *fabric = qp->device->fabric;
  if (!check_route(which->device, route, e))
    return false;
  null_world_enter(fabric);
  int problem = qp->device->dead ? EIO : qp->state != NULL_RESET ? EINVAL : 0;
  if (problem == 0) {
    qp->route = *route;
    qp->state = NULL_READY;
    qp->quick = may_be_quick(qp);
    fabric->version++;
  }
  null_world_leave(fabric);
  return problem == 0 || load_fail_os(e, problem, "%s: connecting QP %u", which->device->name, which->qpn);
}

/* World. */
static void to_reset(struct null_qp *qp)
{
  null_queue_drop(qp, false);
  null_rq_forget(&qp->own_rq);
  qp->own_rq.head = qp->own_rq.tail = 0;
  qp->posted = qp->over = qp->retired = qp->rnr_tries = 0;
  qp->rnr_until = 0;
  qp->epoch = ++qp->device->fabric->epoch;
  qp->pace_free = 0;
  qp->state = NULL_RESET;
  qp->quick = false;
  qp->device->fabric->version++;
}

bool null_qp_reset(struct load_qp *which, struct load_error *e)
{
  struct null_qp *qp = which->impl;
  if (qp->device->dead)
    return load_fail_os(e, EIO, "%s: resetting QP %u", which->device->name, which->qpn);
  null_world_enter(qp->device->fabric);
  to_reset(qp);
  null_world_leave(qp->device->fabric);
  return true;
}

void null_qp_free(struct load_qp *which)
{
  struct null_qp *qp = which->impl;
  struct null_fabric *fabric = qp->device->fabric;
  null_world_enter(fabric);
  to_reset(qp);
  null_fabric_remove(fabric, qp);
  qp->device->n_qps--;
  *qp->link = qp->next;
  if (qp->next != NULL)
    qp->next->link = qp->link;
  null_world_leave(fabric);
  null_queue_free(qp);
  free(qp->own_rq.ring);
  free(qp);
  *which = (struct load_qp){0};
}

bool null_qp_pace(struct load_qp *which, uint64_t rate_bps, struct load_error *e)
{
  struct null_qp *qp = which->impl;
  struct null_fabric *fabric = qp->device->fabric;
  if (qp->device->dead)
    return load_fail_os(e, EIO, "%s: pacing QP %u", which->device->name, which->qpn);
  null_world_enter(fabric);
  qp->pace_ticks = rate_bps > 0 ? 8e9 * fabric->clock.ticks_per_ns / (double)rate_bps : 0;
  qp->quick = may_be_quick(qp);
  null_world_leave(fabric);
  return true;
}
