/* An RDMA device by libibverbs: opening it, its ports and memory, and the table of operations. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "device_verbs.h"

#define SYSFS "/sys"

int load_verbs_errno(int returned)
{
  if (returned > 0)
    return returned;
  return errno != 0 ? errno : EIO;
}

unsigned load_verbs_list(char (*names)[64], unsigned most)
{
  int n = 0;
  struct ibv_device **list = ibv_get_device_list(&n);
  if (list == NULL)
    return 0;
  for (unsigned i = 0; i < (unsigned)n && i < most; i++)
    snprintf(names[i], sizeof names[i], "%s", ibv_get_device_name(list[i]));
  ibv_free_device_list(list);
  return (unsigned)n;
}

/* "a, b, c" of a list of devices; "none". */
static void list_words(struct ibv_device **list, int n, char *text, size_t size)
{
  size_t used = 0;
  snprintf(text, size, "none");
  for (int i = 0; i < n && used < size; i++)
    used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", ibv_get_device_name(list[i]));
}

static struct ibv_context *context_of(const char *name, struct load_error *e)
{
  int n = 0;
  errno = 0;
  struct ibv_device **list = ibv_get_device_list(&n);
  if (list == NULL) {
    load_fail(e, LOAD_NO_DEVICE, "no RDMA device %.63s: RDMA devices cannot be listed: %s", name,
              strerror(load_verbs_errno(0)));
    return NULL;
  }
  struct ibv_context *context = NULL;
  bool found = false;
  for (int i = 0; i < n && !found; i++) {
    found = strcmp(ibv_get_device_name(list[i]), name) == 0;
    errno = 0;
    context = found ? ibv_open_device(list[i]) : NULL;
  }
  if (found && context == NULL)
    load_fail_os(e, load_verbs_errno(0), "%.63s: it cannot be opened", name);
  if (!found) {
    char there[200];
    list_words(list, n, there, sizeof there);
    load_fail(e, LOAD_NO_DEVICE, "no RDMA device %.63s; there is %s", name, there);
  }
  ibv_free_device_list(list);
  return context;
}

static uint32_t positive(int value)
{
  return value > 0 ? (uint32_t)value : 0;
}

static void take_caps(struct load_device *device, struct load_verbs *v, const struct ibv_device_attr_ex *attr)
{
  const struct ibv_device_attr *a = &attr->orig_attr;
  v->ports = a->phys_port_cnt;
  v->clock_khz = attr->hca_core_clock;
  v->rate_min_kbps = attr->packet_pacing_caps.qp_rate_limit_min;
  v->rate_max_kbps = attr->packet_pacing_caps.qp_rate_limit_max;
  v->rate_types = attr->packet_pacing_caps.supported_qpts;
  device->caps = (struct load_caps){
      .max_qp = positive(a->max_qp),
      .max_qp_wr = positive(a->max_qp_wr),
      .max_cqe = positive(a->max_cqe),
      .max_srq_wr = positive(a->max_srq_wr),
      .max_sge = positive(a->max_sge),
      .max_rd_atomic = positive(a->max_qp_rd_atom),
      .max_init_rd_atomic = positive(a->max_qp_init_rd_atom),
      .atomics = a->atomic_cap != IBV_ATOMIC_NONE,
      .srq = a->max_srq > 0,
      .timestamps = attr->completion_timestamp_mask != 0 && attr->hca_core_clock != 0,
      .pacing = v->rate_max_kbps > 0,
      .software = load_sysfs_software(SYSFS, device->name),
      .can_event = true,
  };
}

/* All but the context itself. */
static bool fill_in(struct load_device *device, struct load_verbs *v, struct load_error *e)
{
  struct ibv_device_attr_ex attr;
  memset(&attr, 0, sizeof attr);
  int error = ibv_query_device_ex(v->context, NULL, &attr);
  if (error != 0)
    return load_fail_os(e, load_verbs_errno(error), "%s: its attributes cannot be read", device->name);
  take_caps(device, v, &attr);
  device->numa_node = load_sysfs_numa_node(SYSFS, device->name);
  int flags = fcntl(v->context->async_fd, F_GETFL);
  if (flags < 0 || fcntl(v->context->async_fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return load_fail_os(e, errno, "%s: its event file cannot be made non-blocking", device->name);
  errno = 0;
  v->pd = ibv_alloc_pd(v->context);
  return v->pd != NULL || load_fail_os(e, load_verbs_errno(0), "%s: no protection domain", device->name);
}

static void verbs_close(struct load_device *device)
{
  struct load_verbs *v = device->impl;
  if (v == NULL)
    return;
  if (v->pd != NULL)
    ibv_dealloc_pd(v->pd);
  if (v->context != NULL)
    ibv_close_device(v->context);
  free(v);
  device->impl = NULL;
}

static bool verbs_open(struct load_device *device, struct load_error *e)
{
  struct load_verbs *v = calloc(1, sizeof *v);
  device->impl = v;
  if (v == NULL)
    return load_fail_os(e, ENOMEM, "%s: it cannot be opened", device->name);
  v->context = context_of(device->name, e);
  if (v->context != NULL && fill_in(device, v, e))
    return true;
  verbs_close(device);
  return false;
}

static const char *state_name(enum ibv_port_state state)
{
  /* enum ibv_port_state, in its order and in the words of sysfs */
  static const char *const names[] = {"NOP", "DOWN", "INIT", "ARMED", "ACTIVE", "ACTIVE_DEFER"};
  return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "in an unknown state";
}

static bool verbs_port(struct load_device *device, uint8_t port, struct load_port *out, struct load_error *e)
{
  const struct load_verbs *v = load_verbs_of(device);
  if (port == 0 || port > v->ports)
    return load_fail(e, LOAD_NO_DEVICE, "%s has no port %u; it has %u, the first is 1", device->name, port, v->ports);
  struct ibv_port_attr attr;
  memset(&attr, 0, sizeof attr);
  int error = ibv_query_port(v->context, port, &attr);
  if (error != 0)
    return load_fail_os(e, load_verbs_errno(error), "%s port %u: its attributes cannot be read", device->name, port);
  if (attr.state != IBV_PORT_ACTIVE)
    return load_fail(e, LOAD_PORT_DOWN, "%s port %u is %s", device->name, port, state_name(attr.state));
  out->mtu = attr.active_mtu >= IBV_MTU_256 ? UINT32_C(128) << attr.active_mtu : 0;
  /* the speed of a software device is that of nothing */
  out->rate_bps = device->caps.software ? 0 : load_sysfs_rate(SYSFS, device->name, port);
  return true;
}

static bool fail_reg(const struct load_device *device, size_t length, int number, struct load_error *e)
{
  struct rlimit limit;
  if (number == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    return load_fail_os(e, number, "%s: %zu bytes cannot be registered (RLIMIT_MEMLOCK is %llu bytes)", device->name,
                        length, (unsigned long long)limit.rlim_cur);
  return load_fail_os(e, number, "%s: %zu bytes cannot be registered", device->name, length);
}

static bool verbs_reg(struct load_device *device, void *address, size_t length, unsigned access, struct load_mr *out,
                      struct load_error *e)
{
  struct ibv_pd *pd = load_verbs_of(device)->pd;
  errno = 0;
#ifdef IBV_ACCESS_OPTIONAL_FIRST /* rdma-core 28: leaves out what the kernel does not know (ibv_reg_mr(3)) */
  struct ibv_mr *mr = ibv_reg_mr_iova2(pd, address, length, (uintptr_t)address, access);
#else
  struct ibv_mr *mr = ibv_reg_mr(pd, address, length, (int)(access & ~(unsigned)LOAD_RELAXED_ORDERING));
#endif
  *out = mr == NULL ? (struct load_mr){0} : (struct load_mr){mr->lkey, mr->rkey, mr};
  return mr != NULL || fail_reg(device, length, load_verbs_errno(0), e);
}

static void verbs_dereg(struct load_device *device, struct load_mr *mr)
{
  (void)device;
  if (mr->impl != NULL)
    ibv_dereg_mr(mr->impl);
  *mr = (struct load_mr){0};
}

static double verbs_tick_ns(struct load_device *device)
{
  uint64_t khz = load_verbs_of(device)->clock_khz;
  return khz == 0 ? 0 : 1e6 / (double)khz;
}

const struct load_device_ops load_verbs_ops = {
    .kind = "verbs",
    .open = verbs_open,
    .close = verbs_close,
    .port = verbs_port,
    .gid = load_verbs_gid,
    .reg = verbs_reg,
    .dereg = verbs_dereg,
    .cq_make = load_verbs_cq_make,
    .cq_free = load_verbs_cq_free,
    .srq_make = load_verbs_srq_make,
    .srq_free = load_verbs_srq_free,
    .qp_make = load_verbs_qp_make,
    .qp_connect = load_verbs_qp_connect,
    .qp_reset = load_verbs_qp_reset,
    .qp_free = load_verbs_qp_free,
    .qp_pace = load_verbs_qp_pace,
    .async_event = load_verbs_async_event,
    .tick_ns = verbs_tick_ns,
    .poster = load_verbs_poster,
    .reposter = load_verbs_reposter,
    .poll = load_verbs_poll,
    .arm = load_verbs_arm,
    .acknowledge = load_verbs_acknowledge,
    .post_recv = load_verbs_post_recv,
    .post_srq = load_verbs_post_srq,
};
