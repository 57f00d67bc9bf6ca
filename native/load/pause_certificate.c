/* The gaps between pause frames, as their sender can vouch for them. */
#include "pause.h"

static void gap(struct pause_certificate *c, uint64_t until_ns)
{
  if (until_ns <= c->held_ns) {
    return;
  }
  uint64_t length = until_ns - c->held_ns;
  if (length > c->largest_gap_ns) {
    c->largest_gap_ns = length;
    c->largest_gap_at_ns = c->held_ns;
  }
  if (length > c->quanta_ns) {
    c->gaps_over_quanta++;
  }
}

void pause_certificate_sent(struct pause_certificate *c, uint64_t before_ns, uint64_t after_ns)
{
  if (c->frames == 0) {
    c->first_ns = after_ns;
  } else {
    gap(c, after_ns);
  }
  c->held_ns = before_ns;
  c->last_ns = after_ns;
  c->frames++;
}

void pause_certificate_close(struct pause_certificate *c, uint64_t end_ns)
{
  if (c->frames > 0) {
    gap(c, end_ns);
  }
}
