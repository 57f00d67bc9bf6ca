#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/namemap.h"
#include "test.h"

TEST(arena_memory_is_zeroed_aligned_and_apart)
{
  struct arena *arena = arena_new();
  ASSERT(arena != NULL);
  unsigned char *last = NULL;
  for (size_t size = 1; size < 3000; size += 7) {
    unsigned char *p = arena_alloc(arena, size);
    ASSERT(p != NULL && (uintptr_t)p % 8 == 0);
    for (size_t i = 0; i < size; i++) {
      ASSERT(p[i] == 0);
    }
    memset(p, 0xAA, size);
    ASSERT(p != last);
    last = p;
  }
  ASSERT(arena_alloc(arena, 10 << 20) != NULL);
  ASSERT(arena_bytes(arena) > 10U << 20);
  arena_free(arena);
  arena_free(NULL);
}

TEST(arena_refuses_absurd_sizes)
{
  struct arena *arena = arena_new();
  ASSERT(arena != NULL);
  ASSERT(arena_alloc(arena, SIZE_MAX) == NULL);
  ASSERT(arena_alloc(arena, SIZE_MAX - 64) == NULL);
  ASSERT(arena_array(arena, SIZE_MAX / 2, 3) == NULL);
  ASSERT(arena_strndup(arena, "x", SIZE_MAX) == NULL);
  ASSERT_STR(arena_strndup(arena, "hello", 3), "hel");
  arena_free(arena);
}

TEST(namemap_finds_what_was_added)
{
  enum { N = 10000 };
  struct namemap map;
  char(*names)[16] = malloc(N * sizeof *names);
  ASSERT(names != NULL && namemap_init(&map, N));
  for (uint32_t i = 0; i < N; i++) {
    sprintf(names[i], "n%u", (unsigned)i);
    ASSERT_EQ(namemap_add(&map, names[i], strlen(names[i]), i), (int64_t)NAMEMAP_NONE);
  }
  for (uint32_t i = 0; i < N; i++) {
    ASSERT_EQ(namemap_find(&map, names[i], strlen(names[i])), (int64_t)i);
    ASSERT_EQ(namemap_add(&map, names[i], strlen(names[i]), 0), (int64_t)i);
  }
  ASSERT_EQ(namemap_find(&map, "n", 1), (int64_t)NAMEMAP_NONE);
  ASSERT_EQ(namemap_find(&map, "n100x", 4), 100);
  namemap_free(&map);
  ASSERT_EQ(namemap_find(&map, "n1", 2), (int64_t)NAMEMAP_NONE);
  free(names);
}
