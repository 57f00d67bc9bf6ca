/* The null device from inside; what it is and does is told in device_null.c.
 *
 * Locks. A thread that posts, polls or arms takes the lock of its device and may then change what belongs to that
 * device, and look at all others. What changes another device, or who is connected to whom, holds the world: the locks
 * of all devices (null_world_enter). So every function here says "device" or "world": what its caller holds.
 */
#ifndef ROCE_LOAD_DEVICE_NULL_H
#define ROCE_LOAD_DEVICE_NULL_H

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "common/rng.h"
#include "device.h"

#define NULL_NEVER UINT64_MAX

enum {
  NULL_FIRST_QPN = 17,
  NULL_MAX_QP = 65536,
  NULL_MAX_WR = 16384,
  NULL_MAX_CQE = 4194303,
  NULL_MAX_RD_ATOMIC = 16,
  NULL_MAX_INLINE = 1024,
  NULL_MAX_SPAN = 1 << 21, /* QP numbers of all devices together */
  NULL_MTU = 4096,
  NULL_GRH = 40,
  NULL_EVENTS = 64,
};

/* --- options of a device: device_null_options.c ------------------------------------------------------------------ */

struct null_options {
  bool data, unreliable, no_events;
  double latency_ns, rate_bps; /* 0: none */
  double loss, dup, corrupt, reorder;
  uint64_t die_after, qp_error_after, hang_after; /* messages; NULL_NEVER: not at all */
  uint64_t max_qp, max_wr, max_cqe;
  uint64_t seed;
};
/* Reads "nullN[:option=value,...]". */
bool null_options_read(const char *name, uint32_t *number, struct null_options *out, struct load_error *e);

/* --- things ------------------------------------------------------------------------------------------------------ */

struct null_lock {
  _Alignas(64) atomic_bool held;
};
void null_lock_wait(struct null_lock *lock);
static inline void null_lock_take(struct null_lock *lock)
{
  while (atomic_exchange_explicit(&lock->held, true, memory_order_acquire))
    null_lock_wait(lock);
}
static inline void null_lock_give(struct null_lock *lock)
{
  atomic_store_explicit(&lock->held, false, memory_order_release);
}

/* Registered memory. Its lkey is `key`, its rkey has NULL_RKEY set, so that one taken for the other is noticed. */
#define NULL_RKEY (1U << 31)
struct null_region {
  uint64_t base, length;
  unsigned access;
  uint32_t key; /* 0: free */
};

struct null_cqe {
  struct load_wc wc;
  uint32_t epoch; /* of the QP, see there */
  uint32_t sent;  /* work requests of the QP that are over with this completion */
};

struct null_cq {
  struct null_device *device;
  struct null_cqe *ring;
  uint32_t mask, entries;
  _Atomic uint32_t head, tail; /* changed with the device's lock, looked at without */
  bool broken;                 /* there was no room for a completion */
  bool timestamps;
  bool armed;
  int fd;                      /* a timerfd; -1 without events */
  uint64_t fires;              /* when it is set to expire */
  uint32_t count, waiting;     /* moderation: completions until an event, and how many there are */
  uint64_t period;             /* ticks, or until this has passed */
  struct null_cq *next, **link;
};

struct null_rq {
  struct load_recv *ring;
  uint32_t mask, depth, head, tail;
  struct null_qp *waiting; /* senders that found nothing here */
};

/* A work request that could not be done at once. */
struct null_work {
  struct load_wr wr; /* its sge and inline data are copies */
  enum load_opcode opcode;
  uint64_t length;
  uint64_t start; /* from when it may leave, for a QP with a pace */
  uint64_t due;   /* when it arrives; counts once it left */
};

/* A message that is overtaken by the next. */
struct null_held {
  bool any;
  enum load_opcode opcode;
  struct load_wr wr;
  struct load_sge sge;
  uint8_t *bytes; /* own copy */
  uint64_t until;
};

enum null_state { NULL_RESET, NULL_READY, NULL_ERROR };

struct null_qp {
  struct null_device *device;
  enum null_state state;
  uint32_t qpn;
  uint32_t epoch; /* another one after each reset: completions from before it are recognised */
  bool quick;     /* plain writes may be done without a look at options, delays and queues */
  uint32_t posted, over, retired; /* work requests: accepted, done, and seen to be done by the application */
  struct load_qp_wish wish;
  struct null_cq *cq;
  struct null_rq *rq, own_rq; /* own_rq, or that of an SRQ */
  struct load_route route;

  /* who answers, as it was when the fabric had this version */
  struct null_qp *peer;
  uint64_t peer_version;
  bool peer_quick;

  /* the queue of what waits: head..left are under way, left..tail have not left */
  struct null_work *queue;
  struct load_sge *queue_sge;
  uint8_t *queue_bytes;
  uint32_t queue_mask, head, left, tail;
  uint32_t rnr_tries;
  uint64_t rnr_until;         /* when the next try counts */
  struct null_rq *waits_for;  /* in whose list it is, NULL: in none */
  struct null_qp *next_waiting;
  double pace_ticks; /* per byte, 0: none */
  double pace_free;  /* ticks of the fabric from when the next message may leave */
  struct null_held held;
  uint64_t due;     /* when something is to be done here */
  uint32_t heap_at; /* index + 1 in the fabric's heap, 0: not in it */

  struct null_qp *next, **link; /* of the device */
};

struct null_event {
  char text[64];
  bool fatal;
};

struct null_device {
  struct null_lock lock;
  struct null_fabric *fabric;
  struct null_options options;
  const char *name; /* the load_device's */
  uint32_t number;
  uint8_t gid[16];
  bool spoils;      /* some message may be lost, changed, doubled or overtaken */
  bool counts;      /* something happens after a number of messages */
  bool delays;
  atomic_bool dead; /* removed */
  bool erred;       /* qp_error_after has happened */
  double byte_ticks;    /* of the port's rate, 0: none */
  uint64_t latency_ticks;
  double port_free; /* ticks of the fabric */
  uint64_t sent, handled; /* messages; handled: sent or received */
  struct rng rng;
  struct null_region *regions;
  uint32_t region_room, next_region;
  struct null_qp *qps;
  uint32_t n_qps;
  struct null_cq *cqs;
  struct null_event events[NULL_EVENTS];
  uint32_t first_event;
  _Atomic uint32_t n_events;
  struct null_device *next;
};

/* What all null devices of a process are connected to. */
struct null_fabric {
  pthread_mutex_t world;
  struct null_device *devices;
  struct null_qp **qps; /* by number - NULL_FIRST_QPN */
  uint32_t room, used, next_qp;
  uint32_t epoch;
  uint64_t version; /* changes with states and connections */
  struct null_qp **heap; /* of those for which something is due, the earliest first */
  uint32_t n_heap;
  _Atomic uint64_t next_due; /* of the heap; NULL_NEVER: nothing */
  struct load_clock clock;
  uint64_t zero; /* ticks at its start */
};

/* --- fabric: device_null_fabric.c -------------------------------------------------------------------------------- */

/* Adds a device, or takes it away; with the last one goes what the fabric has allocated. */
void null_fabric_join(struct null_device *device);
void null_fabric_leave(struct null_device *device);

void null_world_enter(struct null_fabric *fabric);
/* Also lets sleeping threads wake when something is due earlier than they know. */
void null_world_leave(struct null_fabric *fabric);

/* Finds a number. World. */
bool null_fabric_add(struct null_fabric *fabric, struct null_qp *qp);
void null_fabric_remove(struct null_fabric *fabric, struct null_qp *qp);
static inline struct null_qp *null_fabric_qp(const struct null_fabric *fabric, uint32_t qpn)
{
  uint32_t i = qpn - NULL_FIRST_QPN; /* wraps for those below */
  return i < fabric->room ? fabric->qps[i] : NULL;
}
/* Puts a QP where its `due` belongs, NULL_NEVER: nowhere. World. */
void null_fabric_schedule(struct null_fabric *fabric, struct null_qp *qp, uint64_t due);
/* Does all that is due. World. */
void null_fabric_run(struct null_fabric *fabric);
/* The same, for who holds nothing. */
void null_fabric_progress(struct null_fabric *fabric);

/* Adds an asynchronous event. Device. */
void null_event_add(struct null_device *device, bool fatal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The device is gone: everything on it fails. World. */
void null_device_kill(struct null_device *device);

static inline struct null_device *null_device_of(const struct load_device *device)
{
  return device->impl;
}

/* --- memory regions: device_null_region.c ------------------------------------------------------------------------ */

bool null_reg(struct load_device *device, void *address, size_t length, unsigned access, struct load_mr *out,
              struct load_error *e);
void null_dereg(struct load_device *device, struct load_mr *mr);
/* Whether a key of this device (an rkey without NULL_RKEY) allows this. Device. */
static inline bool null_allowed(const struct null_device *device, uint32_t key, uint64_t address, uint64_t length,
                                unsigned access)
{
  uint32_t i = key >> 8;
  if (i >= device->region_room)
    return false;
  const struct null_region *r = &device->regions[i];
  return r->key == key && (r->access & access) == access && address >= r->base && length <= r->length &&
         address - r->base <= r->length - length;
}

/* --- completions: device_null_cq.c ------------------------------------------------------------------------------- */

bool null_cq_make(struct load_device *device, const struct load_cq_wish *wish, struct load_cq *out,
                  struct load_error *e);
void null_cq_free(struct load_cq *which);
unsigned null_poll(struct load_cq *which, struct load_wc *out, unsigned most);
bool null_arm(struct load_cq *which);
void null_acknowledge(struct load_cq *which);

void null_cq_overrun(struct null_cq *cq);
void null_cq_tell(struct null_cq *cq);
/* Lets a sleeper look at `at` at the latest. Device. */
void null_cq_wake(struct null_cq *cq, uint64_t at);
/* Adds a completion. Device. */
static inline void null_cq_add(struct null_cq *cq, const struct null_cqe *cqe)
{
  uint32_t tail = atomic_load_explicit(&cq->tail, memory_order_relaxed);
  if (cq->broken || tail - atomic_load_explicit(&cq->head, memory_order_relaxed) == cq->entries) {
    null_cq_overrun(cq);
    return;
  }
  struct null_cqe *slot = &cq->ring[tail & cq->mask];
  *slot = *cqe;
  slot->wc.time = cq->timestamps ? load_ticks() : 0;
  atomic_store_explicit(&cq->tail, tail + 1, memory_order_release);
  if (cq->armed)
    null_cq_tell(cq);
}

/* --- queue pairs: device_null_qp.c ------------------------------------------------------------------------------- */

bool null_srq_make(struct load_device *device, uint32_t depth, struct load_srq *out, struct load_error *e);
void null_srq_free(struct load_srq *which);
bool null_qp_make(struct load_device *device, const struct load_qp_wish *wish, struct load_qp *out,
                  struct load_error *e);
bool null_qp_connect(struct load_qp *which, const struct load_route *route, struct load_error *e);
bool null_qp_reset(struct load_qp *which, struct load_error *e);
void null_qp_free(struct load_qp *which);
bool null_qp_pace(struct load_qp *which, uint64_t rate_bps, struct load_error *e);
/* Everything posted on it is flushed, now and later. World. */
void null_qp_fail(struct null_qp *qp);
/* A completion of the next work request in order, when it is signalled or has failed. Device. */
void null_qp_sent(struct null_qp *qp, const struct load_wr *wr, enum load_status status);
/* A completion of a receive. Device. */
void null_qp_received(struct null_qp *qp, uint64_t id, enum load_status status, uint32_t bytes, const uint32_t *imm);

int null_post_recv(struct load_qp *to, const struct load_recv *recv, unsigned n, unsigned *done);
int null_post_srq(struct load_srq *to, const struct load_recv *recv, unsigned n, unsigned *done);

/* --- sending: device_null_post.c --------------------------------------------------------------------------------- */

load_post_fn *null_poster(const struct load_qp *qp, enum load_opcode opcode);
/* Does what is due on a QP. World. */
void null_qp_progress(struct null_qp *qp, uint64_t now);
/* Makes it due that senders that wait for a receive try again. World. */
void null_rq_ready(struct null_rq *rq);
/* Takes all senders, or one, out of the list; they go on when their time comes. World. */
void null_rq_forget(struct null_rq *rq);
void null_rq_leave(struct null_qp *qp);
/* Forgets what is queued; with `flush`, with completions. World. */
void null_queue_drop(struct null_qp *qp, bool flush);
void null_queue_free(struct null_qp *qp);

static inline uint64_t null_length(const struct load_wr *wr)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < wr->n_sge; i++)
    sum += wr->sge[i].length;
  return sum;
}

/* --- the wire: device_null_wire.c -------------------------------------------------------------------------------- */

/* Who answers messages of a QP; NULL: nobody. Device. */
struct null_qp *null_peer(struct null_qp *qp);
/* Does one work request with all that follows from it. Returns 0 when it is over, else when to try again. World. */
uint64_t null_execute(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr, uint64_t now);
/* Delivers what was held back. World. */
void null_held_release(struct null_qp *qp);
/* Copies so that the last byte is seen last, as devices write. */
void null_copy(uint64_t to, const void *from, uint64_t length);

#endif
