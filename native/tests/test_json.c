#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "test.h"

static struct json_doc *parse(const char *text)
{
  struct json_error error;
  struct json_doc *doc = json_parse(text, strlen(text), NULL, &error);
  if (doc == NULL) {
    test_fail(__FILE__, __LINE__, "%s: %s at %u:%u", text, error.message, (unsigned)error.line, (unsigned)error.column);
  }
  return doc;
}

TEST(json_scalars)
{
  struct json_doc *doc = parse(" [null, true, false, 0, -0, 12, -9223372036854775808, 9223372036854775807,\n"
                               "9223372036854775808, 18446744073709551615, 18446744073709551616, 1.5, 1e3, -2.5E-1] ");
  const struct json_value *v = json_root(doc);
  static const uint8_t types[] = {JSON_NULL, JSON_BOOL, JSON_BOOL, JSON_INT,  JSON_INT,  JSON_INT,  JSON_INT,
                                  JSON_INT,  JSON_UINT, JSON_UINT, JSON_REAL, JSON_REAL, JSON_REAL, JSON_REAL};
  const struct json_value *element[14] = {NULL};
  size_t n = 0;
  ASSERT_EQ(v->count, 14U);
  for (const struct json_value *e = v->first; e != NULL; e = e->next, n++) {
    ASSERT_EQ(e->type, types[n]);
    element[n] = e;
  }
  ASSERT(n == 14);
  ASSERT(element[1]->boolean);
  ASSERT(!element[2]->boolean);
  ASSERT_EQ(element[4]->integer, 0);
  ASSERT_EQ(element[6]->integer, INT64_MIN);
  ASSERT_EQ(element[7]->integer, INT64_MAX);
  ASSERT_EQ(element[8]->uinteger, UINT64_C(9223372036854775808));
  ASSERT_EQ(element[9]->uinteger, UINT64_MAX);
  ASSERT_NEAR(element[10]->real, 18446744073709551616.0, 0.0);
  ASSERT_NEAR(element[11]->real, 1.5, 0.0);
  ASSERT_NEAR(element[12]->real, 1000.0, 0.0);
  ASSERT_NEAR(element[13]->real, -0.25, 0.0);
  json_free(doc);
}

TEST(json_reals_are_read_to_the_last_bit)
{
  struct json_doc *doc =
      parse("[0.1, 2.2250738585072014e-308, 4.9e-324, 1.7976931348623157e308, 123456789012345678901234567890]");
  const struct json_value *e = json_root(doc)->first;
  ASSERT(e->real == 0.1);
  ASSERT(e->next->real == 0x1p-1022);
  ASSERT(e->next->next->real == 0x1p-1074);
  ASSERT(e->next->next->next->real == 0x1.fffffffffffffp1023);
  ASSERT(e->next->next->next->next->real == 123456789012345678901234567890.0);
  json_free(doc);
}

TEST(json_strings)
{
  struct json_doc *doc = parse(
      "[\"\", \"plain\", \"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\", \"\\u00e9\\u20AC\\ud83d\\ude00\", \"é€😀\", \"\\u0000\"]");
  const struct json_value *e = json_root(doc)->first;
  ASSERT_EQ(e->count, 0U);
  ASSERT(json_string_is(e->next, "plain"));
  ASSERT(json_string_is(e->next->next, "a\"\\/\b\f\n\r\tz"));
  ASSERT(json_string_is(e->next->next->next, "é€😀"));
  ASSERT(json_string_is(e->next->next->next->next, "é€😀"));
  const struct json_value *nul = e->next->next->next->next->next;
  ASSERT_EQ(nul->count, 1U);
  ASSERT_EQ(nul->string[0], 0);
  json_free(doc);
}

TEST(json_objects)
{
  struct json_doc *doc = parse("{\"a\": {\"b\": [1, {\"c\": 2}]}, \"\\u0064\": 3, \"\": 4}");
  const struct json_value *root = json_root(doc);
  ASSERT_EQ(root->count, 3U);
  const struct json_value *list = json_get(json_get(root, "a"), "b");
  ASSERT_EQ(list->count, 2U);
  ASSERT_EQ(json_get(list->first->next, "c")->integer, 2);
  ASSERT_EQ(json_get(root, "d")->integer, 3);
  ASSERT_EQ(json_get(root, "")->integer, 4);
  ASSERT(json_get(root, "b") == NULL);
  ASSERT(json_get(list, "b") == NULL);
  json_free(doc);
}

static void assert_position(const struct json_doc *doc, const struct json_value *v, uint32_t line, uint32_t column,
                            uint32_t key_line, uint32_t key_column)
{
  uint32_t at_line = 0;
  uint32_t at_column = 0;
  json_position(doc, v, &at_line, &at_column);
  ASSERT_EQ(at_line, line);
  ASSERT_EQ(at_column, column);
  json_key_position(doc, v, &at_line, &at_column);
  ASSERT_EQ(at_line, key_line);
  ASSERT_EQ(at_column, key_column);
}

TEST(json_positions_count_characters)
{
  struct json_doc *doc = parse("{\"é€😀\": 1, \"x\": 2,\n  \"q\\\"\\\\\" :\n [7]}");
  const struct json_value *e = json_root(doc)->first;
  assert_position(doc, json_root(doc), 1, 1, 1, 1);
  assert_position(doc, e, 1, 9, 1, 2);
  assert_position(doc, e->next, 1, 17, 1, 12);
  assert_position(doc, e->next->next, 3, 2, 2, 3);
  assert_position(doc, e->next->next->first, 3, 3, 3, 3);
  json_free(doc);
}

TEST(json_excerpts)
{
  struct json_doc *doc = parse("[\"ab\\\"c\", -1.5e3, null, [1], {}, \"€€€€€€€€€€\"]");
  static const char *const expected[] = {"\"ab\\\"c\"", "-1.5e3", "null", "[...]", "{...}", "\"€€€..."};
  char buffer[16];
  size_t i = 0;
  for (const struct json_value *e = json_root(doc)->first; e != NULL; e = e->next, i++) {
    json_excerpt(doc, e, buffer, sizeof buffer);
    ASSERT_STR(buffer, expected[i]);
  }
  json_free(doc);
}

static const struct {
  const char *text, *message;
  uint32_t line, column;
} bad_texts[] = {
    {"", "empty", 1, 1},
    {" \n ", "empty", 2, 2},
    {"nul", "truncated", 1, 4},
    {"nulL", "expected a value", 1, 1},
    {"NaN", "no NaN", 1, 1},
    {"[Infinity]", "no NaN, Infinity", 1, 2},
    {"-Infinity", "expected a digit, found 'I'", 1, 2},
    {"'a'", "single quotes", 1, 1},
    {"{\"a\": 1 // x\n}", "expected ',' or '}', found '/'", 1, 9},
    {"[1, 2", "truncated", 1, 6},
    {"[1, ", "truncated", 1, 5},
    {"[1 2]", "expected ',' or ']', found '2'", 1, 4},
    {"[1,]", "trailing comma", 1, 4},
    {"[,1]", "expected a value", 1, 2},
    {"{\"a\": 1,}", "trailing comma", 1, 9},
    {"{\"a\": 1", "truncated", 1, 8},
    {"{\"a\" 1}", "expected ':' after the key, found '1'", 1, 6},
    {"{\"a\":", "truncated", 1, 6},
    {"{a: 1}", "key in double quotes, found 'a'", 1, 2},
    {"{1: 1}", "key in double quotes", 1, 2},
    {"{\"a\": 1} x", "more text after the end", 1, 10},
    {"1 2", "more text after the end", 1, 3},
    {"]", "expected a value", 1, 1},
    {"01", "leading zero", 1, 1},
    {"-01", "leading zero", 1, 2},
    {"+1", "expected a value", 1, 1},
    {".5", "expected a value", 1, 1},
    {"1.", "after the decimal point", 1, 3},
    {"1.e5", "after the decimal point", 1, 3},
    {"1e", "digit in the exponent", 1, 3},
    {"1e+", "digit in the exponent", 1, 4},
    {"-", "expected a digit", 1, 2},
    {"1e999", "too large", 1, 1},
    {"[-1e999]", "too large", 1, 2},
    {"0x10", "more text after", 1, 2},
    {"\"abc", "no closing quote", 1, 1},
    {"\"abc\\\"", "no closing quote", 1, 1},
    {"\"abc\\", "no closing quote", 1, 1},
    {"\"a\nb\"", "control character", 1, 3},
    {"\"a\tb\"", "control character", 1, 3},
    {"\"\\x41\"", "after a backslash, found 'x'", 1, 3},
    {"\"\\u12\"", "four hexadecimal digits", 1, 6},
    {"\"\\ud800\"", "surrogate", 1, 2},
    {"\"\\ud800\\u0041\"", "surrogate", 1, 2},
    {"\"\\udc00\"", "surrogate", 1, 2},
    {"\"\xff\"", "not valid UTF-8", 1, 2},
    {"\"\xc0\x80\"", "not valid UTF-8", 1, 2},
    {"\"\xe0\x80\x80\"", "not valid UTF-8", 1, 2},
    {"\"\xed\xa0\x80\"", "not valid UTF-8", 1, 2},
    {"\"\xf4\x90\x80\x80\"", "not valid UTF-8", 1, 2},
    {"\"\xf0\x8f\xbf\xbf\"", "not valid UTF-8", 1, 2},
    {"\"a\xe2\x82\"", "not valid UTF-8", 1, 3},
    {"\xEF\xBB\xBF{}", "byte order mark", 1, 1},
    {"\xff", "found byte 0xff", 1, 1},
    {"{\"a\": 1,\n \"b\": 2, \"a\": 3}", "key 'a' appears twice", 2, 10},
    {"{\"a\": 1, \"\\u0061\": 3}", "key 'a' appears twice", 1, 10},
};

TEST(json_refuses_bad_texts)
{
  for (size_t i = 0; i < sizeof bad_texts / sizeof bad_texts[0]; i++) {
    struct json_error error;
    struct json_doc *doc = json_parse(bad_texts[i].text, strlen(bad_texts[i].text), NULL, &error);
    if (doc != NULL) {
      test_fail(__FILE__, __LINE__, "accepted: %s", bad_texts[i].text);
    }
    if (strstr(error.message, bad_texts[i].message) == NULL || error.line != bad_texts[i].line ||
        error.column != bad_texts[i].column) {
      test_fail(__FILE__, __LINE__, "%s: got '%s' at %u:%u, expected '%s' at %u:%u", bad_texts[i].text, error.message,
                (unsigned)error.line, (unsigned)error.column, bad_texts[i].message, (unsigned)bad_texts[i].line,
                (unsigned)bad_texts[i].column);
    }
  }
}

/* The parser must not look past the end: each prefix lies in memory of exactly its size. */
TEST(json_refuses_every_truncation)
{
  static const char text[] = "{\"k\": [1, -2.5e+3, \"s\\u00e9\\\"\", true, false, null, {\"é\": {}}], \"z\": []}";
  for (size_t length = 0; length < sizeof text - 1; length++) {
    struct json_error error;
    char *prefix = malloc(length + 1);
    ASSERT(prefix != NULL);
    char *end_aligned = prefix + 1;
    memcpy(end_aligned, text, length);
    if (json_parse(end_aligned, length, NULL, &error) != NULL) {
      test_fail(__FILE__, __LINE__, "accepted %zu bytes", length);
    }
    ASSERT(error.line == 1);
    free(prefix);
  }
}

TEST(json_limits_depth_and_nodes)
{
  struct json_limits limits = {.max_depth = 3, .max_nodes = 5};
  struct json_error error;
  struct json_doc *doc = json_parse("[[[1]]]", 7, &limits, &error);
  ASSERT(doc != NULL);
  json_free(doc);
  ASSERT(json_parse("[[[[1]]]]", 9, &limits, &error) == NULL);
  ASSERT_CONTAINS(error.message, "deeper than 3");
  ASSERT_EQ(error.column, 4U);
  ASSERT(json_parse("[1,2,3,4,5]", 11, &limits, &error) == NULL);
  ASSERT_CONTAINS(error.message, "too many values");
}

TEST(json_survives_deep_nesting)
{
  enum { LEVELS = 1000000 };
  char *text = malloc(LEVELS);
  struct json_error error;
  ASSERT(text != NULL);
  memset(text, '[', LEVELS);
  ASSERT(json_parse(text, LEVELS, NULL, &error) == NULL);
  ASSERT_CONTAINS(error.message, "nested deeper than 64");
  free(text);
}

/* Large objects take another way to duplicates than small ones. */
TEST(json_finds_duplicates_in_large_objects)
{
  enum { KEYS = 20000 };
  char *text = malloc(KEYS * 16 + 32);
  struct json_error error;
  size_t used = 1;
  ASSERT(text != NULL);
  text[0] = '{';
  for (int i = 0; i < KEYS; i++) {
    used += (size_t)sprintf(text + used, "\"key%d\":%d,", i, i);
  }
  size_t mark = used;
  strcpy(text + mark, "\"last\":0}");
  struct json_doc *doc = json_parse(text, strlen(text), NULL, &error);
  ASSERT(doc != NULL);
  ASSERT_EQ(json_root(doc)->count, (uint32_t)KEYS + 1);
  json_free(doc);
  strcpy(text + mark, "\"key77\":0}");
  ASSERT(json_parse(text, strlen(text), NULL, &error) == NULL);
  ASSERT_CONTAINS(error.message, "key 'key77' appears twice");
  ASSERT_EQ(error.column, (uint32_t)mark + 1);
  free(text);
}

TEST(json_refuses_very_long_numbers)
{
  char text[1200];
  struct json_error error;
  memset(text, '9', sizeof text);
  text[0] = '0';
  text[1] = '.';
  struct json_doc *doc = json_parse(text, 1000, NULL, &error);
  ASSERT(doc != NULL);
  ASSERT_NEAR(json_root(doc)->real, 1.0, 0.0);
  json_free(doc);
  ASSERT(json_parse(text, 1001, NULL, &error) == NULL);
  ASSERT_CONTAINS(error.message, "more than 1000 characters");
}

TEST(json_reports_short_memory)
{
  static const char text[] = "{\"a\\n\": [1, 2, {\"b\": \"c\\u0041\"}]}";
  struct json_error error;
  struct json_doc *doc = NULL;
  uint64_t n = 1;
  for (; n < 100 && doc == NULL; n++) {
    test_fail_allocation(n);
    doc = json_parse(text, sizeof text - 1, NULL, &error);
    test_fail_allocation(0);
    ASSERT(doc != NULL || strstr(error.message, "out of memory") != NULL);
  }
  ASSERT(n > 2 && doc != NULL);
  json_free(doc);
}
