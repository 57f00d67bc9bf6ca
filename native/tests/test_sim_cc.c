/* The ops tables of congestion control, called by hand: no clock, no queue, no packets. */
#include <string.h>

#include "sim/cc.h"
#include "test.h"

#define GBPS 1000000000ull
#define US 1000000ull

struct bench {
  struct cc_cfg cfg;
  struct cc_state cc;
  const struct cc_ops *ops;
  struct cc_call call;
  uint64_t order;
  uint32_t events[5];
};

static void count_event(void *arg, const struct cc_state *cc, enum cc_event event)
{
  struct bench *b = arg;
  ASSERT(cc == &b->cc);
  b->events[event]++;
}

static void set_up(struct bench *b, const char *algorithm)
{
  memset(b, 0, sizeof *b);
  b->cfg = (struct cc_cfg){.algorithm = algorithm,
                           .g = 1.0 / 256,
                           .alpha_timer_ps = 55 * US,
                           .rate_timer_ps = 55 * US,
                           .cut_interval_ps = strcmp(algorithm, "ns3") == 0 ? 4 * US : 0,
                           .byte_counter_bytes = 10000000,
                           .fast_recovery = 5,
                           .rate_ai_bps = 40000000,
                           .rate_hai_bps = 400000000,
                           .min_rate_bps = 10000000,
                           .clamp_target = true,
                           .rate_on_first_cnp = 1,
                           .pace = true,
                           .dce_tcp_g = 1019,
                           .dce_tcp_rtt_us = 1,
                           .initial_alpha_value = 1023,
                           .rpg_gd = 11,
                           .rpg_min_dec_fac = 50,
                           .rate_reduce_monitor_period_us = 4,
                           .rpg_time_reset_us = 300,
                           .rpg_byte_reset = 32767,
                           .rpg_threshold = 1,
                           .rpg_ai_rate_mbps = 5,
                           .rpg_hai_rate_mbps = 50,
                           .rpg_min_rate_mbps = 1,
                           .clamp_tgt_rate_after_time_inc = true};
  b->ops = cc_find(algorithm);
  ASSERT(b->ops != NULL);
  b->cc = (struct cc_state){.cfg = &b->cfg, .line_bps = 100 * GBPS};
  b->call = (struct cc_call){.order = &b->order, .log = count_event, .log_arg = b};
  b->ops->start(&b->cc, &b->call);
}

/* Runs timers up to a moment, as the simulator would. */
static void run_to(struct bench *b, uint64_t end_ps)
{
  for (struct cc_deadline d = cc_next_deadline(&b->cc); d.at_ps <= end_ps; d = cc_next_deadline(&b->cc)) {
    ASSERT(d.at_ps >= b->call.now_ps);
    b->call.now_ps = d.at_ps;
    b->ops->on_timer(&b->cc, &b->call);
  }
  b->call.now_ps = end_ps;
}

static void notify(struct bench *b)
{
  b->ops->on_notification(&b->cc, &b->call);
}

TEST(cc_every_algorithm_starts_at_line_rate_without_a_timer)
{
  for (unsigned long i = 0; i < cc_registry_size; i++) {
    struct bench b;
    set_up(&b, cc_registry[i]->name);
    ASSERT_EQ(b.cc.rate_bps, 100 * GBPS);
    ASSERT_EQ(b.cc.target_bps, 100 * GBPS);
    ASSERT_EQ(cc_next_deadline(&b.cc).at_ps, CC_NEVER);
  }
  ASSERT_EQ(cc_registry_size, 4ul);
  ASSERT(cc_find("no such algorithm") == NULL);
}

TEST(cc_rates_stay_between_minimum_and_line_whatever_comes)
{
  for (unsigned long i = 0; i < cc_registry_size; i++) {
    struct bench b;
    set_up(&b, cc_registry[i]->name);
    uint64_t least = strcmp(b.ops->name, "mlx5") == 0 ? 1000000 : b.cfg.min_rate_bps;
    for (uint64_t k = 0; k < 3000; k++) {
      run_to(&b, b.call.now_ps + k * 7919 % 30000000);
      if (k * k % 7 < 3)
        notify(&b);
      if (b.ops->on_sent != NULL)
        b.ops->on_sent(&b.cc, &b.call, 4096);
      ASSERT(b.cc.rate_bps >= least && b.cc.rate_bps <= 100 * GBPS);
      ASSERT(b.cc.target_bps <= 100 * GBPS);
      ASSERT(b.cc.alpha >= 0 && b.cc.alpha <= 1);
    }
  }
}

TEST(cc_none_ignores_everything)
{
  struct bench b;
  set_up(&b, "none");
  ASSERT(b.ops->ignores_notifications);
  notify(&b);
  ASSERT_EQ(b.cc.rate_bps, 100 * GBPS);
  ASSERT_EQ(b.events[CC_EVENT_CNP], 0u);
}

TEST(cc_dcqcn_cuts_at_once_and_recovers_in_five_halves)
{
  struct bench b;
  set_up(&b, "dcqcn");
  notify(&b);
  ASSERT_EQ(b.cc.rate_bps, 50 * GBPS);
  const uint64_t steps[] = {75000000000, 87500000000, 93750000000, 96875000000, 98437500000};
  for (uint64_t k = 0; k < 5; k++) {
    run_to(&b, (k + 1) * 55 * US);
    ASSERT_EQ(b.cc.rate_bps, steps[k]);
    ASSERT_EQ(b.events[CC_EVENT_INC_FAST], (uint32_t)k + 1);
  }
  run_to(&b, 6 * 55 * US);
  ASSERT_EQ(b.events[CC_EVENT_INC_ADDITIVE], 1u);
}

TEST(cc_dcqcn_reaches_hyper_increase_only_with_both_stages)
{
  struct bench b;
  set_up(&b, "dcqcn");
  notify(&b);
  run_to(&b, 20 * 55 * US);
  ASSERT_EQ(b.events[CC_EVENT_INC_HYPER], 0u); /* the byte counter has not moved */
  for (int i = 0; i < 8; i++)
    b.ops->on_sent(&b.cc, &b.call, 10000000);
  ASSERT_EQ(b.cc.byte_stage, 8u);
  ASSERT_EQ(b.events[CC_EVENT_INC_HYPER], 2u); /* the seventh and the eighth: six and seven completed before them */
}

TEST(cc_mlx5_a_notification_in_the_window_cuts_at_its_end)
{
  struct bench b;
  set_up(&b, "mlx5");
  notify(&b);
  uint64_t after_first = b.cc.rate_bps;
  ASSERT_EQ(after_first, 100 * GBPS - (100 * GBPS * 1023 >> 11));
  run_to(&b, 1 * US);
  notify(&b);
  ASSERT_EQ(b.cc.rate_bps, after_first);
  run_to(&b, 4 * US);
  ASSERT_EQ(b.events[CC_EVENT_CUT], 2u);
  ASSERT(b.cc.rate_bps < after_first);
  ASSERT_EQ(b.cc.target_bps, 100 * GBPS); /* no increase since the first cut: the target stays */
}

TEST(cc_ns3_the_first_notification_cuts_at_the_first_tick)
{
  struct bench b;
  set_up(&b, "ns3");
  b.cfg.alpha_timer_ps = 1 * US;
  notify(&b);
  ASSERT_EQ(b.cc.rate_bps, 100 * GBPS);
  run_to(&b, 4 * US);
  ASSERT_EQ(b.events[CC_EVENT_CUT], 0u);
  run_to(&b, 4 * US + 1000);
  ASSERT_EQ(b.events[CC_EVENT_CUT], 1u);
  /* alpha has decayed four times: the notification that starts the machine is not counted for alpha */
  double alpha = 1;
  for (int i = 0; i < 4; i++)
    alpha *= 1 - 1.0 / 256;
  ASSERT_NEAR(b.cc.alpha, alpha, 1e-12);
  ASSERT_EQ(b.cc.rate_bps, (uint64_t)(100e9 * (1 - alpha / 2)));
}
