/* A device without verbs: it is made of memory, so that all else of this program runs anywhere, and so that everything
 * that can go wrong can be made to.
 *
 * All null devices of a process form one fabric. A work request is done by the thread that posts it, at once, or, with
 * a latency, a rate or a pace, by whoever polls first after it is due. One that waits for its turn, for a receive or
 * for ever (hang_after) is kept in a queue of its QP. What has failed is answered with the status that InfiniBand gives
 * it, and flushes the rest. Completions are found by polling; a thread that sleeps on a queue's file is woken by a
 * completion, or at the instant at which something is due.
 *
 * Options, "nullN:option=value,..."; those that concern messages are the sender's:
 *
 *   data=off            no byte is moved (on)
 *   latency=10us        from the wire to the completion at both sides
 *   rate=10Gbps         payload that leaves the port
 *   loss=1%, dup=1%, reorder=1%, corrupt=1%
 *                       shares of messages that vanish, come twice, are overtaken by the next (after 1 ms by nothing),
 *                       have one byte changed. UC and UD; RC repairs that, except with unreliable=on. Reads can only be
 *                       corrupted; atomics are left alone
 *   die_after=N         the device is removed after N messages, sent or received
 *   qp_error_after=N    the QP of message N + 1 gets REM_OP_ERR (unreliable ones LOC_QP_OP_ERR); once
 *   hang_after=N        message N + 1 and all after it are accepted and never completed
 *   max_qp, max_wr, max_cqe
 *                       limits of the device
 *   no_events=on        completion queues have no file to sleep on
 *   seed=N              of what happens by chance
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_null.h"

static struct load_caps caps_of(const struct null_options *o)
{
  return (struct load_caps){.max_qp = (uint32_t)o->max_qp,
                            .max_qp_wr = (uint32_t)o->max_wr,
                            .max_cqe = (uint32_t)o->max_cqe,
                            .max_srq_wr = (uint32_t)o->max_wr,
                            .max_sge = LOAD_MAX_SGE,
                            .max_rd_atomic = NULL_MAX_RD_ATOMIC,
                            .max_init_rd_atomic = NULL_MAX_RD_ATOMIC,
                            .atomics = true,
                            .srq = true,
                            .timestamps = true,
                            .pacing = true,
                            /* without a rate it is as fast as the processor that plays it */
                            .software = o->rate_bps <= 0,
                            .can_event = !o->no_events};
}

static void null_set_up(struct null_device *d)
{
  const struct null_options *o = &d->options;
  const uint8_t gid[16] = {[10] = 0xFF, 0xFF, 10, 255, (uint8_t)(d->number >> 8), (uint8_t)d->number};
  memcpy(d->gid, gid, sizeof gid);
  d->spoils = o->loss > 0 || o->dup > 0 || o->corrupt > 0 || o->reorder > 0;
  d->counts = o->die_after != NULL_NEVER || o->qp_error_after != NULL_NEVER || o->hang_after != NULL_NEVER;
  d->delays = o->latency_ns > 0 || o->rate_bps > 0;
  rng_seed_stream(&d->rng, o->seed, d->number);
}

static bool null_open(struct load_device *device, struct load_error *e)
{
  uint32_t number;
  struct null_options options;
  if (!null_options_read(device->name, &number, &options, e))
    return false;
  struct null_device *d = aligned_alloc(_Alignof(struct null_device), sizeof *d);
  if (d == NULL)
    return load_fail_os(e, ENOMEM, "%s: opening it", device->name);
  memset(d, 0, sizeof *d);
  d->options = options;
  d->name = device->name;
  d->number = number;
  null_set_up(d);
  null_fabric_join(d);
  double ticks = d->fabric->clock.ticks_per_ns;
  d->byte_ticks = options.rate_bps > 0 ? 8e9 * ticks / options.rate_bps : 0;
  d->latency_ticks = (uint64_t)(options.latency_ns * ticks);
  device->caps = caps_of(&options);
  device->numa_node = -1;
  device->impl = d;
  return true;
}

/* All that was made of it has been freed. */
static void null_close(struct load_device *device)
{
  struct null_device *d = null_device_of(device);
  null_fabric_leave(d);
  free(d->regions);
  free(d);
  device->impl = NULL;
}

static bool null_port(struct load_device *device, uint8_t port, struct load_port *out, struct load_error *e)
{
  const struct null_device *d = null_device_of(device);
  if (port != 1)
    return load_fail(e, LOAD_NO_DEVICE, "%s has port 1 and no port %u", device->name, port);
  if (d->dead)
    return load_fail(e, LOAD_PORT_DOWN, "%s port %u: the device was removed", device->name, port);
  *out = (struct load_port){.mtu = NULL_MTU, .rate_bps = (uint64_t)d->options.rate_bps};
  return true;
}

static bool null_gid(struct load_device *device, uint8_t port, const struct load_gid_wish *wish, struct load_gid *out,
                     struct load_error *e)
{
  const struct null_device *d = null_device_of(device);
  bool fits = wish->index >= 0 ? wish->index == 0
                               : wish->v2 && (wish->family == NULL || strcmp(wish->family, "ipv4") == 0);
  if (port != 1 || !fits) {
    char asked[48];
    if (wish->index >= 0)
      (void)snprintf(asked, sizeof asked, "index %d", wish->index);
    else
      (void)snprintf(asked, sizeof asked, "RoCE %s, %s", wish->v2 ? "v2" : "v1",
                     wish->family == NULL ? "any family" : wish->family);
    return load_fail(e, LOAD_NO_GID, "%s port %u: no GID with %s; there is 0: RoCE v2 ipv4 10.255.%u.%u on port 1",
                     device->name, port, asked, d->number >> 8, d->number & 0xFF);
  }
  *out = (struct load_gid){.index = 0, .v2 = true, .family = "ipv4"};
  memcpy(out->raw, d->gid, sizeof d->gid);
  return true;
}

static bool null_async_event(struct load_device *device, char *text, size_t size, bool *fatal)
{
  struct null_device *d = null_device_of(device);
  if (atomic_load_explicit(&d->n_events, memory_order_relaxed) == 0)
    return false;
  null_lock_take(&d->lock);
  uint32_t n = atomic_load_explicit(&d->n_events, memory_order_relaxed);
  if (n > 0) {
    const struct null_event *event = &d->events[d->first_event];
    (void)snprintf(text, size, "%s", event->text);
    *fatal = event->fatal;
    d->first_event = (d->first_event + 1) % NULL_EVENTS;
    atomic_store_explicit(&d->n_events, n - 1, memory_order_relaxed);
  }
  null_lock_give(&d->lock);
  return n > 0;
}

static double null_tick_ns(struct load_device *device)
{
  return 1 / null_device_of(device)->fabric->clock.ticks_per_ns;
}

const struct load_device_ops load_null_ops = {
    .kind = "null",
    .open = null_open,
    .close = null_close,
    .port = null_port,
    .gid = null_gid,
    .reg = null_reg,
    .dereg = null_dereg,
    .cq_make = null_cq_make,
    .cq_free = null_cq_free,
    .srq_make = null_srq_make,
    .srq_free = null_srq_free,
    .qp_make = null_qp_make,
    .qp_connect = null_qp_connect,
    .qp_reset = null_qp_reset,
    .qp_free = null_qp_free,
    .qp_pace = null_qp_pace,
    .async_event = null_async_event,
    .tick_ns = null_tick_ns,
    .poster = null_poster,
    .poll = null_poll,
    .arm = null_arm,
    .acknowledge = null_acknowledge,
    .post_recv = null_post_recv,
    .post_srq = null_post_srq,
};
