/* UTF-8 decoding, as strict as RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef ROCE_COMMON_UTF8_H
#define ROCE_COMMON_UTF8_H

#include <stddef.h>

/* Length in bytes, 1 to 4, of the character at the start of the `length` bytes of `text`; 0 when there is no valid one.
 */
size_t utf8_length(const unsigned char *text, size_t length);

/* Writes code point `code` (at most U+10FFFF) to `out`, at least 4 bytes; returns the bytes written. */
size_t utf8_encode(unsigned code, char *out);

#endif
