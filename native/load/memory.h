/* Memory for messages: mapped, touched and registered once, near the device, in huge pages when there are any.
 *
 * A buffer larger than what may be used is folded: its addresses repeat one window of real memory, as in the agent's
 * memory.py.
 */
#ifndef ROCE_LOAD_MEMORY_H
#define ROCE_LOAD_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { LOAD_ALIGN = 64 };

struct load_memory {
  uint8_t *base;
  size_t length; /* of addresses, rounded up */
  size_t window; /* of real bytes; below length when folded */
  size_t page;   /* size of its pages: 2 MiB when all that fit are huge, else the processor's */
  int numa_node; /* where it was asked to be; -1 anywhere, or the kernel did not hear of it */
};

/* `window` 0: not folded. Every page is touched. Huge pages are tried from 2 MiB on: those that were set aside
 * (MAP_HUGETLB, which rounds `length` up to 2 MiB), then the kernel's own (MADV_HUGEPAGE). The node is a preference
 * (mbind MPOL_PREFERRED). Fails with no_resources and `base` NULL; else free it with load_memory_unmap(), which may be
 * called twice. */
bool load_memory_map(struct load_memory *m, size_t length, size_t window, int numa_node, struct load_error *e);
void load_memory_unmap(struct load_memory *m);

/* The kernel's estimate of memory that can be used without swapping; 256 MiB when it gives none. */
uint64_t load_memory_available(void);

#endif
