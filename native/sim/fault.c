/* Events of the job: links going down and up, pause storms, slow receivers, impaired packets, changes of configuration. */
#include <stdlib.h>

#include "sim.h"

/* ---- impairments ---- */

static bool names_packet(const struct job_event *e, uint64_t psn)
{
  uint32_t low = 0, high = e->n_packets;
  while (low < high) {
    uint32_t mid = (low + high) / 2;
    if (e->packets[mid] < psn)
      low = mid + 1;
    else
      high = mid;
  }
  return low < e->n_packets && e->packets[low] == psn;
}

/* Whether this transmission is hit: a named packet at its n-th transmission, or a random draw. */
static bool is_hit(struct sim *s, struct impairment *im, const struct packet *k)
{
  const struct job_event *e = im->event;
  if (s->now < e->at_ps)
    return false;
  if (e->n_packets == 0)
    return e->fraction > 0 && rng_double(&s->rng) < e->fraction;
  if (!names_packet(e, k->psn))
    return false;
  for (uint32_t i = 0; i < im->n_seen; i++) {
    if (im->seen[i].psn == k->psn)
      return ++im->seen[i].times == e->iteration;
  }
  im->seen[im->n_seen++] = (struct seen_packet){k->psn, 1};
  return e->iteration == 1;
}

/* Keeps a frame back; it arrives at `port`'s peer later than its successors. */
static void hold_back(struct sim *s, uint32_t port, uint32_t pkt, uint64_t delay_ps)
{
  struct packet *k = &s->packets[pkt];
  k->time += delay_ps;
  k->in_port = s->ports[port].peer;
  s->ports[port].taken_on_link++;
  /* Mostly all are held back by the same time, so that the newest is the last. */
  bool is_last = s->delayed != NIL && s->packets[s->delayed_tail].time <= k->time;
  uint32_t *link = is_last ? &s->packets[s->delayed_tail].next : &s->delayed;
  while (*link != NIL && s->packets[*link].time <= k->time)
    link = &s->packets[*link].next;
  k->next = *link;
  *link = pkt;
  if (k->next == NIL)
    s->delayed_tail = pkt;
  if (s->delayed != pkt)
    return;
  evq_disarm(s->q, s->delayed_slot);
  arm(s, s->delayed_slot, k->time);
}

static void duplicate(struct sim *s, uint32_t port, const struct packet *k)
{
  enum { COPY_LAG_PS = 1000 };
  uint32_t i = packet_new(s);
  if (i == NIL)
    return;
  s->packets[i] = *k;
  s->made_packets++;
  s->made_bytes += k->bytes;
  s->ports[s->ports[port].peer].joined_on_link++;
  s->flows[s->sides[k->side].flow].packets_in_flight++;
  s->flows[s->sides[k->side].flow].packets_duplicated_in_fabric++;
  hold_back(s, port, i, COPY_LAG_PS);
}

static bool apply(struct sim *s, const struct job_event *e, uint32_t port, uint32_t pkt)
{
  struct packet *k = &s->packets[pkt];
  switch (e->action) {
  case IMPAIR_DROP:
    s->ports[port].taken_on_link++;
    port_drop(s, port, pkt, DROP_INJECTED);
    return true;
  case IMPAIR_DELAY:
    hold_back(s, port, pkt, e->delay_ps);
    return true;
  case IMPAIR_CORRUPT:
    k->flags |= PF_CORRUPT;
    return false;
  case IMPAIR_MARK:
    k->flags |= PF_CE;
    return false;
  case IMPAIR_DUPLICATE:
    duplicate(s, port, k);
    return false;
  }
  return false;
}

bool fault_impair(struct sim *s, uint32_t port, uint32_t pkt)
{
  uint32_t side = s->packets[pkt].side;
  for (uint32_t i = s->impair_head[side]; i != NIL; i = s->impairments[i].next)
    if (is_hit(s, &s->impairments[i], &s->packets[pkt]) && apply(s, s->impairments[i].event, port, pkt))
      return true;
  return false;
}

/* The first frame held back is due. */
void fault_delayed(struct sim *s)
{
  uint32_t pkt = s->delayed;
  s->delayed = s->packets[pkt].next;
  if (s->delayed != NIL)
    arm(s, s->delayed_slot, s->packets[s->delayed].time);
  s->ports[s->ports[s->packets[pkt].in_port].peer].taken_on_link--;
  port_deliver(s, s->packets[pkt].in_port, pkt);
}

/* Data of a flow is addressed to its responder, that of a read or atomic to its requester. */
static uint32_t impaired_side(const struct sim *s, const struct job_event *e)
{
  const struct flow *f = &s->flows[e->flow];
  bool from_responder = f->job->verb == VERB_READ || f->job->verb == VERB_ATOMIC;
  return f->first_side + 2 * e->qp + (from_responder ? 0 : 1);
}

static bool set_up_impairment(struct sim *s, const struct job_event *e)
{
  struct impairment *im = &s->impairments[s->n_impairments];
  uint32_t side = impaired_side(s, e);
  im->event = e;
  im->seen = calloc((size_t)e->n_packets + 1, sizeof *im->seen);
  im->next = s->impair_head[side];
  s->impair_head[side] = s->n_impairments++;
  return im->seen != NULL;
}

/* ---- storms ---- */

void fault_add_storm(struct sim *s, const struct job_event *e)
{
  struct storm *st = &s->storms[s->n_storms];
  st->event = e;
  st->end_ps = e->at_ps + e->duration_ps; /* NEVER: it has no end */
  st->interval_ps = e->interval_ps;
  st->slot = evq_add_slot(s->q, SIM_STORM, s->n_storms);
  arm(s, st->slot, e->at_ps);
  s->n_storms++;
}

void fault_storm(struct sim *s, uint32_t storm)
{
  struct storm *st = &s->storms[storm];
  const struct job_event *e = st->event;
  bool over = s->now >= st->end_ps;
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++)
    if (e->prio_mask & 1u << prio)
      port_send_pfc(s, e->port, prio, over ? 0 : e->quanta);
  if (over)
    return;
  uint64_t gapless = max_u64(1, port_quanta_ps(&s->ports[e->port], e->quanta) / 2);
  arm(s, st->slot, min_u64(st->end_ps, s->now + (st->interval_ps > 0 ? st->interval_ps : gapless)));
}

bool fault_set_up(struct sim *s)
{
  const struct job *job = s->job;
  s->impairments = calloc(job->n_events + 1, sizeof *s->impairments);
  s->storms = calloc(job->n_events + 2, sizeof *s->storms);
  s->delayed = NIL;
  if (s->impairments == NULL || s->storms == NULL)
    return false;
  for (uint32_t i = 0; i < job->n_events; i++) {
    const struct job_event *e = &job->events[i];
    if (e->kind == EV_IMPAIR && !set_up_impairment(s, e))
      return false;
    if (e->kind == EV_PAUSE_STORM)
      fault_add_storm(s, e);
  }
  if (job->n_events > 0)
    arm(s, s->job_event_slot, job->events[0].at_ps);
  return true;
}

/* ---- links ---- */

static void lose_frames_on_wire(struct sim *s, uint32_t port)
{
  struct port *p = &s->ports[port];
  if (p->wire.head != NIL)
    evq_disarm(s->q, s->ports[p->peer].rx_slot);
  while (p->wire.head != NIL) {
    p->lost_on_link++;
    port_drop(s, port, fifo_pop(s, &p->wire), DROP_LINK_DOWN);
  }
  while (p->control.head != NIL)
    port_drop(s, port, fifo_pop(s, &p->control), DROP_LINK_DOWN);
}

static void set_end(struct sim *s, uint32_t port, bool up)
{
  struct port *p = &s->ports[port];
  p->up = up;
  port_resume_all(s, port);
  for (int i = 0; i < PRIO_COUNT; i++) {
    if (!(p->pausing_mask & 1u << i))
      continue;
    p->ev[i].tx_pause_ps += s->now - p->ev[i].tx_pause_since;
    p->ev[i].tx_pause_since = NEVER;
  }
  p->pausing_mask = 0;
  if (!up)
    lose_frames_on_wire(s, port);
}

static void set_link(struct sim *s, uint32_t port, bool up)
{
  uint32_t ends[2] = {port, s->ports[port].peer};
  if (s->ports[port].up == up)
    return;
  for (int i = 0; i < 2; i++)
    set_end(s, ends[i], up);
  for (int i = 0; i < 2 && !up; i++)
    if (s->ports[ends[i]].is_switch)
      switch_flush_port(s, ends[i], 0xff, DROP_LINK_DOWN);
  bool stale = !up && has_defect(s, DEFECT_ROUTE_STALE);
  if (!stale && !route_compute(s))
    s->out_of_memory = true;
  for (int i = 0; i < 2 && up; i++)
    port_kick(s, ends[i]);
}

static void set_rate(struct sim *s, uint32_t port, uint64_t rate_bps)
{
  uint32_t ends[2] = {port, s->ports[port].peer};
  for (int i = 0; i < 2; i++) {
    struct port *p = &s->ports[ends[i]];
    p->rate_bps = rate_bps;
    p->memo_bytes[0] = p->memo_bytes[1] = 0;
    if (p->is_switch)
      switch_configure(s, &s->switches[s->switch_of_node[p->node]]);
    else
      nic_rate_changed(s, &s->nics[p->nic]);
  }
}

/* ---- configuration ---- */

static void change_node(struct sim *s, const struct job_event *e)
{
  const struct job_node *node = &s->job->nodes[e->node];
  if (node->is_switch) {
    struct switch_node *sw = &s->switches[s->switch_of_node[e->node]];
    sw->cfg = e->sw;
    switch_configure(s, sw);
    for (uint32_t i = 0; i < node->n_ports; i++) {
      port_forget_pause(s, node->first_port + i);
      port_kick(s, node->first_port + i);
    }
    return;
  }
  for (uint32_t i = 0; i < node->n_ports; i++) {
    uint32_t nic = s->nic_of_port[node->first_port + i];
    if (nic != NIL)
      nic_reconfigure(s, &s->nics[nic], e->nic);
  }
}

static void handle(struct sim *s, const struct job_event *e)
{
  switch (e->kind) {
  case EV_LINK_DOWN:
  case EV_LINK_UP:
    if (e->kind == EV_LINK_UP && has_defect(s, DEFECT_LINK_STAYS_DOWN))
      break;
    set_link(s, e->port, e->kind == EV_LINK_UP);
    break;
  case EV_LINK_RATE:
    set_rate(s, e->port, e->rate_bps);
    break;
  case EV_DRAIN_RATE:
    nic_set_drain(s, e->port, e->rate_bps);
    break;
  case EV_QOS:
    change_node(s, e);
    break;
  case EV_PAUSE_STORM:
  case EV_IMPAIR:
    break; /* run by their own slots */
  }
}

void fault_job_event(struct sim *s)
{
  const struct job *job = s->job;
  while (s->next_job_event < job->n_events && job->events[s->next_job_event].at_ps <= s->now)
    handle(s, &job->events[s->next_job_event++]);
  if (s->next_job_event < job->n_events)
    arm(s, s->job_event_slot, job->events[s->next_job_event].at_ps);
}
