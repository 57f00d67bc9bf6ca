/* Conservation: what was put into the fabric was delivered, dropped with a reason, or is still inside; every account agrees with
 * the frames that are really there. A run that breaks this has no result.
 */
#include <stdarg.h>

#include "sim.h"

static void violate(struct sim *s, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  if (s->n_violations++ == 0)
    vsnprintf(s->violation, sizeof s->violation, format, args);
  va_end(args);
}

struct census {
  uint64_t packets, bytes; /* frames other than PFC found inside the fabric */
  uint64_t pfc;
};

static uint64_t count_list(const struct sim *s, uint32_t head, struct census *c)
{
  uint64_t bytes = 0;
  for (uint32_t i = head; i != NIL; i = s->packets[i].next) {
    const struct packet *k = &s->packets[i];
    bytes += k->bytes;
    if (k->kind == PKT_PFC) {
      c->pfc++;
    } else {
      c->packets++;
      c->bytes += k->bytes;
    }
  }
  return bytes;
}

static void check_queues(struct sim *s, uint32_t port, struct census *c)
{
  struct port *p = &s->ports[port];
  for (int prio = 0; prio < PRIO_COUNT; prio++) {
    uint64_t bytes = count_list(s, p->lane[prio].queue.head, c);
    if (bytes != p->lane[prio].queue_bytes)
      violate(s, "%s priority %d: the queue holds %llu bytes, its account says %u", s->job->ports[port].name, prio,
              (unsigned long long)bytes, p->lane[prio].queue_bytes);
  }
}

/* Ingress accounts of a switch must equal the frames in its queues, port by port of entry. */
static void check_ingress(struct sim *s, const struct switch_node *sw)
{
  uint64_t queued = 0, accounted = 0, shared = 0, reserve = sw->cfg->buffer.reserve_bytes;
  for (uint32_t i = 0; i < sw->n_ports; i++) {
    const struct port *p = &s->ports[sw->first_port + i];
    for (int prio = 0; prio < PRIO_COUNT; prio++) {
      const struct lane *l = &p->lane[prio];
      queued += l->queue_bytes;
      accounted += (uint64_t)l->ingress_bytes + l->headroom_bytes;
      shared += l->ingress_bytes > reserve ? l->ingress_bytes - reserve : 0;
    }
  }
  for (uint32_t i = s->held; i != NIL; i = s->packets[i].next)
    queued += s->ports[s->packets[i].in_port].node == sw->node ? s->packets[i].bytes : 0;
  const char *name = s->job->nodes[sw->node].name;
  if (queued != accounted)
    violate(s, "%s: %llu bytes are queued, the buffer accounts hold %llu", name, (unsigned long long)queued,
            (unsigned long long)accounted);
  if (shared != sw->shared_used)
    violate(s, "%s: ports use %llu shared bytes, the pool says %llu", name, (unsigned long long)shared,
            (unsigned long long)sw->shared_used);
}

/* Both ends of a link: sent = received + in flight + lost on the link (or held back by an impairment). */
static void check_link(struct sim *s, uint32_t port, uint64_t on_wire)
{
  const struct port *p = &s->ports[port], *peer = &s->ports[p->peer];
  uint64_t sent = peer->control_tx, received = p->control_rx;
  for (int prio = 0; prio < PRIO_COUNT; prio++) {
    sent += peer->lane[prio].tx_packets;
    received += p->lane[prio].rx_packets;
  }
  uint64_t lost = p->lost_on_link + peer->taken_on_link;
  if (sent + p->joined_on_link != received + on_wire + lost)
    violate(s, "link into %s: %llu frames sent, %llu received, %llu in flight, %llu lost", s->job->ports[port].name,
            (unsigned long long)sent, (unsigned long long)received, (unsigned long long)on_wire, (unsigned long long)lost);
}

static void check_port(struct sim *s, uint32_t port, struct census *c)
{
  const struct port *p = &s->ports[port];
  if (p->peer == NIL)
    return;
  struct census before = *c;
  count_list(s, p->wire.head, c);
  check_link(s, port, c->packets - before.packets + c->pfc - before.pfc);
  count_list(s, p->control.head, c);
  check_queues(s, port, c);
  if (p->is_switch)
    return;
  const struct nic *n = &s->nics[p->nic];
  for (int prio = 0; prio < PRIO_COUNT; prio++)
    count_list(s, n->acks[prio].head, c);
  count_list(s, n->rx_queue.head, c);
}

static void check_flow(struct sim *s, const struct flow *f)
{
  uint64_t gone = f->packets_delivered + f->packets_dropped + f->packets_in_flight + f->packets_vanished;
  if (f->packets_sent + f->packets_duplicated_in_fabric != gone)
    violate(s, "flow %s: %llu data packets sent, %llu delivered, dropped or in flight", f->job->name,
            (unsigned long long)f->packets_sent, (unsigned long long)gone);
  uint64_t whole = f->job->messages * f->job->message_bytes * f->job->qps;
  bool excess = f->bytes_delivered > whole && has_defect(s, DEFECT_DUPLICATE_DELIVERED);
  if (f->done && f->job->transport == TRANSPORT_RC && f->bytes_delivered != whole && !excess)
    violate(s, "flow %s is complete with %llu of %llu bytes delivered", f->job->name, (unsigned long long)f->bytes_delivered,
            (unsigned long long)whole);
}

static void check_totals(struct sim *s, const struct census *c)
{
  s->in_flight_packets = c->packets;
  s->in_flight_bytes = c->bytes;
  s->injected_packets = s->delivered_packets + s->dropped_packets + s->vanished_packets + c->packets;
  if (c->packets + c->pfc != s->live)
    violate(s, "%llu frames are in the fabric, the pool has lent %u", (unsigned long long)(c->packets + c->pfc), s->live);
  if (s->made_packets != s->injected_packets)
    violate(s, "%llu packets were made, %llu delivered, dropped or in flight", (unsigned long long)s->made_packets,
            (unsigned long long)s->injected_packets);
  s->injected_bytes = s->delivered_bytes + s->dropped_bytes + s->vanished_bytes + c->bytes;
  if (s->made_bytes != s->injected_bytes)
    violate(s, "%llu bytes were made, %llu delivered, dropped or in flight", (unsigned long long)s->made_bytes,
            (unsigned long long)s->injected_bytes);
}

/* Fills in the in-flight figures; s->n_violations > 0 afterwards means that the run is no result. */
void conserve_check(struct sim *s)
{
  struct census c = {0, 0, 0};
  for (uint32_t i = 0; i < s->job->n_ports; i++)
    check_port(s, i, &c);
  count_list(s, s->delayed, &c);
  count_list(s, s->held, &c);
  for (uint32_t i = 0; i < s->n_switches; i++)
    check_ingress(s, &s->switches[i]);
  for (uint32_t i = 0; i < s->job->n_flows; i++)
    check_flow(s, &s->flows[i]);
  check_totals(s, &c);
}
