/* `switch`: the configuration of a switch. */
#include <string.h>

#include "job_parts.h"

#define SW struct switch_cfg
#define ECN struct ecn_cfg
#define PROFILE struct ecn_profile
#define WATCHDOG struct watchdog_cfg
#define MS UINT64_C(1000000000) /* in ps */
enum { STRICT_6_7 = 0xC0, PRIORITY_3 = 0x08, MAX_PROFILES = 1024 };
#define MAX_ALPHA 1e6

static const struct job_choice scheduler_kinds[] = {{"ets", SCHED_ETS}, {"hpcc", SCHED_HPCC}, {NULL, 0}};
static const struct job_choice buffer_models[] = {{"dynamic", BUFFER_DYNAMIC}, {"hpcc", BUFFER_HPCC}, {NULL, 0}};
static const struct job_choice mark_places[] = {{"dequeue", MARK_DEQUEUE}, {"enqueue", MARK_ENQUEUE}, {NULL, 0}};
static const struct job_choice watchdog_actions[] = {{"drop", WATCHDOG_DROP}, {"forward", WATCHDOG_FORWARD}, {NULL, 0}};
static const struct job_choice ecmp_modes[] = {
    {"5tuple", ECMP_5TUPLE}, {"dqpn", ECMP_DQPN}, {"spray", ECMP_SPRAY}, {"hpcc", ECMP_HPCC}, {NULL, 0}};

static const struct job_field buffer_fields[] = {
    JOB_ENUM("model", SW, buffer.model, BUFFER_DYNAMIC, buffer_models),
    JOB_U64("bytes", SW, buffer.bytes, 32000000, 1, JOB_MAX_BUFFER_BYTES),
    JOB_REAL("alpha", SW, buffer.alpha, 0.125, 0.0, MAX_ALPHA),
    JOB_REAL("lossy_alpha", SW, buffer.lossy_alpha, 1.0, 0.0, MAX_ALPHA),
    JOB_REAL("egress_alpha", SW, buffer.egress_alpha, 4.0, 0.0, MAX_ALPHA),
    JOB_U64("reserve_bytes", SW, buffer.reserve_bytes, 4096, 0, JOB_MAX_BUFFER_BYTES),
    JOB_I64_OR_NULL("headroom_bytes", SW, buffer.headroom_bytes, JOB_MAX_BUFFER_BYTES),
    JOB_U64("xon_offset_bytes", SW, buffer.xon_offset_bytes, 3072, 0, JOB_MAX_BUFFER_BYTES),
    JOB_U64_OR_NULL("nic_rate_bps", SW, buffer.nic_rate_bps, 1, JOB_MAX_BPS),
};
static const struct job_table buffer_table = JOB_TABLE("buffer", buffer_fields);

static const struct job_field profile_fields[] = {
    JOB_U64("rate_bps", PROFILE, rate_bps, 0, 0, JOB_MAX_BPS),
    JOB_U64("kmin_bytes", PROFILE, kmin_bytes, 400000, 0, JOB_MAX_BUFFER_BYTES),
    JOB_U64("kmax_bytes", PROFILE, kmax_bytes, 1600000, 0, JOB_MAX_BUFFER_BYTES),
    JOB_REAL("pmax", PROFILE, pmax, 0.2, 0.0, 1.0),
};
static const struct job_table profile_table = JOB_TABLE("an ecn profile", profile_fields);

static job_custom_fn read_profiles, read_ecn, read_watchdog, read_dscp_map;

static const struct job_field ecn_fields[] = {
    JOB_PRIORITIES("priorities", ECN, mask, PRIORITY_3),
    JOB_ENUM("mark_at", ECN, mark_at, MARK_DEQUEUE, mark_places),
    JOB_BOOL("wred_drop", ECN, wred_drop, false),
    {.key = "profiles", .kind = FIELD_CUSTOM, .offset = 0, .custom = read_profiles},
};
static const struct job_table ecn_table = JOB_TABLE("ecn", ecn_fields);

static const struct job_field watchdog_fields[] = {
    JOB_U64("detect_ps", WATCHDOG, detect_ps, 200 * MS, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("restore_ps", WATCHDOG, restore_ps, 200 * MS, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("poll_ps", WATCHDOG, poll_ps, 100 * MS, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_ENUM("action", WATCHDOG, action, WATCHDOG_DROP, watchdog_actions),
};
static const struct job_table watchdog_table = JOB_TABLE("watchdog", watchdog_fields);

static const struct job_field pfc_fields[] = {
    JOB_PRIORITIES("priorities", SW, pfc.mask, 0),
    JOB_ENUM("mode", SW, pfc.mode, PFC_QUANTA, job_pfc_modes),
    JOB_U32("quanta", SW, pfc.quanta, 65535, 1, 65535),
    JOB_CUSTOM("watchdog", SW, pfc.watchdog, read_watchdog),
};
static const struct job_table pfc_table = JOB_TABLE("pfc of a switch", pfc_fields);

static const struct job_field scheduler_fields[] = {
    JOB_ENUM("kind", SW, sched.kind, SCHED_ETS, scheduler_kinds),
    JOB_CUSTOM("weights", SW, sched.weight, job_read_weights),
    JOB_PRIORITIES("strict", SW, sched.strict_mask, STRICT_6_7),
};
static const struct job_table scheduler_table = JOB_TABLE("scheduler", scheduler_fields);

static const struct job_field ecmp_fields[] = {
    JOB_ENUM("mode", SW, ecmp_mode, ECMP_5TUPLE, ecmp_modes),
    JOB_I64_OR_NULL("seed", SW, ecmp_seed, INT64_MAX),
};
static const struct job_table ecmp_table = JOB_TABLE("ecmp", ecmp_fields);

static const struct job_field switch_fields[] = {
    JOB_OBJECT("buffer", &buffer_table),       JOB_CUSTOM("ecn", SW, ecn, read_ecn), JOB_OBJECT("pfc", &pfc_table),
    JOB_OBJECT("scheduler", &scheduler_table), JOB_OBJECT("ecmp", &ecmp_table),
    JOB_CUSTOM("dscp_map", SW, dscp_map, read_dscp_map),
};
static const struct job_table switch_table = JOB_TABLE("switch", switch_fields);

static void default_dscp_map(uint8_t map[DSCP_COUNT])
{
  for (unsigned dscp = 0; dscp < DSCP_COUNT; dscp++) {
    map[dscp] = (uint8_t)DSCP_DEFAULT_PRIORITY(dscp);
  }
}

void job_switch_defaults(struct switch_cfg *sw)
{
  memset(sw, 0, sizeof *sw);
  job_defaults(&switch_table, sw);
  job_defaults(&watchdog_table, &sw->pfc.watchdog);
  default_dscp_map(sw->dscp_map);
  for (int i = 0; i < PRIO_COUNT; i++) {
    sw->sched.weight[i] = 1;
  }
}

/* Null is the default map. */
static bool read_dscp_map(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  uint8_t *map = out;
  if (value->type == JSON_NULL) {
    default_dscp_map(map);
    return true;
  }
  if (!job_expect(ctx, where, value, JSON_ARRAY)) {
    return false;
  }
  if (value->count != DSCP_COUNT) {
    return job_fail(ctx, where, value, "must have %d priorities, one for each DSCP, has %u", DSCP_COUNT,
                    (unsigned)value->count);
  }
  size_t dscp = 0;
  for (const struct json_value *element = value->first; element != NULL; element = element->next, dscp++) {
    uint64_t priority = 0;
    if (!job_integer(ctx, JOB_INDEX(where, dscp), element, 0, PRIO_COUNT - 1, &priority)) {
      return false;
    }
    map[dscp] = (uint8_t)priority;
  }
  return true;
}

/* Null switches the watchdog off and forgets its times. */
static bool read_watchdog(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  struct watchdog_cfg *watchdog = out;
  watchdog->enabled = value->type != JSON_NULL;
  if (!watchdog->enabled) {
    job_defaults(&watchdog_table, watchdog);
    return true;
  }
  return job_read(ctx, where, value, &watchdog_table, watchdog);
}

/* One profile; its thresholds must be in order and its rate not taken by one of the `index` before it. */
static bool read_profile(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                         struct ecn_profile *profiles, uint32_t index)
{
  struct ecn_profile *profile = &profiles[index];
  job_defaults(&profile_table, profile);
  if (!job_read(ctx, where, value, &profile_table, profile)) {
    return false;
  }
  if (profile->kmin_bytes > profile->kmax_bytes) {
    return job_fail_key(ctx, where, value, "kmin_bytes", "kmin_bytes %llu is above kmax_bytes %llu",
                        (unsigned long long)profile->kmin_bytes, (unsigned long long)profile->kmax_bytes);
  }
  for (uint32_t i = 0; i < index; i++) {
    if (profiles[i].rate_bps == profile->rate_bps) {
      return job_fail_key(ctx, where, value, "rate_bps", "rate %llu already has profiles[%u]",
                          (unsigned long long)profile->rate_bps, (unsigned)i);
    }
  }
  return true;
}

/* A list of profiles takes the place of the one before. */
static bool read_profiles(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  struct ecn_cfg *ecn = out;
  if (!job_list(ctx, where, value, MAX_PROFILES, "profiles")) {
    return false;
  }
  if (value->count == 0) {
    return job_fail(ctx, where, value, "needs at least one profile; set ecn to null to switch marking off");
  }
  struct ecn_profile *profiles = arena_array(ctx->arena, value->count, sizeof *profiles);
  if (profiles == NULL) {
    return job_fail_memory(ctx);
  }
  uint32_t index = 0;
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    if (!read_profile(ctx, JOB_INDEX(where, index), element, profiles, index)) {
      return false;
    }
  }
  ecn->profiles = profiles;
  ecn->n_profiles = value->count;
  return true;
}

/* Marking with the default profile. */
static bool default_ecn(struct job_ctx *ctx, struct ecn_cfg *ecn)
{
  job_defaults(&ecn_table, ecn);
  ecn->profiles = arena_alloc(ctx->arena, sizeof *ecn->profiles);
  if (ecn->profiles == NULL) {
    return job_fail_memory(ctx);
  }
  job_defaults(&profile_table, ecn->profiles);
  ecn->n_profiles = 1;
  return true;
}

/* Null switches marking off; an object is laid over what is configured, or over the defaults when nothing is. */
static bool read_ecn(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  struct ecn_cfg *ecn = out;
  if (value->type == JSON_NULL) {
    memset(ecn, 0, sizeof *ecn);
    return true;
  }
  if (ecn->profiles == NULL && !default_ecn(ctx, ecn)) {
    return false;
  }
  return job_read(ctx, where, value, &ecn_table, ecn);
}

/* The reference rate means something to one buffer model only. */
static bool check_buffer(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                         const struct switch_cfg *sw)
{
  if (sw->buffer.model != BUFFER_HPCC && sw->buffer.nic_rate_bps != 0) {
    return job_fail_key(ctx, where, object, "buffer",
                        "nic_rate_bps belongs to the buffer model \"hpcc\", model is \"dynamic\"");
  }
  return true;
}

bool job_read_switch(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                     struct switch_cfg *sw)
{
  return job_read(ctx, where, object, &switch_table, sw) && check_buffer(ctx, where, object, sw) &&
         job_check_scheduler(ctx, where, object, &sw->sched);
}
