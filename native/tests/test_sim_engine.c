/* Parts of the engine on whole small simulations: buffer accounts, ETS shares, routes, and that conservation has teeth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "test.h"

/* Three hosts on one switch; priority 3 lossless; a 60 kB message from each of two into the third. */
static const char star_text[] =
    "{\"format\":1,\"duration_ps\":%s,"
    "\"nic\":{\"pfc\":{\"priorities\":[3]}},"
    "\"switch\":{\"pfc\":{\"priorities\":[3]},\"scheduler\":{\"weights\":[3,1,1,1,1,1,1,1],\"strict\":[6,7]},"
    "\"buffer\":{\"bytes\":400000,\"alpha\":0.5,\"lossy_alpha\":0.25,\"egress_alpha\":2,\"reserve_bytes\":2000,\"headroom_bytes\":20000}},"
    "\"nodes\":[{\"name\":\"h0\",\"kind\":\"host\",\"ports\":[\"p\"]},{\"name\":\"h1\",\"kind\":\"host\",\"ports\":[\"p\"]},"
    "{\"name\":\"h2\",\"kind\":\"host\",\"ports\":[\"p\"]},{\"name\":\"s\",\"kind\":\"switch\",\"ports\":[\"a\",\"b\",\"c\"]}],"
    "\"links\":[{\"a\":\"h0:p\",\"b\":\"s:a\",\"rate_bps\":100000000000,\"delay_ps\":1000000},"
    "{\"a\":\"h1:p\",\"b\":\"s:b\",\"rate_bps\":100000000000,\"delay_ps\":1000000},"
    "{\"a\":\"h2:p\",\"b\":\"s:c\",\"rate_bps\":100000000000,\"delay_ps\":1000000}],"
    "\"flows\":[{\"name\":\"x\",\"src\":\"h0:p\",\"dst\":\"h2:p\",\"message_bytes\":60000},"
    "{\"name\":\"y\",\"src\":\"h1:p\",\"dst\":\"h2:p\",\"message_bytes\":60000,\"priority\":0}]}";

static struct job *star_job(const char *duration_ps)
{
  char text[4096];
  struct job_error error = {.message = ""};
  int length = snprintf(text, sizeof text, star_text, duration_ps);
  struct job *job = job_parse(text, (size_t)length, &error);
  if (job == NULL)
    test_fail(__FILE__, __LINE__, "%s at %s", error.message, error.path);
  return job;
}

static struct sim *star_sim(struct job *job)
{
  struct sim *s = sim_new(job);
  ASSERT(s != NULL);
  return s;
}

/* ---- mmu ---- */

static struct packet frame(uint8_t prio, uint16_t bytes)
{
  return (struct packet){.prio = prio, .bytes = bytes, .kind = PKT_DATA, .side = NIL};
}

TEST(mmu_fills_reserve_then_shared_then_headroom)
{
  struct job *job = star_job("1000000000000");
  struct sim *s = star_sim(job);
  struct switch_node *sw = &s->switches[0];
  struct port *in = &s->ports[sw->first_port], *out = in + 1;
  struct lane *l = &in->lane[3];
  struct packet k = frame(3, 1000);
  uint64_t total = sw->shared_total;
  for (int i = 0; i < 2; i++)
    ASSERT_EQ(mmu_admit(sw, in, out, &k), DROP_REASONS);
  ASSERT_EQ(sw->shared_used, 0ull); /* 2000 bytes of reserve */
  ASSERT(!mmu_should_pause(sw, in, 3));
  uint64_t shared = 0;
  while (!mmu_should_pause(sw, in, 3)) {
    ASSERT_EQ(mmu_admit(sw, in, out, &k), DROP_REASONS);
    shared += 1000;
  }
  /* x = alpha (B - x): a third of the buffer, reached within a frame */
  ASSERT_NEAR((double)shared, (double)total / 3, 1000);
  ASSERT_EQ(sw->shared_used + l->headroom_bytes, shared);
  uint32_t held = 0;
  while (mmu_admit(sw, in, out, &k) == DROP_REASONS)
    held++;
  ASSERT(l->headroom_bytes > 19000 && l->headroom_bytes <= 20000);
  ASSERT(held >= 19);
  ASSERT_EQ(mmu_admit(sw, in, out, &k), DROP_HEADROOM);
  /* back: headroom first; resumed xon_offset (3072) below the threshold */
  while (!mmu_should_resume(sw, in, 3))
    mmu_release(sw, in, &k);
  ASSERT_EQ(l->headroom_bytes, 0u);
  ASSERT_NEAR((double)(l->ingress_bytes - 2000), ((double)total - 3072 * 2) / 3, 2500);
  while (l->ingress_bytes > 0)
    mmu_release(sw, in, &k);
  ASSERT_EQ(sw->shared_used, 0ull);
  sim_free(s);
  job_free(job);
}

TEST(mmu_drops_lossy_frames_at_their_own_thresholds)
{
  struct job *job = star_job("1000000000000");
  struct sim *s = star_sim(job);
  struct switch_node *sw = &s->switches[0];
  struct port *in = &s->ports[sw->first_port], *out = in + 1;
  struct packet k = frame(0, 1000);
  uint64_t stored = 0;
  while (mmu_admit(sw, in, out, &k) == DROP_REASONS)
    stored += 1000;
  ASSERT_NEAR((double)stored, 2000 + (double)sw->shared_total / 5, 1000); /* alpha 1/4: x = (B - x) / 4 */
  ASSERT_EQ(mmu_admit(sw, in, out, &k), DROP_INGRESS_LIMIT);
  ASSERT(!mmu_should_pause(sw, in, 0));
  out->lane[0].queue_bytes = 1000000; /* as if other ports had filled the egress queue */
  ASSERT_EQ(mmu_admit(sw, in + 2, out, &k), DROP_EGRESS_LIMIT);
  out->lane[0].queue_bytes = 0;
  sim_free(s);
  job_free(job);
}

TEST(mmu_random_frames_come_and_go_without_a_trace)
{
  struct job *job = star_job("1000000000000");
  struct sim *s = star_sim(job);
  struct switch_node *sw = &s->switches[0];
  struct port *out = &s->ports[sw->first_port];
  enum { HELD = 2000 };
  static struct { struct packet k; uint32_t port; } held[HELD];
  uint32_t n = 0;
  for (uint32_t i = 0; i < 200000; i++) {
    if (n > 0 && (n == HELD || rng_below(&s->rng, 100) < 48)) {
      uint32_t victim = (uint32_t)rng_below(&s->rng, n);
      mmu_release(sw, &s->ports[sw->first_port + held[victim].port], &held[victim].k);
      held[victim] = held[--n];
      continue;
    }
    struct packet k = frame((uint8_t)rng_below(&s->rng, 8), (uint16_t)(64 + rng_below(&s->rng, 4000)));
    uint32_t port = (uint32_t)rng_below(&s->rng, sw->n_ports);
    if (mmu_admit(sw, &s->ports[sw->first_port + port], out, &k) == DROP_REASONS) {
      held[n].k = k;
      held[n++].port = port;
    }
    ASSERT(sw->shared_used <= sw->shared_total);
  }
  while (n > 0) {
    n--;
    mmu_release(sw, &s->ports[sw->first_port + held[n].port], &held[n].k);
  }
  ASSERT_EQ(sw->shared_used, 0ull);
  for (uint32_t i = 0; i < sw->n_ports; i++)
    for (int prio = 0; prio < PRIO_COUNT; prio++)
      ASSERT_EQ(s->ports[sw->first_port + i].lane[prio].ingress_bytes + s->ports[sw->first_port + i].lane[prio].headroom_bytes, 0u);
  sim_free(s);
  job_free(job);
}

/* ---- schedulers ---- */

TEST(ets_shares_follow_the_weights_in_bytes)
{
  struct sched_cfg cfg = {.kind = SCHED_ETS, .weight = {5, 3, 2, 1, 1, 1, 1, 1}, .strict_mask = 0xc0};
  static struct port p;
  const uint32_t size[PRIO_COUNT] = {1100, 300, 4200, 64, 64, 64, 64, 64};
  uint64_t bytes[PRIO_COUNT] = {0}, sum = 0;
  sched_ets_configure(&cfg, &p);
  for (int i = 0; i < 200000; i++) {
    int prio = sched_ets_pick(&cfg, &p, 0x07, size);
    sched_ets_charge(&cfg, &p, prio, size[prio]);
    bytes[prio] += size[prio];
    sum += size[prio];
  }
  ASSERT_NEAR((double)bytes[0] / (double)sum, 0.5, 0.002);
  ASSERT_NEAR((double)bytes[1] / (double)sum, 0.3, 0.002);
  ASSERT_NEAR((double)bytes[2] / (double)sum, 0.2, 0.002);
  ASSERT_EQ(sched_ets_pick(&cfg, &p, 0x47, size), 6);
  ASSERT_EQ(sched_ets_pick(&cfg, &p, 0xc7, size), 7);
}

TEST(ets_a_priority_that_was_away_claims_nothing)
{
  struct sched_cfg cfg = {.kind = SCHED_ETS, .weight = {1, 1, 1, 1, 1, 1, 1, 1}};
  static struct port p;
  const uint32_t size[PRIO_COUNT] = {1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000};
  uint32_t turns[2] = {0, 0};
  sched_ets_configure(&cfg, &p);
  for (int i = 0; i < 10000; i++) /* priorities 1 and 2, 0 is paused */
    sched_ets_charge(&cfg, &p, sched_ets_pick(&cfg, &p, 0x06, size), 1000);
  for (int i = 0; i < 1000; i++) {
    int prio = sched_ets_pick(&cfg, &p, 0x03, size);
    sched_ets_charge(&cfg, &p, prio, 1000);
    turns[prio]++;
  }
  ASSERT_NEAR((double)turns[0], 500, 10);
}

TEST(hpcc_queue_zero_is_strict_and_the_others_take_turns)
{
  static struct port p;
  ASSERT_EQ(sched_hpcc_pick(&p, 0x0b), 0);
  int first = sched_hpcc_pick(&p, 0x0a), second = sched_hpcc_pick(&p, 0x0a), third = sched_hpcc_pick(&p, 0x0a);
  ASSERT(first != second && first == third);
}

/* ---- routes ---- */

TEST(route_leads_to_the_port_of_the_host)
{
  struct job *job = star_job("1000000000000");
  struct sim *s = star_sim(job);
  const struct switch_node *sw = &s->switches[0];
  for (uint32_t nic = 0; nic < 3; nic++) {
    struct packet k = {.dst_port = s->nics[nic].port};
    ASSERT_EQ(route_pick(s, sw, &k), sw->first_port + nic);
  }
  s->ports[s->nics[1].port].up = s->ports[s->ports[s->nics[1].port].peer].up = false;
  ASSERT(route_compute(s));
  struct packet k = {.dst_port = s->nics[1].port};
  ASSERT_EQ(route_pick(s, sw, &k), NIL);
  sim_free(s);
  job_free(job);
}

/* ---- conservation ---- */

/* Runs the star to its end or cuts it off in mid flight, spoils one account, and checks again. */
static void spoil(const char *duration_ps, void (*damage)(struct sim *s), const char *complaint)
{
  struct job *job = star_job(duration_ps);
  struct sim *s = star_sim(job);
  sim_run(s);
  ASSERT_EQ(s->n_violations, 0u);
  conserve_check(s);
  ASSERT_EQ(s->n_violations, 0u);
  damage(s);
  conserve_check(s);
  ASSERT(s->n_violations > 0);
  ASSERT_CONTAINS(s->violation, complaint);
  sim_free(s);
  job_free(job);
}

static struct port *busy_port(struct sim *s)
{
  for (uint32_t i = 0; i < s->job->n_ports; i++)
    if (s->ports[i].is_switch && s->ports[i].lane[3].queue.head != NIL)
      return &s->ports[i];
  test_fail(__FILE__, __LINE__, "no queue holds anything");
}

static void lose_a_queued_frame(struct sim *s)
{
  fifo_pop(s, &busy_port(s)->lane[3].queue);
}

static void miscount_a_queue(struct sim *s)
{
  busy_port(s)->lane[3].queue_bytes++;
}

static void miscount_ingress(struct sim *s)
{
  s->ports[s->switches[0].first_port].lane[3].ingress_bytes += 10;
}

static void miscount_shared(struct sim *s)
{
  s->switches[0].shared_used++;
}

static void miscount_a_link(struct sim *s)
{
  s->ports[s->switches[0].first_port].lane[3].rx_packets++;
}

static void miscount_a_flow(struct sim *s)
{
  s->flows[0].packets_delivered++;
}

static void miscount_payload(struct sim *s)
{
  s->flows[0].bytes_delivered--;
}

static void miscount_made(struct sim *s)
{
  s->made_packets++;
}

static void miscount_bytes(struct sim *s)
{
  s->delivered_bytes--;
}

static void leak_a_packet(struct sim *s)
{
  packet_new(s);
}

#define MID_FLIGHT "8000000" /* 8 us: the queue into h2 is filling */
#define TO_THE_END "1000000000000"

TEST(conserve_sees_a_frame_lost_from_a_queue)
{
  spoil(MID_FLIGHT, lose_a_queued_frame, "queue holds");
}

TEST(conserve_sees_wrong_buffer_accounts)
{
  spoil(MID_FLIGHT, miscount_a_queue, "queue holds");
  spoil(MID_FLIGHT, miscount_ingress, "buffer accounts");
  spoil(MID_FLIGHT, miscount_shared, "shared bytes");
  spoil(TO_THE_END, miscount_shared, "shared bytes");
}

TEST(conserve_sees_wrong_counts_of_links_and_flows)
{
  spoil(TO_THE_END, miscount_a_link, "link into");
  spoil(TO_THE_END, miscount_a_flow, "flow x");
  spoil(TO_THE_END, miscount_payload, "flow x is complete");
}

TEST(conserve_sees_wrong_totals)
{
  spoil(TO_THE_END, miscount_made, "packets were made");
  spoil(TO_THE_END, miscount_bytes, "bytes were made");
  spoil(TO_THE_END, leak_a_packet, "pool has lent");
}

/* ---- memory ---- */

TEST(sim_new_survives_a_lack_of_memory)
{
  struct job *job = star_job("1000000000000");
  uint64_t nth = 1;
  struct sim *s = NULL;
  for (; s == NULL && nth < 500; nth++) {
    test_fail_allocation(nth);
    s = sim_new(job);
    test_fail_allocation(0);
  }
  ASSERT(s != NULL);
  ASSERT(nth > 10);
  sim_free(s);
  job_free(job);
}
