/* Which host ports can reach each other: through switches only, hosts do not forward. */
#include <stdlib.h>

#include "job_parts.h"

/* Representative of a set, shortening the way there (path halving). */
static uint32_t find(uint32_t *parent, uint32_t node)
{
  while (parent[node] != node) {
    parent[node] = parent[parent[node]];
    node = parent[node];
  }
  return node;
}

bool job_paths_init(struct job_ctx *ctx, struct job_paths *paths)
{
  const struct job *job = ctx->job;
  paths->component = calloc(job->n_nodes, sizeof *paths->component);
  if (paths->component == NULL) {
    return job_fail_memory(ctx);
  }
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    paths->component[i] = i;
  }
  for (uint32_t i = 0; i < job->n_links; i++) {
    uint32_t a = job->ports[job->links[i].port_a].node;
    uint32_t b = job->ports[job->links[i].port_b].node;
    if (job->nodes[a].is_switch && job->nodes[b].is_switch) {
      paths->component[find(paths->component, a)] = find(paths->component, b);
    }
  }
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    paths->component[i] = find(paths->component, i);
  }
  return true;
}

void job_paths_free(struct job_paths *paths)
{
  free(paths->component);
  paths->component = NULL;
}

/* The port at the other end of the cable. */
static uint32_t peer_of(const struct job *job, uint32_t port)
{
  const struct job_link *link = &job->links[job->ports[port].link];
  return link->port_a == port ? link->port_b : link->port_a;
}

bool job_paths_connected(const struct job *job, const struct job_paths *paths, uint32_t src_port, uint32_t dst_port)
{
  if (job->ports[src_port].link < 0 || job->ports[dst_port].link < 0) {
    return false;
  }
  uint32_t next = peer_of(job, src_port);
  if (next == dst_port) {
    return true;
  }
  uint32_t first = job->ports[next].node;
  uint32_t last = job->ports[peer_of(job, dst_port)].node;
  return job->nodes[first].is_switch && job->nodes[last].is_switch && paths->component[first] == paths->component[last];
}
