#include "memory.h"

#include <errno.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)1 << 21)
#define HUGE_PAGE_FLAG (21 << 26) /* MAP_HUGE_2MB of asm-generic/hugetlb_encode.h, for files and for memory */
#define POPULATE_WRITE 23         /* MADV_POPULATE_WRITE of asm-generic/mman-common.h, since Linux 5.14 */
#define UNKNOWN_AVAILABLE (UINT64_C(256) << 20) /* as memory.py */

enum { MAX_NODES = 1024, NODE_WORD_BITS = sizeof(unsigned long) * CHAR_BIT };

static size_t round_up(size_t value, size_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

static size_t base_page(void)
{
  return (size_t)sysconf(_SC_PAGESIZE);
}

static bool is_folded(const struct load_memory *m)
{
  return m->window < m->length;
}

/* Addresses alone, from a multiple of HUGE_PAGE on: what is in huge pages must lie like that. NULL with errno. */
static uint8_t *reserve(size_t length)
{
  size_t more = length + HUGE_PAGE;
  uint8_t *all = mmap(NULL, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED)
    return NULL;
  size_t before = (size_t)(-(uintptr_t)all & (HUGE_PAGE - 1));
  if (before > 0)
    (void)munmap(all, before);
  (void)munmap(all + before + length, more - before - length);
  return all + before;
}

/* A file of one window in memory, -1 with errno. */
static int window_file(size_t window, bool huge)
{
  int file = memfd_create("roce-load", MFD_CLOEXEC | (huge ? MFD_HUGETLB | (unsigned)HUGE_PAGE_FLAG : 0U));
  if (file < 0 || ftruncate(file, (off_t)window) == 0)
    return file;
  int number = errno;
  (void)close(file);
  errno = number;
  return -1;
}

/* Lays memory over the reserved addresses: once, or a window of a file again and again. False with errno. */
static bool lay(const struct load_memory *m, bool huge)
{
  int kind = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | HUGE_PAGE_FLAG : 0), file = -1;
  if (is_folded(m)) {
    kind = MAP_SHARED;
    file = window_file(m->window, huge);
    if (file < 0)
      return false;
  }
  bool good = true;
  for (size_t at = 0; at < m->length && good; at += m->window)
    good = mmap(m->base + at, m->window, PROT_READ | PROT_WRITE, kind | MAP_FIXED, file, 0) != MAP_FAILED;
  int number = errno;
  if (file >= 0)
    (void)close(file);
  errno = number;
  return good;
}

/* Asks for a node before the pages are there. By the system call, as libnuma need not be on a host. */
static bool prefer_node(const struct load_memory *m, int node)
{
  if (node < 0 || node >= MAX_NODES)
    return false;
  unsigned long mask[MAX_NODES / NODE_WORD_BITS] = {0};
  mask[node / NODE_WORD_BITS] = 1UL << (node % NODE_WORD_BITS);
  return syscall(SYS_mbind, m->base, m->window, MPOL_PREFERRED, mask, (unsigned long)MAX_NODES + 1, 0U) == 0;
}

/* Makes every page real. Asking the kernel tells of pages that are not there after all, where touching them would be
 * the end of the process; a kernel that cannot be asked has them touched. */
static bool touch(const struct load_memory *m)
{
  if (madvise(m->base, m->window, POPULATE_WRITE) == 0)
    return true;
  if (errno != EINVAL)
    return false;
  for (size_t at = 0; at < m->window; at += m->page)
    ((volatile uint8_t *)m->base)[at] = 0;
  return true;
}

static bool lay_and_touch(struct load_memory *m, bool huge, int numa_node)
{
  if (!lay(m, huge))
    return false;
  if (!huge && m->window >= HUGE_PAGE)
    (void)madvise(m->base, m->length, MADV_HUGEPAGE); /* not built into every kernel */
  m->numa_node = prefer_node(m, numa_node) ? numa_node : -1;
  m->page = huge ? HUGE_PAGE : base_page();
  return touch(m);
}

/* The KiB of a line "NAME:   123 kB" of /proc. */
static bool kib_of(const char *line, const char *name, uint64_t *kib)
{
  size_t length = strlen(name);
  if (strncmp(line, name, length) != 0 || line[length] != ':')
    return false;
  char *end = NULL;
  unsigned long long value = strtoull(line + length + 1, &end, 10);
  if (end == line + length + 1)
    return false;
  *kib = value;
  return true;
}

/* Whether a line of /proc/self/smaps begins a mapping: "from-to rights …". */
static bool begins_mapping(const char *line, uint64_t *from, uint64_t *to)
{
  char *end = NULL;
  *from = strtoull(line, &end, 16);
  if (end == line || *end != '-')
    return false;
  *to = strtoull(end + 1, NULL, 16);
  return true;
}

/* KiB in huge pages of the mapping of /proc/self/smaps with this address, and how many there could be. */
static void huge_kib(const void *address, uint64_t *are, uint64_t *could)
{
  FILE *maps = fopen("/proc/self/smaps", "re");
  char line[512];
  bool here = false;
  *are = *could = 0;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    uint64_t from = 0, to = 0, kib = 0;
    if (begins_mapping(line, &from, &to)) {
      if (here)
        break;
      here = from <= (uintptr_t)address && (uintptr_t)address < to;
      if (here)
        *could = (to / HUGE_PAGE - (from + HUGE_PAGE - 1) / HUGE_PAGE) * (HUGE_PAGE / 1024);
    } else if (here && (kib_of(line, "AnonHugePages", &kib) || kib_of(line, "ShmemPmdMapped", &kib))) {
      *are += kib;
    }
  }
  if (maps != NULL)
    (void)fclose(maps);
}

/* Whether the kernel gave huge pages on its own wherever they fit. They have this size where pages have 4 KiB. */
static bool became_huge(const struct load_memory *m)
{
  uint64_t are = 0, could = 0;
  if (m->window < HUGE_PAGE || base_page() != 4096)
    return false;
  huge_kib(m->base, &are, &could);
  return could > 0 && are >= could;
}

static bool no_memory(size_t length, int number, struct load_error *e)
{
  (void)load_fail_os(e, number, "no %zu bytes of memory", length);
  e->kind = LOAD_NO_RESOURCES;
  return false;
}

/* Tries huge pages, in which addresses end at a multiple of theirs. Without them only the reservation is left. */
static bool map_huge(struct load_memory *m, size_t reserved, int numa_node)
{
  struct load_memory huge = *m;
  huge.length = reserved;
  huge.window = is_folded(m) ? m->window : reserved;
  if (lay_and_touch(&huge, true, numa_node)) {
    *m = huge;
    return true;
  }
  (void)mmap(m->base, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  (void)munmap(m->base + m->length, reserved - m->length); /* of nothing, when that is 0 */
  return false;
}

bool load_memory_map(struct load_memory *m, size_t length, size_t window, int numa_node, struct load_error *e)
{
  *m = (struct load_memory){.numa_node = -1};
  if (length == 0 || length > SIZE_MAX / 4)
    return no_memory(length, length == 0 ? EINVAL : ENOMEM, e);
  m->window = round_up(window != 0 && window < length ? window : length, base_page());
  bool folded = m->window < length;
  m->length = round_up(length, folded ? m->window : base_page());
  bool could_be_huge = folded ? m->window % HUGE_PAGE == 0 : m->window >= HUGE_PAGE;
  size_t reserved = could_be_huge ? round_up(m->length, HUGE_PAGE) : m->length;
  m->base = reserve(reserved);
  if (m->base == NULL)
    return no_memory(length, errno, e);
  if (could_be_huge && map_huge(m, reserved, numa_node))
    return true;
  if (!lay_and_touch(m, false, numa_node)) {
    int number = errno;
    load_memory_unmap(m);
    return no_memory(length, number, e);
  }
  m->page = became_huge(m) ? HUGE_PAGE : m->page;
  return true;
}

void load_memory_unmap(struct load_memory *m)
{
  if (m->base != NULL)
    (void)munmap(m->base, m->length);
  m->base = NULL;
}

uint64_t load_memory_available(void)
{
  FILE *info = fopen("/proc/meminfo", "re");
  char line[256];
  uint64_t kib = 0;
  bool told = false;
  while (info != NULL && !told && fgets(line, sizeof line, info) != NULL)
    told = kib_of(line, "MemAvailable", &kib);
  if (info != NULL)
    (void)fclose(info);
  return told ? kib * 1024 : UNKNOWN_AVAILABLE;
}
