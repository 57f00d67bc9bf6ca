/* A libibverbs without a device, for measuring what a program that posts work requests costs by itself.
 *
 * Preloaded (LD_PRELOAD) it answers a program's calls of libibverbs with one device `stub0`: one active Ethernet port,
 * one RoCE v2 GID (::ffff:127.0.0.1). A work request is complete when it is posted; no data moves, so reads and atomics
 * bring nothing back and payload cannot be verified. Sends and immediates do consume receives of their peer.
 *
 * STUB_VERBS_WIRE names a file that the two ends of a connection share, in one process or in several; it is made when
 * missing, must not be on a network file system, and whoever chose the name removes it. Without the variable a message
 * reaches only queue pairs of its own context. STUB_VERBS_PART is the part number that the device shows (0).
 *
 * Limits: the length and immediate of a receive completion are those of the newest message that came to its queue
 * pair; a completion queue and all that feeds it belong to one thread; a program that overruns a completion queue is
 * aborted; that a send queue is overrun is not noticed, as its entries are free at once. There is no XRC, no memory
 * window, no time stamp, no rdma_cm.
 */
#ifndef ROCE_STUB_VERBS_H
#define ROCE_STUB_VERBS_H

#include <infiniband/verbs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  STUB_FIRST_QPN = 2,    /* 0 and 1 are the management queue pairs (InfiniBand specification, 3.5.3) */
  STUB_QPS = 1 << 16,    /* queue pairs of one wire; numbers are not used again */
  STUB_MAX_WR = 1 << 15, /* of a queue */
  STUB_MAX_CQE = 1 << 22,
  STUB_MAX_SGE = 32,
  STUB_MAX_INLINE = 1024,
  STUB_GRH_BYTES = 40,
};

/* Where messages for one queue pair arrive: the file of STUB_VERBS_WIRE has one for each, begins as zeros. */
struct stub_slot {
  _Alignas(64) _Atomic uint64_t arrived; /* messages that want a receive */
  /* Of the newest. */
  uint32_t length;
  uint32_t imm; /* network byte order */
  uint32_t sender;
  uint32_t opcode; /* enum ibv_wc_opcode of the receiver */
  uint32_t wc_flags;
};

struct stub_wire {
  _Alignas(64) _Atomic uint32_t made; /* queue pairs that were given a number */
  _Atomic uint32_t access;            /* enum ibv_access_flags of all memory that was registered, or-ed */
  struct stub_slot slot[STUB_QPS];
};

/* The wire of a new context: of the named file, or private when `path` is NULL. NULL with errno on failure; the caller
 * gives it back with stub_wire_close. */
struct stub_wire *stub_wire_open(const char *path);
void stub_wire_close(struct stub_wire *wire);

/* A device lives while a list or a context refers to it. */
struct stub_device {
  struct ibv_device base;
  _Atomic unsigned references;
};

struct stub_context {
  struct stub_wire *wire;
  _Atomic uint32_t next_key;
  struct verbs_context verbs; /* last: it ends with the struct ibv_context */
};

/* A queue of receives, of a queue pair or shared. */
struct stub_rq {
  uint64_t *ids; /* mask + 1 */
  uint32_t size, mask;
  uint32_t head, tail;
};

struct stub_srq {
  struct ibv_srq base;
  struct stub_rq rq;
};

struct stub_cqe {
  uint64_t wr_id;
  uint32_t qpn;
  uint16_t opcode, status;
};

struct stub_qp;

struct stub_cq {
  union {
    struct ibv_cq plain;
    struct ibv_cq_ex ex;
  } base;
  struct stub_cqe *ring; /* mask + 1 */
  uint32_t mask;
  uint32_t head, tail;
  struct stub_qp **listeners; /* queue pairs whose receives complete here */
  uint32_t n_listeners, turn;
  bool armed;
  struct ibv_wc now;    /* what the extended calls read */
  struct stub_cq *next; /* of the same channel */
};

struct stub_channel {
  struct ibv_comp_channel base; /* fd is a timer: see stub_notify */
  struct stub_cq *cqs;
};

struct stub_qp {
  struct ibv_qp_ex base;
  struct stub_cq *send_cq;
  struct stub_slot *peer; /* where its messages go */
  uint32_t qpn;
  unsigned forced; /* IBV_SEND_SIGNALED when every request completes: asked for, or in the error state */
  uint16_t error;  /* enum ibv_wc_status of what is posted now */
  bool open;       /* a message that wants a receive is being built */
  bool has_wr;     /* made for the ibv_wr_ functions */
  bool listening;
  uint32_t started; /* tail of send_cq when the batch began */
  /* Of the message being built. */
  uint32_t length, imm, opcode, wc_flags;

  struct stub_rq own, *rq; /* rq is own, or the one of an SRQ */
  struct stub_cq *recv_cq;
  struct stub_slot *slot; /* where its messages come from */
  uint64_t taken;         /* of slot->arrived */

  struct stub_wire *wire;
  struct ibv_qp_init_attr init;
  uint32_t dest_qpn, qkey;
};

static inline struct stub_context *stub_context_of(struct ibv_context *context)
{
  return (struct stub_context *)(void *)((char *)context - offsetof(struct stub_context, verbs.context));
}

/* queue.c: receives and completions */
bool stub_rq_make(struct stub_rq *rq, uint32_t entries); /* false: no memory */
void stub_rq_free(struct stub_rq *rq);
int stub_post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int stub_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
bool stub_listen(struct stub_qp *qp); /* false: no memory */
void stub_deafen(struct stub_qp *qp);
bool stub_cq_ready(const struct stub_cq *cq);
int stub_poll_cq(struct ibv_cq *ibv, int most, struct ibv_wc *out);
int stub_req_notify(struct ibv_cq *cq, int solicited_only);
struct ibv_cq_ex *stub_create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr);

/* post.c: the two ways to post */
int stub_post_send(struct ibv_qp *ibv, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
void stub_fill_wr(struct stub_qp *qp, uint64_t send_ops);

/* qp.c */
struct ibv_qp *stub_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);

static inline void stub_complete(struct stub_qp *qp, uint64_t wr_id, unsigned flags, uint16_t opcode)
{
  if (((flags | qp->forced) & IBV_SEND_SIGNALED) == 0)
    return;
  struct stub_cq *cq = qp->send_cq;
  cq->ring[cq->tail++ & cq->mask] = (struct stub_cqe){wr_id, qp->qpn, opcode, qp->error};
}

#endif
