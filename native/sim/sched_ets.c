/* ETS (IEEE 802.1Qaz): strict priorities first, the others share by deficit-weighted round robin (Shreedhar & Varghese,
 * SIGCOMM 1995). Work-conserving: a priority that has nothing to send leaves its share to the others. */
#include "sim.h"

/* Credits the next eligible priority after `from` and returns it. */
static int next_in_round(struct port *p, uint8_t eligible, int from)
{
  int q = from;
  do
    q = (q + 1) % PRIO_COUNT;
  while (!(eligible & 1u << q));
  p->lane[q].deficit += (int32_t)p->quantum[q];
  return q;
}

/* Chooses among the eligible priorities (bit i: priority i), whose next frames have `head_bytes`. */
int sched_ets_pick(const struct sched_cfg *cfg, struct port *p, uint8_t eligible, const uint32_t head_bytes[PRIO_COUNT])
{
  uint8_t strict = eligible & cfg->strict_mask;
  if (cfg->strict_last && strict != eligible) {
    eligible &= (uint8_t)~strict;
    strict = 0;
  }
  if (strict != 0)
    return 31 - __builtin_clz(strict);
  int q = p->rr_last;
  if (!(eligible & 1u << q)) {
    p->lane[q].deficit = 0;
    q = next_in_round(p, eligible, q);
  }
  while (p->lane[q].deficit < (int32_t)head_bytes[q])
    q = next_in_round(p, eligible, q);
  p->rr_last = (uint8_t)q;
  return q;
}

void sched_ets_charge(const struct sched_cfg *cfg, struct port *p, int prio, uint32_t bytes)
{
  if (!(cfg->strict_mask & 1u << prio))
    p->lane[prio].deficit -= (int32_t)bytes;
}

/* Bytes a round for each priority, in the ratio of the weights: the greatest weight gets one large frame, so that no
 * priority sends bursts of many frames. The weight of a strict priority, which may be 0, has no meaning. */
void sched_ets_configure(const struct sched_cfg *cfg, struct port *p)
{
  enum { LARGE_FRAME = 4608, LEAST_QUANTUM = 16 }; /* ratios up to 288 are exact; 802.1Qaz shares are whole percents */
  uint32_t greatest = 1;
  for (int i = 0; i < PRIO_COUNT; i++)
    if (!(cfg->strict_mask & 1u << i) && cfg->weight[i] > greatest)
      greatest = cfg->weight[i];
  for (int i = 0; i < PRIO_COUNT; i++) {
    uint64_t quantum = (uint64_t)cfg->weight[i] * LARGE_FRAME / greatest;
    p->quantum[i] = (uint32_t)min_u64(max_u64(quantum, LEAST_QUANTUM), LARGE_FRAME);
  }
}
