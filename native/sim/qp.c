/* Queue pairs as senders: messages, packets, acknowledgement, retry, congestion control, completion.
 *
 * PSNs here are 64 bits and start at 0; message m has the PSNs m*n … m*n+n-1 with n packets a message. A read or atomic request takes
 * the PSNs of its response (InfiniBand Architecture Specification vol. 1, 9.4.4).
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* RNR NAK timer codes 0…31, in µs (IBA vol. 1, table 45). */
const uint32_t rnr_timer_us[32] = {655360, 10,   20,   30,   40,    60,    80,    120,   160,   240,   320,
                                   480,    640,  960,  1280, 1920,  2560,  3840,  5120,  7680,  10240, 15360,
                                   20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520};

enum { FOREVER_RNR_RETRY = 7 };
#define LATE_START_PS 20000000000ull /* of a defective host: 20 ms */
#define PSN_UNBOUNDED (UINT64_MAX / 4)

static const struct nic_cfg *nic_cfg_of(const struct sim *s, const struct side *sd)
{
  return s->nics[sd->nic].cfg;
}

static bool is_requester(uint32_t side)
{
  return (side & 1u) == 0;
}

/* ---- congestion control ---- */

static void log_cc(void *arg, const struct cc_state *cc, enum cc_event event)
{
  struct sim *s = arg;
  struct side *sd = (struct side *)((char *)(uintptr_t)cc - offsetof(struct side, cc));
  struct flow *f = &s->flows[sd->flow];
  if (event == CC_EVENT_CUT)
    f->rate_cuts++;
  else if (event != CC_EVENT_CNP)
    f->rate_increases++;
  if (s->cc_trace != NULL)
    telemetry_cc(s, (uint32_t)(sd - s->sides), event);
}

static struct cc_call cc_call_now(struct sim *s)
{
  return (struct cc_call){.now_ps = s->now, .order = &s->order, .log = log_cc, .log_arg = s};
}

void qp_arm_cc(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct cc_deadline d = cc_next_deadline(&sd->cc);
  if (d.at_ps == CC_NEVER || sd->state == SIDE_DONE || sd->state == SIDE_FAILED)
    return;
  if (is_armed(s, sd->cc_slot)) {
    const struct evq_slot *slot = &s->q->slots[sd->cc_slot];
    if (slot->time < d.at_ps || (slot->time == d.at_ps && slot->order <= d.order))
      return; /* an early timer looks again when it fires */
    evq_disarm(s->q, sd->cc_slot);
  }
  evq_arm(s->q, sd->cc_slot, d.at_ps, d.order);
}

/* Starts the reaction point; with the algorithm, when that changes in mid run. */
void qp_start_cc(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct cc_call call = cc_call_now(s);
  evq_disarm(s->q, sd->cc_slot);
  sd->cc = (struct cc_state){.cfg = sd->cc.cfg, .line_bps = sd->cc.line_bps};
  sd->cc_ops->start(&sd->cc, &call);
  qp_arm_cc(s, side);
}

/* The port's rate has changed: it bounds the flow's own limit and the reaction point, which starts at it while nothing has slowed it. */
void qp_line_rate_changed(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  uint64_t line = s->ports[s->nics[sd->nic].port].rate_bps, asked = s->flows[sd->flow].job->rate_bps;
  sd->rate_limit = asked > 0 && asked < line ? asked : line;
  sd->cc.line_bps = line;
  if (!sd->cc.active)
    sd->cc.rate_bps = sd->cc.target_bps = line;
  sd->cc.rate_bps = min_u64(sd->cc.rate_bps, line);
  sd->cc.target_bps = min_u64(sd->cc.target_bps, line);
}

void qp_cc_timer(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  if (sd->state == SIDE_DONE || sd->state == SIDE_FAILED)
    return;
  struct cc_deadline d = cc_next_deadline(&sd->cc);
  if (d.at_ps == s->now && d.order == s->cur_order) {
    struct cc_call call = cc_call_now(s);
    sd->cc_ops->on_timer(&sd->cc, &call);
  }
  qp_arm_cc(s, side);
}

/* A CNP or an echoed CE has reached this sender. */
void qp_notify_congestion(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct cc_call call = cc_call_now(s);
  s->flows[sd->flow].cnp_received++;
  if (has_defect(s, DEFECT_CNP_IGNORED))
    return;
  sd->cc_ops->on_notification(&sd->cc, &call);
  qp_arm_cc(s, side);
}

/* ---- messages ---- */

/* Keeps the posting times of messages that are not complete, for their latency. */
static void stamp_message(struct sim *s, struct side *sd)
{
  uint64_t waiting = sd->messages_stamped - sd->messages_done;
  if (waiting >= sd->post_cap) {
    uint32_t cap = sd->post_cap == 0 ? 1 : sd->post_cap * 2;
    uint64_t *ring = malloc(cap * sizeof *ring);
    if (ring == NULL) {
      s->out_of_memory = true;
      return;
    }
    for (uint64_t m = sd->messages_done; m < sd->messages_stamped; m++)
      ring[m & (cap - 1)] = sd->post_times[m & (sd->post_cap - 1)];
    free(sd->post_times);
    sd->post_times = ring;
    sd->post_cap = cap;
  }
  sd->post_times[sd->messages_stamped++ & (sd->post_cap - 1)] = s->now;
}

static bool is_stamped_at_send(const struct job_flow *f)
{
  return f->max_outstanding == 0 && f->message_interval_ps == 0;
}

static void record_latency(struct sim *s, struct flow *f, uint64_t since)
{
  if (!histogram_add(&f->latency, s->now - since))
    s->out_of_memory = true;
}

/* Posts what is due and allowed; psn_end follows. */
void qp_update_posted(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  const struct job_flow *j = f->job;
  uint64_t allowed = j->max_outstanding == 0 ? sd->messages_due : sd->messages_done + j->max_outstanding;
  uint64_t posted = min_u64(sd->messages_due, allowed);
  while (sd->messages_posted < posted) {
    if (is_stamped_at_send(j)) {
      sd->messages_posted = posted;
    } else {
      sd->messages_posted++;
      stamp_message(s, sd);
    }
  }
  sd->psn_end = posted >= PSN_UNBOUNDED / f->packets_per_message ? PSN_UNBOUNDED : posted * f->packets_per_message;
}

static uint64_t next_interval(struct sim *s, const struct job_flow *j)
{
  if (j->arrivals == ARRIVE_POISSON)
    return (uint64_t)(rng_exponential(&s->rng, (double)j->message_interval_ps) + 0.5);
  return j->message_interval_ps;
}

static void activate(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  struct cc_call call = cc_call_now(s);
  for (uint32_t i = 0; i < 2; i++) {
    struct side *end = &s->sides[side + i];
    end->state = SIDE_ACTIVE;
    end->start_ps = end->next_avail = s->now;
    end->cc_ops->start(&end->cc, &call);
  }
  if (!f->started) {
    f->started = true;
    f->start_ps = s->now;
  }
  if (nic_cfg_of(s, sd)->sched.kind == SCHED_HPCC)
    nic_add_sender(s, side);
  if (f->job->verb == VERB_READ || f->job->verb == VERB_ATOMIC) {
    if (nic_cfg_of(s, &s->sides[side + 1])->sched.kind == SCHED_HPCC)
      nic_add_sender(s, side + 1);
  }
}

/* The start of a QP, or the next message of a timed sequence. */
void qp_post(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  const struct job_flow *j = s->flows[sd->flow].job;
  if (s->stopping || sd->state == SIDE_DONE || sd->state == SIDE_FAILED)
    return;
  if (sd->state == SIDE_IDLE)
    activate(s, side);
  sd->messages_due = j->message_interval_ps == 0 ? sd->messages_total : sd->messages_due + 1;
  if (sd->messages_due < sd->messages_total)
    arm(s, sd->post_slot, s->now + next_interval(s, j));
  qp_update_posted(s, side);
  nic_side_changed(s, side);
  port_kick(s, s->nics[sd->nic].port);
}

/* Added to the order of an event so that it comes last of all at its time: in ns-3 a flow starts through events that are made
 * at that very time, after everything that was due by then. */
#define AFTER_ALL_OTHERS (1ull << 62)

void qp_release_flow(struct sim *s, uint32_t flow)
{
  struct flow *f = &s->flows[flow];
  bool waited = f->job->n_after > 0 && !has_defect(s, DEFECT_ORDERING_LOST_DEPENDENCY);
  uint64_t at = max_u64(f->job->start_ps, s->now + (waited ? f->job->after_delay_ps : 0));
  if (has_defect(s, DEFECT_LATE_START) && defect_is_first_host(s, f->job->src_port))
    at += LATE_START_PS;
  uint64_t late = follows_hpcc(nic_cfg_of(s, &s->sides[f->first_side])) ? AFTER_ALL_OTHERS : 0;
  for (uint32_t q = 0; q < f->job->qps; q++)
    evq_arm(s->q, s->sides[f->first_side + 2 * q].post_slot, at, late + s->order++);
}

static void finish_qp(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  sd->end_ps = s->now;
  sd->state = SIDE_DONE;
  s->sides[other_side(side)].state = SIDE_DONE;
  nic_side_changed(s, side);
  nic_side_changed(s, other_side(side));
  if (++f->qps_done == f->job->qps)
    sim_flow_acked(s, sd->flow);
}

/* The oldest message is complete at the requester. */
static void complete_message(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  if (sd->messages_stamped > sd->messages_done && f->job->transport == TRANSPORT_RC)
    record_latency(s, f, sd->post_times[sd->messages_done & (sd->post_cap - 1)]);
  sd->messages_done++;
  sd->message_end += f->packets_per_message;
  sd->end_ps = s->now;
  if (sd->messages_done == sd->messages_total)
    finish_qp(s, side);
}

static void complete_up_to(struct sim *s, uint32_t side, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  if (psn < sd->message_end)
    return;
  while (psn >= sd->message_end && sd->state != SIDE_DONE)
    complete_message(s, side);
  if (sd->state != SIDE_DONE && sd->messages_due > sd->messages_posted)
    qp_update_posted(s, side);
}

/* ---- retry ---- */

static uint64_t ack_timeout(const struct sim *s, const struct side *sd)
{
  uint32_t t = nic_cfg_of(s, sd)->ack_timeout_exponent;
  return t == 0 ? NEVER : ACK_TIMEOUT_UNIT_PS << t;
}

static void start_retry_timer(struct sim *s, struct side *sd)
{
  uint64_t timeout = ack_timeout(s, sd);
  if (timeout == NEVER)
    return;
  sd->retry_deadline = s->now + timeout;
  if (!is_armed(s, sd->retry_slot))
    arm(s, sd->retry_slot, sd->retry_deadline);
}

/* Something new was acknowledged: the timer starts afresh, or stops when nothing is outstanding. */
void qp_retry_progress(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  sd->retries = sd->rnr_retries = 0;
  if (sd->retry_deadline == NEVER)
    return;
  if (sd->psn_una >= sd->psn_max)
    sd->retry_deadline = NEVER;
  else
    sd->retry_deadline = s->now + ack_timeout(s, sd);
}

static void fail_qp(struct sim *s, uint32_t side, const char *error)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  sd->state = SIDE_FAILED;
  s->sides[other_side(side)].state = SIDE_FAILED;
  sd->end_ps = s->now;
  f->failed = true;
  f->error = error;
  nic_side_changed(s, side);
  nic_side_changed(s, other_side(side));
  if (++f->qps_done == f->job->qps)
    sim_flow_acked(s, sd->flow);
}

static void set_next_psn(struct sim *s, struct side *sd, uint64_t psn)
{
  sd->psn_next = psn;
  sd->index_in_message = (uint32_t)(psn % s->flows[sd->flow].packets_per_message);
}

/* Payload bytes of the packets from one PSN up to, not including, another. */
static uint64_t payload_between(const struct flow *f, uint64_t from, uint64_t to)
{
  uint64_t lasts = to / f->packets_per_message - from / f->packets_per_message;
  return (to - from) * f->payload_full - lasts * (uint64_t)(f->payload_full - f->payload_last);
}

/* Sends again from `psn` on; with go-back-0 from the start of its message. */
void qp_go_back(struct sim *s, uint32_t side, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  if (nic_cfg_of(s, sd)->loss_recovery == RECOVER_GO_BACK_0)
    psn -= psn % s->flows[sd->flow].packets_per_message;
  if (psn < sd->psn_una) {
    s->flows[sd->flow].bytes_acked -= payload_between(&s->flows[sd->flow], psn, sd->psn_una);
    sd->psn_una = psn;
  }
  set_next_psn(s, sd, psn);
  nic_side_changed(s, side);
}

/* Counts a retry; true when the QP may go on. */
static bool may_retry(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  if (++sd->retries <= nic_cfg_of(s, sd)->retry_count || follows_hpcc(nic_cfg_of(s, sd))) /* endless there */
    return true;
  s->nics[sd->nic].count.retry_exhausted++;
  fail_qp(s, side, "RETRY_EXC_ERR");
  return false;
}

/* ---- selective repeat, sender ---- */

static void sack_clear_range(struct sack_map *m, uint64_t from, uint64_t to)
{
  for (uint64_t psn = from; psn < to; psn++)
    sack_clear(m, psn);
}

/* Moves recover_next to the next packet to send again: missing below the highest PSN known to have arrived, and not sent again
 * yet. What is sent again and lost again waits for the timeout. */
static bool has_lost_packet(struct side *sd)
{
  if (sd->recover_next < sd->psn_una)
    sd->recover_next = sd->psn_una;
  while (sd->recover_next < sd->sack_high && sack_test(sd->sacked, sd->recover_next))
    sd->recover_next++;
  return sd->recover_next < sd->sack_high;
}

void qp_sack(struct sim *s, uint32_t side, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  if (sd->sacked == NULL || psn < sd->psn_una || psn >= sd->psn_max)
    return;
  sack_set(sd->sacked, psn);
  sd->sack_high = max_u64(sd->sack_high, psn);
  nic_side_changed(s, side);
}

/* ---- what to send ---- */

static bool is_window_bound(const struct sim *s, const struct side *sd)
{
  const struct flow *f = &s->flows[sd->flow];
  uint64_t window = f->job->window_bytes;
  if (sd->sacked != NULL && sd->psn_next >= sd->psn_una + SACK_BITS)
    return true;
  if (window == 0 || f->job->verb == VERB_READ || f->job->verb == VERB_ATOMIC) /* responses answer what was asked for */
    return false;
  if (sd->cc.cfg->variable_window)
    window = max_u64(1, (uint64_t)((unsigned __int128)window * sd->cc.rate_bps / sd->cc.line_bps));
  return (sd->psn_next - sd->psn_una) * f->payload_full >= window;
}

static bool may_request(const struct sim *s, const struct side *sd)
{
  uint64_t message = sd->psn_next / s->flows[sd->flow].packets_per_message;
  return message - sd->messages_done < nic_cfg_of(s, sd)->max_rd_atomic;
}

bool qp_must_repeat(struct side *sd)
{
  return sd->sacked != NULL && has_lost_packet(sd);
}

bool qp_can_send(const struct sim *s, struct side *sd)
{
  if (sd->state != SIDE_ACTIVE || s->stopping)
    return false;
  if (qp_must_repeat(sd))
    return true;
  if (sd->psn_next >= sd->psn_end)
    return false;
  return sd->sends_requests ? may_request(s, sd) : !is_window_bound(s, sd);
}

static void fill_data(struct sim *s, const struct side *sd, struct packet *k, uint64_t psn, uint32_t index)
{
  const struct flow *f = &s->flows[sd->flow];
  uint32_t last = f->packets_per_message - 1;
  k->kind = PKT_DATA;
  k->psn = psn;
  k->payload = index == last ? f->payload_last : f->payload_full;
  if (last == 0)
    k->bytes = f->frame_only;
  else
    k->bytes = index == 0 ? f->frame_first : index == last ? f->frame_last : f->frame_middle;
  k->flags = (uint8_t)((index == last ? PF_LAST : 0) | (f->job->ect ? PF_ECT : 0));
}

static void count_sent(struct sim *s, struct side *sd, struct packet *k)
{
  struct flow *f = &s->flows[sd->flow];
  f->packets_sent++;
  f->packets_in_flight++;
  s->data_packets++;
  if (k->psn < sd->psn_max) {
    k->flags |= PF_RETRANSMIT;
    f->packets_retransmitted++;
    s->nics[sd->nic].count.retransmitted_packets++;
  } else {
    sd->psn_max = k->psn + 1;
    f->bytes_sent += k->payload;
  }
}

/* A data packet: one that recovery asks for, else the next new one. */
static void next_data(struct sim *s, struct side *sd, struct packet *k)
{
  const struct flow *f = &s->flows[sd->flow];
  if (qp_must_repeat(sd)) {
    uint64_t psn = sd->recover_next++;
    fill_data(s, sd, k, psn, (uint32_t)(psn % f->packets_per_message));
  } else {
    if (sd->index_in_message == 0 && is_stamped_at_send(f->job) && sd->psn_next >= sd->psn_max)
      stamp_message(s, sd);
    fill_data(s, sd, k, sd->psn_next++, sd->index_in_message);
    if (++sd->index_in_message == f->packets_per_message)
      sd->index_in_message = 0;
  }
  count_sent(s, sd, k);
}

/* A read or atomic request for the rest of the message that psn_next is in. */
static void next_request(struct sim *s, struct side *sd, struct packet *k)
{
  const struct flow *f = &s->flows[sd->flow];
  if (sd->index_in_message == 0 && is_stamped_at_send(f->job) && sd->psn_next >= sd->psn_max)
    stamp_message(s, sd);
  k->kind = PKT_READ_REQUEST;
  k->psn = sd->psn_next;
  k->extra = sd->psn_next - sd->index_in_message + f->packets_per_message;
  k->bytes = f->frame_request;
  k->flags = 0;
  sd->psn_next = k->extra;
  sd->index_in_message = 0;
  sd->psn_max = max_u64(sd->psn_max, k->extra);
}

/* UC and UD complete a message when its last packet has been sent. */
static void complete_unacknowledged(struct sim *s, uint32_t side, struct packet *k)
{
  struct side *sd = &s->sides[side];
  if (sd->messages_stamped > sd->messages_done)
    k->extra = sd->post_times[sd->messages_done & (sd->post_cap - 1)];
  sd->psn_una = sd->psn_next;
  s->flows[sd->flow].bytes_acked += k->payload;
  complete_up_to(s, side, sd->psn_una);
}

/* Takes the next packet of a side that can send; NIL when memory is short. */
uint32_t qp_next_packet(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  uint32_t i = packet_new(s);
  if (i == NIL)
    return NIL;
  struct packet *k = &s->packets[i];
  k->side = other_side(side);
  k->dst_port = sd->peer_port;
  k->hash = sd->hash;
  k->prio = sd->prio;
  k->dscp = sd->dscp;
  if (sd->sends_requests)
    next_request(s, sd, k);
  else
    next_data(s, sd, k);
  s->made_packets++;
  s->made_bytes += k->bytes;
  if (s->flows[sd->flow].job->transport != TRANSPORT_RC) {
    complete_unacknowledged(s, side, k);
  } else if (is_requester(side) && sd->retry_deadline == NEVER) {
    start_retry_timer(s, sd);
  }
  if (sd->cc_ops->on_sent != NULL && k->kind == PKT_DATA) {
    struct cc_call call = cc_call_now(s);
    sd->cc_ops->on_sent(&sd->cc, &call, k->bytes);
  }
  return i;
}

/* ---- what comes back ---- */

/* Everything before `psn` has arrived at the responder. */
void qp_acknowledge(struct sim *s, uint32_t side, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  struct flow *f = &s->flows[sd->flow];
  if (psn <= sd->psn_una || psn > sd->psn_max)
    return;
  uint64_t before = sd->psn_una;
  sd->psn_una = psn;
  f->bytes_acked += payload_between(f, before, psn);
  if (sd->psn_next < psn && !follows_hpcc(nic_cfg_of(s, sd))) /* that model sends again what was acknowledged late */
    set_next_psn(s, sd, psn);
  if (sd->sacked != NULL)
    sack_clear_range(sd->sacked, before, psn);
  qp_retry_progress(s, side);
  complete_up_to(s, side, psn);
  if (sd->state == SIDE_RNR_WAIT)
    return;
  nic_side_changed(s, side);
}

/* A NAK for a sequence error: `psn` is what the responder expects. */
void qp_nak(struct sim *s, uint32_t side, uint64_t psn)
{
  struct side *sd = &s->sides[side];
  s->nics[sd->nic].count.packet_seq_err++;
  s->flows[sd->flow].naks_received++;
  bool progress = psn > sd->psn_una, late = psn < sd->psn_una;
  qp_acknowledge(s, side, psn);
  if (sd->state != SIDE_ACTIVE || sd->sacked != NULL) /* a SACK in the same packet says what is missing */
    return;
  if (late && nic_cfg_of(s, sd)->loss_recovery != RECOVER_GO_BACK_0) /* overtaken by a later ACK */
    return;
  if (progress || has_defect(s, DEFECT_NAK_STORM) || may_retry(s, side)) /* a storm would end every QP */
    qp_go_back(s, side, psn);
}

/* The responder has no receive posted for `psn` and asks to wait. */
void qp_rnr_nak(struct sim *s, uint32_t side, uint64_t psn, uint32_t timer_code)
{
  struct side *sd = &s->sides[side];
  uint32_t limit = nic_cfg_of(s, sd)->rnr_retry;
  s->nics[sd->nic].count.rnr_nak_received++;
  s->flows[sd->flow].rnr_naks_received++;
  qp_acknowledge(s, side, psn);
  if (sd->state != SIDE_ACTIVE || psn < sd->psn_una)
    return;
  if (limit != FOREVER_RNR_RETRY && ++sd->rnr_retries > limit) {
    s->nics[sd->nic].count.rnr_retry_exhausted++;
    fail_qp(s, side, "RNR_RETRY_EXC_ERR");
    return;
  }
  sd->state = SIDE_RNR_WAIT;
  if (sd->sacked != NULL) { /* only the packet refused is missing */
    sack_clear(sd->sacked, psn);
    sd->recover_next = psn;
    sd->sack_high = max_u64(sd->sack_high, psn + 1);
  } else {
    set_next_psn(s, sd, psn);
  }
  uint64_t wait = has_defect(s, DEFECT_RNR_TIMER_IGNORED) ? 0 : (uint64_t)rnr_timer_us[timer_code] * 1000000u;
  sd->retry_deadline = s->now + wait;
  evq_disarm(s->q, sd->retry_slot);
  arm(s, sd->retry_slot, sd->retry_deadline);
  nic_side_changed(s, side);
}

static void time_out(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  s->nics[sd->nic].count.local_ack_timeout++;
  s->flows[sd->flow].timeouts++;
  sd->retry_deadline = NEVER;
  if (!may_retry(s, side))
    return;
  if (sd->sacked != NULL) { /* all that is outstanding and not known to have arrived is taken for lost */
    sd->recover_next = sd->psn_una;
    sd->sack_high = sd->psn_max;
    nic_side_changed(s, side);
  } else {
    qp_go_back(s, side, sd->psn_una);
  }
  start_retry_timer(s, sd);
}

/* The ACK timeout, moved on while acknowledgements come, or the end of an RNR wait. */
void qp_retry_timer(struct sim *s, uint32_t side)
{
  struct side *sd = &s->sides[side];
  if (s->stopping || sd->retry_deadline == NEVER || sd->state == SIDE_DONE || sd->state == SIDE_FAILED)
    return;
  if (sd->retry_deadline > s->now) {
    arm(s, sd->retry_slot, sd->retry_deadline);
    return;
  }
  if (sd->state == SIDE_RNR_WAIT) {
    sd->state = SIDE_ACTIVE;
    sd->retry_deadline = NEVER;
    nic_side_changed(s, side);
  } else {
    time_out(s, side);
  }
  port_kick(s, s->nics[sd->nic].port);
}

/* A data packet has left the fabric: it was delivered to its target, or lost. */
void qp_packet_gone(struct sim *s, const struct packet *p, bool delivered)
{
  struct side *sd = &s->sides[p->side];
  struct flow *f = &s->flows[sd->flow];
  f->packets_in_flight--;
  if (delivered)
    f->packets_delivered++;
  else
    f->packets_dropped++;
}
