#include <math.h>

#include "common/rng.h"
#include "test.h"

/* State 1, 2, 3, 4 gives these numbers by hand: 2*5 = 10, rotl 7 = 1280, *9 = 11520, and so on. */
TEST(rng_is_xoshiro256_starstar)
{
  struct rng rng = {{1, 2, 3, 4}};
  ASSERT_EQ(rng_u64(&rng), UINT64_C(11520));
  ASSERT_EQ(rng_u64(&rng), UINT64_C(0));
  ASSERT_EQ(rng_u64(&rng), UINT64_C(1509978240));
  ASSERT_EQ(rng_u64(&rng), UINT64_C(1215971899390074240));
}

/* The first outputs of splitmix64 from 0 are well known. */
TEST(rng_is_seeded_by_splitmix64)
{
  struct rng rng;
  rng_seed(&rng, 0);
  ASSERT_EQ(rng.s[0], UINT64_C(0xe220a8397b1dcdaf));
  ASSERT_EQ(rng.s[1], UINT64_C(0x6e789e6aa1b965f4));
  ASSERT_EQ(rng.s[2], UINT64_C(0x06c45d188009454f));
  ASSERT_EQ(rng.s[3], UINT64_C(0xf88bb8a8724c81ec));
}

TEST(rng_streams_differ)
{
  struct rng a;
  struct rng b;
  struct rng c;
  rng_seed_stream(&a, 1, 0);
  rng_seed_stream(&b, 1, 1);
  rng_seed_stream(&c, 2, 0);
  int equal = 0;
  for (int i = 0; i < 1000; i++) {
    uint64_t x = rng_u64(&a);
    uint64_t y = rng_u64(&b);
    equal += x == y || x == rng_u64(&c) ? 1 : 0;
  }
  ASSERT_EQ(equal, 0);
  rng_seed_stream(&a, 1, 5);
  rng_seed_stream(&b, 1, 5);
  ASSERT_EQ(rng_u64(&a), rng_u64(&b));
}

TEST(rng_doubles_fill_the_unit_interval)
{
  enum { N = 200000 };
  struct rng rng;
  rng_seed(&rng, 3);
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < N; i++) {
    double x = rng_double(&rng);
    ASSERT(x >= 0.0 && x < 1.0);
    sum += x;
    squares += x * x;
  }
  ASSERT_NEAR(sum / N, 0.5, 4 * sqrt(1.0 / 12 / N)); /* four standard errors */
  ASSERT_NEAR(squares / N - sum / N * (sum / N), 1.0 / 12, 0.001);
}

TEST(rng_exponential_has_its_mean)
{
  enum { N = 200000 };
  struct rng rng;
  rng_seed(&rng, 4);
  double sum = 0.0;
  int above = 0;
  for (int i = 0; i < N; i++) {
    double x = rng_exponential(&rng, 7.0);
    ASSERT(x >= 0.0 && isfinite(x));
    sum += x;
    above += x > 7.0 ? 1 : 0;
  }
  ASSERT_NEAR(sum / N, 7.0, 4 * 7.0 / sqrt(N));
  ASSERT_NEAR((double)above / N, exp(-1.0), 0.005);
}

/* Chi square of 10 cells, 9 degrees of freedom: 27.9 is passed by one in a thousand. */
TEST(rng_below_is_even)
{
  enum { N = 100000, CELLS = 10 };
  int seen[CELLS] = {0};
  struct rng rng;
  rng_seed(&rng, 5);
  for (int i = 0; i < N; i++) {
    uint64_t x = rng_below(&rng, CELLS);
    ASSERT(x < CELLS);
    seen[x]++;
  }
  double chi = 0.0;
  for (int i = 0; i < CELLS; i++) {
    double expected = (double)N / CELLS;
    chi += (seen[i] - expected) * (seen[i] - expected) / expected;
  }
  ASSERT(chi < 27.9);
}

/* With a bound of 3/4 of the range a biased method would give the lower third twice as often. */
TEST(rng_below_has_no_bias_for_large_bounds)
{
  enum { N = 30000 };
  uint64_t bound = UINT64_C(3) << 62;
  int low = 0;
  struct rng rng;
  rng_seed(&rng, 6);
  for (int i = 0; i < N; i++) {
    low += rng_below(&rng, bound) < bound / 3 ? 1 : 0;
  }
  ASSERT_NEAR((double)low / N, 1.0 / 3, 0.012);
}

TEST(rng_below_of_small_bounds)
{
  struct rng rng;
  rng_seed(&rng, 8);
  ASSERT_EQ(rng_below(&rng, 0), UINT64_C(0));
  ASSERT_EQ(rng_below(&rng, 1), UINT64_C(0));
}
