/* Send with immediate: as a send, and its completion tells the number of the message. */
#include "wr_post.h"

static void fill(struct load_wr *wr, const struct load_aim *aim, uint64_t message)
{
  (void)aim;
  wr->imm = load_immediate(message);
}

LOAD_DEFINE_POSTS(send_imm, IBV_WR_SEND_WITH_IMM, IBV_QP_EX_WITH_SEND_WITH_IMM, ibv_wr_send_imm(q, w->imm),
                  LOAD_CHAIN_IMM)
LOAD_DEFINE_UD_POSTS(ud_send_imm, IBV_WR_SEND_WITH_IMM, IBV_QP_EX_WITH_SEND_WITH_IMM, ibv_wr_send_imm(q, w->imm),
                     LOAD_CHAIN_IMM)

const struct load_op load_op_send_imm = {
    .name = "send_imm",
    .opcode = LOAD_SEND_IMM,
    .transports = LOAD_ON_RC | LOAD_ON_UC | LOAD_ON_UD,
    .told = true,
    .receives_data = true,
    .immediate = true,
    .header_bytes = LOAD_IMMDT,
    .fill = fill,
    .posts = LOAD_POSTS(send_imm),
    .ud_posts = LOAD_POSTS(ud_send_imm),
};
