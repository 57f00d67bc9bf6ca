/* A switch: output queues by priority, forwarding, RED marking, PFC decisions, the PFC watchdog.
 *
 * Frames are stored whole, forwarded without processing delay, and counted in the shared buffer of mmu.c.
 */
#include "sim.h"

static struct switch_node *switch_at(struct sim *s, const struct port *p)
{
  return &s->switches[s->switch_of_node[p->node]];
}

/* RED: 0 up to Kmin, linear to Pmax at Kmax, 1 above. */
static bool red_hit(struct sim *s, const struct port *p, uint64_t queue_bytes)
{
  if (queue_bytes <= p->kmin || has_defect(s, DEFECT_MARKING_OFF))
    return false;
  if (queue_bytes > p->kmax)
    return true;
  double probability = p->pmax * (double)(queue_bytes - p->kmin) / (double)(p->kmax - p->kmin);
  return rng_double(&s->rng) < probability;
}

/* What marking looks at: the egress queue of that priority. */
static inline uint64_t marking_depth(const struct sim *s, const struct port *p, uint8_t prio)
{
  if (!has_defect(s, DEFECT_MARKING_WRONG_QUEUE))
    return p->lane[prio].queue_bytes;
  uint64_t all = 0;
  for (int i = 0; i < PRIO_COUNT; i++)
    all += p->lane[i].queue_bytes;
  return all;
}

static void mark(struct sim *s, const struct switch_node *sw, uint32_t port, struct packet *k)
{
  struct port *p = &s->ports[port];
  if (!(sw->cfg->ecn.mask & 1u << k->prio) || !(k->flags & PF_ECT) || has_defect(s, DEFECT_WRED_DROPS_ECT))
    return;
  uint64_t queue_bytes = marking_depth(s, p, k->prio);
  if (!red_hit(s, p, queue_bytes))
    return;
  k->flags |= PF_CE;
  p->ev[k->prio].ecn_marked++;
  if (s->mark_trace != NULL)
    telemetry_mark(s, port, k, queue_bytes);
}

/* WRED drops what is not ECN-capable where it would have marked. */
static bool is_wred_dropped(struct sim *s, const struct switch_node *sw, uint32_t port, const struct packet *k)
{
  const struct ecn_cfg *ecn = &sw->cfg->ecn;
  bool drops = ecn->wred_drop;
  if (k->flags & PF_ECT)
    drops = has_defect(s, DEFECT_WRED_DROPS_ECT);
  if (!drops || !(ecn->mask & 1u << k->prio) || k->kind != PKT_DATA)
    return false;
  return red_hit(s, &s->ports[port], marking_depth(s, &s->ports[port], k->prio));
}

static bool is_in_storm(const struct port *p, uint8_t prio)
{
  return p->ev[prio].storm_since != NEVER;
}

static inline void enqueue(struct sim *s, const struct switch_node *sw, uint32_t port, uint32_t pkt)
{
  struct port *p = &s->ports[port];
  struct packet *k = &s->packets[pkt];
  struct lane *l = &p->lane[k->prio];
  if (sw->cfg->ecn.mark_at == MARK_ENQUEUE)
    mark(s, sw, port, k);
  fifo_push(s, &l->queue, pkt);
  l->queue_bytes += k->bytes;
  if (l->queue_bytes > l->queue_max)
    l->queue_max = l->queue_bytes;
  p->queued_mask |= (uint8_t)(1u << k->prio);
}

/* Reasons to discard before the buffer is asked. DROP_REASONS: none. */
static enum drop_reason early_drop(struct sim *s, const struct switch_node *sw, uint32_t out, const struct packet *k)
{
  const struct port *p = &s->ports[out];
  if (is_in_storm(p, k->prio) && sw->cfg->pfc.watchdog.action == WATCHDOG_DROP)
    return DROP_WATCHDOG;
  if (!p->up)
    return DROP_LINK_DOWN; /* a stale route */
  return is_wred_dropped(s, sw, out, k) ? DROP_WRED : DROP_REASONS;
}

/* A defective switch keeps frames between their admission and their queue. Returns true when it has taken the frame. */
DEFECTIVE static bool hold_back(struct sim *s, struct switch_node *sw, uint32_t out, uint32_t pkt)
{
  uint64_t delay = defect_delay(s, sw, out, &s->packets[pkt]);
  if (delay == 0)
    return false;
  struct packet *k = &s->packets[pkt];
  k->time = s->now + delay;
  k->out_port = out;
  uint32_t *link = &s->held;
  if (s->held != NIL && s->packets[s->held_tail].time <= k->time)
    link = &s->packets[s->held_tail].next;
  while (*link != NIL && s->packets[*link].time <= k->time)
    link = &s->packets[*link].next;
  k->next = *link;
  *link = pkt;
  if (k->next == NIL)
    s->held_tail = pkt;
  if (s->held == pkt) {
    evq_disarm(s->q, s->held_slot);
    arm(s, s->held_slot, k->time);
  }
  return true;
}

void switch_forward(struct sim *s, uint32_t in_port, uint32_t pkt)
{
  struct port *in = &s->ports[in_port];
  struct switch_node *sw = switch_at(s, in);
  struct packet *k = &s->packets[pkt];
  if (has_defect(s, DEFECT_SILENT_DROP) && defect_vanishes(s, sw, pkt))
    return;
  uint32_t out = route_pick(s, sw, k);
  if (out == NIL) {
    port_drop(s, in_port, pkt, DROP_NO_ROUTE);
    return;
  }
  enum drop_reason reason = early_drop(s, sw, out, k);
  if (reason == DROP_REASONS)
    reason = mmu_admit(sw, in, &s->ports[out], k);
  if (reason != DROP_REASONS) {
    if (reason == DROP_WRED)
      s->ports[out].ev[k->prio].wred_dropped++;
    bool at_ingress = reason == DROP_HEADROOM || reason == DROP_INGRESS_LIMIT;
    port_drop(s, at_ingress ? in_port : out, pkt, reason);
    return;
  }
  k->in_port = in_port;
  if (mmu_should_pause(sw, in, k->prio) && !has_defect(s, DEFECT_PAUSE_NOT_SENT))
    port_set_peer_pause(s, in_port, k->prio, true);
  if (is_rare(s->defects != 0) && hold_back(s, sw, out, pkt))
    return;
  enqueue(s, sw, out, pkt);
  port_kick(s, out);
}

static inline void resume_if_due(struct sim *s, const struct switch_node *sw, uint32_t in_port, uint8_t prio)
{
  struct port *in = &s->ports[in_port];
  if ((in->pausing_mask & 1u << prio) && mmu_should_resume(sw, in, prio))
    port_set_peer_pause(s, in_port, prio, false);
}

/* Takes a frame out of its queue and out of the buffer. */
static uint32_t dequeue(struct sim *s, struct switch_node *sw, struct port *p, uint8_t prio)
{
  struct lane *l = &p->lane[prio];
  uint32_t pkt = fifo_pop(s, &l->queue);
  struct packet *k = &s->packets[pkt];
  l->queue_bytes -= k->bytes;
  if (l->queue.head == NIL)
    p->queued_mask &= (uint8_t)~(1u << prio);
  else
    packet_prefetch(s, l->queue.head);
  mmu_release(sw, &s->ports[k->in_port], k);
  return pkt;
}

/* The first frame that was kept goes to its queue, unless the link has failed by now. */
DEFECTIVE void switch_release(struct sim *s)
{
  uint32_t pkt = s->held;
  struct packet *k = &s->packets[pkt];
  struct switch_node *sw = switch_at(s, &s->ports[k->in_port]);
  s->held = k->next;
  if (s->held != NIL)
    arm(s, s->held_slot, s->packets[s->held].time);
  if (s->ports[k->out_port].up) {
    uint32_t out = k->out_port;
    enqueue(s, sw, out, pkt);
    port_kick(s, out);
    return;
  }
  uint32_t in_port = k->in_port;
  uint8_t prio = k->prio;
  mmu_release(sw, &s->ports[in_port], k);
  port_drop(s, k->out_port, pkt, DROP_LINK_DOWN);
  resume_if_due(s, sw, in_port, prio);
}

static int pick_queue(struct sim *s, const struct switch_node *sw, struct port *p, uint8_t eligible)
{
  if (sw->cfg->sched.kind == SCHED_HPCC)
    return sched_hpcc_pick(p, eligible);
  if ((eligible & (eligible - 1)) == 0)
    return __builtin_ctz(eligible);
  uint32_t head_bytes[PRIO_COUNT] = {0};
  for (int i = 0; i < PRIO_COUNT; i++)
    if (eligible & 1u << i)
      head_bytes[i] = s->packets[p->lane[i].queue.head].bytes;
  int prio = sched_ets_pick(&sw->cfg->sched, p, eligible, head_bytes);
  sched_ets_charge(&sw->cfg->sched, p, prio, head_bytes[prio]);
  return prio;
}

/* The next frame of an egress port; NIL when every queue is empty or paused. */
uint32_t switch_next_packet(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  struct switch_node *sw = switch_at(s, p);
  uint8_t eligible = p->queued_mask & (uint8_t)~p->paused_mask;
  if (eligible == 0)
    return NIL;
  uint8_t prio = (uint8_t)pick_queue(s, sw, p, eligible);
  uint32_t pkt = dequeue(s, sw, p, prio);
  struct packet *k = &s->packets[pkt];
  if (sw->cfg->ecn.mark_at == MARK_DEQUEUE)
    mark(s, sw, port, k);
  resume_if_due(s, sw, k->in_port, prio);
  return pkt;
}

/* Discards what is queued at a port in the given priorities. */
void switch_flush_port(struct sim *s, uint32_t port, uint8_t prio_mask, enum drop_reason reason)
{
  struct port *p = &s->ports[port];
  struct switch_node *sw = switch_at(s, p);
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++) {
    if (!(prio_mask & 1u << prio))
      continue;
    while (p->lane[prio].queue.head != NIL) {
      uint32_t pkt = dequeue(s, sw, p, prio), in_port = s->packets[pkt].in_port;
      port_drop(s, port, pkt, reason);
      resume_if_due(s, sw, in_port, prio);
    }
  }
}

/* ---- PFC watchdog: a queue paused for too long is in a storm until pauses stop ---- */

static void begin_storm(struct sim *s, const struct switch_node *sw, uint32_t port, uint8_t prio)
{
  struct port *p = &s->ports[port];
  p->ev[prio].storm_since = s->now;
  p->ev[prio].watchdog_detected++;
  p->ignore_mask |= (uint8_t)(1u << prio);
  if (sw->cfg->pfc.watchdog.action == WATCHDOG_DROP)
    switch_flush_port(s, port, (uint8_t)(1u << prio), DROP_WATCHDOG);
  p->ev[prio].rx_pause_ps += s->now - p->ev[prio].rx_pause_since;
  p->ev[prio].rx_pause_since = NEVER;
  p->paused_mask &= (uint8_t)~(1u << prio);
  port_kick(s, port);
}

static void watch_queue(struct sim *s, const struct switch_node *sw, uint32_t port, uint8_t prio)
{
  const struct watchdog_cfg *w = &sw->cfg->pfc.watchdog;
  struct port *p = &s->ports[port];
  struct lane_events *e = &p->ev[prio];
  if (is_in_storm(p, prio)) {
    if (s->now - max_u64(e->last_pause_rx, e->storm_since) < w->restore_ps)
      return;
    e->storm_since = NEVER;
    e->watchdog_restored++;
    p->ignore_mask &= (uint8_t)~(1u << prio);
  } else if ((p->paused_mask & 1u << prio) && s->now - e->rx_pause_since >= w->detect_ps) {
    begin_storm(s, sw, port, prio);
  }
}

void switch_watchdog(struct sim *s, uint32_t sw_index)
{
  struct switch_node *sw = &s->switches[sw_index];
  if (!sw->cfg->pfc.watchdog.enabled)
    return;
  for (uint32_t i = 0; i < sw->n_ports; i++)
    for (uint8_t prio = 0; prio < PRIO_COUNT; prio++)
      if (sw->cfg->pfc.mask & 1u << prio)
        watch_queue(s, sw, sw->first_port + i, prio);
  arm(s, sw->watchdog_slot, s->now + sw->cfg->pfc.watchdog.poll_ps);
}

/* ---- configuration ---- */

/* Kmin or Kmax as it is in this switch. */
static uint64_t real_threshold(const struct sim *s, uint64_t bytes)
{
  if (has_defect(s, DEFECT_THRESHOLDS_X10))
    bytes *= 10;
  return has_defect(s, DEFECT_THRESHOLDS_DIV10) ? bytes / 10 : bytes;
}

static void set_marking(const struct sim *s, const struct ecn_cfg *ecn, struct port *p)
{
  const struct ecn_profile *chosen = NULL;
  for (uint32_t i = 0; i < ecn->n_profiles; i++) {
    const struct ecn_profile *e = &ecn->profiles[i];
    if (e->rate_bps == p->rate_bps || (e->rate_bps == 0 && chosen == NULL))
      chosen = e;
  }
  p->kmin = chosen != NULL ? real_threshold(s, chosen->kmin_bytes) : NEVER; /* no profile for this speed: no marking */
  p->kmax = chosen != NULL ? real_threshold(s, chosen->kmax_bytes) : NEVER;
  p->pmax = chosen != NULL ? chosen->pmax : 0;
}

/* Applies sw->cfg, at the start and after a qos event. */
void switch_configure(struct sim *s, struct switch_node *sw)
{
  for (uint32_t i = 0; i < sw->n_ports; i++) {
    struct port *p = &s->ports[sw->first_port + i];
    set_marking(s, &sw->cfg->ecn, p);
    sched_ets_configure(&sw->cfg->sched, p);
  }
  mmu_configure(s, sw);
  if (sw->cfg->pfc.watchdog.enabled && !is_armed(s, sw->watchdog_slot))
    arm(s, sw->watchdog_slot, s->now + sw->cfg->pfc.watchdog.poll_ps);
}
