#include "sampler.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/npy.h"

enum { MOST_ROWS_AHEAD = 1 << 26, NAME_BYTES = 32, PATH_BYTES = 4096 /* PATH_MAX */ };
#define LONGEST_NAP_NS 20000000 /* a stop is seen so soon, however seldom there is a row */

/* Rows of one source: columns are bytes of each QP, then messages of each QP where sizes differ. */
struct track {
  struct load_end *end;
  uint32_t columns;
  uint64_t *cells;
  char name[NAME_BYTES];
};

struct load_sampler {
  pthread_t thread;
  bool running;
  _Atomic bool stop;
  uint64_t interval_ns;
  uint64_t *times; /* mono ns */
  uint64_t rows, capacity, row_bytes;
  struct track *tracks;
  uint32_t n_tracks;
};

/* --- sampling -------------------------------------------------------------------------------------------------- */

static void take_row(struct load_sampler *s)
{
  s->times[s->rows] = load_mono_ns();
  for (uint32_t t = 0; t < s->n_tracks; t++) {
    const struct track *track = &s->tracks[t];
    const struct load_end *end = track->end;
    uint32_t qps = end->spec.flow.qps;
    uint64_t *row = track->cells + s->rows * track->columns;
    for (uint32_t i = 0; i < qps; i++)
      row[i] = atomic_load_explicit(&end->lanes[i].done_bytes, memory_order_relaxed);
    for (uint32_t i = qps; i < track->columns; i++)
      row[i] = atomic_load_explicit(&end->lanes[i - qps].done_messages, memory_order_relaxed);
  }
  s->rows++;
}

/* Keeps every other row. */
static void thin(struct load_sampler *s)
{
  uint64_t kept = s->rows / 2;
  for (uint64_t row = 1; row < kept; row++) {
    s->times[row] = s->times[2 * row];
    for (uint32_t t = 0; t < s->n_tracks; t++) {
      struct track *track = &s->tracks[t];
      memcpy(track->cells + row * track->columns, track->cells + 2 * row * track->columns,
             track->columns * sizeof *track->cells);
    }
  }
  s->rows = kept;
  s->interval_ns *= 2;
}

static void sleep_until(struct load_sampler *s, uint64_t due)
{
  for (uint64_t now = load_mono_ns(); now < due && !atomic_load_explicit(&s->stop, memory_order_acquire);
       now = load_mono_ns()) {
    uint64_t until = due - now > LONGEST_NAP_NS ? now + LONGEST_NAP_NS : due;
    struct timespec t = {.tv_sec = (time_t)(until / 1000000000U), .tv_nsec = (long)(until % 1000000000U)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
  }
}

static void *sample(void *arg)
{
  struct load_sampler *s = arg;
  uint64_t due = load_mono_ns();
  while (!atomic_load_explicit(&s->stop, memory_order_acquire)) {
    if (s->rows + 1 >= s->capacity)
      thin(s);
    take_row(s);
    due += s->interval_ns;
    uint64_t now = load_mono_ns();
    if (due < now)
      due = now; /* late: rows carry their own time, none is made up */
    sleep_until(s, due);
  }
  take_row(s); /* what was complete at the end */
  return NULL;
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

static void *reserve(uint64_t bytes)
{
  /* pages come with the rows that use them */
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at != MAP_FAILED ? at : NULL;
}

static bool make_tracks(struct load_sampler *s, struct load_end *const *ends, uint32_t n)
{
  s->tracks = calloc(n > 0 ? n : 1, sizeof *s->tracks);
  for (uint32_t i = 0; s->tracks != NULL && i < n; i++) {
    if (!ends[i]->spec.source)
      continue;
    struct track *track = &s->tracks[s->n_tracks++];
    track->end = ends[i];
    track->columns = ends[i]->spec.flow.qps * (ends[i]->spec.flow.options.n_sizes > 0 ? 2 : 1);
    (void)snprintf(track->name, sizeof track->name, "end-%" PRIu32, i);
    s->row_bytes += track->columns * sizeof *track->cells;
  }
  return s->tracks != NULL;
}

static bool make_rows(struct load_sampler *s, uint64_t budget_bytes)
{
  s->row_bytes += sizeof *s->times;
  s->capacity = budget_bytes / s->row_bytes;
  if (s->capacity < 16)
    s->capacity = 16;
  if (s->capacity > MOST_ROWS_AHEAD)
    s->capacity = MOST_ROWS_AHEAD;
  s->times = reserve(s->capacity * sizeof *s->times);
  for (uint32_t t = 0; t < s->n_tracks; t++) {
    s->tracks[t].cells = reserve(s->capacity * s->tracks[t].columns * sizeof *s->tracks[t].cells);
    if (s->tracks[t].cells == NULL)
      return false;
  }
  return s->times != NULL;
}

struct load_sampler *load_sampler_start(struct load_end *const *ends, uint32_t n, uint64_t interval_ns,
                                        uint64_t budget_bytes, struct load_error *e)
{
  struct load_sampler *s = calloc(1, sizeof *s);
  if (s == NULL || !make_tracks(s, ends, n) || !make_rows(s, budget_bytes)) {
    load_sampler_free(s);
    (void)load_fail(e, LOAD_NO_RESOURCES, "memory is short for series of %" PRIu64 " MB", budget_bytes >> 20);
    return NULL;
  }
  s->interval_ns = interval_ns;
  int error = pthread_create(&s->thread, NULL, sample, s);
  if (error != 0) {
    load_sampler_free(s);
    (void)load_fail_os(e, error, "the sampling thread");
    return NULL;
  }
  s->running = true;
  return s;
}

/* --- the end --------------------------------------------------------------------------------------------------- */

static uint64_t total_of(const struct track *track, uint64_t row)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < track->end->spec.flow.qps; i++)
    sum += track->cells[row * track->columns + i];
  return sum;
}

/* Least, mean and greatest rate between two rows that both lie between the first and the last completion: what comes
 * before and after is not the flow's rate. */
static void set_rates(struct load_sampler *s, struct track *track)
{
  struct load_end *end = track->end;
  if (end->first_completion == 0)
    return;
  uint64_t from = load_clock_ns(end->clock, end->first_completion), to = load_clock_ns(end->clock, end->last_completion);
  uint64_t first = UINT64_MAX, last = 0, before = 0;
  double least = 0, most = 0;
  for (uint64_t row = 0; row < s->rows; row++) {
    if (s->times[row] < from || s->times[row] > to)
      continue;
    uint64_t total = total_of(track, row);
    if (first == UINT64_MAX) {
      first = row;
    } else {
      double rate = (double)(total - before) * 8e9 / (double)(s->times[row] - s->times[last]);
      least = row == first + 1 || rate < least ? rate : least;
      most = rate > most ? rate : most;
    }
    before = total;
    last = row;
  }
  if (first == UINT64_MAX || last == first)
    return;
  end->has_rates = true;
  end->rate_min_bps = least;
  end->rate_max_bps = most;
  end->rate_mean_bps = (double)(total_of(track, last) - total_of(track, first)) * 8e9 /
                       (double)(s->times[last] - s->times[first]);
}

void load_sampler_stop(struct load_sampler *s)
{
  if (s == NULL || !s->running)
    return;
  atomic_store_explicit(&s->stop, true, memory_order_release);
  (void)pthread_join(s->thread, NULL);
  s->running = false;
  for (uint32_t t = 0; t < s->n_tracks; t++) {
    set_rates(s, &s->tracks[t]);
    s->tracks[t].end->series_rows = s->rows;
    s->tracks[t].end->series_interval_ns = s->interval_ns;
  }
}

/* Columns [from, from + columns) of `width` wide rows; no columns: a vector. */
struct table {
  const uint64_t *cells;
  uint64_t rows;
  uint32_t width, from, columns;
};

static int write_table(const char *path, const struct table *table)
{
  struct npy *file = NULL;
  int error = npy_open(&file, path, NPY_INT64, table->columns);
  for (uint64_t row = 0; error == 0 && row < table->rows; row++)
    error = npy_row(file, table->cells + row * table->width + table->from);
  int closed = npy_close(file);
  return error != 0 ? error : closed;
}

/* Also fails when the path is longer than any may be: nothing is written elsewhere. */
static bool write_file(const char *folder, const char *name, const struct table *table, struct load_error *e)
{
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/%s", folder, name);
  int error = length < 0 || (size_t)length >= sizeof path ? ENAMETOOLONG : write_table(path, table);
  return error == 0 || load_fail_os(e, error, "series %.200s", path);
}

bool load_sampler_write(struct load_sampler *s, const char *folder, struct load_error *e)
{
  struct table times = {.cells = s->times, .rows = s->rows, .width = 1};
  for (uint32_t t = 0; t < s->n_tracks; t++) {
    struct track *track = &s->tracks[t];
    uint32_t qps = track->end->spec.flow.qps;
    struct table bytes = {track->cells, s->rows, track->columns, 0, qps}, messages = bytes;
    messages.from = qps;
    char name[NAME_BYTES + 16];
    (void)snprintf(name, sizeof name, "%s.time.npy", track->name);
    bool good = write_file(folder, name, &times, e);
    (void)snprintf(name, sizeof name, "%s.bytes.npy", track->name);
    good = good && write_file(folder, name, &bytes, e);
    (void)snprintf(name, sizeof name, "%s.messages.npy", track->name);
    if (!good || (track->columns > qps && !write_file(folder, name, &messages, e)))
      return false;
    track->end->series_file = track->name;
  }
  return true;
}

uint64_t load_sampler_bytes(const struct load_sampler *s)
{
  return s->rows * s->row_bytes;
}

void load_sampler_free(struct load_sampler *s)
{
  if (s == NULL)
    return;
  load_sampler_stop(s);
  for (uint32_t t = 0; s->tracks != NULL && t < s->n_tracks; t++) {
    s->tracks[t].end->series_file = NULL; /* its name goes with the track */
    if (s->tracks[t].cells != NULL)
      munmap(s->tracks[t].cells, s->capacity * s->tracks[t].columns * sizeof *s->tracks[t].cells);
  }
  if (s->times != NULL)
    munmap(s->times, s->capacity * sizeof *s->times);
  free(s->tracks);
  free(s);
}
