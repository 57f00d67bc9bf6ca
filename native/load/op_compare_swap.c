/* Compare and swap: message k finds k in the target's counter and leaves k + 1. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  wr->raddr = aim->remote_addr;
  wr->compare_add = message;
  wr->swap = message + 1;
}

LOAD_DEFINE_POSTS(compare_swap, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP,
                  ibv_wr_atomic_cmp_swp(q, w->rkey, w->raddr, w->compare_add, w->swap), LOAD_CHAIN_ATOMIC)

const struct load_op load_op_compare_swap = {
    .name = "compare_swap",
    .opcode = LOAD_COMPARE_SWAP,
    .transports = LOAD_ON_RC,
    .fetches = true,
    .atomic = true,
    .access = LOAD_REMOTE_ATOMIC,
    .header_bytes = LOAD_ATOMIC_ETH,
    .fill = fill,
    .posts = LOAD_POSTS(compare_swap),
};
