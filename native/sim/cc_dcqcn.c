/* DCQCN's reaction point as in Zhu et al., "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015, §3.1.
 *
 * A CNP cuts at once; alpha decays when none came for alpha_timer_ps; byte counter and rate timer drive fast recovery,
 * additive and hyper increase. cut_interval_ps, 0 in the paper, bounds how often a CNP may cut.
 */
#include "cc.h"

static void start(struct cc_state *cc, const struct cc_call *call)
{
  (void)call;
  cc->rate_bps = cc->target_bps = cc->line_bps;
  cc->alpha = 1;
  cc->alpha_timer = cc->cut_timer = cc->rate_timer = CC_NO_DEADLINE;
}

static void cut(struct cc_state *cc, const struct cc_call *call)
{
  if (cc->cfg->clamp_target || cc->time_stage > 0 || cc->byte_stage > 0)
    cc->target_bps = cc->rate_bps;
  uint64_t rate = (uint64_t)((double)cc->rate_bps * (1 - cc->alpha / 2));
  cc->rate_bps = rate > cc->cfg->min_rate_bps ? rate : cc->cfg->min_rate_bps;
  cc->alpha = (1 - cc->cfg->g) * cc->alpha + cc->cfg->g;
  cc->bytes = 0;
  cc->time_stage = cc->byte_stage = 0;
  cc->last_cut_ps = call->now_ps;
  cc->alpha_timer = cc_deadline_in(call, cc->cfg->alpha_timer_ps);
  cc->rate_timer = cc_deadline_in(call, cc->cfg->rate_timer_ps);
  call->log(call->log_arg, cc, CC_EVENT_CUT);
}

static void on_notification(struct cc_state *cc, const struct cc_call *call)
{
  call->log(call->log_arg, cc, CC_EVENT_CNP);
  if (cc->active && call->now_ps - cc->last_cut_ps < cc->cfg->cut_interval_ps)
    return;
  cc->active = true;
  cut(cc, call);
}

static void increase(struct cc_state *cc, const struct cc_call *call)
{
  uint32_t f = cc->cfg->fast_recovery;
  uint32_t most = cc->time_stage > cc->byte_stage ? cc->time_stage : cc->byte_stage;
  uint32_t least = cc->time_stage < cc->byte_stage ? cc->time_stage : cc->byte_stage;
  enum cc_event event = CC_EVENT_INC_FAST;
  if (least > f) {
    cc->target_bps += (uint64_t)(least - f) * cc->cfg->rate_hai_bps;
    event = CC_EVENT_INC_HYPER;
  } else if (most >= f) {
    cc->target_bps += cc->cfg->rate_ai_bps;
    event = CC_EVENT_INC_ADDITIVE;
  }
  if (cc->target_bps > cc->line_bps)
    cc->target_bps = cc->line_bps;
  cc->rate_bps = (cc->rate_bps + cc->target_bps) / 2;
  call->log(call->log_arg, cc, event);
}

/* Stages count completed periods; the test above uses the count before this period, as the paper's F-th step does. */
static void rate_tick(struct cc_state *cc, const struct cc_call *call)
{
  cc->rate_timer = cc_deadline_in(call, cc->cfg->rate_timer_ps);
  increase(cc, call);
  cc->time_stage++;
}

static void on_timer(struct cc_state *cc, const struct cc_call *call)
{
  if (cc_is_due(&cc->alpha_timer, call)) {
    cc->alpha *= 1 - cc->cfg->g;
    cc->alpha_timer = cc_deadline_in(call, cc->cfg->alpha_timer_ps);
  }
  if (cc_is_due(&cc->rate_timer, call))
    rate_tick(cc, call);
}

static void on_sent(struct cc_state *cc, const struct cc_call *call, uint32_t bytes)
{
  if (!cc->active || cc->cfg->byte_counter_bytes == 0)
    return;
  cc->bytes += bytes;
  if (cc->bytes < cc->cfg->byte_counter_bytes)
    return;
  cc->bytes -= cc->cfg->byte_counter_bytes;
  increase(cc, call);
  cc->byte_stage++;
}

const struct cc_ops cc_dcqcn = {
    .name = "dcqcn", .start = start, .on_notification = on_notification, .on_timer = on_timer, .on_sent = on_sent};
