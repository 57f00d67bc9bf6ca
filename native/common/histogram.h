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

/* Frees what it owns and leaves it empty. */
void histogram_free(struct histogram *h);

/* Returns false, changing nothing, when memory is short. */
bool histogram_add(struct histogram *h, uint64_t value);

/* Adds all values of `from`. Returns false when memory is short; `h` is then incomplete. */
bool histogram_merge(struct histogram *h, const struct histogram *from);

uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_min(const struct histogram *h); /* 0 when empty */
uint64_t histogram_max(const struct histogram *h); /* 0 when empty */
double histogram_mean(const struct histogram *h);  /* exact sum / count; 0 when empty: look at count first */

/* The value of rank ceil(q * count), q from 0 to 1, within 1/128 and never outside [min, max]; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);

#endif
