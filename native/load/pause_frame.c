/* The bytes of MAC control frames, and which of them make up a run. */
#include "pause.h"

#include <string.h>

enum {
  ETHERTYPE_MAC_CONTROL = 0x8808, /* 802.3 clause 31.4.1.3 */
  OPCODE_PAUSE = 0x0001,          /* 802.3 Annex 31A */
  OPCODE_PFC = 0x0101,
};

#define QUANTUM_BITS UINT64_C(512) /* 802.3 Annex 31B.2 */

static const uint8_t destination[PAUSE_MAC_BYTES] = {0x01, 0x80, 0xC2, 0x00, 0x00, 0x01}; /* 802.3 Annex 31B.1 */

static uint16_t bits_of(const struct pause_options *o)
{
  unsigned bits = 0;
  for (unsigned i = 0; i < o->n_priorities; i++) {
    bits |= 1U << o->order[i];
  }
  return (uint16_t)bits;
}

struct pause_frame pause_frame_of(enum pause_kind kind, const struct pause_options *o)
{
  struct pause_frame f = {.opcode = kind == PAUSE_GLOBAL ? OPCODE_PAUSE : OPCODE_PFC};
  if (kind == PAUSE_GLOBAL) {
    f.quanta[0] = o->quanta[o->n_priorities > 0 ? o->order[0] : 0];
    return f;
  }
  if (kind != PAUSE_DISABLED) {
    f.vector = o->has_vector ? o->vector : bits_of(o);
  }
  if (kind == PAUSE_PFC || kind == PAUSE_DISABLED) {
    for (unsigned i = 0; i < o->n_priorities; i++) {
      f.quanta[o->order[i]] = o->quanta[o->order[i]];
    }
  }
  return f;
}

struct pause_frame pause_frame_xon(const struct pause_frame *f)
{
  return (struct pause_frame){.opcode = f->opcode, .vector = f->vector};
}

static void put16(uint8_t *out, uint16_t value)
{
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)(value & 0xFF);
}

void pause_frame_write(uint8_t out[PAUSE_FRAME_BYTES], const uint8_t source[PAUSE_MAC_BYTES],
                       const struct pause_frame *f)
{
  memset(out, 0, PAUSE_FRAME_BYTES);
  memcpy(out, destination, PAUSE_MAC_BYTES);
  memcpy(out + 6, source, PAUSE_MAC_BYTES);
  put16(out + 12, ETHERTYPE_MAC_CONTROL);
  put16(out + 14, f->opcode);
  if (f->opcode == OPCODE_PAUSE) {
    put16(out + 16, f->quanta[0]);
    return;
  }
  put16(out + 16, f->vector);
  for (size_t i = 0; i < PAUSE_PRIORITIES; i++) {
    put16(out + 18 + 2 * i, f->quanta[i]);
  }
}

uint16_t pause_frame_least(const struct pause_frame *f)
{
  if (f->opcode == OPCODE_PAUSE) {
    return f->quanta[0];
  }
  uint16_t least = 0;
  for (unsigned i = 0; i < PAUSE_PRIORITIES; i++) {
    bool pauses = (f->vector >> i & 1U) != 0 && f->quanta[i] > 0;
    if (pauses && (least == 0 || f->quanta[i] < least)) {
      least = f->quanta[i];
    }
  }
  return least;
}

uint64_t pause_quanta_ns(uint16_t quanta, uint64_t rate_bps)
{
  return quanta * QUANTUM_BITS * UINT64_C(1000000000) / rate_bps;
}

/* The least of the quanta that were given, for frames that pause nothing. */
static uint16_t least_given(const struct pause_options *o)
{
  uint16_t least = o->quanta[o->n_priorities > 0 ? o->order[0] : 0];
  for (unsigned i = 1; i < o->n_priorities; i++) {
    uint16_t given = o->quanta[o->order[i]];
    least = given < least ? given : least;
  }
  return least;
}

static void add_end(struct pause_plan *p, const uint8_t *source, const struct pause_frame *f)
{
  pause_frame_write(p->ends[p->n_ends], source, f);
  p->n_ends++;
}

/* A pause is ended once for 802.1Qbb and once for 802.3x, whatever was sent of each. */
static void plan_ends(struct pause_plan *p, const struct pause_options *o, const uint8_t *source)
{
  bool pfc = false;
  bool global = false;
  for (unsigned i = 0; i < o->n_kinds; i++) {
    struct pause_frame f = pause_frame_of(o->kinds[i], o);
    struct pause_frame end = pause_frame_xon(&f);
    bool *done = f.opcode == OPCODE_PAUSE ? &global : &pfc;
    if (pause_frame_least(&f) > 0 && !*done) {
      add_end(p, source, &end);
      *done = true;
    }
  }
}

void pause_plan_make(struct pause_plan *p, const struct pause_options *o, const uint8_t source[PAUSE_MAC_BYTES],
                     uint64_t rate_bps)
{
  *p = (struct pause_plan){.n_frames = o->n_kinds, .holds = true};
  uint16_t least = 0;
  for (unsigned i = 0; i < o->n_kinds; i++) {
    struct pause_frame f = pause_frame_of(o->kinds[i], o);
    uint16_t own = pause_frame_least(&f);
    pause_frame_write(p->frames[i], source, &f);
    p->holds = p->holds && own > 0 && o->kinds[i] == o->kinds[0];
    least = least == 0 || (own > 0 && own < least) ? own : least;
  }
  plan_ends(p, o, source);
  p->quanta_ns = pause_quanta_ns(least > 0 ? least : least_given(o), rate_bps);
  p->interval_ns = o->interval_ns > 0 ? o->interval_ns : p->quanta_ns / 2;
  if (p->interval_ns == 0) {
    p->interval_ns = 1;
  }
}
