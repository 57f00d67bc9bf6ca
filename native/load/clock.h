/* Time: the processor's counter for the hot path, CLOCK_MONOTONIC for everybody else. */
#ifndef ROCE_LOAD_CLOCK_H
#define ROCE_LOAD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t load_mono_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Ticks of the fastest counter there is: TSC, CNTVCT, else CLOCK_MONOTONIC_RAW in ns. */
static inline uint64_t load_ticks(void)
{
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
#endif
}

/* Ticks against CLOCK_MONOTONIC, measured at two instants. */
struct load_clock {
  uint64_t ticks0, mono0_ns;
  double ticks_per_ns;
  bool steady; /* the processor says that the counter runs at one rate in all states (invariant TSC) */
};

/* Measures over `span_ns` at least, asleep (10 ms gives some 1e-5). load_clock_refine() measures again, over all the
 * time since then, and makes it better; nobody may use the clock meanwhile. */
void load_clock_init(struct load_clock *c, uint64_t span_ns);
void load_clock_refine(struct load_clock *c);

static inline uint64_t load_clock_ns(const struct load_clock *c, uint64_t ticks)
{
  return c->mono0_ns + (uint64_t)(int64_t)((double)(int64_t)(ticks - c->ticks0) / c->ticks_per_ns);
}
static inline uint64_t load_clock_ticks(const struct load_clock *c, uint64_t mono_ns)
{
  return c->ticks0 + (uint64_t)(int64_t)((double)(int64_t)(mono_ns - c->mono0_ns) * c->ticks_per_ns);
}
static inline double load_clock_span_ns(const struct load_clock *c, uint64_t ticks)
{
  return (double)(int64_t)ticks / c->ticks_per_ns;
}

#endif
