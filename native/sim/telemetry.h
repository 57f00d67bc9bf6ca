/* The tables of time series that a run writes; read by result.c to describe them. */
#ifndef ROCE_SIM_TELEMETRY_H
#define ROCE_SIM_TELEMETRY_H

#include "sim.h"

enum series_kind {
  SERIES_QUEUE,
  SERIES_SHARED,
  SERIES_GOODPUT,
  SERIES_RATE,
  SERIES_ALPHA,
  SERIES_PAUSE,
  SERIES_MARKED,
  SERIES_CNP,
  SERIES_TABLES,
};

struct series_info {
  const char *name, *unit;
  enum npy_dtype dtype;
};
extern const struct series_info series_info[SERIES_TABLES];

/* What a column shows: a port, switch or flow by index, and a priority where the table has one. */
struct series_column {
  uint32_t object;
  uint8_t prio;
};

union series_value {
  int64_t i;
  double d;
};

struct series_table {
  struct series_column *columns;
  uint32_t n;
  struct npy *file;
};

struct series {
  struct series_table tables[SERIES_TABLES];
  struct npy *time;
  union series_value *row;
  uint64_t samples;
};

#endif
