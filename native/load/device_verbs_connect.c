/* A queue pair's way from RESET to RTS and back; the attributes are those of the agent's pairs.py. */
#include <errno.h>
#include <string.h>

#include "device_verbs.h"

static uint8_t least(uint32_t a, uint32_t b)
{
  return (uint8_t)(a < b ? a : b);
}

static enum ibv_mtu mtu_of(uint32_t bytes)
{
  enum ibv_mtu mtu = IBV_MTU_256;
  while (mtu < IBV_MTU_4096 && UINT32_C(128) << mtu < bytes)
    mtu++;
  return mtu;
}

static struct ibv_ah_attr path_of(const struct load_route *route)
{
  struct ibv_ah_attr path = {.grh = {.flow_label = route->flow_label,
                                     .sgid_index = (uint8_t)route->sgid_index,
                                     .hop_limit = route->hop_limit,
                                     .traffic_class = route->traffic_class},
                             .sl = route->sl,
                             .is_global = 1,
                             .port_num = route->port};
  memcpy(path.grh.dgid.raw, route->dgid, sizeof path.grh.dgid.raw);
  return path;
}

static struct ibv_qp_attr attributes(const struct load_qp *qp, const struct load_route *route)
{
  const struct load_caps *caps = &qp->device->caps;
  return (struct ibv_qp_attr){
      .path_mtu = mtu_of(route->mtu),
      .qkey = route->qkey,
      .rq_psn = route->remote_psn,
      .sq_psn = route->psn,
      .dest_qp_num = route->remote_qpn,
      .qp_access_flags = route->access,
      .ah_attr = path_of(route),
      .pkey_index = 0,
      .max_rd_atomic = least(route->max_rd_atomic, caps->max_init_rd_atomic != 0 ? caps->max_init_rd_atomic : 1),
      .max_dest_rd_atomic = least(route->max_rd_atomic, caps->max_rd_atomic != 0 ? caps->max_rd_atomic : 1),
      .min_rnr_timer = route->rnr_timer,
      .port_num = route->port,
      .timeout = route->ack_timeout,
      .retry_cnt = route->retry_count,
      .rnr_retry = route->rnr_retry,
  };
}

/* The steps and what each takes, by transport (ibv_modify_qp(3)). */
struct step {
  enum ibv_qp_state state;
  const char *name;
  int mask[3]; /* by enum load_transport */
};
enum {
  INIT = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT,
  RTR_CONNECTED = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN,
  RTR_RC = RTR_CONNECTED | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER,
  RTS = IBV_QP_STATE | IBV_QP_SQ_PSN,
  RTS_RC = RTS | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC,
};

static bool take_steps(struct load_qp *qp, const struct load_route *route, struct load_error *e)
{
  static const struct step steps[] = {
      {IBV_QPS_INIT, "INIT", {INIT | IBV_QP_ACCESS_FLAGS, INIT | IBV_QP_ACCESS_FLAGS, INIT | IBV_QP_QKEY}},
      {IBV_QPS_RTR, "RTR", {RTR_RC, RTR_CONNECTED, IBV_QP_STATE}},
      {IBV_QPS_RTS, "RTS", {RTS_RC, RTS, RTS}},
  };
  const struct load_verbs_qp *q = qp->impl;
  struct ibv_qp_attr attr = attributes(qp, route);
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    attr.qp_state = steps[i].state;
    errno = 0;
    int error = ibv_modify_qp(q->qp, &attr, steps[i].mask[q->transport]);
    if (error != 0)
      return load_fail_os(e, load_verbs_errno(error), "%s: QP %u cannot go to %s (port %u, GID %u, peer QP %u)",
                          qp->device->name, qp->qpn, steps[i].name, route->port, route->sgid_index, route->remote_qpn);
  }
  return true;
}

static void forget_peer(struct load_verbs_qp *q)
{
  if (q->ah != NULL)
    ibv_destroy_ah(q->ah);
  q->ah = NULL;
}

static bool address_peer(struct load_qp *qp, const struct load_route *route, struct load_error *e)
{
  struct load_verbs_qp *q = qp->impl;
  struct ibv_ah_attr path = path_of(route);
  forget_peer(q);
  errno = 0;
  q->ah = ibv_create_ah(load_verbs_of(qp->device)->pd, &path);
  if (q->ah == NULL)
    return load_fail_os(e, load_verbs_errno(0), "%s: QP %u: no address handle (port %u, GID %u)", qp->device->name,
                        qp->qpn, route->port, route->sgid_index);
  q->remote_qpn = route->remote_qpn;
  q->qkey = route->qkey;
  return true;
}

bool load_verbs_qp_connect(struct load_qp *qp, const struct load_route *route, struct load_error *e)
{
  const struct load_verbs_qp *q = qp->impl;
  if (route->sgid_index > UINT8_MAX) /* a field of 8 bits in struct ibv_global_route */
    return load_fail(e, LOAD_UNSUPPORTED, "%s: QP %u: GID index %u: libibverbs takes 0 to 255", qp->device->name,
                     qp->qpn, route->sgid_index);
  return take_steps(qp, route, e) && (q->transport != LOAD_UD || address_peer(qp, route, e));
}

bool load_verbs_qp_reset(struct load_qp *qp, struct load_error *e)
{
  struct load_verbs_qp *q = qp->impl;
  struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RESET};
  errno = 0;
  int error = ibv_modify_qp(q->qp, &attr, IBV_QP_STATE);
  if (error != 0)
    return load_fail_os(e, load_verbs_errno(error), "%s: QP %u cannot be reset", qp->device->name, qp->qpn);
  forget_peer(q);
  return true;
}

bool load_verbs_qp_pace(struct load_qp *qp, uint64_t rate_bps, struct load_error *e)
{
  const struct load_verbs *v = load_verbs_of(qp->device);
  const struct load_verbs_qp *q = qp->impl;
  uint64_t kbps = rate_bps / 1000;
  if (v->rate_max_kbps == 0 || (v->rate_types >> q->qp->qp_type & 1) == 0)
    return load_fail_feature(e, "device_pacing", "%s: it paces no QPs of this transport", qp->device->name);
  if (rate_bps != 0 && (kbps < v->rate_min_kbps || kbps > v->rate_max_kbps))
    return load_fail_feature(e, "device_pacing", "%s: %llu bit/s of a QP: it paces from %u to %u kbit/s",
                             qp->device->name, (unsigned long long)rate_bps, v->rate_min_kbps, v->rate_max_kbps);
  struct ibv_qp_rate_limit_attr attr = {.rate_limit = (uint32_t)kbps};
  errno = 0;
  int error = ibv_modify_qp_rate_limit(q->qp, &attr);
  return error == 0 || load_fail_os(e, load_verbs_errno(error), "%s: QP %u cannot be paced to %llu bit/s",
                                    qp->device->name, qp->qpn, (unsigned long long)rate_bps);
}
