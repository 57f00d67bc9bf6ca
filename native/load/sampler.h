/* Per-QP counts over time: one thread reads what the workers count and disturbs none of them.
 *
 * Memory is bounded: when it is used up every other row is dropped and the interval doubles.
 */
#ifndef ROCE_LOAD_SAMPLER_H
#define ROCE_LOAD_SAMPLER_H

#include "end.h"

struct load_sampler;

/* Samples the sources among `ends` every `interval_ns` from now on; at most `budget_bytes`. */
struct load_sampler *load_sampler_start(struct load_end *const *ends, uint32_t n, uint64_t interval_ns,
                                        uint64_t budget_bytes, struct load_error *e);
/* Ends the thread, and sets the interval rates of each source. */
void load_sampler_stop(struct load_sampler *s);
/* Writes `<folder>/end-<i>.bytes.npy` (rows x QPs, bytes complete so far), `.messages.npy` where sizes differ, and
 * `.time.npy` (CLOCK_MONOTONIC ns). Sets series_file (without the suffix) and series_rows of each source. */
bool load_sampler_write(struct load_sampler *s, const char *folder, struct load_error *e);
uint64_t load_sampler_bytes(const struct load_sampler *s); /* of memory in use */
void load_sampler_free(struct load_sampler *s);

#endif
