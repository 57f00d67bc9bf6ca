#include "json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "utf8.h"

enum {
  DEFAULT_DEPTH = 64,
  DEFAULT_NODES = 1 << 26,
  LONGEST_NUMBER = 1000, /* characters; a double needs at most 767 significant digits */
  FEW_MEMBERS = 32,      /* up to here duplicate keys are found by comparing all pairs */
};

struct json_doc {
  struct arena *arena;
  const char *text;
  uint32_t length;
  const struct json_value *root;
};

struct parser {
  struct json_doc *doc;
  const char *text;
  uint32_t at, length; /* `at` is the next byte */
  uint32_t depth, nodes;
  struct json_limits limits;
  struct json_error *error;
};

/* Line and column of a byte offset; columns count characters, not bytes. */
static void locate(const char *text, uint32_t offset, uint32_t *line, uint32_t *column)
{
  *line = 1;
  *column = 1;
  for (uint32_t i = 0; i < offset; i++) {
    if (text[i] == '\n') {
      (*line)++;
      *column = 1;
    } else if (((unsigned char)text[i] & 0xC0U) != 0x80U) {
      (*column)++;
    }
  }
}

/* Fills the error for the byte at `offset`; returns false for the caller to pass on. */
static bool fail_at(struct parser *p, uint32_t offset, const char *message)
{
  snprintf(p->error->message, sizeof p->error->message, "%s", message);
  locate(p->text, offset, &p->error->line, &p->error->column);
  return false;
}

static bool fail_memory(struct parser *p)
{
  snprintf(p->error->message, sizeof p->error->message, "out of memory while reading JSON");
  p->error->line = 0;
  p->error->column = 0;
  return false;
}

/* Says what was expected and what stands at the next byte instead. */
static bool fail_expected(struct parser *p, const char *expected)
{
  char message[160];
  if (p->at >= p->length) {
    snprintf(message, sizeof message, "text ends early, expected %s (is it truncated?)", expected);
    return fail_at(p, p->at, message);
  }
  unsigned char c = (unsigned char)p->text[p->at];
  if (c >= 0x21U && c <= 0x7EU) {
    snprintf(message, sizeof message, "expected %s, found '%c'", expected, (char)c);
  } else {
    snprintf(message, sizeof message, "expected %s, found byte 0x%02x", expected, (unsigned)c);
  }
  return fail_at(p, p->at, message);
}

static void skip_space(struct parser *p)
{
  while (p->at < p->length) {
    char c = p->text[p->at];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
      return;
    }
    p->at++;
  }
}

static bool next_is(const struct parser *p, char c)
{
  return p->at < p->length && p->text[p->at] == c;
}

static bool next_is_digit(const struct parser *p)
{
  return p->at < p->length && p->text[p->at] >= '0' && p->text[p->at] <= '9';
}

/* Four hexadecimal digits; returns false when they are not there. */
static bool parse_hex4(struct parser *p, unsigned *code)
{
  *code = 0;
  for (int i = 0; i < 4; i++, p->at++) {
    if (p->at >= p->length || !isxdigit((unsigned char)p->text[p->at])) {
      return fail_expected(p, "four hexadecimal digits after \\u");
    }
    int c = tolower((unsigned char)p->text[p->at]);
    *code = *code * 16U + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

/* The part of a \u escape after the u, with its second half when it is a surrogate pair. */
static bool parse_unicode(struct parser *p, unsigned *code)
{
  uint32_t start = p->at - 2;
  if (!parse_hex4(p, code)) {
    return false;
  }
  if (*code < 0xD800U || *code > 0xDFFFU) {
    return true;
  }
  unsigned low = 0;
  bool pair = *code < 0xDC00U && p->length - p->at >= 2 && p->text[p->at] == '\\' && p->text[p->at + 1] == 'u';
  if (pair) {
    p->at += 2;
    if (!parse_hex4(p, &low)) {
      return false;
    }
  }
  if (!pair || low < 0xDC00U || low > 0xDFFFU) {
    return fail_at(p, start, "\\u escape is half of a surrogate pair");
  }
  *code = 0x10000U + ((*code - 0xD800U) << 10) + (low - 0xDC00U);
  return true;
}

/* One escape sequence, `at` on the backslash; appends to `out`, which has room. */
static bool parse_escape(struct parser *p, char *out, size_t *used)
{
  static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
  p->at++;
  if (p->at >= p->length) {
    return fail_expected(p, "an escape character");
  }
  char c = p->text[p->at];
  for (const char *pair = named; *pair != '\0'; pair += 2) {
    if (c == pair[0]) {
      out[(*used)++] = pair[1];
      p->at++;
      return true;
    }
  }
  if (c != 'u') {
    return fail_expected(p, "one of \" \\ / b f n r t u after a backslash");
  }
  p->at++;
  unsigned code = 0;
  if (!parse_unicode(p, &code)) {
    return false;
  }
  *used += utf8_encode(code, out + *used);
  return true;
}

/* Finds the closing quote and checks the characters on the way. Sets `escaped` when there is a backslash. `at` stays.
 */
static bool scan_string(struct parser *p, uint32_t *end, bool *escaped)
{
  uint32_t start = p->at - 1;
  uint32_t at = p->at;
  *escaped = false;
  while (at < p->length && p->text[at] != '"') {
    unsigned char c = (unsigned char)p->text[at];
    if (c < 0x20U) {
      return fail_at(p, at, "control character in a string; write it as \\n, \\t or \\u00XX");
    }
    size_t step = c < 0x80U ? 1 : utf8_length((const unsigned char *)p->text + at, p->length - at);
    if (step == 0) {
      return fail_at(p, at, "string is not valid UTF-8");
    }
    if (c == '\\') {
      *escaped = true;
      step = p->length - at >= 2 && (unsigned char)p->text[at + 1] < 0x80U ? 2 : 1;
    }
    at += (uint32_t)step;
  }
  if (at >= p->length) {
    return fail_at(p, start, "string has no closing quote (is the text truncated?)");
  }
  *end = at;
  return true;
}

/* Copies a string with its escapes resolved; they never get longer. */
static bool unescape(struct parser *p, uint32_t end, const char **string, uint32_t *count)
{
  char *copy = arena_alloc(p->doc->arena, end - p->at);
  if (copy == NULL) {
    return fail_memory(p);
  }
  size_t used = 0;
  while (p->at < end) {
    if (p->text[p->at] != '\\') {
      copy[used++] = p->text[p->at++];
    } else if (!parse_escape(p, copy, &used)) {
      return false;
    }
  }
  *string = copy;
  *count = (uint32_t)used;
  return true;
}

/* A string, `at` on its opening quote. */
static bool parse_string(struct parser *p, const char **string, uint32_t *count)
{
  uint32_t end = 0;
  bool escaped = false;
  p->at++;
  if (!scan_string(p, &end, &escaped)) {
    return false;
  }
  if (escaped) {
    if (!unescape(p, end, string, count)) {
      return false;
    }
  } else {
    *string = p->text + p->at;
    *count = end - p->at;
  }
  p->at = end + 1;
  return true;
}

/* Digits after a point or an exponent sign: at least one. */
static bool skip_digits(struct parser *p, const char *where)
{
  if (!next_is_digit(p)) {
    return fail_expected(p, where);
  }
  while (next_is_digit(p)) {
    p->at++;
  }
  return true;
}

/* Checks the grammar of a number and moves past it; tells whether it is an integer literal. */
static bool scan_number(struct parser *p, bool *integer)
{
  *integer = true;
  if (next_is(p, '-')) {
    p->at++;
  }
  uint32_t first = p->at;
  if (!skip_digits(p, "a digit")) {
    return false;
  }
  if (p->text[first] == '0' && p->at - first > 1) {
    return fail_at(p, first, "number has a leading zero");
  }
  if (next_is(p, '.')) {
    *integer = false;
    p->at++;
    if (!skip_digits(p, "a digit after the decimal point")) {
      return false;
    }
  }
  if (next_is(p, 'e') || next_is(p, 'E')) {
    *integer = false;
    p->at++;
    if (next_is(p, '+') || next_is(p, '-')) {
      p->at++;
    }
    return skip_digits(p, "a digit in the exponent");
  }
  return true;
}

/* Reads an integer literal exactly. Returns false when it needs more than 64 bits. */
static bool exact_integer(const char *text, uint32_t length, struct json_value *value)
{
  bool negative = text[0] == '-';
  uint64_t magnitude = 0;
  for (uint32_t i = negative ? 1 : 0; i < length; i++) {
    uint64_t digit = (uint64_t)(text[i] - '0');
    if (magnitude > (UINT64_MAX - digit) / 10) {
      return false;
    }
    magnitude = magnitude * 10 + digit;
  }
  if (!negative && magnitude > INT64_MAX) {
    value->type = JSON_UINT;
    value->uinteger = magnitude;
    return true;
  }
  if (magnitude > (uint64_t)INT64_MAX + 1) {
    return false;
  }
  value->type = JSON_INT;
  value->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

static bool parse_number(struct parser *p, struct json_value *value)
{
  uint32_t start = p->at;
  bool integer = true;
  if (!scan_number(p, &integer)) {
    return false;
  }
  uint32_t length = p->at - start;
  if (integer && exact_integer(p->text + start, length, value)) {
    return true;
  }
  char digits[LONGEST_NUMBER + 1];
  if (length > LONGEST_NUMBER) {
    return fail_at(p, start, "number has more than 1000 characters");
  }
  memcpy(digits, p->text + start, length);
  digits[length] = '\0';
  value->type = JSON_REAL;
  value->real = strtod(digits, NULL);
  if (!isfinite(value->real)) {
    return fail_at(p, start, "number is too large for a double");
  }
  return true;
}

/* true, false or null; anything else, such as NaN, is an error. */
static bool parse_literal(struct parser *p, struct json_value *value)
{
  static const struct {
    const char *word;
    uint32_t length;
    enum json_type type;
    bool boolean;
  } literals[] = {{"true", 4, JSON_BOOL, true}, {"false", 5, JSON_BOOL, false}, {"null", 4, JSON_NULL, false}};
  uint32_t left = p->length - p->at;
  for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
    uint32_t length = literals[i].length;
    if (left < length && memcmp(p->text + p->at, literals[i].word, left) == 0) {
      p->at = p->length;
      return fail_expected(p, literals[i].word);
    }
    if (left >= length && memcmp(p->text + p->at, literals[i].word, length) == 0) {
      value->type = (uint8_t)literals[i].type;
      value->boolean = literals[i].boolean;
      p->at += length;
      return true;
    }
  }
  return fail_expected(p, "a value (JSON has no NaN, Infinity, comments or single quotes)");
}

static bool parse_value(struct parser *p, struct json_value *value);

/* A new value in the tree, positioned at the next byte; NULL (error filled) at the limit or when memory is short. */
static struct json_value *new_value(struct parser *p)
{
  if (p->nodes >= p->limits.max_nodes) {
    fail_at(p, p->at, "too many values in one text");
    return NULL;
  }
  p->nodes++;
  struct json_value *value = arena_alloc(p->doc->arena, sizeof *value);
  if (value == NULL) {
    fail_memory(p);
    return NULL;
  }
  value->offset = p->at;
  return value;
}

/* Enters an array or object, `at` on its bracket. */
static bool enter(struct parser *p)
{
  if (p->depth >= p->limits.max_depth) {
    char message[80];
    snprintf(message, sizeof message, "nested deeper than %u levels", (unsigned)p->limits.max_depth);
    return fail_at(p, p->at, message);
  }
  p->depth++;
  p->at++;
  skip_space(p);
  return true;
}

/* After an element or member: moves past a comma, or past `close` and then sets `done`. */
static bool next_or_close(struct parser *p, char close, bool *done)
{
  skip_space(p);
  if (next_is(p, close)) {
    p->at++;
    p->depth--;
    *done = true;
    return true;
  }
  if (!next_is(p, ',')) {
    return fail_expected(p, close == ']' ? "',' or ']'" : "',' or '}'");
  }
  p->at++;
  skip_space(p);
  if (next_is(p, close)) {
    return fail_at(p, p->at, "trailing comma");
  }
  return true;
}

static bool parse_array(struct parser *p, struct json_value *array)
{
  array->type = JSON_ARRAY;
  array->first = NULL;
  if (!enter(p)) {
    return false;
  }
  bool done = next_is(p, ']');
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

static bool fail_duplicate(struct parser *p, const struct json_value *member)
{
  char message[120];
  int shown = member->key_length > 60 ? 60 : (int)member->key_length;
  snprintf(message, sizeof message, "key '%.*s' appears twice in one object", shown, member->key);
  fail_at(p, member->offset, message);
  json_key_position(p->doc, member, &p->error->line, &p->error->column);
  return false;
}

/* Looks for equal keys by sorting; used for large objects. */
static bool check_many_keys(struct parser *p, const struct json_value *object)
{
  const struct json_value **sorted = malloc(object->count * sizeof(struct json_value *));
  if (sorted == NULL) {
    return fail_memory(p);
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
static bool check_keys(struct parser *p, const struct json_value *object)
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
static struct json_value *parse_member(struct parser *p)
{
  if (!next_is(p, '"')) {
    fail_expected(p, "a key in double quotes");
    return NULL;
  }
  const char *key = NULL;
  uint32_t key_length = 0;
  if (!parse_string(p, &key, &key_length)) {
    return NULL;
  }
  skip_space(p);
  if (!next_is(p, ':')) {
    fail_expected(p, "':' after the key");
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

static bool parse_object(struct parser *p, struct json_value *object)
{
  object->type = JSON_OBJECT;
  object->first = NULL;
  if (!enter(p)) {
    return false;
  }
  bool done = next_is(p, '}');
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
static bool parse_value(struct parser *p, struct json_value *value)
{ // NOLINT(misc-no-recursion): depth is limited
  if (p->at >= p->length) {
    return fail_expected(p, "a value");
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
    return parse_string(p, &value->string, &value->count);
  }
  if (c == '-' || (c >= '0' && c <= '9')) {
    return parse_number(p, value);
  }
  return parse_literal(p, value);
}

/* The whole text: one value and white space around it. */
static bool parse_text(struct parser *p)
{
  if (p->length >= 3 && memcmp(p->text, "\xEF\xBB\xBF", 3) == 0) {
    return fail_at(p, 0, "text starts with a byte order mark; save it as plain UTF-8");
  }
  skip_space(p);
  if (p->at >= p->length) {
    return fail_at(p, p->at, "text is empty, expected a JSON value");
  }
  struct json_value *root = new_value(p);
  if (root == NULL || !parse_value(p, root)) {
    return false;
  }
  p->doc->root = root;
  skip_space(p);
  return p->at >= p->length || fail_at(p, p->at, "more text after the end of the JSON value");
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
  struct parser p = {.text = text, .limits = limits != NULL ? *limits : defaults, .error = error};
  memset(error, 0, sizeof *error);
  if (length >= UINT32_MAX) {
    snprintf(error->message, sizeof error->message, "text is longer than 4 GiB");
    return NULL;
  }
  p.length = (uint32_t)length;
  p.doc = new_doc(text, p.length);
  if (p.doc == NULL) {
    fail_memory(&p);
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

void json_position(const struct json_doc *doc, const struct json_value *value, uint32_t *line, uint32_t *column)
{
  locate(doc->text, value->offset, line, column);
}

/* Byte offset of the opening quote of a member's name: back from its value over space, colon, space and the string. */
static uint32_t key_offset(const struct json_doc *doc, const struct json_value *member)
{
  const char *text = doc->text;
  uint32_t at = member->offset;
  while (at > 0 && text[at - 1] != '"') {
    at--;
  }
  if (at > 0) {
    at--; /* on the closing quote */
  }
  while (at > 0) {
    at--;
    if (text[at] != '"') {
      continue;
    }
    uint32_t backslashes = 0;
    while (at > backslashes && text[at - 1 - backslashes] == '\\') {
      backslashes++;
    }
    if (backslashes % 2 == 0) {
      return at;
    }
  }
  return at;
}

void json_key_position(const struct json_doc *doc, const struct json_value *value, uint32_t *line, uint32_t *column)
{
  locate(doc->text, value->key == NULL ? value->offset : key_offset(doc, value), line, column);
}

/* Bytes a scalar takes in the text. */
static uint32_t source_length(const struct json_doc *doc, const struct json_value *value)
{
  uint32_t at = value->offset;
  if (value->type == JSON_STRING) {
    for (at++; at < doc->length && doc->text[at] != '"'; at++) {
      at += doc->text[at] == '\\' ? 1 : 0;
    }
    return at + 1 - value->offset;
  }
  while (at < doc->length && (isalnum((unsigned char)doc->text[at]) || strchr("+-.", doc->text[at]) != NULL)) {
    at++;
  }
  return at - value->offset;
}

void json_excerpt(const struct json_doc *doc, const struct json_value *value, char *buffer, size_t size)
{
  if (value->type == JSON_ARRAY || value->type == JSON_OBJECT) {
    snprintf(buffer, size, "%s", value->type == JSON_ARRAY ? "[...]" : "{...}");
    return;
  }
  const char *text = doc->text + value->offset;
  uint32_t length = source_length(doc, value);
  size_t room = size - 1;
  bool cut = length > room;
  if (cut) {
    length = (uint32_t)(room >= 3 ? room - 3 : 0);
    while (length > 0 && ((unsigned char)text[length] & 0xC0U) == 0x80U) {
      length--; /* not in the middle of a character */
    }
  }
  snprintf(buffer, size, "%.*s%s", (int)length, text, cut ? "..." : "");
}

bool json_string_is(const struct json_value *value, const char *text)
{
  size_t length = strlen(text);
  return value->type == JSON_STRING && value->count == length && memcmp(value->string, text, length) == 0;
}

bool json_key_is(const struct json_value *value, const char *text)
{
  size_t length = strlen(text);
  return value->key != NULL && value->key_length == length && memcmp(value->key, text, length) == 0;
}

const struct json_value *json_get(const struct json_value *object, const char *key)
{
  if (object->type != JSON_OBJECT) {
    return NULL;
  }
  for (const struct json_value *member = object->first; member != NULL; member = member->next) {
    if (json_key_is(member, key)) {
      return member;
    }
  }
  return NULL;
}

const char *json_type_name(const struct json_value *value)
{
  static const char *const names[] = {"null",     "a boolean", "an integer", "an integer",
                                      "a number", "a string",  "a list",     "an object"};
  return names[value->type];
}
