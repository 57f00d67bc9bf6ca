/* How the job parser reads objects: one table per object gives key, type, range, default and place in a struct.
 *
 * Private to job*.c. Functions that return bool return false after filling ctx->error; the first error ends the parse.
 */
#ifndef ROCE_SIM_JOB_FIELDS_H
#define ROCE_SIM_JOB_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/arena.h"
#include "../common/json.h"
#include "../common/namemap.h"
#include "job.h"

/* Bounds of the engine's arithmetic: sums of a few times stay below 2^63 ps, products of bytes and rates below 2^64. */
#define JOB_MAX_PS UINT64_C(1000000000000000000)  /* 11.5 days */
#define JOB_MIN_TIMER_PS UINT64_C(1000)           /* a timer that fires over and over */
#define JOB_MAX_BPS UINT64_C(1000000000000000)    /* 1 Pb/s */
#define JOB_MAX_BUFFER_BYTES UINT64_C(4294967295) /* queues count in 32 bits */

/* Everything the parser passes around. */
struct job_ctx {
  const struct json_doc *doc;
  struct arena *arena; /* the job's: what is allocated here lives as long as the job */
  struct job *job;
  struct job_error *error;
  struct nic_cfg *nic;                /* defaults of every host, in the arena */
  struct switch_cfg *sw;              /* defaults of every switch, in the arena */
  struct namemap nodes, ports, flows; /* name -> index; ports by "node:port" */
};

/* The way from the root to a value, for messages: a chain on the stack, each link a key or a list index. */
struct job_where {
  const struct job_where *up; /* NULL for the root */
  const char *key;            /* NULL: `index` in a list */
  size_t index;
};

#define JOB_KEY(parent, name) (&(const struct job_where){(parent), (name), 0})
#define JOB_INDEX(parent, i) (&(const struct job_where){(parent), NULL, (i)})

enum job_field_kind {
  FIELD_SKIP,       /* known, read by someone else */
  FIELD_VALUE,      /* const struct json_value *, as it is */
  FIELD_BOOL,       /* bool */
  FIELD_U32,        /* uint32_t */
  FIELD_I32,        /* int32_t; null is -1 */
  FIELD_U64,        /* uint64_t; null is 0 */
  FIELD_I64,        /* int64_t; null is -1 */
  FIELD_REAL,       /* double, low <= x <= high */
  FIELD_POSITIVE,   /* double, 0 < x <= high */
  FIELD_BELOW,      /* double, low <= x < high */
  FIELD_ENUM,       /* int-sized enum from `choices` */
  FIELD_STRING,     /* const char *, in the arena; null is NULL */
  FIELD_PRIORITIES, /* uint8_t mask from a list of 0..7 */
  FIELD_PORT,       /* uint32_t index of "node:port" */
  FIELD_OBJECT,     /* keys of a table, laid into the same struct */
  FIELD_CUSTOM,     /* a function */
};

struct job_choice {
  const char *name; /* NULL ends the list */
  int value;
};

struct job_table;
typedef bool job_custom_fn(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                           void *out);

struct job_field {
  const char *key;
  enum job_field_kind kind;
  size_t offset;              /* of the member in the struct the table fills */
  uint64_t low, high;         /* integers */
  double real_low, real_high; /* reals */
  uint64_t fallback;          /* default of integers, booleans, enums, masks; -1 as all ones */
  double real_fallback;
  bool required, nullable;
  const struct job_choice *choices; /* FIELD_ENUM */
  const struct job_table *table;    /* FIELD_OBJECT */
  job_custom_fn *custom;            /* FIELD_CUSTOM; `out` is the member */
};

struct job_table {
  const char *what; /* "a flow", for messages */
  const struct job_field *fields;
  size_t count; /* at most 64 */
};

/* clang-format off */
/* Builders of table entries. `type` is the struct the table fills, `member` its member. */
#define JOB_SKIP(name) {.key = (name), .kind = FIELD_SKIP}
#define JOB_SKIP_REQUIRED(name) {.key = (name), .kind = FIELD_SKIP, .required = true}
#define JOB_VALUE(name, type, member) {.key = (name), .kind = FIELD_VALUE, .offset = offsetof(type, member)}
#define JOB_VALUE_REQUIRED(name, type, member) \
  {.key = (name), .kind = FIELD_VALUE, .offset = offsetof(type, member), .required = true}
#define JOB_BOOL(name, type, member, value) \
  {.key = (name), .kind = FIELD_BOOL, .offset = offsetof(type, member), .fallback = (value)}
#define JOB_U32(name, type, member, value, min, max) \
  {.key = (name), .kind = FIELD_U32, .offset = offsetof(type, member), .fallback = (value), .low = (min), .high = (max)}
#define JOB_I32_OR_NULL(name, type, member, min, max)                                                             \
  {.key = (name), .kind = FIELD_I32, .offset = offsetof(type, member), .fallback = UINT64_MAX, .nullable = true, \
   .low = (min), .high = (max)}
#define JOB_U64(name, type, member, value, min, max) \
  {.key = (name), .kind = FIELD_U64, .offset = offsetof(type, member), .fallback = (value), .low = (min), .high = (max)}
#define JOB_U64_OR_NULL(name, type, member, min, max) \
  {.key = (name), .kind = FIELD_U64, .offset = offsetof(type, member), .nullable = true, .low = (min), .high = (max)}
#define JOB_U64_REQUIRED(name, type, member, min, max) \
  {.key = (name), .kind = FIELD_U64, .offset = offsetof(type, member), .required = true, .low = (min), .high = (max)}
#define JOB_I64_OR_NULL(name, type, member, max)                                                                  \
  {.key = (name), .kind = FIELD_I64, .offset = offsetof(type, member), .fallback = UINT64_MAX, .nullable = true, \
   .low = 0, .high = (max)}
#define JOB_REAL(name, type, member, value, min, max)                                                     \
  {.key = (name), .kind = FIELD_REAL, .offset = offsetof(type, member), .real_fallback = (value),        \
   .real_low = (min), .real_high = (max)}
#define JOB_POSITIVE(name, type, member, value, max) \
  {.key = (name), .kind = FIELD_POSITIVE, .offset = offsetof(type, member), .real_fallback = (value), .real_high = (max)}
#define JOB_BELOW(name, type, member, value, min, max)                                               \
  {.key = (name), .kind = FIELD_BELOW, .offset = offsetof(type, member), .real_fallback = (value), \
   .real_low = (min), .real_high = (max)}
#define JOB_ENUM(name, type, member, value, list) \
  {.key = (name), .kind = FIELD_ENUM, .offset = offsetof(type, member), .fallback = (value), .choices = (list)}
#define JOB_ENUM_REQUIRED(name, type, member, list) \
  {.key = (name), .kind = FIELD_ENUM, .offset = offsetof(type, member), .required = true, .choices = (list)}
#define JOB_STRING_REQUIRED(name, type, member) \
  {.key = (name), .kind = FIELD_STRING, .offset = offsetof(type, member), .required = true}
#define JOB_STRING_OR_NULL(name, type, member) \
  {.key = (name), .kind = FIELD_STRING, .offset = offsetof(type, member), .nullable = true}
#define JOB_PRIORITIES(name, type, member, mask) \
  {.key = (name), .kind = FIELD_PRIORITIES, .offset = offsetof(type, member), .fallback = (mask)}
#define JOB_PORT(name, type, member) \
  {.key = (name), .kind = FIELD_PORT, .offset = offsetof(type, member), .required = true}
#define JOB_OBJECT(name, sub) {.key = (name), .kind = FIELD_OBJECT, .table = (sub)}
#define JOB_CUSTOM(name, type, member, function) \
  {.key = (name), .kind = FIELD_CUSTOM, .offset = offsetof(type, member), .custom = (function)}
#define JOB_TABLE(text, array) {.what = (text), .fields = (array), .count = sizeof(array) / sizeof(array)[0]}
/* clang-format on */

/* Sets every member a table knows to its default. Custom members are left alone. */
void job_defaults(const struct job_table *table, void *out);

/* Reads `object` into `out`; members whose keys are absent keep what they have. */
bool job_read(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
              const struct job_table *table, void *out);

/* Parts of job_read() for custom functions. */
bool job_expect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                enum json_type type);
bool job_integer(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint64_t low,
                 uint64_t high, uint64_t *out);
bool job_choice(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                const struct job_choice *choices, int *out);
bool job_string(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char **out);
bool job_priorities(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint8_t *out);
bool job_port(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint32_t *out);

/* The list `value` with at most `limit` elements. */
bool job_list(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, size_t limit,
              const char *what);

/* Like job_string(), and neither empty nor longer than 200 bytes. */
bool job_name(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char **out);

/* Whether a key is absent or null. */
bool job_absent(const struct json_value *value);

/* The member called `key`, or `object` itself: the place to point at. */
const struct json_value *job_at(const struct json_value *object, const char *key);

/* --- errors (job_errors.c); all return false ------------------------------------------------------------------- */

/* "message" at the place of `value`. */
bool job_fail(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* "message, is VALUE". */
bool job_fail_is(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

/* "VALUE message". */
bool job_fail_value(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "message", at `key` of `object`; the value of that key when it is given. */
bool job_fail_key(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object, const char *key,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

bool job_fail_memory(struct job_ctx *ctx);

/* The string `value`, or its first `length` bytes, names no node; names no flow. With a suggestion. */
bool job_fail_no_node(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      size_t length);
bool job_fail_no_flow(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value);

/* `member` of an object has a key that `table` does not know. `note`, may be empty, is added. */
bool job_fail_unknown(struct job_ctx *ctx, const struct job_where *where, const struct json_value *member,
                      const struct job_table *table, const char *note);

/* Search for the known name that an unknown one was probably meant to be. Start it with name and length alone. */
struct job_nearest {
  const char *name; /* the unknown one */
  size_t length;
  const char *best; /* NULL while none is near */
  unsigned distance, tried;
};
enum { JOB_HINT_BYTES = 96 };
void job_nearest_try(struct job_nearest *nearest, const char *candidate);

/* Writes " (did you mean 'x'?)" or nothing into `out` of JOB_HINT_BYTES. */
void job_nearest_hint(const struct job_nearest *nearest, char *out);

/* Copies `length` bytes of UTF-8 to `out`, shortened with "..." to fit `size`; control characters become '?'. */
void job_clip(char *out, size_t size, const char *text, size_t length);

#endif
