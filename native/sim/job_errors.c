/* Messages of the job parser: where, what, the value, and what to write instead. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "job_fields.h"

enum {
  SHOWN_VALUE = 80,    /* bytes of a value quoted in a message */
  SHOWN_KEY = 60,      /* bytes of an unknown key */
  COMPARED_BYTES = 64, /* longer names are not compared for a suggestion */
  TRIED_NAMES = 20000  /* nor are more names than this */
};

void job_clip(char *out, size_t size, const char *text, size_t length)
{
  size_t room = size - 1;
  size_t kept = length;
  if (length > room) {
    kept = room > 3 ? room - 3 : 0;
    while (kept > 0 && ((unsigned char)text[kept] & 0xC0U) == 0x80U) {
      kept--; /* not in the middle of a character */
    }
  }
  for (size_t i = 0; i < kept; i++) {
    unsigned char c = (unsigned char)text[i];
    out[i] = (char)(c < 0x20U || c == 0x7FU ? '?' : c);
  }
  snprintf(out + kept, size - kept, "%s", kept < length ? "..." : "");
}

/* Appends to a path; what does not fit is left out. */
static void append(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t size, const char *format, ...)
{
  size_t used = strlen(out);
  va_list args;
  va_start(args, format);
  vsnprintf(out + used, size - used, format, args);
  va_end(args);
}

/* Writes "flows[3].src". */
static void write_path(char *out, size_t size, const struct job_where *where)
{ // NOLINT(misc-no-recursion): few levels
  if (where == NULL) {
    return;
  }
  write_path(out, size, where->up);
  if (where->key == NULL) {
    append(out, size, "[%zu]", where->index);
  } else {
    append(out, size, "%s%s", out[0] == '\0' ? "" : ".", where->key);
  }
}

/* Drops an incomplete character that a full buffer left at the end. */
static void trim_utf8(char *text)
{
  size_t length = strlen(text);
  size_t start = length;
  while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0U) == 0x80U) {
    start--;
  }
  if (start == 0) {
    return;
  }
  unsigned char lead = (unsigned char)text[start - 1];
  size_t need = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : lead >= 0xC0U ? 2 : 1;
  if (length - (start - 1) < need) {
    text[start - 1] = '\0';
  }
}

/* Path and position of an error; the message is written already. */
static bool set_place(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value)
{
  struct job_error *error = ctx->error;
  error->path[0] = '\0';
  write_path(error->path, sizeof error->path, where);
  trim_utf8(error->path);
  trim_utf8(error->message);
  json_position(ctx->doc, value, &error->line, &error->column);
  return false;
}

bool job_fail(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char *format,
              ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(ctx->error->message, sizeof ctx->error->message, format, args);
  va_end(args);
  return set_place(ctx, where, value);
}

bool job_fail_is(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char *format,
                 ...)
{
  char shown[SHOWN_VALUE];
  va_list args;
  va_start(args, format);
  vsnprintf(ctx->error->message, sizeof ctx->error->message, format, args);
  va_end(args);
  json_excerpt(ctx->doc, value, shown, sizeof shown);
  append(ctx->error->message, sizeof ctx->error->message, ", is %s", shown);
  return set_place(ctx, where, value);
}

bool job_fail_value(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                    const char *format, ...)
{
  struct job_error *error = ctx->error;
  char shown[SHOWN_VALUE];
  va_list args;
  json_excerpt(ctx->doc, value, shown, sizeof shown);
  snprintf(error->message, sizeof error->message, "%s ", shown);
  size_t used = strlen(error->message);
  va_start(args, format);
  vsnprintf(error->message + used, sizeof error->message - used, format, args);
  va_end(args);
  return set_place(ctx, where, value);
}

bool job_fail_key(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object, const char *key,
                  const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(ctx->error->message, sizeof ctx->error->message, format, args);
  va_end(args);
  return set_place(ctx, JOB_KEY(where, key), job_at(object, key));
}

bool job_fail_memory(struct job_ctx *ctx)
{
  memset(ctx->error, 0, sizeof *ctx->error);
  snprintf(ctx->error->message, sizeof ctx->error->message, "out of memory while reading the job");
  return false;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
  unsigned m = a < b ? a : b;
  return m < c ? m : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn one short name into the other. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
  unsigned rows[3][COMPARED_BYTES + 1]; /* of the last three characters of `a`, in turn */
  for (size_t j = 0; j <= m; j++) {
    rows[0][j] = (unsigned)j;
  }
  for (size_t i = 1; i <= n; i++) {
    unsigned *row = rows[i % 3];
    const unsigned *before = rows[(i - 1) % 3];
    row[0] = (unsigned)i;
    for (size_t j = 1; j <= m; j++) {
      row[j] = least(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        unsigned swapped = rows[(i - 2) % 3][j - 2] + 1;
        row[j] = swapped < row[j] ? swapped : row[j];
      }
    }
  }
  return rows[n % 3][m];
}

void job_nearest_try(struct job_nearest *nearest, const char *candidate)
{
  size_t length = strlen(candidate);
  if (nearest->length > COMPARED_BYTES || length > COMPARED_BYTES || nearest->tried++ >= TRIED_NAMES) {
    return;
  }
  unsigned d = distance(nearest->name, nearest->length, candidate, length);
  unsigned allowed = 1 + (unsigned)nearest->length / 4; /* farther than this is no typing mistake */
  if (d <= allowed && (nearest->best == NULL || d < nearest->distance)) {
    nearest->best = candidate;
    nearest->distance = d;
  }
}

void job_nearest_hint(const struct job_nearest *nearest, char *out)
{
  char shown[COMPARED_BYTES + 1];
  out[0] = '\0';
  if (nearest->best != NULL) {
    job_clip(shown, sizeof shown, nearest->best, strlen(nearest->best));
    snprintf(out, JOB_HINT_BYTES, " (did you mean '%s'?)", shown);
  }
}

/* Adds the key that was probably meant, or the keys there are. */
static void append_keys(char *out, size_t size, const struct json_value *member, const struct job_table *table)
{
  struct job_nearest nearest = {.name = member->key, .length = member->key_length};
  char hint[JOB_HINT_BYTES];
  for (size_t i = 0; i < table->count; i++) {
    job_nearest_try(&nearest, table->fields[i].key);
  }
  job_nearest_hint(&nearest, hint);
  append(out, size, "%s%s", hint, nearest.best == NULL ? "; known keys:" : "");
  for (size_t i = 0; i < table->count && nearest.best == NULL; i++) {
    append(out, size, "%s %s", i == 0 ? "" : ",", table->fields[i].key);
  }
}

bool job_fail_unknown(struct job_ctx *ctx, const struct job_where *where, const struct json_value *member,
                      const struct job_table *table, const char *note)
{
  char key[SHOWN_KEY];
  struct job_error *error = ctx->error;
  job_clip(key, sizeof key, member->key, member->key_length);
  snprintf(error->message, sizeof error->message, "unknown key '%s' in %s%s", key, table->what, note);
  append_keys(error->message, sizeof error->message, member, table);
  set_place(ctx, JOB_KEY(where, key), member);
  json_key_position(ctx->doc, member, &error->line, &error->column);
  return false;
}
