#include "text.h"

#include <stdlib.h>

enum { FIRST_BYTES = 1 << 16 };

char *text_read_all(FILE *in, size_t *length)
{
  size_t capacity = FIRST_BYTES, n = 0;
  char *text = malloc(capacity);
  while (text != NULL) {
    n += fread(text + n, 1, capacity - n, in);
    if (n < capacity)
      break;
    char *grown = realloc(text, capacity *= 2);
    if (grown == NULL)
      free(text);
    text = grown;
  }
  *length = n;
  return text;
}
