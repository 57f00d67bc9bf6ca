/* Frames at absolute instants: sleep until shortly before, spin the rest, look for reasons to stop in between. */
#include "pause.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define LOOK_NS UINT64_C(1000000)        /* between two looks for signals while there is no time to sleep */
#define PROGRESS_NS UINT64_C(1000000000) /* between two lines of progress */
#define STALL_NS UINT64_C(1000000000)    /* a device that takes no frame for so long will not */
#define RETRY_NS UINT64_C(10000)         /* between two tries at a full device */
#define MARGIN_NS UINT64_C(50000)        /* awake so long before a frame is due: more than waking up takes */
#define MARGIN_RT_NS UINT64_C(20000)     /* the same with a real-time priority */
#define LEAST_RT_NS UINT64_C(10000)      /* shorter intervals leave no time to sleep: they must not be real-time */
#define FOR_EVER UINT64_MAX

enum { RT_PRIORITY = 50, MOST_FDS = 2, MOST_DIGITS = 19 };

/* What the loop needs besides the run itself. */
struct loop {
  struct pause_run *run;
  struct pollfd fds[MOST_FDS];
  nfds_t n_fds;
  int latency; /* /dev/cpu_dma_latency, held open: no deep sleep of processors */
  uint64_t margin_ns;
  uint64_t looked_ns, told_ns, out_ns;
  uint64_t start_ns, end_ns;
};

/* --- before and after -------------------------------------------------------------------------------------------- */

/* A real-time priority must leave somebody else a processor. */
static bool become_real_time(uint64_t interval_ns)
{
  cpu_set_t mine;
  struct sched_param priority = {.sched_priority = RT_PRIORITY};
  bool spare = sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) > 1;
  return spare && interval_ns >= LEAST_RT_NS && sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}

static int forbid_deep_sleep(void)
{
  int32_t most_us = 0;
  int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, &most_us, sizeof most_us) != (ssize_t)sizeof most_us) {
    close(fd);
    return -1;
  }
  return fd;
}

/* Signals are read, not caught: none is lost between a look and a sleep. */
static bool listen_to_signals(struct loop *l)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  l->fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
  l->n_fds = 1;
  sigaddset(&set, SIGPIPE);
  return fd >= 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0;
}

static bool loop_open(struct loop *l, struct pause_run *r)
{
  *l = (struct loop){.run = r, .latency = -1};
  if (!listen_to_signals(l)) {
    snprintf(r->error, sizeof r->error, "cannot wait for signals: %s", strerror(errno));
    return false;
  }
  if (r->options->until_stdin_closes) {
    l->fds[l->n_fds++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
  }
  l->latency = forbid_deep_sleep();
  (void)mlockall(MCL_CURRENT | MCL_FUTURE);
  (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  r->real_time = become_real_time(r->plan->interval_ns);
  uint64_t most = r->real_time ? MARGIN_RT_NS : MARGIN_NS;
  l->margin_ns = r->plan->interval_ns / 2 < most ? r->plan->interval_ns / 2 : most;
  return true;
}

static void loop_close(struct loop *l)
{
  if (l->fds[0].fd >= 0) {
    close(l->fds[0].fd);
  }
  if (l->latency >= 0) {
    close(l->latency);
  }
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

/* Whether standard input has ended; what it says is of no interest. */
static bool input_ended(void)
{
  char waste[256];
  ssize_t n = read(STDIN_FILENO, waste, sizeof waste);
  return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

/* Sleeps for at most so long; true when there is a reason to stop. */
static bool look(struct loop *l, uint64_t ns)
{
  struct timespec timeout = {.tv_sec = (time_t)(ns / UINT64_C(1000000000)), .tv_nsec = (long)(ns % 1000000000)};
  int n = ppoll(l->fds, l->n_fds, &timeout, NULL);
  l->looked_ns = load_mono_ns();
  if (n <= 0) {
    return false;
  }
  bool signalled = l->fds[0].revents != 0;
  return signalled || (l->n_fds > 1 && l->fds[1].revents != 0 && input_ended());
}

/* Returns when it is time; false when there is a reason to stop before. */
static bool wait_until(struct loop *l, uint64_t due)
{
  for (uint64_t now = load_mono_ns();; now = load_mono_ns()) {
    uint64_t left = now < due ? due - now : 0;
    bool sleeps = left > l->margin_ns;
    bool looks = sleeps || now - l->looked_ns >= LOOK_NS;
    if (looks && look(l, sleeps ? left - l->margin_ns : 0)) {
      return false;
    }
    if (left == 0) {
      return true;
    }
  }
}

/* Says that all is ready and reads the time to start; false when input ends or a signal comes instead. */
static bool read_start(struct loop *l)
{
  static const char ready[] = "{\"ready\":true}\n";
  struct pollfd fds[] = {l->fds[0], {.fd = STDIN_FILENO, .events = POLLIN}};
  char line[MOST_DIGITS + 1] = "";
  size_t n = 0;
  l->run->stopped = write(STDOUT_FILENO, ready, sizeof ready - 1) != (ssize_t)sizeof ready - 1;
  while (!l->run->stopped) {
    char c = 0;
    (void)poll(fds, MOST_FDS, -1);
    if (fds[0].revents != 0 || (fds[1].revents != 0 && read(STDIN_FILENO, &c, 1) != 1)) {
      l->run->stopped = true;
    } else if (c >= '0' && c <= '9' && n < MOST_DIGITS) {
      line[n++] = c;
    } else if (c == '\n' && n > 0) {
      l->start_ns = strtoull(line, NULL, 10);
      return true;
    } else if (fds[1].revents != 0) {
      snprintf(l->run->error, sizeof l->run->error, "standard input says no time of CLOCK_MONOTONIC in ns to start at");
      return false;
    }
  }
  return false;
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

static bool for_want_of_room(int number)
{
  return number == ENOBUFS || number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

static void say_broken(struct pause_run *r, int number)
{
  const char *name = r->device->name;
  if (number == ENETDOWN) {
    snprintf(r->error, sizeof r->error, "%s went down or was removed: %s", name, strerror(number));
  } else if (number == ENXIO || number == ENODEV) {
    snprintf(r->error, sizeof r->error, "%s was removed: %s", name, strerror(number));
  } else {
    snprintf(r->error, sizeof r->error, "%s does not send: %s", name, strerror(number));
  }
}

static void say_stalled(struct pause_run *r)
{
  snprintf(r->error, sizeof r->error,
           "%s took no frame for %d ms: it has no carrier, or its own transmission is paused", r->device->name,
           (int)(STALL_NS / 1000000));
}

/* Sends one frame, again and again until `until` when there is no room. Returns the times of the call that did it. */
static bool send_bytes(struct loop *l, const uint8_t *bytes, uint64_t until, uint64_t *before, uint64_t *after)
{
  struct pause_run *r = l->run;
  for (;;) {
    *before = load_mono_ns();
    ssize_t n = send(r->socket, bytes, PAUSE_FRAME_BYTES, MSG_DONTWAIT);
    int number = errno;
    *after = load_mono_ns();
    if (n == PAUSE_FRAME_BYTES) {
      l->out_ns = *after;
      return true;
    }
    if (n >= 0 || !for_want_of_room(number)) {
      say_broken(r, n >= 0 ? EMSGSIZE : number);
      return false;
    }
    r->retries++;
    if (*after >= until) {
      return false;
    }
    if (look(l, RETRY_NS)) {
      r->stopped = true;
      return false;
    }
  }
}

static void note_lateness(struct pause_run *r, uint64_t due, uint64_t after)
{
  uint64_t late_ns = after > due ? after - due : 0;
  r->late += late_ns > r->plan->interval_ns / 2 ? 1 : 0;
  r->latest_ns = late_ns > r->latest_ns ? late_ns : r->latest_ns;
}

static void send_frame(struct loop *l, uint64_t due)
{
  struct pause_run *r = l->run;
  uint64_t before = 0;
  uint64_t after = 0;
  uint64_t turn = (r->certificate.frames + r->frames_failed) % r->plan->n_frames;
  if (send_bytes(l, r->plan->frames[turn], due + r->plan->interval_ns, &before, &after)) {
    if (r->certificate.frames == 0) {
      r->start_late_ns = after > l->start_ns ? after - l->start_ns : 0;
    }
    pause_certificate_sent(&r->certificate, before, after);
    note_lateness(r, due, after);
    return;
  }
  r->frames_failed++;
  if (!r->stopped && r->error[0] == '\0' && after - l->out_ns >= STALL_NS) {
    say_stalled(r);
  }
}

/* The next instant of the grid that has not passed; those before the end that have are counted. */
static uint64_t next_due(struct loop *l, uint64_t due)
{
  struct pause_run *r = l->run;
  uint64_t now = load_mono_ns();
  uint64_t interval = r->plan->interval_ns;
  due += interval;
  now = now < l->end_ns ? now : l->end_ns;
  if (now >= due && now - due >= interval) {
    uint64_t passed = (now - due) / interval;
    r->missed += passed;
    due += passed * interval;
  }
  return due;
}

/* A line on standard error, if that takes it without waiting. */
static void tell(struct loop *l)
{
  struct pause_run *r = l->run;
  uint64_t now = load_mono_ns();
  struct pollfd err = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (now - l->told_ns < PROGRESS_NS || poll(&err, 1, 0) != 1 || (err.revents & POLLOUT) == 0) {
    return;
  }
  l->told_ns = now;
  char line[160];
  double share = r->asked_ns > 0 ? (double)(now - l->start_ns) / (double)r->asked_ns : 0;
  int n = snprintf(line, sizeof line, "{\"progress\":%.4f,\"frames\":%" PRIu64 ",\"largest_gap_ns\":%" PRIu64 "}\n",
                   share < 1 ? share : 1, r->certificate.frames, r->certificate.largest_gap_ns);
  ssize_t ignored = write(STDERR_FILENO, line, (size_t)n);
  (void)ignored;
}

/* --- the whole run ----------------------------------------------------------------------------------------------- */

static bool is_over(const struct loop *l, uint64_t due)
{
  const struct pause_run *r = l->run;
  uint64_t tried = r->certificate.frames + r->frames_failed;
  return due >= l->end_ns || (r->options->count > 0 && tried >= r->options->count);
}

/* Returns the instant until which the pause was to last. */
static uint64_t send_all(struct loop *l)
{
  struct pause_run *r = l->run;
  uint64_t due = l->start_ns;
  while (!is_over(l, due)) {
    if (!wait_until(l, due)) {
      r->stopped = true;
    } else if (load_mono_ns() < l->end_ns) {
      send_frame(l, due);
      due = next_due(l, due);
      tell(l);
    } else {
      r->missed += (l->end_ns - 1 - due) / r->plan->interval_ns + 1;
      break;
    }
    if (r->stopped || r->error[0] != '\0') {
      return load_mono_ns();
    }
  }
  uint64_t until = l->end_ns == FOR_EVER ? due : l->end_ns;
  if (!wait_until(l, until)) {
    r->stopped = true;
    return load_mono_ns();
  }
  return until;
}

static void end_pause(struct loop *l)
{
  struct pause_run *r = l->run;
  uint64_t before = 0;
  uint64_t after = 0;
  char error[sizeof r->error];
  memcpy(error, r->error, sizeof error);
  for (unsigned i = 0; i < r->plan->n_ends; i++) {
    bool out = send_bytes(l, r->plan->ends[i], load_mono_ns() + STALL_NS, &before, &after);
    r->xon_ns = out ? after : 0;
  }
  if (error[0] != '\0') {
    memcpy(r->error, error, sizeof error); /* the first one matters */
  }
}

static uint64_t asked_ns(const struct pause_run *r)
{
  uint64_t whole = 0;
  if (r->options->duration_ns > 0) {
    return r->options->duration_ns;
  }
  return __builtin_mul_overflow(r->options->count, r->plan->interval_ns, &whole) ? UINT64_MAX : whole;
}

void pause_send(struct pause_run *r)
{
  struct loop l;
  if (!loop_open(&l, r)) {
    loop_close(&l);
    return;
  }
  r->asked_ns = asked_ns(r);
  r->certificate.quanta_ns = r->plan->quanta_ns;
  l.start_ns = r->options->start_at_ns > 0 ? r->options->start_at_ns : load_mono_ns();
  if (r->options->start_from_stdin && !read_start(&l)) {
    loop_close(&l);
    return;
  }
  l.end_ns = r->options->duration_ns > 0 ? l.start_ns + r->options->duration_ns : FOR_EVER;
  l.told_ns = l.out_ns = l.start_ns > load_mono_ns() ? l.start_ns : load_mono_ns();
  pause_certificate_close(&r->certificate, send_all(&l));
  if (r->options->xon_at_end && r->certificate.frames > 0) {
    end_pause(&l);
  }
  if (r->certificate.frames == 0 && !r->stopped && r->error[0] == '\0') {
    snprintf(r->error, sizeof r->error, "no frame was sent: its time had passed before the start");
  }
  loop_close(&l);
}
