/* `after`: which flows a flow waits for. Names become indices; cycles are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_parts.h"

bool job_fail_no_flow(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value)
{
  struct job_nearest nearest = {.name = value->string, .length = value->count};
  char hint[JOB_HINT_BYTES];
  for (uint32_t i = 0; i < ctx->job->n_flows; i++) {
    job_nearest_try(&nearest, ctx->job->flows[i].name);
  }
  job_nearest_hint(&nearest, hint);
  return job_fail_value(ctx, where, value, "names a flow that does not exist%s", hint);
}

/* A flow can wait only for what its source host sees complete: what it sent or received itself. */
static bool check_visible(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                          const struct job_flow *flow, const struct job_flow *other)
{
  const struct job *job = ctx->job;
  uint32_t host = job->ports[flow->src_port].node;
  if (other->messages == 0) {
    return job_fail_value(ctx, where, value, "names a flow that never completes (messages 0)");
  }
  if (job->ports[other->src_port].node != host && job->ports[other->dst_port].node != host) {
    return job_fail_value(
        ctx, where, value,
        "names a flow that neither starts nor ends at %s, the source of this one, which cannot see it complete",
        job->nodes[host].name);
  }
  return true;
}

/* One name. `seen` has a mark by flow, the number of the last flow whose list names it. */
static bool read_one(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                     struct job_flow *flow, uint32_t *seen)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  int64_t other = namemap_find(&ctx->flows, value->string, value->count);
  if (other == NAMEMAP_NONE) {
    return job_fail_no_flow(ctx, where, value);
  }
  uint32_t mark = (uint32_t)(flow - ctx->job->flows) + 1;
  if (seen[other] == mark) {
    return job_fail_value(ctx, where, value, "names a flow twice");
  }
  seen[other] = mark;
  flow->after[flow->n_after++] = (uint32_t)other;
  return check_visible(ctx, where, value, flow, &ctx->job->flows[other]);
}

/* The list of one flow. */
static bool read_list(struct job_ctx *ctx, const struct job_where *where, const struct json_value *list,
                      struct job_flow *flow, uint32_t *seen)
{
  if (!job_list(ctx, where, list, ctx->job->n_flows, "names, more than there are flows")) {
    return false;
  }
  flow->after = arena_array(ctx->arena, list->count, sizeof *flow->after);
  if (flow->after == NULL) {
    return job_fail_memory(ctx);
  }
  size_t index = 0;
  for (const struct json_value *element = list->first; element != NULL; element = element->next, index++) {
    if (!read_one(ctx, JOB_INDEX(where, index), element, flow, seen)) {
      return false;
    }
  }
  return true;
}

/* Depth-first search over the flows that are waited for. */
struct search {
  const struct job *job;
  uint8_t *state;  /* by flow, enum visit */
  uint32_t *stack; /* the way down from the first flow */
  uint32_t *next;  /* by flow: the entry of its list to follow next */
  size_t depth;
};
enum visit { VISIT_NEW, VISIT_OPEN, VISIT_CLOSED };

/* Follows the lists from `start`. Returns the flow that closes a cycle, or -1. */
static int64_t search_from(struct search *s, uint32_t start)
{
  s->depth = 0;
  s->stack[s->depth++] = start;
  s->state[start] = VISIT_OPEN;
  while (s->depth > 0) {
    uint32_t at = s->stack[s->depth - 1];
    if (s->next[at] == s->job->flows[at].n_after) {
      s->state[at] = VISIT_CLOSED;
      s->depth--;
      continue;
    }
    uint32_t other = s->job->flows[at].after[s->next[at]++];
    if (s->state[other] == VISIT_OPEN) {
      return other;
    }
    if (s->state[other] == VISIT_NEW) {
      s->state[other] = VISIT_OPEN;
      s->stack[s->depth++] = other;
    }
  }
  return -1;
}

/* Names the flows of the cycle, which is the end of the stack from `first` on. */
static bool fail_cycle(struct job_ctx *ctx, const struct search *s, uint32_t first, const struct json_value *flows)
{
  char names[360] = "";
  size_t used = 0;
  size_t at = s->depth;
  while (s->stack[--at] != first) {
  }
  for (size_t i = at; i < s->depth && used < sizeof names - 80; i++) {
    char name[64];
    const char *full = ctx->job->flows[s->stack[i]].name;
    job_clip(name, sizeof name, full, strlen(full));
    used += (size_t)snprintf(names + used, sizeof names - used, "%s -> ", name);
  }
  char name[64];
  job_clip(name, sizeof name, ctx->job->flows[first].name, strlen(ctx->job->flows[first].name));
  const struct json_value *value = flows->first;
  for (uint32_t i = 0; i < first; i++) {
    value = value->next;
  }
  const struct job_where *where = JOB_KEY(NULL, "flows");
  return job_fail_key(ctx, JOB_INDEX(where, first), value, "after", "flows wait for each other in a circle: %s%s",
                      names, name);
}

static bool find_cycle(struct job_ctx *ctx, struct search *s, const struct json_value *flows)
{
  for (uint32_t i = 0; i < ctx->job->n_flows; i++) {
    int64_t closing = s->state[i] == VISIT_NEW ? search_from(s, i) : -1;
    if (closing >= 0) {
      return fail_cycle(ctx, s, (uint32_t)closing, flows);
    }
  }
  return true;
}

static bool check_acyclic(struct job_ctx *ctx, const struct json_value *flows)
{
  size_t n = ctx->job->n_flows;
  struct search s = {.job = ctx->job};
  s.state = calloc(n, sizeof *s.state);
  s.stack = calloc(n, sizeof *s.stack);
  s.next = calloc(n, sizeof *s.next);
  bool ok = s.state != NULL && s.stack != NULL && s.next != NULL;
  ok = ok ? find_cycle(ctx, &s, flows) : job_fail_memory(ctx);
  free(s.state);
  free(s.stack);
  free(s.next);
  return ok;
}

/* Reads the lists of all flows; `any` tells whether there are any names. */
static bool read_lists(struct job_ctx *ctx, const struct json_value *flows, uint32_t *seen, bool *any)
{
  const struct job_where *where = JOB_KEY(NULL, "flows");
  uint32_t index = 0;
  for (const struct json_value *element = flows->first; element != NULL; element = element->next, index++) {
    const struct job_where *here = JOB_INDEX(where, index);
    struct job_flow *flow = &ctx->job->flows[index];
    const struct json_value *list = json_get(element, "after");
    if (list != NULL && !read_list(ctx, JOB_KEY(here, "after"), list, flow, seen)) {
      return false;
    }
    *any = *any || flow->n_after > 0;
    if (flow->after_delay_ps > 0 && flow->n_after == 0) {
      return job_fail_key(ctx, here, element, "after_delay_ps", "has no flow in 'after' to count from; use start_ps");
    }
  }
  return true;
}

bool job_read_after(struct job_ctx *ctx, const struct json_value *flows)
{
  bool any = false;
  uint32_t *seen = calloc((size_t)ctx->job->n_flows + 1, sizeof *seen);
  if (seen == NULL) {
    return job_fail_memory(ctx);
  }
  bool ok = read_lists(ctx, flows, seen, &any);
  free(seen);
  return ok && (!any || check_acyclic(ctx, flows));
}
