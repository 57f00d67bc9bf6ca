/* `nodes`: hosts and switches with their ports. */
#include <stdio.h>
#include <string.h>

#include "job_parts.h"

enum node_kind { KIND_HOST, KIND_SWITCH };

/* A node as the table reads it. */
struct node_text {
  const char *name;
  enum node_kind kind;
  const struct json_value *ports, *nic, *sw;
};

static const struct job_choice kinds[] = {{"host", KIND_HOST}, {"switch", KIND_SWITCH}, {NULL, 0}};

static job_custom_fn read_element_name;

static const struct job_field node_fields[] = {
    {.key = "name",
     .kind = FIELD_CUSTOM,
     .offset = offsetof(struct node_text, name),
     .required = true,
     .custom = read_element_name},
    JOB_ENUM_REQUIRED("kind", struct node_text, kind, kinds),
    JOB_VALUE_REQUIRED("ports", struct node_text, ports),
    JOB_VALUE("nic", struct node_text, nic),
    JOB_VALUE("switch", struct node_text, sw),
};
static const struct job_table node_table = JOB_TABLE("a node", node_fields);

/* Names of nodes and ports stand unquoted in CSV columns. */
static bool read_element_name(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                              void *out)
{
  const char **name = out;
  if (!job_name(ctx, where, value, name)) {
    return false;
  }
  if (strpbrk(*name, ",\"") != NULL) {
    return job_fail_is(ctx, where, value, "must not hold a comma or a double quote");
  }
  return true;
}

/* One port of `node`: remembers it as "node:port". */
static bool add_port(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                     struct job_node *node, uint32_t node_index)
{
  struct job *job = ctx->job;
  const char *name = NULL;
  if (!read_element_name(ctx, where, value, &name)) {
    return false;
  }
  size_t length = strlen(node->name) + 1 + strlen(name);
  char *full = arena_alloc(ctx->arena, length + 1);
  if (full == NULL) {
    return job_fail_memory(ctx);
  }
  snprintf(full, length + 1, "%s:%s", node->name, name);
  uint32_t index = job->n_ports;
  if (namemap_add(&ctx->ports, full, length, index) != NAMEMAP_NONE) {
    return job_fail_value(ctx, where, value, "is listed twice in the ports of node %s", node->name);
  }
  job->ports[index] = (struct job_port){.name = full, .node = node_index, .link = -1};
  job->n_ports++;
  node->n_ports++;
  return true;
}

static bool read_ports(struct job_ctx *ctx, const struct job_where *where, const struct json_value *list,
                       uint32_t index)
{
  struct job_node *node = &ctx->job->nodes[index];
  node->first_port = ctx->job->n_ports;
  size_t i = 0;
  for (const struct json_value *element = list->first; element != NULL; element = element->next, i++) {
    if (!add_port(ctx, JOB_INDEX(where, i), element, node, index)) {
      return false;
    }
  }
  return true;
}

/* A host without keys of its own shares the defaults with all the others. */
static bool configure_host(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                           struct job_node *node)
{
  node->nic = ctx->nic;
  if (job_absent(value)) {
    return true;
  }
  node->nic = arena_alloc(ctx->arena, sizeof *node->nic);
  if (node->nic == NULL) {
    return job_fail_memory(ctx);
  }
  *node->nic = *ctx->nic;
  return job_read_nic(ctx, JOB_KEY(where, "nic"), value, node->nic);
}

/* Likewise for a switch. */
static bool configure_switch(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                             struct job_node *node)
{
  node->sw = ctx->sw;
  if (job_absent(value)) {
    return true;
  }
  node->sw = arena_alloc(ctx->arena, sizeof *node->sw);
  if (node->sw == NULL) {
    return job_fail_memory(ctx);
  }
  *node->sw = *ctx->sw;
  return job_read_switch(ctx, JOB_KEY(where, "switch"), value, node->sw);
}

/* A host has no `switch` and a switch has no `nic`. */
static bool configure(struct job_ctx *ctx, const struct job_where *where, const struct node_text *text,
                      struct job_node *node)
{
  const struct json_value *other = node->is_switch ? text->nic : text->sw;
  if (!job_absent(other)) {
    const char *key = node->is_switch ? "nic" : "switch";
    return job_fail(ctx, JOB_KEY(where, key), other, "%s is a %s and has no '%s'", node->name,
                    node->is_switch ? "switch" : "host", key);
  }
  return node->is_switch ? configure_switch(ctx, where, text->sw, node) : configure_host(ctx, where, text->nic, node);
}

/* The name is new and can stand before a colon. */
static bool check_node_name(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                            const char *name, uint32_t index)
{
  const struct json_value *at = job_at(value, "name");
  if (strchr(name, ':') != NULL) {
    return job_fail_is(ctx, JOB_KEY(where, "name"), at, "a node name must not hold ':'");
  }
  int64_t before = namemap_add(&ctx->nodes, name, strlen(name), index);
  if (before != NAMEMAP_NONE) {
    return job_fail_value(ctx, JOB_KEY(where, "name"), at, "is the name of nodes[%d] already", (int)before);
  }
  return true;
}

static bool read_node(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                      uint32_t index)
{
  struct job_node *node = &ctx->job->nodes[index];
  struct node_text text = {0};
  if (!job_read(ctx, where, value, &node_table, &text) || !check_node_name(ctx, where, value, text.name, index)) {
    return false;
  }
  node->name = text.name;
  node->is_switch = text.kind == KIND_SWITCH;
  ctx->job->n_nodes = index + 1;
  return read_ports(ctx, JOB_KEY(where, "ports"), text.ports, index) && configure(ctx, where, &text, node);
}

/* Counts the ports of all nodes before memory is asked for them. */
static bool count_ports(struct job_ctx *ctx, const struct job_where *where, const struct json_value *list,
                        size_t *total)
{
  size_t index = 0;
  *total = 0;
  for (const struct json_value *node = list->first; node != NULL; node = node->next, index++) {
    const struct job_where *here = JOB_INDEX(where, index);
    const struct json_value *ports = json_get(node, "ports");
    if (ports == NULL) {
      continue; /* read_node() will say so */
    }
    if (!job_list(ctx, JOB_KEY(here, "ports"), ports, JOB_MAX_PORTS_PER_NODE, "ports")) {
      return false;
    }
    if (ports->count == 0) {
      return job_fail(ctx, JOB_KEY(here, "ports"), ports, "a node needs at least one port");
    }
    *total += ports->count;
  }
  return true;
}

/* Memory and name maps for `nodes` nodes and `ports` ports. */
static bool reserve(struct job_ctx *ctx, size_t nodes, size_t ports)
{
  ctx->job->nodes = arena_array(ctx->arena, nodes, sizeof *ctx->job->nodes);
  ctx->job->ports = arena_array(ctx->arena, ports, sizeof *ctx->job->ports);
  if (ctx->job->nodes == NULL || ctx->job->ports == NULL || !namemap_init(&ctx->nodes, nodes) ||
      !namemap_init(&ctx->ports, ports)) {
    return job_fail_memory(ctx);
  }
  return true;
}

bool job_read_nodes(struct job_ctx *ctx, const struct json_value *list)
{
  const struct job_where *where = JOB_KEY(NULL, "nodes");
  size_t ports = 0;
  if (!job_list(ctx, where, list, JOB_MAX_NODES, "nodes") || !count_ports(ctx, where, list, &ports) ||
      !reserve(ctx, list->count, ports)) {
    return false;
  }
  uint32_t index = 0;
  bool has_host = false;
  for (const struct json_value *node = list->first; node != NULL; node = node->next, index++) {
    if (!read_node(ctx, JOB_INDEX(where, index), node, index)) {
      return false;
    }
    has_host = has_host || !ctx->job->nodes[index].is_switch;
  }
  return has_host || job_fail(ctx, where, list, "there is no host: at least one node must be of kind \"host\"");
}
