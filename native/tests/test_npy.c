#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/npy.h"
#include "test.h"

/* The header as NumPy's format 1.0 wants it: magic, version, length, text padded to a multiple of 64, newline. */
static const char *header_of(const char *file, size_t length, size_t *data)
{
  static char text[256];
  ASSERT(length >= 10);
  ASSERT(memcmp(file, "\x93NUMPY\x01\x00", 8) == 0);
  size_t n = (unsigned char)file[8] + 256U * (unsigned char)file[9];
  ASSERT_EQ((10 + n) % 64, (size_t)0);
  ASSERT(n < sizeof text && length >= 10 + n);
  memcpy(text, file + 10, n);
  ASSERT_EQ(text[n - 1], '\n');
  while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\n')) {
    n--;
  }
  text[n] = '\0';
  *data = 10 + (unsigned char)file[8] + 256U * (unsigned char)file[9];
  return text;
}

static bool exists(const char *path)
{
  return access(path, F_OK) == 0;
}

static void part_of(const char *path, char *part, size_t size)
{
  snprintf(part, size, "%s.part", path);
}

TEST(npy_writes_a_table)
{
  const char *path = test_scratch("table.npy");
  char part[512];
  struct npy *npy = NULL;
  part_of(path, part, sizeof part);
  ASSERT_EQ(npy_open(&npy, path, NPY_INT64, 3), 0);
  ASSERT(exists(part) && !exists(path));
  for (int64_t i = 0; i < 5; i++) {
    int64_t row[3] = {i, -i, INT64_MAX - i};
    ASSERT_EQ(npy_row(npy, row), 0);
  }
  ASSERT_EQ(npy_rows(npy), UINT64_C(5));
  ASSERT_EQ(npy_close(npy), 0);
  ASSERT(!exists(part) && exists(path));
  size_t length = 0;
  size_t data = 0;
  char *file = test_read_file(path, &length);
  ASSERT_STR(header_of(file, length, &data), "{'descr': '<i8', 'fortran_order': False, 'shape': (5, 3), }");
  ASSERT_EQ(length, data + 5 * 3 * 8);
  int64_t last[3];
  memcpy(last, file + length - sizeof last, sizeof last);
  ASSERT_EQ(last[0], 4);
  ASSERT_EQ(last[1], -4);
  ASSERT_EQ(last[2], INT64_MAX - 4);
  free(file);
}

TEST(npy_writes_a_vector)
{
  const char *path = test_scratch("vector.npy");
  struct npy *npy = NULL;
  ASSERT_EQ(npy_open(&npy, path, NPY_FLOAT64, 0), 0);
  for (int i = 0; i < 3; i++) {
    double value = i / 4.0;
    ASSERT_EQ(npy_row(npy, &value), 0);
  }
  ASSERT_EQ(npy_close(npy), 0);
  size_t length = 0;
  size_t data = 0;
  char *file = test_read_file(path, &length);
  ASSERT_STR(header_of(file, length, &data), "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }");
  double last = 0.0;
  memcpy(&last, file + length - 8, 8);
  ASSERT_NEAR(last, 0.5, 0.0);
  free(file);
}

TEST(npy_writes_an_empty_table)
{
  const char *path = test_scratch("empty.npy");
  struct npy *npy = NULL;
  ASSERT_EQ(npy_open(&npy, path, NPY_FLOAT64, 7), 0);
  ASSERT_EQ(npy_close(npy), 0);
  size_t length = 0;
  size_t data = 0;
  char *file = test_read_file(path, &length);
  ASSERT_STR(header_of(file, length, &data), "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 7), }");
  ASSERT_EQ(length, data);
  free(file);
}

TEST(npy_discard_leaves_nothing)
{
  const char *path = test_scratch("discard.npy");
  char part[512];
  struct npy *npy = NULL;
  int64_t row = 1;
  part_of(path, part, sizeof part);
  ASSERT_EQ(npy_open(&npy, path, NPY_INT64, 0), 0);
  ASSERT_EQ(npy_row(npy, &row), 0);
  npy_discard(npy);
  ASSERT(!exists(part) && !exists(path));
}

TEST(npy_reports_a_missing_folder)
{
  struct npy *npy = NULL;
  ASSERT_EQ(npy_open(&npy, "/nowhere/at/all.npy", NPY_INT64, 1), ENOENT);
  ASSERT(npy == NULL);
  ASSERT_EQ(npy_close(npy), 0);
  npy_discard(npy);
}

/* The part file is made a link to /dev/full, where every write fails. */
TEST(npy_reports_a_full_disk)
{
  const char *path = test_scratch("full.npy");
  char part[512];
  struct npy *npy = NULL;
  int64_t row[1000] = {0};
  part_of(path, part, sizeof part);
  ASSERT_EQ(symlink("/dev/full", part), 0);
  ASSERT_EQ(npy_open(&npy, path, NPY_INT64, 1000), 0);
  int status = 0;
  for (int i = 0; i < 100 && status == 0; i++) {
    status = npy_row(npy, row);
  }
  ASSERT_EQ(status, ENOSPC);
  ASSERT_EQ(npy_row(npy, row), ENOSPC);
  ASSERT_EQ(npy_close(npy), ENOSPC);
  ASSERT(!exists(path) && !exists(part));
}

TEST(npy_reports_a_target_that_is_a_folder)
{
  const char *path = test_scratch("folder.npy");
  struct npy *npy = NULL;
  ASSERT_EQ(mkdir(path, 0700), 0);
  ASSERT_EQ(npy_open(&npy, path, NPY_INT64, 1), 0);
  ASSERT(npy_close(npy) != 0);
}

TEST(npy_reports_short_memory)
{
  const char *path = test_scratch("memory.npy");
  struct npy *npy = NULL;
  int status = ENOMEM;
  uint64_t n = 1;
  for (; n < 20 && status == ENOMEM; n++) {
    test_fail_allocation(n);
    status = npy_open(&npy, path, NPY_INT64, 1);
    test_fail_allocation(0);
    ASSERT((npy == NULL) == (status != 0));
  }
  ASSERT(n > 3 && status == 0);
  npy_discard(npy);
}
