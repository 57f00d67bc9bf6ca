/* Reading of objects by table. */
#include "job_fields.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST_NAME = 200 };

_Static_assert(sizeof(enum verb) == sizeof(int), "enum members are stored as int");

/* --- single values -------------------------------------------------------------------------------------------- */

bool job_absent(const struct json_value *value)
{
  return value == NULL || value->type == JSON_NULL;
}

const struct json_value *job_at(const struct json_value *object, const char *key)
{
  const struct json_value *member = json_get(object, key);
  return member != NULL ? member : object;
}

bool job_expect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, enum json_type type)
{
  if (value->type == (uint8_t)type) {
    return true;
  }
  struct json_value wanted = {.type = (uint8_t)type};
  return job_fail_is(ctx, where, value, "must be %s", json_type_name(&wanted));
}

bool job_list(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, size_t limit,
              const char *what)
{
  if (!job_expect(ctx, where, value, JSON_ARRAY)) {
    return false;
  }
  if (value->count > limit) {
    return job_fail(ctx, where, value, "has %u %s, at most %zu are allowed", (unsigned)value->count, what, limit);
  }
  return true;
}

bool job_integer(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint64_t low,
                 uint64_t high, uint64_t *out)
{
  bool negative = value->type == JSON_INT && value->integer < 0;
  uint64_t number = value->type == JSON_INT ? (uint64_t)value->integer : value->uinteger;
  bool integer = value->type == JSON_INT || value->type == JSON_UINT;
  if (!integer || negative || number < low || number > high) {
    return job_fail_is(ctx, where, value, "must be an integer from %llu to %llu", (unsigned long long)low,
                       (unsigned long long)high);
  }
  *out = number;
  return true;
}

/* The number `value` as a double. */
static bool read_number(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, double *out)
{
  switch ((enum json_type)value->type) {
  case JSON_INT:
    *out = (double)value->integer;
    return true;
  case JSON_UINT:
    *out = (double)value->uinteger;
    return true;
  case JSON_REAL:
    *out = value->real;
    return true;
  default:
    return job_fail_is(ctx, where, value, "must be a number");
  }
}

static bool read_real(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      const struct job_field *field, double *out)
{
  double number = 0.0;
  if (!read_number(ctx, where, value, &number)) {
    return false;
  }
  if (field->kind == FIELD_POSITIVE && (number <= 0.0 || number > field->real_high)) {
    return job_fail_is(ctx, where, value, "must be greater than 0 and at most %g", field->real_high);
  }
  if (field->kind == FIELD_BELOW && (number < field->real_low || number >= field->real_high)) {
    return job_fail_is(ctx, where, value, "must be at least %g and less than %g", field->real_low, field->real_high);
  }
  if (field->kind == FIELD_REAL && (number < field->real_low || number > field->real_high)) {
    return job_fail_is(ctx, where, value, "must be from %g to %g", field->real_low, field->real_high);
  }
  *out = number;
  return true;
}

/* Writes "a", "b" or "c" into `out`. */
static void list_choices(const struct job_choice *choices, char *out, size_t size)
{
  size_t used = 0;
  out[0] = '\0';
  for (const struct job_choice *choice = choices; choice->name != NULL && used < size; choice++) {
    const char *joint = choice == choices ? "" : choice[1].name == NULL ? " or " : ", ";
    used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", joint, choice->name);
  }
}

bool job_choice(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                const struct job_choice *choices, int *out)
{
  for (const struct job_choice *choice = choices; choice->name != NULL; choice++) {
    if (json_string_is(value, choice->name)) {
      *out = choice->value;
      return true;
    }
  }
  char names[256];
  list_choices(choices, names, sizeof names);
  return job_fail_is(ctx, where, value, "must be %s", names);
}

bool job_string(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char **out)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  for (uint32_t i = 0; i < value->count; i++) {
    unsigned char c = (unsigned char)value->string[i];
    if (c < 0x20U || c == 0x7FU) {
      return job_fail_is(ctx, where, value, "must not hold control characters");
    }
  }
  *out = arena_strndup(ctx->arena, value->string, value->count);
  return *out != NULL || job_fail_memory(ctx);
}

bool job_name(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char **out)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  if (value->count == 0 || value->count > LONGEST_NAME) {
    return job_fail_is(ctx, where, value, "must be a name of 1 to %d bytes", LONGEST_NAME);
  }
  return job_string(ctx, where, value, out);
}

bool job_priorities(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint8_t *out)
{
  if (!job_list(ctx, where, value, PRIO_COUNT, "priorities")) {
    return false;
  }
  unsigned mask = 0;
  size_t index = 0;
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    uint64_t priority = 0;
    if (!job_integer(ctx, JOB_INDEX(where, index), element, 0, PRIO_COUNT - 1, &priority)) {
      return false;
    }
    if ((mask >> priority & 1U) != 0) {
      return job_fail(ctx, JOB_INDEX(where, index), element, "priority %u is listed twice", (unsigned)priority);
    }
    mask |= 1U << priority;
  }
  *out = (uint8_t)mask;
  return true;
}

/* --- ports ---------------------------------------------------------------------------------------------------- */

/* The node is known, its port is not: say which ports it has. */
static bool fail_no_port(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                         const struct job_node *node)
{
  const struct job_port *ports = ctx->job->ports + node->first_port;
  char list[200] = "";
  size_t used = 0;
  for (uint32_t i = 0; i < node->n_ports && used < sizeof list - 48; i++) {
    const char *name = ports[i].name + strlen(node->name) + 1;
    char shown[40];
    job_clip(shown, sizeof shown, name, strlen(name));
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", shown);
    if (i + 1 < node->n_ports && used >= sizeof list - 48) {
      snprintf(list + used, sizeof list - used, ", ...");
    }
  }
  return job_fail_value(ctx, where, value, "names a port that node %s does not have; its ports are: %s", node->name,
                        list);
}

bool job_fail_no_node(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, size_t length)
{
  struct job_nearest nearest = {.name = value->string, .length = length};
  char hint[JOB_HINT_BYTES];
  for (uint32_t i = 0; i < ctx->job->n_nodes; i++) {
    job_nearest_try(&nearest, ctx->job->nodes[i].name);
  }
  job_nearest_hint(&nearest, hint);
  return job_fail_value(ctx, where, value, "names a node that does not exist%s", hint);
}

bool job_port(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, uint32_t *out)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  int64_t port = namemap_find(&ctx->ports, value->string, value->count);
  if (port != NAMEMAP_NONE) {
    *out = (uint32_t)port;
    return true;
  }
  const char *colon = memchr(value->string, ':', value->count);
  if (colon == NULL) {
    return job_fail_is(ctx, where, value, "must be a port written as \"node:port\"");
  }
  size_t length = (size_t)(colon - value->string);
  int64_t node = namemap_find(&ctx->nodes, value->string, length);
  if (node == NAMEMAP_NONE) {
    return job_fail_no_node(ctx, where, value, length);
  }
  return fail_no_port(ctx, where, value, &ctx->job->nodes[node]);
}

/* --- tables --------------------------------------------------------------------------------------------------- */

/* Stores an integer in the member's own width; -1 comes as all ones. */
static void store_integer(const struct job_field *field, void *member, uint64_t number)
{
  switch (field->kind) {
  case FIELD_BOOL:
    *(bool *)member = number != 0;
    break;
  case FIELD_PRIORITIES:
    *(uint8_t *)member = (uint8_t)number;
    break;
  case FIELD_U32:
  case FIELD_I32:
    *(uint32_t *)member = (uint32_t)number; /* int32_t has the same bits */
    break;
  case FIELD_U64:
  case FIELD_I64:
    *(uint64_t *)member = number;
    break;
  default: { /* FIELD_ENUM */
    int value = (int)number;
    memcpy(member, &value, sizeof value);
  }
  }
}

/* Sets one member to its default. */
static void set_default(const struct job_field *field, void *out)
{
  void *member = (char *)out + field->offset;
  switch (field->kind) {
  case FIELD_SKIP:
  case FIELD_CUSTOM:
    break;
  case FIELD_VALUE:
    *(const struct json_value **)member = NULL;
    break;
  case FIELD_STRING:
    *(const char **)member = NULL;
    break;
  case FIELD_REAL:
  case FIELD_POSITIVE:
  case FIELD_BELOW:
    *(double *)member = field->real_fallback;
    break;
  case FIELD_PORT:
    *(uint32_t *)member = 0;
    break;
  case FIELD_OBJECT:
    job_defaults(field->table, out);
    break;
  default:
    store_integer(field, member, field->fallback);
  }
}

void job_defaults(const struct job_table *table, void *out)
{ // NOLINT(misc-no-recursion): as deep as the tables
  for (size_t i = 0; i < table->count; i++) {
    set_default(&table->fields[i], out);
  }
}

/* Null for a member that allows it: what "not configured" is for its type. */
static void store_null(const struct job_field *field, void *member)
{
  if (field->kind == FIELD_STRING) {
    *(const char **)member = NULL;
  } else if (field->kind == FIELD_POSITIVE) {
    *(double *)member = field->real_fallback;
  } else {
    store_integer(field, member, field->fallback);
  }
}

static bool read_integer_field(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                               const struct job_field *field, void *member)
{
  uint64_t number = 0;
  if (!job_integer(ctx, where, value, field->low, field->high, &number)) {
    return false;
  }
  store_integer(field, member, number);
  return true;
}

static bool read_enum_field(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                            const struct job_field *field, void *member)
{
  int choice = 0;
  if (!job_choice(ctx, where, value, field->choices, &choice)) {
    return false;
  }
  memcpy(member, &choice, sizeof choice);
  return true;
}

static bool read_bool_field(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                            bool *out)
{
  if (value->type != JSON_BOOL) {
    return job_fail_is(ctx, where, value, "must be true or false");
  }
  *out = value->boolean;
  return true;
}

/* Reads one member by the kind of its field. */
static bool read_field(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       const struct job_field *field, void *out)
{
  void *member = (char *)out + field->offset;
  if (field->nullable && value->type == JSON_NULL) {
    store_null(field, member);
    return true;
  }
  switch (field->kind) {
  case FIELD_SKIP:
    return true;
  case FIELD_VALUE:
    *(const struct json_value **)member = value;
    return true;
  case FIELD_BOOL:
    return read_bool_field(ctx, where, value, member);
  case FIELD_U32:
  case FIELD_I32:
  case FIELD_U64:
  case FIELD_I64:
    return read_integer_field(ctx, where, value, field, member);
  case FIELD_REAL:
  case FIELD_POSITIVE:
  case FIELD_BELOW:
    return read_real(ctx, where, value, field, member);
  case FIELD_ENUM:
    return read_enum_field(ctx, where, value, field, member);
  case FIELD_STRING:
    return job_string(ctx, where, value, member);
  case FIELD_PRIORITIES:
    return job_priorities(ctx, where, value, member);
  case FIELD_PORT:
    return job_port(ctx, where, value, member);
  case FIELD_OBJECT:
    return job_read(ctx, where, value, field->table, out);
  case FIELD_CUSTOM:
    return field->custom(ctx, where, value, member);
  }
  return false;
}

/* The field called like `member`. Writers keep the order of the table, so the search starts after the last hit. */
static const struct job_field *find_field(const struct job_table *table, const struct json_value *member, size_t *hint)
{
  for (size_t i = 0; i < table->count; i++) {
    size_t at = (*hint + i) % table->count;
    if (json_key_is(member, table->fields[at].key)) {
      *hint = at + 1;
      return &table->fields[at];
    }
  }
  return NULL;
}

/* Whether every required key was seen. */
static bool check_required(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                           const struct job_table *table, uint64_t seen)
{
  for (size_t i = 0; i < table->count; i++) {
    if (table->fields[i].required && (seen >> i & 1U) == 0) {
      return job_fail(ctx, where, object, "%s needs the key '%s'", table->what, table->fields[i].key);
    }
  }
  return true;
}

bool job_read(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
              const struct job_table *table, void *out)
{ // NOLINT(misc-no-recursion): as deep as the tables
  if (!job_expect(ctx, where, object, JSON_OBJECT)) {
    return false;
  }
  uint64_t seen = 0;
  size_t hint = 0;
  for (const struct json_value *member = object->first; member != NULL; member = member->next) {
    const struct job_field *field = find_field(table, member, &hint);
    if (field == NULL) {
      return job_fail_unknown(ctx, where, member, table, "");
    }
    seen |= UINT64_C(1) << (field - table->fields);
    if (!read_field(ctx, JOB_KEY(where, field->key), member, field, out)) {
      return false;
    }
  }
  return check_required(ctx, where, object, table, seen);
}
