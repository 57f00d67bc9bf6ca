/* One verb, one file op_<verb>.c: what it is called, what it needs, and how its work requests are filled. */
#ifndef ROCE_LOAD_OP_H
#define ROCE_LOAD_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device.h"

enum { LOAD_ON_RC = 1 << LOAD_RC, LOAD_ON_UC = 1 << LOAD_UC, LOAD_ON_UD = 1 << LOAD_UD };

/* Where the messages of a QP go, as a work request is aimed. */
struct load_aim {
  uint64_t remote_addr;
  uint64_t remote_slots, remote_stride; /* slots >= 1 */
  uint32_t remote_period;
  uint32_t rkey;
  uint32_t qp; /* index in its flow */
};

/* The ways to post a verb; wr_post.h defines them. */
struct load_posts {
  uint64_t send_op;     /* IBV_QP_EX_WITH_… that a QP needs for the first two */
  load_post_fn *one;    /* ibv_wr_*: each work request has exactly one element and is not inline */
  load_post_fn *any;    /* ibv_wr_*: any number of elements, inline or not */
  load_post_fn *legacy; /* ibv_post_send, any number, inline or not */
};

/* Extension headers (InfiniBand Architecture, 9.3): RETH, AETH, ImmDt, AtomicETH. */
enum { LOAD_RETH = 16, LOAD_AETH = 4, LOAD_IMMDT = 4, LOAD_ATOMIC_ETH = 28 };

struct load_op {
  const char *name; /* of the verb in jobs */
  enum load_opcode opcode;
  unsigned transports; /* mask of LOAD_ON_* */
  bool told;           /* each message completes a receive at the target */
  bool fetches;        /* data comes back to the source */
  bool atomic;
  bool receives_data; /* payload goes to where the target's receive says */
  bool immediate;
  unsigned access;       /* remote access that the target's memory needs */
  unsigned header_bytes; /* extension headers of a message beside BTH, in the direction of its data */
  /* Sets what changes from message to message: raddr, imm, operands. Local address and length are the caller's. */
  void (*fill)(struct load_wr *wr, const struct load_aim *aim, uint64_t message);
  /* Post it on connected QPs and on UD ones; NULL where the transport has no such verb, and in a program without
   * libibverbs. See wr_post.h. */
  const struct load_posts *posts, *ud_posts;
};

/* All ops, ordered by name: generated from the files op_*.c that define a `const struct load_op load_op_<verb>`. */
extern const struct load_op *const load_ops[];
extern const size_t load_ops_count;

/* By the name of a verb, "atomic" being fetch_add; NULL when there is none. */
const struct load_op *load_op_named(const char *name, size_t length);
const struct load_op *load_op_of(enum load_opcode opcode);

/* Where message k of a write goes. */
static inline uint64_t load_slot_address(const struct load_aim *aim, uint64_t message)
{
  uint64_t slots = aim->remote_slots;
  /* processors divide 32 bits in a fraction of the time of 64 */
  uint64_t slot = ((message | slots) >> 32) == 0 ? (uint32_t)message % (uint32_t)slots : message % slots;
  return aim->remote_addr + slot * aim->remote_stride;
}

/* The immediate of message k, in network byte order. */
uint32_t load_immediate(uint64_t message);

#endif
