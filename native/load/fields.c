#include "fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct load_fields load_fields_top(const struct json_doc *doc, const struct json_value *object,
                                   struct load_error *error, bool *failed)
{
  struct load_fields f = {.doc = doc, .object = object, .error = error, .failed = failed};
  *failed = false;
  if (object == NULL || object->type != JSON_OBJECT) {
    f.object = NULL;
    load_fields_wrong(&f, "request", object, "one JSON object");
  }
  return f;
}

static void full_key(const struct load_fields *f, const char *key, char *out, size_t size)
{
  int n = snprintf(out, size, "%s%s%s", f->path, f->path[0] != '\0' ? "." : "", key);
  if (n < 0 || (size_t)n >= size)
    out[size - 1] = '\0'; /* a place in words: its beginning will do */
}

void load_fields_wrong(struct load_fields *f, const char *key, const struct json_value *value, const char *expected)
{
  if (*f->failed)
    return;
  *f->failed = true;
  char path[192], text[120] = "nothing";
  full_key(f, key, path, sizeof path);
  if (value != NULL)
    json_excerpt(f->doc, value, text, sizeof text);
  (void)load_fail_key(f->error, path, text, expected);
}

static const struct json_value *member(const struct load_fields *f, const char *key)
{
  return f->object != NULL ? json_get(f->object, key) : NULL;
}

void load_fields_only(struct load_fields *f, const char *const *known)
{
  if (f->object == NULL)
    return;
  for (const struct json_value *m = f->object->first; m != NULL; m = m->next) {
    const char *const *name = known;
    while (*name != NULL && !json_key_is(m, *name))
      name++;
    if (*name != NULL)
      continue;
    char key[64];
    (void)snprintf(key, sizeof key, "%.*s", (int)(m->key_length < 60 ? m->key_length : 60), m->key);
    load_fields_wrong(f, key, m, "a key that exists here");
    return;
  }
}

bool load_fields_absent(const struct load_fields *f, const char *key)
{
  const struct json_value *value = member(f, key);
  return value == NULL || value->type == JSON_NULL;
}

uint64_t load_fields_integer(struct load_fields *f, const char *key, uint64_t low, uint64_t high, uint64_t fallback)
{
  const struct json_value *value = member(f, key);
  if (value == NULL && fallback != LOAD_REQUIRED)
    return fallback;
  if (value != NULL && value->type == JSON_INT && value->integer >= 0 && (uint64_t)value->integer >= low &&
      (uint64_t)value->integer <= high)
    return (uint64_t)value->integer;
  if (value != NULL && value->type == JSON_UINT && value->uinteger >= low && value->uinteger <= high)
    return value->uinteger;
  char expected[96];
  (void)snprintf(expected, sizeof expected, "a whole number from %" PRIu64 " to %" PRIu64, low, high);
  load_fields_wrong(f, key, value, expected);
  return low;
}

int64_t load_fields_integer_or_none(struct load_fields *f, const char *key, uint64_t low, uint64_t high)
{
  return load_fields_absent(f, key) ? -1 : (int64_t)load_fields_integer(f, key, low, high, LOAD_REQUIRED);
}

bool load_fields_boolean(struct load_fields *f, const char *key, bool fallback)
{
  const struct json_value *value = member(f, key);
  if (value == NULL)
    return fallback;
  if (value->type != JSON_BOOL) {
    load_fields_wrong(f, key, value, "true or false");
    return fallback;
  }
  return value->boolean;
}

double load_fields_real(struct load_fields *f, const char *key, double low, double high, double fallback)
{
  const struct json_value *value = member(f, key);
  if (value == NULL)
    return fallback;
  double number = value->type == JSON_REAL ? value->real : value->type == JSON_INT ? (double)value->integer : -1e300;
  if (number >= low && number <= high)
    return number;
  char expected[96];
  (void)snprintf(expected, sizeof expected, "a number from %g to %g", low, high);
  load_fields_wrong(f, key, value, expected);
  return fallback;
}

const struct json_value *load_fields_text(struct load_fields *f, const char *key, bool required)
{
  const struct json_value *value = member(f, key);
  if (!required && load_fields_absent(f, key))
    return NULL;
  if (value != NULL && value->type == JSON_STRING && value->count > 0)
    return value;
  load_fields_wrong(f, key, value, "a text");
  return NULL;
}

int load_fields_choice(struct load_fields *f, const char *key, const char *const *choices, int fallback)
{
  const struct json_value *value = member(f, key);
  if (fallback >= 0 && load_fields_absent(f, key))
    return fallback;
  for (int i = 0; value != NULL && value->type == JSON_STRING && choices[i] != NULL; i++) {
    if (json_string_is(value, choices[i]))
      return i;
  }
  char expected[200] = "one of";
  for (int i = 0; choices[i] != NULL; i++) {
    size_t length = strlen(expected);
    (void)snprintf(expected + length, sizeof expected - length, "%s %s", i > 0 ? "," : "", choices[i]);
  }
  load_fields_wrong(f, key, value, expected);
  return fallback >= 0 ? fallback : 0;
}

static struct load_fields below(struct load_fields *f, const char *key, const struct json_value *object)
{
  struct load_fields sub = {.doc = f->doc, .object = object, .error = f->error, .failed = f->failed};
  full_key(f, key, sub.path, sizeof sub.path);
  return sub;
}

struct load_fields load_fields_object(struct load_fields *f, const char *key, bool required)
{
  const struct json_value *value = member(f, key);
  if (value != NULL && value->type == JSON_OBJECT)
    return below(f, key, value);
  if (required || (value != NULL && value->type != JSON_NULL))
    load_fields_wrong(f, key, value, "an object");
  return below(f, key, NULL);
}

const struct json_value *load_fields_list(struct load_fields *f, const char *key, bool required)
{
  const struct json_value *value = member(f, key);
  if (value != NULL && value->type == JSON_ARRAY)
    return value;
  if (required || (value != NULL && value->type != JSON_NULL))
    load_fields_wrong(f, key, value, "a list");
  return NULL;
}

struct load_fields load_fields_element(struct load_fields *f, const char *key, uint32_t index,
                                       const struct json_value *element)
{
  char name[96];
  (void)snprintf(name, sizeof name, "%.64s[%" PRIu32 "]", key, index);
  if (element->type != JSON_OBJECT)
    load_fields_wrong(f, name, element, "an object");
  return below(f, name, element->type == JSON_OBJECT ? element : NULL);
}
