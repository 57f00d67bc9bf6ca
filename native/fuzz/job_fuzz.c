/* Fuzz target: any bytes go into the job parser.
 *
 * Three ways to run it: libFuzzer (clang -fsanitize=fuzzer), AFL++ and the built-in driver of fuzz_main.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process so that the fuzzer keeps the input. */
static void require(int condition, const char *what)
{
  if (!condition) {
    fprintf(stderr, "job_fuzz: %s\n", what);
    abort();
  }
}

/* A bad job has one message, terminated, and a place inside the text. */
static void check_error(const struct job_error *error)
{
  require(memchr(error->message, '\0', sizeof error->message) != NULL, "message is not terminated");
  require(memchr(error->path, '\0', sizeof error->path) != NULL, "path is not terminated");
  require(error->message[0] != '\0', "no message");
  require((error->line == 0) == (error->column == 0), "line without column");
  require(error->line != 0 || strstr(error->message, "memory") != NULL, "no position");
}

static void check_links(const struct job *job)
{
  for (uint32_t i = 0; i < job->n_links; i++) {
    const struct job_link *link = &job->links[i];
    require(link->port_a < job->n_ports && link->port_b < job->n_ports, "port of a link");
    require(job->ports[link->port_a].link == (int32_t)i && job->ports[link->port_b].link == (int32_t)i,
            "link of a port");
    require(link->rate_bps > 0 && link->ber >= 0.0 && link->ber < 1.0, "link out of range");
  }
}

/* Flows that wait for nothing come first in some order: repeatedly releasing them must release all. */
static void check_acyclic(const struct job *job)
{
  uint8_t *done = calloc((size_t)job->n_flows + 1, 1);
  uint32_t left = job->n_flows;
  uint32_t before = left + 1;
  require(done != NULL, "memory");
  while (left > 0 && left < before) {
    before = left;
    for (uint32_t i = 0; i < job->n_flows; i++) {
      const struct job_flow *flow = &job->flows[i];
      uint32_t waiting = 0;
      for (uint32_t k = 0; k < flow->n_after; k++) {
        require(flow->after[k] < job->n_flows, "after");
        waiting += done[flow->after[k]] ? 0 : 1;
      }
      left -= waiting == 0 && !done[i] ? 1 : 0;
      done[i] = done[i] || waiting == 0;
    }
  }
  require(left == 0, "cycle");
  free(done);
}

static void check_flows(const struct job *job)
{
  uint64_t qps = 0;
  for (uint32_t i = 0; i < job->n_flows; i++) {
    const struct job_flow *flow = &job->flows[i];
    require(flow->src_port < job->n_ports && flow->dst_port < job->n_ports && flow->src_port != flow->dst_port,
            "ends of a flow");
    require(!job->nodes[job->ports[flow->src_port].node].is_switch, "source is a switch");
    require(!job->nodes[job->ports[flow->dst_port].node].is_switch, "target is a switch");
    require(job->ports[flow->src_port].link >= 0 && job->ports[flow->dst_port].link >= 0, "end without link");
    require(flow->message_bytes > 0 && flow->qps > 0 && flow->priority < PRIO_COUNT, "flow out of range");
    require(flow->name != NULL && flow->name[0] != '\0', "flow without name");
    qps += flow->qps;
  }
  require(qps <= JOB_MAX_QPS, "queue pairs");
  check_acyclic(job);
}

static void check_events(const struct job *job)
{
  for (uint32_t i = 0; i < job->n_events; i++) {
    const struct job_event *event = &job->events[i];
    require(i == 0 || job->events[i - 1].at_ps <= event->at_ps, "order of events");
    require(event->kind != EV_IMPAIR || event->flow < job->n_flows, "flow of an event");
    require(event->kind != EV_IMPAIR || (event->n_packets > 0) != (event->fraction > 0.0), "packets or fraction");
    require(event->port < job->n_ports, "port of an event");
    if (event->kind == EV_QOS) {
      require(event->node < job->n_nodes, "node of an event");
      require((job->nodes[event->node].is_switch ? (void *)event->sw : (void *)event->nic) != NULL,
              "configuration of an event");
    }
  }
}

static void check_job(const struct job *job)
{
  uint32_t ports = 0;
  require(job->n_nodes > 0 && job->n_nodes <= JOB_MAX_NODES && job->duration_ps > 0, "job out of range");
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    const struct job_node *node = &job->nodes[i];
    require(node->first_port == ports && node->n_ports > 0, "ports of a node");
    require(node->is_switch ? node->sw->buffer.bytes > 0 : node->nic->mtu_bytes >= 64, "configuration of a node");
    ports += node->n_ports;
  }
  require(ports == job->n_ports, "number of ports");
  check_links(job);
  check_flows(job);
  check_events(job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct job_error error;
  struct job *job = job_parse((const char *)data, size, &error);
  if (job == NULL) {
    check_error(&error);
  } else {
    check_job(job);
    job_free(job);
  }
  return 0;
}
