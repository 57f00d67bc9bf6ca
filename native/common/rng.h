/* xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. All state is in the struct. */
#ifndef ROCE_COMMON_RNG_H
#define ROCE_COMMON_RNG_H

#include <stdint.h>

struct rng {
  uint64_t s[4]; /* never all zero after seeding */
};

/* The same seed gives the same sequence on every machine. */
void rng_seed(struct rng *rng, uint64_t seed);

/* Independent sequences from one seed, one for each `stream` (a node, a flow, ...). */
void rng_seed_stream(struct rng *rng, uint64_t seed, uint64_t stream);

static inline uint64_t rng_rotl(uint64_t x, unsigned k)
{
  return (x << k) | (x >> (64U - k));
}

static inline uint64_t rng_u64(struct rng *rng)
{
  uint64_t *s = rng->s;
  uint64_t result = rng_rotl(s[1] * 5U, 7) * 9U;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rng_rotl(s[3], 45);
  return result;
}

/* Uniform in [0, 1), a multiple of 2^-53. */
static inline double rng_double(struct rng *rng)
{
  return (double)(rng_u64(rng) >> 11) * 0x1.0p-53;
}

/* Exponential with the given mean; always finite, at least 0. */
double rng_exponential(struct rng *rng, double mean);

/* Uniform in [0, bound) without bias; `bound` is at least 1 (0 gives 0). */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
