#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/clock.h"
#include "test.h"

enum { MS = 1000000, TRIES = 40 };

static void sleep_ms(long ms)
{
  nanosleep(&(struct timespec){.tv_nsec = ms * MS}, NULL);
}

/* How far the clock is from CLOCK_MONOTONIC now, by the look that was interrupted least. */
static uint64_t distance_ns(const struct load_clock *c)
{
  uint64_t least = UINT64_MAX, distance = 0;
  for (int i = 0; i < TRIES; i++) {
    uint64_t before = load_mono_ns(), by_ticks = load_clock_ns(c, load_ticks()), after = load_mono_ns();
    if (after - before >= least)
      continue;
    least = after - before;
    distance = by_ticks < before ? before - by_ticks : by_ticks > after ? by_ticks - after : 0;
  }
  return distance;
}

/* A machine that is busy with other things may spoil a try, not five. */
TEST(load_clock_follows_the_monotonic_clock)
{
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < 5 && best > 20000; i++) {
    struct load_clock c;
    load_clock_init(&c, 10 * MS);
    sleep_ms(50);
    uint64_t distance = distance_ns(&c);
    best = distance < best ? distance : best;
  }
  ASSERT(best <= 20000);
}

TEST(load_clock_measures_at_least_as_long_as_it_is_told)
{
  struct load_clock c;
  uint64_t before = load_mono_ns();
  load_clock_init(&c, 5 * MS);
  ASSERT(load_mono_ns() - before >= 5 * MS);
  ASSERT(c.mono0_ns >= before && c.mono0_ns <= load_mono_ns());
  ASSERT(c.ticks_per_ns > 0.001 && c.ticks_per_ns < 10); /* CNTVCT of 1 MHz to a TSC of 10 GHz */
}

TEST(load_clock_gets_better_by_measuring_longer)
{
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < 5 && best > 5000; i++) {
    struct load_clock c;
    load_clock_init(&c, 1 * MS);
    c.ticks_per_ns *= 1.01; /* as if the first measurement had been poor: 1 ms off after 100 ms */
    sleep_ms(100);
    ASSERT(distance_ns(&c) > 500000);
    load_clock_refine(&c);
    uint64_t distance = distance_ns(&c);
    best = distance < best ? distance : best;
  }
  ASSERT(best <= 5000);
}

TEST(load_clock_converts_both_ways_and_before_its_start)
{
  struct load_clock c = {.ticks0 = 1000000, .mono0_ns = 5000000, .ticks_per_ns = 2.5, .steady = true};
  ASSERT_EQ(load_clock_ns(&c, 1000000), UINT64_C(5000000));
  ASSERT_EQ(load_clock_ns(&c, 1000025), UINT64_C(5000010));
  ASSERT_EQ(load_clock_ns(&c, 999975), UINT64_C(4999990));
  ASSERT_EQ(load_clock_ticks(&c, 5000010), UINT64_C(1000025));
  ASSERT_EQ(load_clock_ticks(&c, 4999990), UINT64_C(999975));
  ASSERT_NEAR(load_clock_span_ns(&c, 25), 10.0, 1e-12);
}

/* The kernel calls an invariant TSC nonstop_tsc (arch/x86/kernel/cpu/common.c). */
TEST(load_clock_is_steady_when_the_kernel_says_so)
{
  struct load_clock c;
  load_clock_init(&c, 0);
#if defined(__x86_64__)
  FILE *info = fopen("/proc/cpuinfo", "re");
  ASSERT(info != NULL);
  char line[8192];
  bool told = false;
  while (fgets(line, sizeof line, info) != NULL && !told)
    told = strncmp(line, "flags", 5) == 0 && strstr(line, " nonstop_tsc") != NULL;
  (void)fclose(info);
  ASSERT_EQ(c.steady, told);
#else
  ASSERT(c.steady);
#endif
}

TEST(load_clock_ticks_never_go_back)
{
  uint64_t last = load_ticks();
  for (int i = 0; i < 100000; i++) {
    uint64_t t = load_ticks();
    ASSERT(t >= last);
    last = t;
  }
}
