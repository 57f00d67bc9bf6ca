#include "histogram.h"

#include <stdlib.h>
#include <string.h>

enum {
  SUB_BITS = 6,
  SUB_BUCKETS = 1 << SUB_BITS,
  OCTAVES = 64 - SUB_BITS + 1, /* octave 0 holds 0..63, octave k holds 64 * 2^(k-1) .. 64 * 2^k - 1 */
};

/* Where a value is counted. */
struct slot {
  unsigned octave, bucket;
};

static struct slot slot_of(uint64_t value)
{
  if (value < SUB_BUCKETS) {
    return (struct slot){0, (unsigned)value};
  }
  unsigned top = 63U - (unsigned)__builtin_clzll(value);
  unsigned octave = top - SUB_BITS + 1;
  return (struct slot){octave, (unsigned)(value >> (octave - 1)) - SUB_BUCKETS};
}

/* The middle of a bucket. */
static uint64_t slot_value(struct slot slot)
{
  if (slot.octave == 0) {
    return slot.bucket;
  }
  uint64_t width = UINT64_C(1) << (slot.octave - 1);
  return (SUB_BUCKETS + (uint64_t)slot.bucket) * width + width / 2;
}

void histogram_init(struct histogram *h)
{
  memset(h, 0, sizeof *h);
}

void histogram_free(struct histogram *h)
{
  if (h->octaves != NULL) {
    for (unsigned i = 0; i < OCTAVES; i++) {
      free(h->octaves[i]);
    }
    free(h->octaves);
  }
  histogram_init(h);
}

/* The buckets of an octave, allocated when first used; NULL when memory is short. */
static uint32_t *octave_buckets(struct histogram *h, unsigned octave)
{
  if (h->octaves == NULL) {
    h->octaves = calloc(OCTAVES, sizeof *h->octaves);
    if (h->octaves == NULL) {
      return NULL;
    }
  }
  if (h->octaves[octave] == NULL) {
    h->octaves[octave] = calloc(SUB_BUCKETS, sizeof **h->octaves);
  }
  return h->octaves[octave];
}

bool histogram_reserve(struct histogram *h)
{
  for (unsigned i = 0; i < OCTAVES; i++) {
    if (octave_buckets(h, i) == NULL) {
      return false;
    }
  }
  return true;
}

void histogram_clear(struct histogram *h)
{
  uint32_t **octaves = h->octaves;
  for (unsigned i = 0; octaves != NULL && i < OCTAVES; i++) {
    if (octaves[i] != NULL) {
      memset(octaves[i], 0, SUB_BUCKETS * sizeof **octaves);
    }
  }
  histogram_init(h);
  h->octaves = octaves;
}

void histogram_each(const struct histogram *h, void (*visit)(void *arg, uint64_t from, uint64_t to, uint64_t count),
                    void *arg)
{
  for (unsigned octave = 0; h->octaves != NULL && octave < OCTAVES; octave++) {
    uint64_t width = octave == 0 ? 1 : UINT64_C(1) << (octave - 1);
    uint64_t base = octave == 0 ? 0 : SUB_BUCKETS;
    for (unsigned i = 0; h->octaves[octave] != NULL && i < SUB_BUCKETS; i++) {
      uint64_t from = (base + i) * width;
      if (h->octaves[octave][i] != 0) {
        visit(arg, from, from + width, h->octaves[octave][i]);
      }
    }
  }
}

static void add_sum(struct histogram *h, uint64_t low, uint64_t high)
{
  h->sum_low += low;
  h->sum_high += high + (h->sum_low < low ? 1 : 0);
}

/* Counts saturate; four thousand million values in one bucket are beyond any run. */
static void bump(uint32_t *counter, uint32_t by)
{
  *counter = *counter > UINT32_MAX - by ? UINT32_MAX : *counter + by;
}

bool histogram_add(struct histogram *h, uint64_t value)
{
  struct slot slot = slot_of(value);
  uint32_t *buckets = octave_buckets(h, slot.octave);
  if (buckets == NULL) {
    return false;
  }
  bump(&buckets[slot.bucket], 1);
  if (h->count == 0 || value < h->min) {
    h->min = value;
  }
  if (h->count == 0 || value > h->max) {
    h->max = value;
  }
  h->count++;
  add_sum(h, value, 0);
  return true;
}

/* Adds the buckets of one octave. */
static bool merge_octave(struct histogram *h, const uint32_t *from, unsigned octave)
{
  uint32_t *buckets = octave_buckets(h, octave);
  if (buckets == NULL) {
    return false;
  }
  for (unsigned i = 0; i < SUB_BUCKETS; i++) {
    bump(&buckets[i], from[i]);
  }
  return true;
}

bool histogram_merge(struct histogram *h, const struct histogram *from)
{
  if (from->count == 0) {
    return true;
  }
  for (unsigned i = 0; i < OCTAVES; i++) {
    if (from->octaves[i] != NULL && !merge_octave(h, from->octaves[i], i)) {
      return false;
    }
  }
  h->min = h->count == 0 || from->min < h->min ? from->min : h->min;
  h->max = h->count == 0 || from->max > h->max ? from->max : h->max;
  h->count += from->count;
  add_sum(h, from->sum_low, from->sum_high);
  return true;
}

uint64_t histogram_count(const struct histogram *h)
{
  return h->count;
}

uint64_t histogram_min(const struct histogram *h)
{
  return h->count == 0 ? 0 : h->min;
}

uint64_t histogram_max(const struct histogram *h)
{
  return h->count == 0 ? 0 : h->max;
}

double histogram_mean(const struct histogram *h)
{
  if (h->count == 0) {
    return 0.0;
  }
  double sum = (double)h->sum_high * 0x1.0p64 + (double)h->sum_low;
  return sum / (double)h->count;
}

/* The value of the bucket in which the cumulative count reaches `rank`. */
static uint64_t value_of_rank(const struct histogram *h, uint64_t rank)
{
  uint64_t seen = 0;
  for (unsigned octave = 0; octave < OCTAVES; octave++) {
    const uint32_t *buckets = h->octaves[octave];
    for (unsigned i = 0; buckets != NULL && i < SUB_BUCKETS; i++) {
      seen += buckets[i];
      if (seen >= rank) {
        return slot_value((struct slot){octave, i});
      }
    }
  }
  return h->max;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
  if (h->count == 0 || !(q > 0.0)) {
    return histogram_min(h);
  }
  double exact = q * (double)h->count;
  if (exact >= (double)h->count) {
    return h->max;
  }
  uint64_t rank = (uint64_t)exact;
  rank += (double)rank < exact ? 1 : 0;
  uint64_t value = value_of_rank(h, rank);
  if (value < h->min) {
    return h->min;
  }
  return value > h->max ? h->max : value;
}
