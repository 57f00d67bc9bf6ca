/* What null devices are connected to: numbers of queue pairs, what is due when, and who may change it. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_null.h"

enum { SPINS = 64, FIRST_ROOM = 64, FATAL_ROOM = 8, CALIBRATION_NS = 10000000 };

/* Devices of one process find each other through this, as real ones do through a cable: load_device_ops has nothing
 * that two devices have in common. */
static struct null_fabric the_fabric = {.world = PTHREAD_MUTEX_INITIALIZER, .next_due = NULL_NEVER};

void null_lock_wait(struct null_lock *lock)
{
  for (int i = 0; i < SPINS; i++) {
    if (!atomic_load_explicit(&lock->held, memory_order_relaxed))
      return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  (void)sched_yield();
}

/* --- the world --------------------------------------------------------------------------------------------------- */

static uint64_t earliest(const struct null_fabric *fabric)
{
  return fabric->n_heap == 0 ? NULL_NEVER : fabric->heap[0]->due;
}

void null_world_enter(struct null_fabric *fabric)
{
  (void)pthread_mutex_lock(&fabric->world);
  for (struct null_device *d = fabric->devices; d != NULL; d = d->next)
    null_lock_take(&d->lock);
}

void null_world_leave(struct null_fabric *fabric)
{
  uint64_t due = earliest(fabric);
  uint64_t before = atomic_load_explicit(&fabric->next_due, memory_order_relaxed);
  atomic_store_explicit(&fabric->next_due, due, memory_order_relaxed);
  for (struct null_device *d = fabric->devices; d != NULL; d = d->next) {
    for (struct null_cq *cq = d->cqs; due < before && cq != NULL; cq = cq->next) {
      if (cq->armed)
        null_cq_wake(cq, due);
    }
    null_lock_give(&d->lock);
  }
  (void)pthread_mutex_unlock(&fabric->world);
}

void null_fabric_join(struct null_device *device)
{
  struct null_fabric *fabric = &the_fabric;
  (void)pthread_mutex_lock(&fabric->world);
  if (fabric->devices == NULL) {
    load_clock_init(&fabric->clock, CALIBRATION_NS);
    fabric->zero = load_ticks();
  }
  device->fabric = fabric;
  device->next = fabric->devices;
  fabric->devices = device;
  (void)pthread_mutex_unlock(&fabric->world);
}

void null_fabric_leave(struct null_device *device)
{
  struct null_fabric *fabric = device->fabric;
  (void)pthread_mutex_lock(&fabric->world);
  struct null_device **at = &fabric->devices;
  while (*at != device)
    at = &(*at)->next;
  *at = device->next;
  if (fabric->devices == NULL) {
    free(fabric->qps);
    free(fabric->heap);
    fabric->qps = fabric->heap = NULL;
    fabric->room = fabric->used = fabric->next_qp = fabric->n_heap = 0;
  }
  (void)pthread_mutex_unlock(&fabric->world);
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */

static bool grow(struct null_fabric *fabric)
{
  uint32_t room = fabric->room == 0 ? FIRST_ROOM : 2 * fabric->room;
  if (room > NULL_MAX_SPAN)
    return false;
  struct null_qp **heap = realloc(fabric->heap, room * sizeof(struct null_qp *));
  if (heap == NULL)
    return false;
  fabric->heap = heap;
  struct null_qp **qps = realloc(fabric->qps, room * sizeof(struct null_qp *));
  if (qps == NULL)
    return false;
  for (uint32_t i = fabric->room; i < room; i++)
    qps[i] = NULL;
  fabric->qps = qps;
  fabric->room = room;
  return true;
}

bool null_fabric_add(struct null_fabric *fabric, struct null_qp *qp)
{
  /* half of the numbers stay free, so that one is not used again soon */
  if (2 * fabric->used >= fabric->room && !grow(fabric))
    return false;
  while (fabric->qps[fabric->next_qp] != NULL)
    fabric->next_qp = (fabric->next_qp + 1) % fabric->room;
  qp->qpn = NULL_FIRST_QPN + fabric->next_qp;
  fabric->qps[fabric->next_qp] = qp;
  fabric->next_qp = (fabric->next_qp + 1) % fabric->room;
  fabric->used++;
  fabric->version++;
  return true;
}

void null_fabric_remove(struct null_fabric *fabric, struct null_qp *qp)
{
  fabric->qps[qp->qpn - NULL_FIRST_QPN] = NULL;
  fabric->used--;
  fabric->version++;
}

/* --- what is due ------------------------------------------------------------------------------------------------- */

static void place(struct null_fabric *fabric, uint32_t i, struct null_qp *qp)
{
  fabric->heap[i] = qp;
  qp->heap_at = i + 1;
}

static void sift(struct null_fabric *fabric, uint32_t i, struct null_qp *qp)
{
  while (i > 0 && fabric->heap[(i - 1) / 2]->due > qp->due) {
    place(fabric, i, fabric->heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  for (;;) {
    uint32_t child = 2 * i + 1;
    if (child + 1 < fabric->n_heap && fabric->heap[child + 1]->due < fabric->heap[child]->due)
      child++;
    if (child >= fabric->n_heap || fabric->heap[child]->due >= qp->due)
      break;
    place(fabric, i, fabric->heap[child]);
    i = child;
  }
  place(fabric, i, qp);
}

void null_fabric_schedule(struct null_fabric *fabric, struct null_qp *qp, uint64_t due)
{
  qp->due = due;
  if (due != NULL_NEVER) {
    sift(fabric, qp->heap_at != 0 ? qp->heap_at - 1 : fabric->n_heap++, qp);
    return;
  }
  if (qp->heap_at == 0)
    return;
  uint32_t hole = qp->heap_at - 1;
  struct null_qp *last = fabric->heap[--fabric->n_heap];
  qp->heap_at = 0;
  if (last != qp)
    sift(fabric, hole, last);
}

void null_fabric_run(struct null_fabric *fabric)
{
  uint64_t now = load_ticks();
  while (earliest(fabric) <= now)
    null_qp_progress(fabric->heap[0], now);
}

void null_fabric_progress(struct null_fabric *fabric)
{
  null_world_enter(fabric);
  null_fabric_run(fabric);
  null_world_leave(fabric);
}

/* --- what befalls devices ---------------------------------------------------------------------------------------- */

void null_event_add(struct null_device *device, bool fatal, const char *format, ...)
{
  uint32_t n = atomic_load_explicit(&device->n_events, memory_order_relaxed);
  if (n >= (fatal ? NULL_EVENTS : NULL_EVENTS - FATAL_ROOM))
    return; /* nobody takes them; there is always room for the first fatal ones */
  struct null_event *event = &device->events[(device->first_event + n) % NULL_EVENTS];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(event->text, sizeof event->text, format, args);
  va_end(args);
  event->fatal = fatal;
  atomic_store_explicit(&device->n_events, n + 1, memory_order_relaxed);
}

void null_device_kill(struct null_device *device)
{
  device->dead = true;
  null_event_add(device, true, "DEVICE_FATAL");
  for (struct null_qp *qp = device->qps; qp != NULL; qp = qp->next) {
    if (qp->state == NULL_READY)
      null_qp_fail(qp);
  }
  device->fabric->version++;
}
