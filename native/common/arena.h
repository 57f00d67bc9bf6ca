/* Arena: many small allocations that are freed all at once. */
#ifndef ROCE_COMMON_ARENA_H
#define ROCE_COMMON_ARENA_H

#include <stddef.h>

struct arena;

/* Returns an empty arena, or NULL when memory is short. Free it with arena_free(). */
struct arena *arena_new(void);

/* Frees the arena and everything allocated from it. NULL is allowed. */
void arena_free(struct arena *arena);

/* Returns `size` zeroed bytes aligned for pointers, 64-bit integers and doubles, or NULL when memory is short. A size
 * of 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);

/* Like arena_alloc() for `count` elements of `size` bytes; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* Returns a NUL-terminated copy of `length` bytes of `text`, or NULL when memory is short. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);

/* Bytes obtained from the system so far. */
size_t arena_bytes(const struct arena *arena);

#endif
