#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/jsonw.h"
#include "common/rng.h"
#include "test.h"

/* A writer on a scratch file. */
struct output {
  struct jsonw w;
  FILE *file;
  char *text;
  size_t length;
};

static void begin(struct output *o)
{
  o->file = open_memstream(&o->text, &o->length);
  ASSERT(o->file != NULL);
  jsonw_init(&o->w, o->file);
}

static int finish(struct output *o)
{
  int status = jsonw_finish(&o->w);
  fclose(o->file);
  return status;
}

TEST(jsonw_writes_compact_text)
{
  struct output o;
  begin(&o);
  jsonw_begin_object(&o.w);
  jsonw_member_u64(&o.w, "u", UINT64_MAX);
  jsonw_member_i64(&o.w, "i", INT64_MIN);
  jsonw_member_double(&o.w, "d", 0.1);
  jsonw_member_bool(&o.w, "t", true);
  jsonw_member_null(&o.w, "n");
  jsonw_member_string(&o.w, "s", "x");
  jsonw_member_string(&o.w, "none", NULL);
  jsonw_member_array(&o.w, "a");
  jsonw_u64(&o.w, 0);
  jsonw_begin_object(&o.w);
  jsonw_end_object(&o.w);
  jsonw_begin_array(&o.w);
  jsonw_end_array(&o.w);
  jsonw_i64(&o.w, -7);
  jsonw_end_array(&o.w);
  jsonw_member_object(&o.w, "o");
  jsonw_member_u64(&o.w, "k", 10);
  jsonw_end_object(&o.w);
  jsonw_end_object(&o.w);
  ASSERT_EQ(finish(&o), 0);
  ASSERT_STR(o.text,
             "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"d\":0.1,\"t\":true,\"n\":null,\"s\":\"x\","
             "\"none\":null,\"a\":[0,{},[],-7],\"o\":{\"k\":10}}\n");
  free(o.text);
}

TEST(jsonw_escapes_strings)
{
  struct output o;
  begin(&o);
  jsonw_begin_object(&o.w);
  jsonw_member_string(&o.w, "\"k\\\n", "a\"b\\c\b\f\n\r\t\x01\x1f\x7f/é€😀");
  jsonw_member_string(&o.w, "bad", "x\xffy\xc3");
  jsonw_end_object(&o.w);
  ASSERT_EQ(finish(&o), 0);
  ASSERT_STR(o.text, "{\"\\\"k\\\\\\n\":\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f/é€😀\","
                     "\"bad\":\"x\xEF\xBF\xBDy\xEF\xBF\xBD\"}\n");
  free(o.text);
}

static void assert_double(double value, const char *expected)
{
  struct output o;
  begin(&o);
  jsonw_double(&o.w, value);
  ASSERT_EQ(finish(&o), 0);
  o.text[o.length - 1] = '\0';
  ASSERT_STR(o.text, expected);
  free(o.text);
}

TEST(jsonw_doubles_are_short)
{
  assert_double(0.0, "0.0");
  assert_double(-0.0, "-0.0");
  assert_double(1.0, "1.0");
  assert_double(-3.0, "-3.0");
  assert_double(0.3, "0.3");
  assert_double(0.1 + 0.2, "0.30000000000000004");
  assert_double(1e22, "1e+22");
  assert_double(1e-7, "1e-07");
  assert_double(123456789.125, "123456789.125");
  assert_double(DBL_MAX, "1.7976931348623157e+308");
  assert_double(DBL_MIN, "2.2250738585072014e-308");
  assert_double(0x1p-1074, "5e-324");
  assert_double((double)NAN, "null");
  assert_double((double)INFINITY, "null");
}

/* Random bit patterns: what is written reads back equal, and JSON sees a real. */
TEST(jsonw_doubles_survive_a_round_trip)
{
  struct rng rng;
  rng_seed(&rng, 42);
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = rng_u64(&rng);
    double value = 0.0;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) {
      continue;
    }
    struct output o;
    struct json_error error;
    begin(&o);
    jsonw_double(&o.w, value);
    ASSERT_EQ(finish(&o), 0);
    struct json_doc *doc = json_parse(o.text, o.length, NULL, &error);
    ASSERT(doc != NULL);
    ASSERT_EQ(json_root(doc)->type, (uint8_t)JSON_REAL);
    ASSERT(json_root(doc)->real == value);
    json_free(doc);
    free(o.text);
  }
}

TEST(jsonw_reports_a_full_disk)
{
  struct jsonw w;
  FILE *full = fopen("/dev/full", "w");
  ASSERT(full != NULL);
  jsonw_init(&w, full);
  jsonw_begin_array(&w);
  for (int i = 0; i < 100000; i++) {
    jsonw_u64(&w, 12345);
  }
  jsonw_end_array(&w);
  ASSERT_EQ(jsonw_finish(&w), ENOSPC);
  fclose(full);
  full = fopen("/dev/full", "w"); /* small enough to fail at the last flush only */
  ASSERT(full != NULL);
  jsonw_init(&w, full);
  jsonw_u64(&w, 1);
  ASSERT_EQ(jsonw_finish(&w), ENOSPC);
  fclose(full);
}

/* Each wrong order of calls is told once, at the end. */
static int misuse(void (*calls)(struct jsonw *))
{
  struct output o;
  begin(&o);
  calls(&o.w);
  int status = finish(&o);
  free(o.text);
  return status;
}

static void two_roots(struct jsonw *w)
{
  jsonw_u64(w, 1);
  jsonw_u64(w, 2);
}

static void open_object(struct jsonw *w)
{
  jsonw_begin_object(w);
}

static void value_without_key(struct jsonw *w)
{
  jsonw_begin_object(w);
  jsonw_u64(w, 1);
  jsonw_end_object(w);
}

static void key_without_value(struct jsonw *w)
{
  jsonw_begin_object(w);
  jsonw_key(w, "k");
  jsonw_end_object(w);
}

static void key_in_array(struct jsonw *w)
{
  jsonw_begin_array(w);
  jsonw_key(w, "k");
  jsonw_end_array(w);
}

static void wrong_bracket(struct jsonw *w)
{
  jsonw_begin_array(w);
  jsonw_end_object(w);
}

static void nothing(struct jsonw *w)
{
  (void)w;
}

static void too_deep(struct jsonw *w)
{
  for (int i = 0; i <= JSONW_MAX_DEPTH; i++) {
    jsonw_begin_array(w);
  }
  for (int i = 0; i <= JSONW_MAX_DEPTH; i++) {
    jsonw_end_array(w);
  }
}

TEST(jsonw_reports_misuse)
{
  ASSERT_EQ(misuse(two_roots), EINVAL);
  ASSERT_EQ(misuse(open_object), EINVAL);
  ASSERT_EQ(misuse(value_without_key), EINVAL);
  ASSERT_EQ(misuse(key_without_value), EINVAL);
  ASSERT_EQ(misuse(key_in_array), EINVAL);
  ASSERT_EQ(misuse(wrong_bracket), EINVAL);
  ASSERT_EQ(misuse(nothing), EINVAL);
  ASSERT_EQ(misuse(too_deep), EINVAL);
}
