/* Strings, numbers and literals, and the errors of all parts. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_parser.h"
#include "utf8.h"

enum { LONGEST_NUMBER = 1000 }; /* characters; a double needs at most 767 significant digits */

void json_locate(const char *text, uint32_t offset, uint32_t *line, uint32_t *column)
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

bool json_fail_at(struct json_parser *p, uint32_t offset, const char *message)
{
  snprintf(p->error->message, sizeof p->error->message, "%s", message);
  json_locate(p->text, offset, &p->error->line, &p->error->column);
  return false;
}

bool json_fail_memory(struct json_parser *p)
{
  snprintf(p->error->message, sizeof p->error->message, "out of memory while reading JSON");
  p->error->line = 0;
  p->error->column = 0;
  return false;
}

bool json_fail_expected(struct json_parser *p, const char *expected)
{
  char message[160];
  if (p->at >= p->length) {
    snprintf(message, sizeof message, "text ends early, expected %s (is it truncated?)", expected);
    return json_fail_at(p, p->at, message);
  }
  unsigned char c = (unsigned char)p->text[p->at];
  if (c >= 0x21U && c <= 0x7EU) {
    snprintf(message, sizeof message, "expected %s, found '%c'", expected, (char)c);
  } else {
    snprintf(message, sizeof message, "expected %s, found byte 0x%02x", expected, (unsigned)c);
  }
  return json_fail_at(p, p->at, message);
}

static bool next_is_digit(const struct json_parser *p)
{
  return p->at < p->length && p->text[p->at] >= '0' && p->text[p->at] <= '9';
}

/* Four hexadecimal digits; returns false when they are not there. */
static bool parse_hex4(struct json_parser *p, unsigned *code)
{
  *code = 0;
  for (int i = 0; i < 4; i++, p->at++) {
    if (p->at >= p->length || !isxdigit((unsigned char)p->text[p->at])) {
      return json_fail_expected(p, "four hexadecimal digits after \\u");
    }
    int c = tolower((unsigned char)p->text[p->at]);
    *code = *code * 16U + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

/* The part of a \u escape after the u, with its second half when it is a surrogate pair. */
static bool parse_unicode(struct json_parser *p, unsigned *code)
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
    return json_fail_at(p, start, "\\u escape is half of a surrogate pair");
  }
  *code = 0x10000U + ((*code - 0xD800U) << 10) + (low - 0xDC00U);
  return true;
}

/* One escape sequence, `at` on the backslash; appends to `out`, which has room. */
static bool parse_escape(struct json_parser *p, char *out, size_t *used)
{
  static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
  p->at++;
  if (p->at >= p->length) {
    return json_fail_expected(p, "an escape character");
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
    return json_fail_expected(p, "one of \" \\ / b f n r t u after a backslash");
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
static bool scan_string(struct json_parser *p, uint32_t *end, bool *escaped)
{
  uint32_t start = p->at - 1;
  uint32_t at = p->at;
  *escaped = false;
  while (at < p->length && p->text[at] != '"') {
    unsigned char c = (unsigned char)p->text[at];
    if (c < 0x20U) {
      return json_fail_at(p, at, "control character in a string; write it as \\n, \\t or \\u00XX");
    }
    size_t step = c < 0x80U ? 1 : utf8_length((const unsigned char *)p->text + at, p->length - at);
    if (step == 0) {
      return json_fail_at(p, at, "string is not valid UTF-8");
    }
    if (c == '\\') {
      *escaped = true;
      step = p->length - at >= 2 && (unsigned char)p->text[at + 1] < 0x80U ? 2 : 1;
    }
    at += (uint32_t)step;
  }
  if (at >= p->length) {
    return json_fail_at(p, start, "string has no closing quote (is the text truncated?)");
  }
  *end = at;
  return true;
}

/* Copies a string with its escapes resolved; they never get longer. */
static bool unescape(struct json_parser *p, uint32_t end, const char **string, uint32_t *count)
{
  char *copy = arena_alloc(p->doc->arena, end - p->at);
  if (copy == NULL) {
    return json_fail_memory(p);
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

bool json_parse_string(struct json_parser *p, const char **string, uint32_t *count)
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
static bool skip_digits(struct json_parser *p, const char *where)
{
  if (!next_is_digit(p)) {
    return json_fail_expected(p, where);
  }
  while (next_is_digit(p)) {
    p->at++;
  }
  return true;
}

/* Checks the grammar of a number and moves past it; tells whether it is an integer literal. */
static bool scan_number(struct json_parser *p, bool *integer)
{
  *integer = true;
  if (json_next_is(p, '-')) {
    p->at++;
  }
  uint32_t first = p->at;
  if (!skip_digits(p, "a digit")) {
    return false;
  }
  if (p->text[first] == '0' && p->at - first > 1) {
    return json_fail_at(p, first, "number has a leading zero");
  }
  if (json_next_is(p, '.')) {
    *integer = false;
    p->at++;
    if (!skip_digits(p, "a digit after the decimal point")) {
      return false;
    }
  }
  if (json_next_is(p, 'e') || json_next_is(p, 'E')) {
    *integer = false;
    p->at++;
    if (json_next_is(p, '+') || json_next_is(p, '-')) {
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

bool json_parse_number(struct json_parser *p, struct json_value *value)
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
    return json_fail_at(p, start, "number has more than 1000 characters");
  }
  memcpy(digits, p->text + start, length);
  digits[length] = '\0';
  value->type = JSON_REAL;
  value->real = strtod(digits, NULL);
  if (!isfinite(value->real)) {
    return json_fail_at(p, start, "number is too large for a double");
  }
  return true;
}

/* true, false or null; anything else, such as NaN, is an error. */
bool json_parse_literal(struct json_parser *p, struct json_value *value)
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
      return json_fail_expected(p, literals[i].word);
    }
    if (left >= length && memcmp(p->text + p->at, literals[i].word, length) == 0) {
      value->type = (uint8_t)literals[i].type;
      value->boolean = literals[i].boolean;
      p->at += length;
      return true;
    }
  }
  return json_fail_expected(p, "a value (JSON has no NaN, Infinity, comments or single quotes)");
}
