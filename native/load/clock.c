#include "clock.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { LOOKS = 16 }; /* the best of so many: an interrupt spoils some */

struct instant {
  uint64_t ticks, mono_ns;
};

/* Both clocks at once: CLOCK_MONOTONIC between two looks at the counter, of the pair that is the closest. */
static struct instant now(void)
{
  struct instant best = {0};
  uint64_t least = UINT64_MAX;
  for (unsigned i = 0; i < LOOKS; i++) {
    uint64_t before = load_ticks(), mono_ns = load_mono_ns(), bracket = load_ticks() - before;
    if (bracket >= least)
      continue;
    least = bracket;
    best = (struct instant){before + bracket / 2, mono_ns};
  }
  return best;
}

/* Whether the counter runs at one rate in all states of the processor. */
static bool is_steady(void)
{
#if defined(__x86_64__)
  enum { POWER_LEAF = 0x80000007, INVARIANT = 1 << 8 }; /* EDX bit 8: Intel SDM volume 3, "Invariant TSC" */
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid((unsigned)POWER_LEAF, &a, &b, &c, &d) != 0 && (d & INVARIANT) != 0;
#else
  return true; /* the generic timer's rate is fixed (Arm DDI 0487, D11); CLOCK_MONOTONIC_RAW is the kernel's word */
#endif
}

static void wait_ns(uint64_t span_ns)
{
  struct timespec left = {.tv_sec = (time_t)(span_ns / UINT64_C(1000000000)),
                          .tv_nsec = (long)(span_ns % UINT64_C(1000000000))};
  while (nanosleep(&left, &left) != 0)
    ;
}

void load_clock_init(struct load_clock *c, uint64_t span_ns)
{
  struct instant first = now();
  *c = (struct load_clock){
      .ticks0 = first.ticks, .mono0_ns = first.mono_ns, .ticks_per_ns = 1, .steady = is_steady()};
  wait_ns(span_ns);
  load_clock_refine(c);
}

void load_clock_refine(struct load_clock *c)
{
  struct instant later = now();
  if (later.mono_ns > c->mono0_ns && later.ticks > c->ticks0)
    c->ticks_per_ns = (double)(later.ticks - c->ticks0) / (double)(later.mono_ns - c->mono0_ns);
}
