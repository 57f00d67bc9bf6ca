/* roce-load: RDMA traffic at the rate of the line. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"
#include "modes.h"
#include "pause.h"

enum { MOST_BINDINGS = 4096, WATCHDOG_S = 30 };

static const char usage[] =
    "usage: roce-load [--device [PORT=]NAME]... [--null] [--job FILE] [--series FOLDER] < job.json > result.json\n"
    "       roce-load --serve\n"
    "       roce-load pause OPTIONS\n"
    "\n"
    "Makes RDMA traffic of a job (docs/job-format.md, docs/generator.md). Alone, it runs both ends of every flow in one\n"
    "process; with --serve it is one of many, and the harness tells each its part.\n"
    "\n"
    "  --job FILE         the job; standard input when left out\n"
    "  --device P=NAME    the RDMA device of port P of the job, /N behind it for its port N; without P=, of all ports\n"
    "  --null             ports without a device get null devices: no verbs, for a laptop and for continuous integration\n"
    "  --series FOLDER    write what each QP had sent over time there, as .npy\n"
    "  --watchdog S       give up when nothing completes for S seconds while work is under way [30], 0 never\n"
    "  --capabilities     print what this program can do, as JSON, and exit\n"
    "  --list-devices     print the RDMA devices of this host, one a line, and exit\n"
    "  --version          print version and kinds of devices, and exit\n"
    "  --help             print this, and exit; `roce-load pause --help` for pause frames\n"
    "\n"
    "examples:\n"
    "  roce-load --null --job job.json | jq .flows[].goodput_bps\n"
    "  roce-load --device h1:p0=mlx5_0 --device h2:p0=mlx5_1 --series /tmp/s --job job.json\n"
    "\n"
    "Progress goes to standard error as JSON lines. Exit status: 0 the run is good, 1 the run failed, 2 the job is bad.\n";

static int wrong(const char *message, const char *what)
{
  (void)fprintf(stderr, "roce-load: %s%s%s; try --help\n", message, what != NULL ? ": " : "", what != NULL ? what : "");
  return LOAD_EXIT_BAD_JOB;
}

static int list_devices(void)
{
#ifdef ROCE_LOAD_VERBS
  char names[64][64];
  unsigned n = load_verbs_list(names, 64);
  for (unsigned i = 0; i < n && i < 64; i++)
    puts(names[i]);
#endif
  return LOAD_EXIT_GOOD;
}

static int print_version(void)
{
#ifdef ROCE_LOAD_VERBS
  puts("roce-load " ROCE_VERSION " (devices: verbs, null)");
#else
  puts("roce-load " ROCE_VERSION " (devices: null)");
#endif
  return LOAD_EXIT_GOOD;
}

struct options {
  struct load_standalone how;
  struct load_binding *bindings;
  bool serve;
};

static void bind_port(struct options *o, char *text)
{
  /* a port of the job has a colon before the sign; options of a null device may have signs too */
  char *sign = strchr(text, '='), *colon = strchr(text, ':');
  bool names_port = sign != NULL && colon != NULL && colon < sign && strncmp(text, "null", 4) != 0;
  struct load_binding *b = &o->bindings[o->how.n_bindings++];
  *b = (struct load_binding){.port = "", .device = text};
  if (names_port) {
    *sign = '\0';
    *b = (struct load_binding){.port = text, .device = sign + 1};
  }
}

/* Returns -1 to go on, else an exit code. */
static int read_option(struct options *o, int argc, char **argv, int *at)
{
  const char *name = argv[*at];
  if (strcmp(name, "--serve") == 0) {
    o->serve = true;
    return -1;
  }
  if (strcmp(name, "--null") == 0) {
    o->how.null_for_all = true;
    return -1;
  }
  if (*at + 1 >= argc)
    return wrong("unknown option, or one without its value", name);
  char *value = argv[++*at];
  if (strcmp(name, "--job") == 0) {
    o->how.job = value;
  } else if (strcmp(name, "--series") == 0) {
    if (access(value, W_OK | X_OK) != 0)
      return wrong("no folder to write series to", value);
    o->how.series = value;
  } else if (strcmp(name, "--device") == 0) {
    if (o->how.n_bindings == MOST_BINDINGS)
      return wrong("too many --device", value);
    bind_port(o, value);
  } else if (strcmp(name, "--watchdog") == 0) {
    char *end = NULL;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= 0 && seconds <= 86400))
      return wrong("--watchdog takes seconds from 0 to 86400, not", value);
    o->how.watchdog_ns = (uint64_t)(seconds * 1e9);
  } else {
    return wrong("unknown option", name);
  }
  return -1;
}

/* A standard stream that is closed would otherwise be the next file that is opened, and be written to. One opened here
 * for reading alone says so when it is written to. */
static void hold_standard_streams(void)
{
  int file = open("/dev/null", O_RDONLY);
  while (file >= 0 && file <= STDERR_FILENO)
    file = open("/dev/null", O_RDONLY);
  if (file > STDERR_FILENO)
    (void)close(file);
}

int main(int argc, char **argv)
{
  hold_standard_streams();
  if (argc >= 2 && strcmp(argv[1], "pause") == 0)
    return pause_main(argc - 1, argv + 1);
  if (argc == 2 && strcmp(argv[1], "--help") == 0)
    return fputs(usage, stdout) >= 0 ? LOAD_EXIT_GOOD : LOAD_EXIT_RUN_FAILED;
  if (argc == 2 && strcmp(argv[1], "--version") == 0)
    return print_version();
  if (argc == 2 && strcmp(argv[1], "--list-devices") == 0)
    return list_devices();
  if (argc == 2 && strcmp(argv[1], "--capabilities") == 0) {
    load_hello();
    return LOAD_EXIT_GOOD;
  }
  struct options o = {.how.watchdog_ns = (uint64_t)WATCHDOG_S * 1000000000U};
  o.bindings = calloc(MOST_BINDINGS, sizeof *o.bindings);
  if (o.bindings == NULL)
    return wrong("memory is short", NULL);
  int code = -1;
  for (int at = 1; at < argc && code < 0; at++)
    code = read_option(&o, argc, argv, &at);
  o.how.bindings = o.bindings;
  if (code < 0 && o.serve)
    code = load_serve(o.how.watchdog_ns);
  else if (code < 0 && o.how.job == NULL && isatty(STDIN_FILENO))
    code = (fputs(usage, stderr), LOAD_EXIT_BAD_JOB);
  else if (code < 0)
    code = load_standalone(&o.how);
  free(o.bindings);
  return code;
}
