/* RDMA read: message k comes from where its payload starts in the target's pattern. */
#include "payload.h"
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  wr->raddr = aim->remote_addr + load_offset_of(aim->qp, message, aim->remote_period);
}

LOAD_DEFINE_POSTS(read, IBV_WR_RDMA_READ, IBV_QP_EX_WITH_RDMA_READ, ibv_wr_rdma_read(q, w->rkey, w->raddr),
                  LOAD_CHAIN_RDMA)

const struct load_op load_op_read = {
    .name = "read",
    .opcode = LOAD_READ,
    .transports = LOAD_ON_RC,
    .fetches = true,
    .access = LOAD_REMOTE_READ,
    .header_bytes = 2 * LOAD_AETH, /* of the first response and the last */
    .fill = fill,
    .posts = LOAD_POSTS(read),
};
