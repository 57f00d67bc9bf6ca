/* The device, its port and GID, protection domains, memory regions and asynchronous events. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_SIZES = 4096, PKEY = 0xffff, READS = 16 };

/* --- the wire ----------------------------------------------------------------------------------------------------- */

struct stub_wire *stub_wire_open(const char *path)
{
  int fd = -1;
  if (path != NULL) {
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
      return NULL;
    if (ftruncate(fd, (off_t)sizeof(struct stub_wire)) != 0) {
      close(fd);
      return NULL;
    }
  }
  int flags = path != NULL ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void *wire = mmap(NULL, sizeof(struct stub_wire), PROT_READ | PROT_WRITE, flags, fd, 0);
  if (fd >= 0)
    close(fd);
  return wire == MAP_FAILED ? NULL : wire;
}

void stub_wire_close(struct stub_wire *wire)
{
  munmap(wire, sizeof *wire);
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

static void release(struct ibv_device *device)
{
  struct stub_device *d = (struct stub_device *)device;
  if (atomic_fetch_sub(&d->references, 1) == 1)
    free(d);
}

struct ibv_device **ibv_get_device_list(int *n)
{
  struct ibv_device **list = calloc(2, sizeof *list);
  struct stub_device *d = calloc(1, sizeof *d);
  if (list == NULL || d == NULL) {
    free(list);
    free(d);
    errno = ENOMEM;
    return NULL;
  }
  d->references = 1;
  d->base.node_type = IBV_NODE_CA;
  d->base.transport_type = IBV_TRANSPORT_IB;
  snprintf(d->base.name, sizeof d->base.name, "stub0");
  snprintf(d->base.dev_name, sizeof d->base.dev_name, "stub_uverbs0");
  list[0] = &d->base;
  if (n != NULL)
    *n = 1;
  return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
  release(list[0]);
  free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
  return device->name;
}

int ibv_get_device_index(struct ibv_device *device)
{
  (void)device;
  return -1;
}

__be64 ibv_get_device_guid(struct ibv_device *device)
{
  (void)device;
  /* An EUI-64 of the locally administered kind. */
  const uint8_t bytes[8] = {0x02, 0, 0, 0xff, 0xfe, 0, 0, 1};
  __be64 guid;
  memcpy(&guid, bytes, sizeof guid);
  return guid;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

/* perftest posts with the ibv_wr_ functions only on devices whose part it knows to have them. */
static uint32_t part(void)
{
  const char *text = getenv("STUB_VERBS_PART");
  return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 0);
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
  *attr = (struct ibv_device_attr){
    .fw_ver = "stub",
    .node_guid = ibv_get_device_guid(context->device),
    .sys_image_guid = ibv_get_device_guid(context->device),
    .max_mr_size = UINT64_MAX,
    .page_size_cap = PAGE_SIZES,
    .vendor_part_id = part(),
    .max_qp = STUB_QPS - STUB_FIRST_QPN,
    .max_qp_wr = STUB_MAX_WR,
    .max_sge = STUB_MAX_SGE,
    .max_sge_rd = STUB_MAX_SGE,
    .max_cq = STUB_QPS,
    .max_cqe = STUB_MAX_CQE,
    .max_mr = INT32_MAX,
    .max_pd = INT32_MAX,
    .max_qp_rd_atom = READS,
    .max_res_rd_atom = INT32_MAX,
    .max_qp_init_rd_atom = READS,
    .atomic_cap = IBV_ATOMIC_HCA,
    .max_ah = INT32_MAX,
    .max_srq = STUB_QPS,
    .max_srq_wr = STUB_MAX_WR,
    .max_srq_sge = STUB_MAX_SGE,
    .max_pkeys = 1,
    .phys_port_cnt = 1,
  };
  return 0;
}

static int query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                           struct ibv_device_attr_ex *attr, size_t size)
{
  (void)input;
  if (size < sizeof attr->orig_attr)
    return EINVAL;
  memset(attr, 0, size);
  return ibv_query_device(context, &attr->orig_attr);
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr, size_t size)
{
  (void)context;
  if (port != 1)
    return EINVAL;
  const struct ibv_port_attr mine = {
    .state = IBV_PORT_ACTIVE,
    .max_mtu = IBV_MTU_4096,
    .active_mtu = IBV_MTU_4096,
    .gid_tbl_len = 1,
    .max_msg_sz = UINT32_C(1) << 31,
    .pkey_tbl_len = 1,
    .max_vl_num = 1,
    .active_width = 2,   /* four lanes … */
    .active_speed = 128, /* … of 100 Gb/s */
    .phys_state = 5,     /* link up */
    .link_layer = IBV_LINK_LAYER_ETHERNET,
  };
  memset(attr, 0, size);
  memcpy(attr, &mine, size < sizeof mine ? size : sizeof mine);
  return 0;
}

/* Of programs that were built when struct ibv_port_attr ended with `flags`. */
int (ibv_query_port)(struct ibv_context *context, uint8_t port, struct _compat_ibv_port_attr *attr)
{
  return query_port(context, port, (struct ibv_port_attr *)(void *)attr, offsetof(struct ibv_port_attr, flags) + 1);
}

static void fill_context(struct stub_context *c, struct ibv_device *device)
{
  struct verbs_context *v = &c->verbs;
  v->sz = sizeof *v;
  v->query_port = query_port;
  v->query_device_ex = query_device_ex;
  v->create_cq_ex = stub_create_cq_ex;
  v->create_qp_ex = stub_create_qp_ex;
  v->context.device = device;
  v->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
  v->context.cmd_fd = -1;
  v->context.num_comp_vectors = 1;
  v->context.ops.poll_cq = stub_poll_cq;
  v->context.ops.req_notify_cq = stub_req_notify;
  v->context.ops.post_send = stub_post_send;
  v->context.ops.post_recv = stub_post_recv;
  v->context.ops.post_srq_recv = stub_post_srq_recv;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
  struct stub_context *c = calloc(1, sizeof *c);
  if (c == NULL)
    return NULL;
  fill_context(c, device);
  c->wire = stub_wire_open(getenv("STUB_VERBS_WIRE"));
  c->verbs.context.async_fd = eventfd(0, EFD_CLOEXEC);
  if (c->wire == NULL || c->verbs.context.async_fd < 0) {
    int reason = errno;
    if (c->wire != NULL)
      stub_wire_close(c->wire);
    if (c->verbs.context.async_fd >= 0)
      close(c->verbs.context.async_fd);
    free(c);
    errno = reason;
    return NULL;
  }
  atomic_fetch_add(&((struct stub_device *)device)->references, 1);
  return &c->verbs.context;
}

int ibv_close_device(struct ibv_context *context)
{
  struct stub_context *c = stub_context_of(context);
  stub_wire_close(c->wire);
  close(context->async_fd);
  release(context->device);
  free(c);
  return 0;
}

/* Nothing ever happens to this device: waits until a signal comes, as on a healthy one. */
int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
  (void)event;
  uint64_t count;
  if (read(context->async_fd, &count, sizeof count) >= 0)
    errno = EAGAIN;
  return -1;
}

void ibv_ack_async_event(struct ibv_async_event *event)
{
  (void)event;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

int ibv_query_gid(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid)
{
  (void)context;
  if (port != 1 || index != 0)
    return -1;
  *gid = (union ibv_gid){.raw = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
  return 0;
}

int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port, uint32_t index, struct ibv_gid_entry *entry,
                      uint32_t flags, size_t size)
{
  struct ibv_gid_entry mine = {.gid_index = 0, .port_num = 1, .gid_type = IBV_GID_TYPE_ROCE_V2};
  if (flags != 0 || port != 1 || ibv_query_gid(context, 1, index == 0 ? 0 : -1, &mine.gid) != 0)
    return flags != 0 ? EINVAL : ENODATA;
  memset(entry, 0, size);
  memcpy(entry, &mine, size < sizeof mine ? size : sizeof mine);
  return 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries, size_t most, uint32_t flags,
                             size_t size)
{
  if (most == 0)
    return 0;
  int error = _ibv_query_gid_ex(context, 1, 0, entries, flags, size);
  return error == 0 ? 1 : -error;
}

int ibv_query_pkey(struct ibv_context *context, uint8_t port, int index, __be16 *pkey)
{
  (void)context;
  if (port != 1 || index != 0)
    return -1;
  *pkey = PKEY;
  return 0;
}

int ibv_get_pkey_index(struct ibv_context *context, uint8_t port, __be16 pkey)
{
  (void)context;
  return port == 1 && pkey == PKEY ? 0 : -1;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
  struct ibv_pd *pd = calloc(1, sizeof *pd);
  if (pd != NULL)
    pd->context = context;
  return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
  free(pd);
  return 0;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, unsigned access)
{
  (void)iova;
  struct ibv_mr *mr = calloc(1, sizeof *mr);
  if (mr == NULL)
    return NULL;
  struct stub_context *context = stub_context_of(pd->context);
  atomic_fetch_or(&context->wire->access, access);
  uint32_t key = atomic_fetch_add(&context->next_key, 1) + 1;
  *mr = (struct ibv_mr){.context = pd->context,
                        .pd = pd,
                        .addr = address,
                        .length = length,
                        .handle = key,
                        .lkey = key,
                        .rkey = key};
  return mr;
}

struct ibv_mr *(ibv_reg_mr)(struct ibv_pd *pd, void *address, size_t length, int access)
{
  return ibv_reg_mr_iova2(pd, address, length, (uintptr_t)address, (unsigned)access);
}

struct ibv_mr *(ibv_reg_mr_iova)(struct ibv_pd *pd, void *address, size_t length, uint64_t iova, int access)
{
  return ibv_reg_mr_iova2(pd, address, length, iova, (unsigned)access);
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova, int fd, int access)
{
  (void)pd, (void)offset, (void)length, (void)iova, (void)fd, (void)access;
  errno = EOPNOTSUPP;
  return NULL;
}

int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *address, size_t length, int access)
{
  (void)mr, (void)flags, (void)pd, (void)address, (void)length, (void)access;
  errno = EOPNOTSUPP;
  return IBV_REREG_MR_ERR_INPUT;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
  free(mr);
  return 0;
}
