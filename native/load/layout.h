/* How an end uses memory and queues: how many messages are under way, where they lie, what is folded. The rules are
 * those of the agent's layout.py, so that ends of both kinds fit each other. */
#ifndef ROCE_LOAD_LAYOUT_H
#define ROCE_LOAD_LAYOUT_H

#include "spec.h"

enum { LOAD_SEND_DEPTH = 128, LOAD_RECV_DEPTH = 256, LOAD_PING_SLOTS = 2, LOAD_GRH = 40 };

struct load_limits {
  uint64_t budget_bytes;
  uint32_t max_qp_wr, max_cqe, max_srq_wr;
};

/* Per QP: `window` messages under way, `receives` posted (of all QPs together with a shared queue), `slots` of `stride`
 * bytes of which `slot_window` are real; `pattern_bytes`, of which `pattern_window` are real, hold what is sent. */
struct load_layout {
  uint32_t window;
  uint32_t receives;
  uint32_t receive_bytes;
  uint32_t slots;
  uint64_t stride, slot_window;
  uint32_t period;
  uint64_t pattern_bytes, pattern_window;
};

bool load_layout_plan(const struct load_end_spec *end, const struct load_limits *limits, struct load_layout *out,
                      struct load_error *e);

static inline bool load_layout_folded(const struct load_layout *layout)
{
  return layout->slot_window < layout->stride;
}

static inline uint64_t load_round_up(uint64_t value, uint64_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

#endif
