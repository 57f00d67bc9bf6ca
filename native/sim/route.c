/* Shortest-path next hops to every host port, and the choice among equal ones.
 *
 * Hosts never transit. ECMP hashes what RoCEv2 leaves to hash: addresses and the UDP source port, or the destination QP too.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* Finaliser of MurmurHash3 (Appleby, public domain): mixes all bits. */
static uint32_t mix32(uint32_t h)
{
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

static uint32_t rotate(uint32_t x, int by)
{
  return x << by | x >> (32 - by);
}

/* MurmurHash3 x86_32 of whole words. */
static uint32_t murmur3(const uint32_t *words, uint32_t n, uint32_t seed)
{
  uint32_t h = seed;
  for (uint32_t i = 0; i < n; i++) {
    h ^= rotate(words[i] * 0xcc9e2d51u, 15) * 0x1b873593u;
    h = rotate(h, 13) * 5 + 0xe6546b64u;
  }
  return mix32(h ^ n * 4);
}

static uint32_t address_of(const struct sim *s, uint32_t port, enum ecmp_mode mode)
{
  uint32_t node = s->ports[port].node;
  if (mode == ECMP_HPCC) /* the addresses that model gives to its nodes */
    return 0x0b000001u + (node / 256) * 0x10000u + (node % 256) * 0x100u;
  return 0x0a000001u + port;
}

/* The seedless hash of a flow's headers. In hpcc mode a switch hashes the words again with its seed, from side and direction. */
uint32_t route_hash(const struct sim *s, uint32_t src_port, uint32_t dst_port, uint16_t sport, uint32_t dqpn, enum ecmp_mode mode)
{
  enum { ROCE_UDP_PORT = 4791 };
  uint32_t words[4] = {address_of(s, src_port, mode), address_of(s, dst_port, mode), sport | ROCE_UDP_PORT << 16, dqpn};
  return murmur3(words, mode == ECMP_DQPN ? 4 : 3, 0);
}

/* In the HPCC model data goes from sport to port 100 and an ACK the other way round. */
static uint32_t hpcc_hash(const struct sim *s, const struct switch_node *sw, const struct packet *p)
{
  enum { HPCC_DPORT = 100 };
  const struct side *to = &s->sides[p->side], *from = &s->sides[other_side(p->side)];
  bool from_requester = (p->side & 1u) != 0;
  uint32_t sport = from_requester ? from->sport : HPCC_DPORT, dport = from_requester ? HPCC_DPORT : from->sport;
  uint32_t words[3] = {address_of(s, s->nics[from->nic].port, ECMP_HPCC), address_of(s, s->nics[to->nic].port, ECMP_HPCC),
                       sport | dport << 16};
  return murmur3(words, 3, sw->ecmp_seed);
}

static uint32_t choose_among(struct sim *s, const struct switch_node *sw, const struct packet *p, uint32_t n)
{
  if (has_defect(s, DEFECT_ECMP_POLARISED))
    return 0;
  switch (sw->cfg->ecmp_mode) {
  case ECMP_SPRAY:
    return (uint32_t)rng_below(&s->rng, n);
  case ECMP_HPCC:
    return hpcc_hash(s, sw, p) % n;
  case ECMP_5TUPLE:
  case ECMP_DQPN:
    break;
  }
  return mix32(p->hash ^ sw->ecmp_seed * 0x9e3779b9u) % n;
}

uint32_t route_pick(struct sim *s, const struct switch_node *sw, const struct packet *p)
{
  const struct hop_set *h = &s->hops[sw->next_hop_row + s->nic_of_port[p->dst_port]];
  if (h->count <= 1)
    return h->count == 0 ? NIL : s->hop_ports[h->first];
  return s->hop_ports[h->first + choose_among(s, sw, p, h->count)];
}

/* A breadth-first search from a host port: nodes in the order met, and by node its distance and its place in that order. */
struct search {
  uint32_t *distance, *queue, *place;
  uint32_t n_met;
  bool hpcc;
};

static void meet(struct search *b, uint32_t node, uint32_t distance)
{
  b->distance[node] = distance;
  b->place[node] = b->n_met;
  b->queue[b->n_met++] = node;
}

static void meet_behind(const struct sim *s, const struct port *p, struct search *b, uint32_t distance)
{
  uint32_t next = p->peer == NIL || !p->up ? NIL : s->ports[p->peer].node;
  if (next != NIL && b->distance[next] == NIL)
    meet(b, next, distance);
}

/* The port of a node whose neighbour has the highest number below `below`; NIL when there is none. */
static uint32_t port_to_neighbour_below(const struct sim *s, const struct job_node *node, uint32_t below)
{
  uint32_t best = NIL, highest = 0;
  for (uint32_t port = node->first_port; port < node->first_port + node->n_ports; port++) {
    uint32_t peer = s->ports[port].peer, neighbour = peer == NIL ? NIL : s->ports[peer].node;
    if (neighbour < below && (best == NIL || neighbour > highest)) {
      best = port;
      highest = neighbour;
    }
  }
  return best;
}

/* The HPCC model walks neighbours in the order of their addresses in memory: the highest node number first. */
static void meet_neighbours_down(const struct sim *s, const struct job_node *node, struct search *b, uint32_t distance)
{
  uint32_t port = port_to_neighbour_below(s, node, NIL);
  while (port != NIL) {
    meet_behind(s, &s->ports[port], b, distance);
    port = port_to_neighbour_below(s, node, s->ports[s->ports[port].peer].node);
  }
}

/* Distances of all nodes from one host port, over links that are up, not through hosts. */
static void measure_distances(const struct sim *s, uint32_t host_port, struct search *b)
{
  const struct job *job = s->job;
  memset(b->distance, 0xff, job->n_nodes * sizeof *b->distance);
  b->n_met = 0;
  const struct port *start = &s->ports[host_port];
  if (start->peer == NIL || !start->up)
    return;
  b->distance[start->node] = 0;
  meet(b, s->ports[start->peer].node, 1);
  for (uint32_t head = 0; head < b->n_met; head++) {
    const struct job_node *node = &job->nodes[b->queue[head]];
    uint32_t distance = b->distance[b->queue[head]] + 1;
    if (b->hpcc && node->is_switch)
      meet_neighbours_down(s, node, b, distance);
    for (uint32_t i = 0; node->is_switch && i < node->n_ports; i++)
      meet_behind(s, &s->ports[node->first_port + i], b, distance);
  }
}

static bool add_hop(struct sim *s, uint32_t port)
{
  if (s->n_hop_ports == s->cap_hop_ports) {
    uint32_t cap = s->cap_hop_ports == 0 ? 1024 : s->cap_hop_ports * 2;
    uint32_t *grown = realloc(s->hop_ports, cap * sizeof *grown);
    if (grown == NULL)
      return false;
    s->hop_ports = grown;
    s->cap_hop_ports = cap;
  }
  s->hop_ports[s->n_hop_ports++] = port;
  return true;
}

static bool leads_to(const struct sim *s, const struct port *p, const struct search *b, uint32_t host_port)
{
  if (p->peer == NIL || !p->up)
    return false;
  const struct port *peer = &s->ports[p->peer];
  if (!peer->is_switch)
    return p->peer == host_port;
  return b->distance[peer->node] != NIL && b->distance[peer->node] + 1 == b->distance[p->node];
}

/* A set equal to the one just before it, as neighbouring hosts mostly have, is stored once. */
static void share_with_previous(struct sim *s, struct hop_set *h, const struct hop_set *previous)
{
  if (previous == NULL || previous->count != h->count || h->count == 0)
    return;
  size_t bytes = h->count * sizeof *s->hop_ports;
  if (memcmp(&s->hop_ports[h->first], &s->hop_ports[previous->first], bytes) != 0)
    return;
  s->n_hop_ports -= h->count;
  h->first = previous->first;
}

/* The HPCC model lists next hops in the order in which the search met them. */
static void sort_by_place(const struct sim *s, const struct hop_set *h, const struct search *b)
{
  uint32_t *ports = &s->hop_ports[h->first];
  for (uint32_t i = 1; i < h->count; i++) {
    uint32_t port = ports[i], place = b->place[s->ports[s->ports[port].peer].node], k = i;
    for (; k > 0 && b->place[s->ports[s->ports[ports[k - 1]].peer].node] > place; k--)
      ports[k] = ports[k - 1];
    ports[k] = port;
  }
}

static bool fill_row(struct sim *s, const struct switch_node *sw, const struct search *b, uint32_t nic)
{
  struct hop_set *h = &s->hops[sw->next_hop_row + nic];
  *h = (struct hop_set){.first = s->n_hop_ports};
  for (uint32_t i = 0; i < sw->n_ports; i++) {
    if (!leads_to(s, &s->ports[sw->first_port + i], b, s->nics[nic].port))
      continue;
    if (!add_hop(s, sw->first_port + i))
      return false;
    h->count++;
  }
  if (b->hpcc)
    sort_by_place(s, h, b);
  share_with_previous(s, h, nic > 0 ? h - 1 : NULL);
  return true;
}

/* Computes all next hops afresh; at the start and when a link goes up or down. False: memory is short. */
bool route_compute(struct sim *s)
{
  size_t n = s->job->n_nodes;
  struct search b = {.distance = calloc(n, sizeof(uint32_t)), .queue = calloc(n, sizeof(uint32_t)),
                     .place = calloc(n, sizeof(uint32_t)),
                     .hpcc = s->n_switches > 0 && s->switches[0].cfg->ecmp_mode == ECMP_HPCC};
  bool ok = b.distance != NULL && b.queue != NULL && b.place != NULL;
  s->n_hop_ports = 0;
  for (uint32_t nic = 0; ok && nic < s->n_nics; nic++) {
    measure_distances(s, s->nics[nic].port, &b);
    for (uint32_t i = 0; ok && i < s->n_switches; i++)
      ok = fill_row(s, &s->switches[i], &b, nic);
  }
  free(b.distance);
  free(b.queue);
  free(b.place);
  return ok;
}
