/* What NICs and switches share: scheduler weights and PFC modes. */
#include "job_parts.h"

enum { MAX_WEIGHT = 1000000 };

const struct job_choice job_pfc_modes[] = {{"quanta", PFC_QUANTA}, {"until_resume", PFC_UNTIL_RESUME}, {NULL, 0}};

bool job_read_weights(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  uint32_t *weights = out;
  if (!job_list(ctx, where, value, PRIO_COUNT, "weights")) {
    return false;
  }
  if (value->count != PRIO_COUNT) {
    return job_fail(ctx, where, value, "must have %d weights, one for each priority, has %u", PRIO_COUNT,
                    (unsigned)value->count);
  }
  size_t index = 0;
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    uint64_t weight = 0;
    if (!job_integer(ctx, JOB_INDEX(where, index), element, 0, MAX_WEIGHT, &weight)) {
      return false;
    }
    weights[index] = (uint32_t)weight;
  }
  return true;
}

bool job_check_scheduler(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                         const struct sched_cfg *sched)
{
  for (unsigned i = 0; i < PRIO_COUNT; i++) {
    bool strict = (sched->strict_mask >> i & 1U) != 0;
    if (sched->kind == SCHED_ETS && !strict && sched->weight[i] == 0) {
      return job_fail_key(ctx, where, object, "scheduler",
                          "priority %u has weight 0 and is not strict: it would never send; give it a weight", i);
    }
  }
  return true;
}
