/* `defects`: which ones, by name; and those that are "does something else than was set", as a change of what was set. */
#include <string.h>

#include "defect.h"
#include "job_parts.h"

#define DEFECT_INFO(id, name, part, what) {name, part, what},
const struct defect_info defect_info[DEFECT_COUNT] = {DEFECT_LIST(DEFECT_INFO)};
#undef DEFECT_INFO

/* --- names ---------------------------------------------------------------------------------------------------- */

static bool fail_no_defect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value)
{
  struct job_nearest nearest = {.name = value->string, .length = value->count};
  char hint[JOB_HINT_BYTES];
  for (size_t i = 0; i < DEFECT_COUNT; i++) {
    job_nearest_try(&nearest, defect_info[i].name);
  }
  job_nearest_hint(&nearest, hint);
  return job_fail_value(ctx, where, value, "is no defect%s; roce-sim --list-defects prints them", hint);
}

static bool read_defect(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                        uint64_t *mask)
{
  if (!job_expect(ctx, where, value, JSON_STRING)) {
    return false;
  }
  for (size_t i = 0; i < DEFECT_COUNT; i++) {
    if (json_string_is(value, defect_info[i].name)) {
      *mask |= defect_bit((enum defect)i);
      return true;
    }
  }
  return fail_no_defect(ctx, where, value);
}

bool job_read_defects(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  size_t index = 0;
  if (!job_list(ctx, where, value, DEFECT_COUNT, "defects")) {
    return false;
  }
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    if (!read_defect(ctx, JOB_INDEX(where, index), element, out)) {
      return false;
    }
  }
  return true;
}

/* --- devices that do something else than was set ---------------------------------------------------------------- */

#define NEVER_PS (UINT64_C(4) * JOB_MAX_PS)

static bool has(const struct job *job, enum defect defect)
{
  return (job->defects & defect_bit(defect)) != 0;
}

static uint32_t times_ten(uint32_t value)
{
  return value > UINT32_MAX / 10 ? UINT32_MAX : value * 10;
}

static uint64_t tenth(uint64_t value)
{
  return value < 10 ? 1 : value / 10;
}

/* Three algorithms, each with its own names for the same things. */
static void spoil_reaction_point(const struct job *job, struct cc_cfg *cc)
{
  if (has(job, DEFECT_RATE_RECOVERS_FAST)) {
    cc->rate_ai_bps *= 10;
    cc->rate_hai_bps *= 10;
    cc->rate_timer_ps = tenth(cc->rate_timer_ps);
    cc->rpg_ai_rate_mbps = times_ten(cc->rpg_ai_rate_mbps);
    cc->rpg_hai_rate_mbps = times_ten(cc->rpg_hai_rate_mbps);
    cc->rpg_time_reset_us = (uint32_t)tenth(cc->rpg_time_reset_us);
  }
  if (has(job, DEFECT_RATE_NEVER_RECOVERS)) {
    cc->rate_timer_ps = NEVER_PS;
    cc->rpg_time_reset_us = UINT32_MAX;
    cc->byte_counter_bytes = 0;
    cc->rpg_byte_reset = 0;
  }
  if (has(job, DEFECT_ALPHA_NEVER_DECAYS)) {
    cc->g = 0; /* alpha begins at 1 and stays there */
    cc->dce_tcp_g = 1024;
  }
}

static void spoil_scheduler(const struct job *job, struct sched_cfg *sched)
{
  for (int i = 0; i < PRIO_COUNT && has(job, DEFECT_ETS_WEIGHTS_IGNORED); i++) {
    sched->weight[i] = 1;
  }
  sched->strict_last = has(job, DEFECT_STRICT_STARVED);
}

static void spoil_loss_recovery(const struct job *job, struct nic_cfg *nic)
{
  enum { LONGEST = 31, SIXTEEN_TIMES = 4, FOR_EVER = 7 };
  if (has(job, DEFECT_GO_BACK_0)) {
    nic->loss_recovery = RECOVER_GO_BACK_0;
  }
  if (has(job, DEFECT_SELECTIVE_REPEAT_GOES_BACK) && nic->loss_recovery == RECOVER_SELECTIVE) {
    nic->loss_recovery = RECOVER_GO_BACK_N;
  }
  if (has(job, DEFECT_ACK_TIMEOUT_X16) && nic->ack_timeout_exponent > 0) {
    uint32_t longer = nic->ack_timeout_exponent + SIXTEEN_TIMES;
    nic->ack_timeout_exponent = longer < LONGEST ? longer : LONGEST;
  }
  if (has(job, DEFECT_RETRIES_IGNORED)) {
    nic->retry_count = 0;
  }
  if (has(job, DEFECT_RNR_RETRY_IGNORED)) {
    nic->rnr_retry = FOR_EVER;
  }
}

static void spoil_nic(const struct job *job, struct nic_cfg *nic)
{
  spoil_reaction_point(job, &nic->cc);
  spoil_scheduler(job, &nic->sched);
  spoil_loss_recovery(job, nic);
  if (has(job, DEFECT_CNP_INTERVAL_IGNORED)) {
    nic->cnp_interval_ps = 0;
  }
  if (has(job, DEFECT_CNP_SCOPE_PORT)) {
    nic->cnp_scope = CNP_PER_PORT;
  }
  if (has(job, DEFECT_MTU_HALVED)) {
    nic->mtu_bytes /= 2;
  }
  if (has(job, DEFECT_SLOW_RECEIVER)) { /* how slow depends on the link: defect.c */
    nic->rx_buffer_bytes = 1000000;
    nic->rx_xoff_bytes = 500000;
    nic->rx_xon_bytes = 250000;
  }
}

static void spoil_watchdog(const struct job *job, struct watchdog_cfg *watchdog)
{
  if (has(job, DEFECT_WATCHDOG_EARLY)) {
    watchdog->detect_ps /= 4;
  }
  if (has(job, DEFECT_WATCHDOG_NEVER)) {
    watchdog->enabled = false;
  }
  if (has(job, DEFECT_WATCHDOG_NEVER_RESTORES)) {
    watchdog->restore_ps = NEVER_PS;
  }
}

static void spoil_switch(const struct job *job, struct switch_cfg *sw)
{
  spoil_scheduler(job, &sw->sched);
  spoil_watchdog(job, &sw->pfc.watchdog);
  if (has(job, DEFECT_MARKING_AT_ENQUEUE)) {
    sw->ecn.mark_at = MARK_ENQUEUE;
  }
  if (has(job, DEFECT_XON_HYSTERESIS_OFF)) {
    sw->buffer.xon_offset_bytes = 0;
  }
  if (has(job, DEFECT_BUFFER_STATIC)) {
    sw->buffer.model = BUFFER_STATIC;
  }
  for (int dscp = 0; dscp < DSCP_COUNT && has(job, DEFECT_DSCP_WRONG_PRIORITY); dscp++) {
    sw->dscp_map[dscp] = sw->dscp_map[dscp] == 3 ? 4 : sw->dscp_map[dscp];
  }
}

/* Changes each configuration once: nodes without keys of their own share one. */
void job_apply_defects(struct job_ctx *ctx)
{
  struct job *job = ctx->job;
  if (job->defects == 0) {
    return;
  }
  spoil_nic(job, ctx->nic);
  spoil_switch(job, ctx->sw);
  for (uint32_t i = 0; i < job->n_nodes; i++) {
    const struct job_node *node = &job->nodes[i];
    if (node->is_switch && node->sw != ctx->sw) {
      spoil_switch(job, node->sw);
    } else if (!node->is_switch && node->nic != ctx->nic) {
      spoil_nic(job, node->nic);
    }
  }
  for (uint32_t i = 0; i < job->n_events; i++) {
    if (job->events[i].sw != NULL) {
      spoil_switch(job, job->events[i].sw);
    }
    if (job->events[i].nic != NULL) {
      spoil_nic(job, job->events[i].nic);
    }
  }
}
