/* `defects`: which ones, by name. */
#include <string.h>

#include "defect.h"
#include "job_parts.h"

#define DEFECT_INFO(id, name, part, what) {name, part, what},
const struct defect_info defect_info[DEFECT_COUNT] = {DEFECT_LIST(DEFECT_INFO)};
#undef DEFECT_INFO

/* --- names ---------------------------------------------------------------------------------------------------- */

static bool fail_no_defect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value)
{
  struct job_nearest nearest = {.name = value->string, .length = value->count};
  char hint[JOB_HINT_BYTES];
  for (size_t i = 0; i < DEFECT_COUNT; i++) {
    job_nearest_try(&nearest, defect_info[i].name);
  }
  job_nearest_hint(&nearest, hint);
  return job_fail_value(ctx, where, value, "is no defect%s; roce-sim --list-defects prints them", hint);
}

static bool read_defect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                        uint64_t *mask)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  for (size_t i = 0; i < DEFECT_COUNT; i++) {
    if (json_string_is(value, defect_info[i].name)) {
      *mask |= defect_bit((enum defect)i);
      return true;
    }
  }
  return fail_no_defect(ctx, where, value);
}

bool job_read_defects(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  size_t index = 0;
  if (!job_list(ctx, where, value, DEFECT_COUNT, "defects")) {
    return false;
  }
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    if (!read_defect(ctx, JOB_INDEX(where, index), element, out)) {
      return false;
    }
  }
  return true;
}
