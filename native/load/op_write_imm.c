/* RDMA write with immediate: as a write, and each message completes a receive with its number. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  wr->raddr = load_slot_address(aim, message);
  wr->imm = load_immediate(message);
}

LOAD_DEFINE_POSTS(write_imm, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM,
                  ibv_wr_rdma_write_imm(q, w->rkey, w->raddr, w->imm), LOAD_CHAIN_RDMA_IMM)

const struct load_op load_op_write_imm = {
    .name = "write_imm",
    .opcode = LOAD_WRITE_IMM,
    .transports = LOAD_ON_RC | LOAD_ON_UC,
    .told = true,
    .immediate = true,
    .access = LOAD_REMOTE_WRITE,
    .header_bytes = LOAD_RETH + LOAD_IMMDT,
    .fill = fill,
    .posts = LOAD_POSTS(write_imm),
};
