/* Incremental writer of NumPy .npy files (format 1.0, C order, little endian).
 *
 * Rows go to `<path>.part`, which takes its final name in npy_close(): a half-written file is never taken for a result.
 */
#ifndef ROCE_COMMON_NPY_H
#define ROCE_COMMON_NPY_H

#include <stdint.h>

enum npy_dtype { NPY_INT64, NPY_FLOAT64 };

struct npy;

/* Creates `<path>.part`. The array is rows x `columns`, or one-dimensional when `columns` is 0. Returns 0 and sets
 * `*out`, or returns an errno and sets `*out` to NULL. */
int npy_open(struct npy **out, const char *path, enum npy_dtype dtype, uint32_t columns);

/* Appends one row: `columns` values (1 when one-dimensional) of int64_t or double. Returns 0 or an errno; after a
 * failure every further call returns the same errno. */
int npy_row(struct npy *npy, const void *values);

uint64_t npy_rows(const struct npy *npy);

/* Writes the row count, flushes and renames. Returns 0 or an errno (the first one met), and then removes the part file.
 * Frees `npy` either way. NULL is allowed and gives 0. */
int npy_close(struct npy *npy);

/* Removes the part file and frees `npy`. NULL is allowed. */
void npy_discard(struct npy *npy);

#endif
