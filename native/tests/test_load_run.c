/* Sampling within a budget of memory, the host as the bottleneck, and the ends of runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/run.h"
#include "test.h"

enum { QPS = 16, ROWS = 64, COUNTS = 150, SLACK = 30000000 /* ns for which a thread may have no processor */ };
#define MS UINT64_C(1000000)

/* A source of which the counts are all that there is. */
struct fake {
  struct load_clock clock;
  struct load_end end;
};

static void fake_make(struct fake *f, uint32_t qps)
{
  *f = (struct fake){.end = {.spec = {.source = true, .flow = {.name = "f", .qps = qps}}}};
  load_clock_init(&f->clock, 2 * MS);
  f->end.clock = &f->clock;
  f->end.lanes = calloc(qps, sizeof *f->end.lanes);
  ASSERT(f->end.lanes != NULL);
}

static void count(struct fake *f, uint64_t bytes)
{
  uint64_t now = load_ticks();
  for (uint32_t i = 0; i < f->end.spec.flow.qps; i++)
    load_lane_done(&f->end.lanes[i], 1, bytes);
  f->end.first_completion = f->end.first_completion == 0 ? now : f->end.first_completion;
  f->end.last_completion = now;
}

static struct load_sampler *sampling(struct fake *f, uint64_t interval_ns, uint64_t budget)
{
  struct load_end *ends[] = {&f->end};
  struct load_error e;
  struct load_sampler *s = load_sampler_start(ends, 1, interval_ns, budget, &e);
  if (s == NULL)
    test_fail(__FILE__, __LINE__, "%s", e.message);
  return s;
}

/* A folder of its own; it is removed after the files that are named after it. */
static const char *folder_of_series(void)
{
  const char *folder = test_scratch("series");
  ASSERT(mkdir(folder, 0700) == 0);
  return folder;
}

/* The numbers of a written file, behind its header of 128 bytes. */
static int64_t *numbers(const char *path, size_t *n)
{
  size_t length;
  char *text = test_read_file(path, &length);
  ASSERT(length >= 128 && memcmp(text, "\x93NUMPY", 6) == 0);
  *n = (length - 128) / sizeof(int64_t);
  int64_t *out = calloc(*n + 1, sizeof *out);
  ASSERT(out != NULL);
  memcpy(out, text + 128, *n * sizeof *out);
  free(text);
  return out;
}

TEST(sampler_stays_within_its_budget_and_keeps_all_of_the_time)
{
  struct fake f;
  fake_make(&f, QPS);
  uint64_t row = (QPS + 1) * sizeof(uint64_t), budget = ROWS * row;
  struct load_sampler *s = sampling(&f, MS / 2, budget);
  uint64_t began = load_mono_ns();
  uint64_t counted_at[COUNTS + 1];
  for (int i = 0; i < COUNTS; i++) {
    counted_at[i] = load_mono_ns();
    count(&f, 10);
    usleep(1000);
    ASSERT(load_sampler_bytes(s) <= budget);
  }
  counted_at[COUNTS] = UINT64_MAX;
  load_sampler_stop(s);
  /* 150 ms would be 300 rows: kept are between a half and all of those that have room */
  ASSERT(f.end.series_rows >= ROWS / 2 && f.end.series_rows <= ROWS);
  ASSERT(f.end.series_interval_ns == 4 * MS || f.end.series_interval_ns == 8 * MS || f.end.series_interval_ns == 16 * MS);
  size_t n_times, n_cells;
  const char *folder = folder_of_series();
  struct load_error e;
  if (!load_sampler_write(s, folder, &e))
    test_fail(__FILE__, __LINE__, "%s", e.message);
  int64_t *times = numbers(test_scratch("series/end-0.time.npy"), &n_times);
  int64_t *cells = numbers(test_scratch("series/end-0.bytes.npy"), &n_cells);
  ASSERT_EQ((uint64_t)n_times, f.end.series_rows);
  ASSERT_EQ((uint64_t)n_cells, f.end.series_rows * QPS);
  ASSERT((uint64_t)times[0] - began < 50 * MS);
  for (size_t i = 1; i < n_times; i++)
    ASSERT(times[i] > times[i - 1]);
  for (size_t i = 0; i < n_cells; i++) {
    /* what was counted before the time of the row, and not what was counted later */
    int64_t value = cells[i], time = times[i / QPS];
    ASSERT(value % 10 == 0 && value <= 10 * COUNTS);
    ASSERT(value == 0 || (int64_t)counted_at[value / 10 - 1] < time + SLACK);
    ASSERT(counted_at[value / 10] == UINT64_MAX || (int64_t)counted_at[value / 10] + SLACK > time);
  }
  ASSERT_EQ(cells[n_cells - 1], (int64_t)(10 * COUNTS)); /* the last row is the end */
  free(times);
  free(cells);
  load_sampler_free(s);
  ASSERT(f.end.series_file == NULL);
  free(f.end.lanes);
}

TEST(sampler_stops_at_once_whatever_its_interval)
{
  struct fake f;
  fake_make(&f, 1);
  struct load_sampler *s = sampling(&f, 3600 * 1000 * MS, 1 << 20);
  usleep(30000);
  uint64_t before = load_mono_ns();
  load_sampler_free(s);
  ASSERT(load_mono_ns() - before < 500 * MS);
  free(f.end.lanes);
}

TEST(sampler_says_where_it_could_not_write)
{
  struct fake f;
  fake_make(&f, 1);
  struct load_error e;
  char folder[6000];
  memset(folder, 'x', sizeof folder - 1);
  folder[sizeof folder - 1] = '\0';
  struct load_sampler *s = sampling(&f, MS, 1 << 20);
  load_sampler_stop(s);
  ASSERT(!load_sampler_write(s, "/no/such/folder", &e));
  ASSERT_CONTAINS(e.message, "/no/such/folder");
  ASSERT_CONTAINS(e.message, "ENOENT");
  ASSERT(!load_sampler_write(s, folder, &e));
  ASSERT_CONTAINS(e.message, "ENAMETOOLONG");
  ASSERT(f.end.series_file == NULL);
  load_sampler_free(s);
  free(f.end.lanes);
}

TEST(sampler_rates_are_those_between_the_completions)
{
  struct fake f;
  fake_make(&f, 1);
  struct load_sampler *s = sampling(&f, MS, 1 << 20);
  usleep(20000); /* nothing yet: that is not the flow's rate */
  for (int i = 0; i < 50; i++) {
    count(&f, 1000);
    usleep(1000);
  }
  usleep(20000);
  load_sampler_stop(s);
  ASSERT(f.end.has_rates);
  double seconds = (double)(f.end.last_completion - f.end.first_completion) / f.clock.ticks_per_ns * 1e-9;
  ASSERT_NEAR(f.end.rate_mean_bps, 49 * 8000 / seconds, 0.15 * 49 * 8000 / seconds);
  ASSERT(f.end.rate_min_bps <= f.end.rate_mean_bps && f.end.rate_mean_bps <= f.end.rate_max_bps);
  load_sampler_free(s);
  free(f.end.lanes);
}

TEST(sampler_without_a_completion_has_no_rate)
{
  struct fake f;
  fake_make(&f, 1);
  struct load_sampler *s = sampling(&f, MS, 1 << 20);
  usleep(5000);
  load_sampler_stop(s);
  ASSERT(!f.end.has_rates);
  ASSERT(f.end.series_rows >= 1);
  load_sampler_free(s);
  free(f.end.lanes);
}

/* --- the host as the bottleneck ---------------------------------------------------------------------------------- */

static bool limited(struct fake *f, bool software, double dry_share, double wait_share, char *why, size_t size)
{
  struct load_device device = {.caps = {.software = software}};
  struct load_end *ends[] = {&f->end};
  struct load_worker w = {.ends = ends, .n_ends = 1, .name = "t", .wall_ns = 1000 * MS, .knows_wait = wait_share >= 0};
  w.wait_ns = wait_share >= 0 ? (uint64_t)(wait_share * (double)w.wall_ns) : 0;
  f->end.device = &device;
  f->end.start = 1;
  f->end.finish = 1 + (uint64_t)(1e9 * f->clock.ticks_per_ns);
  f->end.limited_ticks = dry_share * 1e9 * f->clock.ticks_per_ns;
  why[0] = '\0';
  return load_worker_limited(&w, why, size);
}

TEST(worker_is_limited_above_a_twentieth_of_the_time)
{
  struct fake f;
  char why[160];
  fake_make(&f, 1);
  ASSERT(!limited(&f, false, 0.04, 0.04, why, sizeof why));
  ASSERT(limited(&f, false, 0.06, 0, why, sizeof why));
  ASSERT_CONTAINS(why, "flow f: the device waited for messages 6 %");
  ASSERT(limited(&f, false, 0, 0.06, why, sizeof why));
  ASSERT_CONTAINS(why, "thread t was ready and had no processor 6 %");
  ASSERT(!limited(&f, false, 0, -1, why, sizeof why)); /* nothing tells */
  ASSERT(!limited(&f, true, 0.9, 0.9, why, sizeof why));
  free(f.end.lanes);
}
