#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST_SAMPLES = 8192 };
#define SERIES_BYTES (UINT64_C(224) << 20) /* with everything else below 300 MB */
#define SOFTWARE_SAMPLE_NS 1000000         /* each 0.1 ms it took a fifth of an emulated guest's processor */
#define START_LOOK_NS 1000000
#define LOST_NS 500000000                  /* as long as a message may be under way */
#define LIMITED_SHARE 0.05                 /* of the time */
#define LONG_ARRIVAL 20                    /* means: an exponential interval is longer once in e^20 */

/* --- threads --------------------------------------------------------------------------------------------------- */

static bool same_thread(const struct load_end *a, const struct load_end *b)
{
  if (a->spec.flow.options.thread_per_flow || b->spec.flow.options.thread_per_flow)
    return strcmp(a->spec.flow.name, b->spec.flow.name) == 0 && a->device == b->device && a->spec.port == b->spec.port;
  return a->device == b->device && a->spec.port == b->spec.port;
}

/* Processors this process may use, those of a node first (-1: any). */
static int nth_cpu(int node, uint32_t nth)
{
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
    return -1;
  uint32_t found = 0, total = (uint32_t)CPU_COUNT(&allowed);
  for (int pass = 0; pass < 2; pass++) {
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      char path[96];
      (void)snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpu%d", node, cpu);
      bool near = node >= 0 && access(path, F_OK) == 0;
      if (CPU_ISSET((size_t)cpu, &allowed) && near == (pass == 0) && found++ == nth % total)
        return cpu;
    }
  }
  return -1;
}

/* A thread that looks without waiting needs a processor of its own; one is left for everybody else. */
static void choose_polling(struct load_run *run)
{
  cpu_set_t allowed;
  uint32_t cpus = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? (uint32_t)CPU_COUNT(&allowed) : 1;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    struct load_worker *w = &run->workers[i];
    bool room = cpus > run->n_workers, events = true, asked_busy = false, asked_event = false;
    for (uint32_t k = 0; k < w->n_ends; k++) {
      const struct load_end *end = w->ends[k];
      w->yields = w->yields || end->device->caps.software || !room;
      events = events && end->cq.fd >= 0;
      asked_busy = asked_busy || end->spec.flow.options.polling == LOAD_POLL_BUSY;
      asked_event = asked_event || end->spec.flow.options.polling == LOAD_POLL_EVENT;
    }
    w->busy = !events || asked_busy || (!asked_event && !w->yields);
    w->cpu = room ? nth_cpu(w->ends[0]->device->numa_node, i) : -1;
  }
}

static struct load_worker *worker_of(struct load_run *run, struct load_end *end)
{
  for (uint32_t i = 0; i < run->n_workers; i++) {
    if (run->workers[i].ends != NULL && same_thread(run->workers[i].ends[0], end))
      return &run->workers[i];
  }
  struct load_worker *w = &run->workers[run->n_workers];
  w->ends = calloc(run->n_ends, sizeof *w->ends);
  if (w->ends == NULL)
    return NULL;
  run->n_workers++;
  if (end->spec.flow.options.thread_per_flow)
    (void)snprintf(w->name, sizeof w->name, "%.70s", end->spec.flow.name);
  else
    (void)snprintf(w->name, sizeof w->name, "%.60s/%u", end->device->name, (unsigned)end->spec.port);
  return w;
}

static bool make_workers(struct load_run *run)
{
  if (run->ends == NULL)
    return false;
  run->workers = calloc(run->n_ends, sizeof *run->workers);
  for (uint32_t i = 0; run->workers != NULL && i < run->n_ends; i++) {
    struct load_worker *w = worker_of(run, run->ends[i]);
    if (w == NULL)
      return false;
    w->ends[w->n_ends++] = run->ends[i];
    w->clock = run->clock;
    w->report = run->report;
    w->zero = load_clock_ticks(run->clock, run->plan.at_ns);
  }
  return run->workers != NULL;
}

/* Whether an end knows when its flow is complete, so that others may wait for that. */
static bool is_told(const struct load_end *end)
{
  return end->spec.source || end->spec.flow.op->told || end->spec.notify;
}

/* Which ends a source waits for: those of the flows it names, which are told when these are complete. */
static bool depend(struct load_run *run, struct load_end *end)
{
  end->n_waits = 0;
  if (!end->spec.source || end->spec.flow.n_after == 0)
    return true;
  if (end->waits_for == NULL)
    end->waits_for = calloc((size_t)run->n_ends, sizeof(struct load_end *));
  if (end->waits_for == NULL)
    return false;
  for (uint32_t a = 0; a < end->spec.flow.n_after; a++) {
    for (uint32_t i = 0; i < run->n_ends; i++) {
      struct load_end *other = run->ends[i];
      if (is_told(other) && strcmp(other->spec.flow.name, end->spec.flow.after[a]) == 0)
        end->waits_for[end->n_waits++] = other;
    }
  }
  return true;
}

/* --- making ---------------------------------------------------------------------------------------------------- */

static bool make_tables(struct load_run *run)
{
  run->announced = calloc(run->n_ends, sizeof *run->announced);
  run->lost = calloc(run->n_ends, sizeof *run->lost);
  run->samples = calloc(run->n_ends, sizeof(struct load_sample *));
  run->n_samples = calloc(run->n_ends, sizeof *run->n_samples);
  if (run->announced == NULL || run->lost == NULL || run->samples == NULL || run->n_samples == NULL)
    return false;
  for (uint32_t i = 0; i < run->n_ends; i++) {
    if (run->ends[i]->spec.source && (run->samples[i] = calloc(MOST_SAMPLES, sizeof **run->samples)) == NULL)
      return false;
    if (!depend(run, run->ends[i]))
      return false;
  }
  return make_workers(run);
}

/* The shortest interval between samples that does not disturb the load: where the processor is the device, every look
 * takes time from it. */
static uint64_t gentle_sample_ns(const struct load_run *run)
{
  uint64_t interval = run->plan.sample_ns;
  for (uint32_t i = 0; i < run->n_ends; i++) {
    if (run->ends[i]->device->caps.software && interval < SOFTWARE_SAMPLE_NS)
      interval = SOFTWARE_SAMPLE_NS;
  }
  return interval;
}

static bool start_threads(struct load_run *run, struct load_error *e)
{
  choose_polling(run);
  for (uint32_t i = 0; i < run->n_ends; i++) {
    run->ends[i]->report = run->report;
    load_end_begin(run->ends[i], load_clock_ticks(run->clock, run->plan.at_ns));
  }
  if (run->plan.sample_ns != 0) {
    run->sampler = load_sampler_start(run->ends, run->n_ends, gentle_sample_ns(run), SERIES_BYTES, e);
    if (run->sampler == NULL)
      return false;
  }
  for (uint32_t i = 0; i < run->n_workers; i++) {
    if (!load_worker_start(&run->workers[i], e))
      return false;
  }
  return true;
}

static double process_cpu_s(void)
{
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

struct load_run *load_run_new(struct load_end **ends, uint32_t n, const struct load_plan *plan,
                              const struct load_clock *clock, struct load_error *e)
{
  struct load_run *run = calloc(1, sizeof *run);
  if (run == NULL) {
    (void)load_fail(e, LOAD_NO_RESOURCES, "memory is short for a run");
    return NULL;
  }
  run->plan = *plan;
  run->clock = clock;
  run->n_ends = n;
  run->why = "done";
  run->cut_at = UINT64_MAX;
  run->stop_at = plan->duration_ns == UINT64_MAX ? UINT64_MAX : plan->at_ns + plan->duration_ns;
  run->progress_at = load_mono_ns() + plan->progress_ns;
  run->report = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  run->ends = calloc(n, sizeof(struct load_end *));
  bool good = run->report >= 0 && run->ends != NULL;
  if (good)
    memcpy(run->ends, ends, n * sizeof(struct load_end *));
  if (!good || !make_tables(run)) {
    (void)load_fail(e, LOAD_NO_RESOURCES, "memory is short for a run of %" PRIu32 " ends", n);
    load_run_free(run);
    return NULL;
  }
  run->cpu_s = process_cpu_s();
  if (!start_threads(run, e)) {
    load_run_free(run);
    return NULL;
  }
  return run;
}

/* --- going on -------------------------------------------------------------------------------------------------- */

static void wake_all(struct load_run *run)
{
  for (uint32_t i = 0; i < run->n_workers; i++) {
    if (run->workers[i].running)
      load_worker_wake(&run->workers[i]);
  }
}

static void cut(struct load_run *run, int how)
{
  for (uint32_t i = 0; i < run->n_workers; i++) {
    int none = 0;
    (void)atomic_compare_exchange_strong(&run->workers[i].cut, &none, how);
  }
  wake_all(run);
}

void load_run_stop(struct load_run *run, uint64_t drain_ns, const char *why)
{
  if (run->cut_at == UINT64_MAX)
    run->why = why;
  run->stop_at = UINT64_MAX;
  run->cut_at = load_mono_ns() + drain_ns;
  for (uint32_t i = 0; i < run->n_ends; i++)
    load_end_stop(run->ends[i]);
  wake_all(run);
}

static void take_sample(struct load_run *run, uint32_t i, uint64_t now)
{
  if (run->samples[i] == NULL)
    return;
  if (run->n_samples[i] == MOST_SAMPLES) {
    for (uint32_t k = 0; k < MOST_SAMPLES / 2; k++)
      run->samples[i][k] = run->samples[i][2 * k + 1];
    run->n_samples[i] = MOST_SAMPLES / 2;
  }
  run->samples[i][run->n_samples[i]++] = (struct load_sample){now, load_end_bytes(run->ends[i])};
}

/* Messages complete at all ends; the watchdog wants it to grow while there are sources. */
static uint64_t count_all(const struct load_run *run, bool *under_way, bool *sources)
{
  uint64_t sum = 0;
  *under_way = *sources = false;
  for (uint32_t i = 0; i < run->n_ends; i++) {
    sum += load_end_messages(run->ends[i]);
    if (atomic_load_explicit(&run->ends[i]->gone, memory_order_acquire))
      continue;
    *under_way = true;
    *sources = *sources || run->ends[i]->spec.source;
  }
  return sum;
}

static bool is_gone(const struct load_end *end)
{
  return atomic_load_explicit(&end->gone, memory_order_acquire);
}

static bool waits_for(const struct load_end *end, const struct load_end *other)
{
  for (uint32_t i = 0; end->spec.source && is_told(other) && i < end->spec.flow.n_after; i++) {
    if (strcmp(end->spec.flow.after[i], other->spec.flow.name) == 0)
      return true;
  }
  return false;
}

/* The index of the source of a flow, n_ends when it is on another host. */
static uint32_t source_of(const struct load_run *run, const struct load_end *target)
{
  uint32_t i = 0;
  while (i < run->n_ends &&
         !(run->ends[i]->spec.source && strcmp(run->ends[i]->spec.flow.name, target->spec.flow.name) == 0))
    i++;
  return i;
}

/* How long nothing may complete at a source although all is well, in ns. */
static double longest_pause(const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  double gap = 0;
  if (flow->rate_bps != 0) /* of the software or of the device */
    gap = (double)load_wire_bits(flow, flow->message_bytes, end->mtu, end->gid.family) * 1e9 / (double)flow->rate_bps;
  double interval = (double)flow->interval_ns * (flow->poisson ? LONG_ARRIVAL : 1);
  /* a thread that wakes late may miss a short burst */
  double bursts = 2 * ((double)flow->options.burst_on_ns + (double)flow->options.burst_off_ns);
  return 2 * gap + 2 * interval + bursts + (double)flow->options.start_jitter_ns + (double)flow->after_delay_ns +
         (double)flow->recv_repost_ns;
}

/* Whether it waits for a flow whose source is on another host, which tells nothing of its progress. */
static bool waits_for_others(const struct load_run *run, const struct load_end *end)
{
  for (uint32_t i = 0; i < run->n_ends; i++) {
    const struct load_end *other = run->ends[i];
    if (waits_for(end, other) && !is_gone(other) && source_of(run, other) == run->n_ends)
      return true;
  }
  return false;
}

/* Until when silence is no sign of a fault, in ns of CLOCK_MONOTONIC. */
static double silent_until(const struct load_run *run)
{
  double until = (double)run->heard_at;
  for (uint32_t i = 0; i < run->n_ends; i++) {
    const struct load_end *end = run->ends[i];
    if (!end->spec.source || is_gone(end))
      continue;
    if (waits_for_others(run, end))
      return INFINITY;
    double start = (double)run->plan.at_ns + (double)end->spec.flow.start_ns;
    start = start > (double)run->heard_at ? start : (double)run->heard_at;
    until = start + longest_pause(end) > until ? start + longest_pause(end) : until;
  }
  return until + (double)run->plan.watchdog_ns;
}

/* Whether nothing comes to end `i` any more: a target whose source is here and over; a source that waits for what ended
 * without being complete; or one of those that need them. */
static bool is_lost(const struct load_run *run, uint32_t i)
{
  const struct load_end *end = run->ends[i];
  for (uint32_t k = 0; k < run->n_ends; k++) {
    const struct load_end *other = run->ends[k];
    bool incomplete = is_gone(other) && !atomic_load_explicit(&other->satisfied, memory_order_acquire);
    if (waits_for(end, other) && (incomplete || run->lost[k]))
      return true;
  }
  uint32_t k = end->spec.source ? run->n_ends : source_of(run, end);
  if (k == run->n_ends)
    return false;
  return run->lost[k] || is_gone(run->ends[k]); /* of a reliable flow, too: some device may have lost what it acknowledged */
}

/* Whether all ends that are not over never will be: nobody else will tell them. */
static bool all_lost(const struct load_run *run)
{
  bool more = true, all = true;
  memset(run->lost, 0, run->n_ends * sizeof *run->lost);
  while (more) {
    more = false;
    all = true;
    for (uint32_t i = 0; i < run->n_ends; i++) {
      if (is_gone(run->ends[i]) || run->lost[i])
        continue;
      run->lost[i] = is_lost(run, i);
      more = more || run->lost[i];
      all = all && run->lost[i];
    }
  }
  return all;
}

static void watch(struct load_run *run, uint64_t now)
{
  bool under_way, sources;
  uint64_t count = count_all(run, &under_way, &sources);
  if (count != run->heard_count || run->heard_at == 0 || now < run->plan.at_ns || !under_way) {
    run->heard_count = count;
    run->heard_at = now > run->plan.at_ns ? now : run->plan.at_ns;
    return;
  }
  if (now - run->heard_at > LOST_NS && all_lost(run)) {
    cut(run, LOAD_CUT);
    return;
  }
  if (!sources || run->plan.watchdog_ns == 0 || (double)now < silent_until(run))
    return;
  run->why = "no_progress";
  (void)snprintf(run->note, sizeof run->note, "no completion for %.1f s", (double)(now - run->heard_at) * 1e-9);
  cut(run, LOAD_NO_PROGRESS);
}

static void hear_devices(struct load_run *run)
{
  for (uint32_t i = 0; i < run->n_ends; i++) {
    struct load_device *device = run->ends[i]->device;
    char text[96];
    bool fatal = false;
    while (device->ops->async_event(device, text, sizeof text, &fatal)) {
      (void)snprintf(run->note, sizeof run->note, "%.60s: %.90s", device->name, text);
      if (fatal) {
        run->why = "device_gone";
        cut(run, LOAD_DEVICE_GONE);
      }
    }
  }
}

static bool workers_over(const struct load_run *run)
{
  for (uint32_t i = 0; i < run->n_workers; i++) {
    if (!atomic_load_explicit(&run->workers[i].over, memory_order_acquire))
      return false;
  }
  return true;
}

static void finish(struct load_run *run)
{
  for (uint32_t i = 0; i < run->n_workers; i++)
    load_worker_join(&run->workers[i]);
  run->cpu_s = process_cpu_s() - run->cpu_s;
  run->wall_s = (double)(load_mono_ns() - run->plan.at_ns) * 1e-9;
  load_sampler_stop(run->sampler);
  struct load_error e = {.kind = LOAD_INTERNAL};
  bool written = run->sampler == NULL || run->plan.series == NULL ||
                 load_sampler_write(run->sampler, run->plan.series, &e);
  if (!written)
    (void)snprintf(run->series_error, sizeof run->series_error, "%.150s", e.message);
  run->over = true;
}

static void check_clock(struct load_run *run, uint64_t now)
{
  if (now >= run->stop_at)
    load_run_stop(run, run->plan.drain_ns, run->plan.until_done ? "limit" : "duration");
  if (now >= run->cut_at) {
    cut(run, LOAD_CUT);
    run->cut_at = UINT64_MAX - 1; /* once */
  }
}

/* When the last of the threads began; 0 while one has not. */
static uint64_t last_start(const struct load_run *run)
{
  uint64_t last = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) {
    uint64_t began = atomic_load_explicit(&run->workers[i].began_ns, memory_order_acquire);
    if (began == 0)
      return 0;
    last = began > last ? began : last;
  }
  return last;
}

static void announce(struct load_run *run, load_tell_fn *tell, void *arg, uint64_t now)
{
  uint64_t began = run->announced_start || now < run->plan.at_ns ? 0 : last_start(run);
  if (began != 0) {
    run->announced_start = true;
    run->started_ns = began;
    tell(arg, run, "started", 0, began);
  }
  bool any = false;
  for (uint32_t i = 0; i < run->n_ends && run->announced_start; i++) {
    if (run->announced[i] || !atomic_load_explicit(&run->ends[i]->gone, memory_order_acquire))
      continue;
    run->announced[i] = any = true;
    take_sample(run, i, now);
    tell(arg, run, "end", i, now);
  }
  if (any)
    wake_all(run); /* flows in other threads may have waited for these */
  if (now >= run->progress_at) {
    run->progress_at = now + run->plan.progress_ns;
    for (uint32_t i = 0; i < run->n_ends && run->announced_start; i++) {
      if (!run->announced[i])
        take_sample(run, i, now);
    }
    tell(arg, run, "progress", 0, now);
  }
}

uint64_t load_run_step(struct load_run *run, load_tell_fn *tell, void *arg)
{
  uint64_t count;
  (void)!read(run->report, &count, sizeof count);
  uint64_t now = load_mono_ns();
  check_clock(run, now);
  hear_devices(run);
  watch(run, now);
  bool over = workers_over(run);
  announce(run, tell, arg, now);
  if (over && run->announced_start && !run->over) {
    finish(run);
    tell(arg, run, "finished", 0, now);
    return 0;
  }
  now = load_mono_ns();
  uint64_t next = run->progress_at;
  next = run->stop_at < next ? run->stop_at : next;
  next = run->cut_at < next ? run->cut_at : next;
  if (!run->announced_start) /* a thread that begins late is looked for again */
    next = run->plan.at_ns > now ? (run->plan.at_ns < next ? run->plan.at_ns : next) : now + START_LOOK_NS;
  return next > now ? next - now : 0;
}

void load_run_free(struct load_run *run)
{
  if (run == NULL)
    return;
  cut(run, LOAD_CUT);
  for (uint32_t i = 0; i < run->n_workers; i++)
    load_worker_join(&run->workers[i]);
  load_sampler_free(run->sampler);
  for (uint32_t i = 0; i < run->n_ends; i++) {
    if (run->samples != NULL)
      free(run->samples[i]);
    if (run->ends != NULL && run->ends[i] != NULL)
      run->ends[i]->report = -1;
  }
  for (uint32_t i = 0; run->workers != NULL && i < run->n_workers; i++)
    free(run->workers[i].ends);
  free(run->workers);
  free(run->ends);
  free(run->announced);
  free(run->lost);
  free(run->samples);
  free(run->n_samples);
  if (run->report >= 0)
    (void)close(run->report);
  free(run);
}

/* --- the host as the bottleneck -------------------------------------------------------------------------------- */

bool load_worker_limited(const struct load_worker *w, char *why, size_t size)
{
  double wall = (double)w->wall_ns;
  if (w->wall_ns == 0)
    return false;
  for (uint32_t i = 0; i < w->n_ends; i++) {
    const struct load_end *end = w->ends[i];
    if (end->device->caps.software)
      return false; /* the processor is the device: it has no rate of its own that the host could miss */
    double dry = end->limited_ticks / end->clock->ticks_per_ns;
    double span = end->start != 0 && end->finish > end->start
                      ? (double)(end->finish - end->start) / end->clock->ticks_per_ns : wall;
    if (dry > LIMITED_SHARE * span) {
      (void)snprintf(why, size, "flow %.60s: the device waited for messages %.0f %% of the time", end->spec.flow.name,
                     100 * dry / span);
      return true;
    }
  }
  if (w->knows_wait && (double)w->wait_ns > LIMITED_SHARE * wall) {
    (void)snprintf(why, size, "thread %.60s was ready and had no processor %.0f %% of the time", w->name,
                   100 * (double)w->wait_ns / wall);
    return true;
  }
  return false;
}
