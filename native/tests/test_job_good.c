/* Good jobs: every default and every key ends up in its member. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_text.h"
#include "sim/job_names.h"
#include "test.h"

#define US UINT64_C(1000000)

static struct job *parse_with(const char *from, const char *to)
{
  char *text = job_text_replace(job_text_base, from, to);
  struct job *job = job_text_parse(text);
  free(text);
  return job;
}

TEST(job_top_level_defaults)
{
  struct job *job = job_text_parse(
      "{\"format\":1,\"nodes\":[{\"name\":\"h\",\"kind\":\"host\",\"ports\":[\"p\"]}],\"links\":[],\"flows\":[]}");
  ASSERT_STR(job->name, "");
  ASSERT_EQ(job->seed, UINT64_C(1));
  ASSERT(job->until_done);
  ASSERT_EQ(job->duration_ps, UINT64_C(10000000000000));
  ASSERT_EQ(job->drain_ps, UINT64_C(0));
  ASSERT_EQ(job->sample_every_ps, UINT64_C(0));
  ASSERT(job->output_dir == NULL);
  ASSERT_EQ(job->trace, 0U);
  ASSERT_EQ(job->time_model, TIME_EXACT);
  ASSERT_EQ(job->resolution_ps, UINT64_C(1));
  ASSERT_EQ(job->wire.model, WIRE_ROCEV2);
  ASSERT_EQ(job->wire.ip_version, 4U);
  ASSERT(!job->wire.vlan);
  ASSERT_EQ(job->wire.gap_bytes, 20U);
  ASSERT_EQ(job->n_nodes, 1U);
  ASSERT_EQ(job->n_ports, 1U);
  ASSERT_EQ(job->n_links + job->n_flows + job->n_events, 0U);
  ASSERT_EQ(job->ports[0].link, -1);
  job_free(job);
}

TEST(job_top_level_keys)
{
  struct job *job = parse_with(
      "\"seed\": 7", "\"seed\": 9223372036854775807, \"until\": \"duration\", \"drain_ps\": 5, "
                     "\"sample_every_ps\": 1000000, \"output_dir\": \"out/é\", \"trace\": [\"mark\", \"cc\"],"
                     "\"time\": {\"model\": \"ns3\", \"resolution_ps\": 1000},"
                     "\"wire\": {\"model\": \"rocev2\", \"ip_version\": 6, \"vlan\": true, \"gap_bytes\": 12}");
  ASSERT_STR(job->name, "base");
  ASSERT_EQ(job->seed, (uint64_t)INT64_MAX);
  ASSERT(!job->until_done);
  ASSERT_EQ(job->duration_ps, UINT64_C(1000000000000));
  ASSERT_EQ(job->drain_ps, UINT64_C(5));
  ASSERT_EQ(job->sample_every_ps, 1 * US);
  ASSERT_STR(job->output_dir, "out/é");
  ASSERT_EQ(job->trace, (uint32_t)(TRACE_MARK | TRACE_CC));
  ASSERT_EQ(job->time_model, TIME_NS3);
  ASSERT_EQ(job->resolution_ps, UINT64_C(1000));
  ASSERT_EQ(job->wire.ip_version, 6U);
  ASSERT(job->wire.vlan);
  ASSERT_EQ(job->wire.gap_bytes, 12U);
  job_free(job);
}

TEST(job_fixed_wire_defaults)
{
  char *text = job_text_replace(job_text_base, "\"seed\": 7", "\"wire\": {\"model\": \"fixed\", \"ack_bytes\": 61}");
  char *both = job_text_replace(text, "\"nic\": {}", "\"nic\": {\"mtu_bytes\": 1000}");
  struct job *job = job_text_parse(both);
  ASSERT_EQ(job->wire.model, WIRE_FIXED);
  ASSERT_EQ(job->wire.data_overhead_bytes, 48U);
  ASSERT_EQ(job->wire.ack_bytes, 61U);
  ASSERT_EQ(job->wire.cnp_bytes, 60U);
  ASSERT_EQ(job->wire.pfc_bytes, 43U);
  ASSERT_EQ(job->wire.gap_bytes, 0U);
  ASSERT_EQ(job->nodes[0].nic->mtu_bytes, 1000U);
  job_free(job);
  free(both);
  free(text);
}

TEST(job_nodes_ports_and_links)
{
  struct job *job = job_text_parse(job_text_base);
  ASSERT_EQ(job->n_nodes, 5U);
  ASSERT_EQ(job->n_ports, 10U);
  ASSERT_EQ(job->n_links, 3U);
  ASSERT_STR(job->nodes[3].name, "sw1");
  ASSERT(job->nodes[3].is_switch && !job->nodes[0].is_switch);
  ASSERT_EQ(job->nodes[3].first_port, 4U);
  ASSERT_EQ(job->nodes[3].n_ports, 4U);
  ASSERT_STR(job->ports[5].name, "sw1:e2");
  ASSERT_EQ(job->ports[5].node, 3U);
  ASSERT_EQ(job->ports[5].link, 1);
  ASSERT_EQ(job->ports[1].link, -1);
  ASSERT_EQ(job->links[1].port_a, 5U);
  ASSERT_EQ(job->links[1].port_b, 2U);
  ASSERT_EQ(job->links[2].rate_bps, UINT64_C(25000000000));
  ASSERT_EQ(job->links[2].delay_ps, 1 * US);
  ASSERT_NEAR(job->links[2].ber, 0.0, 0.0);
  job_free(job);
}

TEST(job_nic_defaults)
{
  struct job *job = job_text_parse(job_text_base);
  const struct nic_cfg *nic = job->nodes[0].nic;
  ASSERT_EQ(nic->mtu_bytes, 1024U);
  ASSERT_EQ(nic->loss_recovery, RECOVER_GO_BACK_N);
  ASSERT_EQ(nic->ack_timeout_exponent, 14U);
  ASSERT_EQ(nic->retry_count, 7U);
  ASSERT_EQ(nic->rnr_timer, 12U);
  ASSERT_EQ(nic->rnr_retry, 7U);
  ASSERT_EQ(nic->nak_interval_ps, UINT64_C(0));
  ASSERT_EQ(nic->max_rd_atomic, 16U);
  ASSERT_EQ(nic->ack_every, 1U);
  ASSERT_EQ(nic->ack_priority, -1);
  ASSERT(!nic->ack_strict);
  ASSERT_EQ(nic->cnp_mode, CNP_PACKETS);
  ASSERT_EQ(nic->cnp_interval_ps, 4 * US);
  ASSERT_EQ(nic->cnp_scope, CNP_PER_QP);
  ASSERT_EQ(nic->cnp_priority, 6U);
  ASSERT_STR(nic->cc.algorithm, "none");
  ASSERT_EQ(nic->pfc.mask, (uint8_t)0);
  ASSERT_EQ(nic->pfc.mode, PFC_QUANTA);
  ASSERT_EQ(nic->pfc.quanta, 65535U);
  ASSERT_EQ(nic->sched.kind, SCHED_ETS);
  ASSERT_EQ(nic->sched.strict_mask, (uint8_t)0xC0);
  for (int i = 0; i < PRIO_COUNT; i++) {
    ASSERT_EQ(nic->sched.weight[i], 1U);
  }
  ASSERT_EQ(nic->rx_buffer_bytes + nic->rx_drain_bps + nic->rx_xoff_bytes + nic->rx_xon_bytes, UINT64_C(0));
  job_free(job);
}

TEST(job_nic_keys)
{
  struct job *job = parse_with(
      "\"nic\": {}", "\"nic\": {\"mtu_bytes\": 4096, \"loss_recovery\": \"selective_repeat\", "
                     "\"ack_timeout_exponent\": 0, \"retry_count\": 0,"
                     "\"rnr_timer\": 31, \"rnr_retry\": 1, \"nak_interval_ps\": 500, \"max_rd_atomic\": 1,"
                     "\"ack\": {\"every\": 4, \"priority\": 7, \"strict\": true},"
                     "\"cnp\": {\"mode\": \"ack_echo\", \"interval_ps\": 0, \"scope\": \"port\", \"priority\": 0},"
                     "\"pfc\": {\"priorities\": [0, 7], \"mode\": \"until_resume\", \"quanta\": 1},"
                     "\"scheduler\": {\"kind\": \"hpcc\", \"weights\": [8,7,6,5,4,3,0,0], \"strict\": [6, 7]},"
                     "\"rx\": {\"buffer_bytes\": 100, \"drain_bps\": 9, \"xoff_bytes\": 80, \"xon_bytes\": 70}}");
  const struct nic_cfg *nic = job->nodes[2].nic;
  ASSERT_EQ(nic->mtu_bytes, 4096U);
  ASSERT_EQ(nic->loss_recovery, RECOVER_SELECTIVE);
  ASSERT_EQ(nic->ack_timeout_exponent, 0U);
  ASSERT_EQ(nic->retry_count, 0U);
  ASSERT_EQ(nic->rnr_timer, 31U);
  ASSERT_EQ(nic->rnr_retry, 1U);
  ASSERT_EQ(nic->nak_interval_ps, UINT64_C(500));
  ASSERT_EQ(nic->max_rd_atomic, 1U);
  ASSERT_EQ(nic->ack_every, 4U);
  ASSERT_EQ(nic->ack_priority, 7);
  ASSERT(nic->ack_strict);
  ASSERT_EQ(nic->cnp_mode, CNP_ACK_ECHO);
  ASSERT_EQ(nic->cnp_interval_ps, UINT64_C(0));
  ASSERT_EQ(nic->cnp_scope, CNP_PER_PORT);
  ASSERT_EQ(nic->cnp_priority, 0U);
  ASSERT_EQ(nic->pfc.mask, (uint8_t)0x81);
  ASSERT_EQ(nic->pfc.mode, PFC_UNTIL_RESUME);
  ASSERT_EQ(nic->pfc.quanta, 1U);
  ASSERT_EQ(nic->sched.kind, SCHED_HPCC);
  ASSERT_EQ(nic->sched.weight[0], 8U);
  ASSERT_EQ(nic->sched.weight[7], 0U);
  ASSERT_EQ(nic->rx_buffer_bytes, UINT64_C(100));
  ASSERT_EQ(nic->rx_drain_bps, UINT64_C(9));
  ASSERT_EQ(nic->rx_xoff_bytes, UINT64_C(80));
  ASSERT_EQ(nic->rx_xon_bytes, UINT64_C(70));
  job_free(job);
}

TEST(job_cc_dcqcn_defaults)
{
  struct job *job = parse_with("\"nic\": {}", "\"nic\": {\"cc\": {\"algorithm\": \"dcqcn\"}}");
  const struct cc_cfg *cc = &job->nodes[0].nic->cc;
  ASSERT_STR(cc->algorithm, "dcqcn");
  ASSERT_NEAR(cc->g, 1.0 / 256, 0.0);
  ASSERT_EQ(cc->alpha_timer_ps, 55 * US);
  ASSERT_EQ(cc->rate_timer_ps, 55 * US);
  ASSERT_EQ(cc->byte_counter_bytes, UINT64_C(10000000));
  ASSERT_EQ(cc->fast_recovery, 5U);
  ASSERT_EQ(cc->rate_ai_bps, 40 * US);
  ASSERT_EQ(cc->rate_hai_bps, 400 * US);
  ASSERT_EQ(cc->min_rate_bps, 10 * US);
  ASSERT_EQ(cc->cut_interval_ps, UINT64_C(0));
  ASSERT(cc->clamp_target);
  job_free(job);
}

TEST(job_cc_ns3_defaults)
{
  struct job *job = parse_with("\"nic\": {}", "\"nic\": {\"cc\": {\"pace\": false, \"algorithm\": \"ns3\"}}");
  const struct cc_cfg *cc = &job->nodes[0].nic->cc;
  ASSERT_NEAR(cc->g, 1.0 / 256, 0.0);
  ASSERT_EQ(cc->alpha_timer_ps, 1 * US);
  ASSERT_EQ(cc->cut_interval_ps, 4 * US);
  ASSERT_EQ(cc->rate_timer_ps, 300 * US);
  ASSERT_EQ(cc->fast_recovery, 1U);
  ASSERT_EQ(cc->rate_ai_bps, 20 * US);
  ASSERT_EQ(cc->rate_hai_bps, 200 * US);
  ASSERT_EQ(cc->min_rate_bps, 100 * US);
  ASSERT_NEAR(cc->rate_on_first_cnp, 1.0, 0.0);
  ASSERT(!cc->clamp_target && !cc->pace && !cc->variable_window);
  job_free(job);
}

TEST(job_cc_mlx5_defaults)
{
  struct job *job = parse_with("\"nic\": {}", "\"nic\": {\"cc\": {\"algorithm\": \"mlx5\", \"rpg_gd\": 10}}");
  const struct cc_cfg *cc = &job->nodes[0].nic->cc;
  ASSERT_EQ(cc->dce_tcp_g, 1019U);
  ASSERT_EQ(cc->dce_tcp_rtt_us, 1U);
  ASSERT_EQ(cc->initial_alpha_value, 1023U);
  ASSERT_EQ(cc->rpg_gd, 10U);
  ASSERT_EQ(cc->rpg_min_dec_fac, 50U);
  ASSERT_EQ(cc->rate_reduce_monitor_period_us, 4U);
  ASSERT_EQ(cc->rate_to_set_on_first_cnp_mbps, 0U);
  ASSERT_EQ(cc->rpg_time_reset_us, 300U);
  ASSERT_EQ(cc->rpg_byte_reset, 32767U);
  ASSERT_EQ(cc->rpg_threshold, 1U);
  ASSERT_EQ(cc->rpg_ai_rate_mbps, 5U);
  ASSERT_EQ(cc->rpg_hai_rate_mbps, 50U);
  ASSERT_EQ(cc->rpg_max_rate_mbps, 0U);
  ASSERT_EQ(cc->rpg_min_rate_mbps, 1U);
  ASSERT(!cc->clamp_tgt_rate && cc->clamp_tgt_rate_after_time_inc);
  job_free(job);
}

TEST(job_algorithm_names_are_sorted_and_known)
{
  const char *before = "";
  size_t n = 0;
  for (const char *name = job_algorithm_name(0); name != NULL; name = job_algorithm_name(++n)) {
    ASSERT(strcmp(before, name) < 0);
    ASSERT(job_known_algorithm(name));
    before = name;
  }
  ASSERT(n >= 4);
  ASSERT(job_known_algorithm("dcqcn") && job_known_algorithm("mlx5"));
  ASSERT(!job_known_algorithm("dcqc") && !job_known_algorithm(""));
}

TEST(job_switch_defaults)
{
  struct job *job = job_text_parse(job_text_base);
  const struct switch_cfg *sw = job->nodes[3].sw;
  ASSERT_EQ(sw->buffer.model, BUFFER_DYNAMIC);
  ASSERT_EQ(sw->buffer.bytes, UINT64_C(32000000));
  ASSERT_NEAR(sw->buffer.alpha, 0.125, 0.0);
  ASSERT_NEAR(sw->buffer.lossy_alpha, 1.0, 0.0);
  ASSERT_NEAR(sw->buffer.egress_alpha, 4.0, 0.0);
  ASSERT_EQ(sw->buffer.reserve_bytes, UINT64_C(4096));
  ASSERT_EQ(sw->buffer.headroom_bytes, -1);
  ASSERT_EQ(sw->buffer.xon_offset_bytes, UINT64_C(3072));
  ASSERT_EQ(sw->buffer.nic_rate_bps, UINT64_C(0));
  ASSERT_EQ(sw->ecn.mask, (uint8_t)0);
  ASSERT_EQ(sw->ecn.n_profiles, 0U);
  ASSERT_EQ(sw->pfc.mask, (uint8_t)0);
  ASSERT(!sw->pfc.watchdog.enabled);
  ASSERT_EQ(sw->sched.strict_mask, (uint8_t)0xC0);
  ASSERT_EQ(sw->ecmp_mode, ECMP_5TUPLE);
  ASSERT_EQ(sw->ecmp_seed, -1);
  job_free(job);
}

TEST(job_switch_keys)
{
  struct job *job =
      parse_with("\"switch\": {}",
                 "\"switch\": {\"buffer\": {\"model\": \"hpcc\", \"bytes\": 1, \"alpha\": 1, \"headroom_bytes\": 0, "
                 "\"nic_rate_bps\": 25000000000},"
                 "\"ecn\": {\"priorities\": [1, 2], \"mark_at\": \"enqueue\", \"wred_drop\": true, \"profiles\": "
                 "[{\"rate_bps\": 0, \"kmin_bytes\": 1,"
                 " \"kmax_bytes\": 2, \"pmax\": 1}, {\"rate_bps\": 25000000000}]},"
                 "\"pfc\": {\"priorities\": [3], \"watchdog\": {\"action\": \"forward\", \"poll_ps\": 1000}},"
                 "\"scheduler\": {\"kind\": \"hpcc\", \"strict\": []}, \"ecmp\": {\"mode\": \"spray\", \"seed\": 0}}");
  const struct switch_cfg *sw = job->nodes[4].sw;
  ASSERT_EQ(sw->buffer.model, BUFFER_HPCC);
  ASSERT_NEAR(sw->buffer.alpha, 1.0, 0.0);
  ASSERT_EQ(sw->buffer.headroom_bytes, 0);
  ASSERT_EQ(sw->buffer.nic_rate_bps, UINT64_C(25000000000));
  ASSERT_EQ(sw->ecn.mask, (uint8_t)6);
  ASSERT_EQ(sw->ecn.mark_at, MARK_ENQUEUE);
  ASSERT(sw->ecn.wred_drop);
  ASSERT_EQ(sw->ecn.n_profiles, 2U);
  ASSERT_EQ(sw->ecn.profiles[0].kmax_bytes, UINT64_C(2));
  ASSERT_NEAR(sw->ecn.profiles[0].pmax, 1.0, 0.0);
  ASSERT_EQ(sw->ecn.profiles[1].kmin_bytes, UINT64_C(400000));
  ASSERT_EQ(sw->ecn.profiles[1].kmax_bytes, UINT64_C(1600000));
  ASSERT_NEAR(sw->ecn.profiles[1].pmax, 0.2, 0.0);
  ASSERT_EQ(sw->pfc.mask, (uint8_t)8);
  ASSERT(sw->pfc.watchdog.enabled);
  ASSERT_EQ(sw->pfc.watchdog.action, WATCHDOG_FORWARD);
  ASSERT_EQ(sw->pfc.watchdog.detect_ps, 200000 * US);
  ASSERT_EQ(sw->pfc.watchdog.restore_ps, 200000 * US);
  ASSERT_EQ(sw->pfc.watchdog.poll_ps, UINT64_C(1000));
  ASSERT_EQ(sw->sched.kind, SCHED_HPCC);
  ASSERT_EQ(sw->sched.strict_mask, (uint8_t)0);
  ASSERT_EQ(sw->ecmp_mode, ECMP_SPRAY);
  ASSERT_EQ(sw->ecmp_seed, 0);
  job_free(job);
}

/* A node's own keys are laid over the defaults, deep; other nodes keep the defaults. */
TEST(job_nodes_override_defaults)
{
  char *text = job_text_replace(
      job_text_base, "\"nic\": {}",
      "\"nic\": {\"cnp\": {\"interval_ps\": 1, \"scope\": \"port\"}, \"cc\": {\"algorithm\": \"dcqcn\", \"g\": 0.5}}");
  char *full =
      job_text_replace(text, "[\"p0\", \"p1\"]",
                       "[\"p0\", \"p1\"], \"nic\": {\"cnp\": {\"interval_ps\": 2}, \"cc\": {\"rate_ai_bps\": 3}}");
  struct job *job = job_text_parse(full);
  const struct nic_cfg *own = job->nodes[0].nic;
  const struct nic_cfg *other = job->nodes[1].nic;
  ASSERT_EQ(own->cnp_interval_ps, UINT64_C(2));
  ASSERT_EQ(own->cnp_scope, CNP_PER_PORT);
  ASSERT_NEAR(own->cc.g, 0.5, 0.0);
  ASSERT_EQ(own->cc.rate_ai_bps, UINT64_C(3));
  ASSERT_EQ(other->cnp_interval_ps, UINT64_C(1));
  ASSERT_EQ(other->cc.rate_ai_bps, 40 * US);
  job_free(job);
  free(full);
  free(text);
}

/* Another algorithm starts from its own defaults. */
TEST(job_changing_the_algorithm_resets_its_parameters)
{
  char *text =
      job_text_replace(job_text_base, "\"nic\": {}", "\"nic\": {\"cc\": {\"algorithm\": \"dcqcn\", \"g\": 0.5}}");
  char *full =
      job_text_replace(text, "[\"p0\", \"p1\"]", "[\"p0\", \"p1\"], \"nic\": {\"cc\": {\"algorithm\": \"ns3\"}}");
  struct job *job = job_text_parse(full);
  ASSERT_NEAR(job->nodes[0].nic->cc.g, 1.0 / 256, 0.0);
  ASSERT_EQ(job->nodes[0].nic->cc.byte_counter_bytes, UINT64_C(0));
  ASSERT_NEAR(job->nodes[1].nic->cc.g, 0.5, 0.0);
  job_free(job);
  free(full);
  free(text);
}

TEST(job_ecn_null_switches_marking_off)
{
  char *text = job_text_replace(job_text_base, "\"switch\": {}", "\"switch\": {\"ecn\": {}}");
  char *full =
      job_text_replace(text, "[\"e1\", \"e2\", \"e3\", \"e4\"]", "[\"e1\", \"e2\"], \"switch\": {\"ecn\": null}");
  struct job *job = job_text_parse(full);
  ASSERT_EQ(job->nodes[3].sw->ecn.mask, (uint8_t)0);
  ASSERT_EQ(job->nodes[4].sw->ecn.mask, (uint8_t)8);
  ASSERT_EQ(job->nodes[4].sw->ecn.n_profiles, 1U);
  ASSERT_EQ(job->nodes[4].sw->ecn.profiles[0].kmin_bytes, UINT64_C(400000));
  job_free(job);
  free(full);
  free(text);
}

TEST(job_watchdog_null_switches_it_off)
{
  char *text =
      job_text_replace(job_text_base, "\"switch\": {}", "\"switch\": {\"pfc\": {\"watchdog\": {\"poll_ps\": 7000}}}");
  char *full = job_text_replace(text, "[\"e1\", \"e2\", \"e3\", \"e4\"]",
                                "[\"e1\", \"e2\"], \"switch\": {\"pfc\": {\"watchdog\": null}}");
  struct job *job = job_text_parse(full);
  ASSERT(job->nodes[4].sw->pfc.watchdog.enabled);
  ASSERT_EQ(job->nodes[4].sw->pfc.watchdog.poll_ps, UINT64_C(7000));
  ASSERT(!job->nodes[3].sw->pfc.watchdog.enabled);
  ASSERT_EQ(job->nodes[3].sw->pfc.watchdog.poll_ps, 100000 * US);
  job_free(job);
  free(full);
  free(text);
}

TEST(job_flow_defaults)
{
  struct job *job = job_text_parse(job_text_base);
  const struct job_flow *flow = &job->flows[0];
  ASSERT_STR(flow->name, "f1");
  ASSERT_EQ(flow->src_port, 0U);
  ASSERT_EQ(flow->dst_port, 2U);
  ASSERT_EQ(flow->verb, VERB_WRITE);
  ASSERT_EQ(flow->transport, TRANSPORT_RC);
  ASSERT_EQ(flow->message_bytes, UINT64_C(65536));
  ASSERT_EQ(flow->messages, UINT64_C(1));
  ASSERT_EQ(flow->qps, 1U);
  ASSERT_EQ(flow->priority, 3U);
  ASSERT(flow->ect);
  ASSERT_EQ(flow->start_ps + flow->after_delay_ps + flow->rate_bps + flow->window_bytes, UINT64_C(0));
  ASSERT_EQ(flow->n_after, 0U);
  ASSERT_EQ(flow->max_outstanding, 0U);
  ASSERT_EQ(flow->message_interval_ps, UINT64_C(0));
  ASSERT_EQ(flow->arrivals, ARRIVE_FIXED);
  ASSERT_EQ(flow->flow_label, -1);
  ASSERT_EQ(flow->udp_sport, -1);
  ASSERT_EQ(flow->recv_depth, 0U);
  ASSERT_EQ(flow->recv_repost_ps, UINT64_C(0));
  ASSERT_EQ(job->flows[1].n_after, 1U);
  ASSERT_EQ(job->flows[1].after[0], 0U);
  job_free(job);
}

TEST(job_flow_keys)
{
  struct job *job = parse_with(
      "65536}",
      "2147483648, \"verb\": \"send\", \"transport\": \"uc\", \"messages\": 3, \"qps\": 4, \"priority\": 0, \"ect\": "
      "false,"
      "\"start_ps\": 5, \"rate_bps\": 6, \"window_bytes\": 7, \"max_outstanding\": 8, \"message_interval_ps\": 9,"
      "\"arrivals\": \"poisson\", \"flow_label\": 1048575, \"udp_sport\": 65532, \"recv_depth\": 10, "
      "\"recv_repost_ps\": 11}");
  const struct job_flow *flow = &job->flows[0];
  ASSERT_EQ(flow->verb, VERB_SEND);
  ASSERT_EQ(flow->transport, TRANSPORT_UC);
  ASSERT_EQ(flow->message_bytes, UINT64_C(2147483648));
  ASSERT_EQ(flow->messages, UINT64_C(3));
  ASSERT_EQ(flow->qps, 4U);
  ASSERT_EQ(flow->priority, 0U);
  ASSERT(!flow->ect);
  ASSERT_EQ(flow->start_ps, UINT64_C(5));
  ASSERT_EQ(flow->rate_bps, UINT64_C(6));
  ASSERT_EQ(flow->window_bytes, UINT64_C(7));
  ASSERT_EQ(flow->max_outstanding, 8U);
  ASSERT_EQ(flow->message_interval_ps, UINT64_C(9));
  ASSERT_EQ(flow->arrivals, ARRIVE_POISSON);
  ASSERT_EQ(flow->flow_label, 1048575);
  ASSERT_EQ(flow->udp_sport, 65532);
  ASSERT_EQ(flow->recv_depth, 10U);
  ASSERT_EQ(flow->recv_repost_ps, UINT64_C(11));
  job_free(job);
}

/* A flow may wait for one that comes later in the text, and nulls stand for "derived". */
TEST(job_after_refers_forward)
{
  char *text = job_text_replace(job_text_base, "65536}",
                                "65536, \"after\": [\"f2\"], \"after_delay_ps\": 3, \"udp_sport\": null}");
  char *full = job_text_replace(text, "\"after\": [\"f1\"]", "\"after\": []");
  struct job *job = job_text_parse(full);
  ASSERT_EQ(job->flows[0].n_after, 1U);
  ASSERT_EQ(job->flows[0].after[0], 1U);
  ASSERT_EQ(job->flows[0].after_delay_ps, UINT64_C(3));
  ASSERT_EQ(job->flows[1].n_after, 0U);
  job_free(job);
  free(full);
  free(text);
}

/* Hosts that face each other directly, and hosts that do not forward for others. */
TEST(job_paths_do_not_lead_through_hosts)
{
  static const char text[] = "{\"format\":1,\"nodes\":[{\"name\":\"a\",\"kind\":\"host\",\"ports\":[\"0\"]},{\"name\":"
                             "\"b\",\"kind\":\"host\",\"ports\":[\"0\",\"1\"]},"
                             "{\"name\":\"c\",\"kind\":\"host\",\"ports\":[\"0\"]}],\"links\":[{\"a\":\"a:0\",\"b\":"
                             "\"b:0\",\"rate_bps\":1,\"delay_ps\":0},"
                             "{\"a\":\"b:1\",\"b\":\"c:0\",\"rate_bps\":1,\"delay_ps\":0}],\"flows\":[{\"name\":\"x\","
                             "\"src\":\"a:0\",\"dst\":\"b:0\",\"message_bytes\":1}]}";
  static const char *const unreachable[] = {"\"dst\":\"b:1\"", "\"dst\":\"c:0\""};
  job_free(job_text_parse(text));
  for (int i = 0; i < 2; i++) {
    struct job_error error;
    char *bad = job_text_replace(text, "\"dst\":\"b:0\"", unreachable[i]);
    ASSERT(job_parse(bad, strlen(bad), &error) == NULL);
    ASSERT_CONTAINS(error.message, "there is no path from a:0");
    free(bad);
  }
}

/* Four switches in a row between the hosts; without one of the cables there is no way. */
TEST(job_paths_lead_through_many_switches)
{
  static const char text[] = "{\"format\":1,\"nodes\":[{\"name\":\"a\",\"kind\":\"host\",\"ports\":[\"0\"]},"
                             "{\"name\":\"z\",\"kind\":\"host\",\"ports\":[\"0\"]},"
                             "{\"name\":\"s\",\"kind\":\"switch\",\"ports\":[\"0\",\"1\"]},{\"name\":\"t\",\"kind\":"
                             "\"switch\",\"ports\":[\"0\",\"1\"]},"
                             "{\"name\":\"u\",\"kind\":\"switch\",\"ports\":[\"0\",\"1\"]},{\"name\":\"v\",\"kind\":"
                             "\"switch\",\"ports\":[\"0\",\"1\"]}],"
                             "\"links\":[{\"a\":\"a:0\",\"b\":\"s:0\",\"rate_bps\":1,\"delay_ps\":0},"
                             "{\"a\":\"u:1\",\"b\":\"v:0\",\"rate_bps\":1,\"delay_ps\":0},{\"a\":\"t:0\",\"b\":\"s:1\","
                             "\"rate_bps\":1,\"delay_ps\":0},"
                             "{\"a\":\"t:1\",\"b\":\"u:0\",\"rate_bps\":1,\"delay_ps\":0},{\"a\":\"v:1\",\"b\":\"z:0\","
                             "\"rate_bps\":1,\"delay_ps\":0}],"
                             "\"flows\":[{\"name\":\"x\",\"src\":\"a:0\",\"dst\":\"z:0\",\"message_bytes\":1}]}";
  struct job_error error;
  char *cut = job_text_replace(text, "{\"a\":\"t:1\",\"b\":\"u:0\",\"rate_bps\":1,\"delay_ps\":0},", "");
  job_free(job_text_parse(text));
  ASSERT(job_parse(cut, strlen(cut), &error) == NULL);
  ASSERT_STR(error.path, "flows[0].dst");
  ASSERT_CONTAINS(error.message, "there is no path from a:0 to z:0");
  free(cut);
}

/* A host sees only what it sends and receives itself. */
TEST(job_after_must_be_visible_at_the_source)
{
  char *link =
      job_text_replace(job_text_base, "{\"a\": \"h3:p0\", \"b\": \"sw2:e1\"", "{\"a\": \"h3:p0\", \"b\": \"sw1:e3\"");
  char *seen =
      job_text_replace(link, "\"src\": \"h2:p0\", \"dst\": \"h1:p0\"", "\"src\": \"h2:p0\", \"dst\": \"h3:p0\"");
  char *unseen =
      job_text_replace(link, "\"src\": \"h2:p0\", \"dst\": \"h1:p0\"", "\"src\": \"h3:p0\", \"dst\": \"h1:p0\"");
  struct job_error error;
  job_free(job_text_parse(seen));
  ASSERT(job_parse(unseen, strlen(unseen), &error) == NULL);
  ASSERT_STR(error.path, "flows[1].after[0]");
  ASSERT_CONTAINS(error.message, "\"f1\" names a flow that neither starts nor ends at h3");
  free(unseen);
  free(seen);
  free(link);
}

TEST(job_events_are_sorted_and_stable)
{
  struct job *job =
      parse_with("\"events\": []", "\"events\": [{\"at_ps\": 9, \"kind\": \"link_up\", \"port\": \"h1:p0\"},"
                                   "{\"at_ps\": 3, \"kind\": \"link_down\", \"port\": \"sw1:e1\"},"
                                   "{\"at_ps\": 3, \"kind\": \"link_rate\", \"port\": \"h2:p0\", \"rate_bps\": 5},"
                                   "{\"kind\": \"drain_rate\", \"at_ps\": 1, \"port\": \"h2:p0\", \"rate_bps\": 0}]");
  static const enum event_kind kinds[] = {EV_DRAIN_RATE, EV_LINK_DOWN, EV_LINK_RATE, EV_LINK_UP};
  ASSERT_EQ(job->n_events, 4U);
  for (int i = 0; i < 4; i++) {
    ASSERT_EQ(job->events[i].kind, kinds[i]);
  }
  ASSERT_EQ(job->events[1].port, 4U);
  ASSERT_EQ(job->events[2].rate_bps, UINT64_C(5));
  ASSERT_EQ(job->events[3].at_ps, UINT64_C(9));
  job_free(job);
}

TEST(job_event_keys)
{
  struct job *job =
      parse_with("\"events\": []", "\"events\": [{\"at_ps\": 1, \"kind\": \"pause_storm\", \"port\": \"h1:p0\", "
                                   "\"priorities\": [3, 4], \"duration_ps\": 77, \"interval_ps\": 1000},"
                                   "{\"at_ps\": 2, \"kind\": \"pause_storm\", \"port\": \"h1:p0\", \"priorities\": "
                                   "[3], \"duration_ps\": 77, \"quanta\": 9, \"interval_ps\": null},"
                                   "{\"at_ps\": 3, \"kind\": \"impair\", \"flow\": \"f1\", \"action\": \"delay\", "
                                   "\"delay_ps\": 8, \"packets\": [63, 0, 5], \"iteration\": 2, \"fraction\": null},"
                                   "{\"at_ps\": 4, \"kind\": \"impair\", \"flow\": \"f2\", \"action\": \"duplicate\", "
                                   "\"fraction\": 1, \"packets\": null}]");
  const struct job_event *e = job->events;
  ASSERT_EQ(e[0].prio_mask, (uint8_t)0x18);
  ASSERT_EQ(e[0].duration_ps, UINT64_C(77));
  ASSERT_EQ(e[0].quanta, 65535U);
  ASSERT_EQ(e[0].interval_ps, UINT64_C(1000));
  ASSERT_EQ(e[1].quanta, 9U);
  ASSERT_EQ(e[1].interval_ps, UINT64_C(0));
  ASSERT_EQ(e[2].flow, 0U);
  ASSERT_EQ(e[2].qp, 0U);
  ASSERT_EQ(e[2].action, IMPAIR_DELAY);
  ASSERT_EQ(e[2].delay_ps, UINT64_C(8));
  ASSERT_EQ(e[2].n_packets, 3U);
  ASSERT_EQ(e[2].packets[0], UINT64_C(0));
  ASSERT_EQ(e[2].packets[1], UINT64_C(5));
  ASSERT_EQ(e[2].packets[2], UINT64_C(63));
  ASSERT_EQ(e[2].iteration, 2U);
  ASSERT_NEAR(e[2].fraction, 0.0, 0.0);
  ASSERT_EQ(e[3].flow, 1U);
  ASSERT_EQ(e[3].action, IMPAIR_DUPLICATE);
  ASSERT_EQ(e[3].n_packets, 0U);
  ASSERT_NEAR(e[3].fraction, 1.0, 0.0);
  job_free(job);
}

/* Each change is laid over what the node has after the changes before it in time, whatever their order in the text. */
TEST(job_qos_events_add_up_in_time)
{
  struct job *job =
      parse_with("\"events\": []",
                 "\"events\": [{\"at_ps\": 30, \"kind\": \"qos\", \"node\": \"sw1\", \"switch\": {\"ecn\": "
                 "{\"wred_drop\": true}}},"
                 "{\"at_ps\": 10, \"kind\": \"qos\", \"node\": \"sw1\", \"switch\": {\"ecn\": {\"priorities\": [5]}}},"
                 "{\"at_ps\": 20, \"kind\": \"qos\", \"node\": \"sw2\", \"switch\": {\"pfc\": {\"priorities\": [1]}}},"
                 "{\"at_ps\": 40, \"kind\": \"qos\", \"node\": \"sw1\", \"switch\": {\"ecn\": null}},"
                 "{\"at_ps\": 50, \"kind\": \"qos\", \"node\": \"sw1\", \"switch\": {\"ecn\": {}}},"
                 "{\"at_ps\": 5, \"kind\": \"qos\", \"node\": \"h1\", \"nic\": {\"cc\": {\"algorithm\": \"dcqcn\"}, "
                 "\"mtu_bytes\": 1024}},"
                 "{\"at_ps\": 6, \"kind\": \"qos\", \"node\": \"h1\", \"nic\": {\"cc\": {\"g\": 0.25}}}]");
  const struct job_event *e = job->events;
  ASSERT_EQ(job->n_events, 7U);
  ASSERT_STR(e[1].nic->cc.algorithm, "dcqcn");
  ASSERT_NEAR(e[1].nic->cc.g, 0.25, 0.0);
  ASSERT_NEAR(e[0].nic->cc.g, 1.0 / 256, 0.0);
  ASSERT_STR(job->nodes[0].nic->cc.algorithm, "none");
  ASSERT_EQ(e[2].at_ps, UINT64_C(10));
  ASSERT_EQ(e[2].node, 3U);
  ASSERT_EQ(e[2].sw->ecn.mask, (uint8_t)0x20);
  ASSERT(!e[2].sw->ecn.wred_drop);
  ASSERT_EQ(e[3].node, 4U);
  ASSERT_EQ(e[3].sw->pfc.mask, (uint8_t)2);
  ASSERT_EQ(e[3].sw->ecn.mask, (uint8_t)0);
  ASSERT_EQ(e[4].sw->ecn.mask, (uint8_t)0x20);
  ASSERT(e[4].sw->ecn.wred_drop);
  ASSERT_EQ(e[5].sw->ecn.mask, (uint8_t)0);
  ASSERT_EQ(e[6].sw->ecn.mask, (uint8_t)8);
  ASSERT(!e[6].sw->ecn.wred_drop);
  ASSERT_EQ(job->nodes[3].sw->ecn.mask, (uint8_t)0);
  job_free(job);
}

TEST(job_reports_short_memory)
{
  char *text = job_text_replace(
      job_text_base, "\"events\": []",
      "\"events\": [{\"at_ps\": 30, \"kind\": \"qos\", \"node\": \"sw1\", \"switch\": {\"ecn\": {}}}]");
  struct job *job = NULL;
  uint64_t n = 1;
  for (; n < 200 && job == NULL; n++) {
    struct job_error error;
    test_fail_allocation(n);
    job = job_parse(text, strlen(text), &error);
    test_fail_allocation(0);
    ASSERT(job != NULL || strstr(error.message, "out of memory") != NULL);
  }
  ASSERT(n > 12 && job != NULL);
  job_free(job);
  free(text);
}

/* Appends to a growing text. */
static char *repeat(const char *head, const char *item, size_t count, const char *tail)
{
  size_t size = strlen(head) + (strlen(item) + 12) * count + strlen(tail) + 1;
  char *text = malloc(size);
  ASSERT(text != NULL);
  size_t used = (size_t)sprintf(text, "%s", head);
  for (size_t i = 0; i < count; i++) {
    used += (size_t)sprintf(text + used, "%s%s%zu", i == 0 ? "" : ",", item, i);
    used += (size_t)sprintf(text + used, "\"");
  }
  sprintf(text + used, "%s", tail);
  return text;
}

static void assert_refused(const char *text, const char *path, const char *message)
{
  struct job_error error;
  ASSERT(job_parse(text, strlen(text), &error) == NULL);
  ASSERT_STR(error.path, path);
  ASSERT_CONTAINS(error.message, message);
}

TEST(job_counts_are_limited)
{
  char *text = repeat("{\"format\":1,\"nodes\":[{\"name\":\"h\",\"kind\":\"host\",\"ports\":[", "\"p",
                      JOB_MAX_PORTS_PER_NODE + 1, "]}],\"links\":[],\"flows\":[]}");
  assert_refused(text, "nodes[0].ports", "has 4097 ports, at most 4096 are allowed");
  free(text);
  text = repeat("{\"format\":1,\"nodes\":[", "\"p", JOB_MAX_NODES + 1, "],\"links\":[],\"flows\":[]}");
  assert_refused(text, "nodes", "has 65537 nodes, at most 65536 are allowed");
  free(text);
  text =
      repeat("{\"format\":1,\"nodes\":[{\"name\":\"h\",\"kind\":\"host\",\"ports\":[\"p\"]}],\"links\":[],\"flows\":[",
             "\"p", JOB_MAX_FLOWS + 1, "]}");
  assert_refused(text, "flows", "has 1000001 flows, at most 1000000 are allowed");
  free(text);
}

TEST(job_needs_a_host)
{
  assert_refused("{\"format\":1,\"nodes\":[],\"links\":[],\"flows\":[]}", "nodes", "there is no host");
  assert_refused(
      "{\"format\":1,\"nodes\":[{\"name\":\"s\",\"kind\":\"switch\",\"ports\":[\"p\"]}],\"links\":[],\"flows\":[]}",
      "nodes", "there is no host");
}

TEST(job_must_be_an_object)
{
  assert_refused("[]", "", "a job must be an object, is [...]");
  assert_refused("\"x\"", "", "a job must be an object, is \"x\"");
  assert_refused("", "", "not valid JSON: text is empty");
}

/* Messages and paths stay valid UTF-8 and inside their buffers whatever the names are. */
TEST(job_messages_clip_long_names)
{
  char name[2048];
  struct job_error error;
  for (size_t pad = 0; pad < 4; pad++) {
    char text[4096];
    size_t used = 0;
    for (size_t i = 0; i < pad; i++) {
      name[used++] = 'x';
    }
    while (used < 1500) {
      memcpy(name + used, "€", 3);
      used += 3;
    }
    name[used] = '\0';
    sprintf(text, "{\"%s\": 1}", name);
    ASSERT(job_parse(text, strlen(text), &error) == NULL);
    ASSERT_CONTAINS(error.message, "...' in the job");
    sprintf(text, "{\"format\": \"%s\"}", name);
    ASSERT(job_parse(text, strlen(text), &error) == NULL);
    ASSERT_CONTAINS(error.message, "€...");
  }
}

/* Two ports with the longest names do not fit into the message: it is cut, between characters. */
TEST(job_messages_are_cut_between_characters)
{
  for (size_t pad = 0; pad < 4; pad++) {
    char name[201] = "";
    char text[4096];
    struct job_error error;
    memset(name, 'x', pad);
    while (strlen(name) + 3 <= 200) {
      strcat(name, "€");
    }
    sprintf(text,
            "{\"format\":1,\"nodes\":[{\"name\":\"%s\",\"kind\":\"host\",\"ports\":[\"%s\",\"p\",\"q\"]},"
            "{\"name\":\"m\",\"kind\":\"host\",\"ports\":[\"%s\",\"p\"]}],\"links\":[{\"a\":\"%s:%s\",\"b\":\"m:p\","
            "\"rate_bps\":1,\"delay_ps\":0},{\"a\":\"%s:p\",\"b\":\"m:%s\",\"rate_bps\":1,\"delay_ps\":0}],"
            "\"flows\":[{\"name\":\"f\",\"src\":\"%s:%s\",\"dst\":\"m:%s\",\"message_bytes\":1}]}",
            name, name, name, name, name, name, name, name, name, name);
    ASSERT(job_parse(text, strlen(text), &error) == NULL);
    ASSERT_CONTAINS(error.message, "there is no path from");
    size_t length = strlen(error.message);
    ASSERT(length > 500 && length < sizeof error.message);
    ASSERT(error.message[length - 1] != (char)0xE2 && error.message[length - 1] != (char)0x82);
  }
}

/* Only the first of many ports are listed. */
TEST(job_messages_list_some_ports)
{
  char text[4096];
  struct job_error error;
  size_t used = (size_t)sprintf(text, "{\"format\":1,\"nodes\":[{\"name\":\"h\",\"kind\":\"host\",\"ports\":[");
  for (int i = 0; i < 100; i++) {
    used += (size_t)sprintf(text + used, "%s\"port%d\"", i == 0 ? "" : ",", i);
  }
  sprintf(text + used,
          "]}],\"flows\":[],\"links\":[{\"a\":\"h:port100\",\"b\":\"h:port1\",\"rate_bps\":1,\"delay_ps\":0}]}");
  ASSERT(job_parse(text, strlen(text), &error) == NULL);
  ASSERT_CONTAINS(error.message, "\"h:port100\" names a port that node h does not have; its ports are: port0, port1,");
  ASSERT_CONTAINS(error.message, ", ...");
}

/* Time grows with the size of the job, not with its square. */
TEST(job_reads_many_flows_quickly)
{
  enum { FLOWS = 20000 };
  char *text = malloc(FLOWS * 120 + 1000);
  ASSERT(text != NULL);
  size_t used = (size_t)sprintf(
      text, "{\"format\":1,\"nodes\":[{\"name\":\"a\",\"kind\":\"host\",\"ports\":[\"0\"]},{\"name\":\"b\",\"kind\":"
            "\"host\",\"ports\":[\"0\"]}],\"links\":[{\"a\":\"a:0\",\"b\":\"b:0\",\"rate_bps\":1,\"delay_ps\":0}],"
            "\"flows\":[");
  for (int i = 0; i < FLOWS; i++) {
    used += (size_t)sprintf(text + used,
                            "%s{\"name\":\"f%d\",\"src\":\"a:0\",\"dst\":\"b:0\",\"message_bytes\":1,\"after\":[",
                            i == 0 ? "" : ",", i);
    used += i == 0 ? 0 : (size_t)sprintf(text + used, "\"f%d\"", i - 1);
    used += (size_t)sprintf(text + used, "]}");
  }
  sprintf(text + used, "]}");
  struct job *job = job_text_parse(text);
  ASSERT_EQ(job->n_flows, (uint32_t)FLOWS);
  ASSERT_EQ(job->flows[FLOWS - 1].after[0], (uint32_t)FLOWS - 2);
  job_free(job);
  free(text);
}
