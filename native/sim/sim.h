/* The state of one simulation: packets, ports, queue pairs, switches, and the functions between the engine's files.
 *
 * Times are picoseconds in 64 bits, sizes bytes, rates bit/s. Everything is reached from one struct sim; there are no
 * globals. Entities are numbered and refer to each other by index, so a run is one set of arrays.
 *
 *   sim.c       set-up, main loop             port.c     ports: transmit, receive, pause
 *   nic_tx.c    QPs sending, pacing           nic_rx.c   QPs receiving, ACK and NAK, CNP
 *   qp.c        messages, completion, retry   switch.c   forwarding, marking    mmu.c  shared buffer
 *   sched_*.c   egress schedulers             route.c    next hops, ECMP        fault.c  events
 *   telemetry.c series, traces                result.c   the result JSON        conserve.c  conservation
 *   defect.c    devices that misbehave on purpose (see defect.h)
 */
#ifndef ROCE_SIM_H
#define ROCE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../common/histogram.h"
#include "../common/npy.h"
#include "../common/rng.h"
#include "cc.h"
#include "defect.h"
#include "evq.h"
#include "job.h"

#define NIL UINT32_MAX
#define NEVER UINT64_MAX
/* For what only defective devices do: kept out of the way of what all do. */
#define DEFECTIVE __attribute__((cold, noinline))
#define PS_PER_S 1000000000000ull
#define ACK_TIMEOUT_UNIT_PS 4096000ull /* 4.096 µs */

enum sim_event {
  SIM_TX_DONE,     /* obj: port. The frame on the wire has left; something waits */
  SIM_ARRIVE,      /* obj: port. The first frame in flight towards it has arrived */
  SIM_NIC_WAKE,    /* obj: port. A paced QP may send again */
  SIM_PAUSE_TIMER, /* obj: port. A pause it obeys expires, or one it keeps up is to be refreshed */
  SIM_RX_DRAIN,    /* obj: port. The host has taken the first frame out of the receive buffer */
  SIM_CC_TIMER,    /* obj: side */
  SIM_RETRY_TIMER, /* obj: side. ACK timeout or end of an RNR wait */
  SIM_POST,        /* obj: side. A message is to be posted */
  SIM_WATCHDOG,    /* obj: switch */
  SIM_STORM,       /* obj: storm */
  SIM_JOB_EVENT,   /* obj: unused. The next entry of job->events */
  SIM_DELAYED,     /* obj: unused. The first frame held back by an impairment */
  SIM_HELD,        /* obj: unused. The first frame kept by a defective switch */
  SIM_STALL,       /* obj: unused. Defects: whether the run still gets anywhere */
  SIM_SAMPLE,      /* obj: unused */
  SIM_END,         /* obj: unused. duration_ps is reached */
};

enum packet_kind { PKT_DATA, PKT_READ_REQUEST, PKT_ACK, PKT_NAK, PKT_RNR_NAK, PKT_CNP, PKT_PFC };

enum packet_flag {
  PF_LAST = 1,        /* last packet of its message */
  PF_ECT = 2,         /* ECN-capable */
  PF_CE = 4,          /* congestion experienced */
  PF_ECHO = 8,        /* ACK: the packet acknowledged was CE */
  PF_RETRANSMIT = 16, /* sent before */
  PF_CORRUPT = 32,    /* payload or headers damaged: the receiver's ICRC check discards it */
  PF_SACK = 64,       /* ACK or NAK: `extra` is a PSN received out of order */
  PF_ARRIVED = 128,   /* counted as arrived already (a frame taken from the delay list) */
};

/* One frame; a cache line. */
struct packet {
  uint64_t time;  /* arrival at the far end of the link it is on */
  uint64_t order; /* tie-break of that arrival */
  uint64_t psn;   /* not wrapped to 24 bits; PFC: pause quanta */
  uint64_t extra; /* data: time its message was posted; SACK: PSN; RNR: timer code; read request: end PSN */
  uint32_t next;  /* list link: queue, wire or free list */
  uint32_t side;  /* index of the side it is addressed to */
  uint32_t dst_port; /* host port it goes to */
  uint32_t hash;  /* of the 5-tuple */
  uint32_t in_port; /* port it entered the current switch by */
  uint16_t bytes; /* frame, without preamble and gap */
  uint16_t payload;
  uint8_t kind, prio, flags, dscp; /* prio: at hosts that of the flow, in a switch that of the DSCP there */
  uint32_t out_port; /* of a frame that a defective switch keeps */
};

struct fifo {
  uint32_t head, tail;
};

/* One priority of one port: its egress queue, its ingress accounting, its traffic. A cache line. */
struct lane {
  struct fifo queue;
  uint32_t queue_bytes;   /* waiting in the egress queue */
  uint32_t ingress_bytes; /* switch: held by packets that came in here, reserve and shared */
  uint32_t headroom_bytes; /* switch: likewise in headroom */
  int32_t deficit;        /* DWRR */
  uint32_t queue_max, ingress_max;
  uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
};

enum drop_reason {
  DROP_INGRESS_LIMIT,
  DROP_HEADROOM,
  DROP_EGRESS_LIMIT,
  DROP_WRED,
  DROP_LINK_DOWN,
  DROP_BIT_ERROR,
  DROP_INJECTED,
  DROP_WATCHDOG,
  DROP_NO_ROUTE,
  DROP_RX_BUFFER,
  DROP_REASONS,
};
extern const char *const drop_reason_name[DROP_REASONS];

/* Counters of one priority that move rarely. */
struct lane_events {
  uint64_t tx_pause, tx_resume, rx_pause, rx_resume;
  uint64_t rx_pause_ps, tx_pause_ps; /* durations that have ended */
  uint64_t rx_pause_since, tx_pause_since; /* start of the one that lasts; NEVER when none */
  uint64_t pause_until;  /* expiry of the pause obeyed; NEVER until resumed */
  uint64_t refresh_at;   /* quanta mode: when the pause kept up is sent again */
  uint64_t transitions, ecn_marked, wred_dropped, watchdog_detected, watchdog_restored;
  uint64_t sampled_pause_ps; /* pause time at the last sample */
  uint64_t storm_since;  /* watchdog: the queue is in the storm state since then; NEVER when not */
  uint64_t last_pause_rx;
  uint32_t headroom_max;
};

struct nic_counters {
  uint64_t ecn_marked_rx, cnp_sent, cnp_received, cnp_handled, cnp_ignored;
  uint64_t out_of_sequence, packet_seq_err, implied_nak_seq_err, local_ack_timeout, duplicate_request;
  uint64_t rnr_nak_sent, rnr_nak_received, icrc_errors, retransmitted_packets;
  uint64_t retry_exhausted, rnr_retry_exhausted, rx_discards, acks_sent, acks_received;
};

struct port {
  uint64_t busy_until;  /* end of the frame on the wire */
  uint64_t busy_order;  /* tie-break of that moment */
  uint64_t rate_bps, delay_ps;
  struct fifo wire;     /* frames in flight towards this port */
  uint32_t peer;        /* port at the other end; NIL when not connected */
  uint32_t tx_slot, rx_slot; /* rx_slot: arrival of what this port has sent, at its peer */
  uint8_t queued_mask;  /* priorities with frames waiting */
  uint8_t paused_mask;  /* priorities this port may not send */
  uint8_t pausing_mask; /* priorities this port has paused its peer on */
  uint8_t strict_mask;  /* scheduler */
  bool is_switch, up;
  bool leaves_gaps;     /* defective: the line stays unused after a frame, until gap_until */
  uint8_t rr_last;      /* scheduler: priority served last */
  uint8_t ignore_mask;  /* watchdog "forward": pause not obeyed */
  uint16_t memo_bytes[2]; /* serialisation times already computed */
  uint64_t memo_ps[2];
  struct fifo control;  /* PFC frames waiting: before everything, never paused */
  uint32_t node, nic;   /* nic: index of the host port, NIL on switches */
  uint32_t pause_slot;
  uint64_t kmin, kmax;  /* marking profile of this port */
  double pmax;
  uint32_t headroom;    /* bytes for each lossless priority */
  uint32_t quantum[PRIO_COUNT]; /* scheduler: bytes a priority may send a round */
  uint32_t pfc_shift;   /* hpcc buffer: threshold shift */
  double bit_error_rate;
  uint32_t slowdown;    /* defective link: its rate is this part of rate_bps */
  uint64_t gap_until;   /* of leaves_gaps */
  _Alignas(64) struct lane lane[PRIO_COUNT];
  struct lane_events ev[PRIO_COUNT];
  uint64_t drops[DROP_REASONS];
  uint64_t control_tx, control_rx; /* PFC frames */
  uint64_t lost_on_link;   /* frames sent to this port that it never took: link down, bit error */
  uint64_t taken_on_link;  /* frames this port sent that an impairment dropped or still holds back */
  uint64_t joined_on_link; /* copies that an impairment added on the way to this port */
};

/* Reading order of QPs in a NIC: those ready to send, by priority, as two-level bitmaps over sender numbers. */
struct ready_set {
  uint64_t *words, *summary;
  uint32_t n; /* members */
  uint32_t last; /* sender number served last */
};

struct pace_entry {
  uint64_t time;
  uint32_t sender;
};

/* The sending and receiving machinery of one host port. */
struct nic {
  const struct nic_cfg *cfg;
  uint32_t port;
  uint32_t n_senders, *senders; /* sides that send from here, by sender number */
  struct ready_set ready[PRIO_COUNT];
  uint8_t ready_mask;
  struct fifo acks[PRIO_COUNT]; /* control packets of the host by priority */
  uint8_t ack_mask;
  struct pace_entry *pace; /* binary heap of QPs that wait for their next turn */
  uint32_t n_pace;
  uint32_t wake_slot, drain_slot;
  uint32_t *order_list, n_order, order_last; /* hpcc scheduler: unfinished QPs in creation order */
  uint64_t last_cnp_ps; /* per-port CNP scope; NEVER before the first */
  struct fifo rx_queue; /* slow receiver */
  uint64_t rx_bytes, rx_max, drain_bps;
  struct nic_counters count;
};

struct switch_node {
  const struct switch_cfg *cfg;
  uint32_t node, first_port, n_ports;
  uint64_t shared_total, shared_used, shared_max;
  uint64_t leaked;       /* defective: shared buffer that is lost */
  bool leaks;
  uint32_t next_hop_row; /* first entry of this switch in sim->hops */
  uint32_t watchdog_slot;
  uint32_t ecmp_seed;
  uint64_t n_vanishing, n_overtaken; /* data packets counted for these defects */
};

/* A set of equal-cost egress ports, in port order. */
struct hop_set {
  uint32_t first, count; /* in sim->hop_ports */
};

enum side_state { SIDE_IDLE, SIDE_ACTIVE, SIDE_RNR_WAIT, SIDE_DONE, SIDE_FAILED };

/* Selective repeat: which PSNs after the cumulative one have arrived (receiver) or been acknowledged (sender). */
enum { SACK_BITS = 8192 };
struct sack_map {
  uint64_t bits[SACK_BITS / 64];
};

/* One end of a queue pair: what it sends and what it receives. Sides 2q and 2q+1 are the requester and the responder of QP q. */
struct side {
  /* sending: the first two cache lines are what each packet and each ACK touch */
  uint64_t next_avail;  /* pacing: earliest start of the next data packet */
  uint64_t psn_next, psn_una, psn_end; /* next to send, first not acknowledged, end of what is posted */
  uint64_t psn_max;     /* end of what was ever sent */
  uint64_t message_end; /* PSN after the last packet of the oldest message that is not complete */
  uint64_t retry_deadline; /* NEVER when nothing is outstanding */
  uint64_t rate_limit;  /* bit/s asked by the flow, line rate when none */
  uint32_t index_in_message; /* of psn_next */
  uint32_t nic, sender; /* host port machinery, sender number there */
  uint32_t flow, peer_port, hash;
  uint8_t state, prio, dscp;
  bool ready, paced, sends_requests;
  const struct cc_ops *cc_ops;
  struct sack_map *sacked, *arrived; /* selective repeat, of what is sent and of what is received */
  uint32_t retries, rnr_retries;
  /* receiving: one cache line */
  uint64_t expected;    /* next PSN in order */
  uint32_t expected_index; /* its index within the message */
  uint32_t since_ack;
  bool nak_sent, echo_pending;
  bool message_broken;  /* UC: a packet of the message being received was lost */
  uint64_t bytes_delivered; /* here, payload in order */
  uint64_t messages_delivered;
  uint64_t last_nak_ps, last_nak_psn, last_cnp_ps;
  /* congestion control and timers */
  struct cc_state cc;
  uint32_t cc_slot, retry_slot, post_slot;
  /* messages */
  uint64_t messages_due, messages_posted, messages_stamped, messages_done, messages_total;
  uint64_t *post_times; /* ring of posting times of messages not complete */
  uint32_t post_cap;
  uint32_t recv_credits;
  uint64_t *repost_ring; /* times at which consumed receives are reposted */
  uint32_t repost_head, repost_count;
  uint64_t sack_high;    /* highest PSN known to have arrived out of order, or an end of what a timeout gave up */
  uint64_t recover_next; /* packets before it that were missing have been sent again */
  /* identity */
  uint32_t qpn;
  uint16_t sport;
  uint64_t start_ps, end_ps;
};

/* How often a packet named by an impairment has been sent. */
struct seen_packet {
  uint64_t psn;
  uint32_t times;
};

struct impairment {
  const struct job_event *event;
  struct seen_packet *seen;
  uint32_t n_seen, next; /* next: of the same side */
};

/* Flows that wait for an event of another flow. */
struct dependents {
  uint32_t n, *flows;
};

struct flow {
  const struct job_flow *job;
  uint32_t first_side; /* requester of the first QP; 2 sides a QP */
  uint32_t packets_per_message;
  uint16_t frame_first, frame_middle, frame_last, frame_only; /* data frames, bytes */
  uint16_t frame_request;
  uint16_t payload_full, payload_last;
  bool started, done, failed;
  uint64_t bytes_sent, bytes_acked, bytes_delivered;
  uint64_t packets_sent, packets_delivered, packets_in_flight; /* up to here: touched by each packet */
  uint64_t packets_dropped, packets_retransmitted, packets_duplicate;
  uint64_t packets_out_of_order, ecn_marked, cnp_sent, cnp_received, rate_cuts, rate_increases;
  uint64_t naks_sent, naks_received, timeouts, rnr_naks_sent, rnr_naks_received;
  uint64_t packets_duplicated_in_fabric, packets_vanished, payload_mismatched;
  uint64_t sampled_bytes;
  uint32_t qps_done, qps_delivered, waiting_for; /* flows still to complete before it may start */
  struct dependents when_acked, when_delivered;
  uint64_t start_ps, end_ps;
  const char *error;
  struct histogram latency;
};

struct storm {
  const struct job_event *event;
  uint64_t end_ps, interval_ps;
  uint32_t slot;
};

struct series;

struct sim {
  uint64_t now, cur_order, order; /* time and order of the event being handled; next order number */
  struct evq *q;
  struct packet *packets;
  uint32_t free_packet, n_packets_used, cap_packets, live, live_peak;
  bool classifies;         /* some DSCP belongs to another priority than that of its flow */
  uint64_t defects;        /* bits of enum defect */
  struct port *ports;
  struct nic *nics;
  struct switch_node *switches;
  struct side *sides;
  struct flow *flows;
  struct hop_set *hops;    /* by switch row and host port number */
  uint32_t *hop_ports;
  uint32_t n_hop_ports, cap_hop_ports;
  uint32_t n_nics, n_switches, n_sides;
  uint32_t *nic_of_port, *switch_of_node;
  uint64_t *pair_cnp_ps;   /* ip_pair CNP scope: by flow's host pair; see nic_rx.c */
  uint32_t *pair_of_flow;
  struct impairment *impairments;
  uint32_t n_impairments, *impair_head; /* by side; NIL when none */
  uint32_t delayed, delayed_tail; /* frames held back, by time */
  uint32_t delayed_slot;
  uint32_t held, held_tail, held_slot; /* frames kept by defective switches, by time */
  uint64_t vanished_packets, vanished_bytes; /* defective switches */
  struct job_event own_storm; /* of a defective NIC */
  uint64_t progress_mark, progress_ps; /* most that flows have achieved, and when that was seen */
  uint32_t stall_slot;
  bool stalled;
  struct storm *storms;
  uint32_t n_storms;
  const struct job *job;
  uint32_t next_job_event, job_event_slot;
  struct rng rng;
  uint8_t used_prios;
  bool stopping;           /* duration reached: senders send nothing new */
  bool done;               /* until done: all flows complete */
  bool out_of_memory;
  uint32_t flows_done;
  uint64_t done_ps;
  uint64_t events, link_hops, data_packets;
  uint64_t made_packets, made_bytes; /* counted where packets are made … */
  uint64_t injected_packets, delivered_packets, dropped_packets; /* … and where they end */
  uint64_t injected_bytes, delivered_bytes, dropped_bytes;
  uint64_t in_flight_packets, in_flight_bytes; /* counted at the end */
  const char *ended;
  char violation[512];
  uint32_t n_violations;
  struct series *series;
  uint32_t sample_slot;
  FILE *cc_trace, *pfc_trace, *drop_trace, *mark_trace;
  char output_error[256];
  void (*progress)(const struct sim *s, void *arg);
  void *progress_arg;
};

/* sim.c */
struct sim *sim_new(const struct job *job); /* NULL: memory is short */
void sim_run(struct sim *s);
void sim_free(struct sim *s);
void sim_flow_acked(struct sim *s, uint32_t flow);     /* complete at its source, or failed */
void sim_flow_delivered(struct sim *s, uint32_t flow); /* complete at its target */
uint64_t sim_end_ps(const struct sim *s);

/* Time of `bytes` at `rate_bps`, in the job's time model. */
uint64_t sim_tx_time(const struct sim *s, uint64_t bytes, uint64_t rate_bps);

/* port.c */
void port_kick(struct sim *s, uint32_t port);      /* starts a transmission if the port is idle and may */
void port_arrive(struct sim *s, uint32_t port);    /* handles the first frame in flight */
void port_deliver(struct sim *s, uint32_t port, uint32_t pkt);
void port_send_pfc(struct sim *s, uint32_t port, uint8_t prio, uint32_t quanta);
void port_pause_timer(struct sim *s, uint32_t port);
void port_need_tx_done(struct sim *s, struct port *p); /* arms the end-of-transmission event */
bool port_is_busy(const struct sim *s, const struct port *p);
void port_drop(struct sim *s, uint32_t port, uint32_t pkt, enum drop_reason reason);
void port_set_peer_pause(struct sim *s, uint32_t port, uint8_t prio, bool on);
void port_resume_all(struct sim *s, uint32_t port);
void port_forget_pause(struct sim *s, uint32_t port);
uint64_t port_quanta_ps(const struct port *p, uint64_t quanta);
uint64_t port_paused_ps(const struct sim *s, const struct port *p, uint8_t prio);

/* nic_tx.c */
bool nic_set_up(struct sim *s, struct nic *n);
void nic_tear_down(struct nic *n);
uint32_t nic_next_packet(struct sim *s, struct nic *n); /* NIL when nothing may go now; arms the wake-up */
void nic_side_changed(struct sim *s, uint32_t side);    /* a side may have become (un)able to send */
void nic_after_transmit(struct sim *s, struct nic *n); /* arms what will make it send again */
void nic_queue_control(struct sim *s, struct nic *n, uint32_t pkt);
uint32_t nic_take_control(struct sim *s, struct nic *n, int prio); /* the first of a priority that has one */
void nic_reconfigure(struct sim *s, struct nic *n, const struct nic_cfg *cfg);
void nic_rate_changed(struct sim *s, struct nic *n);
void nic_add_sender(struct sim *s, uint32_t side);      /* hpcc: joins the round robin */

/* nic_rx.c */
void nic_receive(struct sim *s, uint32_t port, uint32_t pkt);
void nic_drain(struct sim *s, uint32_t port);
void nic_set_drain(struct sim *s, uint32_t port, uint64_t rate_bps);

/* qp.c */
void qp_release_flow(struct sim *s, uint32_t flow);
void qp_post(struct sim *s, uint32_t side);
void qp_retry_timer(struct sim *s, uint32_t side);
void qp_cc_timer(struct sim *s, uint32_t side);
void qp_start_cc(struct sim *s, uint32_t side);
void qp_line_rate_changed(struct sim *s, uint32_t side);
void qp_notify_congestion(struct sim *s, uint32_t side);
void qp_acknowledge(struct sim *s, uint32_t side, uint64_t psn);
void qp_go_back(struct sim *s, uint32_t side, uint64_t psn);
void qp_nak(struct sim *s, uint32_t side, uint64_t psn);
void qp_sack(struct sim *s, uint32_t side, uint64_t psn);
void qp_rnr_nak(struct sim *s, uint32_t side, uint64_t psn, uint32_t timer_code);
void qp_update_posted(struct sim *s, uint32_t side);
void qp_retry_progress(struct sim *s, uint32_t side);
bool qp_can_send(const struct sim *s, struct side *sd);
bool qp_must_repeat(struct side *sd); /* selective repeat: a packet is known to be missing */
uint32_t qp_next_packet(struct sim *s, uint32_t side);
void qp_arm_cc(struct sim *s, uint32_t side);
void qp_packet_gone(struct sim *s, const struct packet *p, bool delivered); /* a data packet has reached its target or is lost */
extern const uint32_t rnr_timer_us[32];

/* switch.c, mmu.c, sched_*.c */
void switch_forward(struct sim *s, uint32_t in_port, uint32_t pkt);
uint32_t switch_next_packet(struct sim *s, uint32_t port);
void switch_flush_port(struct sim *s, uint32_t port, uint8_t prio_mask, enum drop_reason reason);
void switch_release(struct sim *s);
void switch_watchdog(struct sim *s, uint32_t sw);
void switch_configure(struct sim *s, struct switch_node *sw);
enum drop_reason mmu_admit(struct switch_node *sw, struct port *in, const struct port *out, const struct packet *p);
void mmu_release(struct switch_node *sw, struct port *in, const struct packet *p);
bool mmu_should_pause(const struct switch_node *sw, const struct port *in, uint8_t prio);
bool mmu_should_resume(const struct switch_node *sw, const struct port *in, uint8_t prio);
void mmu_configure(struct sim *s, struct switch_node *sw);
int sched_ets_pick(const struct sched_cfg *cfg, struct port *p, uint8_t eligible, const uint32_t head_bytes[PRIO_COUNT]);
void sched_ets_charge(const struct sched_cfg *cfg, struct port *p, int prio, uint32_t bytes);
int sched_hpcc_pick(struct port *p, uint8_t eligible);
bool sched_hpcc_nic_has_work(const struct sim *s, const struct nic *n);
uint32_t sched_hpcc_nic_next(struct sim *s, struct nic *n);
void sched_ets_configure(const struct sched_cfg *cfg, struct port *p);

/* route.c */
bool route_compute(struct sim *s);
uint32_t route_pick(struct sim *s, const struct switch_node *sw, const struct packet *p); /* NIL: no route */
uint32_t route_hash(const struct sim *s, uint32_t src_port, uint32_t dst_port, uint16_t sport, uint32_t dqpn, enum ecmp_mode mode);

/* fault.c */
bool fault_set_up(struct sim *s);
void fault_job_event(struct sim *s);
void fault_add_storm(struct sim *s, const struct job_event *e); /* `e` must outlive the run */
void fault_storm(struct sim *s, uint32_t storm);
void fault_delayed(struct sim *s);
/* Applies the impairments of a data packet that has just been put on its first link. Returns true when it was taken. */
bool fault_impair(struct sim *s, uint32_t port, uint32_t pkt);

/* defect.c */
void defect_set_up(struct sim *s);
bool defect_vanishes(struct sim *s, struct switch_node *sw, uint32_t pkt); /* true: the packet is gone */
uint64_t defect_delay(const struct sim *s, struct switch_node *sw, uint32_t out, const struct packet *k);
uint64_t defect_gap(const struct sim *s, const struct port *p, uint8_t prio, uint64_t tx_ps);
uint64_t defect_drain(const struct sim *s, const struct nic *n, uint64_t asked_bps);
bool defect_is_first_host(const struct sim *s, uint32_t port);
void defect_check_stall(struct sim *s);

/* telemetry.c */
bool telemetry_open(struct sim *s);
void telemetry_sample(struct sim *s);
bool telemetry_close(struct sim *s);
void telemetry_free(struct sim *s);
void telemetry_cc(struct sim *s, uint32_t side, enum cc_event event);
void telemetry_pfc(struct sim *s, uint32_t port, const struct packet *p);
void telemetry_drop(struct sim *s, uint32_t port, const struct packet *p, enum drop_reason reason);
void telemetry_mark(struct sim *s, uint32_t port, const struct packet *p, uint64_t queue_bytes);

/* conserve.c, result.c */
void conserve_check(struct sim *s);
int result_write(const struct sim *s, FILE *out);

/* ---- small things used everywhere ---- */

static inline uint32_t packet_new(struct sim *s)
{
  uint32_t i = s->free_packet;
  if (i != NIL) {
    s->free_packet = s->packets[i].next;
  } else {
    extern uint32_t packet_grow(struct sim *sim);
    i = packet_grow(s);
  }
  if (++s->live > s->live_peak)
    s->live_peak = s->live;
  return i;
}

static inline void packet_free(struct sim *s, uint32_t i)
{
  s->packets[i].next = s->free_packet;
  s->free_packet = i;
  s->live--;
}

/* Fetches a packet that will be wanted soon: by then it would have left the cache of a large fabric. */
static inline void packet_prefetch(const struct sim *s, uint32_t i)
{
  if (i != NIL)
    __builtin_prefetch(&s->packets[i]);
}

static inline void fifo_push(struct sim *s, struct fifo *f, uint32_t i)
{
  s->packets[i].next = NIL;
  if (f->head == NIL)
    f->head = i;
  else
    s->packets[f->tail].next = i;
  f->tail = i;
}

static inline uint32_t fifo_pop(struct sim *s, struct fifo *f)
{
  uint32_t i = f->head;
  f->head = s->packets[i].next;
  return i;
}

static inline bool is_rare(bool condition)
{
  return __builtin_expect(condition, 0);
}

static inline bool has_defect(const struct sim *s, enum defect defect)
{
  return is_rare((s->defects & defect_bit(defect)) != 0);
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static inline bool sack_test(const struct sack_map *m, uint64_t psn)
{
  return (m->bits[psn % SACK_BITS / 64] >> (psn % 64) & 1) != 0;
}

static inline void sack_set(struct sack_map *m, uint64_t psn)
{
  m->bits[psn % SACK_BITS / 64] |= 1ull << (psn % 64);
}

static inline void sack_clear(struct sack_map *m, uint64_t psn)
{
  m->bits[psn % SACK_BITS / 64] &= ~(1ull << (psn % 64));
}

/* The rate that paces a side: the reaction point's and the flow's own limit. */
static inline uint64_t side_pace_bps(const struct side *sd)
{
  bool unpaced = sd->cc_ops->may_be_unpaced && !sd->cc.cfg->pace;
  return min_u64(unpaced ? sd->cc.line_bps : sd->cc.rate_bps, sd->rate_limit);
}

/* Hosts that schedule as the HPCC model does and, like it, have no ACK timer, follow it in what its transport does
 * differently, too. With a timer those rules would leave a sender without an answer. */
static inline bool follows_hpcc(const struct nic_cfg *cfg)
{
  return cfg->sched.kind == SCHED_HPCC && cfg->ack_timeout_exponent == 0;
}

/* The side that a side talks to. */
static inline uint32_t other_side(uint32_t side)
{
  return side ^ 1u;
}

static inline void arm(struct sim *s, uint32_t slot, uint64_t time)
{
  evq_arm(s->q, slot, time, s->order++);
}

static inline bool is_armed(const struct sim *s, uint32_t slot)
{
  return s->q->slots[slot].armed;
}

#endif
