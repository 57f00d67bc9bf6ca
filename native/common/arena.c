#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* No object can be larger than half the address space; less leaves room for headers and rounding. */
static const size_t LARGEST = PTRDIFF_MAX / 2;
enum {
  UNIT = 8, /* alignment */
  FIRST_CHUNK = 4096,
  LARGEST_CHUNK = 1 << 20,
};

/* One block from the system; the payload follows the header. */
struct chunk {
  struct chunk *next;
  size_t size; /* payload bytes */
  alignas(UNIT) unsigned char payload[];
};

struct arena {
  struct chunk *chunks; /* newest first */
  size_t used;          /* payload bytes of the newest chunk already handed out */
  size_t next_size;     /* payload bytes of the next ordinary chunk; doubles up to LARGEST_CHUNK */
  size_t total;
};

struct arena *arena_new(void)
{
  struct arena *arena = calloc(1, sizeof *arena);
  if (arena != NULL) {
    arena->next_size = FIRST_CHUNK;
  }
  return arena;
}

void arena_free(struct arena *arena)
{
  if (arena == NULL) {
    return;
  }
  struct chunk *chunk = arena->chunks;
  while (chunk != NULL) {
    struct chunk *next = chunk->next;
    free(chunk);
    chunk = next;
  }
  free(arena);
}

/* Adds a chunk that holds at least `size` bytes. calloc() gives zeroed pages without touching them. */
static struct chunk *grow(struct arena *arena, size_t size)
{
  size_t payload = size > arena->next_size ? size : arena->next_size;
  struct chunk *chunk = calloc(1, sizeof *chunk + payload);
  if (chunk == NULL) {
    return NULL;
  }
  chunk->size = payload;
  chunk->next = arena->chunks;
  arena->chunks = chunk;
  arena->used = 0;
  arena->total += sizeof *chunk + payload;
  if (arena->next_size < LARGEST_CHUNK) {
    arena->next_size *= 2;
  }
  return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
  const size_t unit = UNIT;
  if (size > LARGEST) {
    return NULL;
  }
  size_t rounded = (size + unit - 1) / unit * unit;
  struct chunk *chunk = arena->chunks;
  if (chunk == NULL || chunk->size - arena->used < rounded) {
    chunk = grow(arena, rounded);
    if (chunk == NULL) {
      return NULL;
    }
  }
  void *memory = chunk->payload + arena->used;
  arena->used += rounded;
  return memory;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
  if (size != 0 && count > SIZE_MAX / size) {
    return NULL;
  }
  return arena_alloc(arena, count * size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
  if (length == SIZE_MAX) {
    return NULL;
  }
  char *copy = arena_alloc(arena, length + 1);
  if (copy != NULL && length > 0) {
    memcpy(copy, text, length);
  }
  return copy;
}

size_t arena_bytes(const struct arena *arena)
{
  return arena->total;
}
