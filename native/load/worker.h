/* A thread that moves the ends of one port (or of one flow): pinned near the device, and with nothing on its way but
 * them. */
#ifndef ROCE_LOAD_WORKER_H
#define ROCE_LOAD_WORKER_H

#include <pthread.h>

#include "end.h"

/* What ends a run before its ends do: nothing but the cut itself, or an error of every end that is not over. */
enum { LOAD_CUT = 1, LOAD_NO_PROGRESS = -1000, LOAD_DEVICE_GONE = -1001 };

struct load_worker {
  struct load_end **ends;
  uint32_t n_ends;
  char name[80]; /* "rxe0/1", or the flow's */
  int cpu;       /* -1: not pinned */
  bool busy;     /* polls without waiting */
  bool yields;   /* gives the processor away after each look in vain: the device's work needs it */
  const struct load_clock *clock;
  int wake;      /* eventfd: looks at its flags */
  int report;    /* eventfd of whoever waits for ends */
  _Atomic int cut; /* 0, LOAD_CUT, or one of the errors above */
  _Atomic bool over;
  _Atomic uint64_t began_ns; /* CLOCK_MONOTONIC of its start, 0 before */
  uint64_t zero; /* ticks at which the run begins */

  /* what it cost; valid when it is over */
  uint64_t cpu_ns, wall_ns, wait_ns; /* on a processor; in all; ready to run without one */
  bool knows_wait;
  uint64_t wakeups, loops;

  pthread_t thread;
  bool running;
};

bool load_worker_start(struct load_worker *w, struct load_error *e);
void load_worker_join(struct load_worker *w);
/* Makes it look at its flags soon. */
void load_worker_wake(const struct load_worker *w);

#endif
