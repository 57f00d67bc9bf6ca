/* Preloaded, gettimeofday advances by one microsecond a call: the same run then takes the same instructions.
 *
 * perftest calibrates its cycle counter by asking for the time until enough of it has passed, millions of instructions
 * that vary from run to run. What it prints of bandwidth means nothing under this clock.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/time.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
  static _Atomic uint64_t calls; /* a clock is state of the process, and the call has no argument to hold it */
  (void)zone;
  uint64_t us = atomic_fetch_add(&calls, 1);
  now->tv_sec = (time_t)(us / 1000000);
  now->tv_usec = (suseconds_t)(us % 1000000);
  return 0;
}
