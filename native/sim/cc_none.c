/* No congestion control: send at line rate, ignore notifications. */
#include "cc.h"

static void start(struct cc_state *cc, const struct cc_call *call)
{
  (void)call;
  cc->rate_bps = cc->target_bps = cc->line_bps;
  cc->alpha = 0;
  cc->alpha_timer = cc->cut_timer = cc->rate_timer = CC_NO_DEADLINE;
}

static void ignore(struct cc_state *cc, const struct cc_call *call)
{
  (void)cc;
  (void)call;
}

const struct cc_ops cc_none = {
    .name = "none", .ignores_notifications = true, .start = start, .on_notification = ignore, .on_timer = ignore};
