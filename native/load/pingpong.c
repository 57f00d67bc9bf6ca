/* Ping-pong of writes and sends: each message is answered by an equal one; latency is half the round trip.
 *
 * A write is noticed by looking at its last byte in memory, as polling receivers do; a send by its completion. The
 * source serves.
 */
#include <stdlib.h>

#include "end.h"

enum { SIGNAL_EVERY = 16, DEPTH = 4 * SIGNAL_EVERY, RECV_ENTRIES = 64 };
#define RECEIVE (UINT64_C(1) << 62) /* marks the ids of receives */
enum { LANE_SHIFT = 40 };

static bool polls_memory(const struct load_end *end)
{
  return end->spec.flow.op->opcode == LOAD_WRITE;
}

/* The last byte of message k of a write: never 0, and not that of the message before in its slot. */
static uint8_t marker(uint64_t k)
{
  return (uint8_t)(1 + k / LOAD_PING_SLOTS % 255);
}

static bool pingpong_prepare(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  unsigned access = LOAD_LOCAL_WRITE | (polls_memory(end) ? LOAD_REMOTE_WRITE : 0U);
  if (!load_payload_ready(end, LOAD_PERIOD, e) ||
      !load_end_queues(end, RECV_ENTRIES + flow->qps * (DEPTH + LOAD_PING_SLOTS), 0, e))
    return false;
  if (end->slots.n_regions == 0 && (!load_slots_make(end, &end->slots, flow->qps, access, e) ||
                                    !load_slots_make(end, &end->leaving, flow->qps, LOAD_LOCAL_WRITE, e)))
    return false;
  load_slots_clear(&end->slots);
  for (uint32_t i = 0; i < flow->qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    if (lane->wr == NULL)
      lane->wr = calloc(LOAD_PING_SLOTS, sizeof *lane->wr);
    if (lane->sge == NULL)
      lane->sge = calloc(LOAD_PING_SLOTS, sizeof *lane->sge);
    if (lane->wr == NULL || lane->sge == NULL)
      return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short", end->spec.id);
  }
  return load_end_pairs(end, DEPTH, end->layout.receives, 1U << flow->op->opcode, e);
}

static int post_receive(struct load_end *end, struct load_lane *lane, uint32_t slot)
{
  struct load_recv recv = {.id = RECEIVE | (uint64_t)lane->index << LANE_SHIFT | slot,
                           .sge = {.addr = (uint64_t)(uintptr_t)load_slots_at(&end->slots, lane->index, slot),
                                   .length = end->layout.receive_bytes,
                                   .lkey = load_slots_region(&end->slots, lane->index)->mr.lkey}};
  unsigned done = 0;
  return end->device->ops->post_recv(&lane->qp, &recv, 1, &done);
}

static bool pingpong_connected(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  bool can_inline = flow->options.inline_bytes > 0 && flow->message_bytes <= flow->options.inline_bytes;
  for (uint32_t i = 0; i < flow->qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    lane->post = end->device->ops->poster(&lane->qp, flow->op->opcode);
    if (lane->post == NULL)
      return load_fail(e, LOAD_INTERNAL, "end %.80s: nothing posts %s", end->spec.id, flow->op->name);
    for (uint32_t slot = 0; slot < LOAD_PING_SLOTS; slot++) {
      uint8_t *at = load_slots_at(&end->leaving, i, slot);
      lane->sge[slot] = (struct load_sge){.addr = (uint64_t)(uintptr_t)at,
                                          .length = flow->message_bytes,
                                          .lkey = load_slots_region(&end->leaving, i)->mr.lkey};
      lane->wr[slot] = (struct load_wr){.id = (uint64_t)i << LANE_SHIFT,
                                        .flags = can_inline ? (uint32_t)LOAD_INLINE : 0U,
                                        .raddr = lane->remote.addr + slot * lane->remote.stride,
                                        .rkey = lane->remote.rkey,
                                        .n_sge = 1,
                                        .sge = &lane->sge[slot]};
      int error = polls_memory(end) ? 0 : post_receive(end, lane, slot);
      if (error != 0)
        return load_fail_os(e, error, "end %.80s: a QP takes no receive", end->spec.id);
    }
  }
  return true;
}

/* --- messages -------------------------------------------------------------------------------------------------- */

/* Writes the next message before it is its turn to go. */
static void compose(struct load_end *end, struct load_lane *lane)
{
  uint64_t k = lane->posted;
  uint32_t size = end->spec.flow.message_bytes, side = end->spec.source ? 0 : 1;
  uint8_t *at = load_slots_at(&end->leaving, lane->index, k % LOAD_PING_SLOTS);
  load_payload_copy(&end->payload, at, size, load_offset_of(2 * lane->index + side, k, LOAD_PERIOD));
  if (polls_memory(end))
    at[size - 1] = marker(k);
}

static void lane_over(struct load_end *end, struct load_lane *lane)
{
  if (lane->over)
    return;
  lane->over = true;
  lane->fate = lane->turn == lane->limit ? LOAD_DONE : end->fate;
  end->lanes_over++;
}

static void send(struct load_end *end, struct load_lane *lane)
{
  struct load_wr *wr = &lane->wr[lane->posted % LOAD_PING_SLOTS];
  bool asks = (lane->posted + 1) % SIGNAL_EVERY == 0;
  wr->flags = asks ? wr->flags | (uint32_t)LOAD_SIGNALED : wr->flags & ~(uint32_t)LOAD_SIGNALED;
  lane->posted++;
  lane->sent_at = load_ticks();
  if (lane->start == 0)
    lane->start = lane->sent_at;
  if (end->start == 0)
    end->start = lane->start;
  unsigned done = 0;
  int error = lane->post(&lane->qp, wr, 1, &done);
  if (error != 0) {
    load_end_fail(end, -error, 0, load_ticks());
    lane->error = -error;
    lane_over(end, lane);
    end->ops->settle(end);
  }
}

/* Checks message k and makes its slot ready for the one after the next. */
static void take_message(struct load_end *end, struct load_lane *lane, uint64_t k)
{
  const struct load_flow *flow = &end->spec.flow;
  uint32_t slot = (uint32_t)(k % LOAD_PING_SLOTS), side = end->spec.source ? 1 : 0;
  if (flow->check_payload) {
    uint32_t marked = polls_memory(end) ? 1 : 0;
    uint64_t start = load_offset_of(2 * lane->index + side, k, LOAD_PERIOD);
    load_payload_check(&end->payload, load_slots_at(&end->slots, lane->index, slot) + load_end_head(end),
                       flow->message_bytes - marked, start, lane->index, k, &end->check);
    end->check.verified_bytes += marked; /* it was seen */
  }
  if (!polls_memory(end))
    (void)post_receive(end, lane, slot);
}

/* Answers (or, at the source, takes the time and serves again), and checks what came. */
static void arrived(struct load_end *end, struct load_lane *lane, uint64_t now)
{
  uint64_t k = lane->turn++;
  lane->end = end->finish = now;
  if (end->first_completion == 0)
    end->first_completion = now;
  end->last_completion = now;
  load_lane_done(lane, 1, end->spec.flow.message_bytes);
  bool stopping = atomic_load_explicit(&end->stopping, memory_order_relaxed);
  bool last = lane->turn == lane->limit;
  if (end->spec.source) {
    histogram_add_reserved(&end->latency, (uint64_t)(int64_t)load_clock_span_ns(end->clock, (now - lane->sent_at) / 2));
    take_message(end, lane, k);
    if (!last && !stopping) {
      send(end, lane);
      compose(end, lane);
    }
  } else {
    send(end, lane);
    take_message(end, lane, k);
    if (!last)
      compose(end, lane);
  }
  if (last || (stopping && end->spec.source)) {
    lane_over(end, lane);
    end->ops->settle(end);
  }
}

/* --- a run ----------------------------------------------------------------------------------------------------- */

static void pingpong_begin(struct load_end *end)
{
  end->ready_at = end->zero;
  if (end->spec.source)
    end->ready_at += (uint64_t)((double)end->spec.flow.start_ns * end->clock->ticks_per_ns);
  histogram_clear(&end->latency);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    lane->limit = end->spec.flow.messages != 0 ? end->spec.flow.messages : UINT64_MAX;
    lane->posted = 0;
    compose(end, lane);
  }
}

static uint64_t pingpong_pump(struct load_end *end, uint64_t now, bool *busy)
{
  if (end->ended || end->started || atomic_load_explicit(&end->stopping, memory_order_relaxed) ||
      !load_end_released(end, now))
    return LOAD_NEVER;
  if (now < end->ready_at)
    return end->ready_at;
  end->started = true;
  end->fate = LOAD_UNFINISHED;
  for (uint32_t i = 0; end->spec.source && i < end->spec.flow.qps; i++) {
    send(end, &end->lanes[i]);
    compose(end, &end->lanes[i]);
  }
  *busy = true;
  return LOAD_NEVER;
}

static void pingpong_take(struct load_end *end, const struct load_wc *wc, unsigned n, uint64_t now)
{
  for (unsigned i = 0; i < n && !end->ended; i++) { /* once it is over, what was flushed says nothing new */
    uint64_t index = (wc[i].id & ~RECEIVE) >> LANE_SHIFT;
    if (index >= end->spec.flow.qps)
      continue;
    struct load_lane *lane = &end->lanes[index];
    if (wc[i].status != LOAD_WC_SUCCESS) {
      load_end_fail(end, wc[i].status, wc[i].vendor, now);
      lane->error = wc[i].status;
      lane->vendor = wc[i].vendor;
      lane->end = now;
      lane_over(end, lane);
      end->ops->settle(end);
    } else if ((wc[i].id & RECEIVE) != 0 && !lane->over) {
      arrived(end, lane, now);
    }
  }
}

static bool pingpong_spin(struct load_end *end)
{
  bool seen = false;
  if (polls_memory(end)) {
    uint32_t last = end->spec.flow.message_bytes - 1;
    for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
      struct load_lane *lane = &end->lanes[i];
      const uint8_t *at = load_slots_at(&end->slots, i, lane->turn % LOAD_PING_SLOTS) + last;
      if (!lane->over && __atomic_load_n(at, __ATOMIC_ACQUIRE) == marker(lane->turn)) {
        arrived(end, lane, load_ticks());
        seen = true;
      }
    }
    if (seen && (end->lanes[0].posted % SIGNAL_EVERY) != 0)
      return true; /* nothing to collect yet */
  }
  return load_end_poll(end) || seen;
}

static void pingpong_settle(struct load_end *end)
{
  if (end->ended || end->lanes_over < end->spec.flow.qps) {
    if (!end->ended && end->spec.source && atomic_load_explicit(&end->stopping, memory_order_relaxed) && !end->started)
      load_end_over(end);
    return;
  }
  bool finished = true;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    finished = finished && end->lanes[i].turn == end->lanes[i].limit;
  if (finished && end->fate == LOAD_UNFINISHED)
    end->fate = LOAD_DONE;
  load_end_over(end);
}

const struct load_end_ops load_pingpong_ops = {
    .prepare = pingpong_prepare,
    .connected = pingpong_connected,
    .begin = pingpong_begin,
    .pump = pingpong_pump,
    .take = pingpong_take,
    .spin = pingpong_spin,
    .settle = pingpong_settle,
};
