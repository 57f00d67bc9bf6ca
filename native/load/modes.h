/* The ways in which roce-load runs; each returns an exit code as roce-sim does. */
#ifndef ROCE_LOAD_MODES_H
#define ROCE_LOAD_MODES_H

#include <stdbool.h>
#include <stdint.h>

enum load_exit { LOAD_EXIT_GOOD = 0, LOAD_EXIT_RUN_FAILED = 1, LOAD_EXIT_BAD_JOB = 2 };

/* `--serve`: requests on standard input, answers and events on standard output, until the input ends. */
int load_serve(uint64_t watchdog_ns);

struct load_binding {
  const char *port;   /* "h1:p0" of the job */
  const char *device; /* with "/N" for another port than 1 */
};
struct load_standalone {
  const char *job;    /* file, NULL: standard input */
  const char *series; /* folder, NULL: no series */
  const struct load_binding *bindings;
  uint32_t n_bindings;
  bool null_for_all; /* ports without a binding get null devices of their own */
  uint64_t watchdog_ns;
};
/* A whole job in this process: both ends of every flow. */
int load_standalone(const struct load_standalone *how);

/* Prints {"event": "hello", …}: what this program is and can do. */
void load_hello(void);

/* A file that becomes readable when SIGINT, SIGTERM or SIGHUP comes; they are blocked everywhere else. */
int load_signal_file(void);

#endif
