/* The receiving half of a host port: data in order or not, ACK, NAK, CNP, read requests, and the slow receiver.
 *
 * Sources: IBA vol. 1 chapter 9.7 (responder behaviour), Annex A17 (RoCEv2, CNP); DCQCN paper §3.1 (notification point).
 */
#include "sim.h"

enum {
  ROCE_FRAME_IPV4 = 14 + 20 + 8 + 12 + 4 + 4, /* Ethernet, IPv4, UDP, BTH, ICRC, FCS */
  IPV6_EXTRA = 20,
  VLAN_TAG = 4,
  AETH = 4,
  CNP_RESERVED = 16,
};

static const struct nic_cfg *cfg_of(const struct sim *s, const struct side *sd)
{
  return s->nics[sd->nic].cfg;
}

static uint16_t control_bytes(const struct sim *s, enum packet_kind kind)
{
  const struct wire_cfg *w = &s->job->wire;
  if (w->model == WIRE_FIXED)
    return (uint16_t)(kind == PKT_CNP ? w->cnp_bytes : w->ack_bytes);
  return (uint16_t)(ROCE_FRAME_IPV4 + (w->ip_version == 6 ? IPV6_EXTRA : 0) + (w->vlan ? VLAN_TAG : 0) +
                    (kind == PKT_CNP ? CNP_RESERVED : AETH));
}

/* A control packet from a side to its peer, queued at its NIC; NULL when memory is short, or the NIC does not send it. */
static struct packet *reply(struct sim *s, uint32_t side, enum packet_kind kind, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  const struct nic_cfg *cfg = cfg_of(s, sd);
  if (kind == PKT_NAK && has_defect(s, DEFECT_NAK_NOT_SENT))
    return NULL;
  uint32_t i = packet_new(s);
  if (i == NIL)
    return NULL;
  uint8_t prio = sd->prio, dscp = sd->dscp;
  bool with_data = kind == PKT_CNP ? has_defect(s, DEFECT_CNP_IN_DATA_QUEUE) : cfg->ack_priority < 0;
  if (!with_data) {
    prio = (uint8_t)(kind == PKT_CNP ? cfg->cnp_priority : (uint32_t)cfg->ack_priority);
    dscp = dscp_of_priority[prio];
  }
  struct packet *k = &s->packets[i];
  *k = (struct packet){.psn = psn, .side = other_side(side), .dst_port = sd->peer_port, .hash = sd->hash, .in_port = NIL,
                       .bytes = control_bytes(s, kind), .kind = (uint8_t)kind, .prio = prio, .dscp = dscp};
  s->made_packets++;
  s->made_bytes += k->bytes;
  nic_queue_control(s, &s->nics[sd->nic], i);
  return k;
}

/* ---- notification point ---- */

static uint64_t *last_cnp_of(struct sim *s, struct side *sd)
{
  switch (cfg_of(s, sd)->cnp_scope) {
  case CNP_PER_PORT:
    return &s->nics[sd->nic].last_cnp_ps;
  case CNP_PER_IP_PAIR:
    return &s->pair_cnp_ps[2 * s->pair_of_flow[sd->flow] + ((uint32_t)(sd - s->sides) & 1u)];
  case CNP_PER_QP:
    break;
  }
  return &sd->last_cnp_ps;
}

/* A CE packet has come: sends a CNP unless one was sent less than the interval ago. */
static void notify_sender(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  const struct nic_cfg *cfg = cfg_of(s, sd);
  uint64_t *last = last_cnp_of(s, sd);
  if (cfg->cnp_mode != CNP_PACKETS || (*last != NEVER && s->now - *last < cfg->cnp_interval_ps))
    return;
  *last = s->now;
  if (reply(s, side, PKT_CNP, 0) == NULL)
    return;
  s->nics[sd->nic].count.cnp_sent++;
  s->flows[sd->flow].cnp_sent++;
}

static void note_marking(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (follows_hpcc(cfg_of(s, sd)))
    sd->echo_pending = false; /* only the packet's own reply carries its mark */
  if (!(k->flags & PF_CE))
    return;
  s->nics[sd->nic].count.ecn_marked_rx++;
  s->flows[sd->flow].ecn_marked++;
  if (has_defect(s, DEFECT_CNP_NOT_SENT))
    return;
  if (cfg_of(s, sd)->cnp_mode == CNP_ACK_ECHO)
    sd->echo_pending = true;
  else
    notify_sender(s, side);
}

/* ---- replies ---- */

static struct packet *send_ack(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct packet *k = reply(s, side, PKT_ACK, sd->expected);
  if (k == NULL)
    return NULL;
  if (sd->echo_pending) {
    k->flags |= PF_ECHO;
    s->flows[sd->flow].cnp_sent++;
    s->nics[sd->nic].count.cnp_sent++;
  }
  sd->echo_pending = false;
  sd->since_ack = 0;
  s->nics[sd->nic].count.acks_sent++;
  return k;
}

static struct packet *send_nak(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct packet *k = reply(s, side, PKT_NAK, sd->expected);
  if (k == NULL)
    return NULL;
  if (sd->echo_pending)
    k->flags |= PF_ECHO;
  sd->echo_pending = false;
  sd->nak_sent = true;
  sd->last_nak_ps = s->now;
  sd->last_nak_psn = sd->expected;
  s->nics[sd->nic].count.out_of_sequence++;
  s->flows[sd->flow].naks_sent++;
  return k;
}

static bool may_nak(const struct sim *s, const struct side *sd)
{
  uint64_t interval = cfg_of(s, sd)->nak_interval_ps;
  if (!sd->nak_sent || sd->last_nak_psn != sd->expected)
    return true;
  return interval > 0 && s->now >= sd->last_nak_ps + interval;
}

/* One NAK a gap; a defective NIC sends one for each packet beyond it. */
static bool answers_with_nak(const struct sim *s, const struct side *sd)
{
  return has_defect(s, DEFECT_NAK_STORM) || may_nak(s, sd);
}

/* ---- receive work requests of sends ---- */

static void collect_reposts(const struct sim *s, struct side *sd, const struct job_flow *j)
{
  while (sd->repost_count > 0 && sd->repost_ring[sd->repost_head] <= s->now) {
    sd->repost_head = (sd->repost_head + 1) % j->recv_depth;
    sd->repost_count--;
    sd->recv_credits++;
  }
}

/* Takes a posted receive for a new send; false when there is none. */
static bool take_receive(struct sim *s, struct side *sd)
{
  const struct job_flow *j = s->flows[sd->flow].job;
  if (j->verb != VERB_SEND || j->recv_depth == 0)
    return true;
  collect_reposts(s, sd, j);
  if (sd->recv_credits == 0)
    return false;
  sd->recv_credits--;
  if (j->recv_repost_ps > 0) {
    sd->repost_ring[(sd->repost_head + sd->repost_count) % j->recv_depth] = s->now + j->recv_repost_ps;
    sd->repost_count++;
  }
  return true;
}

static void send_rnr_nak(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct packet *k = reply(s, side, PKT_RNR_NAK, sd->expected);
  if (k == NULL)
    return;
  k->extra = cfg_of(s, sd)->rnr_timer;
  sd->nak_sent = true;
  sd->last_nak_psn = sd->expected;
  sd->last_nak_ps = s->now;
  s->nics[sd->nic].count.rnr_nak_sent++;
  s->flows[sd->flow].rnr_naks_sent++;
}

/* ---- data ---- */

static void deliver_message(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  sd->messages_delivered++;
  if (f->job->messages > 0 && sd->messages_delivered == f->job->messages && ++f->qps_delivered == f->job->qps)
    sim_flow_delivered(s, sd->flow);
}

/* Delivers the packet at `expected`. */
static void accept_in_order(struct sim *s, uint32_t side, uint32_t payload)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  sd->expected++;
  sd->bytes_delivered += payload;
  f->bytes_delivered += payload;
  if (++sd->expected_index == f->packets_per_message) {
    sd->expected_index = 0;
    deliver_message(s, side);
  }
}

static void acknowledge_if_due(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  sd->since_ack++;
  if (sd->since_ack >= cfg_of(s, sd)->ack_every || (k->flags & PF_LAST))
    send_ack(s, side);
}

/* Go-back-0: the receiver too starts the message again and forgets what it had of it. */
static void restart_message(struct flow *f, struct side *sd)
{
  uint64_t forgotten = (uint64_t)sd->expected_index * f->payload_full;
  sd->bytes_delivered -= forgotten;
  f->bytes_delivered -= forgotten;
  sd->expected -= sd->expected_index;
  sd->expected_index = 0;
}

static void receive_gap(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  if (cfg_of(s, sd)->loss_recovery == RECOVER_GO_BACK_0)
    restart_message(&s->flows[sd->flow], sd);
  if (answers_with_nak(s, sd))
    send_nak(s, side);
}

/* A defective NIC writes a packet that it has had before to memory once more. */
static void deliver_again(struct sim *s, uint32_t side, const struct packet *k)
{
  if (!has_defect(s, DEFECT_DUPLICATE_DELIVERED))
    return;
  s->sides[side].bytes_delivered += k->payload;
  s->flows[s->sides[side].flow].bytes_delivered += k->payload;
}

static void receive_duplicate(struct sim *s, uint32_t side, const struct packet *k)
{
  deliver_again(s, side, k);
  struct side *sd = &s->sides[side];
  s->nics[sd->nic].count.duplicate_request++;
  s->flows[sd->flow].packets_duplicate++;
  if (!follows_hpcc(cfg_of(s, sd))) /* that model does not answer */
    send_ack(s, side);
}

/* Selective repeat: accepts what lies ahead, delivers when the gap closes, tells the sender what it has. */
static void receive_ahead(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (k->psn >= sd->expected + SACK_BITS)
    return;
  if (sack_test(sd->arrived, k->psn))
    s->flows[sd->flow].packets_duplicate++;
  sack_set(sd->arrived, k->psn);
  struct packet *r = answers_with_nak(s, sd) ? send_nak(s, side) : send_ack(s, side);
  if (r == NULL)
    return;
  r->flags |= PF_SACK;
  r->extra = k->psn;
}

/* Delivers what had arrived ahead; a new send needs a receive like any other. */
static void deliver_arrived(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  const struct flow *f = &s->flows[sd->flow];
  while (sack_test(sd->arrived, sd->expected)) {
    if (sd->expected_index == 0 && !take_receive(s, sd)) {
      send_rnr_nak(s, side);
      return;
    }
    sack_clear(sd->arrived, sd->expected);
    accept_in_order(s, side, sd->expected_index + 1 == f->packets_per_message ? f->payload_last : f->payload_full);
  }
}

static void receive_reliable(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (k->psn > sd->expected) {
    s->flows[sd->flow].packets_out_of_order++;
    if (sd->arrived != NULL)
      receive_ahead(s, side, k);
    else
      receive_gap(s, side);
    return;
  }
  if (k->psn < sd->expected) {
    receive_duplicate(s, side, k);
    return;
  }
  if (sd->expected_index == 0 && !take_receive(s, sd)) {
    if (!sd->nak_sent || (k->flags & PF_RETRANSMIT))
      send_rnr_nak(s, side);
    return;
  }
  sd->nak_sent = false;
  if (sd->arrived != NULL)
    sack_clear(sd->arrived, k->psn); /* set when it came ahead once and was refused for want of a receive */
  accept_in_order(s, side, k->payload);
  if (sd->arrived != NULL)
    deliver_arrived(s, side);
  acknowledge_if_due(s, side, k);
}

/* UC: what comes behind its turn is ignored, a gap breaks the message. False: not to be delivered. */
static bool take_uc_packet(struct sim *s, struct side *sd, const struct packet *k)
{
  struct flow *f = &s->flows[sd->flow];
  if (k->psn < sd->expected) {
    f->packets_duplicate++;
    return false;
  }
  if (k->psn > sd->expected) {
    f->packets_out_of_order++;
    s->nics[sd->nic].count.out_of_sequence++;
    sd->message_broken = k->psn % f->packets_per_message != 0;
  }
  sd->expected = k->psn + 1;
  return true;
}

/* UC and UD: no acknowledgement; a message with a gap is not delivered. UD knows no order at all. */
static void receive_unreliable(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  if (f->job->transport == TRANSPORT_UC && !take_uc_packet(s, sd, k))
    return;
  sd->bytes_delivered += k->payload;
  f->bytes_delivered += k->payload;
  if (!(k->flags & PF_LAST))
    return;
  if (!sd->message_broken) {
    if (!histogram_add(&f->latency, s->now - k->extra))
      s->out_of_memory = true;
    deliver_message(s, side);
  }
  sd->message_broken = false;
}

/* A response to a read or atomic, at its requester. */
static void receive_response(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (k->psn > sd->expected) {
    s->flows[sd->flow].packets_out_of_order++;
    if (may_nak(s, sd) && !has_defect(s, DEFECT_READ_RESPONSE_LOST_SILENTLY)) {
      sd->nak_sent = true;
      sd->last_nak_psn = sd->expected;
      s->nics[sd->nic].count.implied_nak_seq_err++;
      qp_go_back(s, side, sd->expected);
    }
    return;
  }
  if (k->psn < sd->expected) {
    s->flows[sd->flow].packets_duplicate++;
    deliver_again(s, side, k);
    return;
  }
  sd->nak_sent = false;
  accept_in_order(s, side, k->payload);
  qp_acknowledge(s, side, sd->expected);
}

/* Damaged payload that a NIC without an ICRC check takes. */
static void note_damage(struct sim *s, uint32_t side, const struct packet *k)
{
  const struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  bool ahead = sd->arrived != NULL && k->psn > sd->expected && !sack_test(sd->arrived, k->psn);
  if (f->job->transport == TRANSPORT_UD || k->psn == sd->expected || ahead)
    f->payload_mismatched += k->payload;
}

static void receive_data(struct sim *s, uint32_t side, const struct packet *k)
{
  if (k->flags & PF_CORRUPT)
    note_damage(s, side, k);
  const struct flow *f = &s->flows[s->sides[side].flow];
  note_marking(s, side, k);
  qp_packet_gone(s, k, true);
  if (f->job->transport != TRANSPORT_RC)
    receive_unreliable(s, side, k);
  else if ((side & 1u) == 0)
    receive_response(s, side, k);
  else
    receive_reliable(s, side, k);
}

/* A read or atomic request at its responder: the response stream runs to its end, from its start. One that has come before starts the
 * stream again, unless that is about to come to it: after a loss the requester asks again for all messages it waits for, in order. */
static void receive_request(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (k->psn > sd->expected) {
    receive_gap(s, side);
    return;
  }
  if (k->psn < sd->expected) {
    s->nics[sd->nic].count.duplicate_request++;
    if (k->psn < sd->psn_next)
      qp_go_back(s, side, k->psn);
  }
  sd->nak_sent = false;
  sd->expected = max_u64(sd->expected, k->extra);
  sd->psn_end = max_u64(sd->psn_end, k->extra);
  nic_side_changed(s, side);
}

static void receive_cnp(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct nic_counters *c = &s->nics[sd->nic].count;
  c->cnp_received++;
  if (sd->cc_ops->ignores_notifications || has_defect(s, DEFECT_CNP_IGNORED))
    c->cnp_ignored++;
  else
    c->cnp_handled++;
  qp_notify_congestion(s, side);
}

static void receive_ack(struct sim *s, uint32_t side, const struct packet *k)
{
  struct side *sd = &s->sides[side];
  s->nics[sd->nic].count.acks_received++;
  if (k->kind == PKT_ACK)
    qp_acknowledge(s, side, k->psn);
  else if (k->kind == PKT_NAK)
    qp_nak(s, side, k->psn);
  else
    qp_rnr_nak(s, side, k->psn, (uint32_t)k->extra);
  if (k->flags & PF_SACK)
    qp_sack(s, side, k->extra);
  if (k->flags & PF_ECHO)
    receive_cnp(s, side);
}

static void process(struct sim *s, uint32_t port, uint32_t pkt)
{
  struct packet *k = &s->packets[pkt];
  struct nic *n = &s->nics[s->ports[port].nic];
  if ((k->flags & PF_CORRUPT) && !has_defect(s, DEFECT_CORRUPT_DELIVERED)) {
    n->count.icrc_errors++;
    port_drop(s, port, pkt, DROP_INJECTED);
    return;
  }
  uint64_t made = s->made_packets;
  bool asks_reply = k->kind == PKT_DATA && (k->side & 1u) != 0;
  s->delivered_packets++;
  s->delivered_bytes += k->bytes;
  switch ((enum packet_kind)k->kind) {
  case PKT_DATA:
    receive_data(s, k->side, k);
    break;
  case PKT_READ_REQUEST:
    receive_request(s, k->side, k);
    break;
  case PKT_CNP:
    receive_cnp(s, k->side);
    break;
  case PKT_ACK:
  case PKT_NAK:
  case PKT_RNR_NAK:
    receive_ack(s, k->side, k);
    break;
  case PKT_PFC:
    break; /* handled by the port */
  }
  packet_free(s, pkt);
  if (asks_reply && s->made_packets == made && follows_hpcc(n->cfg))
    return; /* that model looks for work only when there is a reply to send */
  port_kick(s, port);
}

/* ---- the slow receiver ---- */

static uint64_t drain_time(const struct nic *n, const struct packet *k)
{
  if (n->drain_bps == 0)
    return 0;
  return (uint64_t)((unsigned __int128)k->bytes * 8 * PS_PER_S / n->drain_bps);
}

static void pause_sender(struct sim *s, struct nic *n, bool on)
{
  for (uint8_t prio = 0; prio < PRIO_COUNT; prio++) {
    bool is_on = (s->ports[n->port].pausing_mask & 1u << prio) != 0;
    if ((n->cfg->pfc.mask & 1u << prio) && is_on != on)
      port_set_peer_pause(s, n->port, prio, on);
  }
}

void nic_receive(struct sim *s, uint32_t port, uint32_t pkt)
{
  struct nic *n = &s->nics[s->ports[port].nic];
  if (n->drain_bps == 0 && n->rx_queue.head == NIL) {
    process(s, port, pkt);
    return;
  }
  struct packet *k = &s->packets[pkt];
  if (n->rx_bytes + k->bytes > n->cfg->rx_buffer_bytes) {
    n->count.rx_discards++;
    port_drop(s, port, pkt, DROP_RX_BUFFER);
    return;
  }
  if (n->rx_queue.head == NIL)
    arm(s, n->drain_slot, s->now + drain_time(n, k));
  fifo_push(s, &n->rx_queue, pkt);
  n->rx_bytes += k->bytes;
  n->rx_max = max_u64(n->rx_max, n->rx_bytes);
  if (n->rx_bytes >= n->cfg->rx_xoff_bytes)
    pause_sender(s, n, true);
}

void nic_drain(struct sim *s, uint32_t port)
{
  struct nic *n = &s->nics[s->ports[port].nic];
  uint32_t pkt = fifo_pop(s, &n->rx_queue);
  n->rx_bytes -= s->packets[pkt].bytes;
  if (n->rx_queue.head != NIL)
    arm(s, n->drain_slot, s->now + drain_time(n, &s->packets[n->rx_queue.head]));
  process(s, port, pkt);
  if (n->rx_bytes <= n->cfg->rx_xon_bytes)
    pause_sender(s, n, false);
}

void nic_set_drain(struct sim *s, uint32_t port, uint64_t rate_bps)
{
  struct nic *n = &s->nics[s->ports[port].nic];
  n->drain_bps = defect_drain(s, n, rate_bps);
}
