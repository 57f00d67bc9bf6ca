#include "utf8.h"

#include <stdbool.h>

/* Whether the bytes after the first one are all continuation bytes. */
static bool continues(const unsigned char *text, size_t count)
{
  for (size_t i = 1; i < count; i++) {
    if ((text[i] & 0xC0U) != 0x80U) {
      return false;
    }
  }
  return true;
}

size_t utf8_length(const unsigned char *text, size_t length)
{
  if (length == 0) {
    return 0;
  }
  unsigned first = text[0];
  if (first < 0x80U) {
    return 1;
  }
  size_t count = first >= 0xF0U ? 4 : first >= 0xE0U ? 3 : 2;
  if (first < 0xC2U || first > 0xF4U || length < count || !continues(text, count)) {
    return 0;
  }
  unsigned second = text[1];
  bool overlong = (first == 0xE0U && second < 0xA0U) || (first == 0xF0U && second < 0x90U);
  bool surrogate = first == 0xEDU && second > 0x9FU;
  bool beyond = first == 0xF4U && second > 0x8FU;
  return overlong || surrogate || beyond ? 0 : count;
}

size_t utf8_encode(unsigned code, char *out)
{
  if (code < 0x80U) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800U) {
    out[0] = (char)(0xC0U | (code >> 6));
    out[1] = (char)(0x80U | (code & 0x3FU));
    return 2;
  }
  if (code < 0x10000U) {
    out[0] = (char)(0xE0U | (code >> 12));
    out[1] = (char)(0x80U | ((code >> 6) & 0x3FU));
    out[2] = (char)(0x80U | (code & 0x3FU));
    return 3;
  }
  out[0] = (char)(0xF0U | (code >> 18));
  out[1] = (char)(0x80U | ((code >> 12) & 0x3FU));
  out[2] = (char)(0x80U | ((code >> 6) & 0x3FU));
  out[3] = (char)(0x80U | (code & 0x3FU));
  return 4;
}
