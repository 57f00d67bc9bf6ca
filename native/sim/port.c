/* Ports: putting frames on a link, taking them off, and priority flow control (IEEE 802.1Qbb).
 *
 * A port's end-of-transmission event exists only while something waits for it, and each direction of a link has one
 * arrival event, for the first of the frames in flight.
 */
#include "sim.h"

enum { PFC_FRAME_BYTES = 64, QUANTUM_BITS = 512 };

/* In ns-3 a port stays busy until its end-of-transmission event has run, hence the comparison of orders. */
bool port_is_busy(const struct sim *s, const struct port *p)
{
  return s->now < p->busy_until || (s->now == p->busy_until && s->cur_order < p->busy_order);
}

void port_need_tx_done(struct sim *s, struct port *p)
{
  if (!is_armed(s, p->tx_slot))
    evq_arm(s->q, p->tx_slot, p->busy_until, p->busy_order);
}

static uint64_t frame_time(const struct sim *s, struct port *p, uint16_t bytes)
{
  if (p->memo_bytes[0] == bytes)
    return p->memo_ps[0];
  if (p->memo_bytes[1] == bytes)
    return p->memo_ps[1];
  uint32_t keep = bytes > p->memo_bytes[0] ? 0 : 1; /* full frames in one place, short ones in the other */
  p->memo_bytes[keep] = bytes;
  p->memo_ps[keep] = sim_tx_time(s, (uint64_t)bytes + s->job->wire.gap_bytes, p->rate_bps / p->slowdown);
  return p->memo_ps[keep];
}

/* Puts a frame on the link; the port must be idle. */
static void transmit(struct sim *s, uint32_t port, uint32_t pkt)
{
  struct port *p = &s->ports[port], *peer = &s->ports[p->peer];
  struct packet *k = &s->packets[pkt];
  uint64_t t = frame_time(s, p, k->bytes);
  p->busy_until = s->now + t;
  p->busy_order = s->order++;
  k->time = p->busy_until + p->delay_ps;
  k->order = s->order++;
  s->link_hops++;
  if (k->kind == PKT_PFC) {
    p->control_tx++;
  } else {
    struct lane *l = &p->lane[k->prio];
    l->tx_packets++;
    l->tx_bytes += k->bytes;
    if (is_rare(p->leaves_gaps))
      p->gap_until = p->busy_until + defect_gap(s, p, k->prio, t);
    if (k->kind == PKT_DATA && !p->is_switch && s->impair_head[k->side] != NIL && fault_impair(s, port, pkt))
      return;
  }
  if (peer->wire.head == NIL)
    evq_arm(s->q, p->rx_slot, k->time, k->order);
  fifo_push(s, &peer->wire, pkt);
}

/* A defective port: whether it leaves the line unused now; it looks again at the end. Pause frames go, and the port looks again after them. */
DEFECTIVE static bool is_in_gap(struct sim *s, struct port *p)
{
  if (s->now >= p->gap_until)
    return false;
  if (p->control.head != NIL) {
    evq_disarm(s->q, p->tx_slot);
    return false;
  }
  if (!is_armed(s, p->tx_slot))
    arm(s, p->tx_slot, p->gap_until);
  return true;
}

void port_kick(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  if (!p->up)
    return;
  if (port_is_busy(s, p)) {
    if (p->control.head != NIL || (p->is_switch && p->queued_mask != 0))
      port_need_tx_done(s, p);
    else if (!p->is_switch)
      nic_after_transmit(s, &s->nics[p->nic]);
    return;
  }
  if (is_rare(p->leaves_gaps) && is_in_gap(s, p))
    return;
  uint32_t pkt;
  if (p->control.head != NIL)
    pkt = fifo_pop(s, &p->control);
  else if (p->is_switch)
    pkt = switch_next_packet(s, port);
  else
    pkt = nic_next_packet(s, &s->nics[p->nic]);
  if (pkt == NIL)
    return;
  transmit(s, port, pkt);
  if (p->control.head != NIL || (p->is_switch && (p->queued_mask & ~p->paused_mask) != 0))
    port_need_tx_done(s, p);
  else if (!p->is_switch)
    nic_after_transmit(s, &s->nics[p->nic]);
}

uint64_t port_quanta_ps(const struct port *p, uint64_t quanta)
{
  return (uint64_t)((unsigned __int128)quanta * QUANTUM_BITS * PS_PER_S / p->rate_bps);
}

static const struct pfc_cfg *pfc_config(const struct sim *s, const struct port *p)
{
  return p->is_switch ? &s->switches[s->switch_of_node[p->node]].cfg->pfc : &s->nics[p->nic].cfg->pfc;
}

/* Earliest moment at which the pause timer of a port has something to do. */
static uint64_t next_pause_deadline(const struct port *p)
{
  uint64_t at = NEVER;
  for (int i = 0; i < PRIO_COUNT; i++) {
    if (p->paused_mask & 1u << i)
      at = min_u64(at, p->ev[i].pause_until);
    if (p->pausing_mask & 1u << i)
      at = min_u64(at, p->ev[i].refresh_at);
  }
  return at;
}

static void arm_pause_timer(struct sim *s, struct port *p)
{
  uint64_t at = next_pause_deadline(p);
  if (at == NEVER)
    return;
  if (is_armed(s, p->pause_slot)) {
    if (s->q->slots[p->pause_slot].time <= at)
      return;
    evq_disarm(s->q, p->pause_slot);
  }
  arm(s, p->pause_slot, at);
}

/* Queues a PFC frame for one priority; quanta 0 resumes. */
void port_send_pfc(struct sim *s, uint32_t port, uint8_t prio, uint32_t quanta)
{
  struct port *p = &s->ports[port];
  uint32_t i = packet_new(s);
  if (i == NIL)
    return;
  const struct wire_cfg *w = &s->job->wire;
  s->packets[i] = (struct packet){.psn = quanta, .kind = PKT_PFC, .prio = prio, .side = NIL, .dst_port = NIL,
                                  .bytes = (uint16_t)(w->model == WIRE_FIXED ? w->pfc_bytes : PFC_FRAME_BYTES)};
  if (quanta > 0)
    p->ev[prio].tx_pause++;
  else
    p->ev[prio].tx_resume++;
  fifo_push(s, &p->control, i);
  port_kick(s, port);
}

/* Begins or ends holding the peer's priority; refreshes follow by themselves in quanta mode. */
void port_set_peer_pause(struct sim *s, uint32_t port, uint8_t prio, bool on)
{
  struct port *p = &s->ports[port];
  const struct pfc_cfg *cfg = pfc_config(s, p);
  struct lane_events *e = &p->ev[prio];
  if (on) {
    p->pausing_mask |= (uint8_t)(1u << prio);
    e->tx_pause_since = s->now;
    e->refresh_at = cfg->mode == PFC_QUANTA ? s->now + port_quanta_ps(p, cfg->quanta) / 2 : NEVER;
    arm_pause_timer(s, p);
  } else {
    p->pausing_mask &= (uint8_t)~(1u << prio);
    e->tx_pause_ps += s->now - e->tx_pause_since;
    e->tx_pause_since = NEVER;
  }
  port_send_pfc(s, port, prio, on ? cfg->quanta : 0);
}

static void set_paused(struct sim *s, struct port *p, uint8_t prio, uint64_t until)
{
  struct lane_events *e = &p->ev[prio];
  if (!(p->paused_mask & 1u << prio)) {
    p->paused_mask |= (uint8_t)(1u << prio);
    e->rx_pause_since = s->now;
    e->transitions++;
  }
  e->pause_until = until;
  arm_pause_timer(s, p);
}

static void clear_paused(struct sim *s, struct port *p, uint8_t prio)
{
  struct lane_events *e = &p->ev[prio];
  if (!(p->paused_mask & 1u << prio))
    return;
  p->paused_mask &= (uint8_t)~(1u << prio);
  e->rx_pause_ps += s->now - e->rx_pause_since;
  e->rx_pause_since = NEVER;
}

/* After a change of configuration: priorities that no longer obey pause are not held by one that came before. */
void port_forget_pause(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  uint8_t obeyed = pfc_config(s, p)->mask;
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++)
    if (!(obeyed & 1u << prio))
      clear_paused(s, p, prio);
}

void port_resume_all(struct sim *s, uint32_t port)
{
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++)
    clear_paused(s, &s->ports[port], prio);
}

/* The priorities that a pause or resume for one acts on. */
static uint8_t obeyed_priorities(const struct sim *s, const struct port *p, uint8_t prio)
{
  uint8_t configured = pfc_config(s, p)->mask, obeyed = configured & (uint8_t)(1u << prio);
  if (!p->is_switch && has_defect(s, DEFECT_PFC_IGNORED))
    obeyed = 0;
  if (!p->is_switch && has_defect(s, DEFECT_PAUSE_WRONG_PRIORITY))
    obeyed = (uint8_t)(obeyed << 1 | obeyed >> (PRIO_COUNT - 1));
  if (p->is_switch && has_defect(s, DEFECT_PAUSE_HITS_LOSSY))
    obeyed |= (uint8_t)~configured;
  return obeyed & (uint8_t)~p->ignore_mask;
}

static void receive_pfc(struct sim *s, uint32_t port, uint32_t pkt)
{
  struct port *p = &s->ports[port];
  struct packet *k = &s->packets[pkt];
  uint8_t prio = k->prio;
  uint64_t quanta = k->psn;
  const struct pfc_cfg *cfg = pfc_config(s, p);
  if (s->pfc_trace != NULL)
    telemetry_pfc(s, port, k);
  packet_free(s, pkt);
  p->control_rx++;
  if (quanta > 0) {
    p->ev[prio].rx_pause++;
    p->ev[prio].last_pause_rx = s->now;
  } else {
    p->ev[prio].rx_resume++;
  }
  uint8_t obeyed = obeyed_priorities(s, p, prio);
  bool sticks = !p->is_switch && has_defect(s, DEFECT_PAUSE_NEVER_RELEASED);
  if (obeyed == 0 || (quanta == 0 && sticks))
    return;
  bool expires = cfg->mode == PFC_QUANTA && !sticks;
  for (uint8_t i = 0; i < PRIO_COUNT; i++) {
    if (!(obeyed & 1u << i))
      continue;
    if (quanta > 0)
      set_paused(s, p, i, expires ? s->now + port_quanta_ps(p, quanta) : NEVER);
    else
      clear_paused(s, p, i);
  }
  if (quanta == 0)
    port_kick(s, port);
}

/* Expires pauses obeyed and refreshes pauses kept up. */
void port_pause_timer(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  bool resumed = false;
  for (uint8_t i = 0; i < PRIO_COUNT; i++) {
    struct lane_events *e = &p->ev[i];
    if ((p->paused_mask & 1u << i) && e->pause_until <= s->now) {
      clear_paused(s, p, i);
      resumed = true;
    }
    if ((p->pausing_mask & 1u << i) && e->refresh_at <= s->now) {
      const struct pfc_cfg *cfg = pfc_config(s, p);
      e->refresh_at = s->now + port_quanta_ps(p, cfg->quanta) / 2;
      port_send_pfc(s, port, i, cfg->quanta);
    }
  }
  arm_pause_timer(s, p);
  if (resumed)
    port_kick(s, port);
}

/* Time this port has been kept from sending a priority so far. */
uint64_t port_paused_ps(const struct sim *s, const struct port *p, uint8_t prio)
{
  const struct lane_events *e = &p->ev[prio];
  return e->rx_pause_ps + (e->rx_pause_since == NEVER ? 0 : s->now - e->rx_pause_since);
}

const char *const drop_reason_name[DROP_REASONS] = {
    [DROP_INGRESS_LIMIT] = "ingress_limit", [DROP_HEADROOM] = "headroom",     [DROP_EGRESS_LIMIT] = "egress_limit",
    [DROP_WRED] = "wred",                   [DROP_LINK_DOWN] = "link_down",   [DROP_BIT_ERROR] = "bit_error",
    [DROP_INJECTED] = "injected",           [DROP_WATCHDOG] = "watchdog",     [DROP_NO_ROUTE] = "no_route",
    [DROP_RX_BUFFER] = "rx_buffer",
};

/* Discards a frame that is in no queue and no buffer account, counting why. */
void port_drop(struct sim *s, uint32_t port, uint32_t pkt, enum drop_reason reason)
{
  struct port *p = &s->ports[port];
  struct packet *k = &s->packets[pkt];
  p->drops[reason]++;
  if (s->drop_trace != NULL)
    telemetry_drop(s, port, k, reason);
  if (k->kind != PKT_PFC) {
    s->dropped_packets++;
    s->dropped_bytes += k->bytes;
    if (k->kind == PKT_DATA)
      qp_packet_gone(s, k, false);
  }
  packet_free(s, pkt);
}

static bool is_hit_by_bit_error(struct sim *s, const struct port *p, const struct packet *k)
{
  if (p->bit_error_rate == 0)
    return false;
  double all_good = __builtin_pow(1 - p->bit_error_rate, 8.0 * k->bytes);
  return rng_double(&s->rng) >= all_good;
}

/* A switch sorts by its map; a host counts by the class selector, as NICs that trust DSCP do by default. */
static uint8_t classify(const struct sim *s, const struct port *p, uint8_t dscp)
{
  if (!p->is_switch)
    return (uint8_t)DSCP_DEFAULT_PRIORITY(dscp);
  return s->switches[s->switch_of_node[p->node]].cfg->dscp_map[dscp];
}

/* A frame has come off the link. */
void port_deliver(struct sim *s, uint32_t port, uint32_t pkt)
{
  struct port *p = &s->ports[port];
  struct packet *k = &s->packets[pkt];
  if (!p->up) {
    p->lost_on_link++;
    port_drop(s, port, pkt, DROP_LINK_DOWN);
    return;
  }
  if (is_hit_by_bit_error(s, p, k)) {
    p->lost_on_link++;
    port_drop(s, port, pkt, DROP_BIT_ERROR);
    return;
  }
  if (k->kind == PKT_PFC) {
    receive_pfc(s, port, pkt);
    return;
  }
  if (is_rare(s->classifies))
    k->prio = classify(s, p, k->dscp);
  struct lane *l = &p->lane[k->prio];
  l->rx_packets++;
  l->rx_bytes += k->bytes;
  if (p->is_switch)
    switch_forward(s, port, pkt);
  else
    nic_receive(s, port, pkt);
}

void port_arrive(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  uint32_t pkt = fifo_pop(s, &p->wire);
  if (p->wire.head != NIL) {
    const struct packet *next = &s->packets[p->wire.head];
    evq_arm(s->q, s->ports[p->peer].rx_slot, next->time, next->order);
    packet_prefetch(s, next->next);
  }
  port_deliver(s, port, pkt);
}
