/* RDMA write: message k goes to slot k % slots of the target's memory, which is told nothing. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  wr->raddr = load_slot_address(aim, message);
}

LOAD_DEFINE_POSTS(write, IBV_WR_RDMA_WRITE, IBV_QP_EX_WITH_RDMA_WRITE, ibv_wr_rdma_write(q, w->rkey, w->raddr),
                  LOAD_CHAIN_RDMA)

const struct load_op load_op_write = {
    .name = "write",
    .opcode = LOAD_WRITE,
    .transports = LOAD_ON_RC | LOAD_ON_UC,
    .access = LOAD_REMOTE_WRITE,
    .header_bytes = LOAD_RETH,
    .fill = fill,
    .posts = LOAD_POSTS(write),
};
