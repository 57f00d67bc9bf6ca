/* The end that posts the work requests of a flow and counts their completions. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "end.h"

enum {
  LANE_SHIFT = 40, /* an id is the lane's index above the message's number */
  BEYOND = 1 << 16, /* how far behind a region bad_address aims */
  LANES_A_PUMP = 64,
  ROUNDS_ALONE = 16,
  QUANTUM_BYTES = 1 << 16, /* a QP posts so much before it is the next one's turn */
  SIGNAL_FROM_BYTES = 4096,
  SIGNAL_ALL_BELOW = 100000,
  MOST_UNSIGNALLED = 32,
};
#define MESSAGE_MASK ((UINT64_C(1) << LANE_SHIFT) - 1)
#define BAD_KEY 0x00DEAD00U /* flipped in a key to make one that names no region */
#define SLACK_NS 20e6       /* how far a paced QP may fall behind and catch up: timers of a loaded host are late */
#define GAP_NS 50e3         /* least idle gap that is counted: the least time between two CNPs of most NICs */

/* --- preparation ----------------------------------------------------------------------------------------------- */

static bool seal_slots(struct load_end *end, struct load_error *e)
{
  struct load_slots *slots = &end->slots;
  uint32_t size = end->spec.flow.message_bytes;
  if (!load_payload_ready(end, LOAD_PERIOD, e))
    return false;
  free(end->body_crc);
  end->body_crc = calloc((size_t)end->spec.flow.qps * slots->count, sizeof *end->body_crc);
  if (end->body_crc == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short for checksums", end->spec.id);
  for (uint32_t qp = 0; qp < end->spec.flow.qps; qp++) {
    for (uint32_t slot = 0; slot < slots->count; slot++) {
      uint8_t *at = load_slots_at(slots, qp, slot);
      load_payload_copy(&end->payload, at, size - LOAD_TRAILER, load_offset_of(qp, slot, LOAD_PERIOD));
      end->body_crc[(size_t)qp * slots->count + slot] = crc32c(0, at, size - LOAD_TRAILER);
    }
  }
  return true;
}

static bool make_memory(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  if (end->slots.n_regions > 0 || end->pattern.memory.base != NULL)
    return true; /* a recovery keeps it */
  if (flow->op->fetches)
    return load_slots_make(end, &end->slots, flow->qps, LOAD_LOCAL_WRITE, e);
  if (flow->options.integrity)
    return load_slots_make(end, &end->slots, flow->qps, LOAD_LOCAL_WRITE, e) && seal_slots(end, e);
  const struct load_layout *layout = &end->layout;
  uint64_t window = layout->pattern_window < layout->pattern_bytes ? layout->pattern_window : 0;
  if (!load_payload_ready(end, layout->period, e) ||
      !load_region_make(end, &end->pattern, layout->pattern_bytes, window, LOAD_LOCAL_WRITE, e))
    return false;
  load_payload_fill(&end->payload, end->pattern.memory.base, end->pattern.memory.window);
  return true;
}

static uint32_t chosen_signal(const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  uint32_t window = end->layout.window, wanted = flow->options.signal_every;
  bool few = flow->messages != 0 && load_total_messages(flow) <= SIGNAL_ALL_BELOW;
  few = few || flow->rate_bps != 0 || flow->interval_ns != 0; /* what is paced is seen as it goes */
  if (wanted == 0)
    wanted = few || flow->message_bytes >= SIGNAL_FROM_BYTES || flow->op->fetches ? 1 : MOST_UNSIGNALLED;
  /* half a window at most, so that there is room again before all of it is used; whole batches */
  wanted = wanted <= window / 2 ? wanted : window / 2 > 0 ? window / 2 : 1;
  return wanted == 1 ? 1 : wanted < end->batch ? end->batch : wanted / end->batch * end->batch;
}

/* Work requests of one call and what of them never changes. */
static bool make_requests(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  const struct load_options *o = &flow->options;
  end->batch = o->batch < end->layout.window ? o->batch : end->layout.window;
  end->batch = end->batch > 0 ? end->batch : 1;
  end->signal_every = chosen_signal(end);
  if (end->signal_every < end->batch && end->signal_every > 1)
    end->batch = end->signal_every;
  end->ring_mask = 1;
  while (end->ring_mask < end->layout.window)
    end->ring_mask *= 2;
  end->ring_mask--;
  uint64_t call_bytes = (uint64_t)flow->message_bytes * end->batch;
  end->quantum = (uint32_t)(call_bytes < QUANTUM_BYTES ? QUANTUM_BYTES / call_bytes : 1);
  if (end->quantum > LOAD_SEND_DEPTH)
    end->quantum = LOAD_SEND_DEPTH;
  for (uint32_t i = 0; i < flow->qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    if (lane->wr != NULL)
      continue;
    lane->wr = calloc(end->batch, sizeof *lane->wr);
    lane->sge = calloc((size_t)end->batch * (o->sges > 0 ? o->sges : 1), sizeof *lane->sge);
    lane->posted_at = calloc((size_t)end->ring_mask + 1, sizeof *lane->posted_at);
    if (lane->wr == NULL || lane->sge == NULL || lane->posted_at == NULL)
      return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short for work requests", end->spec.id);
  }
  return true;
}

static bool source_prepare(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  const struct load_layout *layout = &end->layout;
  uint64_t entries = 64 + (uint64_t)flow->qps * (layout->window + 1);
  uint32_t opcodes = 1U << flow->op->opcode;
  if (end->spec.notify && flow->op->opcode == LOAD_WRITE)
    opcodes |= 1U << LOAD_WRITE_IMM;
  return load_end_queues(end, entries < UINT32_MAX ? (uint32_t)entries : UINT32_MAX, 0, e) && make_memory(end, e) &&
         load_end_pairs(end, layout->window, 1, opcodes, e) && make_requests(end, e);
}

/* --- connection ------------------------------------------------------------------------------------------------ */

static void aim_at_local(struct load_end *end, struct load_lane *lane)
{
  uint32_t spoiled = end->spec.flow.fault == LOAD_BAD_LKEY ? BAD_KEY : 0;
  if (end->slots.n_regions > 0) {
    lane->local = (uint64_t)(uintptr_t)load_slots_at(&end->slots, lane->index, 0);
    lane->lkey = load_slots_region(&end->slots, lane->index)->mr.lkey ^ spoiled;
  } else {
    lane->local = (uint64_t)(uintptr_t)end->pattern.memory.base;
    lane->lkey = end->pattern.mr.lkey ^ spoiled;
  }
}

static void aim_at_remote(struct load_end *end, struct load_lane *lane)
{
  const struct load_remote *r = &lane->remote;
  enum load_fault fault = end->spec.flow.fault;
  lane->aim = (struct load_aim){.remote_addr = r->addr + (fault == LOAD_BAD_ADDRESS ? r->bytes + BEYOND : 0),
                                .remote_slots = r->slots > 0 ? r->slots : 1,
                                .remote_stride = r->stride,
                                .remote_period = r->period,
                                .rkey = r->rkey ^ (fault == LOAD_BAD_RKEY ? BAD_KEY : 0),
                                .qp = lane->index};
}

/* Where message k leaves from or arrives. */
static uint64_t local_of(const struct load_end *end, const struct load_lane *lane, uint64_t message)
{
  if (end->slots.n_regions > 0)
    return lane->local + message % end->slots.count * end->slots.stride;
  return lane->local + load_offset_of(lane->index, message, end->layout.period);
}

static void set_elements(const struct load_end *end, struct load_sge *sge, uint64_t address, uint32_t bytes)
{
  uint32_t n = end->spec.flow.options.sges, part = bytes / n;
  for (uint32_t i = 0; i + 1 < n; i++) {
    sge[i].addr = address + (uint64_t)i * part;
    sge[i].length = part;
  }
  sge[n - 1].addr = address + (uint64_t)(n - 1) * part;
  sge[n - 1].length = bytes - (n - 1) * part;
}

static void prepare_requests(struct load_end *end, struct load_lane *lane)
{
  const struct load_flow *flow = &end->spec.flow;
  uint32_t n = flow->options.sges;
  bool can_inline = flow->options.inline_bytes > 0 && flow->message_bytes <= flow->options.inline_bytes;
  for (uint32_t b = 0; b < end->batch; b++) {
    struct load_wr *wr = &lane->wr[b];
    struct load_sge *sge = &lane->sge[(size_t)b * n];
    *wr = (struct load_wr){.id = (uint64_t)lane->index << LANE_SHIFT, .rkey = lane->aim.rkey, .n_sge = n, .sge = sge};
    wr->flags = (can_inline ? (uint32_t)LOAD_INLINE : 0U) | (end->signal_every == 1 ? (uint32_t)LOAD_SIGNALED : 0U);
    for (uint32_t i = 0; i < n; i++)
      sge[i].lkey = lane->lkey;
    set_elements(end, sge, local_of(end, lane, 0), load_size_of(flow, lane->index, 0));
    flow->op->fill(wr, &lane->aim, 0);
  }
}

static void pace(struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  double per_ns = end->clock->ticks_per_ns;
  uint64_t bits = load_wire_bits(flow, flow->message_bytes, end->mtu, end->gid.family);
  bool by_device = flow->options.device_pacing;
  end->gap_ticks = flow->rate_bps != 0 && !by_device ? (double)bits * 1e9 / (double)flow->rate_bps * per_ns : 0;
  end->interval_ticks = (double)flow->interval_ns * per_ns;
  end->slack_ticks = SLACK_NS * per_ns;
  end->gap_counts = (uint64_t)(GAP_NS * per_ns);
}

static bool source_connected(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  const struct load_device_ops *ops = end->device->ops;
  /* A message is like the one before when nobody looks at its payload: then nothing is written but the call. */
  end->fixed_aim = !flow->options.integrity && flow->options.n_sizes == 0 && !flow->check_payload &&
                   !flow->op->immediate && !flow->op->atomic;
  pace(end);
  for (uint32_t i = 0; i < flow->qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    aim_at_local(end, lane);
    aim_at_remote(end, lane);
    bool again = end->fixed_aim && (end->signal_every > 1 || end->batch == 1);
    lane->post = again ? load_reposter(&lane->qp, flow->op->opcode) : ops->poster(&lane->qp, flow->op->opcode);
    lane->post_last = end->spec.notify && flow->op->opcode == LOAD_WRITE
                          ? ops->poster(&lane->qp, LOAD_WRITE_IMM) : NULL;
    if (lane->post == NULL)
      return load_fail(e, LOAD_INTERNAL, "end %.80s: nothing posts %s", end->spec.id, flow->op->name);
    prepare_requests(end, lane);
    if (flow->options.device_pacing && flow->rate_bps != 0 && !ops->qp_pace(&lane->qp, flow->rate_bps, e))
      return false;
  }
  end->quick = end->fixed_aim && end->gap_ticks <= 0 && end->interval_ticks <= 0 && flow->options.burst_on_ns == 0 &&
               flow->options.start_jitter_ns == 0 && end->lanes[0].post_last == NULL &&
               (end->batch == 1 || end->signal_every % end->batch == 0);
  end->checks_fetched = flow->op->fetches && flow->check_payload;
  if (flow->op->fetches && !flow->op->atomic && flow->check_payload)
    return load_payload_ready(end, end->lanes[0].remote.period, e);
  return true;
}

/* --- begin ----------------------------------------------------------------------------------------------------- */

static void lane_begin(struct load_end *end, struct load_lane *lane)
{
  const struct load_flow *flow = &end->spec.flow;
  lane->limit = flow->messages != 0 ? flow->messages : UINT64_MAX;
  lane->state = LANE_BLOCKED;
  memset(lane->posted_at, 0, ((size_t)end->ring_mask + 1) * sizeof *lane->posted_at);
  uint64_t seed = 1469598103934665603U; /* FNV-1a of the flow's name: the same arrivals in each run */
  for (const char *c = flow->name; *c != '\0'; c++)
    seed = (seed ^ (uint8_t)*c) * 1099511628211U;
  rng_seed_stream(&lane->rng, seed, lane->index);
  lane->jitter = rng_double(&lane->rng) * (double)flow->options.start_jitter_ns * end->clock->ticks_per_ns;
}

static void source_begin(struct load_end *end)
{
  end->ready_head = end->ready_count = end->n_paced = 0;
  end->recovered_at = end->opened = 0;
  end->ready_at = end->zero + (uint64_t)((double)end->spec.flow.start_ns * end->clock->ticks_per_ns);
  histogram_clear(&end->latency);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    lane_begin(end, &end->lanes[i]);
}

/* --- who may post ---------------------------------------------------------------------------------------------- */

static void make_ready(struct load_end *end, struct load_lane *lane)
{
  lane->state = LANE_READY;
  end->ready[(end->ready_head + end->ready_count++) & end->ready_mask] = lane->index;
}

static bool earlier(const struct load_end *end, uint32_t a, uint32_t b)
{
  return end->lanes[a].due < end->lanes[b].due;
}

static void make_paced(struct load_end *end, struct load_lane *lane)
{
  lane->state = LANE_PACED;
  uint32_t *heap = end->paced, at = end->n_paced++;
  while (at > 0 && earlier(end, lane->index, heap[(at - 1) / 2])) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = lane->index;
}

static struct load_lane *take_paced(struct load_end *end)
{
  uint32_t *heap = end->paced, first = heap[0], last = heap[--end->n_paced], at = 0;
  for (;;) {
    uint32_t child = 2 * at + 1;
    if (child >= end->n_paced)
      break;
    if (child + 1 < end->n_paced && earlier(end, heap[child + 1], heap[child]))
      child++;
    if (!earlier(end, heap[child], last))
      break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return &end->lanes[first];
}

/* --- posting --------------------------------------------------------------------------------------------------- */

static void refused(struct load_end *end, struct load_lane *lane, int error, uint64_t now)
{
  lane->fate = LOAD_FAILED;
  lane->error = -error;
  lane->end = now;
  if (!lane->over) {
    lane->over = true;
    end->lanes_over++;
  }
  load_end_fail(end, -error, 0, now);
  end->failed_at = now;
}

/* Sets what differs from message to message in the `n` requests that come next. */
static void fill(struct load_end *end, struct load_lane *lane, uint32_t n)
{
  const struct load_flow *flow = &end->spec.flow;
  for (uint32_t b = 0; b < n; b++) {
    uint64_t k = lane->posted + b;
    struct load_wr *wr = &lane->wr[b];
    uint64_t address = local_of(end, lane, k);
    if (flow->options.n_sizes == 0 && flow->options.sges == 1)
      lane->sge[b].addr = address;
    else
      set_elements(end, &lane->sge[(size_t)b * flow->options.sges], address, load_size_of(flow, lane->index, k));
    flow->op->fill(wr, &lane->aim, k);
    if (flow->options.integrity) {
      uint64_t slot = (uint64_t)lane->index * end->slots.count + k % end->slots.count;
      load_seal((uint8_t *)(uintptr_t)address, flow->message_bytes, end->body_crc[slot], lane->index, k);
    }
  }
}

/* Asks for a completion where one is due: of each request, or of the last one. */
static void signal_requests(struct load_end *end, struct load_lane *lane, uint32_t n, uint64_t now)
{
  uint64_t last = lane->posted + n - 1, id = (uint64_t)lane->index << LANE_SHIFT;
  if (end->signal_every == 1) {
    for (uint32_t b = 0; b < n; b++) {
      lane->wr[b].id = id | (lane->posted + b);
      lane->posted_at[(lane->posted + b) & end->ring_mask] = now;
    }
    return;
  }
  struct load_wr *wr = &lane->wr[n - 1];
  if (lane->last_n != n && lane->last_n > 0)
    lane->wr[lane->last_n - 1].flags &= ~(uint32_t)LOAD_SIGNALED;
  lane->since_signal += n;
  if (lane->since_signal >= end->signal_every || last + 1 == lane->limit) {
    lane->since_signal = 0;
    wr->flags |= LOAD_SIGNALED;
    wr->id = id | last;
    lane->posted_at[last & end->ring_mask] = now;
  } else {
    wr->flags &= ~(uint32_t)LOAD_SIGNALED;
  }
}

/* When the message after `n` more may go. */
static void advance(struct load_end *end, struct load_lane *lane, uint32_t n, uint64_t now)
{
  if (end->gap_ticks > 0) {
    double floor = (double)now - end->slack_ticks, step = end->gap_ticks * n;
    if (end->spec.flow.options.n_sizes > 0) {
      uint64_t bits = 0, whole = load_wire_bits(&end->spec.flow, end->spec.flow.message_bytes, end->mtu, end->gid.family);
      for (uint32_t b = 0; b < n; b++)
        bits += load_wire_bits(&end->spec.flow, load_size_of(&end->spec.flow, lane->index, lane->posted - n + b),
                               end->mtu, end->gid.family);
      step = end->gap_ticks * (double)bits / (double)whole;
    }
    if (lane->due < floor) {
      end->limited_ticks += floor - lane->due; /* what it will never catch up */
      lane->due = floor;
    }
    lane->due += step;
  }
  if (end->interval_ticks > 0) {
    for (uint32_t b = 0; b < n; b++)
      lane->timed += end->spec.flow.poisson ? rng_exponential(&lane->rng, end->interval_ticks) : end->interval_ticks;
    lane->due = end->gap_ticks > 0 && lane->due > lane->timed ? lane->due : lane->timed;
  }
}

/* When an on/off source is in its pause: the ticks at which the next burst begins, else `now`. */
static uint64_t burst_opens(const struct load_end *end, uint64_t now)
{
  const struct load_options *o = &end->spec.flow.options;
  double on = (double)o->burst_on_ns * end->clock->ticks_per_ns;
  double whole = on + (double)o->burst_off_ns * end->clock->ticks_per_ns;
  double since = (double)(int64_t)(now - end->start), place = since - (double)(uint64_t)(since / whole) * whole;
  return place < on ? now : now + (uint64_t)(whole - place) + 1;
}

/* How many messages may go in one call now. */
static uint32_t allowed(const struct load_end *end, const struct load_lane *lane, uint64_t now)
{
  uint64_t room = end->layout.window - (lane->posted - lane->completed - lane->flushed);
  uint64_t left = lane->limit - lane->posted, n = end->batch;
  n = n < room ? n : room;
  n = n < left ? n : left;
  if (n > 1 && end->gap_ticks > 0) {
    double due = ((double)now - lane->due) / end->gap_ticks + 1;
    n = due < (double)n ? (due < 1 ? 1 : (uint64_t)due) : n;
  }
  if (n > 1 && end->interval_ticks > 0)
    n = 1;
  /* the last write that tells its target goes alone */
  if (lane->post_last != NULL && n > 1 && lane->posted + n == lane->limit)
    n--;
  return (uint32_t)n;
}

static void note_posted(struct load_end *end, struct load_lane *lane, uint64_t n, uint64_t now)
{
  lane->posted += n;
  end->in_flight += n;
  if (end->dry_since != 0) {
    end->limited_ticks += (double)(now - end->dry_since);
    end->dry_since = 0;
  }
}

static bool post(struct load_end *end, struct load_lane *lane, uint32_t n, uint64_t now)
{
  load_post_fn *how = lane->post;
  if (!end->fixed_aim)
    fill(end, lane, n);
  if (lane->post_last != NULL && lane->posted + n == lane->limit) {
    how = lane->post_last;
    lane->wr[0].imm = load_immediate(lane->posted);
  }
  signal_requests(end, lane, n, now);
  unsigned done = 0;
  int error = how(&lane->qp, lane->wr, n, &done);
  lane->last_n = n;
  note_posted(end, lane, done, now);
  if (error != 0) {
    refused(end, lane, error, now);
    return false;
  }
  if (end->gap_ticks > 0 || end->interval_ticks > 0)
    advance(end, lane, n, now);
  return true;
}

/* Posts on one QP until its window, its pacing or its turn ends; puts it where it belongs then. */
static uint64_t serve(struct load_end *end, struct load_lane *lane, uint64_t now, bool *busy)
{
  bool paced = end->gap_ticks > 0 || end->interval_ticks > 0 || lane->jitter > 0;
  if (lane->due < (double)end->opened)
    lane->due = lane->timed = (double)end->opened; /* the pause of a burst is not to be made up for */
  for (uint32_t turn = 0; turn < end->quantum; turn++) {
    if (paced && lane->due > (double)now) {
      make_paced(end, lane);
      return now;
    }
    uint32_t n = allowed(end, lane, now);
    if (n == 0) {
      lane->state = LANE_BLOCKED;
      return now;
    }
    if (lane->start == 0)
      lane->start = now;
    *busy = true;
    if (!post(end, lane, n, now)) {
      lane->state = LANE_OVER;
      return now;
    }
    now = load_ticks();
  }
  make_ready(end, lane);
  return now;
}

/* The same where nothing differs from call to call but the completion that is asked for: whole batches at will. */
static uint64_t serve_quickly(struct load_end *end, struct load_lane *lane, uint64_t now, bool *busy)
{
  const uint32_t n = end->batch;
  const uint64_t id = (uint64_t)lane->index << LANE_SHIFT, left = lane->limit - lane->posted;
  const uint64_t room = end->layout.window - (lane->posted - lane->completed - lane->flushed);
  struct load_wr *last = &lane->wr[n - 1];
  uint64_t most = left < room ? left : room, posted = lane->posted;
  uint32_t turns = end->quantum, since = lane->since_signal;
  unsigned done = n;
  int error = 0;
  for (; most >= n && turns > 0 && error == 0; turns--) {
    posted += n;
    most -= n;
    since += n;
    if (since >= end->signal_every || posted == lane->limit) {
      since = 0;
      last->flags |= LOAD_SIGNALED;
      last->id = id | (posted - 1);
      lane->posted_at[(posted - 1) & end->ring_mask] = load_ticks();
    } else {
      last->flags &= ~(uint32_t)LOAD_SIGNALED;
    }
    error = lane->post(&lane->qp, lane->wr, n, &done);
  }
  if (posted == lane->posted)
    return serve(end, lane, now, busy); /* the last messages, fewer than a batch, or no room */
  *busy = true;
  lane->start = lane->start == 0 ? now : lane->start;
  lane->since_signal = since;
  lane->last_n = n;
  note_posted(end, lane, posted - lane->posted - n + done, now);
  if (error != 0) {
    refused(end, lane, error, now);
    lane->state = LANE_OVER;
  } else {
    make_ready(end, lane); /* the next turn sees whether there is room */
  }
  return load_ticks();
}

static void launch(struct load_end *end, uint64_t now)
{
  end->started = true;
  end->start = now;
  end->fate = LOAD_UNFINISHED;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    lane->fate = LOAD_UNFINISHED;
    lane->due = lane->timed = (double)now + lane->jitter;
    make_ready(end, lane);
  }
}

/* The only QP of an end: posting and collecting in turns, some rounds at a time. */
static uint64_t pump_alone(struct load_end *end, uint64_t now, bool *busy)
{
  struct load_lane *lane = end->lanes;
  for (int round = 0; round < ROUNDS_ALONE && end->ready_count > 0 && !lane->over; round++) {
    end->ready_head++;
    end->ready_count--;
    now = serve_quickly(end, lane, now, busy);
    if (!load_end_poll(end))
      break;
  }
  if (end->lanes_over > 0)
    end->ops->settle(end);
  return end->ready_count > 0 ? now : LOAD_NEVER;
}

static uint64_t source_pump(struct load_end *end, uint64_t now, bool *busy)
{
  if (end->ended || atomic_load_explicit(&end->stopping, memory_order_relaxed) || !load_end_released(end, now))
    return LOAD_NEVER;
  if (now < end->ready_at)
    return end->ready_at;
  if (!end->started)
    launch(end, now);
  if (end->spec.flow.options.burst_on_ns > 0) {
    uint64_t opens = burst_opens(end, now);
    if (opens > now) {
      end->opened = opens;
      return opens;
    }
  }
  while (end->n_paced > 0 && end->lanes[end->paced[0]].due <= (double)now)
    make_ready(end, take_paced(end));
  if (end->quick && end->spec.flow.qps == 1 && end->ready_count == 1)
    return pump_alone(end, now, busy);
  uint32_t turns = end->ready_count < LANES_A_PUMP ? end->ready_count : LANES_A_PUMP;
  for (uint32_t i = 0; i < turns; i++) {
    struct load_lane *lane = &end->lanes[end->ready[end->ready_head++ & end->ready_mask]];
    end->ready_count--;
    if (lane->over)
      lane->state = LANE_OVER;
    else
      now = end->quick ? serve_quickly(end, lane, now, busy) : serve(end, lane, now, busy);
  }
  if (end->lanes_over > 0)
    end->ops->settle(end);
  if (end->ready_count > 0)
    return now;
  return end->n_paced > 0 ? (uint64_t)end->lanes[end->paced[0]].due + 1 : LOAD_NEVER;
}

/* --- completions ----------------------------------------------------------------------------------------------- */

/* Compares what a read or an atomic brought back, before its slot is used again. */
static void check_fetched(struct load_end *end, struct load_lane *lane, uint64_t message)
{
  const uint8_t *at = load_slots_at(&end->slots, lane->index, message % end->slots.count);
  if (end->spec.flow.op->atomic) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    if (value == message)
      end->check.verified_bytes += sizeof value;
    else
      load_check_wrong(&end->check, lane->index, message, 0, sizeof value);
    return;
  }
  uint64_t size = load_size_of(&end->spec.flow, lane->index, message);
  uint64_t skip = size > end->layout.slot_window ? size - end->layout.slot_window : 0;
  uint64_t start = load_offset_of(lane->index, message, end->payload.period) + skip;
  load_payload_check(&end->payload, at + skip, size - skip, start, lane->index, message, &end->check);
}

static uint64_t bytes_of(const struct load_end *end, const struct load_lane *lane, uint64_t from, uint64_t n)
{
  const struct load_flow *flow = &end->spec.flow;
  if (flow->options.n_sizes == 0)
    return n * flow->message_bytes;
  uint64_t sum = 0;
  for (uint64_t k = from; k < from + n; k++)
    sum += load_size_of(flow, lane->index, k);
  return sum;
}

static void took(struct load_end *end, struct load_lane *lane, uint64_t message, uint64_t now)
{
  uint64_t *at = &lane->posted_at[message & end->ring_mask], ticks = now - *at;
  *at = 0; /* what fails without having asked for a completion must not find this one's time */
  histogram_add_reserved(&end->latency, (uint64_t)(int64_t)load_clock_span_ns(end->clock, ticks));
}

/* All messages of a QP up to this one are complete. */
static void complete_to(struct load_end *end, struct load_lane *lane, uint64_t message, uint64_t now)
{
  uint64_t before = lane->completed, n = message + 1 - before;
  lane->completed = message + 1;
  lane->end = now;
  end->in_flight -= n;
  load_lane_done(lane, n, bytes_of(end, lane, before, n));
  if (end->failed_at != 0 && end->recovered_at == 0)
    end->recovered_at = now;
  if (end->checks_fetched) {
    for (uint64_t k = before; k <= message; k++)
      check_fetched(end, lane, k);
  }
  if (lane->completed == lane->limit) {
    lane->fate = LOAD_DONE;
    lane->over = true;
    end->lanes_over++;
  } else if (lane->state == LANE_BLOCKED) {
    make_ready(end, lane);
  }
}

/* When a message was posted, or the first one after it whose time is known; 0 when none is. */
static uint64_t posted_time(const struct load_end *end, const struct load_lane *lane, uint64_t message)
{
  if (message < lane->completed || message >= lane->posted)
    message = lane->completed; /* one that asked for no completion has no number of its own */
  for (; message < lane->posted; message++) {
    if (lane->posted_at[message & end->ring_mask] != 0)
      return lane->posted_at[message & end->ring_mask];
  }
  return 0;
}

static void on_error(struct load_end *end, struct load_lane *lane, const struct load_wc *wc, uint64_t now)
{
  uint64_t flushed = lane->posted - lane->completed;
  end->in_flight -= flushed - lane->flushed;
  lane->flushed = flushed;
  if (lane->fate == LOAD_FAILED)
    return;
  lane->fate = LOAD_FAILED;
  lane->error = wc->status;
  lane->vendor = wc->vendor;
  lane->end = now;
  if (!lane->over) {
    lane->over = true;
    end->lanes_over++;
  }
  if (end->error == 0) { /* the first of this run */
    uint64_t at = posted_time(end, lane, wc->id & MESSAGE_MASK);
    end->told = at != 0 ? now - at : 0;
    end->failed_at = now;
  }
  load_end_fail(end, wc->status, wc->vendor, now);
}

static void note_gap(struct load_end *end, uint64_t now)
{
  uint64_t gap = now - end->last_completion;
  if (gap > end->gap_counts && end->last_completion != 0) {
    end->gaps.count++;
    end->gaps.total += gap;
    if (gap > end->gaps.longest)
      end->gaps.longest = gap;
  }
  end->last_completion = now;
  if (end->first_completion == 0)
    end->first_completion = now;
}

/* With a window of several messages a device that keeps its promises never waits for an unpaced source that is quick
 * enough: nothing under way means that the host was the slower of the two. */
static void note_dry(struct load_end *end, uint64_t now)
{
  bool at_will = end->gap_ticks <= 0 && end->interval_ticks <= 0 && end->spec.flow.options.burst_on_ns == 0;
  bool going = end->lanes_over < end->spec.flow.qps && !atomic_load_explicit(&end->stopping, memory_order_relaxed);
  if (end->in_flight == 0 && end->layout.window > 1 && at_will && going && end->ready_count > 0)
    end->dry_since = now;
}

/* The completions of one QP that stand in a row, as far as they are good: returns how many. Each has its latency; where
 * messages go without completions anyway, those of the last one are enough. */
static unsigned take_row(struct load_end *end, const struct load_wc *wc, unsigned n, uint64_t now)
{
  uint64_t index = wc->id >> LANE_SHIFT;
  if (index >= end->spec.flow.qps || wc->status != LOAD_WC_SUCCESS)
    return 0;
  struct load_lane *lane = &end->lanes[index];
  bool each = end->signal_every == 1;
  unsigned m = 1;
  for (; m < n && wc[m].id >> LANE_SHIFT == index && wc[m].status == LOAD_WC_SUCCESS; m++) {
    if (each)
      took(end, lane, wc[m - 1].id & MESSAGE_MASK, now);
  }
  uint64_t message = wc[m - 1].id & MESSAGE_MASK;
  if (message >= lane->completed && message < lane->posted) { /* else of a run that is over */
    took(end, lane, message, now);
    complete_to(end, lane, message, now);
  }
  return m;
}

static void source_take(struct load_end *end, const struct load_wc *wc, unsigned n, uint64_t now)
{
  bool good = false;
  for (unsigned i = 0; i < n;) {
    unsigned m = take_row(end, wc + i, n - i, now);
    uint64_t index = wc[i].id >> LANE_SHIFT;
    good = good || m > 0;
    if (m == 0 && index < end->spec.flow.qps && wc[i].status != LOAD_WC_SUCCESS)
      on_error(end, &end->lanes[index], &wc[i], now);
    i += m > 0 ? m : 1;
  }
  if (good) {
    note_gap(end, now);
    end->finish = end->error == 0 ? now : end->finish;
    if (end->in_flight == 0)
      note_dry(end, now);
  }
  if (end->lanes_over > 0 || atomic_load_explicit(&end->stopping, memory_order_relaxed))
    end->ops->settle(end);
}

/* Drains a QP that is stopped; returns whether no message is under way. Where nobody asked for a completion of its last
 * messages it sends one more that asks, and that tells of them all. */
static bool drain(struct load_end *end, struct load_lane *lane)
{
  uint64_t under_way = lane->posted - lane->completed - lane->flushed;
  if (under_way == 0)
    return true;
  if (lane->since_signal > 0 && under_way < end->layout.window) {
    lane->since_signal = end->signal_every;
    (void)post(end, lane, 1, load_ticks());
  }
  return false;
}

/* Ends when every QP is done, failed with all its work flushed, or drained after a stop. */
static void source_settle(struct load_end *end)
{
  if (end->ended)
    return;
  uint32_t qps = end->spec.flow.qps;
  if (end->lanes_over < qps) {
    if (!atomic_load_explicit(&end->stopping, memory_order_relaxed))
      return;
    bool drained = true;
    for (uint32_t i = 0; i < qps; i++)
      drained = (end->lanes[i].over || drain(end, &end->lanes[i])) && drained;
    if (!drained)
      return;
  }
  if (end->fate == LOAD_UNFINISHED && end->lanes_over == qps)
    end->fate = LOAD_DONE;
  load_end_over(end);
}

const struct load_end_ops load_source_ops = {
    .prepare = source_prepare,
    .connected = source_connected,
    .begin = source_begin,
    .pump = source_pump,
    .take = source_take,
    .spin = load_end_poll,
    .settle = source_settle,
};
