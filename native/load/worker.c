#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  IDLE_LOOKS = 64,         /* looks in vain before a worker that may wait does so */
  LONGEST_WAIT_MS = 100,
};
#define SPIN_NS 20000 /* a wait below this is spent looking */

void load_worker_wake(const struct load_worker *w)
{
  uint64_t one = 1;
  (void)!write(w->wake, &one, sizeof one);
}

static void drain_file(int file)
{
  uint64_t count;
  (void)!read(file, &count, sizeof count);
}

/* Time on a processor and time in its queue, of this thread (Linux: Documentation/scheduler/sched-stats). */
static bool schedule_times(uint64_t *on, uint64_t *queued)
{
  char path[64], text[96] = "";
  (void)snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", (long)syscall(SYS_gettid));
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = file >= 0 ? read(file, text, sizeof text - 1) : -1;
  if (file >= 0)
    (void)close(file);
  char *rest = NULL;
  *on = n > 0 ? strtoull(text, &rest, 10) : 0;
  *queued = rest != NULL ? strtoull(rest, NULL, 10) : 0;
  return n > 0 && (*on > 0 || *queued > 0);
}

static uint64_t thread_cpu_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void pin(const struct load_worker *w)
{
  if (w->cpu < 0)
    return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)w->cpu, &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set); /* a wish: the load goes on without it */
}

/* Looks at all ends once. Returns whether one did something; `*due` is when the next one wants to. */
static bool look(struct load_worker *w, uint64_t *due, bool *all_ended)
{
  bool busy = false;
  *due = LOAD_NEVER;
  *all_ended = true;
  for (uint32_t i = 0; i < w->n_ends; i++) {
    struct load_end *end = w->ends[i];
    if (end->ended)
      continue;
    busy = end->ops->spin(end) || busy;
    if (atomic_load_explicit(&end->stopping, memory_order_relaxed))
      end->ops->settle(end);
    uint64_t next = end->ended ? LOAD_NEVER : end->ops->pump(end, load_ticks(), &busy);
    *due = next < *due ? next : *due;
    if (!end->ended)
      *all_ended = false;
    else
      busy = true;
  }
  return busy;
}

static bool is_spinning(const struct load_worker *w)
{
  for (uint32_t i = 0; i < w->n_ends; i++) {
    const struct load_end *end = w->ends[i];
    if (!end->ended && end->spec.flow.ping_pong && (end->started || !end->spec.source))
      return true;
  }
  return false;
}

/* Arms every queue, looks once more, then sleeps until one of them, a wake-up, or `due`. */
static void wait_for_work(struct load_worker *w, struct pollfd *files, uint64_t due)
{
  nfds_t n = 0;
  files[n++] = (struct pollfd){.fd = w->wake, .events = POLLIN};
  for (uint32_t i = 0; i < w->n_ends; i++) {
    struct load_end *end = w->ends[i];
    if (end->ended || end->cq.fd < 0)
      continue;
    (void)end->device->ops->arm(&end->cq);
    files[n++] = (struct pollfd){.fd = end->cq.fd, .events = POLLIN};
  }
  for (uint32_t i = 0; i < w->n_ends; i++) {
    if (!w->ends[i]->ended && load_end_poll(w->ends[i]))
      return;
  }
  uint64_t now = load_ticks();
  if (due <= now)
    return;
  double left = due == LOAD_NEVER ? LONGEST_WAIT_MS * 1e6 : load_clock_span_ns(w->clock, due - now);
  if (left > LONGEST_WAIT_MS * 1e6)
    left = LONGEST_WAIT_MS * 1e6;
  if (left < SPIN_NS)
    return;
  struct timespec t = {.tv_sec = 0, .tv_nsec = (long)left};
  w->wakeups++;
  if (ppoll(files, n, &t, NULL) <= 0)
    return;
  nfds_t at = 0;
  if (files[at++].revents != 0)
    drain_file(w->wake);
  for (uint32_t i = 0; i < w->n_ends && at < n; i++) {
    struct load_end *end = w->ends[i];
    if (end->cq.fd != files[at].fd)
      continue;
    if (files[at++].revents != 0) {
      end->device->ops->acknowledge(&end->cq);
      end->wakeups++;
    }
  }
}

/* The last millisecond before the agreed instant is spent looking at the clock. */
static void wait_for_start(const struct load_worker *w)
{
  for (;;) {
    uint64_t now = load_ticks();
    if (now >= w->zero || atomic_load_explicit(&w->cut, memory_order_relaxed))
      return;
    double left = load_clock_span_ns(w->clock, w->zero - now);
    if (left > 1.5e6) {
      struct timespec t = {.tv_sec = 0, .tv_nsec = left - 1e6 > 50e6 ? 50000000L : (long)(left - 1e6)};
      (void)nanosleep(&t, NULL);
    }
  }
}

static void relax(const struct load_worker *w)
{
  if (w->yields)
    (void)sched_yield();
#if defined(__x86_64__)
  else
    __builtin_ia32_pause();
#endif
}

static void cut_ends(struct load_worker *w, int cut)
{
  for (uint32_t i = 0; i < w->n_ends; i++) {
    struct load_end *end = w->ends[i];
    (void)load_end_poll(end); /* what is complete is counted */
    if (cut != LOAD_CUT && end->started)
      load_end_give_up(end, cut);
    else
      load_end_cut(end);
  }
}

static void move(struct load_worker *w, struct pollfd *files)
{
  unsigned vain = 0;
  for (bool all_ended = false; !all_ended;) {
    int cut = atomic_load_explicit(&w->cut, memory_order_relaxed);
    if (cut != 0) {
      cut_ends(w, cut);
      return;
    }
    uint64_t due;
    bool busy = look(w, &due, &all_ended);
    w->loops++;
    if (busy) {
      vain = 0;
      continue;
    }
    if (w->busy || is_spinning(w)) {
      relax(w);
    } else if (++vain >= (w->yields ? 2 : IDLE_LOOKS)) {
      wait_for_work(w, files, due);
      vain = 0;
    }
  }
}

static void *work(void *arg)
{
  struct load_worker *w = arg;
  struct pollfd *files = calloc(w->n_ends + 1, sizeof *files);
  pin(w);
  wait_for_start(w);
  atomic_store_explicit(&w->began_ns, load_mono_ns(), memory_order_release);
  uint64_t on = 0, queued = 0, on_after = 0, queued_after = 0;
  uint64_t cpu = thread_cpu_ns(), wall = load_mono_ns();
  w->knows_wait = schedule_times(&on, &queued);
  if (files != NULL)
    move(w, files);
  else
    cut_ends(w, -ENOMEM);
  w->cpu_ns = thread_cpu_ns() - cpu;
  w->wall_ns = load_mono_ns() - wall;
  w->knows_wait = schedule_times(&on_after, &queued_after) && w->knows_wait;
  w->wait_ns = queued_after - queued;
  free(files);
  atomic_store_explicit(&w->over, true, memory_order_release);
  uint64_t one = 1;
  (void)!write(w->report, &one, sizeof one);
  return NULL;
}

bool load_worker_start(struct load_worker *w, struct load_error *e)
{
  w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (w->wake < 0)
    return load_fail_os(e, errno, "a file for thread %.40s", w->name);
  int error = pthread_create(&w->thread, NULL, work, w);
  if (error != 0) {
    (void)close(w->wake);
    return load_fail_os(e, error, "thread %.40s", w->name);
  }
  w->running = true;
  return true;
}

void load_worker_join(struct load_worker *w)
{
  if (!w->running)
    return;
  (void)pthread_join(w->thread, NULL);
  (void)close(w->wake);
  w->running = false;
}
