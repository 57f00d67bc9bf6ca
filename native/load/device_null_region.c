/* Registered memory of a null device. */
#include <errno.h>
#include <stdlib.h>

#include "device_null.h"

enum { MAX_REGIONS = 1 << 23 }; /* above it, an index with its 8 bits of age would reach NULL_RKEY */

static bool grow(struct null_device *device)
{
  uint32_t room = device->region_room == 0 ? 16 : 2 * device->region_room;
  if (room > MAX_REGIONS)
    return false;
  struct null_region *more = realloc(device->regions, room * sizeof *more);
  if (more == NULL)
    return false;
  for (uint32_t i = device->region_room; i < room; i++)
    more[i] = (struct null_region){0};
  device->regions = more;
  device->region_room = room;
  return true;
}

/* Index of a free region, or the room when there is none. */
static uint32_t free_region(const struct null_device *device)
{
  for (uint32_t n = 0; n < device->region_room; n++) {
    uint32_t i = (device->next_region + n) % device->region_room;
    if (device->regions[i].length == 0)
      return i;
  }
  return device->region_room;
}

static bool add_region(struct null_device *device, struct null_region *region)
{
  uint32_t i = free_region(device);
  if (i == device->region_room && !grow(device))
    return false;
  /* the age of an index changes each time, and devices begin with different ages: keys of others are not taken */
  uint32_t age = device->regions[i].key == 0 ? 1 + device->number * 37 : device->regions[i].key + 1;
  region->key = i << 8 | (age & 0xFF);
  if (region->key == 0)
    region->key = 1;
  device->regions[i] = *region;
  device->next_region = i + 1;
  return true;
}

bool null_reg(struct load_device *device, void *address, size_t length, unsigned access, struct load_mr *out,
              struct load_error *e)
{
  struct null_device *d = null_device_of(device);
  struct null_region region = {(uint64_t)(uintptr_t)address, length, access, 0};
  if (length == 0)
    return load_fail(e, LOAD_OS, "%s: a region of 0 bytes cannot be registered", device->name);
  null_world_enter(d->fabric);
  int problem = d->dead ? EIO : add_region(d, &region) ? 0 : ENOMEM;
  null_world_leave(d->fabric);
  if (problem != 0)
    return load_fail_os(e, problem, "%s: registering %zu bytes", device->name, length);
  *out = (struct load_mr){region.key, region.key | NULL_RKEY, d};
  return true;
}

void null_dereg(struct load_device *device, struct load_mr *mr)
{
  struct null_device *d = null_device_of(device);
  null_world_enter(d->fabric);
  d->regions[mr->lkey >> 8].length = 0;
  d->regions[mr->lkey >> 8].access = 0;
  null_world_leave(d->fabric);
  *mr = (struct load_mr){0};
}
