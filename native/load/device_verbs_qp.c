/* Queue pairs: making them for one API of posting or the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device_verbs.h"
#include "wr_post.h"

static enum ibv_qp_type type_of(enum load_transport transport)
{
  static const enum ibv_qp_type types[] = {[LOAD_RC] = IBV_QPT_RC, [LOAD_UC] = IBV_QPT_UC, [LOAD_UD] = IBV_QPT_UD};
  return types[transport];
}

static const struct load_posts *posts_of(enum load_transport transport, enum load_opcode opcode)
{
  const struct load_op *op = load_op_of(opcode);
  if (op == NULL)
    return NULL;
  return transport == LOAD_UD ? op->ud_posts : op->posts;
}

/* What is to be posted, as ibv_create_qp_ex() is asked for it. */
static uint64_t send_ops(const struct load_qp_wish *wish)
{
  uint64_t flags = 0;
  for (unsigned i = 0; i < LOAD_OPCODES; i++) {
    const struct load_posts *posts =
        (wish->opcodes >> i & 1) != 0 ? posts_of(wish->transport, (enum load_opcode)i) : NULL;
    flags |= posts == NULL ? 0 : posts->send_op;
  }
  return flags;
}

static struct ibv_qp_cap cap_of(const struct load_qp_wish *wish, uint32_t inline_bytes)
{
  return (struct ibv_qp_cap){
      .max_send_wr = wish->sends == 0 ? 1 : wish->sends,
      .max_recv_wr = wish->srq != NULL     ? 0
                     : wish->receives == 0 ? 1
                                           : wish->receives,
      .max_send_sge = wish->sges == 0 ? 1 : wish->sges,
      .max_recv_sge = 1,
      .max_inline_data = inline_bytes,
  };
}

/* A QP in RESET by one of the two calls, or NULL and errno. One that would take less inline is none. */
static struct ibv_qp *create(struct load_verbs *v, const struct load_qp_wish *wish, bool extended,
                             uint32_t inline_bytes)
{
  struct ibv_cq *cq = ((const struct load_verbs_cq *)wish->cq->impl)->cq;
  struct ibv_qp_init_attr_ex attr = {.send_cq = cq,
                                     .recv_cq = cq,
                                     .srq = wish->srq == NULL ? NULL : wish->srq->impl,
                                     .cap = cap_of(wish, inline_bytes),
                                     .qp_type = type_of(wish->transport),
                                     .comp_mask = IBV_QP_INIT_ATTR_PD,
                                     .pd = v->pd};
  if (extended) {
    attr.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
    attr.send_ops_flags = send_ops(wish);
  }
  errno = 0;
  struct ibv_qp *qp = ibv_create_qp_ex(v->context, &attr); /* without flags this is ibv_create_qp() */
  if (qp != NULL && attr.cap.max_inline_data < inline_bytes) {
    ibv_destroy_qp(qp);
    errno = EINVAL;
    return NULL;
  }
  return qp;
}

/* rxe of rdma-core before 64 gets the length of a list wrong in ibv_wr_set_sge_list() and sends nothing of one that is
 * inline (its commits 406cd2ad0, 1e8ed0aff); no call tells the version of a provider. */
static bool is_spoiled(const struct load_device *device, const struct load_qp_wish *wish)
{
  return device->caps.software && wish->sges > 1;
}

/* By the extended call where the wish and the device allow it; says in `extended` which it was. */
static struct ibv_qp *create_either(struct load_device *device, const struct load_qp_wish *wish, uint32_t inline_bytes,
                                    bool *extended)
{
  struct load_verbs *v = load_verbs_of(device);
  *extended = wish->posting != LOAD_POST_LEGACY && !is_spoiled(device, wish);
  struct ibv_qp *qp = *extended ? create(v, wish, true, inline_bytes) : NULL;
  if (qp != NULL || wish->posting == LOAD_POST_WR)
    return qp;
  *extended = false;
  return create(v, wish, false, inline_bytes);
}

/* Says why there is no QP: what may be to blame is tried without it. */
static bool fail_qp(struct load_device *device, const struct load_qp_wish *wish, int number, struct load_error *e)
{
  struct load_verbs *v = load_verbs_of(device);
  bool extended = false;
  struct ibv_qp *qp = wish->inline_bytes == 0 ? NULL : create_either(device, wish, 0, &extended);
  if (qp != NULL) {
    ibv_destroy_qp(qp);
    return load_fail_feature(e, "inline", "%s: a QP that sends %u bytes inline is refused: %s", device->name,
                             wish->inline_bytes, strerror(number));
  }
  qp = wish->posting == LOAD_POST_WR ? create(v, wish, false, 0) : NULL;
  if (qp != NULL) {
    ibv_destroy_qp(qp);
    return load_fail_feature(e, "post", "%s: a QP for ibv_wr_* is refused: %s", device->name, strerror(number));
  }
  const struct load_caps *caps = &device->caps;
  return load_fail_os(
      e, number, "%s: no QP with %u sends of %u elements and %u receives (at most %u QPs, %u requests, %u elements)",
      device->name, wish->sends, wish->sges, wish->receives, caps->max_qp, caps->max_qp_wr, caps->max_sge);
}

static bool make_chain(struct load_verbs_qp *q, const struct load_qp_wish *wish)
{
  uint32_t wanted = wish->batch == 0 ? LOAD_CHAIN : wish->batch < LOAD_MAX_CHAIN ? wish->batch : LOAD_MAX_CHAIN;
  q->chain_length = wish->sends == 0 ? 1 : wish->sends < wanted ? wish->sends : wanted;
  q->cut = q->chain_length - 1;
  q->chain = calloc(q->chain_length, sizeof *q->chain);
  for (uint32_t i = 0; q->chain != NULL && i < q->cut; i++)
    q->chain[i].next = &q->chain[i + 1];
  return q->chain != NULL;
}

bool load_verbs_qp_make(struct load_device *device, const struct load_qp_wish *wish, struct load_qp *out,
                        struct load_error *e)
{
  *out = (struct load_qp){.device = device};
  if (wish->posting == LOAD_POST_WR && is_spoiled(device, wish))
    return load_fail_feature(e, "post", "%s: its ibv_wr_* sends no %u elements: post by auto or legacy", device->name,
                             wish->sges);
  struct load_verbs_qp *q = out->impl = calloc(1, sizeof *q);
  if (q == NULL)
    return load_fail_os(e, ENOMEM, "%s: no QP", device->name);
  q->transport = wish->transport;
  q->plain = wish->sges <= 1 && wish->inline_bytes == 0;
  bool extended = false;
  q->qp = create_either(device, wish, wish->inline_bytes, &extended);
  bool good = q->qp != NULL || fail_qp(device, wish, load_verbs_errno(0), e);
  if (good && !extended && !make_chain(q, wish))
    good = load_fail_os(e, ENOMEM, "%s: no QP with %u sends", device->name, wish->sends);
  if (!good) {
    load_verbs_qp_free(out);
    return false;
  }
  q->ex = extended ? ibv_qp_to_qp_ex(q->qp) : NULL;
  out->qpn = q->qp->qp_num;
  out->fast = q->ex;
  out->posting = extended ? LOAD_POST_WR : LOAD_POST_LEGACY;
  return true;
}

void load_verbs_qp_free(struct load_qp *qp)
{
  struct load_verbs_qp *q = qp->impl;
  if (q == NULL)
    return;
  if (q->qp != NULL)
    ibv_destroy_qp(q->qp);
  if (q->ah != NULL)
    ibv_destroy_ah(q->ah);
  free(q->chain);
  free(q);
  qp->impl = qp->fast = NULL;
}

load_post_fn *load_verbs_poster(const struct load_qp *qp, enum load_opcode opcode)
{
  const struct load_verbs_qp *q = qp->impl;
  const struct load_posts *posts = posts_of(q->transport, opcode);
  if (posts == NULL)
    return NULL;
  if (q->ex == NULL)
    return posts->legacy;
  return q->plain ? posts->one : posts->any;
}

/* Another length than that of the call before, or the first. */
__attribute__((noinline)) static int post_same_anew(struct load_qp *qp, const struct load_wr *wr, unsigned n,
                                                    unsigned *done)
{
  struct load_verbs_qp *q = qp->impl;
  *done = 0;
  if (n == 0)
    return 0;
  if (n > q->same) { /* also what is too long for the chain */
    int error = q->fill_and_post(qp, wr, n, done);
    q->same = n <= q->chain_length ? n : 0;
    return error;
  }
  q->chain[q->cut].wr_id = wr[q->cut].id; /* the last of the call before */
  q->chain[q->cut].send_flags = wr[q->cut].flags;
  q->chain[n - 1].wr_id = wr[n - 1].id;
  q->chain[n - 1].send_flags = wr[n - 1].flags;
  return load_post_chain(q, n, done);
}

__attribute__((noinline)) static int post_failed(const struct load_verbs_qp *q, int returned,
                                                 const struct ibv_send_wr *bad, unsigned *done)
{
  *done = (unsigned)(bad - q->chain);
  return load_verbs_errno(returned);
}

/* Takes from the array what may have changed since the call before. */
static int post_same(struct load_qp *qp, const struct load_wr *wr, unsigned n, unsigned *done)
{
  const struct load_verbs_qp *q = qp->impl;
  if (n > q->same || n != q->cut + 1)
    return post_same_anew(qp, wr, n, done);
  const struct load_wr *last = &wr[n - 1];
  struct ibv_send_wr *bad = q->chain;
  q->chain[n - 1].wr_id = last->id;
  q->chain[n - 1].send_flags = last->flags;
  *done = n;
  int returned = ibv_post_send(q->qp, q->chain, &bad);
  return returned == 0 ? 0 : post_failed(q, returned, bad, done);
}

load_post_fn *load_verbs_reposter(const struct load_qp *qp, enum load_opcode opcode)
{
  struct load_verbs_qp *q = qp->impl;
  load_post_fn *poster = load_verbs_poster(qp, opcode);
  if (poster == NULL || q->ex != NULL)
    return poster;
  q->same = 0;
  q->fill_and_post = poster;
  return post_same;
}
