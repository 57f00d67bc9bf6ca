/* The parsed, validated job: plain data in base units (ps, bytes, bit/s).
 *
 * job_parse() fills it from the JSON text described in docs/job-format.md; nothing after it needs to
 * look at JSON again. Names are resolved to indices, defaults are filled in, every value is in range.
 */
#ifndef ROCE_SIM_JOB_H
#define ROCE_SIM_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PRIO_COUNT = 8, DSCP_COUNT = 64 };

/* The priority a DSCP belongs to by default: its class selector. */
#define DSCP_DEFAULT_PRIORITY(dscp) ((dscp) >> 3)

/* The DSCP that a priority is sent with by default. */
extern const uint8_t dscp_of_priority[PRIO_COUNT];

enum job_limits { /* absurd counts are refused before any memory is asked for */
  JOB_MAX_NODES = 65536,
  JOB_MAX_PORTS_PER_NODE = 4096,
  JOB_MAX_LINKS = 262144,
  JOB_MAX_FLOWS = 1000000,
  JOB_MAX_QPS = 2000000, /* sum over flows */
  JOB_MAX_EVENTS = 100000,
};

enum time_model { TIME_EXACT, TIME_NS3 };
enum wire_model { WIRE_ROCEV2, WIRE_FIXED };
enum verb { VERB_WRITE, VERB_READ, VERB_SEND, VERB_ATOMIC };
enum transport { TRANSPORT_RC, TRANSPORT_UC, TRANSPORT_UD };
enum loss_recovery { RECOVER_GO_BACK_N, RECOVER_SELECTIVE, RECOVER_GO_BACK_0 };
enum cnp_mode { CNP_NONE, CNP_PACKETS, CNP_ACK_ECHO };
enum cnp_scope { CNP_PER_QP, CNP_PER_IP_PAIR, CNP_PER_PORT };
enum pfc_mode { PFC_QUANTA, PFC_UNTIL_RESUME };
enum sched_kind { SCHED_ETS, SCHED_HPCC };
enum ecmp_mode { ECMP_5TUPLE, ECMP_DQPN, ECMP_SPRAY, ECMP_HPCC };
enum buffer_model { BUFFER_DYNAMIC, BUFFER_HPCC, BUFFER_STATIC }; /* static: defective */
enum mark_at { MARK_DEQUEUE, MARK_ENQUEUE };
enum watchdog_action { WATCHDOG_DROP, WATCHDOG_FORWARD };
enum arrivals { ARRIVE_FIXED, ARRIVE_POISSON };
enum trace_bits { TRACE_CC = 1, TRACE_PFC = 2, TRACE_DROP = 4, TRACE_MARK = 8 };

struct wire_cfg {
  enum wire_model model;
  uint32_t ip_version; /* 4 or 6 */
  bool vlan;
  uint32_t gap_bytes;
  uint32_t data_overhead_bytes, ack_bytes, cnp_bytes, pfc_bytes; /* fixed model only */
};

/* Parameters of all algorithms; each cc_*.c reads its own part. */
struct cc_cfg {
  const char *algorithm; /* name of a struct cc_ops, e.g. "dcqcn" */
  double g;
  uint64_t alpha_timer_ps, rate_timer_ps, cut_interval_ps;
  uint64_t byte_counter_bytes;
  uint32_t fast_recovery;
  uint64_t rate_ai_bps, rate_hai_bps, min_rate_bps;
  bool clamp_target;
  double rate_on_first_cnp;      /* ns3 */
  bool pace, variable_window;    /* ns3 */
  uint32_t dce_tcp_g, dce_tcp_rtt_us, initial_alpha_value, rpg_gd, rpg_min_dec_fac; /* mlx5, from here on */
  uint32_t rate_reduce_monitor_period_us, rate_to_set_on_first_cnp_mbps, rpg_time_reset_us, rpg_byte_reset;
  uint32_t rpg_threshold, rpg_ai_rate_mbps, rpg_hai_rate_mbps, rpg_max_rate_mbps, rpg_min_rate_mbps;
  bool clamp_tgt_rate, clamp_tgt_rate_after_time_inc;
};

struct sched_cfg {
  enum sched_kind kind;
  uint32_t weight[PRIO_COUNT]; /* DWRR shares of the priorities that are not strict; > 0 */
  uint8_t strict_mask;         /* bit i: priority i is strict; higher number first */
  bool strict_last;            /* defective: after all others instead of before */
};

struct watchdog_cfg {
  bool enabled;
  uint64_t detect_ps, restore_ps, poll_ps;
  enum watchdog_action action;
};

struct pfc_cfg {
  uint8_t mask; /* bit i: priority i is lossless */
  enum pfc_mode mode;
  uint32_t quanta; /* 1..65535, units of 512 bit times of the link */
  struct watchdog_cfg watchdog; /* switches only */
};

struct nic_cfg {
  uint32_t mtu_bytes;
  enum loss_recovery loss_recovery;
  uint32_t ack_timeout_exponent, retry_count, rnr_timer, rnr_retry, max_rd_atomic;
  uint64_t nak_interval_ps;
  uint32_t ack_every;
  int ack_priority; /* -1: the flow's */
  bool ack_strict;
  enum cnp_mode cnp_mode;
  uint64_t cnp_interval_ps;
  enum cnp_scope cnp_scope;
  uint32_t cnp_priority;
  struct cc_cfg cc;
  struct pfc_cfg pfc;
  struct sched_cfg sched;
  uint64_t rx_buffer_bytes, rx_drain_bps, rx_xoff_bytes, rx_xon_bytes;
};

struct ecn_profile {
  uint64_t rate_bps; /* 0: any */
  uint64_t kmin_bytes, kmax_bytes;
  double pmax;
};

struct ecn_cfg {
  uint8_t mask; /* priorities marked; 0: marking is off */
  enum mark_at mark_at;
  bool wred_drop;
  uint32_t n_profiles;
  struct ecn_profile *profiles;
};

struct buffer_cfg {
  enum buffer_model model;
  uint64_t bytes, reserve_bytes, xon_offset_bytes;
  int64_t headroom_bytes; /* -1: computed per port */
  double alpha, lossy_alpha, egress_alpha;
  uint64_t nic_rate_bps; /* hpcc model: reference rate of its threshold shift; 0: that of the first host's first link */
};

struct switch_cfg {
  struct buffer_cfg buffer;
  struct ecn_cfg ecn;
  struct pfc_cfg pfc;
  struct sched_cfg sched;
  enum ecmp_mode ecmp_mode;
  int64_t ecmp_seed; /* -1: node index */
  uint8_t dscp_map[DSCP_COUNT]; /* priority of each DSCP */
};

struct job_node {
  const char *name;
  bool is_switch;
  uint32_t n_ports, first_port; /* ports of all nodes are numbered through */
  union {
    struct nic_cfg *nic;
    struct switch_cfg *sw;
  };
};

struct job_port {
  const char *name; /* "node:port" */
  uint32_t node;
  int32_t link; /* -1: not connected */
};

struct job_link {
  uint32_t port_a, port_b; /* indices into ports */
  uint64_t rate_bps, delay_ps;
  double ber;
};

struct job_flow {
  const char *name;
  uint32_t src_port, dst_port; /* indices into ports */
  enum verb verb;
  enum transport transport;
  uint64_t message_bytes, messages; /* messages 0: until the end of the run */
  uint32_t qps, priority, dscp;
  bool ect;
  uint64_t start_ps, after_delay_ps;
  uint32_t n_after, *after; /* flow indices; acyclic */
  uint64_t rate_bps, window_bytes;
  uint32_t max_outstanding;
  uint64_t message_interval_ps;
  enum arrivals arrivals;
  int32_t flow_label, udp_sport; /* -1: derived */
  uint32_t recv_depth;
  uint64_t recv_repost_ps;
};

enum event_kind { EV_LINK_DOWN, EV_LINK_UP, EV_LINK_RATE, EV_PAUSE_STORM, EV_DRAIN_RATE, EV_IMPAIR, EV_QOS };
enum impair_action { IMPAIR_DROP, IMPAIR_CORRUPT, IMPAIR_MARK, IMPAIR_DELAY, IMPAIR_DUPLICATE };

struct job_event {
  uint64_t at_ps;
  enum event_kind kind;
  uint32_t port;      /* link_*, pause_storm, drain_rate */
  uint64_t rate_bps;  /* link_rate, drain_rate */
  uint8_t prio_mask;  /* pause_storm */
  uint32_t quanta;    /* pause_storm */
  uint64_t duration_ps, interval_ps; /* pause_storm; interval 0: gapless */
  uint32_t flow, qp;  /* impair, from here on */
  enum impair_action action;
  uint32_t n_packets, iteration;
  uint64_t *packets; /* sorted indices */
  double fraction;
  uint64_t delay_ps;
  uint32_t node; /* qos: the whole new configuration of that node, changes laid over what it has after earlier events */
  struct nic_cfg *nic;
  struct switch_cfg *sw;
};

struct job {
  const char *name;
  uint64_t seed;
  bool until_done;
  uint64_t duration_ps, drain_ps, sample_every_ps;
  const char *output_dir; /* NULL: none */
  uint32_t trace;         /* enum trace_bits */
  uint64_t defects;       /* bits of enum defect */
  enum time_model time_model;
  uint64_t resolution_ps;
  struct wire_cfg wire;
  uint32_t n_nodes, n_ports, n_links, n_flows, n_events;
  struct job_node *nodes;
  struct job_port *ports;
  struct job_link *links;
  struct job_flow *flows;
  struct job_event *events; /* sorted by at_ps, stable */
  void *arena;              /* owns every pointer above */
};

struct job_error {
  char message[512]; /* what, the value, what to do */
  char path[256];    /* "flows[3].src", "" for the whole text */
  uint32_t line, column; /* 1-based; 0 when unknown */
};

/* Parses and validates `text` of `length` bytes (need not end with NUL). Returns NULL and fills `error` when it is bad
 * or memory is short. Free the result with job_free(). */
struct job *job_parse(const char *text, size_t length, struct job_error *error);
void job_free(struct job *job);

#endif
