/* One end of a flow: its queue pairs, its memory, and what happened in the current run.
 *
 * Life: load_end_make() → load_end_connect() → begin → (pump, take, spin)* → settled → results → again, or
 * load_end_recover(); load_end_free() at any time. While a run goes on, one thread (worker.h) uses an end; others may
 * look at its atomics.
 */
#ifndef ROCE_LOAD_END_H
#define ROCE_LOAD_END_H

#include <stdatomic.h>

#include "clock.h"
#include "common/histogram.h"
#include "common/rng.h"
#include "integrity.h"
#include "layout.h"
#include "memory.h"
#include "payload.h"
#include "spec.h"

#define LOAD_NEVER UINT64_MAX

enum load_fate { LOAD_NOT_STARTED, LOAD_UNFINISHED, LOAD_DONE, LOAD_FAILED, LOAD_PASSIVE };
const char *load_fate_name(enum load_fate fate);

/* The other end's QP, as it came in `connect`. */
struct load_remote {
  uint32_t qpn, psn, mtu, rkey;
  uint8_t gid[16];
  uint64_t addr, bytes, slots, stride;
  uint32_t period;
};

enum load_lane_state { LANE_READY, LANE_PACED, LANE_BLOCKED, LANE_OVER };

/* One QP of an end. */
struct load_lane {
  /* what posting touches */
  uint64_t posted, completed, flushed; /* messages */
  uint64_t limit;                      /* messages to send, UINT64_MAX without end */
  struct load_wr *wr;                  /* `batch` of them */
  struct load_sge *sge;                /* batch x sges */
  load_post_fn *post;
  uint64_t *posted_at; /* ticks, by message & ring_mask */
  uint32_t since_signal; /* messages posted since one was signalled */
  uint32_t last_n;       /* work requests of the last call */
  uint8_t state; /* enum load_lane_state */
  bool over;
  struct load_qp qp;
  struct load_aim aim;
  uint64_t local;  /* address of the first byte of its payload or slots */
  uint32_t lkey;
  double due;      /* ticks from which the next message may go */
  double timed;    /* the same for messages at intervals */
  double jitter;   /* ticks after the flow's start */
  /* what others look at */
  _Atomic uint64_t done_bytes, done_messages;
  /* once in a while */
  load_post_fn *post_last; /* for a last write that tells its target */
  struct rng rng;
  struct load_integrity *integrity;
  uint64_t received, next, twice; /* a target's; the last of sealed messages alone */
  uint64_t start, end;     /* ticks, 0 unknown */
  enum load_fate fate;
  int error;        /* enum load_status, 0 none; -errno of a post that was refused */
  uint32_t vendor;
  uint32_t psn, index, flow_label;
  struct load_remote remote;
  /* a ping-pong's */
  uint64_t turn, sent_at; /* messages seen, ticks of the last one sent */
};

struct load_region {
  struct load_memory memory;
  struct load_mr mr;
};

/* Registered room for messages: `slots` a QP, in one region, or in a region a QP when they are folded. */
struct load_slots {
  struct load_region *regions;
  uint32_t n_regions;
  uint64_t per_qp, stride;
  uint32_t count;
};

/* Time without a completion while messages were under way. */
struct load_gaps {
  uint64_t count, longest, total; /* ticks */
};

struct load_end;
struct load_end_ops {
  bool (*prepare)(struct load_end *end, struct load_error *e); /* memory and QPs */
  bool (*connected)(struct load_end *end, struct load_error *e);
  void (*begin)(struct load_end *end);
  /* Posts what may be posted; returns the ticks at which to come again, or LOAD_NEVER. `*busy` is set when it did
   * something. */
  uint64_t (*pump)(struct load_end *end, uint64_t now, bool *busy);
  void (*take)(struct load_end *end, const struct load_wc *wc, unsigned n, uint64_t now);
  /* Looks once, without waiting, for what a spinning end waits for. */
  bool (*spin)(struct load_end *end);
  void (*settle)(struct load_end *end);
};
extern const struct load_end_ops load_source_ops, load_target_ops, load_pingpong_ops;

struct load_end {
  const struct load_end_ops *ops;
  struct load_end_spec spec;
  struct load_qos qos;
  struct load_layout layout;
  struct load_device *device;
  struct load_gid gid;
  uint32_t mtu;
  const struct load_clock *clock;

  struct load_cq cq;
  struct load_srq srq;
  struct load_lane *lanes;
  struct load_payload payload; /* for checking; tile NULL until needed */
  struct load_region pattern;  /* what is sent, or read by the peer */
  struct load_slots slots;     /* what arrives, or sealed messages that leave */
  struct load_slots leaving;   /* a ping-pong's */
  uint32_t *body_crc;          /* of sealed messages, by slot of all QPs */
  struct load_recv *recvs;     /* a target's: prepared, by QP and slot */
  uint32_t *qpn_slots;         /* a shared queue's map from QP number to index + 1 */
  uint32_t qpn_mask;

  /* the current run */
  uint64_t zero; /* ticks at which the run began */
  _Atomic bool satisfied; /* flows that wait for this one may go */
  _Atomic bool gone;      /* nothing more happens here; results may be read */
  _Atomic bool stopping;
  int report; /* eventfd that is written when the end is over */
  enum load_fate fate;
  int error;
  uint32_t vendor;
  uint64_t start, finish; /* ticks of the first message, of the last completion; 0 unknown */
  uint64_t opened;        /* ticks at which the current burst began; 0 without bursts */
  uint64_t ready_at;      /* ticks; the flow's own start and those it waits for */
  struct load_end **waits_for;
  uint32_t n_waits;
  uint64_t told, failed_at, recovered_at; /* ticks; told: from posting to the error */
  uint64_t recovery_local_ns;             /* 0: none */
  struct load_check check;
  bool verified;
  struct histogram latency; /* ns */
  struct load_gaps gaps;
  uint64_t gap_counts; /* ticks from which a gap counts */
  uint64_t first_completion, last_completion; /* ticks */
  uint64_t first_device, last_device;         /* the same by the device's clock, in its ticks; 0 unknown */
  uint64_t polls, completions, wakeups, completed_messages;

  /* who may post: indexes of lanes, a ring of those that are ready, a heap of those that are paced */
  uint32_t *ready;
  uint32_t ready_mask, ready_head, ready_count;
  uint32_t *paced;
  uint32_t n_paced, lanes_over;
  uint32_t batch, signal_every, quantum, ring_mask;
  bool ended, started; /* the thread's own; compilers read neighbours together, so not beside what others write */
  bool checks_fetched;
  bool quick;     /* whole batches at will: see serve_quickly() */
  bool fixed_aim; /* no message differs from the one before: work requests are posted as they are */
  double gap_ticks, interval_ticks, slack_ticks;
  double limited_ticks; /* time in which the device had nothing to do for lack of our next message */
  uint64_t dry_since;   /* ticks since when that is so, 0 when it is not */
  uint64_t in_flight;   /* messages, over all QPs */

  /* a target's receives that are to be posted later, ordered by time */
  struct load_later *later;
  uint32_t n_later, later_head, later_size;

  const char *series_file; /* set by the sampler when series were written */
  uint64_t series_rows, series_interval_ns;
  double rate_min_bps, rate_mean_bps, rate_max_bps;
  bool has_rates;
};

struct load_later {
  uint64_t at;
  uint64_t id;
};

/* `end->device`, `gid`, `mtu`, `qos`, `spec` and `clock` are set; makes memory, queues and queue pairs. After a failure
 * the end can only be freed. */
bool load_end_make(struct load_end *end, uint64_t budget, struct load_error *e);
void load_end_free(struct load_end *end);

bool load_end_connect(struct load_end *end, const struct load_remote *remotes, uint32_t n, const char *path,
                      struct load_error *e);
/* Brings the QPs back to where they can be connected; forgets the fault and what was counted. */
bool load_end_recover(struct load_end *end, struct load_error *e);

void load_end_begin(struct load_end *end, uint64_t zero);
/* Takes what is in the completion queue. Returns whether there was something. */
bool load_end_poll(struct load_end *end);
/* From any thread: sends nothing more than it takes to know what is complete. */
void load_end_stop(struct load_end *end);
void load_end_cut(struct load_end *end);
/* Everything under way is given up with an error. */
void load_end_give_up(struct load_end *end, int error);
/* Checks memory that one-sided verbs changed against what the source says of each QP. */
void load_end_verify(struct load_end *end, const uint64_t *posted, const uint64_t *completed);

/* --- for the kinds of ends --------------------------------------------------------------------------------------- */

bool load_region_make(struct load_end *end, struct load_region *region, uint64_t length, uint64_t window,
                      unsigned access, struct load_error *e);
bool load_region_again(struct load_end *end, struct load_region *region, unsigned access, struct load_error *e);
bool load_slots_make(struct load_end *end, struct load_slots *slots, uint32_t qps, unsigned access,
                     struct load_error *e);
uint8_t *load_slots_at(const struct load_slots *slots, uint32_t qp, uint64_t slot);
const struct load_region *load_slots_region(const struct load_slots *slots, uint32_t qp);
void load_slots_clear(struct load_slots *slots);
bool load_end_queues(struct load_end *end, uint32_t entries, uint32_t srq_depth, struct load_error *e);
bool load_end_pairs(struct load_end *end, uint32_t sends, uint32_t receives, uint32_t opcodes, struct load_error *e);
bool load_payload_ready(struct load_end *end, uint32_t period, struct load_error *e);

/* Keeps the first error; flush errors of later work say nothing new. */
void load_end_fail(struct load_end *end, int status, uint32_t vendor, uint64_t now);
/* Ended in whatever way; wakes who waits. */
void load_end_over(struct load_end *end);
/* Keeps the device's time of completions that carry it. */
void load_end_device_time(struct load_end *end, const struct load_wc *wc, unsigned n);
/* Counts `n` messages of `bytes` that are complete on a lane. */
static inline void load_lane_done(struct load_lane *lane, uint64_t n, uint64_t bytes)
{
  atomic_store_explicit(&lane->done_messages, atomic_load_explicit(&lane->done_messages, memory_order_relaxed) + n,
                        memory_order_relaxed);
  atomic_store_explicit(&lane->done_bytes, atomic_load_explicit(&lane->done_bytes, memory_order_relaxed) + bytes,
                        memory_order_relaxed);
}
uint64_t load_end_bytes(const struct load_end *end);    /* complete, over all QPs */
uint64_t load_end_messages(const struct load_end *end); /* the same, messages */
bool load_end_reliable(const struct load_end *end);
/* Whether the flows that this one waits for are complete; the moment they are, its delay begins. */
bool load_end_released(struct load_end *end, uint64_t now);
/* Bytes before the payload of a message that was received: the GRH of a datagram (InfiniBand Architecture, 11.4.1.2). */
static inline uint32_t load_end_head(const struct load_end *end)
{
  return end->spec.flow.transport == LOAD_UD ? LOAD_GRH : 0;
}

#endif
