/* What the files device_verbs_*.c and wr_post.h share; nobody else includes it. Needs rdma-core 24 or later. */
#ifndef ROCE_LOAD_DEVICE_VERBS_H
#define ROCE_LOAD_DEVICE_VERBS_H

#include <infiniband/verbs.h>

#include "device.h"

/* Work requests that ibv_post_send is given in one call at most: what a wish says, or the first. A QP has an array of
 * them, 128 bytes each. */
enum { LOAD_CHAIN = 32, LOAD_MAX_CHAIN = 1024 };

struct load_verbs {
  struct ibv_context *context;
  struct ibv_pd *pd;
  uint8_t ports;
  uint64_t clock_khz;                    /* of the device, 0 unknown */
  uint32_t rate_min_kbps, rate_max_kbps; /* for packet pacing, 0: none */
  uint32_t rate_types;                   /* mask 1 << enum ibv_qp_type of what can be paced */
};

struct load_verbs_cq {
  struct ibv_comp_channel *channel; /* NULL without events */
  struct ibv_cq *cq;
  struct ibv_cq_ex *ex; /* the same when it has timestamps, else NULL */
};

struct load_verbs_qp {
  struct ibv_qp *qp;
  struct ibv_qp_ex *ex; /* NULL: it is posted to by ibv_post_send */
  struct ibv_ah *ah;    /* of a connected UD QP, with the next two */
  uint32_t remote_qpn, qkey;
  enum load_transport transport;
  bool plain;                /* one element, not inline */
  struct ibv_send_wr *chain; /* linked in a row; NULL with `ex` */
  uint32_t chain_length;
  uint32_t cut;                /* the one of them that has no next */
  uint32_t same;               /* requests at its start that reposting has filled in */
  load_post_fn *fill_and_post; /* of the opcode that is reposted */
};

static inline struct load_verbs *load_verbs_of(const struct load_device *device)
{
  return device->impl;
}

/* The elements of work requests are handed on as they are. */
_Static_assert(sizeof(struct load_sge) == sizeof(struct ibv_sge) &&
                   offsetof(struct load_sge, addr) == offsetof(struct ibv_sge, addr) &&
                   offsetof(struct load_sge, length) == offsetof(struct ibv_sge, length) &&
                   offsetof(struct load_sge, lkey) == offsetof(struct ibv_sge, lkey),
               "struct load_sge is not laid out as struct ibv_sge");
static inline struct ibv_sge *load_ibv_sge(const struct load_sge *sge)
{
  return (struct ibv_sge *)(uintptr_t)sge; /* libibverbs reads it alone, but does not say const */
}

/* --- device_verbs_gid.c ------------------------------------------------------------------------------------------- */

struct load_gid_entry { /* as struct ibv_gid_entry, which older headers lack */
  union ibv_gid gid;
  uint32_t index, port, type, ndev;
};
enum { LOAD_GID_IB, LOAD_GID_ROCE_V1, LOAD_GID_ROCE_V2 }; /* type */

/* "ipv4" (mapped, ::ffff:a.b.c.d), "link_local" (fe80::/10) or "ipv6". */
const char *load_gid_family(const uint8_t raw[16]);
/* The entry that fulfils a wish: IPv4 before IPv6 before link-local, then the lowest index; NULL when none does. */
const struct load_gid_entry *load_gid_choose(const struct load_gid_entry *table, size_t n,
                                             const struct load_gid_wish *wish);
/* "0: RoCE v2 ipv4 10.0.0.1, 1: …", cut when it is too long; "none" of an empty table. */
void load_gid_words(const struct load_gid_entry *table, size_t n, char *text, size_t size);
bool load_verbs_gid(struct load_device *device, uint8_t port, const struct load_gid_wish *wish, struct load_gid *out,
                    struct load_error *e);

/* --- device_verbs_sysfs.c: facts of a device below `root`, such as "/sys" ----------------------------------------- */

/* The first line of ROOT/class/infiniband/DEVICE/FILE. */
bool load_sysfs_text(const char *root, const char *device, const char *file, char *text, size_t size);
int load_sysfs_numa_node(const char *root, const char *device); /* -1 unknown */
/* No PCI driver but a network device as its parent: rxe, siw. */
bool load_sysfs_software(const char *root, const char *device);
/* What "100 Gb/sec (4X EDR)" says; 0 unknown. */
uint64_t load_sysfs_rate(const char *root, const char *device, unsigned port);

/* --- device_verbs_queue.c: completion queues and receives --------------------------------------------------------- */

bool load_verbs_cq_make(struct load_device *device, const struct load_cq_wish *wish, struct load_cq *out,
                        struct load_error *e);
void load_verbs_cq_free(struct load_cq *cq);
unsigned load_verbs_poll(struct load_cq *cq, struct load_wc *out, unsigned most);
bool load_verbs_arm(struct load_cq *cq);
void load_verbs_acknowledge(struct load_cq *cq);
bool load_verbs_srq_make(struct load_device *device, uint32_t depth, struct load_srq *out, struct load_error *e);
void load_verbs_srq_free(struct load_srq *srq);
int load_verbs_post_recv(struct load_qp *qp, const struct load_recv *recv, unsigned n, unsigned *done);
int load_verbs_post_srq(struct load_srq *srq, const struct load_recv *recv, unsigned n, unsigned *done);

/* --- device_verbs_qp.c, device_verbs_connect.c -------------------------------------------------------------------- */

bool load_verbs_qp_make(struct load_device *device, const struct load_qp_wish *wish, struct load_qp *out,
                        struct load_error *e);
void load_verbs_qp_free(struct load_qp *qp);
load_post_fn *load_verbs_poster(const struct load_qp *qp, enum load_opcode opcode);
load_post_fn *load_verbs_reposter(const struct load_qp *qp, enum load_opcode opcode);

bool load_verbs_qp_connect(struct load_qp *qp, const struct load_route *route, struct load_error *e);
bool load_verbs_qp_reset(struct load_qp *qp, struct load_error *e);
bool load_verbs_qp_pace(struct load_qp *qp, uint64_t rate_bps, struct load_error *e);

/* --- device_verbs_event.c ----------------------------------------------------------------------------------------- */

/* Says what an event means; false when it means nothing bad. */
bool load_verbs_event_words(const struct ibv_async_event *event, char *text, size_t size, bool *fatal);
bool load_verbs_async_event(struct load_device *device, char *text, size_t size, bool *fatal);

/* The errno of a call that returns one, or -1 and sets it; EIO when it is set to nothing. */
int load_verbs_errno(int returned);

#endif
