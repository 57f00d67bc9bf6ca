/* One run of some ends: threads, clock, progress, watchdog. Used from the main thread, which waits on `report`. */
#ifndef ROCE_LOAD_RUN_H
#define ROCE_LOAD_RUN_H

#include "end.h"
#include "sampler.h"
#include "worker.h"

struct load_plan {
  uint64_t at_ns;       /* CLOCK_MONOTONIC */
  uint64_t duration_ns; /* UINT64_MAX: no limit */
  bool until_done;
  uint64_t progress_ns, drain_ns;
  uint64_t sample_ns;    /* 0: no series */
  const char *series;    /* folder, NULL: none is written */
  uint64_t watchdog_ns;  /* without any completion while work is under way */
};

struct load_sample {
  uint64_t mono_ns, bytes;
};

struct load_run {
  struct load_plan plan;
  struct load_end **ends;
  uint32_t n_ends;
  struct load_worker *workers;
  uint32_t n_workers;
  struct load_sampler *sampler;
  const struct load_clock *clock;
  int report; /* eventfd, readable when an end or a worker is over */
  bool announced_start;
  bool *announced; /* by end */
  bool *lost;      /* the same: nothing comes to it any more, though it is not over */
  struct load_sample **samples; /* by end, sources alone */
  uint32_t *n_samples;
  uint64_t started_ns, stop_at, cut_at, progress_at, heard_at, heard_count;
  const char *why; /* "done", "duration", "limit", "stopped" … */
  char note[160];  /* what devices said, and the watchdog */
  char series_error[160];
  bool over;
  double cpu_s, wall_s;
};

/* Makes the threads; the ends must outlive the run. */
struct load_run *load_run_new(struct load_end **ends, uint32_t n, const struct load_plan *plan,
                              const struct load_clock *clock, struct load_error *e);
/* Does what is due. Calls `tell` for each event: "started", "end" (index), "progress", "finished". Returns ns until it
 * wants to be called again at the latest. */
typedef void load_tell_fn(void *arg, struct load_run *run, const char *event, uint32_t index, uint64_t now_ns);
uint64_t load_run_step(struct load_run *run, load_tell_fn *tell, void *arg);
void load_run_stop(struct load_run *run, uint64_t drain_ns, const char *why);
/* Ends the threads at once, running or not, and frees it. */
void load_run_free(struct load_run *run);

/* Whether a thread could not keep the device busy: the host was the bottleneck. `why` of `size` bytes says it. */
bool load_worker_limited(const struct load_worker *w, char *why, size_t size);

#endif
