/* The results of ends as JSON: every key of the protocol, null where an end does not know. */
#ifndef ROCE_LOAD_RESULT_H
#define ROCE_LOAD_RESULT_H

#include "common/jsonw.h"
#include "run.h"

/* "REM_ACCESS_ERR", "POST_EINVAL", "NO_PROGRESS", "DEVICE_GONE"; NULL for 0. */
const char *load_error_name(int error, char *buffer, size_t size);

/* The result object of an end; samples and series come from `run`, which may be NULL after it. */
void load_result_of(struct jsonw *w, const struct load_end *end, const struct load_run *run);
/* "usage" of a run that is over: what it cost, by thread, and whether the host was the bottleneck. */
void load_usage_of(struct jsonw *w, const struct load_run *run);
/* What the peer must know, one object a queue pair. */
void load_describe(struct jsonw *w, const struct load_end *end);
/* What identifies the packets of each QP. */
void load_routes_of(struct jsonw *w, const struct load_end *end);
/* "fe80:0000:…", eight groups of four digits, into 40 bytes. */
void load_gid_text(const uint8_t gid[16], char *out);

void load_member_or_null(struct jsonw *w, const char *key, uint64_t value, bool known);

#endif
