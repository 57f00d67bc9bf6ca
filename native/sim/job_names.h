/* Names of the congestion control algorithms of this build, one for each native/sim/cc_*.c. The build writes
 * job_names.c. */
#ifndef ROCE_SIM_JOB_NAMES_H
#define ROCE_SIM_JOB_NAMES_H

#include <stdbool.h>
#include <stddef.h>

bool job_known_algorithm(const char *name);

/* Name number `index` in alphabetical order, NULL after the last. */
const char *job_algorithm_name(size_t index);

#endif
