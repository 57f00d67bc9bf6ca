/* Send: the target's receive says where it goes. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  (void)wr;
  (void)aim;
  (void)message;
}

LOAD_DEFINE_POSTS(send, IBV_WR_SEND, IBV_QP_EX_WITH_SEND, ibv_wr_send(q), LOAD_NOTHING)
LOAD_DEFINE_UD_POSTS(ud_send, IBV_WR_SEND, IBV_QP_EX_WITH_SEND, ibv_wr_send(q), LOAD_NOTHING)

const struct load_op load_op_send = {
    .name = "send",
    .opcode = LOAD_SEND,
    .transports = LOAD_ON_RC | LOAD_ON_UC | LOAD_ON_UD,
    .told = true,
    .receives_data = true,
    .fill = fill,
    .posts = LOAD_POSTS(send),
    .ud_posts = LOAD_POSTS(ud_send),
};
