#include <math.h>
#include <stdlib.h>

#include "common/histogram.h"
#include "common/rng.h"
#include "test.h"

TEST(histogram_empty)
{
  struct histogram h;
  histogram_init(&h);
  ASSERT_EQ(histogram_count(&h), UINT64_C(0));
  ASSERT_EQ(histogram_quantile(&h, 0.5), UINT64_C(0));
  ASSERT_NEAR(histogram_mean(&h), 0.0, 0.0);
  histogram_free(&h);
}

TEST(histogram_is_exact_below_128)
{
  struct histogram h;
  histogram_init(&h);
  for (uint64_t v = 0; v < 128; v++) {
    ASSERT(histogram_add(&h, v));
  }
  for (uint64_t v = 0; v < 128; v++) {
    ASSERT_EQ(histogram_quantile(&h, (double)(v + 1) / 128.0), v);
  }
  ASSERT_NEAR(histogram_mean(&h), 63.5, 0.0);
  histogram_free(&h);
}

/* A single value in each place of the range: the quantile in the middle of two equal ones is within 1/128. */
TEST(histogram_error_is_below_one_percent)
{
  struct rng rng;
  rng_seed(&rng, 7);
  for (int i = 0; i < 20000; i++) {
    uint64_t value = rng_u64(&rng) >> rng_below(&rng, 64);
    struct histogram h;
    histogram_init(&h);
    ASSERT(histogram_add(&h, value));
    ASSERT(histogram_add(&h, value / 2)); /* so that clamping to [min, max] does not hide the bucket */
    ASSERT(histogram_add(&h, value > UINT64_MAX - value ? UINT64_MAX : 2 * value));
    double got = (double)histogram_quantile(&h, 0.5);
    ASSERT_NEAR(got, (double)value, (double)value / 128.0);
    histogram_free(&h);
  }
}

static int compare(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a;
  uint64_t y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

TEST(histogram_quantiles_follow_the_sorted_values)
{
  enum { N = 5000 };
  static const double q[] = {0.0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};
  uint64_t *values = malloc(N * sizeof *values);
  struct histogram h = {0};
  struct rng rng;
  ASSERT(values != NULL);
  rng_seed(&rng, 11);
  double sum = 0.0;
  for (size_t i = 0; i < N; i++) {
    values[i] = (uint64_t)rng_exponential(&rng, 5e6);
    sum += (double)values[i];
    ASSERT(histogram_add(&h, values[i]));
  }
  qsort(values, N, sizeof *values, compare);
  for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
    size_t rank = (size_t)ceil(q[i] * N);
    double expected = (double)values[rank == 0 ? 0 : rank - 1];
    ASSERT_NEAR((double)histogram_quantile(&h, q[i]), expected, expected / 128.0);
  }
  ASSERT_EQ(histogram_min(&h), values[0]);
  ASSERT_EQ(histogram_max(&h), values[N - 1]);
  ASSERT_NEAR(histogram_mean(&h), sum / N, sum * 1e-12);
  histogram_free(&h);
  free(values);
}

TEST(histogram_takes_the_largest_values)
{
  struct histogram h = {0};
  ASSERT(histogram_add(&h, UINT64_MAX));
  ASSERT(histogram_add(&h, UINT64_MAX));
  ASSERT(histogram_add(&h, 0));
  ASSERT_EQ(histogram_quantile(&h, 1.0), UINT64_MAX);
  ASSERT_EQ(histogram_quantile(&h, 0.0), UINT64_C(0));
  ASSERT_NEAR(histogram_mean(&h), 2.0 / 3.0 * 0x1p64, 0x1p12);
  ASSERT_NEAR((double)histogram_quantile(&h, 0.5), 0x1p64, 0x1p64 / 128);
  histogram_free(&h);
}

TEST(histogram_merge_adds_up)
{
  struct histogram a = {0};
  struct histogram b = {0};
  struct histogram both = {0};
  for (uint64_t v = 1; v < 1000000; v = v * 3 / 2 + 1) {
    ASSERT(histogram_add(v % 2 == 0 ? &a : &b, v));
    ASSERT(histogram_add(&both, v));
  }
  ASSERT(histogram_merge(&a, &b));
  ASSERT_EQ(histogram_count(&a), histogram_count(&both));
  ASSERT_EQ(histogram_min(&a), histogram_min(&both));
  ASSERT_EQ(histogram_max(&a), histogram_max(&both));
  ASSERT_NEAR(histogram_mean(&a), histogram_mean(&both), 0.0);
  for (int i = 0; i <= 20; i++) {
    double q = i / 20.0;
    ASSERT_EQ(histogram_quantile(&a, q), histogram_quantile(&both, q));
  }
  struct histogram empty = {0};
  ASSERT(histogram_merge(&empty, &b));
  ASSERT_EQ(histogram_min(&empty), histogram_min(&b));
  ASSERT(histogram_merge(&a, &(struct histogram){0}));
  histogram_free(&a);
  histogram_free(&b);
  histogram_free(&both);
  histogram_free(&empty);
}

TEST(histogram_reports_short_memory)
{
  struct histogram h = {0};
  test_fail_allocation(1);
  ASSERT(!histogram_add(&h, 5));
  test_fail_allocation(2);
  ASSERT(!histogram_add(&h, 5));
  test_fail_allocation(0);
  ASSERT_EQ(histogram_count(&h), UINT64_C(0));
  ASSERT(histogram_add(&h, 5));
  ASSERT_EQ(histogram_count(&h), UINT64_C(1));
  histogram_free(&h);
}
