/* What messages contain, and checking that it arrived: the same bytes as the agent's payload.py.
 *
 * All payload is cut from one block of random bytes (period 65521, a prime; a power of two for folded memory). Message
 * k of QP q starts at load_offset_of(q, k, period).
 */
#ifndef ROCE_LOAD_PAYLOAD_H
#define ROCE_LOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_PERIOD = 65521, LOAD_CYCLE = 127, LOAD_PREFIX = 16, LOAD_CHUNK = 1 << 18 };

/* Where in the block the payload of a message starts; 0 for another period than LOAD_PERIOD. */
uint32_t load_offset_of(uint32_t qp, uint64_t message, uint32_t period);

struct load_mismatch {
  uint32_t qp;
  uint64_t message, offset;
};
struct load_check {
  uint64_t verified_bytes, mismatched_bytes, immediates_wrong;
  bool has_first;
  struct load_mismatch first; /* wrong byte */
};
void load_check_wrong(struct load_check *check, uint32_t qp, uint64_t message, uint64_t offset, uint64_t count);

/* A copy of the block, long enough to compare LOAD_CHUNK bytes from any offset. One of a long period is the block of
 * LOAD_PERIOD bytes, begun anew where the period ends: it takes no more memory than a short one. */
struct load_payload {
  uint32_t period;
  uint32_t cycle; /* bytes until the tile repeats: the lesser of period and LOAD_PERIOD */
  uint8_t *tile;
};
/* False: memory is short, or a period of 0. Free it with load_payload_free(), which may be called twice. */
bool load_payload_init(struct load_payload *p, uint32_t period);
void load_payload_free(struct load_payload *p);

/* Writes the block again and again over `length` bytes. */
void load_payload_fill(const struct load_payload *p, uint8_t *memory, size_t length);
/* Writes `length` bytes of payload from offset `start` of the block. */
void load_payload_copy(const struct load_payload *p, uint8_t *memory, size_t length, uint64_t start);
/* Compares `length` bytes with the payload from `start` of the block and counts into `check`. */
void load_payload_check(const struct load_payload *p, const uint8_t *memory, size_t length, uint64_t start, uint32_t qp,
                        uint64_t message, struct load_check *check);
/* Whether they are that payload. */
bool load_payload_equal(const struct load_payload *p, const uint8_t *memory, size_t length, uint64_t start);
/* Which message this is, where messages may be lost: the nearest to `expected` (less than LOAD_CYCLE away, later before
 * earlier) whose payload begins like it; `expected` when none does. */
uint64_t load_payload_recognise(const struct load_payload *p, const uint8_t *memory, size_t length, uint32_t qp,
                                uint64_t expected);

#endif
