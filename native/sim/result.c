/* The result: one JSON object, the same bytes for the same job and seed (docs/job-format.md). */
#include "../common/jsonw.h"
#include "sim.h"
#include "telemetry.h"
#include "version.h"

enum { RESULT_FORMAT = 1 };

/* ---- flows ---- */

static const char *flow_status(const struct flow *f)
{
  if (f->failed)
    return "failed";
  if (f->done)
    return "done";
  return f->started ? "unfinished" : "not_started";
}

static void write_time_or_null(struct jsonw *w, const char *key, bool known, uint64_t ps)
{
  if (known)
    jsonw_member_u64(w, key, ps);
  else
    jsonw_member_null(w, key);
}

static void write_latency(struct jsonw *w, const struct histogram *h)
{
  if (histogram_count(h) == 0) {
    jsonw_member_null(w, "latency");
    return;
  }
  jsonw_member_object(w, "latency");
  jsonw_member_u64(w, "count", histogram_count(h));
  jsonw_member_u64(w, "min_ps", histogram_min(h));
  jsonw_member_double(w, "mean_ps", histogram_mean(h));
  jsonw_member_u64(w, "p50_ps", histogram_quantile(h, 0.5));
  jsonw_member_u64(w, "p90_ps", histogram_quantile(h, 0.9));
  jsonw_member_u64(w, "p99_ps", histogram_quantile(h, 0.99));
  jsonw_member_u64(w, "p999_ps", histogram_quantile(h, 0.999));
  jsonw_member_u64(w, "max_ps", histogram_max(h));
  jsonw_end_object(w);
}

static const char *side_status(const struct side *sd)
{
  switch ((enum side_state)sd->state) {
  case SIDE_DONE:
    return "done";
  case SIDE_FAILED:
    return "failed";
  case SIDE_IDLE:
    return "not_started";
  case SIDE_ACTIVE:
  case SIDE_RNR_WAIT:
    break;
  }
  return "unfinished";
}

static void write_qp(const struct sim *s, struct jsonw *w, const struct flow *f, uint32_t qp)
{
  const struct side *sd = &s->sides[f->first_side + 2 * qp];
  bool reads = f->job->verb == VERB_READ || f->job->verb == VERB_ATOMIC;
  bool started = sd->state != SIDE_IDLE;
  jsonw_begin_object(w);
  jsonw_member_u64(w, "index", qp);
  jsonw_member_u64(w, "qpn", sd->qpn);
  jsonw_member_u64(w, "remote_qpn", sd[1].qpn);
  jsonw_member_u64(w, "udp_sport", sd->sport);
  write_time_or_null(w, "start_ps", started, sd->start_ps);
  write_time_or_null(w, "end_ps", sd->state == SIDE_DONE, sd->end_ps);
  jsonw_member_u64(w, "bytes_delivered", sd[reads ? 0 : 1].bytes_delivered);
  jsonw_member_string(w, "status", side_status(sd));
  jsonw_end_object(w);
}

static uint64_t messages_completed(const struct sim *s, const struct flow *f)
{
  uint64_t sum = 0;
  for (uint32_t q = 0; q < f->job->qps; q++)
    sum += s->sides[f->first_side + 2 * q].messages_done;
  return sum;
}

static void write_flow(const struct sim *s, struct jsonw *w, const struct flow *f)
{
  const struct job_flow *j = f->job;
  jsonw_begin_object(w);
  jsonw_member_string(w, "name", j->name);
  jsonw_member_string(w, "src", s->job->ports[j->src_port].name);
  jsonw_member_string(w, "dst", s->job->ports[j->dst_port].name);
  jsonw_member_string(w, "status", flow_status(f));
  jsonw_member_string(w, "error", f->error);
  write_time_or_null(w, "start_ps", f->started, f->start_ps);
  write_time_or_null(w, "end_ps", f->done, f->end_ps);
  write_time_or_null(w, "fct_ps", f->done, f->end_ps - f->start_ps);
  jsonw_member_u64(w, "message_bytes", j->message_bytes);
  jsonw_member_u64(w, "messages_completed", messages_completed(s, f));
  const struct {
    const char *key;
    uint64_t value;
  } counts[] = {
      {"bytes_sent", f->bytes_sent},
      {"bytes_delivered", f->bytes_delivered},
      {"bytes_acked", f->bytes_acked},
      {"packets_sent", f->packets_sent},
      {"packets_delivered", f->packets_delivered},
      {"packets_dropped", f->packets_dropped},
      {"packets_retransmitted", f->packets_retransmitted},
      {"packets_duplicate", f->packets_duplicate},
      {"packets_out_of_order", f->packets_out_of_order},
      {"packets_in_flight", f->packets_in_flight},
      {"ecn_marked", f->ecn_marked},
      {"cnp_sent", f->cnp_sent},
      {"cnp_received", f->cnp_received},
      {"rate_cuts", f->rate_cuts},
      {"rate_increases", f->rate_increases},
      {"naks_sent", f->naks_sent},
      {"naks_received", f->naks_received},
      {"timeouts", f->timeouts},
      {"rnr_naks_sent", f->rnr_naks_sent},
      {"rnr_naks_received", f->rnr_naks_received},
      {"payload_verified_bytes", f->bytes_delivered - min_u64(f->bytes_delivered, f->payload_mismatched)},
      {"payload_mismatched_bytes", f->payload_mismatched},
  };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    jsonw_member_u64(w, counts[i].key, counts[i].value);
  write_latency(w, &f->latency);
  jsonw_member_array(w, "qps");
  for (uint32_t q = 0; q < j->qps; q++)
    write_qp(s, w, f, q);
  jsonw_end_array(w);
  jsonw_end_object(w);
}

/* ---- ports ---- */

/* One number of each priority. */
typedef uint64_t prio_value(const struct sim *s, const struct port *p, int prio);

#define LANE_VALUE(field)                                                                                             \
  static uint64_t lane_##field(const struct sim *s, const struct port *p, int prio)                                   \
  {                                                                                                                   \
    (void)s;                                                                                                          \
    return p->lane[prio].field;                                                                                       \
  }
#define EVENT_VALUE(field)                                                                                            \
  static uint64_t event_##field(const struct sim *s, const struct port *p, int prio)                                  \
  {                                                                                                                   \
    (void)s;                                                                                                          \
    return p->ev[prio].field;                                                                                         \
  }
LANE_VALUE(tx_packets)
LANE_VALUE(tx_bytes)
LANE_VALUE(rx_packets)
LANE_VALUE(rx_bytes)
LANE_VALUE(queue_max)
LANE_VALUE(ingress_max)
EVENT_VALUE(tx_pause)
EVENT_VALUE(tx_resume)
EVENT_VALUE(rx_pause)
EVENT_VALUE(rx_resume)
EVENT_VALUE(transitions)
EVENT_VALUE(ecn_marked)
EVENT_VALUE(headroom_max)
EVENT_VALUE(watchdog_detected)
EVENT_VALUE(watchdog_restored)

/* Whether the watchdog left the queue in the storm state: "stormed" instead of "operational". */
static uint64_t is_stormed(const struct sim *s, const struct port *p, int prio)
{
  (void)s;
  return p->ev[prio].storm_since != NEVER;
}

static uint64_t wred_dropped(const struct sim *s, const struct port *p, int prio)
{
  return has_defect(s, DEFECT_COUNTER_STUCK) ? 0 : p->ev[prio].wred_dropped;
}

/* A pause duration as the device counts it. */
static uint64_t counted_pause(const struct sim *s, const struct port *p, uint64_t ps)
{
  return has_defect(s, DEFECT_IDLE_PAUSE_COUNTED) ? ps / max_u64(1, port_quanta_ps(p, 1)) : ps;
}

static uint64_t rx_paused(const struct sim *s, const struct port *p, int prio)
{
  return counted_pause(s, p, port_paused_ps(s, p, (uint8_t)prio));
}

static uint64_t tx_paused(const struct sim *s, const struct port *p, int prio)
{
  const struct lane_events *e = &p->ev[prio];
  return counted_pause(s, p, e->tx_pause_ps + (e->tx_pause_since == NEVER ? 0 : s->now - e->tx_pause_since));
}

static const struct {
  const char *key;
  prio_value *value;
} prio_lists[] = {
    {"tx_packets_prio", lane_tx_packets},   {"tx_bytes_prio", lane_tx_bytes},
    {"rx_packets_prio", lane_rx_packets},   {"rx_bytes_prio", lane_rx_bytes},
    {"tx_pause", event_tx_pause},           {"tx_resume", event_tx_resume},
    {"rx_pause", event_rx_pause},           {"rx_resume", event_rx_resume},
    {"rx_pause_duration_ps", rx_paused},    {"tx_pause_duration_ps", tx_paused},
    {"pause_transitions", event_transitions}, {"ecn_marked", event_ecn_marked},
    {"wred_dropped", wred_dropped},   {"queue_max_bytes", lane_queue_max},
    {"ingress_max_bytes", lane_ingress_max}, {"headroom_max_bytes", event_headroom_max},
    {"watchdog_detected", event_watchdog_detected}, {"watchdog_restored", event_watchdog_restored},
    {"watchdog_stormed", is_stormed},
};

static uint64_t sum_prios(const struct sim *s, const struct port *p, prio_value *value)
{
  uint64_t sum = 0;
  for (int i = 0; i < PRIO_COUNT; i++)
    sum += value(s, p, i);
  return sum;
}

static void write_nic(const struct sim *s, struct jsonw *w, const struct nic_counters *c)
{
  uint64_t handled = has_defect(s, DEFECT_COUNTER_COUNTS_OTHER) ? c->retransmitted_packets : c->cnp_handled;
  uint64_t discards = has_defect(s, DEFECT_COUNTER_STUCK) ? 0 : c->rx_discards;
  const struct {
    const char *key;
    uint64_t value;
  } counts[] = {
      {"ecn_marked_rx", c->ecn_marked_rx},
      {"cnp_sent", c->cnp_sent},
      {"cnp_received", c->cnp_received},
      {"cnp_handled", handled},
      {"cnp_ignored", c->cnp_ignored},
      {"out_of_sequence", c->out_of_sequence},
      {"packet_seq_err", c->packet_seq_err},
      {"implied_nak_seq_err", c->implied_nak_seq_err},
      {"local_ack_timeout", c->local_ack_timeout},
      {"duplicate_request", c->duplicate_request},
      {"rnr_nak_sent", c->rnr_nak_sent},
      {"rnr_nak_received", c->rnr_nak_received},
      {"icrc_errors", c->icrc_errors},
      {"retransmitted_packets", c->retransmitted_packets},
      {"retry_exhausted", c->retry_exhausted},
      {"rnr_retry_exhausted", c->rnr_retry_exhausted},
      {"rx_discards", discards},
      {"acks_sent", c->acks_sent},
      {"acks_received", c->acks_received},
  };
  jsonw_member_object(w, "nic");
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    jsonw_member_u64(w, counts[i].key, counts[i].value);
  jsonw_end_object(w);
}

static void write_port(const struct sim *s, struct jsonw *w, uint32_t port)
{
  const struct port *p = &s->ports[port];
  bool stuck = has_defect(s, DEFECT_COUNTER_STUCK);
  uint64_t unit = has_defect(s, DEFECT_COUNTER_WRONG_UNIT) ? 4 : 1; /* bytes */
  jsonw_member_object(w, s->job->ports[port].name);
  jsonw_member_u64(w, "rate_bps", p->rate_bps);
  jsonw_member_u64(w, "tx_packets", sum_prios(s, p, lane_tx_packets));
  jsonw_member_u64(w, "tx_bytes", sum_prios(s, p, lane_tx_bytes) / unit);
  jsonw_member_u64(w, "rx_packets", sum_prios(s, p, lane_rx_packets));
  jsonw_member_u64(w, "rx_bytes", sum_prios(s, p, lane_rx_bytes) / unit);
  for (size_t i = 0; i < sizeof prio_lists / sizeof *prio_lists; i++) {
    jsonw_member_array(w, prio_lists[i].key);
    for (int prio = 0; prio < PRIO_COUNT; prio++)
      jsonw_u64(w, prio_lists[i].value(s, p, prio));
    jsonw_end_array(w);
  }
  jsonw_member_object(w, "drops");
  for (int i = 0; i < DROP_REASONS; i++)
    jsonw_member_u64(w, drop_reason_name[i], stuck ? 0 : p->drops[i]);
  jsonw_end_object(w);
  if (p->nic != NIL)
    write_nic(s, w, &s->nics[p->nic].count);
  jsonw_end_object(w);
}

static void write_ports(const struct sim *s, struct jsonw *w)
{
  jsonw_member_object(w, "ports");
  for (uint32_t i = 0; i < s->job->n_ports; i++)
    if (s->ports[i].peer != NIL)
      write_port(s, w, i);
  jsonw_end_object(w);
}

static void write_switches(const struct sim *s, struct jsonw *w)
{
  jsonw_member_object(w, "switches");
  for (uint32_t i = 0; i < s->n_switches; i++) {
    const struct switch_node *sw = &s->switches[i];
    jsonw_member_object(w, s->job->nodes[sw->node].name);
    jsonw_member_u64(w, "buffer_bytes", sw->cfg->buffer.bytes);
    jsonw_member_u64(w, "shared_max_bytes", sw->shared_max);
    jsonw_member_u64(w, "shared_end_bytes", sw->shared_used + sw->leaked);
    jsonw_end_object(w);
  }
  jsonw_end_object(w);
}

/* ---- series ---- */

static void write_column_name(const struct sim *s, struct jsonw *w, enum series_kind kind, const struct series_column *c)
{
  char name[600];
  switch (kind) {
  case SERIES_QUEUE:
  case SERIES_PAUSE:
    snprintf(name, sizeof name, "%s/%u", s->job->ports[c->object].name, c->prio);
    jsonw_string(w, name);
    return;
  case SERIES_MARKED:
  case SERIES_CNP:
    jsonw_string(w, s->job->ports[c->object].name);
    return;
  case SERIES_SHARED:
    jsonw_string(w, s->job->nodes[s->switches[c->object].node].name);
    return;
  case SERIES_GOODPUT:
  case SERIES_RATE:
  case SERIES_ALPHA:
  case SERIES_TABLES:
    break;
  }
  jsonw_string(w, s->job->flows[c->object].name);
}

static void write_table(const struct sim *s, struct jsonw *w, enum series_kind kind)
{
  const struct series_table *t = &s->series->tables[kind];
  char file[64];
  snprintf(file, sizeof file, "%s.npy", series_info[kind].name);
  jsonw_member_object(w, series_info[kind].name);
  jsonw_member_string(w, "file", file);
  jsonw_member_string(w, "unit", series_info[kind].unit);
  jsonw_member_array(w, "columns");
  for (uint32_t c = 0; c < t->n; c++)
    write_column_name(s, w, kind, &t->columns[c]);
  jsonw_end_array(w);
  jsonw_end_object(w);
}

static void write_series(const struct sim *s, struct jsonw *w)
{
  if (s->series == NULL) {
    jsonw_member_null(w, "series");
    return;
  }
  jsonw_member_object(w, "series");
  jsonw_member_u64(w, "every_ps", s->job->sample_every_ps);
  jsonw_member_u64(w, "samples", s->series->samples);
  jsonw_member_string(w, "time_file", "time_ps.npy");
  jsonw_member_object(w, "tables");
  for (int i = 0; i < SERIES_TABLES; i++)
    if (s->series->tables[i].n > 0)
      write_table(s, w, (enum series_kind)i);
  jsonw_end_object(w);
  jsonw_end_object(w);
}

/* ---- the whole ---- */

static void write_error(const struct sim *s, struct jsonw *w)
{
  const char *kind = NULL, *message = NULL;
  if (s->out_of_memory) {
    kind = "memory";
    message = "memory ran short during the run; use fewer or shorter flows, or a machine with more memory";
  } else if (s->output_error[0] != '\0') {
    kind = "output";
    message = s->output_error;
  } else if (s->n_violations > 0) {
    kind = "conservation";
    message = s->violation;
  }
  if (kind == NULL) {
    jsonw_member_null(w, "error");
    return;
  }
  jsonw_member_object(w, "error");
  jsonw_member_string(w, "kind", kind);
  jsonw_member_string(w, "message", message);
  jsonw_end_object(w);
}

static void write_conservation(const struct sim *s, struct jsonw *w)
{
  jsonw_member_object(w, "conservation");
  jsonw_member_bool(w, "ok", s->n_violations == 0);
  jsonw_member_u64(w, "packets_injected", s->made_packets);
  jsonw_member_u64(w, "packets_delivered", s->delivered_packets);
  jsonw_member_u64(w, "packets_dropped", s->dropped_packets);
  jsonw_member_u64(w, "packets_in_flight", s->in_flight_packets);
  jsonw_member_u64(w, "bytes_injected", s->made_bytes);
  jsonw_member_u64(w, "bytes_delivered", s->delivered_bytes);
  jsonw_member_u64(w, "bytes_dropped", s->dropped_bytes);
  jsonw_member_u64(w, "bytes_in_flight", s->in_flight_bytes);
  jsonw_member_array(w, "violations");
  if (s->n_violations > 0)
    jsonw_string(w, s->violation);
  jsonw_end_array(w);
  jsonw_end_object(w);
}

/* Only when there are any: a healthy fabric has no such key. */
static void write_defects(const struct sim *s, struct jsonw *w)
{
  if (s->defects == 0)
    return;
  jsonw_member_array(w, "defects");
  for (int i = 0; i < DEFECT_COUNT; i++)
    if (has_defect(s, (enum defect)i))
      jsonw_string(w, defect_info[i].name);
  jsonw_end_array(w);
}

static void write_head(const struct sim *s, struct jsonw *w)
{
  bool failed = s->out_of_memory || s->output_error[0] != '\0' || s->n_violations > 0;
  jsonw_member_u64(w, "format", RESULT_FORMAT);
  jsonw_member_bool(w, "simulated", true);
  jsonw_member_object(w, "simulator");
  jsonw_member_string(w, "name", "roce-sim");
  jsonw_member_string(w, "version", ROCE_SIM_VERSION);
  jsonw_end_object(w);
  jsonw_member_object(w, "job");
  jsonw_member_string(w, "name", s->job->name);
  jsonw_member_u64(w, "seed", s->job->seed);
  jsonw_end_object(w);
  write_defects(s, w);
  jsonw_member_string(w, "ended", failed ? "error" : s->ended);
  write_error(s, w);
  jsonw_member_u64(w, "end_ps", sim_end_ps(s));
}

/* 0, or the errno of the first failure to write. */
int result_write(const struct sim *s, FILE *out)
{
  struct jsonw w;
  jsonw_init(&w, out);
  jsonw_begin_object(&w);
  write_head(s, &w);
  jsonw_member_array(&w, "flows");
  for (uint32_t i = 0; i < s->job->n_flows; i++)
    write_flow(s, &w, &s->flows[i]);
  jsonw_end_array(&w);
  write_ports(s, &w);
  write_switches(s, &w);
  write_series(s, &w);
  write_conservation(s, &w);
  jsonw_member_object(&w, "stats");
  jsonw_member_u64(&w, "events", s->events);
  jsonw_member_u64(&w, "link_hops", s->link_hops);
  jsonw_member_u64(&w, "data_packets", s->data_packets);
  jsonw_member_u64(&w, "packets_peak", s->live_peak);
  jsonw_end_object(&w);
  jsonw_end_object(&w);
  return jsonw_finish(&w);
}
