/* The sending half of a host port: which QP or control packet goes next, and when a paced QP may go again.
 *
 * QPs that may send now stand in bitmaps by priority; QPs that wait for their pace stand in one heap per port, whose top
 * is the port's single wake-up. Nothing here looks at a QP that has nothing to send.
 */
#include <stdlib.h>

#include "sim.h"

static bool ready_init(struct ready_set *r, uint32_t n)
{
  uint32_t words = (n + 63) / 64;
  r->words = calloc(words + 1, sizeof *r->words);
  r->summary = calloc(words / 64 + 1, sizeof *r->summary);
  r->last = n > 0 ? n - 1 : 0;
  return r->words != NULL && r->summary != NULL;
}

static void ready_add(struct ready_set *r, uint32_t i)
{
  r->words[i / 64] |= 1ull << (i % 64);
  r->summary[i / 4096] |= 1ull << (i / 64 % 64);
  r->n++;
}

static void ready_remove(struct ready_set *r, uint32_t i)
{
  r->words[i / 64] &= ~(1ull << (i % 64));
  if (r->words[i / 64] == 0)
    r->summary[i / 4096] &= ~(1ull << (i / 64 % 64));
  r->n--;
}

/* First member at or after `i`; NIL when there is none. */
static uint32_t ready_from(const struct ready_set *r, uint32_t i, uint32_t n)
{
  if (i >= n)
    return NIL;
  uint64_t word = r->words[i / 64] & (~0ull << (i % 64));
  if (word != 0)
    return (i & ~63u) | (uint32_t)__builtin_ctzll(word);
  for (uint32_t w = i / 64 + 1; w * 64 < n;) {
    uint64_t sum = r->summary[w / 64] & (~0ull << (w % 64));
    if (sum != 0) {
      w = (w & ~63u) | (uint32_t)__builtin_ctzll(sum);
      return w * 64 + (uint32_t)__builtin_ctzll(r->words[w]);
    }
    w = (w & ~63u) + 64;
  }
  return NIL;
}

/* Round robin: the first member after the one served last. The set is not empty. */
static uint32_t ready_next(const struct ready_set *r, uint32_t n)
{
  uint32_t i = ready_from(r, r->last + 1, n);
  return i != NIL ? i : ready_from(r, 0, n);
}

static void pace_push(struct nic *n, uint64_t time, uint32_t sender)
{
  uint32_t i = n->n_pace++;
  while (i > 0 && n->pace[(i - 1) / 2].time > time) {
    n->pace[i] = n->pace[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  n->pace[i] = (struct pace_entry){time, sender};
}

static uint32_t pace_pop(struct nic *n)
{
  uint32_t top = n->pace[0].sender, i = 0;
  struct pace_entry last = n->pace[--n->n_pace];
  for (uint32_t c = 1; c < n->n_pace; c = 2 * i + 1) {
    if (c + 1 < n->n_pace && n->pace[c + 1].time < n->pace[c].time)
      c++;
    if (n->pace[c].time >= last.time)
      break;
    n->pace[i] = n->pace[c];
    i = c;
  }
  n->pace[i] = last;
  return top;
}

bool nic_set_up(struct sim *s, struct nic *n)
{
  n->pace = malloc((n->n_senders + 1) * sizeof *n->pace);
  n->order_list = malloc((n->n_senders + 1) * sizeof *n->order_list);
  if (n->pace == NULL || n->order_list == NULL)
    return false;
  uint8_t prios = 0;
  for (uint32_t i = 0; i < n->n_senders; i++)
    prios |= (uint8_t)(1u << s->sides[n->senders[i]].prio);
  for (int i = 0; i < PRIO_COUNT; i++) {
    n->acks[i] = (struct fifo){NIL, NIL};
    if ((prios & 1u << i) && !ready_init(&n->ready[i], n->n_senders))
      return false;
  }
  n->rx_queue = (struct fifo){NIL, NIL};
  n->last_cnp_ps = NEVER;
  return true;
}

void nic_tear_down(struct nic *n)
{
  for (int i = 0; i < PRIO_COUNT; i++) {
    free(n->ready[i].words);
    free(n->ready[i].summary);
  }
  free(n->pace);
  free(n->order_list);
  free(n->senders);
}

static void set_ready(struct nic *n, struct side *sd)
{
  sd->ready = true;
  ready_add(&n->ready[sd->prio], sd->sender);
  n->ready_mask |= (uint8_t)(1u << sd->prio);
}

static void clear_ready(struct nic *n, struct side *sd)
{
  sd->ready = false;
  ready_remove(&n->ready[sd->prio], sd->sender);
  if (n->ready[sd->prio].n == 0)
    n->ready_mask &= (uint8_t)~(1u << sd->prio);
}

static void wait_for_pace(struct nic *n, struct side *sd)
{
  sd->paced = true;
  pace_push(n, sd->next_avail, sd->sender);
}

void nic_side_changed(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct nic *n = &s->nics[sd->nic];
  if (n->cfg->sched.kind == SCHED_HPCC)
    return;
  bool can = qp_can_send(s, sd);
  if (can && !sd->ready && !sd->paced) {
    if (sd->next_avail <= s->now)
      set_ready(n, sd);
    else
      wait_for_pace(n, sd);
  } else if (!can && sd->ready) {
    clear_ready(n, sd);
  }
}

/* The HPCC model keeps one queue of ACKs, whatever the priority of their flow, and holds it while this class is paused. */
enum { HPCC_ACK_CLASS = 3 };

void nic_queue_control(struct sim *s, struct nic *n, uint32_t pkt)
{
  uint8_t queue = n->cfg->sched.kind == SCHED_HPCC ? HPCC_ACK_CLASS : s->packets[pkt].prio;
  fifo_push(s, &n->acks[queue], pkt);
  n->ack_mask |= (uint8_t)(1u << queue);
}

uint32_t nic_take_control(struct sim *s, struct nic *n, int prio)
{
  uint32_t pkt = fifo_pop(s, &n->acks[prio]);
  if (n->acks[prio].head == NIL)
    n->ack_mask &= (uint8_t)~(1u << prio);
  return pkt;
}

static void release_paced(struct sim *s, struct nic *n)
{
  while (n->n_pace > 0 && n->pace[0].time <= s->now) {
    struct side *sd = &s->sides[n->senders[pace_pop(n)]];
    sd->paced = false;
    if (qp_can_send(s, sd))
      set_ready(n, sd);
  }
}

/* When a QP may send next. One that the scheduler or a control packet held up catches up, by no more than what the port sends in
 * PACE_CREDIT_BYTES: enough for a round of the scheduler, too little for a burst after a pause. */
static uint64_t next_turn(const struct sim *s, const struct nic *n, const struct side *sd, uint64_t wire_bytes, uint64_t rate)
{
  enum { PACE_CREDIT_BYTES = 32768 };
  uint64_t interval = sim_tx_time(s, wire_bytes, rate), credit = sim_tx_time(s, PACE_CREDIT_BYTES, s->ports[n->port].rate_bps);
  uint64_t least = s->now > credit ? s->now - credit : 0;
  return max_u64(sd->next_avail, least) + interval;
}

/* After a data packet has been taken from a QP: its pace, and whether it stays ready. */
static void account_sent(struct sim *s, struct nic *n, uint32_t side, uint32_t bytes)
{
  struct side *sd = &s->sides[side];
  uint64_t rate = side_pace_bps(sd), wire_bytes = (uint64_t)bytes + s->job->wire.gap_bytes;
  bool paced = rate < s->ports[n->port].rate_bps && !sd->sends_requests;
  sd->next_avail = paced ? next_turn(s, n, sd, wire_bytes, rate) : s->now;
  if (!sd->ready)
    return; /* its last message is complete with this packet: UC, UD */
  if (!qp_can_send(s, sd)) {
    clear_ready(n, sd);
  } else if (sd->next_avail > s->now) {
    clear_ready(n, sd);
    wait_for_pace(n, sd);
  }
}

static uint32_t take_data(struct sim *s, struct nic *n, int prio)
{
  struct ready_set *r = &n->ready[prio];
  uint32_t sender = ready_next(r, n->n_senders);
  uint32_t side = n->senders[sender];
  r->last = sender;
  uint32_t pkt = qp_next_packet(s, side);
  if (pkt != NIL)
    account_sent(s, n, side, s->packets[pkt].bytes);
  return pkt;
}

static uint32_t head_bytes_of(const struct sim *s, const struct nic *n, int prio)
{
  if (n->ack_mask & 1u << prio)
    return s->packets[n->acks[prio].head].bytes;
  const struct ready_set *r = &n->ready[prio];
  const struct side *sd = &s->sides[n->senders[ready_next(r, n->n_senders)]];
  return s->flows[sd->flow].frame_middle;
}

static int pick_priority(struct sim *s, struct nic *n, uint8_t eligible)
{
  if ((eligible & (eligible - 1)) == 0)
    return __builtin_ctz(eligible);
  uint32_t head_bytes[PRIO_COUNT] = {0};
  for (int i = 0; i < PRIO_COUNT; i++)
    if (eligible & 1u << i)
      head_bytes[i] = head_bytes_of(s, n, i);
  return sched_ets_pick(&n->cfg->sched, &s->ports[n->port], eligible, head_bytes);
}

static uint32_t next_packet_ets(struct sim *s, struct nic *n)
{
  struct port *p = &s->ports[n->port];
  if (n->cfg->ack_strict && n->ack_mask != 0)
    return nic_take_control(s, n, 31 - __builtin_clz(n->ack_mask));
  release_paced(s, n);
  uint8_t data = s->stopping ? 0 : n->ready_mask; /* who was ready when the duration ended sends no more */
  uint8_t eligible = (uint8_t)((n->ack_mask | data) & ~p->paused_mask);
  if (eligible == 0)
    return NIL;
  int prio = pick_priority(s, n, eligible);
  uint32_t pkt = n->ack_mask & 1u << prio ? nic_take_control(s, n, prio) : take_data(s, n, prio);
  if (pkt != NIL && (eligible & (eligible - 1)) != 0)
    sched_ets_charge(&n->cfg->sched, p, prio, s->packets[pkt].bytes);
  return pkt;
}

static void arm_wake(struct sim *s, struct nic *n, uint64_t time)
{
  if (is_armed(s, n->wake_slot)) {
    if (s->q->slots[n->wake_slot].time <= time)
      return;
    evq_disarm(s->q, n->wake_slot);
  }
  arm(s, n->wake_slot, time);
}

/* The port is busy: arms what will look for work again, its end of transmission or the turn of a paced QP. */
void nic_after_transmit(struct sim *s, struct nic *n)
{
  struct port *p = &s->ports[n->port];
  if (n->cfg->sched.kind == SCHED_HPCC) {
    if (sched_hpcc_nic_has_work(s, n))
      port_need_tx_done(s, p);
    return;
  }
  uint8_t waiting = (uint8_t)((n->ack_mask | n->ready_mask) & ~p->paused_mask);
  if (waiting != 0 || (n->n_pace > 0 && n->pace[0].time <= p->busy_until))
    port_need_tx_done(s, p);
  else if (n->n_pace > 0)
    arm_wake(s, n, n->pace[0].time);
}

uint32_t nic_next_packet(struct sim *s, struct nic *n)
{
  if (n->cfg->sched.kind == SCHED_HPCC)
    return sched_hpcc_nic_next(s, n);
  uint32_t pkt = next_packet_ets(s, n);
  if (pkt == NIL && n->n_pace > 0)
    arm_wake(s, n, n->pace[0].time);
  return pkt;
}

/* Hands the QPs over from one kind of scheduler to the other. */
static void change_scheduler(struct sim *s, struct nic *n)
{
  bool to_hpcc = n->cfg->sched.kind == SCHED_HPCC;
  n->n_pace = n->n_order = n->order_last = 0;
  for (uint32_t i = 0; i < n->n_senders; i++) {
    struct side *sd = &s->sides[n->senders[i]];
    if (sd->ready)
      clear_ready(n, sd);
    sd->paced = false;
    if (!to_hpcc)
      nic_side_changed(s, n->senders[i]);
    else if (sd->state == SIDE_ACTIVE || sd->state == SIDE_RNR_WAIT)
      nic_add_sender(s, n->senders[i]);
  }
}

/* Sides of one QP that run another algorithm now start it afresh. */
static void change_congestion_control(struct sim *s, struct nic *n, uint32_t side)
{
  struct side *sd = &s->sides[side];
  const struct cc_ops *ops = cc_find(n->cfg->cc.algorithm);
  sd->cc.cfg = &n->cfg->cc;
  if (ops == sd->cc_ops)
    return;
  sd->cc_ops = ops;
  if (sd->state == SIDE_ACTIVE || sd->state == SIDE_RNR_WAIT)
    qp_start_cc(s, side);
}

/* New parameters for what is running: a QP keeps its rate and goes on with the new constants. What was sized when the flows were
 * set up stays: MTU, loss recovery. */
void nic_reconfigure(struct sim *s, struct nic *n, const struct nic_cfg *cfg)
{
  const struct nic_cfg *old = n->cfg;
  n->cfg = cfg;
  sched_ets_configure(&cfg->sched, &s->ports[n->port]);
  for (uint32_t i = 0; i < n->n_senders; i++)
    change_congestion_control(s, n, n->senders[i]);
  if (old->sched.kind != cfg->sched.kind)
    change_scheduler(s, n);
  if (old->rx_drain_bps != cfg->rx_drain_bps)
    n->drain_bps = defect_drain(s, n, cfg->rx_drain_bps);
  port_forget_pause(s, n->port);
  port_kick(s, n->port);
}

/* The port runs at another rate: what was bound by the old one is bound by the new. */
void nic_rate_changed(struct sim *s, struct nic *n)
{
  for (uint32_t i = 0; i < n->n_senders; i++)
    qp_line_rate_changed(s, n->senders[i]);
  n->drain_bps = has_defect(s, DEFECT_SLOW_RECEIVER) ? defect_drain(s, n, n->cfg->rx_drain_bps) : n->drain_bps;
}
