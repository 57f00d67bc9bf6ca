/* What a run writes beside its result: time series (.npy) and event traces (.csv), in the job's output folder. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "telemetry.h"

const struct series_info series_info[SERIES_TABLES] = {
    [SERIES_QUEUE] = {"queue_bytes", "bytes", NPY_INT64},      [SERIES_SHARED] = {"shared_bytes", "bytes", NPY_INT64},
    [SERIES_GOODPUT] = {"goodput_bps", "bit/s", NPY_FLOAT64},  [SERIES_RATE] = {"cc_rate_bps", "bit/s", NPY_INT64},
    [SERIES_ALPHA] = {"cc_alpha", "1", NPY_FLOAT64},           [SERIES_PAUSE] = {"pause_fraction", "1", NPY_FLOAT64},
    [SERIES_MARKED] = {"ecn_marked", "packets", NPY_INT64},    [SERIES_CNP] = {"cnp_sent", "packets", NPY_INT64},
};

static void fail(struct sim *s, const char *what, int error)
{
  if (s->output_error[0] == '\0')
    snprintf(s->output_error, sizeof s->output_error, "cannot write %s in %s: %s", what, s->job->output_dir, strerror(error));
}

static void path_in_output(const struct sim *s, char *path, size_t size, const char *name, const char *suffix)
{
  snprintf(path, size, "%s/%s%s", s->job->output_dir, name, suffix);
}

/* ---- series ---- */

/* Priorities that carry flows. */
static uint8_t data_prios(const struct sim *s)
{
  uint8_t mask = 0;
  for (uint32_t i = 0; i < s->job->n_flows; i++)
    mask |= (uint8_t)(1u << s->job->flows[i].priority);
  return mask;
}

static bool add_column(struct series_table *t, uint32_t object, uint8_t prio)
{
  if ((t->n & (t->n - 1)) == 0) {
    struct series_column *grown = realloc(t->columns, (t->n == 0 ? 1 : (size_t)t->n * 2) * sizeof *grown);
    if (grown == NULL)
      return false;
    t->columns = grown;
  }
  t->columns[t->n++] = (struct series_column){object, prio};
  return true;
}

static bool add_port_columns(struct sim *s, uint32_t port)
{
  struct series_table *t = s->series->tables;
  const struct port *p = &s->ports[port];
  uint8_t prios = data_prios(s);
  bool ok = true;
  if (p->peer == NIL)
    return true;
  for (uint8_t prio = 0; ok && prio < PRIO_COUNT; prio++) {
    if (!(prios & 1u << prio))
      continue;
    ok = (!p->is_switch || add_column(&t[SERIES_QUEUE], port, prio)) && add_column(&t[SERIES_PAUSE], port, prio);
  }
  return ok && add_column(&t[p->is_switch ? SERIES_MARKED : SERIES_CNP], port, 0);
}

static bool choose_columns(struct sim *s)
{
  struct series_table *t = s->series->tables;
  bool ok = true;
  for (uint32_t i = 0; ok && i < s->job->n_ports; i++)
    ok = add_port_columns(s, i);
  for (uint32_t i = 0; ok && i < s->n_switches; i++)
    ok = add_column(&t[SERIES_SHARED], i, 0);
  for (uint32_t i = 0; ok && i < s->job->n_flows; i++)
    ok = add_column(&t[SERIES_GOODPUT], i, 0) && add_column(&t[SERIES_RATE], i, 0) && add_column(&t[SERIES_ALPHA], i, 0);
  return ok;
}

static bool open_tables(struct sim *s)
{
  char path[4096];
  uint32_t widest = 0;
  for (int i = 0; i < SERIES_TABLES; i++) {
    struct series_table *t = &s->series->tables[i];
    widest = t->n > widest ? t->n : widest;
    path_in_output(s, path, sizeof path, series_info[i].name, ".npy");
    int error = t->n == 0 ? 0 : npy_open(&t->file, path, series_info[i].dtype, t->n);
    if (error != 0) {
      fail(s, series_info[i].name, error);
      return false;
    }
  }
  path_in_output(s, path, sizeof path, "time_ps", ".npy");
  int error = npy_open(&s->series->time, path, NPY_INT64, 0);
  if (error != 0)
    fail(s, "time_ps.npy", error);
  s->series->row = malloc((widest + 1) * sizeof *s->series->row);
  return error == 0 && s->series->row != NULL;
}

/* The side of a QP that sends its data. */
static struct side *data_sender(const struct sim *s, const struct flow *f, uint32_t qp)
{
  bool responder = f->job->verb == VERB_READ || f->job->verb == VERB_ATOMIC;
  return &s->sides[f->first_side + 2 * qp + (responder ? 1 : 0)];
}

static int64_t sum_rate(const struct sim *s, const struct flow *f)
{
  uint64_t sum = 0;
  for (uint32_t q = 0; q < f->job->qps; q++) {
    const struct side *sd = data_sender(s, f, q);
    sum += sd->state == SIDE_ACTIVE || sd->state == SIDE_RNR_WAIT ? min_u64(sd->cc.rate_bps, sd->rate_limit) : 0;
  }
  return (int64_t)sum;
}

static double mean_alpha(const struct sim *s, const struct flow *f)
{
  double sum = 0;
  for (uint32_t q = 0; q < f->job->qps; q++) {
    struct side *sd = data_sender(s, f, q);
    if (sd->cc_ops->settle != NULL && sd->state == SIDE_ACTIVE)
      sd->cc_ops->settle(&sd->cc, s->now);
    sum += sd->cc.alpha;
  }
  return sum / f->job->qps;
}

static double goodput(struct sim *s, struct flow *f)
{
  uint64_t bytes = f->bytes_delivered - min_u64(f->bytes_delivered, f->sampled_bytes);
  f->sampled_bytes = f->bytes_delivered;
  return (double)bytes * 8 * (double)PS_PER_S / (double)s->job->sample_every_ps;
}

static double pause_share(struct sim *s, uint32_t port, uint8_t prio)
{
  struct lane_events *e = &s->ports[port].ev[prio];
  uint64_t total = port_paused_ps(s, &s->ports[port], prio), part = total - e->sampled_pause_ps;
  e->sampled_pause_ps = total;
  return (double)part / (double)s->job->sample_every_ps;
}

static int64_t marked_at(const struct sim *s, uint32_t port)
{
  uint64_t sum = 0;
  for (int i = 0; i < PRIO_COUNT; i++)
    sum += s->ports[port].ev[i].ecn_marked;
  return (int64_t)sum;
}

static union series_value value_of(struct sim *s, enum series_kind kind, const struct series_column *c)
{
  switch (kind) {
  case SERIES_QUEUE:
    return (union series_value){.i = s->ports[c->object].lane[c->prio].queue_bytes};
  case SERIES_SHARED:
    return (union series_value){.i = (int64_t)(s->switches[c->object].shared_used + s->switches[c->object].leaked)};
  case SERIES_GOODPUT:
    return (union series_value){.d = goodput(s, &s->flows[c->object])};
  case SERIES_RATE:
    return (union series_value){.i = sum_rate(s, &s->flows[c->object])};
  case SERIES_ALPHA:
    return (union series_value){.d = mean_alpha(s, &s->flows[c->object])};
  case SERIES_PAUSE:
    return (union series_value){.d = pause_share(s, c->object, c->prio)};
  case SERIES_MARKED:
    return (union series_value){.i = marked_at(s, c->object)};
  case SERIES_CNP:
    return (union series_value){.i = (int64_t)s->nics[s->ports[c->object].nic].count.cnp_sent};
  case SERIES_TABLES:
    break;
  }
  return (union series_value){.i = 0};
}

void telemetry_sample(struct sim *s)
{
  struct series *r = s->series;
  int64_t now = (int64_t)s->now;
  int error = npy_row(r->time, &now);
  for (int i = 0; i < SERIES_TABLES; i++) {
    struct series_table *t = &r->tables[i];
    for (uint32_t c = 0; c < t->n; c++)
      r->row[c] = value_of(s, (enum series_kind)i, &t->columns[c]);
    if (t->n > 0 && error == 0)
      error = npy_row(t->file, r->row);
  }
  if (error != 0)
    fail(s, "a time series", error);
  else
    arm(s, s->sample_slot, s->now + s->job->sample_every_ps);
}

static bool open_series(struct sim *s)
{
  if (s->job->sample_every_ps == 0 || s->job->output_dir == NULL)
    return true;
  s->series = calloc(1, sizeof *s->series);
  if (s->series == NULL || !choose_columns(s) || !open_tables(s)) {
    if (s->output_error[0] == '\0')
      s->out_of_memory = true;
    return false;
  }
  arm(s, s->sample_slot, s->job->sample_every_ps);
  return true;
}

/* ---- traces ---- */

enum { TRACE_BUFFER = 1 << 20 };

static FILE *open_trace(struct sim *s, uint32_t bit, const char *name, const char *header)
{
  char path[4096];
  if (!(s->job->trace & bit) || s->job->output_dir == NULL)
    return NULL;
  path_in_output(s, path, sizeof path, name, ".part");
  FILE *f = fopen(path, "w");
  if (f == NULL) {
    fail(s, name, errno);
    return NULL;
  }
  setvbuf(f, NULL, _IOFBF, TRACE_BUFFER);
  fprintf(f, "%s\n", header);
  return f;
}

static void close_trace(struct sim *s, FILE **f, const char *name)
{
  char part[4096], path[4096];
  if (*f == NULL)
    return;
  bool bad = ferror(*f) != 0;
  errno = 0;
  bad |= fclose(*f) != 0;
  *f = NULL;
  path_in_output(s, part, sizeof part, name, ".part");
  path_in_output(s, path, sizeof path, name, "");
  if (bad || rename(part, path) != 0)
    fail(s, name, errno != 0 ? errno : EIO);
}

void telemetry_cc(struct sim *s, uint32_t side, enum cc_event event)
{
  static const char *const names[] = {"cnp", "dec", "inc_fr", "inc_ai", "inc_hai"};
  const struct side *sd = &s->sides[side];
  const struct job *job = s->job;
  fprintf(s->cc_trace, "%llu,%s,%s,%u,%s,%llu,%llu,%.9f\n", (unsigned long long)s->now,
          job->nodes[s->ports[s->nics[sd->nic].port].node].name, job->nodes[s->ports[sd->peer_port].node].name, sd->sport,
          names[event], (unsigned long long)sd->cc.target_bps, (unsigned long long)sd->cc.rate_bps, sd->cc.alpha);
}

static uint32_t interface_index(const struct sim *s, uint32_t port)
{
  return port - s->job->nodes[s->ports[port].node].first_port + 1;
}

void telemetry_pfc(struct sim *s, uint32_t port, const struct packet *p)
{
  const struct port *at = &s->ports[port];
  fprintf(s->pfc_trace, "%llu,%s,%d,%u,%d,%u\n", (unsigned long long)(s->now / 1000), s->job->nodes[at->node].name,
          at->is_switch, interface_index(s, port), p->psn > 0, p->prio);
}

static const char *flow_name(const struct sim *s, const struct packet *p)
{
  return p->side == NIL ? "" : s->flows[s->sides[p->side].flow].job->name;
}

void telemetry_drop(struct sim *s, uint32_t port, const struct packet *p, enum drop_reason reason)
{
  fprintf(s->drop_trace, "%llu,%s,%s,%u,%s,%llu,%s\n", (unsigned long long)s->now, s->job->nodes[s->ports[port].node].name,
          s->job->ports[port].name, p->prio, flow_name(s, p), (unsigned long long)p->psn, drop_reason_name[reason]);
}

void telemetry_mark(struct sim *s, uint32_t port, const struct packet *p, uint64_t queue_bytes)
{
  fprintf(s->mark_trace, "%llu,%s,%s,%u,%s,%llu,%llu\n", (unsigned long long)s->now, s->job->nodes[s->ports[port].node].name,
          s->job->ports[port].name, p->prio, flow_name(s, p), (unsigned long long)p->psn, (unsigned long long)queue_bytes);
}

bool telemetry_open(struct sim *s)
{
  s->cc_trace = open_trace(s, TRACE_CC, "cc_events.csv", "t_ps,src,dst,sport,event,target_bps_after,rate_bps_after,alpha");
  s->pfc_trace = open_trace(s, TRACE_PFC, "pfc_events.csv", "t_ns,node,node_type,ifindex,type_1pause_0resume,priority");
  s->drop_trace = open_trace(s, TRACE_DROP, "drop_events.csv", "t_ps,node,port,priority,flow,psn,reason");
  s->mark_trace = open_trace(s, TRACE_MARK, "mark_events.csv", "t_ps,node,port,priority,flow,psn,queue_bytes");
  return s->output_error[0] == '\0' && open_series(s);
}

static void close_series(struct sim *s)
{
  struct series *r = s->series;
  if (r == NULL)
    return;
  r->samples = r->time == NULL ? 0 : npy_rows(r->time);
  int error = r->time == NULL ? 0 : npy_close(r->time);
  for (int i = 0; i < SERIES_TABLES; i++) {
    int e = r->tables[i].file == NULL ? 0 : npy_close(r->tables[i].file);
    error = error != 0 ? error : e;
  }
  if (error != 0)
    fail(s, "a time series", error);
}

bool telemetry_close(struct sim *s)
{
  close_series(s);
  close_trace(s, &s->cc_trace, "cc_events.csv");
  close_trace(s, &s->pfc_trace, "pfc_events.csv");
  close_trace(s, &s->drop_trace, "drop_events.csv");
  close_trace(s, &s->mark_trace, "mark_events.csv");
  return s->output_error[0] == '\0';
}

void telemetry_free(struct sim *s)
{
  if (s->series == NULL)
    return;
  for (int i = 0; i < SERIES_TABLES; i++)
    free(s->series->tables[i].columns);
  free(s->series->row);
  free(s->series);
  s->series = NULL;
}
