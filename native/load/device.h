/* What traffic runs on: an RDMA device (device_verbs.c) or none at all (device_null.c).
 *
 * The calls below "control" may take their time and allocate. Those below "data" are the hot path: they neither
 * allocate nor lock (what a null device does to play the hardware aside).
 */
#ifndef ROCE_LOAD_DEVICE_H
#define ROCE_LOAD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { LOAD_MAX_SGE = 16 };

enum load_transport { LOAD_RC, LOAD_UC, LOAD_UD };

/* Access to memory; the numbers of libibverbs. */
enum load_access {
  LOAD_LOCAL_WRITE = 1,
  LOAD_REMOTE_WRITE = 2,
  LOAD_REMOTE_READ = 4,
  LOAD_REMOTE_ATOMIC = 8,
  LOAD_RELAXED_ORDERING = 1 << 20, /* a wish: what cannot do it leaves it out */
};

enum load_opcode {
  LOAD_WRITE,
  LOAD_WRITE_IMM,
  LOAD_READ,
  LOAD_SEND,
  LOAD_SEND_IMM,
  LOAD_FETCH_ADD,
  LOAD_COMPARE_SWAP,
  LOAD_OPCODES,
};

/* Flags of a work request; the numbers of libibverbs. */
enum load_wr_flag { LOAD_SIGNALED = 1 << 1, LOAD_INLINE = 1 << 3 };

struct load_sge {
  uint64_t addr;
  uint32_t length, lkey; /* laid out as struct ibv_sge */
};

struct load_wr {
  uint64_t id;
  uint32_t flags;
  uint32_t imm; /* network byte order */
  uint64_t raddr;
  uint32_t rkey;
  uint32_t n_sge;
  const struct load_sge *sge;
  uint64_t compare_add, swap;
};

struct load_recv {
  uint64_t id;
  struct load_sge sge; /* length 0: none, for immediates of writes */
};

/* Completion status; the numbers of libibverbs (0 is success). */
enum load_status {
  LOAD_WC_SUCCESS = 0,
  LOAD_WC_LOC_LEN_ERR = 1,
  LOAD_WC_LOC_QP_OP_ERR = 2,
  LOAD_WC_LOC_PROT_ERR = 4,
  LOAD_WC_WR_FLUSH_ERR = 5,
  LOAD_WC_REM_INV_REQ_ERR = 9,
  LOAD_WC_REM_ACCESS_ERR = 10,
  LOAD_WC_REM_OP_ERR = 11,
  LOAD_WC_RETRY_EXC_ERR = 12,
  LOAD_WC_RNR_RETRY_EXC_ERR = 13,
  LOAD_WC_GENERAL_ERR = 21,
};
/* "REM_ACCESS_ERR" for 10, as libibverbs names it; numbers it has no name for give "UNKNOWN_ERR". */
const char *load_status_name(unsigned status);

struct load_wc {
  uint64_t id;
  uint32_t qpn;
  uint32_t bytes;  /* of a receive; with UD, GRH included */
  uint32_t imm;    /* network byte order */
  uint32_t vendor; /* vendor_err */
  uint8_t status;
  bool recv;    /* not to be relied on when status is an error */
  bool has_imm;
  uint64_t time; /* device clock in its own ticks, 0 when the CQ has none */
};

struct load_caps {
  uint32_t max_qp, max_qp_wr, max_cqe, max_srq_wr, max_sge;
  uint32_t max_rd_atomic, max_init_rd_atomic; /* as target, as initiator */
  bool atomics, srq;
  bool timestamps; /* completions can carry device time */
  bool pacing;     /* the device can be given a rate per QP */
  bool software;   /* rxe, siw: the host's processor does the device's work */
  bool can_event;  /* completion events exist: cq->fd is a file */
};

struct load_gid {
  uint32_t index;
  uint8_t raw[16];
  bool v2;
  const char *family; /* "ipv4", "ipv6", "link_local" */
};
struct load_gid_wish {
  int32_t index;      /* -1: any */
  bool v2;
  const char *family; /* NULL: any; then IPv4 before IPv6 before link-local */
};

struct load_port {
  uint32_t mtu;      /* bytes, active */
  uint64_t rate_bps; /* 0 unknown */
};

struct load_device;

struct load_mr {
  uint32_t lkey, rkey;
  void *impl; /* NULL: not registered */
};

struct load_cq {
  struct load_device *device;
  int fd; /* readable when armed and something came; -1 without events */
  void *impl;
};
struct load_cq_wish {
  uint32_t entries;
  uint32_t moderate_count, moderate_period_us; /* 0: none */
  bool timestamps;
  bool events; /* a completion channel is wanted */
};

struct load_srq {
  struct load_device *device;
  void *impl;
};

enum load_posting { LOAD_POST_AUTO, LOAD_POST_WR, LOAD_POST_LEGACY };
struct load_qp {
  struct load_device *device;
  uint32_t qpn;
  enum load_posting posting; /* which API it is posted to by; AUTO where there is none */
  void *impl;
  void *fast; /* what a post function wants at once, such as struct ibv_qp_ex * */
};
struct load_qp_wish {
  enum load_transport transport;
  struct load_cq *cq; /* sends and receives */
  struct load_srq *srq;
  uint32_t sends, receives;
  uint32_t batch;              /* work requests of one call at most (more are no error); 0: not known */
  uint32_t sges, inline_bytes; /* with 1 and 0 every work request has exactly one element and is not inline */
  uint32_t opcodes; /* mask 1 << enum load_opcode of what will be posted */
  enum load_posting posting;
};

/* How a QP reaches its peer, and the attributes on its way to RTS. */
struct load_route {
  uint8_t port;
  uint32_t sgid_index;
  uint8_t dgid[16];
  uint32_t remote_qpn, remote_psn, psn;
  uint32_t mtu;
  uint8_t traffic_class, sl, hop_limit;
  uint32_t flow_label;
  uint8_t ack_timeout, retry_count, rnr_retry, rnr_timer;
  uint8_t max_rd_atomic;
  uint32_t qkey;    /* UD, of both */
  unsigned access; /* remote access of the QP */
};

/* Posts `n` work requests. Returns 0, or an errno; `*done` is how many were posted in either case. */
typedef int load_post_fn(struct load_qp *qp, const struct load_wr *wr, unsigned n, unsigned *done);

struct load_device_ops {
  const char *kind; /* "verbs", "null" */

  /* --- control -------------------------------------------------------------------------------------------------- */
  /* Fills `caps`, `numa_node` and `impl` of a device whose name is set. */
  bool (*open)(struct load_device *device, struct load_error *e);
  void (*close)(struct load_device *device);
  bool (*port)(struct load_device *device, uint8_t port, struct load_port *out, struct load_error *e); /* port_down */
  bool (*gid)(struct load_device *device, uint8_t port, const struct load_gid_wish *wish, struct load_gid *out,
              struct load_error *e);
  bool (*reg)(struct load_device *device, void *address, size_t length, unsigned access, struct load_mr *out,
              struct load_error *e);
  void (*dereg)(struct load_device *device, struct load_mr *mr);
  bool (*cq_make)(struct load_device *device, const struct load_cq_wish *wish, struct load_cq *out,
                  struct load_error *e);
  void (*cq_free)(struct load_cq *cq);
  bool (*srq_make)(struct load_device *device, uint32_t depth, struct load_srq *out, struct load_error *e);
  void (*srq_free)(struct load_srq *srq);
  bool (*qp_make)(struct load_device *device, const struct load_qp_wish *wish, struct load_qp *out,
                  struct load_error *e);
  /* RESET to RTS; a UD QP also gets its address handle. */
  bool (*qp_connect)(struct load_qp *qp, const struct load_route *route, struct load_error *e);
  bool (*qp_reset)(struct load_qp *qp, struct load_error *e); /* to RESET; completions in the CQ may remain */
  void (*qp_free)(struct load_qp *qp);
  /* Lets the device hold a QP to a rate, 0 for none. */
  bool (*qp_pace)(struct load_qp *qp, uint64_t rate_bps, struct load_error *e);
  /* Takes one asynchronous event that says a QP, port or the device is no longer well. False when there is none. */
  bool (*async_event)(struct load_device *device, char *text, size_t size, bool *fatal);
  /* Device clock: nanoseconds per tick of load_wc.time; 0 unknown. */
  double (*tick_ns)(struct load_device *device);

  /* --- data ----------------------------------------------------------------------------------------------------- */
  /* What posts work requests of an opcode on a QP; asked once, before traffic. */
  load_post_fn *(*poster)(const struct load_qp *qp, enum load_opcode opcode);
  /* The same for requests that do not change: each call is given the same array from its start, and between two calls
   * at most `id` and `flags` of the last request of either have changed. Asked again when more has. NULL: the device
   * gains nothing by it. See load_reposter(). */
  load_post_fn *(*reposter)(const struct load_qp *qp, enum load_opcode opcode);
  /* Takes completions, at most `most` and perhaps fewer than there are; 0 means that there are none. */
  unsigned (*poll)(struct load_cq *cq, struct load_wc *out, unsigned most);
  bool (*arm)(struct load_cq *cq); /* the next completion makes fd readable; poll again after this */
  void (*acknowledge)(struct load_cq *cq); /* takes the event that made fd readable */
  int (*post_recv)(struct load_qp *qp, const struct load_recv *recv, unsigned n, unsigned *done);
  int (*post_srq)(struct load_srq *srq, const struct load_recv *recv, unsigned n, unsigned *done);
};

struct load_device {
  const struct load_device_ops *ops;
  char name[160]; /* a null device's options are in it */
  struct load_caps caps;
  int numa_node; /* -1 unknown */
  void *impl;
};

static inline load_post_fn *load_reposter(const struct load_qp *qp, enum load_opcode opcode)
{
  const struct load_device_ops *ops = qp->device->ops;
  return ops->reposter != NULL ? ops->reposter(qp, opcode) : ops->poster(qp, opcode);
}

extern const struct load_device_ops load_null_ops;
#ifdef ROCE_LOAD_VERBS
extern const struct load_device_ops load_verbs_ops;
/* Names of the RDMA devices, at most `most`; returns how many there are. */
unsigned load_verbs_list(char (*names)[64], unsigned most);
#endif

/* The operations for a device name: names that begin with "null" have no verbs. NULL when this program was built
 * without libibverbs. */
const struct load_device_ops *load_device_ops_of(const char *name);

#endif
