/* Messages that prove themselves: each ends with its number and a CRC32C over all of it, so that loss, duplication,
 * reordering and corruption are told apart.
 *
 * Trailer of a message, little endian: u64 sequence number, u32 index of the QP in its flow, u32 CRC32C over everything
 * before it.
 */
#ifndef ROCE_LOAD_INTEGRITY_H
#define ROCE_LOAD_INTEGRITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_TRAILER = 16, LOAD_SEEN_BITS = 4096 };

/* Writes the trailer of a message of `length` bytes (> LOAD_TRAILER). `body_crc` is crc32c over its first
 * length - LOAD_TRAILER bytes, which do not change from message to message. */
void load_seal(uint8_t *message, size_t length, uint32_t body_crc, uint32_t qp, uint64_t sequence);

/* What arrived at one QP. All zero at first.
 *
 * Each message that arrives is one of: new, corrupted, duplicated, reordered. Those told apart exactly are within
 * LOAD_SEEN_BITS numbers of the latest. One older than that is counted as duplicated, whether it is or was under way
 * all that time: so it never hides a loss. */
struct load_integrity {
  uint64_t checked;    /* messages that arrived, whatever they were */
  uint64_t corrupted;  /* wrong CRC, QP or length */
  uint64_t duplicated; /* seen before */
  uint64_t reordered;  /* arrived for the first time, after a later one */
  uint64_t next;       /* one above the highest number seen */
  uint64_t seen[LOAD_SEEN_BITS / 64]; /* ring: bit n % LOAD_SEEN_BITS for number n of the last LOAD_SEEN_BITS */
};
void load_integrity_take(struct load_integrity *i, const uint8_t *message, size_t length, uint32_t qp);
/* Messages that never came, when `sent` were sent. Corrupted ones are not counted as lost: they came. (One that is a
 * duplicate as well cannot be known for it, and makes up for a loss.) */
uint64_t load_integrity_lost(const struct load_integrity *i, uint64_t sent);

#endif
