#include "layout.h"

#include <inttypes.h>

#include "integrity.h"
#include "memory.h"
#include "payload.h"

#define ENDLESS_BYTES (UINT64_C(8) << 20) /* under way of a QP that sends until it is stopped, so that it stops soon */
#define LEAST_FOLD (UINT64_C(1) << 16)

static uint64_t least(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static uint32_t send_window(const struct load_flow *flow, const struct load_limits *limits)
{
  uint64_t window = flow->max_outstanding != 0 ? flow->max_outstanding : LOAD_SEND_DEPTH;
  window = least(window, least(limits->max_qp_wr, most(1, limits->max_cqe / flow->qps)));
  if (flow->window_bytes != 0)
    window = least(window, flow->window_bytes / flow->message_bytes);
  if (flow->messages != 0)
    window = least(window, flow->messages);
  else if (flow->max_outstanding == 0)
    window = least(window, most(2, ENDLESS_BYTES / flow->message_bytes));
  return flow->ping_pong ? 1 : (uint32_t)most(1, window);
}

/* The greatest power of two within a budget, LEAST_FOLD at least. */
static uint64_t power_of_two(uint64_t budget)
{
  return budget == 0 ? LEAST_FOLD : most(LEAST_FOLD, UINT64_C(1) << (63 - __builtin_clzll(budget)));
}

static void plan_pattern(uint64_t bytes, uint64_t budget, struct load_layout *out)
{
  if (bytes + LOAD_PERIOD <= most(budget, LEAST_FOLD * 2)) {
    out->period = LOAD_PERIOD;
    out->pattern_bytes = out->pattern_window = bytes + LOAD_PERIOD;
    return;
  }
  uint64_t fold = power_of_two(budget);
  out->period = (uint32_t)fold;
  out->pattern_bytes = load_round_up(bytes, fold);
  out->pattern_window = fold;
}

/* Slots of `size` bytes, at most `wanted`. A count that is a multiple of the payload's cycle would give a slot the same
 * payload each time. */
static void plan_slots(uint64_t size, uint64_t wanted, uint64_t budget, struct load_layout *out)
{
  uint64_t stride = load_round_up(size, LOAD_ALIGN);
  if (stride <= most(budget, LEAST_FOLD)) {
    uint64_t slots = most(1, least(wanted, budget / stride));
    out->slots = (uint32_t)(slots - (slots < wanted && slots % LOAD_CYCLE == 0));
    out->stride = out->slot_window = stride;
    return;
  }
  out->slots = 1;
  out->slot_window = power_of_two(budget);
  out->stride = load_round_up(size, out->slot_window);
}

static bool receives_of(const struct load_flow *flow, const struct load_limits *limits, uint32_t *out,
                        struct load_error *e)
{
  uint64_t sharing = flow->srq ? flow->qps : 1;
  uint64_t each = most(1, (uint64_t)limits->max_cqe * sharing / flow->qps);
  uint64_t possible = least(sharing > 1 ? limits->max_srq_wr : limits->max_qp_wr, each);
  if (flow->recv_depth > possible)
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: recv_depth %" PRIu32 ": the device takes %" PRIu64, flow->name,
                     flow->recv_depth, possible);
  uint64_t messages = flow->messages != 0 ? least(flow->messages, LOAD_RECV_DEPTH) : LOAD_RECV_DEPTH;
  *out = (uint32_t)(flow->recv_depth != 0 ? flow->recv_depth : least(sharing * messages, possible));
  return true;
}

static bool plan_receiving(const struct load_flow *flow, const struct load_limits *limits, uint64_t budget,
                           struct load_layout *out, struct load_error *e)
{
  uint64_t size = (uint64_t)flow->message_bytes + (flow->transport == LOAD_UD ? LOAD_GRH : 0);
  uint32_t wanted = 0;
  if (!receives_of(flow, limits, &wanted, e))
    return false;
  plan_slots(size, wanted, flow->srq ? budget * flow->qps : budget, out);
  if (flow->recv_depth != 0 && out->slots < wanted)
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: recv_depth %" PRIu32 " of %" PRIu64 " bytes: memory for %" PRIu32,
                     flow->name, wanted, size, out->slots);
  out->receives = out->slots;
  out->receive_bytes = (uint32_t)size;
  return true;
}

/* Sealed writes with immediates are checked where they lie when they are told of, and not before their receive is posted
 * again: fewer receives than slots keep a message from being written over one that was not looked at. */
static bool plan_telling(const struct load_flow *flow, const struct load_limits *limits, struct load_layout *out,
                         struct load_error *e)
{
  if (!receives_of(flow, limits, &out->receives, e))
    return false;
  if (!flow->options.integrity || (flow->messages != 0 && flow->messages <= out->slots))
    return true;
  if (out->slots < 2 || flow->recv_depth >= out->slots)
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: integrity needs memory for more messages than the %" PRIu32
                     " that are received at a time, there is some for %" PRIu32, flow->name, out->receives, out->slots);
  out->receives = (uint32_t)least(out->receives, out->slots - 1);
  return true;
}

static bool plan_target(const struct load_end_spec *end, const struct load_limits *limits, struct load_layout *out,
                        struct load_error *e)
{
  const struct load_flow *flow = &end->flow;
  uint64_t budget = limits->budget_bytes / flow->qps;
  if (flow->op->opcode == LOAD_READ) {
    plan_pattern(flow->message_bytes, limits->budget_bytes, out);
    return true;
  }
  if (flow->op->atomic) {
    out->slots = 1;
    out->stride = out->slot_window = LOAD_ALIGN;
    return true;
  }
  if (flow->op->receives_data)
    return plan_receiving(flow, limits, budget, out, e);
  uint64_t endless = flow->options.integrity && flow->op->told ? LOAD_RECV_DEPTH + 1 : LOAD_SEND_DEPTH;
  plan_slots(flow->message_bytes, flow->messages != 0 ? flow->messages : endless, budget, out);
  out->receives = end->notify ? 1 : 0;
  return !flow->op->told || plan_telling(flow, limits, out, e);
}

static bool plan_ping_pong(const struct load_flow *flow, const struct load_limits *limits, struct load_layout *out,
                           struct load_error *e)
{
  uint64_t size = (uint64_t)flow->message_bytes + (flow->transport == LOAD_UD ? LOAD_GRH : 0);
  uint64_t stride = load_round_up(size, LOAD_ALIGN);
  uint64_t needed = 2 * LOAD_PING_SLOTS * stride * flow->qps;
  if (needed > limits->budget_bytes)
    return load_fail(e, LOAD_NO_RESOURCES,
                     "flow %.80s: ping_pong needs %" PRIu64 " bytes of memory, there are %" PRIu64, flow->name, needed,
                     limits->budget_bytes);
  out->window = out->slots = LOAD_PING_SLOTS;
  out->receives = flow->op->receives_data ? LOAD_PING_SLOTS : 0;
  out->receive_bytes = (uint32_t)size;
  out->stride = out->slot_window = stride;
  return true;
}

static bool plan_source(const struct load_flow *flow, const struct load_limits *limits, struct load_layout *out,
                        struct load_error *e)
{
  out->window = send_window(flow, limits);
  if (!flow->op->fetches && !flow->options.integrity) {
    plan_pattern(flow->message_bytes, limits->budget_bytes, out);
    return true;
  }
  /* reads and atomics arrive in slots; sealed messages leave from slots */
  plan_slots(flow->message_bytes, out->window, limits->budget_bytes / flow->qps, out);
  out->window = (uint32_t)least(out->window, out->slots);
  if (flow->options.integrity && load_layout_folded(out))
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: integrity needs memory for a whole message of %" PRIu32 " bytes",
                     flow->name, flow->message_bytes);
  return true;
}

bool load_layout_plan(const struct load_end_spec *end, const struct load_limits *limits, struct load_layout *out,
                      struct load_error *e)
{
  const struct load_flow *flow = &end->flow;
  *out = (struct load_layout){.period = LOAD_PERIOD};
  if (flow->ping_pong && !flow->op->fetches)
    return plan_ping_pong(flow, limits, out, e);
  if (end->source)
    return plan_source(flow, limits, out, e);
  if (!plan_target(end, limits, out, e))
    return false;
  if (flow->options.integrity && load_layout_folded(out))
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: integrity needs memory for a whole message of %" PRIu32 " bytes",
                     flow->name, flow->message_bytes);
  return true;
}
