/* Arrays, objects and the document. */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_parser.h"

enum {
  DEFAULT_DEPTH = 64,
  DEFAULT_NODES = 1 << 26,
  FEW_MEMBERS = 32, /* up to here duplicate keys are found by comparing all pairs */
};

static void skip_space(struct json_parser *p)
{
  while (p->at < p->length) {
    char c = p->text[p->at];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
      return;
    }
    p->at++;
  }
}

static bool parse_value(struct json_parser *p, struct json_value *value);

/* A new value in the tree, positioned at the next byte; NULL (error filled) at the limit or when memory is short. */
static struct json_value *new_value(struct json_parser *p)
{
  if (p->nodes >= p->limits.max_nodes) {
    json_fail_at(p, p->at, "too many values in one text");
    return NULL;
  }
  p->nodes++;
  struct json_value *value = arena_alloc(p->doc->arena, sizeof *value);
  if (value == NULL) {
    json_fail_memory(p);
    return NULL;
  }
  value->offset = p->at;
  return value;
}

/* Enters an array or object, `at` on its bracket. */
static bool enter(struct json_parser *p)
{
  if (p->depth >= p->limits.max_depth) {
    char message[80];
    snprintf(message, sizeof message, "nested deeper than %u levels", (unsigned)p->limits.max_depth);
    return json_fail_at(p, p->at, message);
  }
  p->depth++;
  p->at++;
  skip_space(p);
  return true;
}

/* After an element or member: moves past a comma, or past `close` and then sets `done`. */
static bool next_or_close(struct json_parser *p, char close, bool *done)
{
  skip_space(p);
  if (json_next_is(p, close)) {
    p->at++;
    p->depth--;
    *done = true;
    return true;
  }
  if (!json_next_is(p, ',')) {
    return json_fail_expected(p, close == ']' ? "',' or ']'" : "',' or '}'");
  }
  p->at++;
  skip_space(p);
  if (json_next_is(p, close)) {
    return json_fail_at(p, p->at, "trailing comma");
  }
  return true;
}

static bool parse_array(struct json_parser *p, struct json_value *array)
{
  array->type = JSON_ARRAY;
  array->first = NULL;
  if (!enter(p)) {
    return false;
  }
  bool done = json_next_is(p, ']');
  if (done) {
    p->at++;
    p->depth--;
  }
  struct json_value *last = NULL;
  while (!done) {
    struct json_value *element = new_value(p);
    if (element == NULL || !parse_value(p, element)) {
      return false;
    }
    if (last == NULL) {
      array->first = element;
    } else {
      last->next = element;
    }
    last = element;
    array->count++;
    if (!next_or_close(p, ']', &done)) {
      return false;
    }
  }
  return true;
}

/* Orders members by key, equal keys by position. */
static int compare_keys(const void *left, const void *right)
{
  const struct json_value *a = *(const struct json_value *const *)left;
  const struct json_value *b = *(const struct json_value *const *)right;
  if (a->key_length != b->key_length) {
    return a->key_length < b->key_length ? -1 : 1;
  }
  int order = memcmp(a->key, b->key, a->key_length);
  if (order != 0) {
    return order;
  }
  return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool same_key(const struct json_value *a, const struct json_value *b)
{
  return a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0;
}

static bool fail_duplicate(struct json_parser *p, const struct json_value *member)
{
  char message[120];
  int shown = member->key_length > 60 ? 60 : (int)member->key_length;
  snprintf(message, sizeof message, "key '%.*s' appears twice in one object", shown, member->key);
  json_fail_at(p, member->offset, message);
  json_key_position(p->doc, member, &p->error->line, &p->error->column);
  return false;
}

/* Looks for equal keys by sorting; used for large objects. */
static bool check_many_keys(struct json_parser *p, const struct json_value *object)
{
  const struct json_value **sorted = malloc(object->count * sizeof(struct json_value *));
  if (sorted == NULL) {
    return json_fail_memory(p);
  }
  size_t n = 0;
  for (const struct json_value *member = object->first; member != NULL; member = member->next) {
    sorted[n++] = member;
  }
  qsort(sorted, n, sizeof *sorted, compare_keys);
  const struct json_value *duplicate = NULL;
  for (size_t i = 1; i < n; i++) {
    if (same_key(sorted[i - 1], sorted[i]) && (duplicate == NULL || sorted[i]->offset < duplicate->offset)) {
      duplicate = sorted[i];
    }
  }
  free(sorted);
  return duplicate == NULL || fail_duplicate(p, duplicate);
}

/* Looks for equal keys; only small objects are compared pair by pair. */
static bool check_keys(struct json_parser *p, const struct json_value *object)
{
  if (object->count > FEW_MEMBERS) {
    return check_many_keys(p, object);
  }
  for (const struct json_value *member = object->first; member != NULL; member = member->next) {
    for (const struct json_value *other = object->first; other != member; other = other->next) {
      if (same_key(member, other)) {
        return fail_duplicate(p, member);
      }
    }
  }
  return true;
}

/* One `"key": value`. */
static struct json_value *parse_member(struct json_parser *p)
{
  if (!json_next_is(p, '"')) {
    json_fail_expected(p, "a key in double quotes");
    return NULL;
  }
  const char *key = NULL;
  uint32_t key_length = 0;
  if (!json_parse_string(p, &key, &key_length)) {
    return NULL;
  }
  skip_space(p);
  if (!json_next_is(p, ':')) {
    json_fail_expected(p, "':' after the key");
    return NULL;
  }
  p->at++;
  skip_space(p);
  struct json_value *member = new_value(p);
  if (member == NULL || !parse_value(p, member)) {
    return NULL;
  }
  member->key = key;
  member->key_length = key_length;
  return member;
}

static bool parse_object(struct json_parser *p, struct json_value *object)
{
  object->type = JSON_OBJECT;
  object->first = NULL;
  if (!enter(p)) {
    return false;
  }
  bool done = json_next_is(p, '}');
  if (done) {
    p->at++;
    p->depth--;
  }
  struct json_value *last = NULL;
  while (!done) {
    struct json_value *member = parse_member(p);
    if (member == NULL) {
      return false;
    }
    if (last == NULL) {
      object->first = member;
    } else {
      last->next = member;
    }
    last = member;
    object->count++;
    if (!next_or_close(p, '}', &done)) {
      return false;
    }
  }
  return check_keys(p, object);
}

/* Any value, `at` on its first byte; `value` is zeroed but for its offset. */
static bool parse_value(struct json_parser *p, struct json_value *value)
{ // NOLINT(misc-no-recursion): depth is limited
  if (p->at >= p->length) {
    return json_fail_expected(p, "a value");
  }
  char c = p->text[p->at];
  if (c == '{') {
    return parse_object(p, value);
  }
  if (c == '[') {
    return parse_array(p, value);
  }
  if (c == '"') {
    value->type = JSON_STRING;
    return json_parse_string(p, &value->string, &value->count);
  }
  if (c == '-' || (c >= '0' && c <= '9')) {
    return json_parse_number(p, value);
  }
  return json_parse_literal(p, value);
}

/* The whole text: one value and white space around it. */
static bool parse_text(struct json_parser *p)
{
  if (p->length >= 3 && memcmp(p->text, "\xEF\xBB\xBF", 3) == 0) {
    return json_fail_at(p, 0, "text starts with a byte order mark; save it as plain UTF-8");
  }
  skip_space(p);
  if (p->at >= p->length) {
    return json_fail_at(p, p->at, "text is empty, expected a JSON value");
  }
  struct json_value *root = new_value(p);
  if (root == NULL || !parse_value(p, root)) {
    return false;
  }
  p->doc->root = root;
  skip_space(p);
  return p->at >= p->length || json_fail_at(p, p->at, "more text after the end of the JSON value");
}

/* An empty document for `text`, or NULL when memory is short. */
static struct json_doc *new_doc(const char *text, uint32_t length)
{
  struct json_doc *doc = calloc(1, sizeof *doc);
  if (doc == NULL) {
    return NULL;
  }
  doc->text = text;
  doc->length = length;
  doc->arena = arena_new();
  if (doc->arena == NULL) {
    free(doc);
    return NULL;
  }
  return doc;
}

struct json_doc *json_parse(const char *text, size_t length, const struct json_limits *limits, struct json_error *error)
{
  static const struct json_limits defaults = {DEFAULT_DEPTH, DEFAULT_NODES};
  struct json_parser p = {.text = text, .limits = limits != NULL ? *limits : defaults, .error = error};
  memset(error, 0, sizeof *error);
  if (length >= UINT32_MAX) {
    snprintf(error->message, sizeof error->message, "text is longer than 4 GiB");
    return NULL;
  }
  p.length = (uint32_t)length;
  p.doc = new_doc(text, p.length);
  if (p.doc == NULL) {
    json_fail_memory(&p);
    return NULL;
  }
  if (!parse_text(&p)) {
    json_free(p.doc);
    return NULL;
  }
  return p.doc;
}

void json_free(struct json_doc *doc)
{
  if (doc != NULL) {
    arena_free(doc->arena);
    free(doc);
  }
}

const struct json_value *json_root(const struct json_doc *doc)
{
  return doc->root;
}
