/* What all ends have in common: memory, queues, queue pairs, connection, recovery. */
#include "end.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { HOP_LIMIT = 64, POLL_BATCH = 64, PSN_MASK = 0xFFFFFF, UDP_LABEL_MASK = 0x3FFF };
#define QKEY 0x11111111U /* the high bit is clear: keys with it are not for users */

const char *load_fate_name(enum load_fate fate)
{
  static const char *const names[] = {"not_started", "unfinished", "done", "failed", "passive"};
  return names[fate];
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

/* Registers memory, in relaxed order unless a flow says otherwise: the device's writes may then overtake each other on
 * PCIe, but a completion, which is written without that attribute, overtakes none (PCI Express Base, 2.4.1). Ends of a
 * ping-pong look at memory itself. */
static bool reg(struct load_end *end, struct load_region *region, unsigned access, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  if (flow->options.relaxed_ordering && !flow->ping_pong)
    access |= LOAD_RELAXED_ORDERING;
  return end->device->ops->reg(end->device, region->memory.base, region->memory.length, access, &region->mr, e);
}

bool load_region_make(struct load_end *end, struct load_region *region, uint64_t length, uint64_t window,
                      unsigned access, struct load_error *e)
{
  return load_memory_map(&region->memory, length, window, end->device->numa_node, e) && reg(end, region, access, e);
}

static void region_free(struct load_end *end, struct load_region *region)
{
  if (region->mr.impl != NULL)
    end->device->ops->dereg(end->device, &region->mr);
  region->mr.impl = NULL;
  if (region->memory.base != NULL)
    load_memory_unmap(&region->memory);
}

bool load_region_again(struct load_end *end, struct load_region *region, unsigned access, struct load_error *e)
{
  end->device->ops->dereg(end->device, &region->mr);
  region->mr.impl = NULL;
  return reg(end, region, access, e);
}

bool load_slots_make(struct load_end *end, struct load_slots *slots, uint32_t qps, unsigned access,
                     struct load_error *e)
{
  const struct load_layout *layout = &end->layout;
  bool folded = load_layout_folded(layout);
  slots->per_qp = layout->slots * layout->stride;
  slots->stride = layout->stride;
  slots->count = layout->slots;
  slots->regions = calloc(folded ? qps : 1, sizeof *slots->regions);
  if (slots->regions == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short", end->spec.id);
  for (uint32_t i = 0; i < (folded ? qps : 1); i++) {
    slots->n_regions++;
    if (!load_region_make(end, &slots->regions[i], folded ? slots->per_qp : slots->per_qp * qps,
                          folded ? layout->slot_window : 0, access, e))
      return false;
  }
  return true;
}

const struct load_region *load_slots_region(const struct load_slots *slots, uint32_t qp)
{
  return &slots->regions[slots->n_regions > 1 ? qp : 0];
}

uint8_t *load_slots_at(const struct load_slots *slots, uint32_t qp, uint64_t slot)
{
  if (slots->n_regions > 1)
    return slots->regions[qp].memory.base + slot * slots->stride;
  return slots->regions[0].memory.base + qp * slots->per_qp + slot * slots->stride;
}

void load_slots_clear(struct load_slots *slots)
{
  for (uint32_t i = 0; i < slots->n_regions; i++)
    memset(slots->regions[i].memory.base, 0, slots->regions[i].memory.window);
}

static void slots_free(struct load_end *end, struct load_slots *slots)
{
  for (uint32_t i = 0; i < slots->n_regions; i++)
    region_free(end, &slots->regions[i]);
  free(slots->regions);
  *slots = (struct load_slots){0};
}

bool load_payload_ready(struct load_end *end, uint32_t period, struct load_error *e)
{
  if (end->payload.tile != NULL && end->payload.period == period)
    return true;
  load_payload_free(&end->payload);
  return load_payload_init(&end->payload, period) ||
         load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short for its payload", end->spec.id);
}

/* --- queues ---------------------------------------------------------------------------------------------------- */

bool load_end_queues(struct load_end *end, uint32_t entries, uint32_t srq_depth, struct load_error *e)
{
  if (end->cq.impl != NULL)
    return true; /* a recovery keeps it */
  const struct load_options *o = &end->spec.flow.options;
  struct load_cq_wish wish = {.entries = entries < end->device->caps.max_cqe ? entries : end->device->caps.max_cqe,
                              .moderate_count = o->moderate_count,
                              .moderate_period_us = o->moderate_period_us,
                              .timestamps = o->device_time,
                              .events = end->device->caps.can_event && o->polling != LOAD_POLL_BUSY};
  if (!end->device->ops->cq_make(end->device, &wish, &end->cq, e))
    return false;
  return srq_depth == 0 || end->device->ops->srq_make(end->device, srq_depth, &end->srq, e);
}

static uint32_t first_psn(const struct load_end *end, uint32_t index)
{
  if (end->spec.first_psn >= 0)
    return ((uint32_t)end->spec.first_psn + index) & PSN_MASK;
  uint32_t random = index * 2654435761U;
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
    random ^= (uint32_t)load_ticks();
  return random & PSN_MASK;
}

static bool make_qp(struct load_end *end, uint32_t index, const struct load_qp_wish *wish, struct load_error *e)
{
  struct load_lane *lane = &end->lanes[index];
  lane->index = index;
  lane->psn = first_psn(end, index);
  return end->device->ops->qp_make(end->device, wish, &lane->qp, e);
}

static struct load_qp_wish wish_of(struct load_end *end, uint32_t sends, uint32_t receives, uint32_t opcodes)
{
  const struct load_options *o = &end->spec.flow.options;
  return (struct load_qp_wish){.transport = end->spec.flow.transport,
                               .cq = &end->cq,
                               .srq = end->srq.impl != NULL ? &end->srq : NULL,
                               .sends = sends > 0 ? sends : 1,
                               .receives = receives > 0 ? receives : 1,
                               .batch = end->spec.flow.ping_pong ? 1 : o->batch,
                               .sges = o->sges,
                               .inline_bytes = end->spec.source || end->spec.flow.ping_pong ? o->inline_bytes : 0,
                               .opcodes = opcodes,
                               .posting = o->posting};
}

bool load_end_pairs(struct load_end *end, uint32_t sends, uint32_t receives, uint32_t opcodes, struct load_error *e)
{
  struct load_qp_wish wish = wish_of(end, sends, receives, opcodes);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    if (end->lanes[i].qp.impl == NULL && !make_qp(end, i, &wish, e))
      return false;
  }
  return true;
}

static uint32_t next_power_of_two(uint32_t value)
{
  return value <= 1 ? 1 : 1U << (32 - __builtin_clz(value - 1));
}

bool load_end_make(struct load_end *end, uint64_t budget, struct load_error *e)
{
  const struct load_caps *caps = &end->device->caps;
  const struct load_flow *flow = &end->spec.flow;
  struct load_limits limits = {budget, caps->max_qp_wr, caps->max_cqe, caps->max_srq_wr};
  if (!load_layout_plan(&end->spec, &limits, &end->layout, e))
    return false;
  end->ops = flow->ping_pong && !flow->op->fetches ? &load_pingpong_ops
             : end->spec.source                    ? &load_source_ops
                                                   : &load_target_ops;
  end->fate = LOAD_NOT_STARTED;
  end->ended = true;
  end->lanes = calloc(flow->qps, sizeof *end->lanes);
  end->ready_mask = next_power_of_two(flow->qps) - 1;
  end->ready = calloc((size_t)end->ready_mask + 1, sizeof *end->ready);
  end->paced = calloc(flow->qps, sizeof *end->paced);
  if (end->lanes == NULL || end->ready == NULL || end->paced == NULL || !histogram_reserve(&end->latency))
    return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short for %" PRIu32 " QPs", end->spec.id, flow->qps);
  return end->ops->prepare(end, e);
}

/* Queue pairs before queues, queues before memory. */
static void free_verbs(struct load_end *end)
{
  const struct load_device_ops *ops = end->device->ops;
  for (uint32_t i = 0; end->lanes != NULL && i < end->spec.flow.qps; i++) {
    if (end->lanes[i].qp.impl != NULL)
      ops->qp_free(&end->lanes[i].qp);
  }
  if (end->srq.impl != NULL)
    ops->srq_free(&end->srq);
  if (end->cq.impl != NULL)
    ops->cq_free(&end->cq);
  region_free(end, &end->pattern);
  slots_free(end, &end->slots);
  slots_free(end, &end->leaving);
}

void load_end_free(struct load_end *end)
{
  if (end->device != NULL)
    free_verbs(end);
  for (uint32_t i = 0; end->lanes != NULL && i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    free(lane->wr);
    free(lane->sge);
    free(lane->posted_at);
    free(lane->integrity);
  }
  load_payload_free(&end->payload);
  histogram_free(&end->latency);
  free(end->lanes);
  free(end->ready);
  free(end->paced);
  free(end->body_crc);
  free(end->recvs);
  free(end->qpn_slots);
  free(end->later);
  free(end->waits_for);
  *end = (struct load_end){0};
}

/* --- connection ------------------------------------------------------------------------------------------------ */

/* A flow label that gives a UDP source port: Linux folds one as ((fl & 0x3FFF) ^ (fl >> 14)) | 0xC000 and takes 0 for
 * "none" (rdma/ib_verbs.h). */
static uint32_t label_of(const struct load_end *end, uint32_t index)
{
  const struct load_flow *flow = &end->spec.flow;
  if (flow->udp_sport >= 0) {
    uint32_t low = ((uint32_t)flow->udp_sport + index) & UDP_LABEL_MASK;
    return low != 0 ? low : (1U << 14 | 1U);
  }
  return flow->flow_label >= 0 ? (uint32_t)flow->flow_label : 0;
}

static bool connect_lane(struct load_end *end, struct load_lane *lane, struct load_error *e)
{
  const struct load_caps *caps = &end->device->caps;
  const struct load_remote *remote = &lane->remote;
  lane->flow_label = label_of(end, lane->index);
  bool nobody = end->spec.source && end->spec.flow.fault == LOAD_NO_RECEIVER;
  uint8_t outstanding = end->qos.max_rd_atomic;
  uint32_t possible = end->spec.source ? caps->max_init_rd_atomic : caps->max_rd_atomic;
  if (outstanding > possible)
    outstanding = (uint8_t)(possible > 0 ? possible : 1);
  struct load_route route = {
      .port = end->spec.port,
      .sgid_index = end->gid.index,
      .remote_qpn = nobody ? remote->qpn ^ (1U << 22) : remote->qpn, /* devices number upwards from small values */
      .remote_psn = remote->psn,
      .psn = lane->psn,
      .mtu = end->mtu,
      .traffic_class = end->spec.tos,
      .sl = end->spec.sl,
      .hop_limit = HOP_LIMIT,
      .flow_label = lane->flow_label,
      .ack_timeout = end->qos.ack_timeout,
      .retry_count = end->qos.retry_count,
      .rnr_retry = end->qos.rnr_retry,
      .rnr_timer = end->qos.rnr_timer,
      .max_rd_atomic = outstanding,
      .qkey = QKEY,
      .access = LOAD_LOCAL_WRITE | LOAD_REMOTE_WRITE | LOAD_REMOTE_READ | (caps->atomics ? LOAD_REMOTE_ATOMIC : 0U),
  };
  memcpy(route.dgid, remote->gid, sizeof route.dgid);
  return end->device->ops->qp_connect(&lane->qp, &route, e);
}

bool load_end_connect(struct load_end *end, const struct load_remote *remotes, uint32_t n, const char *path,
                      struct load_error *e)
{
  char text[32], expected[48];
  if (n != end->spec.flow.qps) {
    (void)snprintf(text, sizeof text, "%" PRIu32, n);
    (void)snprintf(expected, sizeof expected, "%" PRIu32 " queue pairs", end->spec.flow.qps);
    return load_fail_key(e, path, text, expected);
  }
  for (uint32_t i = 0; i < n; i++) {
    if (remotes[i].mtu != end->mtu) {
      char key[128];
      (void)snprintf(key, sizeof key, "%.80s[%" PRIu32 "].mtu", path, i);
      (void)snprintf(text, sizeof text, "%" PRIu32, remotes[i].mtu);
      (void)snprintf(expected, sizeof expected, "%" PRIu32, end->mtu);
      return load_fail_key(e, key, text, expected);
    }
    end->lanes[i].remote = remotes[i];
    if (!connect_lane(end, &end->lanes[i], e))
      return false;
  }
  return end->ops->connected(end, e);
}

bool load_end_recover(struct load_end *end, struct load_error *e)
{
  uint64_t began = load_mono_ns();
  const struct load_device_ops *ops = end->device->ops;
  struct load_flow *flow = &end->spec.flow;
  uint64_t failed_at = end->failed_at;
  for (uint32_t i = 0; i < flow->qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    if (flow->recover == LOAD_RECOVER_RESET) {
      if (!ops->qp_reset(&lane->qp, e))
        return false;
      lane->psn = first_psn(end, i);
    } else {
      ops->qp_free(&lane->qp);
      lane->qp = (struct load_qp){0};
    }
  }
  struct load_wc wc[POLL_BATCH];
  while (ops->poll(&end->cq, wc, POLL_BATCH) > 0) {
  } /* what was flushed */
  enum load_fault fault = flow->fault;
  flow->fault = LOAD_FAULT_NONE;
  end->error = 0;
  end->vendor = 0;
  end->check = (struct load_check){0};
  end->verified = false;
  bool good = end->ops->prepare(end, e); /* whatever is there already is kept; see the kinds of ends */
  if (good && fault != LOAD_FAULT_NONE && !end->spec.source && end->slots.n_regions > 0) {
    unsigned access = LOAD_LOCAL_WRITE | (flow->op->receives_data ? 0 : flow->op->access);
    for (uint32_t i = 0; i < end->slots.n_regions && good; i++)
      good = load_region_again(end, &end->slots.regions[i], access, e);
  }
  if (good && fault != LOAD_FAULT_NONE && !end->spec.source && end->pattern.mr.impl != NULL)
    good = load_region_again(end, &end->pattern, LOAD_LOCAL_WRITE | flow->op->access, e);
  if (end->slots.n_regions > 0 && !end->spec.source)
    load_slots_clear(&end->slots);
  end->failed_at = failed_at;
  end->recovery_local_ns = load_mono_ns() - began;
  return good;
}

/* --- a run ----------------------------------------------------------------------------------------------------- */

void load_end_begin(struct load_end *end, uint64_t zero)
{
  end->zero = zero;
  end->ended = end->started = false;
  atomic_store(&end->satisfied, false);
  atomic_store(&end->gone, false);
  atomic_store(&end->stopping, false);
  end->fate = LOAD_NOT_STARTED;
  end->error = 0;
  end->vendor = 0;
  end->start = end->finish = end->told = 0;
  end->first_completion = end->last_completion = end->first_device = end->last_device = 0;
  end->gaps = (struct load_gaps){0};
  end->limited_ticks = 0;
  end->dry_since = 0;
  end->in_flight = 0;
  end->lanes_over = 0;
  end->has_rates = false;
  end->series_file = NULL;
  end->polls = end->completions = end->wakeups = end->completed_messages = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    lane->posted = lane->completed = lane->flushed = 0;
    lane->since_signal = lane->last_n = 0;
    lane->over = false;
    lane->start = lane->end = 0;
    lane->fate = LOAD_NOT_STARTED;
    lane->error = 0;
    lane->vendor = 0;
    lane->turn = lane->sent_at = 0;
    atomic_store_explicit(&lane->done_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&lane->done_messages, 0, memory_order_relaxed);
  }
  end->ops->begin(end);
}

void load_end_device_time(struct load_end *end, const struct load_wc *wc, unsigned n)
{
  for (unsigned i = 0; i < n; i++) {
    if (wc[i].status != LOAD_WC_SUCCESS || wc[i].time == 0)
      continue;
    end->first_device = end->first_device == 0 ? wc[i].time : end->first_device;
    end->last_device = wc[i].time;
  }
}

bool load_end_poll(struct load_end *end)
{
  struct load_wc wc[POLL_BATCH];
  bool any = false;
  /* A bound, so that one end cannot keep its thread from the others. Nothing is taken for an end that is over: others
   * read its fate by then. */
  for (int rounds = 0; rounds < 16 && !end->ended; rounds++) {
    unsigned n = end->device->ops->poll(&end->cq, wc, POLL_BATCH);
    end->polls++;
    if (n == 0)
      break;
    any = true;
    end->completions += n;
    if (end->spec.flow.options.device_time)
      load_end_device_time(end, wc, n);
    end->ops->take(end, wc, n, load_ticks());
    if (n < POLL_BATCH)
      break;
  }
  return any;
}

void load_end_fail(struct load_end *end, int status, uint32_t vendor, uint64_t now)
{
  if (end->error == 0 || (end->error == LOAD_WC_WR_FLUSH_ERR && status != LOAD_WC_WR_FLUSH_ERR)) {
    end->error = status;
    end->vendor = vendor;
  }
  end->fate = LOAD_FAILED;
  end->finish = now;
}

void load_end_over(struct load_end *end)
{
  end->ended = true;
  atomic_store_explicit(&end->satisfied, end->fate == LOAD_DONE, memory_order_release);
  atomic_store_explicit(&end->gone, true, memory_order_release);
  uint64_t one = 1;
  if (end->report >= 0)
    (void)!write(end->report, &one, sizeof one);
}

void load_end_stop(struct load_end *end)
{
  atomic_store(&end->stopping, true); /* its thread sees it */
}

void load_end_cut(struct load_end *end)
{
  if (!end->ended)
    load_end_over(end);
}

void load_end_give_up(struct load_end *end, int error)
{
  if (end->ended)
    return;
  load_end_fail(end, error, 0, load_ticks());
  load_end_over(end);
}

uint64_t load_end_bytes(const struct load_end *end)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    sum += atomic_load_explicit(&end->lanes[i].done_bytes, memory_order_relaxed);
  return sum;
}

uint64_t load_end_messages(const struct load_end *end)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    sum += atomic_load_explicit(&end->lanes[i].done_messages, memory_order_relaxed);
  return sum;
}

bool load_end_reliable(const struct load_end *end)
{
  return end->spec.flow.transport == LOAD_RC;
}

bool load_end_released(struct load_end *end, uint64_t now)
{
  if (end->n_waits == 0)
    return true;
  for (uint32_t i = 0; i < end->n_waits; i++) {
    if (!atomic_load_explicit(&end->waits_for[i]->satisfied, memory_order_acquire))
      return false;
  }
  end->n_waits = 0;
  uint64_t later = now + (uint64_t)((double)end->spec.flow.after_delay_ns * end->clock->ticks_per_ns);
  end->ready_at = end->ready_at > later ? end->ready_at : later;
  return true;
}
