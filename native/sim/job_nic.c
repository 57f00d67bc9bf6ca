/* `nic`: the configuration of a host. */
#include <string.h>

#include "job_parts.h"

#define NIC struct nic_cfg
enum { STRICT_6_7 = 0xC0 };

static const struct job_choice recoveries[] = {{"go_back_n", RECOVER_GO_BACK_N},
                                               {"selective_repeat", RECOVER_SELECTIVE},
                                               {"go_back_0", RECOVER_GO_BACK_0},
                                               {NULL, 0}};
static const struct job_choice cnp_modes[] = {
    {"cnp", CNP_PACKETS}, {"ack_echo", CNP_ACK_ECHO}, {"none", CNP_NONE}, {NULL, 0}};
static const struct job_choice cnp_scopes[] = {
    {"qp", CNP_PER_QP}, {"ip_pair", CNP_PER_IP_PAIR}, {"port", CNP_PER_PORT}, {NULL, 0}};
static const struct job_choice scheduler_kinds[] = {{"ets", SCHED_ETS}, {"hpcc", SCHED_HPCC}, {NULL, 0}};

static const struct job_field ack_fields[] = {
    JOB_U32("every", NIC, ack_every, 1, 1, 1000000),
    JOB_I32_OR_NULL("priority", NIC, ack_priority, 0, PRIO_COUNT - 1),
    JOB_BOOL("strict", NIC, ack_strict, false),
};
static const struct job_table ack_table = JOB_TABLE("ack", ack_fields);

static const struct job_field cnp_fields[] = {
    JOB_ENUM("mode", NIC, cnp_mode, CNP_PACKETS, cnp_modes),
    JOB_U64("interval_ps", NIC, cnp_interval_ps, 4000000, 0, JOB_MAX_PS),
    JOB_ENUM("scope", NIC, cnp_scope, CNP_PER_QP, cnp_scopes),
    JOB_U32("priority", NIC, cnp_priority, 6, 0, PRIO_COUNT - 1),
};
static const struct job_table cnp_table = JOB_TABLE("cnp", cnp_fields);

static const struct job_field pfc_fields[] = {
    JOB_PRIORITIES("priorities", NIC, pfc.mask, 0),
    JOB_ENUM("mode", NIC, pfc.mode, PFC_QUANTA, job_pfc_modes),
    JOB_U32("quanta", NIC, pfc.quanta, 65535, 1, 65535),
};
static const struct job_table pfc_table = JOB_TABLE("pfc of a nic", pfc_fields);

static const struct job_field scheduler_fields[] = {
    JOB_ENUM("kind", NIC, sched.kind, SCHED_ETS, scheduler_kinds),
    JOB_CUSTOM("weights", NIC, sched.weight, job_read_weights),
    JOB_PRIORITIES("strict", NIC, sched.strict_mask, STRICT_6_7),
};
static const struct job_table scheduler_table = JOB_TABLE("scheduler", scheduler_fields);

static const struct job_field rx_fields[] = {
    JOB_U64("buffer_bytes", NIC, rx_buffer_bytes, 0, 0, JOB_MAX_BUFFER_BYTES),
    JOB_U64("drain_bps", NIC, rx_drain_bps, 0, 0, JOB_MAX_BPS),
    JOB_U64("xoff_bytes", NIC, rx_xoff_bytes, 0, 0, JOB_MAX_BUFFER_BYTES),
    JOB_U64("xon_bytes", NIC, rx_xon_bytes, 0, 0, JOB_MAX_BUFFER_BYTES),
};
static const struct job_table rx_table = JOB_TABLE("rx", rx_fields);

static const struct job_field nic_fields[] = {
    JOB_U32("mtu_bytes", NIC, mtu_bytes, 1024, 64, 9000),
    JOB_ENUM("loss_recovery", NIC, loss_recovery, RECOVER_GO_BACK_N, recoveries),
    JOB_U32("ack_timeout_exponent", NIC, ack_timeout_exponent, 14, 0, 31),
    JOB_U32("retry_count", NIC, retry_count, 7, 0, 7),
    JOB_U32("rnr_timer", NIC, rnr_timer, 12, 0, 31),
    JOB_U32("rnr_retry", NIC, rnr_retry, 7, 0, 7),
    JOB_U64("nak_interval_ps", NIC, nak_interval_ps, 0, 0, JOB_MAX_PS),
    JOB_U32("max_rd_atomic", NIC, max_rd_atomic, 16, 1, 65535),
    JOB_OBJECT("ack", &ack_table),
    JOB_OBJECT("cnp", &cnp_table),
    JOB_CUSTOM("cc", NIC, cc, job_read_cc),
    JOB_OBJECT("pfc", &pfc_table),
    JOB_OBJECT("scheduler", &scheduler_table),
    JOB_OBJECT("rx", &rx_table),
};
static const struct job_table nic_table = JOB_TABLE("nic", nic_fields);

void job_nic_defaults(struct nic_cfg *nic)
{
  memset(nic, 0, sizeof *nic);
  job_defaults(&nic_table, nic);
  job_cc_defaults(&nic->cc, "none");
  for (int i = 0; i < PRIO_COUNT; i++) {
    nic->sched.weight[i] = 1;
  }
}

/* InfiniBand knows five path MTUs; the fixed wire model stands for models that take any packet size. */
static bool check_mtu(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                      const struct nic_cfg *nic)
{
  uint32_t mtu = nic->mtu_bytes;
  bool path_mtu = mtu >= 256 && mtu <= 4096 && (mtu & (mtu - 1)) == 0;
  if (ctx->job->wire.model == WIRE_ROCEV2 && !path_mtu) {
    return job_fail_key(ctx, where, object, "mtu_bytes",
                        "must be 256, 512, 1024, 2048 or 4096 with the rocev2 wire model, is %u", (unsigned)mtu);
  }
  return true;
}

/* Thresholds of the receive buffer must lie inside each other; a host that drains slowly needs one. */
static bool check_rx(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                     const struct nic_cfg *nic)
{
  unsigned long long xon = nic->rx_xon_bytes;
  unsigned long long xoff = nic->rx_xoff_bytes;
  unsigned long long buffer = nic->rx_buffer_bytes;
  if (xon > xoff) {
    return job_fail_key(ctx, where, object, "rx", "xon_bytes %llu is above xoff_bytes %llu", xon, xoff);
  }
  if (buffer > 0 && xoff > buffer) {
    return job_fail_key(ctx, where, object, "rx", "xoff_bytes %llu is above buffer_bytes %llu", xoff, buffer);
  }
  if (nic->rx_drain_bps > 0 && buffer == 0) {
    return job_fail_key(ctx, where, object, "rx", "drain_bps needs buffer_bytes: without a buffer nothing is received");
  }
  return true;
}

bool job_read_nic(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                  struct nic_cfg *nic)
{
  return job_read(ctx, where, object, &nic_table, nic) && check_mtu(ctx, where, object, nic) &&
         check_rx(ctx, where, object, nic) && job_check_scheduler(ctx, where, object, &nic->sched);
}
