/* Looking at a document: members, positions, excerpts. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "json_parser.h"

void json_position(const struct json_doc *doc, const struct json_value *value, uint32_t *line, uint32_t *column)
{
  json_locate(doc->text, value->offset, line, column);
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
  json_locate(doc->text, value->key == NULL ? value->offset : key_offset(doc, value), line, column);
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
