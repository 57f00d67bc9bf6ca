/* Runs the tests: `roce-tests [--list] [--no-fork] [TEXT...]`; with TEXTs only tests whose names contain one of them.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "test_list.h" /* generated: `static const struct test_entry tests[]` */

enum { TIME_LIMIT_S = 60, MAX_SCRATCH = 16 };

static uint64_t fail_after; /* allocations until failure begins; 0: never */
static bool failing;
static char *scratch[MAX_SCRATCH];
static size_t n_scratch;

void test_fail(const char *file, int line, const char *format, ...)
{
  va_list args;
  test_fail_allocation(0);
  fprintf(stderr, "%s:%d: assertion failed: ", file, line);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  _Exit(1);
}

void test_equal_signed(const char *file, int line, const char *what, intmax_t left, intmax_t right)
{
  if (left != right) {
    test_fail(file, line, "`%s` (%jd and %jd)", what, left, right);
  }
}

void test_equal_unsigned(const char *file, int line, const char *what, uintmax_t left, uintmax_t right)
{
  if (left != right) {
    test_fail(file, line, "`%s` (%ju and %ju)", what, left, right);
  }
}

void test_equal_string(const char *file, int line, const char *what, const char *left, const char *right)
{
  if (left == NULL || right == NULL ? left != right : strcmp(left, right) != 0) {
    test_fail(file, line, "`%s`\n  left:  %s\n  right: %s", what, left == NULL ? "(null)" : left,
              right == NULL ? "(null)" : right);
  }
}

void test_contains(const char *file, int line, const char *what, const char *text, const char *part)
{
  if (strstr(text, part) == NULL) {
    test_fail(file, line, "`%s`\n  text: %s\n  part: %s", what, text, part);
  }
}

void test_near(const char *file, int line, const char *what, double left, double right, double tolerance)
{
  if (!(fabs(left - right) <= tolerance)) {
    test_fail(file, line, "`%s` (%.17g and %.17g, more than %g apart)", what, left, right, tolerance);
  }
}

void test_fail_allocation(uint64_t nth)
{
  fail_after = nth;
  failing = false;
}

/* Whether this allocation is to fail. */
static bool denied(void)
{
  if (fail_after > 0 && --fail_after == 0) {
    failing = true;
  }
  return failing;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
  return denied() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
  return denied() ? NULL : __real_calloc(count, size);
}

const char *test_scratch(const char *name)
{
  const char *folder = getenv("TMPDIR");
  char *path = NULL;
  if (n_scratch == MAX_SCRATCH ||
      asprintf(&path, "%s/roce-tests-%ld-%s", folder == NULL ? "/tmp" : folder, (long)getpid(), name) < 0) {
    test_fail(__FILE__, __LINE__, "no scratch file for %s", name);
  }
  scratch[n_scratch++] = path;
  return path;
}

static void remove_scratch(void)
{
  while (n_scratch > 0) {
    n_scratch--;
    remove(scratch[n_scratch]);
    free(scratch[n_scratch]);
  }
}

char *test_read_file(const char *path, size_t *length)
{
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
  }
  long size = ftell(file);
  rewind(file);
  char *text = malloc((size_t)size + 1);
  if (text == NULL || fread(text, 1, (size_t)size, file) != (size_t)size) {
    test_fail(__FILE__, __LINE__, "%s: cannot read %ld bytes", path, size);
  }
  fclose(file);
  text[size] = '\0';
  *length = (size_t)size;
  return text;
}

/* The body of a test process. */
static void run_here(const struct test_entry *test)
{
  test->run();
  test_fail_allocation(0);
  remove_scratch();
}

/* Runs one test in a child; returns whether it passed. */
static bool run_apart(const struct test_entry *test)
{
  int status = 0;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(TIME_LIMIT_S);
    run_here(test);
    exit(0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) {
    fprintf(stderr, "%s: cannot run: %s\n", test->name, strerror(errno));
    return false;
  }
  if (WIFSIGNALED(status)) {
    fprintf(stderr, "%s: ended by signal %d (%s)\n", test->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool wanted(const struct test_entry *test, int n, char **texts)
{
  for (int i = 0; i < n; i++) {
    if (strstr(test->name, texts[i]) != NULL) {
      return true;
    }
  }
  return n == 0;
}

/* Runs what is wanted; returns the exit code. A filter that fits no test is a failure. */
static int run_all(bool apart, int n, char **texts)
{
  size_t passed = 0;
  size_t failed = 0;
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    if (!wanted(&tests[i], n, texts)) {
      continue;
    }
    bool ok = true;
    if (apart) {
      ok = run_apart(&tests[i]);
    } else {
      run_here(&tests[i]);
    }
    passed += ok ? 1 : 0;
    failed += ok ? 0 : 1;
    if (!ok) {
      printf("FAILED %s\n", tests[i].name);
    }
  }
  printf("%zu passed, %zu failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
  bool apart = true;
  int first = 1;
  for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
    if (strcmp(argv[first], "--list") == 0) {
      for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        puts(tests[i].name);
      }
      return 0;
    }
    apart = apart && strcmp(argv[first], "--no-fork") != 0;
  }
  return run_all(apart, argc - first, argv + first);
}
