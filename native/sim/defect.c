/* Devices that misbehave on purpose (defect.h): what has to be set up, and what needs more than a line where it happens.
 *
 * The first host is the first one of the job's nodes, the last one likewise.
 */
#include "sim.h"

#define STORM_START_PS 500000000ull     /* 0.5 ms */
#define EXTRA_LATENCY_PS 5000000ull     /* 5 µs */
#define STALL_CHECK_PS 10000000000ull   /* 10 ms */
#define LEAST_PATIENCE_PS 100000000000ull /* 100 ms */
#define LEAST_BIT_ERROR_RATE 1e-7
enum {
  VANISH_EACH = 1000,   /* data packets */
  OVERTAKE_EACH = 100,  /* data packets */
  OVERTAKEN_BY = 8,     /* frames that may pass a packet, at the rate of its egress port */
  SLOW_PERCENT = 40,    /* of line rate: slow receivers and senders */
  LONGEST_QUANTA = 65535,
};

bool defect_is_first_host(const struct sim *s, uint32_t port)
{
  return s->ports[port].node == s->ports[s->nics[0].port].node;
}

/* ---- hosts ---- */

/* The rate at which a host takes in data; 0: as it comes. */
uint64_t defect_drain(const struct sim *s, const struct nic *n, uint64_t asked_bps)
{
  if (!has_defect(s, DEFECT_SLOW_RECEIVER))
    return asked_bps;
  uint64_t most = s->ports[n->port].rate_bps * SLOW_PERCENT / 100;
  return asked_bps == 0 ? most : min_u64(asked_bps, most);
}

static void begin_own_storm(struct sim *s)
{
  const struct nic *last = &s->nics[s->n_nics - 1];
  uint8_t lossless = last->cfg->pfc.mask;
  s->own_storm = (struct job_event){.at_ps = STORM_START_PS, .kind = EV_PAUSE_STORM, .port = last->port,
                                    .prio_mask = lossless != 0 ? lossless : 0xff, .quanta = LONGEST_QUANTA,
                                    .duration_ps = NEVER - STORM_START_PS};
  if (s->ports[last->port].peer != NIL)
    fault_add_storm(s, &s->own_storm);
}

/* ---- lines that are not used whole ---- */

static const struct sched_cfg *scheduler_of(const struct sim *s, const struct port *p)
{
  return p->is_switch ? &s->switches[s->switch_of_node[p->node]].cfg->sched : &s->nics[p->nic].cfg->sched;
}

static uint8_t backlog_of(const struct sim *s, const struct port *p)
{
  uint8_t waiting = p->queued_mask;
  if (!p->is_switch)
    waiting = s->nics[p->nic].ack_mask | s->nics[p->nic].ready_mask;
  return waiting & (uint8_t)~p->paused_mask;
}

/* Weight of the idle priorities over that of those with something to send, `prio` among them. */
static double idle_share(const struct sim *s, const struct port *p, uint8_t prio)
{
  const struct sched_cfg *sched = scheduler_of(s, p);
  uint8_t busy = backlog_of(s, p) | (uint8_t)(1u << prio);
  double used = 0, idle = 0;
  if (sched->kind != SCHED_ETS || (sched->strict_mask & 1u << prio))
    return 0;
  for (int i = 0; i < PRIO_COUNT; i++) {
    if (sched->strict_mask & 1u << i)
      continue;
    if (busy & 1u << i)
      used += sched->weight[i];
    else
      idle += sched->weight[i];
  }
  return used > 0 ? idle / used : 0;
}

/* How long a line stays unused after a frame that took `tx_ps`. */
uint64_t defect_gap(const struct sim *s, const struct port *p, uint8_t prio, uint64_t tx_ps)
{
  double gaps = has_defect(s, DEFECT_ETS_NOT_WORK_CONSERVING) ? idle_share(s, p, prio) : 0;
  if (has_defect(s, DEFECT_SLOW_SENDER) && !p->is_switch && defect_is_first_host(s, s->nics[p->nic].port)) {
    double rest = (100.0 - SLOW_PERCENT) / SLOW_PERCENT;
    gaps = gaps > rest ? gaps : rest;
  }
  return (uint64_t)((double)tx_ps * gaps + 0.5);
}

/* ---- switches ---- */

/* Loses a packet without a trace but those that conservation needs. */
bool defect_vanishes(struct sim *s, struct switch_node *sw, uint32_t pkt)
{
  const struct packet *k = &s->packets[pkt];
  if (k->kind != PKT_DATA || ++sw->n_vanishing % VANISH_EACH != 0)
    return false;
  struct flow *f = &s->flows[s->sides[k->side].flow];
  f->packets_in_flight--;
  f->packets_vanished++;
  s->vanished_packets++;
  s->vanished_bytes += k->bytes;
  packet_free(s, pkt);
  return true;
}

/* How long a switch keeps a frame before it queues it. */
uint64_t defect_delay(const struct sim *s, struct switch_node *sw, uint32_t out, const struct packet *k)
{
  uint64_t delay = has_defect(s, DEFECT_LATENCY_EXTRA) ? EXTRA_LATENCY_PS : 0;
  if (has_defect(s, DEFECT_PACKETS_REORDERED) && k->kind == PKT_DATA && ++sw->n_overtaken % OVERTAKE_EACH == 0)
    delay += sim_tx_time(s, OVERTAKEN_BY * ((uint64_t)k->bytes + s->job->wire.gap_bytes), s->ports[out].rate_bps);
  return delay;
}

/* ---- runs that get nowhere ---- */

/* Grows as long as anything is achieved: packets sent over and over are nothing. Once all flows have ended, as long as what is left
 * in the fabric leaves it. */
static uint64_t achieved(const struct sim *s)
{
  uint64_t sum = s->flows_done + s->next_job_event;
  for (uint32_t i = 0; i < s->job->n_flows; i++) {
    const struct flow *f = &s->flows[i];
    sum += f->bytes_acked + f->bytes_delivered + f->started;
  }
  return s->flows_done < s->job->n_flows ? sum : sum + s->delivered_packets + s->dropped_packets;
}

/* Something is set to happen whatever the fabric does. */
static bool is_expecting(const struct sim *s)
{
  if (s->next_job_event < s->job->n_events)
    return true;
  for (uint32_t i = 0; i < s->n_storms; i++)
    if (s->storms[i].event != &s->own_storm && is_armed(s, s->storms[i].slot))
      return true;
  for (uint32_t i = 0; i < s->n_sides; i += 2)
    if (is_armed(s, s->sides[i].post_slot))
      return true;
  return false;
}

/* The longest time in which a flow gives up, or goes on, by the timers of its hosts: all retries, and one to spare. */
static uint64_t longest_wait(const struct sim *s)
{
  uint64_t longest = 0;
  for (uint32_t i = 0; i < s->n_nics; i++) {
    const struct nic_cfg *cfg = s->nics[i].cfg;
    if (cfg->ack_timeout_exponent > 0)
      longest = max_u64(longest, (cfg->retry_count + 2) * (ACK_TIMEOUT_UNIT_PS << cfg->ack_timeout_exponent));
  }
  for (uint32_t i = 0; i < s->job->n_flows; i++) {
    const struct job_flow *j = &s->job->flows[i];
    const struct nic_cfg *asking = s->nics[s->nic_of_port[j->src_port]].cfg, *target = s->nics[s->nic_of_port[j->dst_port]].cfg;
    uint64_t rnr_ps = (uint64_t)rnr_timer_us[target->rnr_timer] * 1000000u * (asking->rnr_retry + 2);
    if (j->recv_depth > 0)
      longest = max_u64(longest, max_u64(rnr_ps, 2 * j->recv_repost_ps));
  }
  return longest;
}

/* Time of the watchdogs of switches to detect and to restore, and as much again. */
static uint64_t longest_storm(const struct sim *s)
{
  uint64_t longest = 0;
  for (uint32_t i = 0; i < s->n_switches; i++) {
    const struct watchdog_cfg *w = &s->switches[i].cfg->pfc.watchdog;
    if (w->enabled)
      longest = max_u64(longest, 2 * min_u64(w->detect_ps + w->poll_ps + w->restore_ps, s->job->duration_ps));
  }
  return longest;
}

/* Time in which what is not stuck achieves something; less when only the fabric is still to become empty. */
static uint64_t patience(const struct sim *s)
{
  if (s->flows_done == s->job->n_flows)
    return STALL_CHECK_PS;
  return max_u64(LEAST_PATIENCE_PS, max_u64(longest_wait(s), longest_storm(s)));
}

/* A run until done that cannot be done ends here, not at duration_ps. */
void defect_check_stall(struct sim *s)
{
  uint64_t mark = achieved(s);
  if (mark > s->progress_mark || is_expecting(s))
    s->progress_ps = s->now;
  s->progress_mark = max_u64(s->progress_mark, mark);
  s->stalled = s->now - s->progress_ps >= patience(s);
  s->stopping = s->stopping || s->stalled;
  arm(s, s->stall_slot, s->now + STALL_CHECK_PS);
}

/* ---- set-up ---- */

static void set_up_port(struct sim *s, struct port *p)
{
  bool slow_sender = has_defect(s, DEFECT_SLOW_SENDER) && !p->is_switch && defect_is_first_host(s, s->nics[p->nic].port);
  p->leaves_gaps = slow_sender || has_defect(s, DEFECT_ETS_NOT_WORK_CONSERVING);
  if (has_defect(s, DEFECT_BIT_ERRORS) && p->bit_error_rate < LEAST_BIT_ERROR_RATE)
    p->bit_error_rate = LEAST_BIT_ERROR_RATE;
}

void defect_set_up(struct sim *s)
{
  for (uint32_t i = 0; i < s->job->n_ports; i++)
    set_up_port(s, &s->ports[i]);
  for (uint32_t i = 0; i < s->n_nics; i++)
    s->nics[i].drain_bps = defect_drain(s, &s->nics[i], s->nics[i].drain_bps);
  struct port *first = &s->ports[s->nics[0].port];
  if (has_defect(s, DEFECT_LINK_HALF_RATE) && first->peer != NIL)
    first->slowdown = s->ports[first->peer].slowdown = 2;
  if (has_defect(s, DEFECT_NIC_PAUSE_STORM))
    begin_own_storm(s);
  if (s->job->until_done)
    arm(s, s->stall_slot, STALL_CHECK_PS);
}
