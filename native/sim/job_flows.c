/* `flows`: who sends what to whom. What they wait for is in job_after.c. */
#include <string.h>

#include "job_parts.h"

#define FLOW struct job_flow
#define MAX_FLOW_BYTES (UINT64_C(1) << 62)
#define MAX_MESSAGE_BYTES (UINT64_C(1) << 31)
enum {
  ATOMIC_BYTES = 8,
  MAX_UDP_PORT = 65535,
  MAX_FLOW_LABEL = 0xFFFFF,
  MAX_POSTED = 1000000000,
  MAX_RECV_DEPTH = 1000000
};

static const struct job_choice verbs[] = {
    {"write", VERB_WRITE}, {"read", VERB_READ}, {"send", VERB_SEND}, {"atomic", VERB_ATOMIC}, {NULL, 0}};
static const struct job_choice transports[] = {
    {"rc", TRANSPORT_RC}, {"uc", TRANSPORT_UC}, {"ud", TRANSPORT_UD}, {NULL, 0}};
static const struct job_choice arrivals[] = {{"fixed", ARRIVE_FIXED}, {"poisson", ARRIVE_POISSON}, {NULL, 0}};

/* Best effort, CS1, CS2, AF31, AF41, EF, CS6, CS7: code points of RFC 2474, 2597 and 3246 in their class selector. */
const uint8_t dscp_of_priority[PRIO_COUNT] = {0, 8, 16, 26, 34, 46, 48, 56};

static bool read_flow_name(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                           void *out)
{
  return job_name(ctx, where, value, out);
}

static const struct job_field flow_fields[] = {
    {.key = "name", .kind = FIELD_CUSTOM, .offset = offsetof(FLOW, name), .required = true, .custom = read_flow_name},
    JOB_PORT("src", FLOW, src_port),
    JOB_PORT("dst", FLOW, dst_port),
    JOB_ENUM("verb", FLOW, verb, VERB_WRITE, verbs),
    JOB_ENUM("transport", FLOW, transport, TRANSPORT_RC, transports),
    JOB_U64_REQUIRED("message_bytes", FLOW, message_bytes, 1, MAX_MESSAGE_BYTES),
    JOB_U64("messages", FLOW, messages, 1, 0, MAX_FLOW_BYTES),
    JOB_U32("qps", FLOW, qps, 1, 1, JOB_MAX_QPS),
    JOB_U32("priority", FLOW, priority, 3, 0, PRIO_COUNT - 1),
    JOB_I32_OR_NULL("dscp", FLOW, dscp, 0, DSCP_COUNT - 1),
    JOB_BOOL("ect", FLOW, ect, true),
    JOB_U64("start_ps", FLOW, start_ps, 0, 0, JOB_MAX_PS),
    JOB_SKIP("after"),
    JOB_U64("after_delay_ps", FLOW, after_delay_ps, 0, 0, JOB_MAX_PS),
    JOB_U64("rate_bps", FLOW, rate_bps, 0, 0, JOB_MAX_BPS),
    JOB_U64("window_bytes", FLOW, window_bytes, 0, 0, MAX_FLOW_BYTES),
    JOB_U32("max_outstanding", FLOW, max_outstanding, 0, 0, MAX_POSTED),
    JOB_U64("message_interval_ps", FLOW, message_interval_ps, 0, 0, JOB_MAX_PS),
    JOB_ENUM("arrivals", FLOW, arrivals, ARRIVE_FIXED, arrivals),
    JOB_I32_OR_NULL("flow_label", FLOW, flow_label, 0, MAX_FLOW_LABEL),
    JOB_I32_OR_NULL("udp_sport", FLOW, udp_sport, 0, MAX_UDP_PORT),
    JOB_U32("recv_depth", FLOW, recv_depth, 0, 0, MAX_RECV_DEPTH),
    JOB_U64("recv_repost_ps", FLOW, recv_repost_ps, 0, 0, JOB_MAX_PS),
};
static const struct job_table flow_table = JOB_TABLE("a flow", flow_fields);

/* Both ends are connected ports of hosts. */
static bool check_end(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      const char *key, uint32_t port_index)
{
  const struct job_port *port = &ctx->job->ports[port_index];
  if (ctx->job->nodes[port->node].is_switch) {
    return job_fail_key(ctx, where, value, key, "%s is a port of a switch; flows run between ports of hosts",
                        port->name);
  }
  if (port->link < 0) {
    return job_fail_key(ctx, where, value, key, "port %s has no link", port->name);
  }
  return true;
}

static bool check_path(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       const struct job_flow *flow, const struct job_paths *paths)
{
  const struct job_port *ports = ctx->job->ports;
  if (!check_end(ctx, where, value, "src", flow->src_port) || !check_end(ctx, where, value, "dst", flow->dst_port)) {
    return false;
  }
  if (flow->src_port == flow->dst_port) {
    return job_fail_key(ctx, where, value, "dst", "flow goes from %s to itself", ports[flow->src_port].name);
  }
  if (!job_paths_connected(ctx->job, paths, flow->src_port, flow->dst_port)) {
    return job_fail_key(ctx, where, value, "dst", "there is no path from %s to %s; add links between their switches",
                        ports[flow->src_port].name, ports[flow->dst_port].name);
  }
  return true;
}

/* The smaller MTU of the two ends, which is that of the path. */
static uint32_t path_mtu(const struct job *job, const struct job_flow *flow)
{
  uint32_t src = job->nodes[job->ports[flow->src_port].node].nic->mtu_bytes;
  uint32_t dst = job->nodes[job->ports[flow->dst_port].node].nic->mtu_bytes;
  return src < dst ? src : dst;
}

/* InfiniBand's table of what each transport can do. */
static bool check_verb(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                       const struct job_flow *flow)
{
  bool uc = flow->transport == TRANSPORT_UC;
  bool ud = flow->transport == TRANSPORT_UD;
  const char *verb = verbs[flow->verb].name;
  if (uc && flow->verb != VERB_WRITE && flow->verb != VERB_SEND) {
    return job_fail_key(ctx, where, value, "verb",
                        "transport \"uc\" carries \"write\" and \"send\", not \"%s\"; use \"rc\"", verb);
  }
  if (ud && flow->verb != VERB_SEND) {
    return job_fail_key(ctx, where, value, "verb", "transport \"ud\" carries \"send\" only, not \"%s\"; use \"rc\"",
                        verb);
  }
  if (ud && flow->message_bytes > path_mtu(ctx->job, flow)) {
    return job_fail_key(ctx, where, value, "message_bytes", "a \"ud\" message is at most one MTU of %u bytes, is %llu",
                        (unsigned)path_mtu(ctx->job, flow), (unsigned long long)flow->message_bytes);
  }
  if (flow->verb == VERB_ATOMIC && flow->message_bytes != ATOMIC_BYTES) {
    return job_fail_key(ctx, where, value, "message_bytes", "an \"atomic\" works on 8 bytes, is %llu",
                        (unsigned long long)flow->message_bytes);
  }
  return true;
}

/* Keys that mean something only together with another one. */
static bool check_posting(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                          const struct job_flow *flow)
{
  if (flow->arrivals == ARRIVE_POISSON && flow->message_interval_ps == 0) {
    return job_fail_key(ctx, where, value, "arrivals", "\"poisson\" needs message_interval_ps, its mean, above 0");
  }
  if (flow->recv_depth > 0 && flow->verb != VERB_SEND) {
    return job_fail_key(ctx, where, value, "recv_depth", "only \"send\" uses receive work requests, verb is \"%s\"",
                        verbs[flow->verb].name);
  }
  if (flow->recv_repost_ps > 0 && flow->recv_depth == 0) {
    return job_fail_key(ctx, where, value, "recv_repost_ps", "needs a recv_depth above 0");
  }
  return true;
}

/* Sums the engine keeps in 64 bits, and the count of QPs over all flows. */
static bool check_volume(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                         const struct job_flow *flow, uint64_t *qps)
{
  *qps += flow->qps;
  if (*qps > JOB_MAX_QPS) {
    return job_fail_key(ctx, where, value, "qps", "flows have more than %d queue pairs in all", JOB_MAX_QPS);
  }
  if (flow->messages > MAX_FLOW_BYTES / flow->message_bytes / flow->qps) {
    return job_fail_key(ctx, where, value, "messages",
                        "flow would carry more than 2^62 bytes (%llu messages of %llu bytes)",
                        (unsigned long long)flow->messages, (unsigned long long)flow->message_bytes);
  }
  if (flow->udp_sport >= 0 && flow->udp_sport + (int64_t)flow->qps - 1 > MAX_UDP_PORT) {
    return job_fail_key(ctx, where, value, "udp_sport", "ports %d and up for %u queue pairs pass 65535",
                        (int)flow->udp_sport, (unsigned)flow->qps);
  }
  return true;
}

static bool read_flow(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      const struct job_paths *paths, uint64_t *qps)
{
  struct job_flow *flow = &ctx->job->flows[ctx->job->n_flows];
  job_defaults(&flow_table, flow);
  if (!job_read(ctx, where, value, &flow_table, flow)) {
    return false;
  }
  if (flow->dscp >= DSCP_COUNT) { /* not given */
    flow->dscp = dscp_of_priority[flow->priority];
  }
  int64_t before = namemap_add(&ctx->flows, flow->name, strlen(flow->name), ctx->job->n_flows);
  if (before != NAMEMAP_NONE) {
    return job_fail_value(ctx, JOB_KEY(where, "name"), job_at(value, "name"), "is the name of flows[%d] already",
                          (int)before);
  }
  return check_path(ctx, where, value, flow, paths) && check_verb(ctx, where, value, flow) &&
         check_posting(ctx, where, value, flow) && check_volume(ctx, where, value, flow, qps);
}

static bool read_all(struct job_ctx *ctx, const struct json_value *list, const struct job_paths *paths)
{
  const struct job_where *where = JOB_KEY(NULL, "flows");
  uint64_t qps = 0;
  for (const struct json_value *element = list->first; element != NULL; element = element->next) {
    if (!read_flow(ctx, JOB_INDEX(where, ctx->job->n_flows), element, paths, &qps)) {
      return false;
    }
    ctx->job->n_flows++;
  }
  return true;
}

bool job_read_flows(struct job_ctx *ctx, const struct json_value *list)
{
  struct job_paths paths = {NULL};
  if (!job_list(ctx, JOB_KEY(NULL, "flows"), list, JOB_MAX_FLOWS, "flows")) {
    return false;
  }
  ctx->job->flows = arena_array(ctx->arena, list->count, sizeof *ctx->job->flows);
  if (ctx->job->flows == NULL || !namemap_init(&ctx->flows, list->count)) {
    return job_fail_memory(ctx);
  }
  bool ok = job_paths_init(ctx, &paths) && read_all(ctx, list, &paths);
  job_paths_free(&paths);
  return ok;
}
