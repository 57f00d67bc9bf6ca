/* `links`: full-duplex cables between two ports. */
#include <string.h>

#include "job_parts.h"

#define LINK struct job_link

static const struct job_field link_fields[] = {
    JOB_PORT("a", LINK, port_a),
    JOB_PORT("b", LINK, port_b),
    JOB_U64_REQUIRED("rate_bps", LINK, rate_bps, 1, JOB_MAX_BPS),
    JOB_U64_REQUIRED("delay_ps", LINK, delay_ps, 0, JOB_MAX_PS),
    JOB_BELOW("ber", LINK, ber, 0.0, 0.0, 1.0),
};
static const struct job_table link_table = JOB_TABLE("a link", link_fields);

/* Plugs one end in; a port takes one cable. */
static bool plug(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, const char *key,
                 uint32_t port_index, uint32_t link)
{
  struct job_port *port = &ctx->job->ports[port_index];
  if (port->link >= 0) {
    return job_fail_key(ctx, where, value, key, "port %s is used by links[%d] already; a port has at most one link",
                        port->name, (int)port->link);
  }
  port->link = (int32_t)link;
  return true;
}

static bool read_link(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      uint32_t index)
{
  struct job_link *link = &ctx->job->links[index];
  job_defaults(&link_table, link);
  if (!job_read(ctx, where, value, &link_table, link)) {
    return false;
  }
  const struct job_port *ports = ctx->job->ports;
  if (ports[link->port_a].node == ports[link->port_b].node) {
    return job_fail_key(ctx, where, value, "b", "connects node %s to itself",
                        ctx->job->nodes[ports[link->port_a].node].name);
  }
  return plug(ctx, where, value, "a", link->port_a, index) && plug(ctx, where, value, "b", link->port_b, index);
}

bool job_read_links(struct job_ctx *ctx, const struct json_value *list)
{
  const struct job_where *where = JOB_KEY(NULL, "links");
  if (!job_list(ctx, where, list, JOB_MAX_LINKS, "links")) {
    return false;
  }
  ctx->job->links = arena_array(ctx->arena, list->count, sizeof *ctx->job->links);
  if (ctx->job->links == NULL) {
    return job_fail_memory(ctx);
  }
  for (const struct json_value *element = list->first; element != NULL; element = element->next) {
    if (!read_link(ctx, JOB_INDEX(where, ctx->job->n_links), element, ctx->job->n_links)) {
      return false;
    }
    ctx->job->n_links++;
  }
  return true;
}

/* Whether some profile serves ports of this rate. */
static bool has_profile(const struct ecn_cfg *ecn, uint64_t rate_bps)
{
  for (uint32_t i = 0; i < ecn->n_profiles; i++) {
    if (ecn->profiles[i].rate_bps == 0 || ecn->profiles[i].rate_bps == rate_bps) {
      return true;
    }
  }
  return false;
}

bool job_check_profiles(struct job_ctx *ctx, const struct job_where *where, const struct json_value *at, uint32_t node,
                        const struct ecn_cfg *ecn)
{
  const struct job *job = ctx->job;
  const struct job_node *owner = &job->nodes[node];
  for (uint32_t i = 0; ecn->mask != 0 && i < owner->n_ports; i++) {
    const struct job_port *port = &job->ports[owner->first_port + i];
    if (port->link >= 0 && !has_profile(ecn, job->links[port->link].rate_bps)) {
      return job_fail(
          ctx, where, at,
          "port %s runs at %llu bit/s, for which ecn has no profile; add one, or one with rate_bps 0 for any rate",
          port->name, (unsigned long long)job->links[port->link].rate_bps);
    }
  }
  return true;
}

bool job_check_all_profiles(struct job_ctx *ctx, const struct json_value *nodes)
{
  const struct job_where *where = JOB_KEY(NULL, "nodes");
  uint32_t index = 0;
  for (const struct json_value *element = nodes->first; element != NULL; element = element->next, index++) {
    const struct job_node *node = &ctx->job->nodes[index];
    if (node->is_switch && !job_check_profiles(ctx, JOB_INDEX(where, index), element, index, &node->sw->ecn)) {
      return false;
    }
  }
  return true;
}
