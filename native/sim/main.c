/* roce-sim: a JSON job on standard input, a JSON result on standard output, progress on standard error. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../common/jsonw.h"
#include "../common/text.h"
#include "job.h"
#include "sim.h"
#include "version.h"

enum exit_code { EXIT_GOOD = 0, EXIT_RUN_FAILED = 1, EXIT_BAD_JOB = 2 };

static const char usage[] =
    "usage: roce-sim < job.json > result.json\n"
    "\n"
    "Simulates RDMA traffic on an Ethernet fabric, packet by packet. The job and result formats are\n"
    "described in docs/job-format.md. Progress goes to standard error as JSON lines.\n"
    "\n"
    "  --list-defects  print the defects that a job can ask for, as JSON, and exit\n"
    "  --version       print the version and exit\n"
    "  --help          print this and exit\n"
    "\n"
    "Exit status: 0 the run is good, 1 the run failed, 2 the job is bad.\n";

static double wall_clock(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_bad_job(const struct job_error *e)
{
  struct jsonw w;
  jsonw_init(&w, stderr);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "error", e->message);
  jsonw_member_string(&w, "path", e->path);
  jsonw_member_u64(&w, "line", e->line);
  jsonw_member_u64(&w, "column", e->column);
  jsonw_end_object(&w);
  jsonw_finish(&w);
}

struct progress {
  double started, printed;
};

/* Part of the payload that has been acknowledged; of no use when a flow has no end. */
static double acknowledged_share(const struct sim *s)
{
  double acked = 0, total = 0;
  for (uint32_t i = 0; i < s->job->n_flows; i++) {
    const struct job_flow *j = &s->job->flows[i];
    acked += (double)s->flows[i].bytes_acked;
    total += (double)j->messages * (double)j->message_bytes * j->qps;
  }
  return total > 0 && acked < total ? acked / total : 1;
}

static void print_progress(const struct sim *s, void *arg)
{
  struct progress *p = arg;
  double now = wall_clock();
  if (now - p->printed < 0.1)
    return;
  p->printed = now;
  double share = s->job->until_done ? acknowledged_share(s) : (double)s->now / (double)s->job->duration_ps;
  fprintf(stderr, "{\"progress\":%.4f,\"sim_ps\":%llu,\"events\":%llu,\"flows_done\":%u,\"flows\":%u}\n", share,
          (unsigned long long)s->now, (unsigned long long)s->events, s->flows_done, s->job->n_flows);
}

static void print_summary(const struct sim *s, const struct progress *p)
{
  struct rusage usage_now;
  getrusage(RUSAGE_SELF, &usage_now);
  double wall = wall_clock() - p->started;
  double per_s = wall > 0 ? 1 / wall : 0;
  fprintf(stderr, "{\"done\":true,\"wall_s\":%.6f,\"events_per_s\":%.0f,\"hops_per_s\":%.0f,\"max_rss_kb\":%ld}\n", wall,
          (double)s->events * per_s, (double)s->link_hops * per_s, usage_now.ru_maxrss);
}

static int print_result(const struct sim *s)
{
  bool good = s->n_violations == 0 && !s->out_of_memory && s->output_error[0] == '\0';
  int error = result_write(s, stdout);
  if (error != 0) {
    fprintf(stderr, "{\"error\":\"cannot write the result to standard output: %s\",\"path\":\"\",\"line\":0,\"column\":0}\n",
            strerror(error));
    return EXIT_RUN_FAILED;
  }
  return good ? EXIT_GOOD : EXIT_RUN_FAILED;
}

static int simulate(const struct job *job)
{
  struct progress progress = {.started = wall_clock()};
  struct sim *s = sim_new(job);
  if (s == NULL) {
    fprintf(stderr, "{\"error\":\"memory is short for this job\",\"path\":\"\",\"line\":0,\"column\":0}\n");
    return EXIT_RUN_FAILED;
  }
  s->progress = print_progress;
  s->progress_arg = &progress;
  if (telemetry_open(s))
    sim_run(s);
  telemetry_close(s);
  print_summary(s, &progress);
  int code = print_result(s);
  sim_free(s);
  return code;
}

static int run(void)
{
  size_t length = 0;
  char *text = text_read_all(stdin, &length);
  struct job_error error = {.message = "memory is short for the job text"};
  struct job *job = text != NULL ? job_parse(text, length, &error) : NULL;
  free(text);
  if (job == NULL) {
    print_bad_job(&error);
    return EXIT_BAD_JOB;
  }
  int code = simulate(job);
  job_free(job);
  return code;
}

static int list_defects(void)
{
  struct jsonw w;
  jsonw_init(&w, stdout);
  jsonw_begin_array(&w);
  for (int i = 0; i < DEFECT_COUNT; i++) {
    jsonw_begin_object(&w);
    jsonw_member_string(&w, "name", defect_info[i].name);
    jsonw_member_string(&w, "part", defect_info[i].part);
    jsonw_member_string(&w, "what", defect_info[i].what);
    jsonw_end_object(&w);
  }
  jsonw_end_array(&w);
  return jsonw_finish(&w) == 0 ? EXIT_GOOD : EXIT_RUN_FAILED;
}

int main(int argc, char **argv)
{
  if (argc == 2 && strcmp(argv[1], "--list-defects") == 0)
    return list_defects();
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    printf("roce-sim %s\n", ROCE_SIM_VERSION);
    return EXIT_GOOD;
  }
  if (argc == 2 && strcmp(argv[1], "--help") == 0) {
    fputs(usage, stdout);
    return EXIT_GOOD;
  }
  if (argc > 1 || isatty(STDIN_FILENO)) {
    fputs(usage, stderr);
    return EXIT_BAD_JOB;
  }
  return run();
}
