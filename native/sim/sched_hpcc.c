/* The schedulers of the HPCC ns-3 model: at hosts one round robin over all unfinished QPs whatever their priority, in
 * switches a packet round robin over the queues 1 to 7 after the strict queue 0.
 *
 * The host side follows that model to the letter, scan and all, so that runs can be compared packet for packet: the list shrinks
 * only when a scan meets finished QPs, and the wake-up is armed only when every QP with data left is in the future.
 */
#include "sim.h"

int sched_hpcc_pick(struct port *p, uint8_t eligible)
{
  if (eligible & 1u)
    return 0;
  int q = p->rr_last;
  do
    q = (q + 1) % PRIO_COUNT;
  while (!(eligible & 1u << q));
  p->rr_last = (uint8_t)q;
  return q;
}

void nic_add_sender(struct sim *s, uint32_t side)
{
  struct nic *n = &s->nics[s->sides[side].nic];
  n->order_list[n->n_order++] = side;
}

static bool has_bytes_left(struct side *sd)
{
  return sd->state == SIDE_ACTIVE && (sd->psn_next < sd->psn_end || qp_must_repeat(sd));
}

static bool is_finished(const struct side *sd)
{
  return sd->state == SIDE_DONE || sd->state == SIDE_FAILED;
}

bool sched_hpcc_nic_has_work(const struct sim *s, const struct nic *n)
{
  if (n->ack_mask != 0)
    return true;
  for (uint32_t i = 0; i < n->n_order; i++)
    if (has_bytes_left(&s->sides[n->order_list[i]]))
      return true;
  return false;
}

/* Takes finished QPs out of the list; `chosen` is an index into it and is moved along. */
static uint32_t drop_finished(const struct sim *s, struct nic *n, uint32_t chosen)
{
  uint32_t kept = 0, moved = chosen;
  for (uint32_t i = 0; i < n->n_order; i++) {
    if (is_finished(&s->sides[n->order_list[i]]))
      continue;
    if (i == chosen)
      moved = kept;
    n->order_list[kept++] = n->order_list[i];
  }
  n->n_order = kept;
  return moved;
}

static uint32_t choose(struct sim *s, struct nic *n)
{
  uint8_t paused = s->ports[n->port].paused_mask;
  uint32_t chosen = NIL;
  bool met_finished = false;
  for (uint32_t k = 1; k <= n->n_order && chosen == NIL; k++) {
    uint32_t i = (k + n->order_last) % n->n_order;
    struct side *sd = &s->sides[n->order_list[i]];
    if (!(paused & 1u << sd->prio) && has_bytes_left(sd) && qp_can_send(s, sd)) {
      if (sd->next_avail <= s->now)
        chosen = i;
    } else if (is_finished(sd)) {
      met_finished = true;
    }
  }
  return met_finished ? drop_finished(s, n, chosen) : chosen;
}

static void arm_wake(struct sim *s, struct nic *n)
{
  uint64_t at = NEVER;
  for (uint32_t i = 0; i < n->n_order; i++) {
    struct side *sd = &s->sides[n->order_list[i]];
    if (has_bytes_left(sd))
      at = min_u64(at, sd->next_avail);
  }
  if (at != NEVER && at > s->now && !is_armed(s, n->wake_slot))
    arm(s, n->wake_slot, at);
}

uint32_t sched_hpcc_nic_next(struct sim *s, struct nic *n)
{
  uint8_t sendable = n->cfg->ack_strict ? n->ack_mask : (uint8_t)(n->ack_mask & ~s->ports[n->port].paused_mask);
  if (sendable != 0)
    return nic_take_control(s, n, 31 - __builtin_clz(sendable));
  uint32_t i = choose(s, n);
  if (i == NIL) {
    arm_wake(s, n);
    return NIL;
  }
  n->order_last = i;
  uint32_t side = n->order_list[i], pkt = qp_next_packet(s, side);
  struct side *sd = &s->sides[side];
  if (pkt != NIL)
    sd->next_avail = s->now + sim_tx_time(s, (uint64_t)s->packets[pkt].bytes + s->job->wire.gap_bytes, side_pace_bps(sd));
  return pkt;
}
