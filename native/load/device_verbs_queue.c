/* Completion queues, shared receive queues and receives. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "device_verbs.h"

enum { POLL_MOST = 64, RECV_CHAIN = 32 }; /* at a time, on the stack */

#define TIMED_FLAGS                                                                                                    \
  (IBV_WC_EX_WITH_BYTE_LEN | IBV_WC_EX_WITH_IMM | IBV_WC_EX_WITH_QP_NUM | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP)

/* --- completion queues -------------------------------------------------------------------------------------------- */

static bool make_channel(struct load_device *device, struct load_verbs_cq *v, struct load_error *e)
{
  errno = 0;
  v->channel = ibv_create_comp_channel(load_verbs_of(device)->context);
  if (v->channel == NULL)
    return load_fail_os(e, load_verbs_errno(0), "%s: no completion channel", device->name);
  int flags = fcntl(v->channel->fd, F_GETFL);
  if (flags < 0 || fcntl(v->channel->fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return load_fail_os(e, errno, "%s: its completion channel cannot be made non-blocking", device->name);
  return true;
}

static bool make_queue(struct load_device *device, const struct load_cq_wish *wish, struct load_verbs_cq *v,
                       struct load_error *e)
{
  struct ibv_context *context = load_verbs_of(device)->context;
  errno = 0;
  if (wish->timestamps) {
    struct ibv_cq_init_attr_ex attr = {.cqe = wish->entries, .channel = v->channel, .wc_flags = TIMED_FLAGS};
    v->ex = ibv_create_cq_ex(context, &attr);
    v->cq = v->ex == NULL ? NULL : ibv_cq_ex_to_cq(v->ex);
  } else {
    v->cq = ibv_create_cq(context, (int)wish->entries, NULL, v->channel, 0);
  }
  if (v->cq != NULL)
    return true;
  load_fail_os(e, load_verbs_errno(0), "%s: no completion queue of %u entries (at most %u)", device->name,
               wish->entries, device->caps.max_cqe);
  return false;
}

static bool moderate(struct load_device *device, const struct load_cq_wish *wish, struct load_verbs_cq *v,
                     struct load_error *e)
{
  if (wish->moderate_count == 0 && wish->moderate_period_us == 0)
    return true;
  struct ibv_modify_cq_attr attr = {
      .attr_mask = IBV_CQ_ATTR_MODERATE,
      .moderate = {.cq_count = (uint16_t)wish->moderate_count, .cq_period = (uint16_t)wish->moderate_period_us}};
  int error =
      wish->moderate_count > UINT16_MAX || wish->moderate_period_us > UINT16_MAX ? ERANGE : ibv_modify_cq(v->cq, &attr);
  return error == 0 ||
         load_fail_feature(e, "cq_moderation", "%s: no event for each %u completions or %u us: %s", device->name,
                           wish->moderate_count, wish->moderate_period_us, strerror(load_verbs_errno(error)));
}

bool load_verbs_cq_make(struct load_device *device, const struct load_cq_wish *wish, struct load_cq *out,
                        struct load_error *e)
{
  *out = (struct load_cq){.device = device, .fd = -1};
  if (wish->timestamps && !device->caps.timestamps)
    return load_fail_feature(e, "timestamps", "%s: its completions carry no time", device->name);
  struct load_verbs_cq *v = out->impl = calloc(1, sizeof *v);
  if (v == NULL)
    return load_fail_os(e, ENOMEM, "%s: no completion queue", device->name);
  if ((!wish->events || make_channel(device, v, e)) && make_queue(device, wish, v, e) && moderate(device, wish, v, e)) {
    out->fd = v->channel == NULL ? -1 : v->channel->fd;
    return true;
  }
  load_verbs_cq_free(out);
  return false;
}

void load_verbs_cq_free(struct load_cq *cq)
{
  struct load_verbs_cq *v = cq->impl;
  if (v == NULL)
    return;
  if (v->cq != NULL)
    ibv_destroy_cq(v->cq);
  if (v->channel != NULL)
    ibv_destroy_comp_channel(v->channel);
  free(v);
  cq->impl = NULL;
  cq->fd = -1;
}

/* Apart, so that polling without it saves no registers for it. */
__attribute__((noinline)) static unsigned poll_timed(struct ibv_cq_ex *cq, struct load_wc *out, unsigned most)
{
  struct ibv_poll_cq_attr attr = {0};
  unsigned n = 0;
  if (most == 0 || ibv_start_poll(cq, &attr) != 0)
    return 0;
  do {
    bool good = cq->status == IBV_WC_SUCCESS;
    bool recv = good && (ibv_wc_read_opcode(cq) & IBV_WC_RECV) != 0;
    bool imm = recv && (ibv_wc_read_wc_flags(cq) & IBV_WC_WITH_IMM) != 0;
    out[n++] = (struct load_wc){.id = cq->wr_id,
                                .qpn = ibv_wc_read_qp_num(cq),
                                .bytes = recv ? ibv_wc_read_byte_len(cq) : 0,
                                .imm = imm ? ibv_wc_read_imm_data(cq) : 0,
                                .vendor = good ? 0 : ibv_wc_read_vendor_err(cq),
                                .status = (uint8_t)cq->status,
                                .recv = recv,
                                .has_imm = imm,
                                .time = good ? ibv_wc_read_completion_ts(cq) : 0};
  } while (n < most && ibv_next_poll(cq) == 0);
  ibv_end_poll(cq);
  return n;
}

unsigned load_verbs_poll(struct load_cq *cq, struct load_wc *out, unsigned most)
{
  const struct load_verbs_cq *v = cq->impl;
  if (v->ex != NULL)
    return poll_timed(v->ex, out, most);
  struct ibv_wc found[POLL_MOST];
  int n = ibv_poll_cq(v->cq, most < POLL_MOST ? (int)most : POLL_MOST, found);
  for (int i = 0; i < n; i++) {
    const struct ibv_wc *wc = &found[i];
    out[i] = (struct load_wc){.id = wc->wr_id,
                              .qpn = wc->qp_num,
                              .bytes = wc->byte_len,
                              .imm = wc->imm_data,
                              .vendor = wc->vendor_err,
                              .status = (uint8_t)wc->status,
                              .recv = (wc->opcode & IBV_WC_RECV) != 0,
                              .has_imm = (wc->wc_flags & IBV_WC_WITH_IMM) != 0};
  }
  return n > 0 ? (unsigned)n : 0;
}

bool load_verbs_arm(struct load_cq *cq)
{
  const struct load_verbs_cq *v = cq->impl;
  return v->channel != NULL && ibv_req_notify_cq(v->cq, 0) == 0;
}

void load_verbs_acknowledge(struct load_cq *cq)
{
  const struct load_verbs_cq *v = cq->impl;
  struct ibv_cq *of = NULL;
  void *context = NULL;
  if (v->channel != NULL && ibv_get_cq_event(v->channel, &of, &context) == 0)
    ibv_ack_cq_events(of, 1);
}

/* --- receives ----------------------------------------------------------------------------------------------------- */

bool load_verbs_srq_make(struct load_device *device, uint32_t depth, struct load_srq *out, struct load_error *e)
{
  struct ibv_srq_init_attr attr = {.attr = {.max_wr = depth, .max_sge = 1}};
  errno = 0;
  *out = (struct load_srq){device, ibv_create_srq(load_verbs_of(device)->pd, &attr)};
  return out->impl != NULL || load_fail_os(e, load_verbs_errno(0), "%s: no shared receive queue of %u (at most %u)",
                                           device->name, depth, device->caps.max_srq_wr);
}

void load_verbs_srq_free(struct load_srq *srq)
{
  if (srq->impl != NULL)
    ibv_destroy_srq(srq->impl);
  srq->impl = NULL;
}

/* Fills a chain with at most RECV_CHAIN receives; returns how many. */
static unsigned chain_up(struct ibv_recv_wr *chain, const struct load_recv *recv, unsigned n)
{
  unsigned m = n < RECV_CHAIN ? n : RECV_CHAIN;
  for (unsigned i = 0; i < m; i++)
    chain[i] = (struct ibv_recv_wr){.wr_id = recv[i].id,
                                    .next = i + 1 < m ? &chain[i + 1] : NULL,
                                    .sg_list = load_ibv_sge(&recv[i].sge),
                                    .num_sge = recv[i].sge.length != 0};
  return m;
}

int load_verbs_post_recv(struct load_qp *qp, const struct load_recv *recv, unsigned n, unsigned *done)
{
  struct ibv_recv_wr chain[RECV_CHAIN];
  struct ibv_qp *to = ((const struct load_verbs_qp *)qp->impl)->qp;
  int returned = 0;
  for (*done = 0; *done < n && returned == 0;) {
    struct ibv_recv_wr *bad = chain;
    unsigned m = chain_up(chain, recv + *done, n - *done);
    returned = ibv_post_recv(to, chain, &bad);
    *done += returned == 0 ? m : (unsigned)(bad - chain);
  }
  return returned == 0 ? 0 : load_verbs_errno(returned);
}

int load_verbs_post_srq(struct load_srq *srq, const struct load_recv *recv, unsigned n, unsigned *done)
{
  struct ibv_recv_wr chain[RECV_CHAIN];
  int returned = 0;
  for (*done = 0; *done < n && returned == 0;) {
    struct ibv_recv_wr *bad = chain;
    unsigned m = chain_up(chain, recv + *done, n - *done);
    returned = ibv_post_srq_recv(srq->impl, chain, &bad);
    *done += returned == 0 ? m : (unsigned)(bad - chain);
  }
  return returned == 0 ? 0 : load_verbs_errno(returned);
}
