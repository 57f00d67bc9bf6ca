#include "jsonw.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

void jsonw_init(struct jsonw *w, FILE *file)
{
  memset(w, 0, sizeof *w);
  w->file = file;
}

/* Remembers the first failure. */
static void fail(struct jsonw *w, int status)
{
  if (w->status == 0) {
    w->status = status;
  }
}

static void put(struct jsonw *w, const char *text, size_t length)
{
  if (w->status != 0) {
    return;
  }
  errno = 0;
  if (fwrite(text, 1, length, w->file) != length) {
    fail(w, errno != 0 ? errno : EIO);
  }
}

static void put_text(struct jsonw *w, const char *text)
{
  put(w, text, strlen(text));
}

/* Writes the comma that is due before the next item. */
static void separate(struct jsonw *w)
{
  if (w->has_item[w->depth] && w->depth > 0) {
    put(w, ",", 1);
  } else if (w->has_item[0] && w->depth == 0) {
    fail(w, EINVAL); /* a second root */
  }
  w->has_item[w->depth] = true;
}

/* To be called before every value. */
static void before_value(struct jsonw *w)
{
  if (w->is_object[w->depth]) {
    if (!w->has_key) {
      fail(w, EINVAL);
    }
    w->has_key = false;
    return;
  }
  separate(w);
}

static void begin(struct jsonw *w, bool is_object)
{
  before_value(w);
  if (w->depth == JSONW_MAX_DEPTH) {
    fail(w, EINVAL);
    return;
  }
  w->depth++;
  w->is_object[w->depth] = is_object;
  w->has_item[w->depth] = false;
  put(w, is_object ? "{" : "[", 1);
}

static void end(struct jsonw *w, bool is_object)
{
  if (w->depth == 0 || w->is_object[w->depth] != is_object || w->has_key) {
    fail(w, EINVAL);
    return;
  }
  w->depth--;
  put(w, is_object ? "}" : "]", 1);
}

void jsonw_begin_object(struct jsonw *w)
{
  begin(w, true);
}

void jsonw_end_object(struct jsonw *w)
{
  end(w, true);
}

void jsonw_begin_array(struct jsonw *w)
{
  begin(w, false);
}

void jsonw_end_array(struct jsonw *w)
{
  end(w, false);
}

/* The escape of a character that may not stand in a string as it is; returns false for all others. */
static bool escape(unsigned char c, char out[8])
{
  static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (const char *pair = named; *pair != '\0'; pair += 2) {
    if (c == (unsigned char)pair[0]) {
      out[0] = '\\';
      out[1] = pair[1];
      out[2] = '\0';
      return true;
    }
  }
  if (c >= 0x20U && c != 0x7FU) {
    return false;
  }
  snprintf(out, 8, "\\u%04x", (unsigned)c);
  return true;
}

/* Writes a quoted string; runs of ordinary characters go out in one piece. */
static void put_quoted(struct jsonw *w, const char *text, size_t length)
{
  const unsigned char *bytes = (const unsigned char *)text;
  size_t start = 0;
  size_t at = 0;
  char code[8];
  put(w, "\"", 1);
  while (at < length) {
    size_t step = utf8_length(bytes + at, length - at);
    bool special = step == 0 || (step == 1 && escape(bytes[at], code));
    if (special) {
      put(w, text + start, at - start);
      put_text(w, step == 0 ? "\xEF\xBF\xBD" : code);
      start = at + 1;
    }
    at += step == 0 ? 1 : step;
  }
  put(w, text + start, at - start);
  put(w, "\"", 1);
}

void jsonw_key(struct jsonw *w, const char *key)
{
  if (!w->is_object[w->depth] || w->has_key) {
    fail(w, EINVAL);
    return;
  }
  separate(w);
  put_quoted(w, key, strlen(key));
  put(w, ":", 1);
  w->has_key = true;
}

void jsonw_null(struct jsonw *w)
{
  before_value(w);
  put_text(w, "null");
}

void jsonw_bool(struct jsonw *w, bool value)
{
  before_value(w);
  put_text(w, value ? "true" : "false");
}

void jsonw_u64(struct jsonw *w, uint64_t value)
{
  char text[24];
  before_value(w);
  char *at = text + sizeof text;
  do {
    *--at = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  put(w, at, (size_t)(text + sizeof text - at));
}

void jsonw_i64(struct jsonw *w, int64_t value)
{
  char text[24];
  before_value(w);
  snprintf(text, sizeof text, "%" PRId64, value);
  put_text(w, text);
}

/* Formats with the fewest digits that read back equal. Fifteen digits survive a double unless it is subnormal. */
static void shortest(double value, char out[40])
{
  int digits = fabs(value) < 0x1.0p-1022 ? 1 : 15;
  for (; digits <= 17; digits++) {
    snprintf(out, 40, "%.*g", digits, value);
    if (strtod(out, NULL) == value) {
      return;
    }
  }
}

void jsonw_double(struct jsonw *w, double value)
{
  char text[40];
  if (!isfinite(value)) {
    jsonw_null(w);
    return;
  }
  before_value(w);
  shortest(value, text);
  put_text(w, text);
  if (strpbrk(text, ".e") == NULL) {
    put_text(w, ".0");
  }
}

void jsonw_string_n(struct jsonw *w, const char *value, size_t length)
{
  before_value(w);
  put_quoted(w, value, length);
}

void jsonw_string(struct jsonw *w, const char *value)
{
  if (value == NULL) {
    jsonw_null(w);
  } else {
    jsonw_string_n(w, value, strlen(value));
  }
}

void jsonw_member_null(struct jsonw *w, const char *key)
{
  jsonw_key(w, key);
  jsonw_null(w);
}

void jsonw_member_bool(struct jsonw *w, const char *key, bool value)
{
  jsonw_key(w, key);
  jsonw_bool(w, value);
}

void jsonw_member_u64(struct jsonw *w, const char *key, uint64_t value)
{
  jsonw_key(w, key);
  jsonw_u64(w, value);
}

void jsonw_member_i64(struct jsonw *w, const char *key, int64_t value)
{
  jsonw_key(w, key);
  jsonw_i64(w, value);
}

void jsonw_member_double(struct jsonw *w, const char *key, double value)
{
  jsonw_key(w, key);
  jsonw_double(w, value);
}

void jsonw_member_string(struct jsonw *w, const char *key, const char *value)
{
  jsonw_key(w, key);
  jsonw_string(w, value);
}

void jsonw_member_object(struct jsonw *w, const char *key)
{
  jsonw_key(w, key);
  jsonw_begin_object(w);
}

void jsonw_member_array(struct jsonw *w, const char *key)
{
  jsonw_key(w, key);
  jsonw_begin_array(w);
}

int jsonw_finish(struct jsonw *w)
{
  if (w->depth != 0 || !w->has_item[0]) {
    fail(w, EINVAL);
  }
  put(w, "\n", 1);
  errno = 0;
  if (fflush(w->file) != 0) {
    fail(w, errno != 0 ? errno : EIO);
  }
  return w->status;
}
