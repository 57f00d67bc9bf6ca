/* Reading whole streams. */
#ifndef ROCE_COMMON_TEXT_H
#define ROCE_COMMON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Reads all of a stream; `*length` bytes, without a final NUL. NULL when memory is short. The caller frees it. */
char *text_read_all(FILE *in, size_t *length);

#endif
