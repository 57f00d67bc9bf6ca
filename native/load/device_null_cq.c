/* Completion queues of a null device, and their events. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "device_null.h"

/* One file serves both a completion that is there and one that is still to come. */
static void set_timer(struct null_cq *cq, uint64_t at)
{
  const struct load_clock *clock = &cq->device->fabric->clock;
  uint64_t now = load_ticks();
  double ns = at > now ? ceil(load_clock_span_ns(clock, at - now)) + 1 : 1; /* 0 would disarm it */
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ns / 1e9), .tv_nsec = (long)fmod(ns, 1e9)}};
  cq->fires = at;
  (void)timerfd_settime(cq->fd, 0, &when, NULL);
}

void null_cq_wake(struct null_cq *cq, uint64_t at)
{
  if (at < cq->fires)
    set_timer(cq, at);
}

void null_cq_tell(struct null_cq *cq)
{
  cq->waiting++;
  if (cq->waiting < cq->count) {
    null_cq_wake(cq, load_ticks() + cq->period);
    return;
  }
  cq->armed = false;
  null_cq_wake(cq, 0);
}

void null_cq_overrun(struct null_cq *cq)
{
  if (cq->broken)
    return;
  cq->broken = true;
  null_event_add(cq->device, true, "CQ_ERR");
  cq->device->fabric->version++;
}

bool null_cq_make(struct load_device *device, const struct load_cq_wish *wish, struct load_cq *out,
                  struct load_error *e)
{
  struct null_device *d = null_device_of(device);
  if (wish->entries == 0 || wish->entries > device->caps.max_cqe)
    return load_fail_os(e, EINVAL, "%s: a completion queue of %u entries (it takes 1 to %u)", device->name,
                        wish->entries, device->caps.max_cqe);
  if (wish->events && !device->caps.can_event)
    return load_fail_feature(e, "events", "%s: it has no completion events", device->name);
  uint32_t room = 1;
  while (room < wish->entries)
    room *= 2;
  struct null_cq *cq = malloc(sizeof *cq);
  struct null_cqe *ring = calloc(room, sizeof *ring);
  int fd = cq != NULL && wish->events ? timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC) : -1;
  int problem = cq == NULL || ring == NULL ? ENOMEM : wish->events && fd < 0 ? errno : d->dead ? EIO : 0;
  if (problem != 0) {
    free(cq);
    free(ring);
    if (fd >= 0)
      (void)close(fd);
    return load_fail_os(e, problem, "%s: a completion queue of %u entries", device->name, wish->entries);
  }
  *cq = (struct null_cq){.device = d, .ring = ring, .mask = room - 1, .entries = wish->entries, .fd = fd};
  cq->timestamps = wish->timestamps;
  cq->fires = NULL_NEVER;
  cq->count = wish->moderate_period_us > 0 ? wish->moderate_count : 0;
  cq->period = (uint64_t)(1e3 * wish->moderate_period_us * d->fabric->clock.ticks_per_ns);
  null_world_enter(d->fabric);
  cq->next = d->cqs;
  cq->link = &d->cqs;
  if (d->cqs != NULL)
    d->cqs->link = &cq->next;
  d->cqs = cq;
  null_world_leave(d->fabric);
  *out = (struct load_cq){device, fd, cq};
  return true;
}

void null_cq_free(struct load_cq *which)
{
  struct null_cq *cq = which->impl;
  struct null_fabric *fabric = cq->device->fabric;
  null_world_enter(fabric);
  *cq->link = cq->next;
  if (cq->next != NULL)
    cq->next->link = cq->link;
  null_world_leave(fabric);
  if (cq->fd >= 0)
    (void)close(cq->fd);
  free(cq->ring);
  free(cq);
  *which = (struct load_cq){.fd = -1};
}

/* What is seen to be over makes room in the send queue of its QP, if that is still the one it was. */
static void retire(const struct null_fabric *fabric, const struct null_cqe *cqe)
{
  struct null_qp *qp = null_fabric_qp(fabric, cqe->wc.qpn);
  if (!cqe->wc.recv && qp != NULL && qp->epoch == cqe->epoch)
    qp->retired = cqe->sent;
}

unsigned null_poll(struct load_cq *which, struct load_wc *out, unsigned most)
{
  struct null_cq *cq = which->impl;
  struct null_device *d = cq->device;
  uint64_t due = atomic_load_explicit(&d->fabric->next_due, memory_order_relaxed);
  if (due != NULL_NEVER && due <= load_ticks())
    null_fabric_progress(d->fabric);
  uint32_t head = atomic_load_explicit(&cq->head, memory_order_relaxed);
  if (head == atomic_load_explicit(&cq->tail, memory_order_relaxed))
    return 0;
  null_lock_take(&d->lock);
  head = atomic_load_explicit(&cq->head, memory_order_relaxed);
  uint32_t there = atomic_load_explicit(&cq->tail, memory_order_relaxed) - head;
  unsigned n = there < most ? there : most;
  for (unsigned i = 0; i < n; i++) {
    const struct null_cqe *cqe = &cq->ring[(head + i) & cq->mask];
    out[i] = cqe->wc;
    retire(d->fabric, cqe);
  }
  atomic_store_explicit(&cq->head, head + n, memory_order_relaxed);
  null_lock_give(&d->lock);
  return n;
}

bool null_arm(struct load_cq *which)
{
  struct null_cq *cq = which->impl;
  if (cq->fd < 0)
    return false;
  null_lock_take(&cq->device->lock);
  cq->armed = true;
  cq->waiting = 0;
  null_cq_wake(cq, atomic_load_explicit(&cq->device->fabric->next_due, memory_order_relaxed));
  null_lock_give(&cq->device->lock);
  return true;
}

void null_acknowledge(struct load_cq *which)
{
  struct null_cq *cq = which->impl;
  uint64_t times;
  if (cq->fd < 0)
    return;
  null_lock_take(&cq->device->lock);
  if (read(cq->fd, &times, sizeof times) == sizeof times)
    cq->fires = NULL_NEVER;
  null_lock_give(&cq->device->lock);
}
