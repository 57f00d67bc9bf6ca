/* Flows, their ends and the transport settings, as they come in `prepare` (docs/agent.md, docs/generator.md). */
#ifndef ROCE_LOAD_SPEC_H
#define ROCE_LOAD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "device.h"
#include "fields.h"
#include "op.h"

enum load_fault {
  LOAD_FAULT_NONE,
  LOAD_BAD_RKEY,
  LOAD_BAD_ADDRESS,
  LOAD_NO_REMOTE_WRITE,
  LOAD_NO_REMOTE_READ,
  LOAD_NO_REMOTE_ATOMIC,
  LOAD_LONG_SEND,
  LOAD_BAD_LKEY,
  LOAD_NO_RECEIVER,
};
enum load_recovery { LOAD_RECOVER_NOT, LOAD_RECOVER_RESET, LOAD_RECOVER_REBUILD };
enum load_polling { LOAD_POLL_AUTO, LOAD_POLL_BUSY, LOAD_POLL_EVENT };

enum { LOAD_MAX_BATCH = 1024, LOAD_MAX_QPS = 16384, LOAD_MAX_SIZES = 32 };

struct load_size {
  uint32_t bytes;
  uint32_t up_to; /* of 2^32: the share of messages of this size and of those before it in the list */
};

/* The `load` of a flow: how the generator works. */
struct load_options {
  uint32_t batch;        /* work requests of one call */
  uint32_t signal_every; /* 0: chosen */
  uint32_t inline_bytes;
  uint32_t sges;
  enum load_posting posting;
  uint32_t moderate_count, moderate_period_us;
  enum load_polling polling;
  bool integrity;
  bool device_pacing;
  bool device_time; /* completions carry the device's clock */
  bool relaxed_ordering; /* of the device's writes to memory on PCIe */
  bool thread_per_flow;
  struct load_size sizes[LOAD_MAX_SIZES];
  uint32_t n_sizes; /* 0: all messages have the flow's size */
  uint64_t burst_on_ns, burst_off_ns;
  uint64_t start_jitter_ns;
};

struct load_flow {
  const char *name;
  const struct load_op *op;
  enum load_transport transport;
  uint32_t message_bytes; /* the largest, with a mix of sizes */
  uint64_t messages;      /* of a QP; 0 until it is stopped */
  uint32_t qps;
  uint64_t start_ns;
  const char **after;
  uint32_t n_after;
  uint64_t after_delay_ns;
  uint64_t rate_bps; /* of a QP, bits on the wire; 0 as fast as possible */
  uint64_t window_bytes;
  uint32_t max_outstanding;
  uint64_t interval_ns;
  bool poisson;
  int64_t flow_label, udp_sport; /* -1: none */
  uint32_t recv_depth;
  uint64_t recv_repost_ns;
  bool check_payload, ping_pong, srq;
  enum load_fault fault;
  enum load_recovery recover;
  struct load_options options;
};

struct load_end_spec {
  const char *id;
  struct load_flow flow;
  bool source;
  const char *device;
  uint8_t port;
  struct load_gid_wish gid;
  uint8_t tos, sl;
  int32_t first_psn; /* -1: any */
  bool notify;
};

/* The keys of the job's `nic` that queue pairs have. */
struct load_qos {
  uint32_t mtu_bytes;
  uint8_t ack_timeout, retry_count, rnr_timer, rnr_retry, max_rd_atomic;
};

/* Each reads from `f` and leaves its `failed` set when something was wrong. Texts are copied into the arena. */
void load_read_qos(struct load_fields *f, struct load_qos *out);
void load_read_end(struct load_fields *f, struct arena *arena, struct load_end_spec *out);
void load_read_flow(struct load_fields *f, struct arena *arena, struct load_flow *out);

/* The length of message k of a QP. */
static inline uint32_t load_size_of(const struct load_flow *flow, uint32_t qp, uint64_t message)
{
  const struct load_options *o = &flow->options;
  if (o->n_sizes == 0)
    return flow->message_bytes;
  /* splitmix64 of number and QP: both ends find the same size without telling each other */
  uint64_t x = (message + 1) * UINT64_C(0x9E3779B97F4A7C15) + ((uint64_t)qp << 32);
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  uint32_t draw = (uint32_t)(x >> 32);
  uint32_t i = 0;
  while (i + 1 < o->n_sizes && draw >= o->sizes[i].up_to)
    i++;
  return o->sizes[i].bytes;
}

/* Messages over all QPs, 0 when it sends until it is stopped. */
static inline uint64_t load_total_messages(const struct load_flow *flow)
{
  return flow->messages * flow->qps;
}

/* Bits that a message of `bytes` takes on the wire, headers and gap included, as the agent's wire.py. */
uint64_t load_wire_bits(const struct load_flow *flow, uint32_t bytes, uint32_t mtu, const char *family);

#endif
