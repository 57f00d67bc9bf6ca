/* The defects that simulated devices can have: one list gives the enum, the names in a job and what --list-defects says.
 *
 * Each defect is one deviation from what was configured or what the standard asks, in one place of the code behind
 * has_defect(), or, where it is "does something else than was set", a rewrite of the configuration in job_defects.c.
 */
#ifndef ROCE_SIM_DEFECT_H
#define ROCE_SIM_DEFECT_H

#include <stdint.h>

/* clang-format off */
/* X(enumerator, name, part, what it does) */
#define DEFECT_LIST(X) \
  X(MARKING_OFF, "marking_off", "switch", "never marks nor WRED-drops anything") \
  X(MARKING_WRONG_QUEUE, "marking_wrong_queue", "switch", \
    "marks by the depth of the whole port, so that a deep queue marks the packets of another") \
  X(THRESHOLDS_X10, "thresholds_x10", "switch", "Kmin and Kmax are ten times what was set") \
  X(THRESHOLDS_DIV10, "thresholds_div10", "switch", "Kmin and Kmax are a tenth of what was set") \
  X(MARKING_AT_ENQUEUE, "marking_at_enqueue", "switch", "marks at enqueue whatever was set") \
  X(WRED_DROPS_ECT, "wred_drops_ect", "switch", "drops ECN-capable packets where it should mark them") \
  X(PFC_IGNORED, "pfc_ignored", "nic", "does not stop for pause frames") \
  X(PAUSE_NEVER_RELEASED, "pause_never_released", "nic", "stays paused once paused: ignores resume and expiry") \
  X(PAUSE_WRONG_PRIORITY, "pause_wrong_priority", "nic", "obeys a pause for priority p on priority (p + 1) mod 8") \
  X(PAUSE_NOT_SENT, "pause_not_sent", "switch", "never sends pause frames") \
  X(PAUSE_HITS_LOSSY, "pause_hits_lossy", "switch", \
    "obeys any pause on the priorities without PFC too, as if it were a global pause") \
  X(NIC_PAUSE_STORM, "nic_pause_storm", "nic", \
    "the last host sends pauses without reason from 0.5 ms on, for ever") \
  X(HEADROOM_SMALL, "headroom_small", "switch", "reserves a quarter of the configured headroom") \
  X(XON_HYSTERESIS_OFF, "xon_hysteresis_off", "switch", "resumes at the XOFF threshold itself") \
  X(WATCHDOG_EARLY, "watchdog_early", "switch", "detects a PFC storm after a quarter of the detection time") \
  X(WATCHDOG_NEVER, "watchdog_never", "switch", "never detects a PFC storm") \
  X(WATCHDOG_NEVER_RESTORES, "watchdog_never_restores", "switch", "leaves a queue in the storm state for ever") \
  X(BUFFER_LEAK, "buffer_leak", "switch", \
    "gives a sixteenth of what each frame took of the shared buffer never back") \
  X(BUFFER_STATIC, "buffer_static", "switch", \
    "cuts the shared buffer into equal parts, one a port, instead of the dynamic threshold") \
  X(CNP_NOT_SENT, "cnp_not_sent", "nic", "the notification point is silent") \
  X(CNP_INTERVAL_IGNORED, "cnp_interval_ignored", "nic", "sends a CNP for every marked packet") \
  X(CNP_SCOPE_PORT, "cnp_scope_port", "nic", "keeps the CNP interval for the port whatever scope was set") \
  X(CNP_IN_DATA_QUEUE, "cnp_in_data_queue", "nic", "sends CNPs in the priority of the data") \
  X(CNP_IGNORED, "cnp_ignored", "nic", "the sender counts CNPs and reacts to none") \
  X(RATE_NEVER_RECOVERS, "rate_never_recovers", "nic", "the reaction point never increases its rate") \
  X(RATE_RECOVERS_FAST, "rate_recovers_fast", "nic", \
    "additive and hyper increase are ten times as large, the rate timer a tenth") \
  X(ALPHA_NEVER_DECAYS, "alpha_never_decays", "nic", "alpha never decays") \
  X(DSCP_WRONG_PRIORITY, "dscp_wrong_priority", "switch", "sorts what belongs into priority 3 into priority 4") \
  X(ETS_NOT_WORK_CONSERVING, "ets_not_work_conserving", "switch", \
    "ETS at switches and NICs leaves the share of an idle priority unused") \
  X(ETS_WEIGHTS_IGNORED, "ets_weights_ignored", "switch", "ETS at switches and NICs takes all weights as equal") \
  X(STRICT_STARVED, "strict_starved", "switch", "switches and NICs serve strict priorities last") \
  X(LINK_HALF_RATE, "link_half_rate", "link", \
    "the link of the first host runs at half its rate, which is reported whole") \
  X(BIT_ERRORS, "bit_errors", "link", "a bit error rate of 1e-7 on all links") \
  X(LATENCY_EXTRA, "latency_extra", "switch", "5 us of additional forwarding delay") \
  X(LINK_STAYS_DOWN, "link_stays_down", "link", "a link that went down never comes up again") \
  X(ECMP_POLARISED, "ecmp_polarised", "switch", "always takes the first of the equal paths") \
  X(UDP_SPORT_CONSTANT, "udp_sport_constant", "nic", "gives all QPs the same UDP source port") \
  X(ROUTE_STALE, "route_stale", "switch", "does not compute routes afresh when a link goes down") \
  X(SILENT_DROP, "silent_drop", "switch", "loses each 1000th data packet and counts it nowhere") \
  X(PACKETS_REORDERED, "packets_reordered", "switch", "lets successors overtake each 100th data packet") \
  X(GO_BACK_0, "go_back_0", "nic", "goes back to the start of the message on a NAK") \
  X(SELECTIVE_REPEAT_GOES_BACK, "selective_repeat_goes_back", "nic", \
    "does go-back-N where selective repeat was set") \
  X(NAK_STORM, "nak_storm", "nic", "sends a NAK for every packet beyond a gap") \
  X(NAK_NOT_SENT, "nak_not_sent", "nic", "tells of no gap, so that only the timer finds it") \
  X(ACK_TIMEOUT_X16, "ack_timeout_x16", "nic", "the ACK timeout is 16 times what was set") \
  X(RETRIES_IGNORED, "retries_ignored", "nic", "gives up at the first timeout or NAK without progress") \
  X(RNR_TIMER_IGNORED, "rnr_timer_ignored", "nic", "the sender tries again at once after an RNR NAK") \
  X(RNR_RETRY_IGNORED, "rnr_retry_ignored", "nic", "the sender tries for ever whatever rnr_retry says") \
  X(READ_RESPONSE_LOST_SILENTLY, "read_response_lost_silently", "nic", \
    "does not notice a gap in read responses, so that only the timer finds it") \
  X(DUPLICATE_DELIVERED, "duplicate_delivered", "nic", "delivers a packet that arrives twice twice") \
  X(CORRUPT_DELIVERED, "corrupt_delivered", "nic", "does not check the ICRC and delivers damaged payload") \
  X(MTU_HALVED, "mtu_halved", "nic", "cuts packets to half the MTU that was set") \
  X(SLOW_RECEIVER, "slow_receiver", "nic", \
    "takes in data at 40 % of line rate, from a buffer of 1 MB; pauses its switch when PFC is on") \
  X(SLOW_SENDER, "slow_sender", "nic", "the first host sends at 40 % of its rate at most") \
  X(LATE_START, "late_start", "nic", "the first host starts its flows 20 ms late") \
  X(COUNTER_STUCK, "counter_stuck", "counters", "drop counters of switches and hosts stand still") \
  X(COUNTER_COUNTS_OTHER, "counter_counts_other", "counters", "cnp_handled counts retransmissions") \
  X(COUNTER_WRONG_UNIT, "counter_wrong_unit", "counters", "tx_bytes and rx_bytes count words of 4 bytes") \
  X(ORDERING_LOST_DEPENDENCY, "ordering_lost_dependency", "nic", \
    "starts flows that wait for others (`after`) without waiting") \
  X(IDLE_PAUSE_COUNTED, "idle_pause_counted", "counters", \
    "pause durations are counted in quanta of 512 bits instead of time")
/* clang-format on */

#define DEFECT_ENUMERATOR(id, name, part, what) DEFECT_##id,
enum defect { DEFECT_LIST(DEFECT_ENUMERATOR) DEFECT_COUNT };
#undef DEFECT_ENUMERATOR

_Static_assert(DEFECT_COUNT <= 64, "defects are bits of 64");

struct defect_info {
  const char *name, *part, *what;
};
extern const struct defect_info defect_info[DEFECT_COUNT]; /* job_defects.c */

static inline uint64_t defect_bit(enum defect defect)
{
  return UINT64_C(1) << defect;
}

#endif
