#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they lie in memory");
_Static_assert(sizeof(double) == 8, "float64");

/* Magic, version, length and text together; a multiple of 64, with room for 20-digit row counts. */
enum { HEADER_BYTES = 128, MAGIC_BYTES = 10 };

struct npy {
  FILE *file;
  char *path, *part;
  enum npy_dtype dtype;
  uint32_t columns;
  uint64_t rows;
  int status;   /* errno of the first failure */
  bool created; /* the part file is ours to remove */
};

/* errno, or EIO when the library left none. */
static int failure(void)
{
  return errno != 0 ? errno : EIO;
}

/* Writes the header for the rows so far at the start of the file. */
static int write_header(struct npy *npy)
{
  char shape[64];
  if (npy->columns == 0) {
    snprintf(shape, sizeof shape, "(%" PRIu64 ",)", npy->rows);
  } else {
    snprintf(shape, sizeof shape, "(%" PRIu64 ", %" PRIu32 ")", npy->rows, npy->columns);
  }
  char header[HEADER_BYTES + 1] = "\x93NUMPY\x01";
  header[8] = (char)(HEADER_BYTES - MAGIC_BYTES);
  int length = snprintf(header + MAGIC_BYTES, HEADER_BYTES - MAGIC_BYTES,
                        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                        npy->dtype == NPY_INT64 ? "<i8" : "<f8", shape);
  size_t used = MAGIC_BYTES + (size_t)length;
  memset(header + used, ' ', HEADER_BYTES - used);
  header[HEADER_BYTES - 1] = '\n';
  errno = 0;
  return fwrite(header, 1, HEADER_BYTES, npy->file) == HEADER_BYTES ? 0 : failure();
}

/* Frees the struct and its strings, not the file. */
static void release(struct npy *npy)
{
  free(npy->path);
  free(npy->part);
  free(npy);
}

/* Copies `path` and derives the part name. Returns false when memory is short. */
static bool set_paths(struct npy *npy, const char *path)
{
  size_t length = strlen(path);
  npy->path = malloc(length + 1);
  npy->part = malloc(length + sizeof ".part");
  if (npy->path == NULL || npy->part == NULL) {
    return false;
  }
  memcpy(npy->path, path, length + 1);
  memcpy(npy->part, path, length);
  memcpy(npy->part + length, ".part", sizeof ".part");
  return true;
}

int npy_open(struct npy **out, const char *path, enum npy_dtype dtype, uint32_t columns)
{
  *out = NULL;
  struct npy *npy = calloc(1, sizeof *npy);
  if (npy == NULL) {
    return ENOMEM;
  }
  npy->dtype = dtype;
  npy->columns = columns;
  if (!set_paths(npy, path)) {
    release(npy);
    return ENOMEM;
  }
  errno = 0;
  npy->file = fopen(npy->part, "wb");
  npy->created = npy->file != NULL;
  int status = npy->created ? write_header(npy) : failure();
  if (status != 0) {
    npy_discard(npy);
    return status;
  }
  *out = npy;
  return 0;
}

int npy_row(struct npy *npy, const void *values)
{
  if (npy->status != 0) {
    return npy->status;
  }
  size_t count = npy->columns == 0 ? 1 : npy->columns;
  errno = 0;
  if (fwrite(values, 8, count, npy->file) != count) {
    npy->status = failure();
    return npy->status;
  }
  npy->rows++;
  return 0;
}

uint64_t npy_rows(const struct npy *npy)
{
  return npy->rows;
}

/* Patches the header now that the number of rows is known, and closes. Returns 0 or an errno. */
static int finish_file(struct npy *npy)
{
  int status = npy->status;
  errno = 0;
  if (status == 0) {
    status = fseek(npy->file, 0, SEEK_SET) == 0 ? write_header(npy) : failure();
  }
  errno = 0;
  if (fclose(npy->file) != 0 && status == 0) {
    status = failure();
  }
  npy->file = NULL;
  return status;
}

int npy_close(struct npy *npy)
{
  if (npy == NULL) {
    return 0;
  }
  int status = finish_file(npy);
  errno = 0;
  if (status == 0 && rename(npy->part, npy->path) != 0) {
    status = failure();
  }
  if (status != 0) {
    npy_discard(npy);
    return status;
  }
  release(npy);
  return 0;
}

void npy_discard(struct npy *npy)
{
  if (npy == NULL) {
    return;
  }
  if (npy->file != NULL) {
    fclose(npy->file);
  }
  if (npy->created) {
    remove(npy->part);
  }
  release(npy);
}
