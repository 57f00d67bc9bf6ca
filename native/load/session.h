/* The state between requests: from `prepare` to `teardown`, one run after another. Used from the main thread. */
#ifndef ROCE_LOAD_SESSION_H
#define ROCE_LOAD_SESSION_H

#include "common/jsonw.h"
#include "fields.h"
#include "run.h"

struct load_session;

/* Where events go: one JSON object a line. `droppable` ones may be left out when nobody reads. */
typedef void load_emit_fn(void *arg, const char *line, size_t length, bool droppable);

struct load_session *load_session_new(load_emit_fn *emit, void *arg, uint64_t watchdog_ns);
void load_session_free(struct load_session *s);

/* Answers one request: `op` of the object `fields`. Writes the answer as one line with the emit function. */
void load_session_answer(struct load_session *s, const struct json_doc *doc);

/* The run that goes on, NULL when none does; and one step of it. Returns ns until the next step. */
struct load_run *load_session_run(const struct load_session *s);
uint64_t load_session_step(struct load_session *s);
bool load_session_quitting(const struct load_session *s);

/* Stops a run that goes on, so that `finished` comes within `drain_ns` or so. */
void load_session_stop(struct load_session *s, uint64_t drain_ns, const char *why);

#endif
