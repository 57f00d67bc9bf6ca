/* Defines how a verb is posted, for the op_*.c: three loops, each specialised by what the compiler knows.
 *
 *   LOAD_DEFINE_POSTS(write, IBV_WR_RDMA_WRITE, IBV_QP_EX_WITH_RDMA_WRITE, ibv_wr_rdma_write(q, w->rkey, w->raddr),
 *                     LOAD_CHAIN_RDMA)
 *   … .posts = LOAD_POSTS(write)
 *
 * The call sees q (struct ibv_qp_ex *) and w (const struct load_wr *), the statements of the chain s (struct
 * ibv_send_wr *) and w. LOAD_DEFINE_UD_POSTS takes the same and adds where the QP's peer is. Without libibverbs nothing
 * is defined and LOAD_POSTS() is NULL.
 */
#ifndef ROCE_LOAD_WR_POST_H
#define ROCE_LOAD_WR_POST_H

#include "op.h"

#ifndef ROCE_LOAD_VERBS

#define LOAD_DEFINE_POSTS(verb, opcode, send_op, call, chain)
#define LOAD_DEFINE_UD_POSTS(verb, opcode, send_op, call, chain)
#define LOAD_POSTS(verb) NULL

#else

#include "device_verbs.h"

#define LOAD_POSTS(verb) (&posts_##verb)
#define LOAD_DEFINE_POSTS(verb, opcode, send_op, call, chain)                                                          \
  LOAD_DEFINE_POSTS_AT(verb, opcode, send_op, call, chain, LOAD_CONNECTED, LOAD_CONNECTED)
#define LOAD_DEFINE_UD_POSTS(verb, opcode, send_op, call, chain)                                                       \
  LOAD_DEFINE_POSTS_AT(verb, opcode, send_op, call, chain, ibv_wr_set_ud_addr(q, v->ah, v->remote_qpn, v->qkey),       \
                       LOAD_CHAIN_UD)

/* What a work request of a chain has beside the elements. */
#define LOAD_CHAIN_RDMA (s->wr.rdma.remote_addr = w->raddr, s->wr.rdma.rkey = w->rkey)
#define LOAD_CHAIN_RDMA_IMM (s->imm_data = w->imm, LOAD_CHAIN_RDMA)
#define LOAD_CHAIN_IMM (s->imm_data = w->imm)
#define LOAD_CHAIN_ATOMIC                                                                                              \
  (s->wr.atomic.remote_addr = w->raddr, s->wr.atomic.compare_add = w->compare_add, s->wr.atomic.swap = w->swap,        \
   s->wr.atomic.rkey = w->rkey)
#define LOAD_CHAIN_UD (s->wr.ud.ah = v->ah, s->wr.ud.remote_qpn = v->remote_qpn, s->wr.ud.remote_qkey = v->qkey)
#define LOAD_NOTHING ((void)0)
#define LOAD_CONNECTED ((void)v)

/* Elements of any number, inline or not. LOAD_INLINE stays in wr_flags although ibv_wr_post(3) has the setters imply
 * it: rxe and bnxt_re of rdma-core (seen in 56 and 64) look for it there, others take or ignore it. */
static inline void load_wr_set_data(struct ibv_qp_ex *q, const struct load_wr *w)
{
  if ((w->flags & LOAD_INLINE) == 0) {
    if (w->n_sge == 1)
      ibv_wr_set_sge(q, w->sge->lkey, w->sge->addr, w->sge->length);
    else
      ibv_wr_set_sge_list(q, w->n_sge, load_ibv_sge(w->sge));
    return;
  }
  struct ibv_data_buf buffers[LOAD_MAX_SGE];
  for (unsigned i = 0; i < w->n_sge && i < LOAD_MAX_SGE; i++)
    buffers[i] = (struct ibv_data_buf){(void *)(uintptr_t)w->sge[i].addr, w->sge[i].length};
  if (w->n_sge == 1)
    ibv_wr_set_inline_data(q, buffers[0].addr, buffers[0].length);
  else
    ibv_wr_set_inline_data_list(q, w->n_sge, buffers);
}

/* Posts the first `m` work requests of a QP's chain; adds what was posted to *done. */
static inline int load_post_chain(struct load_verbs_qp *v, unsigned m, unsigned *done)
{
  if (v->cut != m - 1) {
    v->chain[v->cut].next = v->cut + 1 < v->chain_length ? &v->chain[v->cut + 1] : NULL;
    v->cut = m - 1;
    v->chain[v->cut].next = NULL;
  }
  struct ibv_send_wr *bad = v->chain;
  int returned = ibv_post_send(v->qp, v->chain, &bad);
  *done += returned == 0 ? m : (unsigned)(bad - v->chain);
  return returned == 0 ? 0 : load_verbs_errno(returned);
}

/* The loop of the extended API. An error is told at its end, and nothing of the batch is posted then
 * (ibv_wr_complete(3)). */
#define LOAD_POST_LOOP(call, address, data)                                                                            \
  struct ibv_qp_ex *q = qp->fast;                                                                                      \
  const struct load_verbs_qp *v = qp->impl;                                                                            \
  (void)v;                                                                                                             \
  ibv_wr_start(q);                                                                                                     \
  for (const struct load_wr *w = wr, *end = wr + n; w != end; w++) {                                                   \
    q->wr_id = w->id;                                                                                                  \
    q->wr_flags = w->flags;                                                                                            \
    call;                                                                                                              \
    address;                                                                                                           \
    LOAD_DATA_OF_##data;                                                                                               \
  }                                                                                                                    \
  int error = ibv_wr_complete(q);                                                                                      \
  *done = error == 0 ? n : 0;                                                                                          \
  return error == 0 ? 0 : load_verbs_errno(error)
#define LOAD_DATA_OF_ONE ibv_wr_set_sge(q, w->sge->lkey, w->sge->addr, w->sge->length)
#define LOAD_DATA_OF_ANY load_wr_set_data(q, w)

#define LOAD_DEFINE_POSTS_AT(verb, ibv_opcode, ibv_send_op, call, chain_of_verb, address, chain_address)               \
  static int post_##verb##_one(struct load_qp *qp, const struct load_wr *wr, unsigned n, unsigned *done)               \
  {                                                                                                                    \
    LOAD_POST_LOOP(call, address, ONE);                                                                                \
  }                                                                                                                    \
  static int post_##verb##_any(struct load_qp *qp, const struct load_wr *wr, unsigned n, unsigned *done)               \
  {                                                                                                                    \
    LOAD_POST_LOOP(call, address, ANY);                                                                                \
  }                                                                                                                    \
  static int post_##verb##_legacy(struct load_qp *qp, const struct load_wr *wr, unsigned n, unsigned *done)            \
  {                                                                                                                    \
    struct load_verbs_qp *v = qp->impl;                                                                                \
    int error = 0;                                                                                                     \
    *done = 0;                                                                                                         \
    v->same = 0;                                                                                                       \
    for (unsigned m; n > 0 && error == 0; n -= m, wr += m) {                                                           \
      m = n < v->chain_length ? n : v->chain_length;                                                                   \
      for (unsigned i = 0; i < m; i++) {                                                                               \
        const struct load_wr *w = &wr[i];                                                                              \
        struct ibv_send_wr *s = &v->chain[i];                                                                          \
        s->wr_id = w->id;                                                                                              \
        s->opcode = (ibv_opcode);                                                                                      \
        s->sg_list = load_ibv_sge(w->sge);                                                                             \
        s->num_sge = (int)w->n_sge;                                                                                    \
        s->send_flags = w->flags;                                                                                      \
        chain_of_verb;                                                                                                 \
        chain_address;                                                                                                 \
      }                                                                                                                \
      error = load_post_chain(v, m, done);                                                                             \
    }                                                                                                                  \
    return error;                                                                                                      \
  }                                                                                                                    \
  static const struct load_posts posts_##verb = {(ibv_send_op), post_##verb##_one, post_##verb##_any,                  \
                                                 post_##verb##_legacy};

#endif
#endif
