/* What becomes of a message between two null devices.
 *
 * Who answers with what follows the InfiniBand specification (volume 1, chapter 9.9, tables of requester and responder
 * errors); where a target may choose, it does as Soft-RoCE does.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device_null.h"

#define MAX_MESSAGE (UINT64_C(1) << 31)
#define NOWHERE UINT64_MAX

enum {
  RNR_FOR_EVER = 7,
  PSN_MASK = 0xFFFFFF,
  HELD_NS = 1000000, /* a message that none follows is overtaken by nothing for so long */
};

/* A message as the wire sees it: its local side has been checked. */
struct message {
  enum load_opcode opcode;
  const struct load_wr *wr;
  uint64_t length;
  uint64_t spoilt; /* which byte is to be changed, NOWHERE: none */
};

/* What comes back, and what happens to the target. */
struct reply {
  enum load_status status;
  bool not_ready;         /* no receive was there; try again later */
  struct null_qp *victim; /* goes into the error state */
  const char *event;      /* and says this, NULL: nothing */
  bool took;              /* a receive was taken, and completes with: */
  uint64_t recv_id;
  enum load_status recv_status;
};

static const struct reply well; /* success, all zero */

static bool sends(enum load_opcode opcode)
{
  return opcode == LOAD_SEND || opcode == LOAD_SEND_IMM;
}
static bool atomic(enum load_opcode opcode)
{
  return opcode == LOAD_FETCH_ADD || opcode == LOAD_COMPARE_SWAP;
}
static bool fetches(enum load_opcode opcode)
{
  return opcode == LOAD_READ || atomic(opcode);
}
static bool immediate(enum load_opcode opcode)
{
  return opcode == LOAD_SEND_IMM || opcode == LOAD_WRITE_IMM;
}

static void *at(uint64_t address)
{
  return (void *)(uintptr_t)address;
}

/* --- who is there ------------------------------------------------------------------------------------------------ */

static bool linked(const struct null_qp *qp, const struct null_qp *peer)
{
  if (peer->state != NULL_READY || peer->wish.transport != qp->wish.transport || peer->device->dead ||
      memcmp(qp->route.dgid, peer->device->gid, sizeof peer->device->gid) != 0)
    return false;
  if (qp->wish.transport == LOAD_UD)
    return peer->route.qkey == qp->route.qkey;
  return peer->route.remote_qpn == qp->qpn &&
         memcmp(peer->route.dgid, qp->device->gid, sizeof qp->device->gid) == 0 &&
         (qp->wish.transport == LOAD_UC || (peer->route.remote_psn & PSN_MASK) == (qp->route.psn & PSN_MASK));
}

struct null_qp *null_peer(struct null_qp *qp)
{
  const struct null_fabric *fabric = qp->device->fabric;
  if (qp->peer_version == fabric->version)
    return qp->peer;
  struct null_qp *peer = null_fabric_qp(fabric, qp->route.remote_qpn);
  qp->peer = peer != NULL && linked(qp, peer) ? peer : NULL;
  qp->peer_version = fabric->version;
  qp->peer_quick = qp->peer != NULL && !peer->device->counts && peer->route.mtu >= qp->route.mtu &&
                   (peer->route.access & LOAD_REMOTE_WRITE) != 0;
  return qp->peer;
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

void null_copy(uint64_t to, const void *from, uint64_t length)
{
  uint8_t *bytes = at(to);
  if (length == 0)
    return;
  uint8_t last = ((const uint8_t *)from)[length - 1];
  memmove(bytes, from, length - 1); /* a QP may write to its own memory */
  __atomic_store_n(bytes + length - 1, last, __ATOMIC_RELEASE);
}

static void spoil(uint64_t to, const struct message *m)
{
  if (m->spoilt < m->length)
    *(uint8_t *)at(to + m->spoilt) ^= 0x20;
}

/* Gathers a message at `to`. */
static void gather(const struct null_qp *qp, uint64_t to, const struct message *m)
{
  if (!qp->device->options.data)
    return;
  uint64_t first = to;
  for (uint32_t i = 0; i < m->wr->n_sge; i++) {
    null_copy(to, at(m->wr->sge[i].addr), m->wr->sge[i].length);
    to += m->wr->sge[i].length;
  }
  spoil(first, m);
}

/* Spreads what was read over the elements of the requester. */
static void scatter(const struct null_qp *qp, const struct message *m)
{
  uint64_t from = m->wr->raddr, done = 0;
  if (!qp->device->options.data)
    return;
  for (uint32_t i = 0; i < m->wr->n_sge; i++) {
    const struct load_sge *sge = &m->wr->sge[i];
    null_copy(sge->addr, at(from + done), sge->length);
    if (m->spoilt >= done && m->spoilt - done < sge->length)
      *(uint8_t *)at(sge->addr + m->spoilt - done) ^= 0x20;
    done += sge->length;
  }
}

/* The 40 bytes before a datagram: 20 undefined ones and the IPv4 header of RoCE v2 (annex A17.4.5.2). */
static void write_grh(const struct null_qp *from, const struct null_qp *to, uint64_t where, uint64_t length)
{
  enum { IP = 20, UDP = 8, BTH = 12, DETH = 8, ICRC = 4, PROTOCOL_UDP = 17 };
  uint64_t total = IP + UDP + BTH + DETH + length + ICRC;
  uint8_t grh[NULL_GRH] = {0}, *ip = grh + IP;
  ip[0] = 0x45;
  ip[1] = from->route.traffic_class;
  ip[2] = (uint8_t)(total >> 8);
  ip[3] = (uint8_t)total;
  ip[8] = from->route.hop_limit;
  ip[9] = PROTOCOL_UDP;
  memcpy(ip + 12, from->device->gid + 12, 4);
  memcpy(ip + 16, to->device->gid + 12, 4);
  uint32_t sum = 0;
  for (unsigned i = 0; i < IP; i += 2)
    sum += (uint32_t)ip[i] << 8 | ip[i + 1];
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = ~((sum & 0xFFFF) + (sum >> 16));
  ip[10] = (uint8_t)(sum >> 8);
  ip[11] = (uint8_t)sum;
  memcpy(at(where), grh, sizeof grh);
}

/* --- the target -------------------------------------------------------------------------------------------------- */

/* A target that refuses; unreliable ones say nothing and go on. */
static struct reply refuse(struct null_qp *peer, enum load_status status, const char *event)
{
  if (peer->wish.transport != LOAD_RC)
    return well;
  return (struct reply){.status = status, .victim = peer, .event = event};
}

static bool remote_allowed(const struct null_qp *peer, const struct message *m, unsigned access)
{
  return m->length == 0 || ((m->wr->rkey & NULL_RKEY) != 0 && null_allowed(peer->device, m->wr->rkey & ~NULL_RKEY,
                                                                            m->wr->raddr, m->length, access));
}

/* Takes the receive for a message that puts `bytes` into it. Returns false, with what to answer, when it cannot be. */
static bool take_recv(struct null_qp *peer, uint64_t bytes, struct load_recv *out, struct reply *reply)
{
  struct null_rq *rq = peer->rq;
  bool reliable = peer->wish.transport == LOAD_RC;
  *reply = well;
  if (rq->head == rq->tail) {
    reply->not_ready = reliable;
    return false;
  }
  *out = rq->ring[rq->head & rq->mask];
  if (bytes > out->sge.length) {
    *reply = refuse(peer, LOAD_WC_REM_INV_REQ_ERR, NULL);
    reply->recv_status = LOAD_WC_LOC_LEN_ERR;
    if (!reliable)
      return false;
  } else if (bytes > 0 && !null_allowed(peer->device, out->sge.lkey, out->sge.addr, bytes, LOAD_LOCAL_WRITE)) {
    *reply = (struct reply){.status = reliable ? LOAD_WC_REM_OP_ERR : LOAD_WC_SUCCESS, .victim = peer};
    reply->recv_status = LOAD_WC_LOC_PROT_ERR;
  }
  rq->head++;
  reply->took = true;
  reply->recv_id = out->id;
  return reply->victim == NULL;
}

static struct reply deliver_send(struct null_qp *qp, struct null_qp *peer, const struct message *m)
{
  uint64_t grh = qp->wish.transport == LOAD_UD ? NULL_GRH : 0;
  struct load_recv recv;
  struct reply reply;
  if (!take_recv(peer, m->length + grh, &recv, &reply))
    return reply;
  if (grh > 0 && qp->device->options.data)
    write_grh(qp, peer, recv.sge.addr, m->length);
  gather(qp, recv.sge.addr + grh, m);
  null_qp_received(peer, recv.id, LOAD_WC_SUCCESS, (uint32_t)(m->length + grh),
                   immediate(m->opcode) ? &m->wr->imm : NULL);
  return well;
}

static struct reply deliver_write(struct null_qp *qp, struct null_qp *peer, const struct message *m)
{
  struct load_recv recv;
  struct reply reply;
  if ((peer->route.access & LOAD_REMOTE_WRITE) == 0)
    return refuse(peer, LOAD_WC_REM_INV_REQ_ERR, "QP_REQ_ERR");
  if (!remote_allowed(peer, m, LOAD_REMOTE_WRITE))
    return refuse(peer, LOAD_WC_REM_ACCESS_ERR, "QP_ACCESS_ERR");
  if (immediate(m->opcode) && !take_recv(peer, 0, &recv, &reply))
    return reply;
  gather(qp, m->wr->raddr, m);
  if (immediate(m->opcode))
    null_qp_received(peer, recv.id, LOAD_WC_SUCCESS, (uint32_t)m->length, &m->wr->imm);
  return well;
}

static struct reply deliver_read(const struct null_qp *qp, struct null_qp *peer, const struct message *m)
{
  if ((peer->route.access & LOAD_REMOTE_READ) == 0 || peer->route.max_rd_atomic == 0)
    return refuse(peer, LOAD_WC_REM_INV_REQ_ERR, "QP_REQ_ERR");
  if (!remote_allowed(peer, m, LOAD_REMOTE_READ))
    return refuse(peer, LOAD_WC_REM_ACCESS_ERR, "QP_ACCESS_ERR");
  scatter(qp, m);
  return well;
}

static struct reply deliver_atomic(const struct null_qp *qp, struct null_qp *peer, const struct message *m)
{
  const struct load_wr *wr = m->wr;
  if ((peer->route.access & LOAD_REMOTE_ATOMIC) == 0 || peer->route.max_rd_atomic == 0 || wr->raddr % 8 != 0)
    return refuse(peer, LOAD_WC_REM_INV_REQ_ERR, "QP_REQ_ERR");
  if (!remote_allowed(peer, m, LOAD_REMOTE_ATOMIC))
    return refuse(peer, LOAD_WC_REM_ACCESS_ERR, "QP_ACCESS_ERR");
  if (!qp->device->options.data)
    return well;
  uint64_t *word = at(wr->raddr), before = wr->compare_add;
  if (m->opcode == LOAD_FETCH_ADD)
    before = __atomic_fetch_add(word, wr->compare_add, __ATOMIC_ACQ_REL);
  else /* leaves what was found in `before` when that was something else */
    (void)__atomic_compare_exchange_n(word, &before, wr->swap, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  null_copy(wr->sge[0].addr, &before, sizeof before);
  return well;
}

static struct reply deliver(struct null_qp *qp, const struct message *m)
{
  struct null_qp *peer = null_peer(qp);
  if (peer == NULL)
    return (struct reply){.status = qp->wish.transport == LOAD_RC ? LOAD_WC_RETRY_EXC_ERR : LOAD_WC_SUCCESS};
  if (!fetches(m->opcode) && m->length > peer->route.mtu && qp->route.mtu > peer->route.mtu)
    return refuse(peer, LOAD_WC_REM_INV_REQ_ERR, "QP_REQ_ERR"); /* packets longer than it takes */
  struct reply reply = sends(m->opcode)          ? deliver_send(qp, peer, m)
                       : m->opcode == LOAD_READ  ? deliver_read(qp, peer, m)
                       : fetches(m->opcode)      ? deliver_atomic(qp, peer, m)
                                                 : deliver_write(qp, peer, m);
  peer->device->handled += reply.not_ready ? 0 : 1;
  return reply;
}

/* --- what the wire does to messages ------------------------------------------------------------------------------ */

static bool chance(struct null_device *device, double share)
{
  return share > 0 && rng_double(&device->rng) < share;
}

/* Keeps a copy, to be delivered after the next message. Returns false when memory is short. */
static bool hold(struct null_qp *qp, const struct message *m, uint64_t now)
{
  struct null_held *held = &qp->held;
  const struct load_clock *clock = &qp->device->fabric->clock;
  uint8_t *bytes = malloc(m->length + 1);
  if (bytes == NULL)
    return false;
  *held = (struct null_held){.any = true, .opcode = m->opcode, .wr = *m->wr, .bytes = bytes};
  gather(qp, (uint64_t)(uintptr_t)bytes, m);
  held->sge = (struct load_sge){(uint64_t)(uintptr_t)bytes, (uint32_t)m->length, 0};
  held->wr.sge = &held->sge;
  held->wr.n_sge = 1;
  held->until = now + (uint64_t)(HELD_NS * clock->ticks_per_ns);
  return true;
}

/* The sender knows nothing of this anymore; only the target can fail. */
static void settle_target(const struct reply *reply)
{
  struct null_qp *victim = reply->victim;
  if (victim == NULL)
    return;
  if (reply->took)
    null_qp_received(victim, reply->recv_id, reply->recv_status, 0, NULL);
  if (reply->event != NULL)
    null_event_add(victim->device, false, "%s QP %u", reply->event, victim->qpn);
  null_qp_fail(victim);
}

void null_held_release(struct null_qp *qp)
{
  struct null_held held = qp->held;
  qp->held = (struct null_held){0};
  held.wr.sge = &held.sge;
  struct message m = {held.opcode, &held.wr, held.sge.length, NOWHERE};
  struct reply reply = deliver(qp, &m);
  settle_target(&reply);
  free(held.bytes);
}

static struct reply transmit(struct null_qp *qp, struct message *m, uint64_t now)
{
  struct null_device *d = qp->device;
  const struct null_options *o = &d->options;
  bool exposed = d->spoils && (qp->wish.transport != LOAD_RC || o->unreliable);
  if (!exposed)
    return deliver(qp, m);
  bool request = !fetches(m->opcode);
  if (request && chance(d, o->loss))
    return well;
  if (!atomic(m->opcode) && m->length > 0 && chance(d, o->corrupt))
    m->spoilt = rng_below(&d->rng, m->length);
  if (request && !qp->held.any && chance(d, o->reorder) && hold(qp, m, now))
    return well;
  struct reply reply = deliver(qp, m);
  if (reply.not_ready || reply.status != LOAD_WC_SUCCESS || reply.victim != NULL)
    return reply;
  if (request && chance(d, o->dup)) {
    struct reply again = deliver(qp, m);
    settle_target(&again);
  }
  if (qp->held.any)
    null_held_release(qp);
  return well;
}

/* --- the source -------------------------------------------------------------------------------------------------- */

static enum load_status check_local(const struct null_qp *qp, const struct message *m)
{
  if (m->length > MAX_MESSAGE || (qp->wish.transport == LOAD_UD && m->length > qp->route.mtu))
    return LOAD_WC_LOC_LEN_ERR;
  if (atomic(m->opcode) && (m->wr->n_sge != 1 || m->length != sizeof(uint64_t)))
    return LOAD_WC_LOC_LEN_ERR;
  if ((m->wr->flags & LOAD_INLINE) != 0)
    return fetches(m->opcode) ? LOAD_WC_LOC_QP_OP_ERR : LOAD_WC_SUCCESS;
  for (uint32_t i = 0; i < m->wr->n_sge; i++) {
    const struct load_sge *sge = &m->wr->sge[i];
    if (sge->length > 0 && !null_allowed(qp->device, sge->lkey, sge->addr, sge->length,
                                         fetches(m->opcode) ? LOAD_LOCAL_WRITE : 0))
      return LOAD_WC_LOC_PROT_ERR;
  }
  return LOAD_WC_SUCCESS;
}

/* IBTA volume 1, table 45: the encoding of the RNR NAK timer, in units of 10 us. */
static double rnr_ns(unsigned timer)
{
  static const uint32_t units[] = {65536, 1,   2,   3,   4,    6,    8,    12,   16,   24,   32,
                                   48,    64,  96,  128, 192,  256,  384,  512,  768,  1024, 1536,
                                   2048,  3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 49152};
  return 1e4 * units[timer & 31];
}

/* When to try again, or 0: never. A receive that is posted before makes it go on at once, without a try: the source is
 * faster than any target, and would spend most of its time in these waits. */
static uint64_t rnr_again(struct null_qp *qp, uint64_t now)
{
  struct null_rq *rq = qp->peer->rq;
  if (now >= qp->rnr_until) {
    if (qp->route.rnr_retry != RNR_FOR_EVER && qp->rnr_tries >= qp->route.rnr_retry)
      return 0;
    qp->rnr_tries++;
    qp->rnr_until =
        now + (uint64_t)ceil(rnr_ns(qp->peer->route.rnr_timer) * qp->device->fabric->clock.ticks_per_ns);
  }
  if (qp->waits_for == NULL) {
    qp->waits_for = rq;
    qp->next_waiting = rq->waiting;
    rq->waiting = qp;
  }
  return qp->rnr_until;
}

static void wear(struct null_device *device)
{
  if (device->handled >= device->options.die_after && !device->dead)
    null_device_kill(device);
}

static void finish(struct null_qp *qp, const struct load_wr *wr, const struct reply *reply)
{
  struct null_device *there = null_peer(qp) != NULL ? null_peer(qp)->device : NULL;
  qp->rnr_tries = 0;
  qp->rnr_until = 0;
  qp->device->sent++;
  qp->device->handled++;
  null_qp_sent(qp, wr, reply->status);
  if (reply->status != LOAD_WC_SUCCESS)
    null_qp_fail(qp);
  settle_target(reply);
  wear(qp->device);
  if (there != NULL)
    wear(there);
}

uint64_t null_execute(struct null_qp *qp, enum load_opcode opcode, const struct load_wr *wr, uint64_t now)
{
  struct null_device *d = qp->device;
  struct message m = {opcode, wr, null_length(wr), NOWHERE};
  struct reply reply = {.status = check_local(qp, &m)};
  if (d->sent >= d->options.hang_after)
    return NULL_NEVER;
  if (reply.status == LOAD_WC_SUCCESS && d->sent >= d->options.qp_error_after && !d->erred) {
    d->erred = true;
    reply.status = qp->wish.transport == LOAD_RC ? LOAD_WC_REM_OP_ERR : LOAD_WC_LOC_QP_OP_ERR;
  }
  if (reply.status == LOAD_WC_SUCCESS)
    reply = transmit(qp, &m, now);
  if (reply.not_ready) {
    uint64_t again = rnr_again(qp, now);
    if (again != 0)
      return again;
    reply = (struct reply){.status = LOAD_WC_RNR_RETRY_EXC_ERR};
  }
  finish(qp, wr, &reply);
  return 0;
}
