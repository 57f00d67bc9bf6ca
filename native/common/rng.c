#include "rng.h"

#include <math.h>

/* One step of splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t splitmix64(uint64_t *state)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

void rng_seed(struct rng *rng, uint64_t seed)
{
  for (int i = 0; i < 4; i++) {
    rng->s[i] = splitmix64(&seed);
  }
}

void rng_seed_stream(struct rng *rng, uint64_t seed, uint64_t stream)
{
  uint64_t mixed = splitmix64(&seed);
  mixed ^= rng_rotl(stream, 32);
  rng_seed(rng, splitmix64(&mixed));
}

double rng_exponential(struct rng *rng, double mean)
{
  return -log1p(-rng_double(rng)) * mean;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
  if (bound <= 1) {
    return 0;
  }
  /* Lemire (2019): the high half of a 64 x 64 product is uniform once the short low halves are rejected. */
  __extension__ typedef unsigned __int128 u128;
  u128 product = (u128)rng_u64(rng) * bound;
  if ((uint64_t)product < bound) {
    uint64_t threshold = (0 - bound) % bound;
    while ((uint64_t)product < threshold) {
      product = (u128)rng_u64(rng) * bound;
    }
  }
  return (uint64_t)(product >> 64);
}
