/* The fixed-point DCQCN machine of ConnectX firmware, by the parameters its users set (mlxconfig, roce_rp/…).
 *
 * Alpha has ten bits and is updated every dce_tcp_rtt µs; cuts are at least rate_reduce_monitor_period µs apart, a
 * notification inside the window cuts at its end; rpg_byte_reset counts units of 64 bytes.
 */
#include "cc.h"

#define US_TO_PS(us) ((uint64_t)(us) * 1000000u)
#define MBPS(x) ((uint64_t)(x) * 1000000u)

enum {
  ALPHA_ONE = 1024,
  ALPHA_MAX = 1023,
  ALPHA_CNP_GAIN = 5, /* added in a window with a CNP: 1024 - 1019 */
  ALPHA_SHIFT = 16,   /* fraction bits kept below the ten of the firmware's alpha, so that decay is not truncated away */
  BYTE_RESET_UNIT = 64,
};

static void set_alpha(struct cc_state *cc, uint64_t fixed)
{
  uint64_t max = (uint64_t)ALPHA_MAX << ALPHA_SHIFT;
  cc->alpha_fixed = (uint32_t)(fixed < max ? fixed : max);
  cc->alpha = (double)cc->alpha_fixed / (double)((uint64_t)ALPHA_ONE << ALPHA_SHIFT);
}

static uint64_t ceiling(const struct cc_state *cc)
{
  uint64_t max = MBPS(cc->cfg->rpg_max_rate_mbps);
  return max != 0 && max < cc->line_bps ? max : cc->line_bps;
}

static void start(struct cc_state *cc, const struct cc_call *call)
{
  (void)call;
  cc->rate_bps = cc->target_bps = ceiling(cc);
  set_alpha(cc, (uint64_t)cc->cfg->initial_alpha_value << ALPHA_SHIFT);
  cc->alpha_timer = cc->cut_timer = cc->rate_timer = CC_NO_DEADLINE;
}

static void restart_increase(struct cc_state *cc, const struct cc_call *call)
{
  cc->time_stage = cc->byte_stage = 0;
  cc->bytes = 0;
  cc->rate_timer = cc_deadline_in(call, US_TO_PS(cc->cfg->rpg_time_reset_us));
}

static void cut(struct cc_state *cc, const struct cc_call *call)
{
  const struct cc_cfg *c = cc->cfg;
  if (c->clamp_tgt_rate || cc->byte_stage > 0 || (c->clamp_tgt_rate_after_time_inc && cc->time_stage > 0))
    cc->target_bps = cc->rate_bps;
  uint64_t by_alpha = (cc->rate_bps * (cc->alpha_fixed >> ALPHA_SHIFT)) >> c->rpg_gd;
  uint64_t most = cc->rate_bps / 100 * (100 - c->rpg_min_dec_fac);
  cc->rate_bps -= by_alpha < most ? by_alpha : most;
  if (cc->rate_bps < MBPS(c->rpg_min_rate_mbps))
    cc->rate_bps = MBPS(c->rpg_min_rate_mbps);
  cc->cnp_for_cut = false;
  cc->last_cut_ps = call->now_ps;
  restart_increase(cc, call);
  call->log(call->log_arg, cc, CC_EVENT_CUT);
}

static void first_notification(struct cc_state *cc, const struct cc_call *call)
{
  cc->active = true;
  set_alpha(cc, (uint64_t)cc->cfg->initial_alpha_value << ALPHA_SHIFT);
  cc->alpha_due_ps = call->now_ps + US_TO_PS(cc->cfg->dce_tcp_rtt_us);
  uint64_t rate = MBPS(cc->cfg->rate_to_set_on_first_cnp_mbps);
  if (rate != 0 && rate < cc->rate_bps)
    cc->rate_bps = rate;
  cut(cc, call);
}

/* Does the updates of alpha that are due: one each dce_tcp_rtt µs, too many for an event each. */
static void settle(struct cc_state *cc, uint64_t now_ps)
{
  uint64_t period = US_TO_PS(cc->cfg->dce_tcp_rtt_us);
  while (cc->active && cc->alpha_due_ps <= now_ps) {
    uint64_t gain = cc->cnp_for_alpha ? (uint64_t)ALPHA_CNP_GAIN << ALPHA_SHIFT : 0;
    if (gain == 0 && cc->alpha_fixed == 0) { /* nothing decays any more */
      cc->alpha_due_ps += ((now_ps - cc->alpha_due_ps) / period + 1) * period;
      return;
    }
    set_alpha(cc, (uint64_t)cc->alpha_fixed * cc->cfg->dce_tcp_g / ALPHA_ONE + gain);
    cc->cnp_for_alpha = false;
    cc->alpha_due_ps += period;
  }
}

static void on_notification(struct cc_state *cc, const struct cc_call *call)
{
  settle(cc, call->now_ps);
  uint64_t window = US_TO_PS(cc->cfg->rate_reduce_monitor_period_us);
  call->log(call->log_arg, cc, CC_EVENT_CNP);
  if (!cc->active) {
    first_notification(cc, call);
    return;
  }
  cc->cnp_for_alpha = true;
  if (call->now_ps - cc->last_cut_ps >= window) {
    cut(cc, call);
  } else if (!cc->cnp_for_cut) {
    cc->cnp_for_cut = true;
    cc->cut_timer = (struct cc_deadline){cc->last_cut_ps + window, (*call->order)++};
  }
}

static void increase(struct cc_state *cc, const struct cc_call *call)
{
  uint32_t f = cc->cfg->rpg_threshold;
  uint32_t most = cc->time_stage > cc->byte_stage ? cc->time_stage : cc->byte_stage;
  uint32_t least = cc->time_stage < cc->byte_stage ? cc->time_stage : cc->byte_stage;
  enum cc_event event = CC_EVENT_INC_FAST;
  if (least > f) {
    cc->target_bps += MBPS(cc->cfg->rpg_hai_rate_mbps);
    event = CC_EVENT_INC_HYPER;
  } else if (most >= f) {
    cc->target_bps += MBPS(cc->cfg->rpg_ai_rate_mbps);
    event = CC_EVENT_INC_ADDITIVE;
  }
  if (cc->target_bps > ceiling(cc))
    cc->target_bps = ceiling(cc);
  cc->rate_bps = (cc->rate_bps + cc->target_bps) / 2;
  call->log(call->log_arg, cc, event);
}

static void on_timer(struct cc_state *cc, const struct cc_call *call)
{
  settle(cc, call->now_ps);
  if (cc_is_due(&cc->cut_timer, call)) {
    cc->cut_timer = CC_NO_DEADLINE;
    if (cc->cnp_for_cut)
      cut(cc, call);
  }
  if (cc_is_due(&cc->rate_timer, call)) {
    cc->rate_timer = cc_deadline_in(call, US_TO_PS(cc->cfg->rpg_time_reset_us));
    increase(cc, call);
    cc->time_stage++;
  }
}

static void on_sent(struct cc_state *cc, const struct cc_call *call, uint32_t bytes)
{
  uint64_t reset = (uint64_t)cc->cfg->rpg_byte_reset * BYTE_RESET_UNIT;
  if (!cc->active || reset == 0)
    return;
  cc->bytes += bytes;
  if (cc->bytes < reset)
    return;
  cc->bytes -= reset;
  settle(cc, call->now_ps);
  increase(cc, call);
  cc->byte_stage++;
}

const struct cc_ops cc_mlx5 = {
    .name = "mlx5", .start = start, .on_notification = on_notification, .on_timer = on_timer, .on_sent = on_sent, .settle = settle};
