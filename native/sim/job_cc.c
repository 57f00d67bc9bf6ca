/* `nic.cc`: an algorithm and its parameters, one table per algorithm. */
#include <stdio.h>
#include <string.h>

#include "job_names.h"
#include "job_parts.h"

#define US UINT64_C(1000000)   /* in ps */
#define MBPS UINT64_C(1000000) /* in bit/s */
#define CC struct cc_cfg
enum { MAX_US = 1000000000, MAX_MBPS = 1000000000, MAX_STAGES = 1000000 };

static const struct job_field none_fields[] = {JOB_SKIP("algorithm")};

static const struct job_field dcqcn_fields[] = {
    JOB_SKIP("algorithm"),
    JOB_POSITIVE("g", CC, g, 0.00390625, 1.0),
    JOB_U64("alpha_timer_ps", CC, alpha_timer_ps, 55 * US, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("rate_timer_ps", CC, rate_timer_ps, 55 * US, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("byte_counter_bytes", CC, byte_counter_bytes, 10000000, 0, JOB_MAX_PS),
    JOB_U32("fast_recovery", CC, fast_recovery, 5, 0, MAX_STAGES),
    JOB_U64("rate_ai_bps", CC, rate_ai_bps, 40 * MBPS, 0, JOB_MAX_BPS),
    JOB_U64("rate_hai_bps", CC, rate_hai_bps, 400 * MBPS, 0, JOB_MAX_BPS),
    JOB_U64("min_rate_bps", CC, min_rate_bps, 10 * MBPS, 1, JOB_MAX_BPS),
    JOB_U64("cut_interval_ps", CC, cut_interval_ps, 0, 0, JOB_MAX_PS),
    JOB_BOOL("clamp_target", CC, clamp_target, true),
};

static const struct job_field mlx5_fields[] = {
    JOB_SKIP("algorithm"),
    JOB_U32("dce_tcp_g", CC, dce_tcp_g, 1019, 0, 1023),
    JOB_U32("dce_tcp_rtt_us", CC, dce_tcp_rtt_us, 1, 1, MAX_US),
    JOB_U32("initial_alpha_value", CC, initial_alpha_value, 1023, 0, 1023),
    JOB_U32("rpg_gd", CC, rpg_gd, 11, 0, 31),
    JOB_U32("rpg_min_dec_fac", CC, rpg_min_dec_fac, 50, 0, 100),
    JOB_U32("rate_reduce_monitor_period_us", CC, rate_reduce_monitor_period_us, 4, 0, MAX_US),
    JOB_U32("rate_to_set_on_first_cnp_mbps", CC, rate_to_set_on_first_cnp_mbps, 0, 0, MAX_MBPS),
    JOB_U32("rpg_time_reset_us", CC, rpg_time_reset_us, 300, 1, MAX_US),
    JOB_U32("rpg_byte_reset", CC, rpg_byte_reset, 32767, 0, UINT32_MAX),
    JOB_U32("rpg_threshold", CC, rpg_threshold, 1, 0, MAX_STAGES),
    JOB_U32("rpg_ai_rate_mbps", CC, rpg_ai_rate_mbps, 5, 0, MAX_MBPS),
    JOB_U32("rpg_hai_rate_mbps", CC, rpg_hai_rate_mbps, 50, 0, MAX_MBPS),
    JOB_U32("rpg_max_rate_mbps", CC, rpg_max_rate_mbps, 0, 0, MAX_MBPS),
    JOB_U32("rpg_min_rate_mbps", CC, rpg_min_rate_mbps, 1, 1, MAX_MBPS),
    JOB_BOOL("clamp_tgt_rate", CC, clamp_tgt_rate, false),
    JOB_BOOL("clamp_tgt_rate_after_time_inc", CC, clamp_tgt_rate_after_time_inc, true),
};

static const struct job_field ns3_fields[] = {
    JOB_SKIP("algorithm"),
    JOB_POSITIVE("g", CC, g, 0.00390625, 1.0),
    JOB_U64("alpha_timer_ps", CC, alpha_timer_ps, 1 * US, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("cut_interval_ps", CC, cut_interval_ps, 4 * US, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U64("rate_timer_ps", CC, rate_timer_ps, 300 * US, JOB_MIN_TIMER_PS, JOB_MAX_PS),
    JOB_U32("fast_recovery", CC, fast_recovery, 1, 0, MAX_STAGES),
    JOB_U64("rate_ai_bps", CC, rate_ai_bps, 20 * MBPS, 0, JOB_MAX_BPS),
    JOB_U64("rate_hai_bps", CC, rate_hai_bps, 200 * MBPS, 0, JOB_MAX_BPS),
    JOB_U64("min_rate_bps", CC, min_rate_bps, 100 * MBPS, 1, JOB_MAX_BPS),
    JOB_BOOL("clamp_target", CC, clamp_target, false),
    JOB_POSITIVE("rate_on_first_cnp", CC, rate_on_first_cnp, 1.0, 1.0),
    JOB_BOOL("pace", CC, pace, true),
    JOB_BOOL("variable_window", CC, variable_window, false),
};

/* An algorithm that is not listed, because its file was dropped in, takes the parameters of dcqcn. */
static const struct {
  const char *algorithm;
  struct job_table table;
} tables[] = {
    {"dcqcn", JOB_TABLE("cc with algorithm dcqcn", dcqcn_fields)},
    {"none", JOB_TABLE("cc with algorithm none", none_fields)},
    {"mlx5", JOB_TABLE("cc with algorithm mlx5", mlx5_fields)},
    {"ns3", JOB_TABLE("cc with algorithm ns3", ns3_fields)},
};
enum { TABLES = sizeof tables / sizeof tables[0] };

static const struct job_table *table_of(const char *algorithm)
{
  for (size_t i = 0; i < TABLES; i++) {
    if (strcmp(tables[i].algorithm, algorithm) == 0) {
      return &tables[i].table;
    }
  }
  return &tables[0].table;
}

void job_cc_defaults(struct cc_cfg *cc, const char *algorithm)
{
  memset(cc, 0, sizeof *cc);
  cc->algorithm = algorithm;
  job_defaults(table_of(algorithm), cc);
}

/* The build's own copy of the name of an algorithm, or NULL when there is no such algorithm. */
static const char *read_algorithm(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value)
{
  char names[256] = "";
  size_t used = 0;
  const char *name;
  for (size_t i = 0; (name = job_algorithm_name(i)) != NULL; i++) {
    if (json_string_is(value, name)) {
      return name;
    }
    if (used < sizeof names) {
      used += (size_t)snprintf(names + used, sizeof names - used, "%s\"%s\"", i == 0 ? "" : ", ", name);
    }
  }
  job_fail_is(ctx, where, value, "must be one of %s", names);
  return NULL;
}

/* The algorithm that has the parameter `member` while the chosen one has not, or NULL. */
static const char *owner_of(const struct json_value *member)
{
  for (size_t i = 0; i < TABLES; i++) {
    for (size_t k = 0; k < tables[i].table.count; k++) {
      if (json_key_is(member, tables[i].table.fields[k].key)) {
        return tables[i].algorithm;
      }
    }
  }
  return NULL;
}

/* Says so when a key is not a parameter of this algorithm but of another one. */
static bool check_keys(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                       const struct job_table *table)
{
  for (const struct json_value *member = object->first; member != NULL; member = member->next) {
    bool known = false;
    for (size_t i = 0; i < table->count && !known; i++) {
      known = json_key_is(member, table->fields[i].key);
    }
    const char *owner = known ? NULL : owner_of(member);
    if (owner != NULL) {
      char note[80];
      snprintf(note, sizeof note, " (it is a parameter of algorithm %s)", owner);
      return job_fail_unknown(ctx, where, member, table, note);
    }
  }
  return true;
}

bool job_read_cc(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  struct cc_cfg *cc = out;
  if (!job_expect(ctx, where, value, JSON_OBJECT)) {
    return false;
  }
  const struct json_value *named = json_get(value, "algorithm");
  if (named != NULL) {
    const char *algorithm = read_algorithm(ctx, JOB_KEY(where, "algorithm"), named);
    if (algorithm == NULL) {
      return false;
    }
    if (strcmp(cc->algorithm, algorithm) != 0) {
      job_cc_defaults(cc, algorithm);
    }
  }
  const struct job_table *table = table_of(cc->algorithm);
  return check_keys(ctx, where, value, table) && job_read(ctx, where, value, table, cc);
}
