/* The reaction point of the HPCC ns-3 model (its CC_MODE 1), reproduced to the bit.
 *
 * Alpha and cut timers run freely from the first notification on; a notification only sets two sticky bits
 * that the next ticks consume. There is no byte counter. Rates are whole bit/s, halves truncated separately.
 */
#include "cc.h"

/* The first cut tick comes one nanosecond late so that an alpha tick of the same instant precedes it. */
enum { FIRST_CUT_DELAY_PS = 1000 };

static void start(struct cc_state *cc, const struct cc_call *call)
{
  (void)call;
  cc->rate_bps = cc->target_bps = cc->line_bps;
  cc->alpha = 1;
  cc->alpha_timer = cc->cut_timer = cc->rate_timer = CC_NO_DEADLINE;
}

static void first_notification(struct cc_state *cc, const struct cc_call *call)
{
  cc->active = true;
  cc->alpha = 1;
  cc->cnp_for_alpha = false;
  cc->alpha_timer = cc_deadline_in(call, cc->cfg->alpha_timer_ps);
  cc->cut_timer = cc_deadline_in(call, cc->cfg->cut_interval_ps + FIRST_CUT_DELAY_PS);
  cc->rate_bps = (uint64_t)(cc->cfg->rate_on_first_cnp * (double)cc->rate_bps);
  cc->target_bps = cc->rate_bps;
}

static void on_notification(struct cc_state *cc, const struct cc_call *call)
{
  cc->cnp_for_alpha = true;
  cc->cnp_for_cut = true;
  if (!cc->active)
    first_notification(cc, call);
  call->log(call->log_arg, cc, CC_EVENT_CNP);
}

static void alpha_tick(struct cc_state *cc, const struct cc_call *call)
{
  double g = cc->cfg->g;
  cc->alpha = cc->cnp_for_alpha ? (1 - g) * cc->alpha + g : (1 - g) * cc->alpha;
  cc->cnp_for_alpha = false;
  cc->alpha_timer = cc_deadline_in(call, cc->cfg->alpha_timer_ps);
}

static void cut_tick(struct cc_state *cc, const struct cc_call *call)
{
  cc->cut_timer = cc_deadline_in(call, cc->cfg->cut_interval_ps);
  if (!cc->cnp_for_cut)
    return;
  if (cc->cfg->clamp_target || cc->time_stage > 0)
    cc->target_bps = cc->rate_bps;
  uint64_t cut = (uint64_t)((double)cc->rate_bps * (1 - cc->alpha / 2));
  cc->rate_bps = cut > cc->cfg->min_rate_bps ? cut : cc->cfg->min_rate_bps;
  cc->time_stage = 0;
  cc->cnp_for_cut = false;
  cc->rate_timer = cc_deadline_in(call, cc->cfg->rate_timer_ps);
  call->log(call->log_arg, cc, CC_EVENT_CUT);
}

static void raise_target(struct cc_state *cc, uint64_t by_bps)
{
  cc->target_bps += by_bps;
  if (cc->target_bps > cc->line_bps)
    cc->target_bps = cc->line_bps;
}

static void rate_tick(struct cc_state *cc, const struct cc_call *call)
{
  enum cc_event event = CC_EVENT_INC_FAST;
  cc->rate_timer = cc_deadline_in(call, cc->cfg->rate_timer_ps);
  if (cc->time_stage == cc->cfg->fast_recovery) {
    raise_target(cc, cc->cfg->rate_ai_bps);
    event = CC_EVENT_INC_ADDITIVE;
  } else if (cc->time_stage > cc->cfg->fast_recovery) {
    raise_target(cc, cc->cfg->rate_hai_bps);
    event = CC_EVENT_INC_HYPER;
  }
  cc->rate_bps = cc->rate_bps / 2 + cc->target_bps / 2;
  cc->time_stage++;
  call->log(call->log_arg, cc, event);
}

static void on_timer(struct cc_state *cc, const struct cc_call *call)
{
  struct cc_deadline next = cc_next_deadline(cc);
  if (next.order == cc->alpha_timer.order)
    alpha_tick(cc, call);
  else if (next.order == cc->cut_timer.order)
    cut_tick(cc, call);
  else
    rate_tick(cc, call);
}

const struct cc_ops cc_ns3 = {
    .name = "ns3", .may_be_unpaced = true, .start = start, .on_notification = on_notification, .on_timer = on_timer};
