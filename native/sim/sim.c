/* Setting a simulation up from its job, running it, taking it down. */
#define _DEFAULT_SOURCE
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- time ---- */

/* ns-3 keeps a time as a double of seconds turned into 64.64 fixed point, then truncates to its step. */
static uint64_t ns3_time(double seconds, uint64_t resolution_ps)
{
  double whole = __builtin_floor(seconds);
  uint64_t fraction = (uint64_t)((seconds - whole) * 0x1p64);
  uint64_t steps_per_s = PS_PER_S / resolution_ps;
  uint64_t steps = (uint64_t)whole * steps_per_s + (uint64_t)(((unsigned __int128)fraction * steps_per_s) >> 64);
  return steps * resolution_ps;
}

uint64_t sim_tx_time(const struct sim *s, uint64_t bytes, uint64_t rate_bps)
{
  if (s->job->time_model == TIME_NS3)
    return ns3_time((double)bytes * 8 / (double)rate_bps, s->job->resolution_ps);
  unsigned __int128 bits_ps = (unsigned __int128)bytes * 8 * PS_PER_S;
  if (bytes < 2000000)
    return ((uint64_t)bits_ps + rate_bps / 2) / rate_bps;
  return (uint64_t)((bits_ps + rate_bps / 2) / rate_bps);
}

/* ---- packets: one stretch of address space, touched as needed, so that pointers stay good ---- */

enum { MAX_PACKETS = 1 << 26 };

static bool reserve_packets(struct sim *s)
{
  for (uint32_t n = MAX_PACKETS; n >= 1 << 16; n /= 2) {
    size_t bytes = (size_t)n * sizeof *s->packets;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED) {
      s->packets = at;
      s->cap_packets = n;
      return true;
    }
  }
  return false;
}

uint32_t packet_grow(struct sim *s);
uint32_t packet_grow(struct sim *s)
{
  if (s->n_packets_used < s->cap_packets)
    return s->n_packets_used++;
  s->out_of_memory = true;
  s->live--;
  return NIL;
}

/* ---- set-up ---- */

static void *array(size_t n, size_t size)
{
  return calloc(n + 1, size);
}

static void set_up_port(struct sim *s, uint32_t i)
{
  const struct job *job = s->job;
  const struct job_node *node = &job->nodes[job->ports[i].node];
  struct port *p = &s->ports[i];
  p->node = job->ports[i].node;
  p->is_switch = node->is_switch;
  p->peer = p->nic = NIL;
  p->slowdown = 1;
  p->wire = p->control = (struct fifo){NIL, NIL};
  for (int k = 0; k < PRIO_COUNT; k++) {
    p->lane[k].queue = (struct fifo){NIL, NIL};
    p->ev[k].rx_pause_since = p->ev[k].tx_pause_since = p->ev[k].storm_since = NEVER;
    p->ev[k].pause_until = p->ev[k].refresh_at = NEVER;
  }
  p->tx_slot = evq_add_slot(s->q, SIM_TX_DONE, i);
  p->pause_slot = evq_add_slot(s->q, SIM_PAUSE_TIMER, i);
}

static void connect(struct sim *s, const struct job_link *l)
{
  uint32_t ends[2] = {l->port_a, l->port_b};
  for (int i = 0; i < 2; i++) {
    struct port *p = &s->ports[ends[i]];
    p->peer = ends[1 - i];
    p->rate_bps = l->rate_bps;
    p->delay_ps = l->delay_ps;
    p->bit_error_rate = l->ber;
    p->up = true;
    p->rx_slot = evq_add_slot(s->q, SIM_ARRIVE, ends[1 - i]);
  }
}

static void add_nics(struct sim *s, const struct job_node *node)
{
  for (uint32_t i = 0; i < node->n_ports; i++) {
    uint32_t port = node->first_port + i;
    struct nic *n = &s->nics[s->n_nics];
    n->cfg = node->nic;
    n->port = port;
    n->drain_bps = node->nic->rx_drain_bps;
    n->wake_slot = evq_add_slot(s->q, SIM_NIC_WAKE, port);
    n->drain_slot = evq_add_slot(s->q, SIM_RX_DRAIN, port);
    sched_ets_configure(&n->cfg->sched, &s->ports[port]);
    s->ports[port].nic = s->n_nics;
    s->nic_of_port[port] = s->n_nics++;
  }
}

static void add_switch(struct sim *s, uint32_t node_index)
{
  const struct job_node *node = &s->job->nodes[node_index];
  struct switch_node *sw = &s->switches[s->n_switches];
  sw->cfg = node->sw;
  sw->node = node_index;
  sw->first_port = node->first_port;
  sw->n_ports = node->n_ports;
  sw->ecmp_seed = node->sw->ecmp_seed >= 0 ? (uint32_t)node->sw->ecmp_seed : node_index;
  sw->watchdog_slot = evq_add_slot(s->q, SIM_WATCHDOG, s->n_switches);
  s->switch_of_node[node_index] = s->n_switches++;
}

static void set_up_nodes(struct sim *s)
{
  const struct job *job = s->job;
  for (uint32_t i = 0; i < job->n_ports; i++) {
    set_up_port(s, i);
    s->nic_of_port[i] = NIL;
  }
  for (uint32_t i = 0; i < job->n_links; i++)
    connect(s, &job->links[i]);
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    s->switch_of_node[i] = NIL;
    if (job->nodes[i].is_switch)
      add_switch(s, i);
    else
      add_nics(s, &job->nodes[i]);
  }
}

/* ---- flows ---- */

static uint16_t frame_bytes(const struct sim *s, uint32_t payload, uint32_t extension)
{
  enum { ETHERNET = 14, VLAN = 4, IPV4 = 20, IPV6 = 40, UDP = 8, BTH = 12, ICRC = 4, FCS = 4, LEAST_FRAME = 64 };
  const struct wire_cfg *w = &s->job->wire;
  if (w->model == WIRE_FIXED)
    return (uint16_t)(payload + w->data_overhead_bytes);
  uint32_t headers = ETHERNET + UDP + BTH + ICRC + FCS;
  headers += (w->vlan ? VLAN : 0u) + (w->ip_version == 6 ? IPV6 : IPV4);
  uint32_t bytes = headers + extension + (payload + 3) / 4 * 4;
  return (uint16_t)(bytes < LEAST_FRAME ? LEAST_FRAME : bytes);
}

/* Frame sizes of a flow, by the extension headers of its opcodes (IBA vol. 1, 9.2 and A17). */
static void size_frames(struct sim *s, struct flow *f, uint32_t mtu)
{
  enum { RETH = 16, AETH = 4, DETH = 8, ATOMIC_ETH = 28, ATOMIC_ACK_ETH = 8 };
  const struct job_flow *j = f->job;
  uint64_t n = (j->message_bytes + mtu - 1) / mtu;
  f->packets_per_message = (uint32_t)n;
  f->payload_full = (uint16_t)(n > 1 ? mtu : j->message_bytes);
  f->payload_last = (uint16_t)(j->message_bytes - (n - 1) * mtu);
  uint32_t first = 0, last = 0, only = 0;
  if (j->verb == VERB_WRITE)
    first = only = RETH;
  else if (j->verb == VERB_READ)
    first = last = only = AETH;
  else if (j->verb == VERB_ATOMIC)
    only = AETH + ATOMIC_ACK_ETH - f->payload_last; /* the eight bytes are the header */
  else if (j->transport == TRANSPORT_UD)
    only = DETH;
  f->frame_first = frame_bytes(s, f->payload_full, first);
  f->frame_middle = frame_bytes(s, f->payload_full, 0);
  f->frame_last = frame_bytes(s, f->payload_last, last);
  f->frame_only = frame_bytes(s, f->payload_last, only);
  f->frame_request = frame_bytes(s, 0, j->verb == VERB_ATOMIC ? ATOMIC_ETH : RETH);
  if (n == 1)
    f->frame_middle = f->frame_only;
}

/* UDP source port of a QP: from the flow label, or from the QP numbers as Linux does (rdma_flow_label_to_udp_sport, rdma_calc_flow_label). */
static uint16_t udp_source_port(const struct job_flow *j, uint32_t qp, uint32_t qpn, uint32_t remote_qpn)
{
  if (j->udp_sport >= 0)
    return (uint16_t)((uint32_t)j->udp_sport + qp);
  uint32_t label = (uint32_t)j->flow_label;
  if (j->flow_label < 0) {
    uint64_t v = (uint64_t)qpn * remote_qpn;
    v ^= v >> 20;
    v ^= v >> 40;
    label = (uint32_t)(v & 0xfffff);
  }
  return (uint16_t)(((label & 0x3fff) ^ (label & 0xfc000) >> 14) | 0xc000);
}

const struct cc_ops *cc_find(const char *name)
{
  for (unsigned long i = 0; i < cc_registry_size; i++)
    if (strcmp(cc_registry[i]->name, name) == 0)
      return cc_registry[i];
  return NULL;
}

static enum ecmp_mode hash_mode(const struct sim *s)
{
  return s->n_switches > 0 ? s->switches[0].cfg->ecmp_mode : ECMP_5TUPLE;
}

static bool set_up_side(struct sim *s, uint32_t side, uint32_t flow, uint32_t port, uint32_t peer_port)
{
  struct flow *f = &s->flows[flow];
  const struct job_flow *j = f->job;
  struct side *sd = &s->sides[side];
  struct nic *n = &s->nics[s->nic_of_port[port]];
  bool requester = (side & 1u) == 0, reads = j->verb == VERB_READ || j->verb == VERB_ATOMIC;
  sd->nic = s->nic_of_port[port];
  sd->flow = flow;
  sd->peer_port = peer_port;
  sd->prio = (uint8_t)j->priority;
  sd->dscp = (uint8_t)j->dscp;
  sd->sends_requests = requester && reads;
  sd->messages_total = j->messages > 0 ? j->messages : UINT64_MAX;
  sd->message_end = f->packets_per_message;
  sd->retry_deadline = sd->last_cnp_ps = NEVER;
  sd->cc.cfg = &n->cfg->cc;
  qp_line_rate_changed(s, side);
  sd->cc_ops = cc_find(n->cfg->cc.algorithm);
  sd->cc_slot = evq_add_slot(s->q, SIM_CC_TIMER, side);
  sd->retry_slot = evq_add_slot(s->q, SIM_RETRY_TIMER, side);
  sd->post_slot = requester ? evq_add_slot(s->q, SIM_POST, side) : NIL;
  sd->recv_credits = j->recv_depth;
  if (!requester && j->recv_depth > 0 && (sd->repost_ring = calloc(j->recv_depth, sizeof *sd->repost_ring)) == NULL)
    return false;
  if (n->cfg->loss_recovery != RECOVER_SELECTIVE || reads || j->transport != TRANSPORT_RC)
    return true;
  struct sack_map **map = requester ? &sd->sacked : &sd->arrived;
  *map = calloc(1, sizeof **map);
  return *map != NULL;
}

static bool set_up_qp(struct sim *s, uint32_t flow, uint32_t qp)
{
  enum { FIRST_QPN = 0x11, CONSTANT_SPORT = 0xc000 };
  struct flow *f = &s->flows[flow];
  const struct job_flow *j = f->job;
  uint32_t side = f->first_side + 2 * qp;
  if (!set_up_side(s, side, flow, j->src_port, j->dst_port) || !set_up_side(s, side + 1, flow, j->dst_port, j->src_port))
    return false;
  for (uint32_t i = 0; i < 2; i++)
    s->sides[side + i].qpn = FIRST_QPN + side + i;
  uint16_t sport = has_defect(s, DEFECT_UDP_SPORT_CONSTANT)
                       ? CONSTANT_SPORT
                       : udp_source_port(j, qp, s->sides[side].qpn, s->sides[side + 1].qpn);
  for (uint32_t i = 0; i < 2; i++) {
    struct side *sd = &s->sides[side + i];
    sd->sport = sport;
    sd->hash = route_hash(s, s->nics[sd->nic].port, sd->peer_port, sport, s->sides[side + 1 - i].qpn, hash_mode(s));
  }
  return true;
}

/* A flow waits at its own source: for what was sent from there to be acknowledged, for what came there to be delivered. */
static bool wait_for(struct sim *s, uint32_t flow, uint32_t earlier)
{
  const struct job *job = s->job;
  const struct job_flow *e = &job->flows[earlier];
  uint32_t here = job->ports[job->flows[flow].src_port].node;
  bool arrives_here = job->ports[e->dst_port].node == here && e->verb != VERB_READ && e->verb != VERB_ATOMIC;
  struct dependents *d = arrives_here ? &s->flows[earlier].when_delivered : &s->flows[earlier].when_acked;
  if ((d->n & (d->n - 1)) == 0) {
    uint32_t *grown = realloc(d->flows, (d->n == 0 ? 1 : (size_t)d->n * 2) * sizeof *grown);
    if (grown == NULL)
      return false;
    d->flows = grown;
  }
  d->flows[d->n++] = flow;
  s->flows[flow].waiting_for++;
  return true;
}

static bool set_up_flows(struct sim *s)
{
  const struct job *job = s->job;
  uint32_t side = 0;
  for (uint32_t i = 0; i < job->n_flows; i++) {
    struct flow *f = &s->flows[i];
    f->job = &job->flows[i];
    f->first_side = side;
    size_frames(s, f, s->nics[s->nic_of_port[f->job->src_port]].cfg->mtu_bytes);
    histogram_init(&f->latency);
    s->used_prios |= (uint8_t)(1u << f->job->priority);
    for (uint32_t q = 0; q < f->job->qps; q++, side += 2)
      if (!set_up_qp(s, i, q))
        return false;
    for (uint32_t k = 0; k < f->job->n_after && !has_defect(s, DEFECT_ORDERING_LOST_DEPENDENCY); k++)
      if (!wait_for(s, i, f->job->after[k]))
        return false;
  }
  return true;
}

/* Gives each NIC the list of sides that can send data or requests from it. */
static bool set_up_senders(struct sim *s)
{
  for (uint32_t i = 0; i < s->n_sides; i++)
    s->nics[s->sides[i].nic].n_senders++;
  for (uint32_t i = 0; i < s->n_nics; i++) {
    s->nics[i].senders = array(s->nics[i].n_senders, sizeof(uint32_t));
    if (s->nics[i].senders == NULL)
      return false;
    s->nics[i].n_senders = 0;
  }
  for (uint32_t i = 0; i < s->n_sides; i++) {
    struct nic *n = &s->nics[s->sides[i].nic];
    s->sides[i].sender = n->n_senders;
    n->senders[n->n_senders++] = i;
  }
  for (uint32_t i = 0; i < s->n_nics; i++) {
    if (!nic_set_up(s, &s->nics[i]))
      return false;
    const struct nic_cfg *cfg = s->nics[i].cfg;
    s->used_prios |= (uint8_t)(1u << cfg->cnp_priority);
    if (cfg->ack_priority >= 0)
      s->used_prios |= (uint8_t)(1u << cfg->ack_priority);
  }
  return true;
}

/* Notes into which priority a switch sorts the packets that hosts send in `prio` with a DSCP. */
static void note_class(struct sim *s, const uint8_t map[DSCP_COUNT], uint8_t dscp, uint8_t prio)
{
  s->classifies = s->classifies || map[dscp] != prio || DSCP_DEFAULT_PRIORITY(dscp) != prio;
  s->used_prios |= (uint8_t)(1u << map[dscp]);
}

/* `hosts`: the priorities in use at hosts. ACKs and CNPs have the DSCP of theirs, data may have another. */
static void note_map(struct sim *s, const uint8_t map[DSCP_COUNT], uint8_t hosts)
{
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++)
    if (hosts & 1u << prio)
      note_class(s, map, dscp_of_priority[prio], prio);
  for (uint32_t i = 0; i < s->job->n_flows; i++)
    note_class(s, map, (uint8_t)s->job->flows[i].dscp, (uint8_t)s->job->flows[i].priority);
}

/* Whether anything is ever sorted into another priority than the host's, and into which ones. */
static void set_up_classes(struct sim *s)
{
  const struct job *job = s->job;
  uint8_t hosts = s->used_prios;
  for (uint32_t i = 0; i < s->n_switches; i++)
    note_map(s, s->switches[i].cfg->dscp_map, hosts);
  for (uint32_t i = 0; i < job->n_events; i++)
    if (job->events[i].kind == EV_QOS && job->nodes[job->events[i].node].is_switch)
      note_map(s, job->events[i].sw->dscp_map, hosts);
}

struct pair_key {
  uint64_t hosts;
  uint32_t flow;
};

static int compare_pairs(const void *a, const void *b)
{
  const struct pair_key *x = a, *y = b;
  return x->hosts < y->hosts ? -1 : x->hosts > y->hosts;
}

/* Numbers the (source host, target host) pairs, for the per-IP-pair CNP scope. */
static bool number_pairs(struct sim *s)
{
  const struct job *job = s->job;
  struct pair_key *keys = array(job->n_flows, sizeof *keys);
  if (keys == NULL)
    return false;
  for (uint32_t i = 0; i < job->n_flows; i++) {
    const struct job_flow *j = &job->flows[i];
    keys[i] = (struct pair_key){(uint64_t)j->src_port << 32 | j->dst_port, i};
  }
  qsort(keys, job->n_flows, sizeof *keys, compare_pairs);
  uint32_t n = 0;
  for (uint32_t i = 0; i < job->n_flows; i++) {
    n += i > 0 && keys[i].hosts != keys[i - 1].hosts;
    s->pair_of_flow[keys[i].flow] = n;
  }
  free(keys);
  return true;
}

static uint64_t horizon(const struct sim *s)
{
  uint64_t most = 0;
  for (uint32_t i = 0; i < s->job->n_links; i++) {
    const struct job_link *l = &s->job->links[i];
    most = max_u64(most, l->delay_ps + 2048 * 8 * PS_PER_S / l->rate_bps);
  }
  return most + most / 4;
}

static bool allocate(struct sim *s)
{
  const struct job *job = s->job;
  uint32_t hosts = 0, switches = 0, sides = 0, storms = 0;
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    switches += job->nodes[i].is_switch;
    hosts += job->nodes[i].is_switch ? 0 : job->nodes[i].n_ports;
  }
  for (uint32_t i = 0; i < job->n_flows; i++)
    sides += 2 * job->flows[i].qps;
  for (uint32_t i = 0; i < job->n_events; i++)
    storms += job->events[i].kind == EV_PAUSE_STORM;
  s->n_sides = sides;
  s->q = evq_new(3 * job->n_ports + 2 * hosts + 3 * sides + switches + storms + 11, horizon(s));
  s->ports = aligned_alloc(64, (job->n_ports + 1) * sizeof *s->ports);
  s->nics = array(hosts, sizeof *s->nics);
  s->switches = array(switches, sizeof *s->switches);
  s->sides = array(sides, sizeof *s->sides);
  s->flows = array(job->n_flows, sizeof *s->flows);
  s->hops = array((size_t)switches * hosts, sizeof *s->hops);
  s->nic_of_port = array(job->n_ports, sizeof *s->nic_of_port);
  s->switch_of_node = array(job->n_nodes, sizeof *s->switch_of_node);
  s->pair_of_flow = array(job->n_flows, sizeof *s->pair_of_flow);
  s->pair_cnp_ps = array(2 * (size_t)job->n_flows, sizeof *s->pair_cnp_ps);
  s->impair_head = array(sides, sizeof *s->impair_head);
  if (s->q == NULL || s->ports == NULL || s->nics == NULL || s->switches == NULL || s->sides == NULL || s->flows == NULL ||
      s->hops == NULL || s->nic_of_port == NULL || s->switch_of_node == NULL || s->pair_of_flow == NULL ||
      s->pair_cnp_ps == NULL || s->impair_head == NULL)
    return false;
  memset(s->ports, 0, (job->n_ports + 1) * sizeof *s->ports);
  memset(s->impair_head, 0xff, (sides + 1) * sizeof *s->impair_head);
  memset(s->pair_cnp_ps, 0xff, (2 * (size_t)job->n_flows + 1) * sizeof *s->pair_cnp_ps);
  return reserve_packets(s);
}

static bool set_up(struct sim *s)
{
  if (!allocate(s))
    return false;
  set_up_nodes(s);
  for (uint32_t i = 0; i < s->n_switches; i++)
    s->switches[i].next_hop_row = i * s->n_nics;
  s->job_event_slot = evq_add_slot(s->q, SIM_JOB_EVENT, 0);
  s->delayed_slot = evq_add_slot(s->q, SIM_DELAYED, 0);
  s->sample_slot = evq_add_slot(s->q, SIM_SAMPLE, 0);
  s->held_slot = evq_add_slot(s->q, SIM_HELD, 0);
  s->stall_slot = evq_add_slot(s->q, SIM_STALL, 0);
  if (!set_up_flows(s) || !set_up_senders(s) || !number_pairs(s) || !route_compute(s))
    return false;
  set_up_classes(s);
  for (uint32_t i = 0; i < s->n_switches; i++)
    switch_configure(s, &s->switches[i]);
  for (uint32_t i = 0; i < s->job->n_flows; i++)
    if (s->flows[i].waiting_for == 0)
      qp_release_flow(s, i);
  arm(s, evq_add_slot(s->q, SIM_END, 0), s->job->duration_ps);
  if (!fault_set_up(s))
    return false;
  if (s->defects != 0)
    defect_set_up(s);
  return true;
}

struct sim *sim_new(const struct job *job)
{
  struct sim *s = calloc(1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->job = job;
  s->free_packet = s->held = NIL;
  s->defects = job->defects;
  rng_seed(&s->rng, job->seed);
  if (!set_up(s)) {
    sim_free(s);
    return NULL;
  }
  return s;
}

void sim_free(struct sim *s)
{
  if (s == NULL)
    return;
  for (uint32_t i = 0; s->sides != NULL && i < s->n_sides; i++) {
    free(s->sides[i].post_times);
    free(s->sides[i].repost_ring);
    free(s->sides[i].sacked);
    free(s->sides[i].arrived);
  }
  for (uint32_t i = 0; s->flows != NULL && i < s->job->n_flows; i++) {
    histogram_free(&s->flows[i].latency);
    free(s->flows[i].when_acked.flows);
    free(s->flows[i].when_delivered.flows);
  }
  for (uint32_t i = 0; s->nics != NULL && i < s->n_nics; i++)
    nic_tear_down(&s->nics[i]);
  for (uint32_t i = 0; i < s->n_impairments; i++)
    free(s->impairments[i].seen);
  if (s->packets != NULL)
    munmap(s->packets, (size_t)s->cap_packets * sizeof *s->packets);
  telemetry_free(s);
  evq_free(s->q);
  void *arrays[] = {s->ports, s->nics, s->switches, s->sides, s->flows, s->hops, s->hop_ports, s->nic_of_port, s->switch_of_node,
                    s->pair_of_flow, s->pair_cnp_ps, s->impair_head, s->impairments, s->storms};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
    free(arrays[i]);
  free(s);
}

/* ---- dependent flows ---- */

static void release_dependents(struct sim *s, const struct dependents *d)
{
  for (uint32_t i = 0; i < d->n; i++)
    if (--s->flows[d->flows[i]].waiting_for == 0)
      qp_release_flow(s, d->flows[i]);
}

void sim_flow_acked(struct sim *s, uint32_t flow)
{
  struct flow *f = &s->flows[flow];
  f->done = !f->failed;
  f->end_ps = s->now;
  s->flows_done++;
  if (f->done)
    release_dependents(s, &f->when_acked);
  if (s->flows_done == s->job->n_flows)
    s->done_ps = s->now;
}

void sim_flow_delivered(struct sim *s, uint32_t flow)
{
  release_dependents(s, &s->flows[flow].when_delivered);
}

/* ---- the main loop ---- */

static void dispatch(struct sim *s, const struct evq_slot *e)
{
  switch ((enum sim_event)e->kind) {
  case SIM_TX_DONE:
  case SIM_NIC_WAKE:
    port_kick(s, e->obj);
    break;
  case SIM_ARRIVE:
    port_arrive(s, e->obj);
    break;
  case SIM_PAUSE_TIMER:
    port_pause_timer(s, e->obj);
    break;
  case SIM_RX_DRAIN:
    nic_drain(s, e->obj);
    break;
  case SIM_CC_TIMER:
    qp_cc_timer(s, e->obj);
    break;
  case SIM_RETRY_TIMER:
    qp_retry_timer(s, e->obj);
    break;
  case SIM_POST:
    qp_post(s, e->obj);
    break;
  case SIM_WATCHDOG:
    switch_watchdog(s, e->obj);
    break;
  case SIM_STORM:
    fault_storm(s, e->obj);
    break;
  case SIM_JOB_EVENT:
    fault_job_event(s);
    break;
  case SIM_DELAYED:
    fault_delayed(s);
    break;
  case SIM_HELD:
    switch_release(s);
    break;
  case SIM_STALL:
    defect_check_stall(s);
    break;
  case SIM_SAMPLE:
    telemetry_sample(s);
    break;
  case SIM_END:
    s->stopping = true;
    break;
  }
}

static bool all_flows_done(const struct sim *s)
{
  return s->flows_done == s->job->n_flows;
}

/* A finished run goes on until the fabric is empty, so that what is still in flight is accounted for. */
static bool is_over(const struct sim *s)
{
  if (s->stalled)
    return true;
  if (all_flows_done(s) && s->job->until_done)
    return s->live == 0;
  return s->stopping && (s->now >= s->job->duration_ps + s->job->drain_ps || s->live == 0);
}

enum { PROGRESS_MASK = (1 << 16) - 1, DRAIN_LIMIT_EVENTS = 1 << 26 };

static void run_loop(struct sim *s)
{
  uint64_t last = s->job->duration_ps + s->job->drain_ps, after_done = 0;
  while (!s->out_of_memory) {
    uint32_t slot = evq_pop(s->q);
    if (slot == EVQ_NONE)
      break;
    const struct evq_slot *e = &s->q->slots[slot];
    if (e->time > last)
      break;
    s->now = e->time;
    s->cur_order = e->order;
    s->events++;
    dispatch(s, e);
    if ((s->events & PROGRESS_MASK) == 0 && s->progress != NULL)
      s->progress(s, s->progress_arg);
    if (all_flows_done(s) || s->stopping) {
      if (is_over(s) || ++after_done > DRAIN_LIMIT_EVENTS)
        break;
    }
  }
}

static const char *how_it_ended(const struct sim *s)
{
  if (s->out_of_memory)
    return "error";
  if (!s->job->until_done)
    return "duration";
  return all_flows_done(s) ? "done" : "limit";
}

void sim_run(struct sim *s)
{
  run_loop(s);
  s->ended = how_it_ended(s);
  conserve_check(s);
}

/* When the last flow completed, or when the run was cut off. */
uint64_t sim_end_ps(const struct sim *s)
{
  return s->job->until_done && all_flows_done(s) ? s->done_ps : min_u64(s->now, s->job->duration_ps);
}
