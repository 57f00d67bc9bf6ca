/* A small deterministic fuzzer for compilers without libFuzzer: mutates a corpus for some seconds or rounds.
 *
 *   job_fuzz_run [--seconds N] [--rounds N] [--seed N] [--corpus DIR] [--dict FILE] [--crash FILE] [FILE...]
 *
 * FILEs are run once, as they are: this is how a finding is reproduced. An input that ends the process or takes longer
 * than ten seconds is left in the crash file (default job_fuzz_crash.json). There is no coverage feedback: the corpus
 * of make_corpus.py and the dictionary stand in for it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mutate.h"

enum { LONGEST_RUN_S = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct options {
  double seconds;
  uint64_t rounds, seed; /* rounds 0: until the seconds are over */
  const char *corpus, *dict, *crash;
};

/* What the signal handler saves. Signal handlers cannot be given anything, hence file scope. */
static const struct bytes *current;
static const char *crash_path;

/* Sanitizers abort, so that the handler below sees their findings too. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
  return "abort_on_error=1:handle_abort=0";
}

const char *__ubsan_default_options(void)
{
  return "abort_on_error=1:print_stacktrace=1";
}

/* Saves the input and ends the process; only calls what a handler may call. */
static void on_signal(int number)
{
  static const char text[] = "job_fuzz_run: the input was saved in the crash file\n";
  int fd = current == NULL ? -1 : open(crash_path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (fd >= 0 && write(fd, current->data, current->size) == (ssize_t)current->size) {
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
  }
  _exit(128 + number);
}

/* Runs an exact copy, so that the sanitizer sees a read past the end. */
static void run(const struct bytes *input)
{
  uint8_t *copy = malloc(input->size == 0 ? 1 : input->size);
  if (copy == NULL) {
    return;
  }
  memcpy(copy, input->data, input->size);
  current = input;
  alarm(LONGEST_RUN_S);
  LLVMFuzzerTestOneInput(copy, input->size);
  alarm(0);
  current = NULL;
  free(copy);
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* First the corpus as it is, then changed files until the time or the rounds are over. */
static uint64_t fuzz(struct mutator *m, const struct options *options)
{
  double end = now() + options->seconds;
  uint64_t round = 0;
  for (size_t i = 0; i < m->n_files; i++) {
    run(&m->files[i]);
  }
  for (; options->rounds == 0 ? now() < end : round < options->rounds; round++) {
    mutate_next(m);
    run(&m->input);
  }
  return round;
}

/* Reads one `--name value`; returns false when there is no such option. */
static bool set_option(struct options *options, const char *name, const char *value)
{
  if (strcmp(name, "--seconds") == 0) {
    options->seconds = strtod(value, NULL);
  } else if (strcmp(name, "--rounds") == 0) {
    options->rounds = strtoull(value, NULL, 10);
  } else if (strcmp(name, "--seed") == 0) {
    options->seed = strtoull(value, NULL, 10);
  } else if (strcmp(name, "--corpus") == 0) {
    options->corpus = value;
  } else if (strcmp(name, "--dict") == 0) {
    options->dict = value;
  } else if (strcmp(name, "--crash") == 0) {
    options->crash = value;
  } else {
    return false;
  }
  return true;
}

/* Runs files as they are; returns the exit code. */
static int run_files(int n, char **paths)
{
  for (int i = 0; i < n; i++) {
    struct bytes input = {NULL, 0};
    if (!mutate_read_file(paths[i], &input)) {
      fprintf(stderr, "job_fuzz_run: cannot read %s\n", paths[i]);
      return 2;
    }
    run(&input);
    free(input.data);
  }
  printf("%d files without a finding\n", n);
  return 0;
}

static int run_fuzzer(const struct options *options)
{
  struct mutator *m = calloc(1, sizeof *m);
  int code = 2;
  if (m == NULL || (m->input.data = malloc(MAX_INPUT)) == NULL) {
    fprintf(stderr, "job_fuzz_run: out of memory\n");
  } else if (!mutate_read_corpus(m, options->corpus) || m->n_files == 0) {
    fprintf(stderr, "job_fuzz_run: no files in corpus folder %s; make them with make_corpus.py\n", options->corpus);
  } else if (options->dict != NULL && !mutate_read_dictionary(m, options->dict)) {
    fprintf(stderr, "job_fuzz_run: cannot read dictionary %s\n", options->dict);
  } else {
    rng_seed(&m->rng, options->seed);
    uint64_t rounds = fuzz(m, options);
    printf("%llu inputs from %zu files without a finding\n", (unsigned long long)rounds, m->n_files);
    code = 0;
  }
  if (m != NULL) {
    mutate_free(m);
  }
  free(m);
  return code;
}

int main(int argc, char **argv)
{
  struct options options = {20.0, 0, 1, "corpus", NULL, "job_fuzz_crash.json"};
  int at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
    if (at + 1 == argc || !set_option(&options, argv[at], argv[at + 1])) {
      fprintf(stderr,
              "usage: %s [--seconds N] [--rounds N] [--seed N] [--corpus DIR] [--dict FILE] [--crash FILE] [FILE...]\n",
              argv[0]);
      return 2;
    }
  }
  crash_path = options.crash;
  signal(SIGABRT, on_signal);
  signal(SIGALRM, on_signal);
  signal(SIGSEGV, on_signal);
  return at < argc ? run_files(argc - at, argv + at) : run_fuzzer(&options);
}
