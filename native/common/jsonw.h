/* A streaming JSON writer: compact output, commas and escapes done, errors remembered.
 *
 * Calls never fail visibly; jsonw_finish() tells once whether everything reached the file.
 */
#ifndef ROCE_COMMON_JSONW_H
#define ROCE_COMMON_JSONW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSONW_MAX_DEPTH = 32 };

struct jsonw {
  FILE *file;
  int status;     /* 0, or the errno of the first failure; EINVAL for calls in a wrong order */
  uint32_t depth; /* open objects and arrays */
  bool has_key;   /* a key was written and its value is due */
  bool is_object[JSONW_MAX_DEPTH + 1];
  bool has_item[JSONW_MAX_DEPTH + 1];
};

/* Starts a document on `file`, which stays the caller's. */
void jsonw_init(struct jsonw *w, FILE *file);

void jsonw_begin_object(struct jsonw *w);
void jsonw_end_object(struct jsonw *w);
void jsonw_begin_array(struct jsonw *w);
void jsonw_end_array(struct jsonw *w);

/* The name of the next member; NUL-terminated UTF-8. */
void jsonw_key(struct jsonw *w, const char *key);

void jsonw_null(struct jsonw *w);
void jsonw_bool(struct jsonw *w, bool value);
void jsonw_u64(struct jsonw *w, uint64_t value);
void jsonw_i64(struct jsonw *w, int64_t value);

/* The fewest digits that read back as the same double, always with a point or an exponent; NaN and infinities are null.
 */
void jsonw_double(struct jsonw *w, double value);

/* NUL-terminated UTF-8; NULL is written as null. Bytes that are not UTF-8 become U+FFFD. */
void jsonw_string(struct jsonw *w, const char *value);
void jsonw_string_n(struct jsonw *w, const char *value, size_t length);

/* A key and its value in one call. */
void jsonw_member_null(struct jsonw *w, const char *key);
void jsonw_member_bool(struct jsonw *w, const char *key, bool value);
void jsonw_member_u64(struct jsonw *w, const char *key, uint64_t value);
void jsonw_member_i64(struct jsonw *w, const char *key, int64_t value);
void jsonw_member_double(struct jsonw *w, const char *key, double value);
void jsonw_member_string(struct jsonw *w, const char *key, const char *value);
void jsonw_member_object(struct jsonw *w, const char *key); /* begins an object */
void jsonw_member_array(struct jsonw *w, const char *key);  /* begins an array */

/* Writes the final newline and flushes. Returns 0, or the errno of the first failure (ENOSPC for a full disk), or
 * EINVAL when the document is not complete. */
int jsonw_finish(struct jsonw *w);

#endif
