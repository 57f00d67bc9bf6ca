/* The parts of the JSON parser. Private to json*.c. */
#ifndef ROCE_COMMON_JSON_PARSER_H
#define ROCE_COMMON_JSON_PARSER_H

#include "arena.h"
#include "json.h"

struct json_doc {
  struct arena *arena;
  const char *text;
  uint32_t length;
  const struct json_value *root;
};

struct json_parser {
  struct json_doc *doc;
  const char *text;
  uint32_t at, length; /* `at` is the next byte */
  uint32_t depth, nodes;
  struct json_limits limits;
  struct json_error *error;
};

/* Line and column of a byte offset; columns count characters, not bytes. */
void json_locate(const char *text, uint32_t offset, uint32_t *line, uint32_t *column);

/* Fill the error and return false: with a message for the byte at `offset`; for short memory; with what was expected at
 * the next byte and what stands there. */
bool json_fail_at(struct json_parser *p, uint32_t offset, const char *message);
bool json_fail_memory(struct json_parser *p);
bool json_fail_expected(struct json_parser *p, const char *expected);

static inline bool json_next_is(const struct json_parser *p, char c)
{
  return p->at < p->length && p->text[p->at] == c;
}

/* A string, `at` on its opening quote. Without escapes it is a part of the text. */
bool json_parse_string(struct json_parser *p, const char **string, uint32_t *count);

/* A number, and a literal (true, false, null), `at` on its first byte. */
bool json_parse_number(struct json_parser *p, struct json_value *value);
bool json_parse_literal(struct json_parser *p, struct json_value *value);

#endif
