/* The shared packet buffer of a switch: who may store a frame, and when the sender must be paused.
 *
 * Each ingress port-priority fills its reserve, then shared buffer up to a threshold that shrinks as the buffer fills
 * (Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998), then, when lossless, headroom. The "hpcc" model has the same accounts
 * with the sizes and the shift-based threshold of the HPCC ns-3 switch.
 */
#include "sim.h"

enum {
  HPCC_BASE_SHIFT = 3,    /* threshold 1/8 of the free buffer at NIC speed */
  HPCC_HEADROOM_BDPS = 3, /* headroom: three one-way bandwidth-delay products */
  LEAKED_PART = 16,       /* defective: one byte in so many is lost to the shared buffer */
};

static uint64_t free_shared(const struct switch_node *sw)
{
  return sw->shared_total > sw->shared_used ? sw->shared_total - sw->shared_used : 0;
}

static bool is_lossless(const struct switch_node *sw, uint8_t prio)
{
  return (sw->cfg->pfc.mask & 1u << prio) != 0;
}

static uint64_t shared_part(const struct switch_node *sw, const struct lane *l)
{
  uint64_t reserve = sw->cfg->buffer.reserve_bytes;
  return l->ingress_bytes > reserve ? l->ingress_bytes - reserve : 0;
}

/* A defective switch: one part of the shared buffer for each port, less what its other priorities hold. */
DEFECTIVE static uint64_t static_part(const struct switch_node *sw, const struct port *in, uint8_t prio)
{
  uint64_t part = sw->shared_total / sw->n_ports, others = 0;
  for (uint8_t i = 0; i < PRIO_COUNT; i++)
    others += i == prio ? 0 : shared_part(sw, &in->lane[i]);
  return part > others ? part - others : 0;
}

/* Shared bytes an ingress port-priority may hold now. */
static inline uint64_t threshold(const struct switch_node *sw, const struct port *in, uint8_t prio)
{
  const struct buffer_cfg *b = &sw->cfg->buffer;
  if (b->model == BUFFER_HPCC)
    return free_shared(sw) >> in->pfc_shift;
  if (is_rare(b->model == BUFFER_STATIC))
    return static_part(sw, in, prio);
  return (uint64_t)((is_lossless(sw, prio) ? b->alpha : b->lossy_alpha) * (double)free_shared(sw));
}

static bool is_over_egress_limit(const struct switch_node *sw, const struct port *out, const struct packet *p)
{
  const struct buffer_cfg *b = &sw->cfg->buffer;
  if (b->model == BUFFER_HPCC || is_lossless(sw, p->prio))
    return false;
  uint64_t limit = b->reserve_bytes + (uint64_t)(b->egress_alpha * (double)free_shared(sw));
  return (uint64_t)out->lane[p->prio].queue_bytes + p->bytes > limit;
}

/* Takes the frame into the accounts; DROP_REASONS means it is stored, anything else why it is not. */
enum drop_reason mmu_admit(struct switch_node *sw, struct port *in, const struct port *out, const struct packet *p)
{
  struct lane *l = &in->lane[p->prio];
  bool hpcc = sw->cfg->buffer.model == BUFFER_HPCC, lossless = is_lossless(sw, p->prio) || hpcc;
  uint64_t limit = threshold(sw, in, p->prio), reserve = sw->cfg->buffer.reserve_bytes;
  uint64_t after = (uint64_t)l->ingress_bytes + p->bytes;
  uint64_t headroom = lossless ? in->headroom : 0;
  bool fits_reserve = after <= reserve && !hpcc; /* that model asks headroom and threshold even then */
  if (p->bytes + l->headroom_bytes > headroom && p->bytes + shared_part(sw, l) > limit && !fits_reserve)
    return lossless ? DROP_HEADROOM : DROP_INGRESS_LIMIT;
  if (is_over_egress_limit(sw, out, p))
    return DROP_EGRESS_LIMIT;
  if (after > reserve && after - reserve > limit && (headroom > 0 || hpcc)) {
    l->headroom_bytes += p->bytes;
    in->ev[p->prio].headroom_max = l->headroom_bytes > in->ev[p->prio].headroom_max ? l->headroom_bytes : in->ev[p->prio].headroom_max;
  } else {
    l->ingress_bytes = (uint32_t)after;
    if (after > reserve)
      sw->shared_used += min_u64(p->bytes, after - reserve);
    sw->shared_max = max_u64(sw->shared_max, sw->shared_used);
  }
  uint32_t held = l->ingress_bytes + l->headroom_bytes;
  l->ingress_max = held > l->ingress_max ? held : l->ingress_max;
  return DROP_REASONS;
}

/* A defective switch: shared buffer is not there any more. */
DEFECTIVE static void leak(struct switch_node *sw, uint64_t bytes)
{
  bytes = min_u64(bytes, sw->shared_total);
  sw->shared_total -= bytes;
  sw->leaked += bytes;
}

/* Returns a frame's bytes: to headroom first, then to shared buffer, then to the reserve. */
void mmu_release(struct switch_node *sw, struct port *in, const struct packet *p)
{
  struct lane *l = &in->lane[p->prio];
  uint32_t bytes = p->bytes;
  uint32_t from_headroom = l->headroom_bytes < bytes ? l->headroom_bytes : bytes;
  uint64_t from_shared = min_u64(bytes - from_headroom, shared_part(sw, l));
  l->headroom_bytes -= from_headroom;
  l->ingress_bytes -= bytes - from_headroom;
  sw->shared_used -= from_shared;
  if (is_rare(sw->leaks))
    leak(sw, from_shared / LEAKED_PART);
}

bool mmu_should_pause(const struct switch_node *sw, const struct port *in, uint8_t prio)
{
  const struct lane *l = &in->lane[prio];
  if (!is_lossless(sw, prio) || (in->pausing_mask & 1u << prio))
    return false;
  return l->headroom_bytes > 0 || shared_part(sw, l) >= threshold(sw, in, prio);
}

bool mmu_should_resume(const struct switch_node *sw, const struct port *in, uint8_t prio)
{
  const struct lane *l = &in->lane[prio];
  uint64_t used = shared_part(sw, l);
  return l->headroom_bytes == 0 && (used == 0 || used + sw->cfg->buffer.xon_offset_bytes <= threshold(sw, in, prio));
}

/* Largest frame of a data packet: of the wire model, with the longest extension headers a full packet can carry. */
static uint64_t largest_frame(const struct sim *s)
{
  enum { ETHERNET = 14, VLAN = 4, IPV4 = 20, IPV6 = 40, UDP = 8, BTH = 12, RETH = 16, ICRC = 4, FCS = 4 };
  const struct wire_cfg *w = &s->job->wire;
  uint64_t mtu = 0;
  for (uint32_t i = 0; i < s->n_nics; i++)
    mtu = max_u64(mtu, s->nics[i].cfg->mtu_bytes);
  if (w->model == WIRE_FIXED)
    return mtu + w->data_overhead_bytes;
  return mtu + ETHERNET + (w->vlan ? VLAN : 0) + (w->ip_version == 6 ? IPV6 : IPV4) + UDP + BTH + RETH + ICRC + FCS;
}

/* Headroom that loses nothing: what arrives from the frame that crosses the threshold, which may be in it whole, to the last one of the
 * sender. The pause frame waits for a frame on its way out and for those of other priorities, both directions of the link are full of
 * bits, and the sender finishes a frame it has just begun. */
static uint64_t lossless_headroom(const struct sim *s, const struct switch_node *sw, const struct port *p)
{
  const struct wire_cfg *w = &s->job->wire;
  uint64_t frame = largest_frame(s), pauses = (uint64_t)__builtin_popcount(sw->cfg->pfc.mask);
  uint64_t pause = (w->model == WIRE_FIXED ? w->pfc_bytes : 64u) + w->gap_bytes;
  uint64_t in_flight = (uint64_t)((unsigned __int128)p->rate_bps * p->delay_ps * 2 / 8 / PS_PER_S) + 1;
  return in_flight + (frame + w->gap_bytes) + pauses * pause + 2 * frame;
}

static uint64_t hpcc_headroom(const struct port *p)
{
  uint64_t delay_ns = p->delay_ps / 1000;
  return (uint64_t)((unsigned __int128)p->rate_bps * delay_ns / 8 / 1000000000u) * HPCC_HEADROOM_BDPS;
}

static uint32_t hpcc_shift(const struct port *p, uint64_t nic_rate)
{
  uint32_t shift = HPCC_BASE_SHIFT;
  for (uint64_t rate = p->rate_bps; rate > nic_rate && shift > 0; rate /= 2)
    shift--;
  return shift;
}

static uint64_t reference_rate(const struct sim *s, const struct switch_node *sw)
{
  if (sw->cfg->buffer.nic_rate_bps > 0)
    return sw->cfg->buffer.nic_rate_bps;
  return s->n_nics > 0 ? s->ports[s->nics[0].port].rate_bps : 0;
}

/* Sizes the accounts of every port from the configuration and the links. */
void mmu_configure(struct sim *s, struct switch_node *sw)
{
  const struct buffer_cfg *b = &sw->cfg->buffer;
  bool hpcc = b->model == BUFFER_HPCC;
  sw->leaks = has_defect(s, DEFECT_BUFFER_LEAK);
  uint64_t taken = 0;
  uint32_t lossless = (uint32_t)__builtin_popcount(sw->cfg->pfc.mask), used = (uint32_t)__builtin_popcount(s->used_prios);
  for (uint32_t i = 0; i < sw->n_ports; i++) {
    struct port *p = &s->ports[sw->first_port + i];
    if (p->peer == NIL)
      continue;
    uint64_t headroom = b->headroom_bytes >= 0 ? (uint64_t)b->headroom_bytes
                        : hpcc                 ? hpcc_headroom(p)
                                               : lossless_headroom(s, sw, p);
    if (has_defect(s, DEFECT_HEADROOM_SMALL))
      headroom /= 4;
    p->headroom = (uint32_t)min_u64(headroom, UINT32_MAX);
    p->pfc_shift = hpcc ? hpcc_shift(p, reference_rate(s, sw)) : 0;
    taken += hpcc ? headroom + b->reserve_bytes : headroom * lossless + b->reserve_bytes * used;
  }
  taken += sw->leaked;
  sw->shared_total = b->bytes > taken ? b->bytes - taken : 0;
}
