#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load/memory.h"
#include "test.h"

enum { MIB = 1 << 20, HUGE = 2 * MIB };

static size_t page(void)
{
  return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t up(size_t value, size_t multiple)
{
  return (value + multiple - 1) / multiple * multiple;
}

static struct load_memory mapped(size_t length, size_t window, int node)
{
  struct load_memory m;
  struct load_error e;
  if (!load_memory_map(&m, length, window, node, &e))
    test_fail(__FILE__, __LINE__, "%s", e.message);
  return m;
}

/* Whether all of the memory is there already, by mincore(2). */
static bool all_resident(const struct load_memory *m)
{
  size_t pages = m->window / page(), there = 0;
  unsigned char *resident = malloc(pages);
  ASSERT(resident != NULL && mincore(m->base, m->window, resident) == 0);
  for (size_t i = 0; i < pages; i++)
    there += resident[i] & 1;
  free(resident);
  return there == pages;
}

TEST(load_memory_is_zero_touched_and_aligned)
{
  static const size_t lengths[] = {1, 4096, 5000, 2 * MIB - 1, 2 * MIB, 5 * MIB + 1};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    struct load_memory m = mapped(lengths[i], 0, -1);
    ASSERT(m.length >= lengths[i] && m.window == m.length && m.numa_node == -1);
    ASSERT_EQ(m.length, up(lengths[i], m.length % HUGE == 0 && lengths[i] >= HUGE ? HUGE : page()));
    ASSERT_EQ((uintptr_t)m.base % LOAD_ALIGN, (uintptr_t)0);
    ASSERT(all_resident(&m));
    for (size_t at = 0; at < m.length; at++)
      ASSERT_EQ((int)m.base[at], 0);
    memset(m.base, 0x5a, m.length);
    load_memory_unmap(&m);
  }
}

/* As test_memory.py of the agent. */
TEST(load_memory_that_is_folded_shows_one_window_again_and_again)
{
  static const size_t windows[] = {1 << 16, 3 * (1 << 16), 2 * MIB, 4 * MIB};
  for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
    size_t window = windows[i], length = 3 * window + 100;
    struct load_memory m = mapped(length, window, -1);
    ASSERT_EQ(m.window, window);
    ASSERT_EQ(m.length, 4 * window);
    ASSERT(all_resident(&m));
    for (size_t at = 0; at < window; at += 4093)
      m.base[at % 4 * window + at] = (uint8_t)(at % 251 + 1);
    for (size_t at = 0; at < window; at += 4093) {
      for (size_t fold = 0; fold < 4; fold++)
        ASSERT_EQ(m.base[fold * window + at], (uint8_t)(at % 251 + 1));
    }
    load_memory_unmap(&m);
  }
}

TEST(load_memory_is_not_folded_into_a_window_that_holds_it)
{
  struct load_memory m = mapped(5000, 1 << 16, -1);
  ASSERT_EQ(m.window, up(5000, page()));
  ASSERT_EQ(m.length, m.window);
  load_memory_unmap(&m);
}

/* Bytes of this process in huge pages of all kinds. */
static uint64_t huge_bytes(void)
{
  static const char *const names[] = {"AnonHugePages:", "ShmemPmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
  FILE *all = fopen("/proc/self/smaps_rollup", "re");
  ASSERT(all != NULL);
  char line[256];
  uint64_t sum = 0;
  while (fgets(line, sizeof line, all) != NULL) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (strncmp(line, names[i], strlen(names[i])) == 0)
        sum += strtoull(line + strlen(names[i]), NULL, 10) * 1024;
    }
  }
  (void)fclose(all);
  return sum;
}

/* Whether there are huge pages is for the machine to say; what is reported must be so. */
TEST(load_memory_reports_the_pages_it_got)
{
  for (size_t window = 0; window <= 4 * MIB; window += 4 * MIB) {
    uint64_t before = huge_bytes();
    struct load_memory m = mapped(8 * MIB, window, -1);
    uint64_t got = huge_bytes() - before;
    ASSERT(m.page == page() || m.page == HUGE);
    ASSERT_EQ(m.page == HUGE, got >= m.window);
    load_memory_unmap(&m);
  }
  struct load_memory m = mapped(HUGE - page(), 0, -1);
  ASSERT_EQ(m.page, page());
  load_memory_unmap(&m);
}

TEST(load_memory_asks_for_its_node)
{
  struct load_memory m = mapped(MIB, 0, 0);
  int mode = -1;
  long told = syscall(SYS_get_mempolicy, &mode, NULL, 0UL, m.base, (unsigned long)MPOL_F_ADDR);
  if (m.numa_node == 0) {
    ASSERT_EQ(told, 0L);
    ASSERT_EQ(mode, MPOL_PREFERRED);
  } else {
    ASSERT(told != 0); /* a kernel without NUMA, or one that must not be asked */
  }
  load_memory_unmap(&m);
  static const int absent[] = {-1, 1000, 1024, 100000};
  for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
    m = mapped(MIB, 0, absent[i]);
    ASSERT_EQ(m.numa_node, -1);
    load_memory_unmap(&m);
  }
}

static void refused(size_t length, size_t window, int number)
{
  struct load_memory m;
  struct load_error e;
  ASSERT(!load_memory_map(&m, length, window, -1, &e));
  ASSERT_EQ((int)e.kind, LOAD_NO_RESOURCES);
  ASSERT_EQ(e.number, number);
  ASSERT_CONTAINS(e.message, "bytes of memory");
  ASSERT(m.base == NULL);
  load_memory_unmap(&m);
}

TEST(load_memory_that_there_is_not_is_refused)
{
  refused(0, 0, EINVAL);
  refused(SIZE_MAX, 0, ENOMEM);
  refused(SIZE_MAX - 1, 1 << 16, ENOMEM);
  refused((size_t)1 << 56, 0, ENOMEM); /* more than there are addresses */
}

/* Address space, in bytes. */
static uint64_t addresses(void)
{
  FILE *statm = fopen("/proc/self/statm", "re");
  char line[256] = "";
  ASSERT(statm != NULL && fgets(line, sizeof line, statm) != NULL);
  (void)fclose(statm);
  return strtoull(line, NULL, 10) * page();
}

TEST(load_memory_gives_addresses_back_when_it_fails)
{
  struct rlimit was;
  ASSERT(getrlimit(RLIMIT_NOFILE, &was) == 0);
  uint64_t before = addresses();
  ASSERT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, was.rlim_max}) == 0);
  refused((size_t)1 << 32, 4 * MIB, EMFILE);
  ASSERT(setrlimit(RLIMIT_NOFILE, &was) == 0);
  ASSERT(addresses() - before < (UINT64_C(1) << 31));
}

TEST(load_memory_is_unmapped_once)
{
  uint64_t before = addresses();
  struct load_memory m = mapped((size_t)1 << 32, 4 * MIB, -1);
  ASSERT(addresses() - before >= (UINT64_C(1) << 32));
  load_memory_unmap(&m);
  ASSERT(addresses() - before < (UINT64_C(1) << 31));
  load_memory_unmap(&m);
}

TEST(load_memory_available_is_part_of_all)
{
  uint64_t available = load_memory_available();
  ASSERT(available >= MIB);
  ASSERT(available < (uint64_t)sysconf(_SC_PHYS_PAGES) * page());
}
