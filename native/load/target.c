/* The end that is written to, read from, or receives. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "end.h"

enum {
  SLOT_SHIFT = 32, /* a receive's number is its QP above its slot */
  REPOST_BATCH = 64,
};
#define SLOT_MASK ((UINT64_C(1) << SLOT_SHIFT) - 1)

static bool is_told(const struct load_end *end)
{
  return end->spec.flow.op->told || end->spec.notify;
}

static bool is_lossy(const struct load_end *end)
{
  return end->spec.flow.transport != LOAD_RC;
}

/* --- preparation ----------------------------------------------------------------------------------------------- */

/* What the peer may do with the memory, less what a fault withholds. */
static unsigned access_of(const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  unsigned access = LOAD_LOCAL_WRITE | (flow->op->receives_data ? 0 : flow->op->access);
  unsigned withheld = flow->fault == LOAD_NO_REMOTE_WRITE    ? LOAD_REMOTE_WRITE
                      : flow->fault == LOAD_NO_REMOTE_READ   ? LOAD_REMOTE_READ
                      : flow->fault == LOAD_NO_REMOTE_ATOMIC ? LOAD_REMOTE_ATOMIC
                                                             : 0;
  return access & ~withheld;
}

static bool make_memory(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  const struct load_layout *layout = &end->layout;
  if (end->slots.n_regions > 0 || end->pattern.memory.base != NULL)
    return true; /* a recovery keeps it */
  if (flow->op->opcode == LOAD_READ) {
    uint64_t window = layout->pattern_window < layout->pattern_bytes ? layout->pattern_window : 0;
    if (!load_payload_ready(end, layout->period, e) ||
        !load_region_make(end, &end->pattern, layout->pattern_bytes, window, access_of(end), e))
      return false;
    load_payload_fill(&end->payload, end->pattern.memory.base, end->pattern.memory.window);
    return true;
  }
  bool shared = end->srq.impl != NULL && flow->op->receives_data;
  return load_slots_make(end, &end->slots, shared ? 1 : flow->qps, access_of(end), e);
}

static uint64_t posted_receives(const struct load_end *end)
{
  return (uint64_t)end->layout.receives * (end->srq.impl != NULL ? 1 : end->spec.flow.qps);
}

static bool make_receives(struct load_end *end, struct load_error *e)
{
  uint64_t n = posted_receives(end);
  if (n == 0 || end->recvs != NULL)
    return true;
  end->recvs = calloc(n, sizeof *end->recvs);
  end->later_size = (uint32_t)n + 1;
  end->later = calloc(end->later_size, sizeof *end->later);
  if (end->recvs == NULL || end->later == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short for %" PRIu64 " receives", end->spec.id, n);
  return true;
}

static bool make_integrity(struct load_end *end, struct load_error *e)
{
  for (uint32_t i = 0; end->spec.flow.options.integrity && i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    if (lane->integrity == NULL)
      lane->integrity = calloc(1, sizeof *lane->integrity);
    if (lane->integrity == NULL)
      return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short", end->spec.id);
  }
  return true;
}

static bool target_prepare(struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  uint64_t entries = 64 + (flow->srq ? end->layout.receives : (uint64_t)end->layout.receives * flow->qps) + flow->qps;
  uint32_t depth = !flow->srq ? 0 : end->layout.receives > 0 ? end->layout.receives : 1;
  return load_end_queues(end, entries < UINT32_MAX ? (uint32_t)entries : UINT32_MAX, depth, e) &&
         make_memory(end, e) && make_receives(end, e) && make_integrity(end, e) &&
         load_end_pairs(end, 1, end->layout.receives, 0, e);
}

/* --- connection ------------------------------------------------------------------------------------------------ */

static bool map_numbers(struct load_end *end, struct load_error *e)
{
  uint32_t size = 2;
  while (size < 2 * end->spec.flow.qps)
    size *= 2;
  free(end->qpn_slots);
  end->qpn_slots = calloc(size, sizeof *end->qpn_slots);
  if (end->qpn_slots == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "end %.80s: memory is short", end->spec.id);
  end->qpn_mask = size - 1;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    uint32_t at = end->lanes[i].qp.qpn * 2654435761U & end->qpn_mask;
    while (end->qpn_slots[at] != 0)
      at = (at + 1) & end->qpn_mask;
    end->qpn_slots[at] = i + 1;
  }
  return true;
}

static struct load_lane *lane_of(const struct load_end *end, const struct load_wc *wc)
{
  if (end->srq.impl == NULL) {
    uint64_t index = wc->id >> SLOT_SHIFT;
    return index < end->spec.flow.qps ? &end->lanes[index] : NULL;
  }
  for (uint32_t at = wc->qpn * 2654435761U & end->qpn_mask; end->qpn_slots[at] != 0; at = (at + 1) & end->qpn_mask) {
    struct load_lane *lane = &end->lanes[end->qpn_slots[at] - 1];
    if (lane->qp.qpn == wc->qpn)
      return lane;
  }
  return NULL;
}

static struct load_recv *recv_of(struct load_end *end, uint64_t id)
{
  return &end->recvs[(id >> SLOT_SHIFT) * end->layout.receives + (id & SLOT_MASK)];
}

static int post_receives(struct load_end *end, uint32_t owner, const struct load_recv *recv, unsigned n)
{
  unsigned done = 0;
  const struct load_device_ops *ops = end->device->ops;
  return end->srq.impl != NULL ? ops->post_srq(&end->srq, recv, n, &done)
                               : ops->post_recv(&end->lanes[owner].qp, recv, n, &done);
}

static void prepare_receive(struct load_end *end, uint32_t owner, uint32_t slot)
{
  const struct load_flow *flow = &end->spec.flow;
  uint64_t id = (uint64_t)owner << SLOT_SHIFT | slot;
  uint32_t size = end->layout.receive_bytes;
  if (flow->fault == LOAD_LONG_SEND)
    size = size / 2 > 0 ? size / 2 : 1;
  struct load_recv *recv = recv_of(end, id);
  *recv = (struct load_recv){.id = id};
  if (flow->op->receives_data)
    recv->sge = (struct load_sge){.addr = (uint64_t)(uintptr_t)load_slots_at(&end->slots, owner, slot),
                                  .length = size,
                                  .lkey = load_slots_region(&end->slots, owner)->mr.lkey};
}

static bool target_connected(struct load_end *end, struct load_error *e)
{
  if (!load_payload_ready(end, end->lanes[0].remote.period, e) ||
      (end->srq.impl != NULL && !map_numbers(end, e)))
    return false;
  end->n_later = end->later_head = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    struct load_lane *lane = &end->lanes[i];
    lane->received = lane->next = lane->twice = 0;
    if (lane->integrity != NULL)
      *lane->integrity = (struct load_integrity){0};
  }
  uint32_t owners = end->srq.impl != NULL ? 1 : end->spec.flow.qps;
  for (uint32_t owner = 0; end->layout.receives > 0 && owner < owners; owner++) {
    for (uint32_t slot = 0; slot < end->layout.receives; slot++)
      prepare_receive(end, owner, slot);
    int error = post_receives(end, owner, recv_of(end, (uint64_t)owner << SLOT_SHIFT), end->layout.receives);
    if (error != 0)
      return load_fail_os(e, error, "end %.80s: QP %" PRIu32 " takes no %" PRIu32 " receives", end->spec.id,
                          end->lanes[owner].qp.qpn, end->layout.receives);
  }
  return true;
}

/* --- a run ----------------------------------------------------------------------------------------------------- */

static void target_begin(struct load_end *end)
{
  if (!is_told(end)) {
    end->fate = LOAD_PASSIVE;
    load_end_over(end);
    return;
  }
  /* what peers with an earlier clock have sent meanwhile waits in the completion queue */
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    end->lanes[i].limit = end->spec.flow.messages != 0 ? end->spec.flow.messages : UINT64_MAX;
}

static bool is_complete(const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  uint64_t received = 0;
  for (uint32_t i = 0; i < flow->qps; i++) {
    if (!flow->op->told && end->lanes[i].received == 0)
      return false;
    received += end->lanes[i].received - end->lanes[i].twice;
  }
  return !flow->op->told || (flow->messages != 0 && received >= load_total_messages(flow));
}

static void target_settle(struct load_end *end)
{
  if (end->ended)
    return;
  if (is_complete(end)) {
    end->fate = LOAD_DONE;
    load_end_over(end);
  }
}

static void settle_when_complete(struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  if (!flow->op->told || (flow->messages != 0 && end->completed_messages >= load_total_messages(flow)))
    target_settle(end);
}

static uint64_t target_pump(struct load_end *end, uint64_t now, bool *busy)
{
  while (end->n_later > 0 && end->later[end->later_head].at <= now) {
    uint64_t id = end->later[end->later_head].id;
    end->later_head = (end->later_head + 1) % end->later_size;
    end->n_later--;
    (void)post_receives(end, (uint32_t)(id >> SLOT_SHIFT), recv_of(end, id), 1);
    *busy = true;
  }
  return end->n_later > 0 ? end->later[end->later_head].at : LOAD_NEVER;
}

/* --- checking -------------------------------------------------------------------------------------------------- */

/* The number that an immediate carries, of those with the same low half the nearest to the one that is expected. */
static uint64_t number_in(uint32_t immediate, uint64_t expected)
{
  uint32_t number = load_immediate(1) == 1 ? immediate : __builtin_bswap32(immediate);
  return expected + (uint64_t)(int64_t)(int32_t)(number - (uint32_t)expected);
}

/* The message that an immediate names; one out of turn is wrong where nothing may be lost. */
static uint64_t numbered(struct load_end *end, uint32_t immediate, uint64_t expected)
{
  if (!end->spec.flow.op->immediate || immediate == load_immediate(expected))
    return expected; /* or the one immediate of a write that notifies */
  if (!is_lossy(end)) {
    end->check.immediates_wrong++;
    return expected;
  }
  return number_in(immediate, expected);
}

static uint64_t check_slot(struct load_end *end, struct load_lane *lane, const struct load_wc *wc, uint64_t message)
{
  const struct load_flow *flow = &end->spec.flow;
  uint32_t head = load_end_head(end);
  const uint8_t *at = load_slots_at(&end->slots, (uint32_t)(wc->id >> SLOT_SHIFT), wc->id & SLOT_MASK) + head;
  if (is_lossy(end) && !flow->op->immediate) {
    uint32_t prefix = flow->message_bytes < LOAD_PREFIX ? flow->message_bytes : LOAD_PREFIX;
    message = load_payload_recognise(&end->payload, at, prefix, lane->index, message);
  }
  uint64_t size = load_size_of(flow, lane->index, message), real = end->layout.slot_window - head;
  uint64_t skip = size > real ? size - real : 0;
  if (wc->bytes != size + head) {
    load_check_wrong(&end->check, lane->index, message, wc->bytes < size ? wc->bytes : size, size);
    return message;
  }
  uint64_t start = load_offset_of(lane->index, message, end->payload.period) + skip;
  load_payload_check(&end->payload, at + skip, size - skip, start, lane->index, message, &end->check);
  return message;
}

/* A sealed message; one that was written lies in the slot of the message that its immediate names. */
static void check_sealed(struct load_end *end, struct load_lane *lane, const struct load_wc *wc)
{
  const struct load_flow *flow = &end->spec.flow;
  const uint8_t *at;
  uint64_t size = flow->message_bytes, corrupted = lane->integrity->corrupted;
  if (flow->op->receives_data) {
    at = load_slots_at(&end->slots, (uint32_t)(wc->id >> SLOT_SHIFT), wc->id & SLOT_MASK) + load_end_head(end);
    size = wc->bytes - load_end_head(end);
  } else {
    uint64_t message = wc->has_imm ? number_in(wc->imm, lane->next) : lane->next;
    at = load_slots_at(&end->slots, lane->index, message % end->layout.slots);
    lane->next = message + 1;
  }
  load_integrity_take(lane->integrity, at, size, lane->index);
  if (lane->integrity->corrupted > corrupted)
    load_check_wrong(&end->check, lane->index, lane->received, 0, flow->message_bytes);
  else
    end->check.verified_bytes += flow->message_bytes;
}

static void check_arrival(struct load_end *end, struct load_lane *lane, const struct load_wc *wc)
{
  if (end->spec.flow.options.integrity) {
    check_sealed(end, lane, wc);
    return;
  }
  uint64_t message = lane->next;
  if (wc->has_imm)
    message = numbered(end, wc->imm, message);
  if (end->spec.flow.op->receives_data)
    message = check_slot(end, lane, wc, message);
  lane->next = message + 1;
}

/* --- completions ----------------------------------------------------------------------------------------------- */

/* Receives that can be posted again in one call: those of one queue. */
struct repost {
  struct load_recv recvs[REPOST_BATCH];
  unsigned n;
  uint32_t owner;
};

static void flush(struct load_end *end, struct repost *again)
{
  if (again->n > 0)
    (void)post_receives(end, again->owner, again->recvs, again->n); /* a QP in error takes none: its error is known */
  again->n = 0;
}

static void repost(struct load_end *end, struct repost *again, uint64_t id, uint64_t now)
{
  const struct load_flow *flow = &end->spec.flow;
  uint64_t total = flow->messages != 0 ? load_total_messages(flow) : UINT64_MAX;
  if (flow->recv_depth != 0) {
    if (flow->recv_repost_ns != 0 && end->n_later < end->later_size) {
      uint64_t at = now + (uint64_t)((double)flow->recv_repost_ns * end->clock->ticks_per_ns);
      end->later[(end->later_head + end->n_later++) % end->later_size] = (struct load_later){at, id};
    }
    return;
  }
  if (!flow->op->told || (total <= posted_receives(end) && !flow->options.integrity))
    return; /* there is one for each message; of sealed ones some may come twice */
  uint32_t owner = (uint32_t)(id >> SLOT_SHIFT);
  if (again->n == REPOST_BATCH || (again->n > 0 && again->owner != owner))
    flush(end, again);
  again->owner = owner;
  again->recvs[again->n++] = *recv_of(end, id);
}

static void arrived(struct load_end *end, struct load_lane *lane, const struct load_wc *wc, uint64_t now)
{
  const struct load_flow *flow = &end->spec.flow;
  if (!end->ended && end->fate == LOAD_NOT_STARTED)
    end->fate = LOAD_UNFINISHED;
  uint64_t duplicated = flow->options.integrity ? lane->integrity->duplicated : 0;
  if (flow->check_payload || flow->options.integrity)
    check_arrival(end, lane, wc);
  uint64_t bytes = flow->op->told ? load_size_of(flow, lane->index, lane->received) : 0;
  lane->received++;
  lane->end = now;
  end->finish = now;
  /* one that came before is not the one that is waited for */
  bool again = flow->options.integrity && lane->integrity->duplicated > duplicated;
  lane->twice += again;
  end->completed_messages += !again;
  load_lane_done(lane, 1, bytes);
}

static void target_take(struct load_end *end, const struct load_wc *wc, unsigned n, uint64_t now)
{
  struct repost again = {.n = 0};
  for (unsigned i = 0; i < n; i++) {
    struct load_lane *lane = lane_of(end, &wc[i]);
    if (wc[i].status != LOAD_WC_SUCCESS) {
      if (lane != NULL && lane->fate != LOAD_FAILED) {
        lane->fate = LOAD_FAILED;
        lane->error = wc[i].status;
        lane->vendor = wc[i].vendor;
      }
      load_end_fail(end, wc[i].status, wc[i].vendor, now);
      continue;
    }
    if (lane == NULL)
      continue;
    arrived(end, lane, &wc[i], now);
    if (end->recvs != NULL)
      repost(end, &again, wc[i].id, now);
  }
  flush(end, &again);
  if (end->first_completion == 0)
    end->first_completion = now;
  end->last_completion = now;
  settle_when_complete(end);
}

/* --- after a run ----------------------------------------------------------------------------------------------- */

/* An atomic's counter has grown by every message that is complete, and maybe by those under way. */
static void check_counter(struct load_end *end, uint32_t qp, uint64_t done, uint64_t sent)
{
  uint64_t value;
  memcpy(&value, load_slots_at(&end->slots, qp, 0), sizeof value);
  if (done <= value && value <= sent)
    end->check.verified_bytes += sizeof value;
  else
    load_check_wrong(&end->check, qp, done, 0, sizeof value);
}

static bool written_anew(const uint8_t *at, uint64_t length)
{
  for (uint64_t i = 0; i < length; i++) {
    if (at[i] != 0)
      return true;
  }
  return false;
}

/* Checks an unreliable write packet by packet: one that never came left the zeros of before. */
static void check_packets(struct load_end *end, const uint8_t *at, uint64_t length, uint64_t start, uint32_t qp,
                          uint64_t message)
{
  for (uint64_t done = 0; done < length; done += end->mtu) {
    uint64_t size = length - done < end->mtu ? length - done : end->mtu;
    if (written_anew(at + done, size))
      load_payload_check(&end->payload, at + done, size, start + done, qp, message, &end->check);
  }
}

static void check_slots(struct load_end *end, uint32_t qp, uint64_t sent, uint64_t done)
{
  const struct load_flow *flow = &end->spec.flow;
  uint64_t slots = end->layout.slots;
  for (uint64_t message = sent > slots ? sent - slots : 0; message < done; message++) {
    const uint8_t *at = load_slots_at(&end->slots, qp, message % slots);
    uint64_t size = load_size_of(flow, qp, message);
    if (flow->options.integrity) {
      struct load_integrity one = {0};
      load_integrity_take(&one, at, size, qp);
      end->lanes[qp].integrity->checked++;
      if (one.corrupted > 0) {
        end->lanes[qp].integrity->corrupted++;
        load_check_wrong(&end->check, qp, message, 0, size);
      } else {
        end->check.verified_bytes += size;
      }
      continue;
    }
    uint64_t skip = size > end->layout.slot_window ? size - end->layout.slot_window : 0;
    uint64_t start = load_offset_of(qp, message, end->payload.period) + skip;
    if (is_lossy(end))
      check_packets(end, at + skip, size - skip, start, qp, message);
    else
      load_payload_check(&end->payload, at + skip, size - skip, start, qp, message, &end->check);
  }
}

void load_end_verify(struct load_end *end, const uint64_t *posted, const uint64_t *completed)
{
  const struct load_flow *flow = &end->spec.flow;
  if (end->ops != &load_target_ops || end->verified || (!flow->check_payload && !flow->options.integrity) ||
      end->slots.n_regions == 0)
    return;
  end->verified = true;
  for (uint32_t qp = 0; qp < flow->qps; qp++) {
    if (flow->op->atomic)
      check_counter(end, qp, completed[qp], posted[qp]);
    else if (!flow->op->receives_data && !(flow->options.integrity && flow->op->told))
      check_slots(end, qp, posted[qp], completed[qp]);
  }
}

const struct load_end_ops load_target_ops = {
    .prepare = target_prepare,
    .connected = target_connected,
    .begin = target_begin,
    .pump = target_pump,
    .take = target_take,
    .spin = load_end_poll,
    .settle = target_settle,
};
