/* Fetch and add: message k finds k in the target's counter and leaves k + 1. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  (void)message;
  wr->raddr = aim->remote_addr;
  wr->compare_add = 1;
  wr->swap = 0;
}

LOAD_DEFINE_POSTS(fetch_add, IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD,
                  ibv_wr_atomic_fetch_add(q, w->rkey, w->raddr, w->compare_add), LOAD_CHAIN_ATOMIC)

const struct load_op load_op_fetch_add = {
    .name = "fetch_add",
    .opcode = LOAD_FETCH_ADD,
    .transports = LOAD_ON_RC,
    .fetches = true,
    .atomic = true,
    .access = LOAD_REMOTE_ATOMIC,
    .header_bytes = LOAD_ATOMIC_ETH,
    .fill = fill,
    .posts = LOAD_POSTS(fetch_add),
};
