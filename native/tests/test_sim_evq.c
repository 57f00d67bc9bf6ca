/* The event queue against a plain sorted array, with ties, far horizons and disarming. */
#include <stdlib.h>

#include "common/rng.h"
#include "sim/evq.h"
#include "test.h"

enum { SLOTS = 300 };

/* What the queue should hold: armed slots, searched from end to end. */
struct naive {
  uint64_t time[SLOTS], order[SLOTS];
  bool armed[SLOTS];
};

static uint32_t naive_first(const struct naive *n)
{
  uint32_t best = EVQ_NONE;
  for (uint32_t i = 0; i < SLOTS; i++) {
    if (!n->armed[i])
      continue;
    if (best == EVQ_NONE || n->time[i] < n->time[best] || (n->time[i] == n->time[best] && n->order[i] < n->order[best]))
      best = i;
  }
  return best;
}

/* Delays of every kind: none, ties, within a bucket, across the wheel, far beyond it. */
static uint64_t some_delay(struct rng *r)
{
  switch (rng_below(r, 6)) {
  case 0:
    return 0;
  case 1:
    return 1000 * rng_below(r, 3);
  case 2:
    return rng_below(r, 50);
  case 3:
    return rng_below(r, 1000000);
  case 4:
    return rng_below(r, 100000000);
  default:
    return 1000000000ull * rng_below(r, 100000);
  }
}

static void arm_some(struct evq *q, struct naive *n, struct rng *r, uint64_t now, uint64_t *order)
{
  uint32_t slot = (uint32_t)rng_below(r, SLOTS);
  if (n->armed[slot]) {
    evq_disarm(q, slot);
    n->armed[slot] = false;
    if (rng_below(r, 3) == 0)
      return;
  }
  n->time[slot] = now + some_delay(r);
  n->order[slot] = (*order)++;
  n->armed[slot] = true;
  evq_arm(q, slot, n->time[slot], n->order[slot]);
}

static void compare_run(uint64_t seed, uint64_t horizon_ps, uint32_t steps)
{
  struct rng r;
  struct naive n = {.armed = {false}};
  uint64_t now = 0, order = 0;
  struct evq *q = evq_new(SLOTS, horizon_ps);
  ASSERT(q != NULL);
  rng_seed(&r, seed);
  for (uint32_t i = 0; i < SLOTS; i++)
    ASSERT_EQ(evq_add_slot(q, 1, i), i);
  for (uint32_t i = 0; i < steps; i++) {
    if (rng_below(&r, 100) < 55) {
      arm_some(q, &n, &r, now, &order);
      continue;
    }
    uint32_t expected = naive_first(&n);
    ASSERT_EQ(evq_peek_time(q), expected == EVQ_NONE ? EVQ_NEVER : n.time[expected]);
    ASSERT_EQ(evq_pop(q), expected);
    if (expected == EVQ_NONE)
      continue;
    now = n.time[expected];
    n.armed[expected] = false;
    ASSERT(!q->slots[expected].armed);
  }
  evq_free(q);
}

TEST(evq_agrees_with_a_sorted_list)
{
  for (uint64_t seed = 1; seed <= 20; seed++)
    compare_run(seed, 1000000, 4000);
}

TEST(evq_agrees_whatever_its_bucket_width)
{
  const uint64_t horizons[] = {0, 1, 1000, 100000000, 1000000000000ull, UINT64_MAX / 4};
  for (size_t i = 0; i < sizeof horizons / sizeof *horizons; i++)
    compare_run(99 + i, horizons[i], 4000);
}

TEST(evq_many_events_in_one_bucket)
{
  enum { N = 200 };
  struct evq *q = evq_new(N, 1000000000);
  ASSERT(q != NULL);
  for (uint32_t i = 0; i < N; i++) {
    evq_add_slot(q, 0, i);
    evq_arm(q, i, 5000000000ull + i * 7919 % 50, i); /* far enough to be sorted when their bucket opens */
  }
  uint64_t time = 0, order = 0;
  for (uint32_t i = 0; i < N; i++) {
    uint32_t slot = evq_pop(q);
    ASSERT(slot != EVQ_NONE);
    const struct evq_slot *s = &q->slots[slot];
    ASSERT(s->time > time || (s->time == time && s->order > order) || i == 0);
    time = s->time;
    order = s->order;
  }
  ASSERT_EQ(evq_pop(q), EVQ_NONE);
  evq_free(q);
}

TEST(evq_an_empty_queue_has_nothing)
{
  struct evq *q = evq_new(1, 1000);
  ASSERT(q != NULL);
  ASSERT_EQ(evq_pop(q), EVQ_NONE);
  ASSERT_EQ(evq_peek_time(q), EVQ_NEVER);
  uint32_t slot = evq_add_slot(q, 3, 42);
  evq_disarm(q, slot); /* not armed: nothing happens */
  evq_arm(q, slot, 10, 0);
  evq_disarm(q, slot);
  ASSERT_EQ(evq_pop(q), EVQ_NONE);
  evq_free(q);
}

TEST(evq_new_survives_a_lack_of_memory)
{
  for (uint64_t nth = 1; nth <= 5; nth++) {
    test_fail_allocation(nth);
    struct evq *q = evq_new(10, 1000);
    test_fail_allocation(0);
    ASSERT(q == NULL);
  }
}
