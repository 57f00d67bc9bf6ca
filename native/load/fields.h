/* Reading one JSON object of a request: every value is checked, and what is wrong is said with its key and value.
 *
 * Readers return the value, or the default when something was wrong now or before: look at `failed` once at the end.
 */
#ifndef ROCE_LOAD_FIELDS_H
#define ROCE_LOAD_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "error.h"

#define LOAD_REQUIRED UINT64_MAX /* as a default: the key must be there */

struct load_fields {
  const struct json_doc *doc;
  const struct json_value *object;
  char path[96]; /* "ends[0].flow", empty at the top */
  struct load_error *error;
  bool *failed; /* of the whole request */
};

struct load_fields load_fields_top(const struct json_doc *doc, const struct json_value *object,
                                   struct load_error *error, bool *failed);

/* Refuses keys that are not among `known`, a NULL-terminated list. */
void load_fields_only(struct load_fields *f, const char *const *known);

/* Absent or null. */
bool load_fields_absent(const struct load_fields *f, const char *key);

uint64_t load_fields_integer(struct load_fields *f, const char *key, uint64_t low, uint64_t high, uint64_t fallback);
/* -1 when the key is absent or null. */
int64_t load_fields_integer_or_none(struct load_fields *f, const char *key, uint64_t low, uint64_t high);
bool load_fields_boolean(struct load_fields *f, const char *key, bool fallback);
double load_fields_real(struct load_fields *f, const char *key, double low, double high, double fallback);
/* The string itself, or NULL when it is absent and `required` is false, or wrong. */
const struct json_value *load_fields_text(struct load_fields *f, const char *key, bool required);
/* Index of the text in a NULL-terminated list; `fallback` when absent or null (-1: the key must be there). */
int load_fields_choice(struct load_fields *f, const char *key, const char *const *choices, int fallback);
/* An object below this one; its `object` is NULL when it is absent or null and not required. */
struct load_fields load_fields_object(struct load_fields *f, const char *key, bool required);
/* A list, NULL when it is absent (or wrong). */
const struct json_value *load_fields_list(struct load_fields *f, const char *key, bool required);
/* Element `index` of a list as an object. */
struct load_fields load_fields_element(struct load_fields *f, const char *key, uint32_t index,
                                       const struct json_value *element);

/* Says what is wrong with a key; the first of a request stays. */
void load_fields_wrong(struct load_fields *f, const char *key, const struct json_value *value, const char *expected);

#endif
