/* A hash map from names to numbers. Names are not copied. */
#ifndef ROCE_COMMON_NAMEMAP_H
#define ROCE_COMMON_NAMEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAMEMAP_NONE = -1 };

struct namemap_slot {
  const char *name; /* NULL when free */
  size_t length;
  uint32_t value;
};

struct namemap {
  struct namemap_slot *slots;
  size_t capacity; /* a power of two */
  size_t count;
};

/* Makes room for `expected` names. Returns false when memory is short. */
bool namemap_init(struct namemap *map, size_t expected);
void namemap_free(struct namemap *map);

/* Adds a name; when it is there already, leaves the map alone and returns its value, else returns NAMEMAP_NONE. At most
 * as many names as namemap_init() was told; `name` must live as long as the map. */
int64_t namemap_add(struct namemap *map, const char *name, size_t length, uint32_t value);

/* The value of a name, or NAMEMAP_NONE. */
int64_t namemap_find(const struct namemap *map, const char *name, size_t length);

#endif
