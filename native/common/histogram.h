/* Log-linear histogram of 64-bit values with at most 1 % relative error.
 *
 * Each octave has 64 equal buckets, a value is reported as the middle of its bucket: the error is at most 1/128. Values
 * below 128 are exact. Octaves are allocated when first used (256 bytes each), so thousands of histograms are cheap.
 */
#ifndef ROCE_COMMON_HISTOGRAM_H
#define ROCE_COMMON_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

struct histogram {
  uint64_t count, min, max;   /* min and max mean nothing while count is 0 */
  uint64_t sum_low, sum_high; /* 128-bit sum */
  uint32_t **octaves;         /* NULL until the first value */
};

/* An all-zero struct is an empty histogram too. */
void histogram_init(struct histogram *h);

/* Allocates all octaves (15 kB), after which histogram_add() allocates nothing. Returns false when memory is short. */
bool histogram_reserve(struct histogram *h);

/* Leaves it empty without giving memory back. */
void histogram_clear(struct histogram *h);

/* Frees what it owns and leaves it empty. */
void histogram_free(struct histogram *h);

/* Returns false, changing nothing, when memory is short. */
bool histogram_add(struct histogram *h, uint64_t value);

/* The same for one that was reserved: for hot paths. A bucket holds 2^32 - 1 values. */
static inline void histogram_add_reserved(struct histogram *h, uint64_t value)
{
  unsigned octave = 58U - (unsigned)__builtin_clzll(value | 63U); /* of 64 buckets each; 0 holds 0..63 */
  h->octaves[octave][octave == 0 ? value : (value >> (octave - 1)) - 64U]++;
  if (h->count++ == 0) {
    h->min = h->max = value;
  }
  h->min = value < h->min ? value : h->min;
  h->max = value > h->max ? value : h->max;
  h->sum_low += value;
  h->sum_high += h->sum_low < value;
}

/* Adds all values of `from`. Returns false when memory is short; `h` is then incomplete. */
bool histogram_merge(struct histogram *h, const struct histogram *from);

uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_min(const struct histogram *h); /* 0 when empty */
uint64_t histogram_max(const struct histogram *h); /* 0 when empty */
double histogram_mean(const struct histogram *h);  /* exact sum / count; 0 when empty: look at count first */

/* The value of rank ceil(q * count), q from 0 to 1, within 1/128 and never outside [min, max]; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);

/* Calls `visit` for each bucket that is not empty, in order: its least value, the least value above it (0 for the last
 * of all), and how many values it has. */
void histogram_each(const struct histogram *h, void (*visit)(void *arg, uint64_t from, uint64_t to, uint64_t count),
                    void *arg);

#endif
