/* `roce-load pause`: from arguments to a result. Not one of the verbs: it needs no RDMA device. */
#include "pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/jsonw.h"

enum exit_code { EXIT_GOOD = 0, EXIT_RUN_FAILED = 1, EXIT_BAD_ARGUMENTS = 2 };

enum { PROBLEM_BYTES = 512 };

/* The same variable as the rest of the harness: harness/core/site.py. */
#define MAY_DISTURB "ROCE_I_OWN_THIS_FABRIC"

static int refuse(const char *problem)
{
  fprintf(stderr, "roce-load pause: %s\n", problem);
  return EXIT_BAD_ARGUMENTS;
}

static bool is_owned(const struct pause_options *o)
{
  const char *said = getenv(MAY_DISTURB); // NOLINT(concurrency-mt-unsafe): nothing sets the environment here
  return o->owned || (said != NULL && strcmp(said, "1") == 0);
}

/* --- the result -------------------------------------------------------------------------------------------------- */

static void write_plan(struct jsonw *w, const struct pause_options *o, const struct pause_plan *p, uint64_t rate_bps)
{
  jsonw_member_array(w, "kinds");
  for (unsigned i = 0; i < o->n_kinds; i++) {
    jsonw_string(w, pause_kind_name(o->kinds[i]));
  }
  jsonw_end_array(w);
  jsonw_member_array(w, "priorities");
  for (unsigned i = 0; i < o->n_priorities; i++) {
    jsonw_u64(w, o->order[i]);
  }
  jsonw_end_array(w);
  jsonw_member_array(w, "quanta");
  for (unsigned i = 0; i < o->n_priorities; i++) {
    jsonw_u64(w, o->quanta[o->order[i]]);
  }
  if (o->n_priorities == 0) {
    jsonw_u64(w, o->quanta[0]);
  }
  jsonw_end_array(w);
  jsonw_member_u64(w, "rate_bps", rate_bps);
  jsonw_member_u64(w, "quanta_ns", p->quanta_ns);
  jsonw_member_u64(w, "interval_ns", p->interval_ns);
}

static void member_known(struct jsonw *w, const char *key, uint64_t value, bool known)
{
  if (known) {
    jsonw_member_u64(w, key, value);
  } else {
    jsonw_member_null(w, key);
  }
}

static void write_certificate(struct jsonw *w, const struct pause_run *r)
{
  const struct pause_certificate *c = &r->certificate;
  bool any = c->frames > 0;
  member_known(w, "largest_gap_ns", c->largest_gap_ns, c->largest_gap_at_ns > 0);
  member_known(w, "largest_gap_at_ns", c->largest_gap_at_ns, c->largest_gap_at_ns > 0);
  jsonw_member_u64(w, "gaps_over_quanta", c->gaps_over_quanta);
  if (r->plan->holds) {
    jsonw_member_bool(w, "gapless", any && c->gaps_over_quanta == 0 && r->error[0] == '\0');
  } else {
    jsonw_member_null(w, "gapless");
  }
  member_known(w, "first_mono_ns", c->first_ns, any);
  member_known(w, "last_mono_ns", c->last_ns, any);
  member_known(w, "start_late_ns", r->start_late_ns, any);
  jsonw_member_u64(w, "missed", r->missed);
  jsonw_member_u64(w, "late", r->late);
  member_known(w, "latest_ns", r->latest_ns, any);
}

/* What the kernel counted for the interface. */
struct tx_counters {
  bool known;
  uint64_t errors, dropped;
};

static struct tx_counters read_counters(const struct pause_device *d)
{
  struct tx_counters c = {.known = false};
  c.known = pause_device_counters(d, &c.errors, &c.dropped);
  return c;
}

/* What they grew by meanwhile, whoever sent; null when the interface is gone. */
static void write_counters(struct jsonw *w, struct tx_counters before, struct tx_counters after)
{
  bool known = before.known && after.known && after.errors >= before.errors && after.dropped >= before.dropped;
  member_known(w, "tx_errors", after.errors - before.errors, known);
  member_known(w, "tx_dropped", after.dropped - before.dropped, known);
}

/* Returns the exit status. */
static int write_result(const struct pause_run *r, uint64_t rate_bps, struct tx_counters before)
{
  struct jsonw w;
  struct tx_counters after = read_counters(r->device);
  jsonw_init(&w, stdout);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "op", "pause");
  jsonw_member_string(&w, "interface", r->device->name);
  write_plan(&w, r->options, r->plan, rate_bps);
  member_known(&w, "asked_ns", r->asked_ns, r->asked_ns > 0);
  jsonw_member_u64(&w, "frames", r->certificate.frames);
  jsonw_member_u64(&w, "frames_failed", r->frames_failed);
  jsonw_member_u64(&w, "retries", r->retries);
  write_certificate(&w, r);
  jsonw_member_bool(&w, "xon_sent", r->xon_ns > 0);
  member_known(&w, "xon_mono_ns", r->xon_ns, r->xon_ns > 0);
  write_counters(&w, before, after);
  jsonw_member_string(&w, "scheduler", r->real_time ? "fifo" : "other");
  jsonw_member_bool(&w, "stopped", r->stopped);
  jsonw_member_string(&w, "error", r->error[0] == '\0' ? NULL : r->error);
  jsonw_end_object(&w);
  int status = jsonw_finish(&w);
  if (status != 0) {
    fprintf(stderr, "roce-load pause: cannot write the result: %s\n", strerror(status));
  }
  return status == 0 && r->error[0] == '\0' ? EXIT_GOOD : EXIT_RUN_FAILED;
}

/* --- what does not send ------------------------------------------------------------------------------------------ */

static void write_frames(struct jsonw *w, const char *key, const uint8_t (*frames)[PAUSE_FRAME_BYTES], unsigned n)
{
  static const char hex[] = "0123456789abcdef";
  jsonw_member_array(w, key);
  for (unsigned i = 0; i < n; i++) {
    char text[2 * PAUSE_FRAME_BYTES];
    for (unsigned j = 0; j < PAUSE_FRAME_BYTES; j++) {
      text[2 * j] = hex[frames[i][j] >> 4];
      text[2 * j + 1] = hex[frames[i][j] & 0xF];
    }
    jsonw_string_n(w, text, sizeof text);
  }
  jsonw_end_array(w);
}

static int dry_run(const struct pause_options *o, const struct pause_plan *p, uint64_t rate_bps)
{
  struct jsonw w;
  jsonw_init(&w, stdout);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "op", "pause");
  jsonw_member_bool(&w, "dry_run", true);
  jsonw_member_string(&w, "interface", o->interface);
  write_plan(&w, o, p, rate_bps);
  write_frames(&w, "bytes", p->frames, p->n_frames);
  write_frames(&w, "ends", p->ends, o->xon_at_end ? p->n_ends : 0);
  jsonw_end_object(&w);
  return jsonw_finish(&w) == 0 ? EXIT_GOOD : EXIT_RUN_FAILED;
}

static int probe(const struct pause_device *d)
{
  char problem[PROBLEM_BYTES] = "";
  int fd = pause_device_open(d, problem, sizeof problem);
  struct jsonw w;
  if (fd >= 0) {
    close(fd);
  }
  jsonw_init(&w, stdout);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "op", "pause");
  jsonw_member_bool(&w, "probe", true);
  jsonw_member_string(&w, "interface", d->name);
  member_known(&w, "link_bps", d->link_bps, d->link_bps > 0);
  jsonw_member_string(&w, "error", fd >= 0 ? NULL : problem);
  jsonw_end_object(&w);
  return jsonw_finish(&w) == 0 && fd >= 0 ? EXIT_GOOD : EXIT_RUN_FAILED;
}

/* --- a run ------------------------------------------------------------------------------------------------------- */

static int run(const struct pause_options *o, const struct pause_plan *p, const struct pause_device *d,
               uint64_t rate_bps)
{
  struct pause_run r = {.options = o, .plan = p, .device = d};
  struct tx_counters before = read_counters(d);
  r.socket = pause_device_open(d, r.error, sizeof r.error);
  if (r.socket >= 0) {
    pause_send(&r);
    close(r.socket);
  }
  return write_result(&r, rate_bps, before);
}

static uint64_t rate_of(const struct pause_options *o, const struct pause_device *d)
{
  if (o->rate_bps > 0) {
    return o->rate_bps;
  }
  return d->link_bps > 0 ? d->link_bps : o->rate_if_unknown_bps;
}

int pause_main(int argc, char **argv)
{
  char problem[PROBLEM_BYTES] = "";
  struct pause_options o;
  struct pause_device d = {.index = 0};
  struct pause_plan p;
  if (!pause_options_read(&o, argc, argv, problem, sizeof problem)) {
    return refuse(problem);
  }
  if (o.help) {
    return fputs(pause_usage(), stdout) >= 0 ? EXIT_GOOD : EXIT_RUN_FAILED;
  }
  if (!o.dry_run && !o.probe && !is_owned(&o)) {
    return refuse("this stops traffic of everybody on the fabric: say --i-own-this-fabric when nobody else uses it");
  }
  bool needs_device = !o.dry_run || !o.has_source || o.rate_bps == 0;
  if (needs_device && !pause_device_look(&d, o.interface, problem, sizeof problem)) {
    return refuse(problem);
  }
  if (o.probe) {
    return probe(&d);
  }
  uint64_t rate_bps = rate_of(&o, &d);
  if (rate_bps == 0) {
    snprintf(problem, sizeof problem, "--rate: %s does not say how fast it is; say --rate, such as 100G", d.name);
    return refuse(problem);
  }
  pause_plan_make(&p, &o, o.has_source ? o.source : d.mac, rate_bps);
  return o.dry_run ? dry_run(&o, &p, rate_bps) : run(&o, &p, &d, rate_bps);
}
