#include "namemap.h"

#include <stdlib.h>
#include <string.h>

bool namemap_init(struct namemap *map, size_t expected)
{
  map->count = 0;
  map->capacity = 16;
  if (expected > SIZE_MAX / 4 / sizeof *map->slots) {
    map->slots = NULL;
    return false;
  }
  while (map->capacity < expected * 2) {
    map->capacity *= 2;
  }
  map->slots = calloc(map->capacity, sizeof *map->slots);
  return map->slots != NULL;
}

void namemap_free(struct namemap *map)
{
  free(map->slots);
  map->slots = NULL;
  map->capacity = 0;
  map->count = 0;
}

/* FNV-1a with a final mix, so that the low bits are good. */
static uint64_t hash_of(const char *name, size_t length)
{
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < length; i++) {
    hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
  }
  return hash ^ (hash >> 29);
}

/* The slot of the name, or the free one where it belongs. */
static struct namemap_slot *slot_of(const struct namemap *map, const char *name, size_t length)
{
  size_t mask = map->capacity - 1;
  size_t at = (size_t)hash_of(name, length) & mask;
  while (map->slots[at].name != NULL) {
    if (map->slots[at].length == length && memcmp(map->slots[at].name, name, length) == 0) {
      break;
    }
    at = (at + 1) & mask;
  }
  return &map->slots[at];
}

int64_t namemap_add(struct namemap *map, const char *name, size_t length, uint32_t value)
{
  struct namemap_slot *slot = slot_of(map, name, length);
  if (slot->name != NULL) {
    return slot->value;
  }
  slot->name = name;
  slot->length = length;
  slot->value = value;
  map->count++;
  return NAMEMAP_NONE;
}

int64_t namemap_find(const struct namemap *map, const char *name, size_t length)
{
  if (map->slots == NULL) {
    return NAMEMAP_NONE;
  }
  const struct namemap_slot *slot = slot_of(map, name, length);
  return slot->name == NULL ? NAMEMAP_NONE : (int64_t)slot->value;
}
