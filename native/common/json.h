/* A strict RFC 8259 parser that builds a tree.
 *
 * Stricter than the RFC asks: duplicate keys, numbers beyond a double, nesting deeper than a limit and more values than
 * a limit are errors. Strings without escapes are not copied, so the text must outlive the document.
 */
#ifndef ROCE_COMMON_JSON_H
#define ROCE_COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type {
  JSON_NULL,
  JSON_BOOL,
  JSON_INT,  /* an integer literal from -2^63 to 2^63-1, exact */
  JSON_UINT, /* an integer literal from 2^63 to 2^64-1, exact */
  JSON_REAL, /* any other number, always finite */
  JSON_STRING,
  JSON_ARRAY,
  JSON_OBJECT,
};

struct json_value {
  uint8_t type;                  /* enum json_type */
  uint32_t offset;               /* of its first byte in the text */
  uint32_t count;                /* bytes of a string, elements of an array, members of an object */
  uint32_t key_length;           /* bytes */
  const char *key;               /* member name, not NUL-terminated; NULL outside an object */
  const struct json_value *next; /* next element or member, NULL after the last */
  union {
    bool boolean;
    int64_t integer;
    uint64_t uinteger;
    double real;
    const char *string;             /* UTF-8, `count` bytes, not NUL-terminated, may hold U+0000 */
    const struct json_value *first; /* first element or member */
  };
};

struct json_limits {
  uint32_t max_depth; /* nested arrays and objects */
  uint32_t max_nodes; /* values in all */
};

struct json_error {
  char message[192];
  uint32_t line, column; /* 1-based; columns count characters. 0 when memory was short */
};

struct json_doc;

/* Parses `length` bytes of `text` (need not end with NUL; at most 4 GiB). `limits` NULL means 64 levels and 2^26
 * values. Returns NULL and fills `error` when the text is bad or memory is short. Free the result with json_free(). */
struct json_doc *json_parse(const char *text, size_t length, const struct json_limits *limits,
                            struct json_error *error);
void json_free(struct json_doc *doc);

const struct json_value *json_root(const struct json_doc *doc);

/* Line and column of the first character of `value`. Scans the text from its start: for messages only. */
void json_position(const struct json_doc *doc, const struct json_value *value, uint32_t *line, uint32_t *column);

/* Line and column of the name of the member `value`; its own position when it is not a member. */
void json_key_position(const struct json_doc *doc, const struct json_value *value, uint32_t *line, uint32_t *column);

/* Copies the source text of a scalar `value` into `buffer` as a NUL-terminated string, shortened with "..." to fit
 * `size` bytes. Arrays and objects give "[...]" and "{...}". */
void json_excerpt(const struct json_doc *doc, const struct json_value *value, char *buffer, size_t size);

/* The member of `object` called `key`, or NULL. Scans the members. */
const struct json_value *json_get(const struct json_value *object, const char *key);

/* Whether the string `value` or the name of the member `value` equals `text`. */
bool json_string_is(const struct json_value *value, const char *text);
bool json_key_is(const struct json_value *value, const char *text);

/* "null", "a boolean", "an integer", "a number", "a string", "a list", "an object". */
const char *json_type_name(const struct json_value *value);

#endif
