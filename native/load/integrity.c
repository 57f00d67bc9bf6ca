#include "integrity.h"

#include <string.h>

#include "crc32c.h"

enum { AT_QP = 8, AT_CRC = 12 }; /* in the trailer */

static void put32(uint8_t *out, uint32_t v)
{
  for (unsigned i = 0; i < 4; i++)
    out[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const uint8_t *in)
{
  return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

void load_seal(uint8_t *message, size_t length, uint32_t body_crc, uint32_t qp, uint64_t sequence)
{
  uint8_t *trailer = message + length - LOAD_TRAILER;
  put32(trailer, (uint32_t)sequence);
  put32(trailer + 4, (uint32_t)(sequence >> 32));
  put32(trailer + AT_QP, qp);
  put32(trailer + AT_CRC, crc32c(body_crc, trailer, AT_CRC));
}

/* The word of the ring with a number's bit. */
static uint64_t *ring_word(struct load_integrity *i, uint64_t number)
{
  return &i->seen[number % LOAD_SEEN_BITS / 64];
}

/* Makes a number the latest; those that it passes are not seen yet. */
static void advance(struct load_integrity *i, uint64_t number)
{
  if (number - i->next >= LOAD_SEEN_BITS) {
    memset(i->seen, 0, sizeof i->seen);
  } else {
    for (uint64_t n = i->next; n != number; n++)
      *ring_word(i, n) &= ~(UINT64_C(1) << n % 64);
  }
  i->next = number + 1;
}

static void take_number(struct load_integrity *i, uint64_t number)
{
  uint64_t bit = UINT64_C(1) << number % 64;
  if (number >= i->next) {
    advance(i, number);
  } else if (i->next - number > LOAD_SEEN_BITS || (*ring_word(i, number) & bit) != 0) {
    i->duplicated++;
    return;
  } else {
    i->reordered++;
  }
  *ring_word(i, number) |= bit;
}

void load_integrity_take(struct load_integrity *i, const uint8_t *message, size_t length, uint32_t qp)
{
  i->checked++;
  if (length <= LOAD_TRAILER) {
    i->corrupted++;
    return;
  }
  const uint8_t *trailer = message + length - LOAD_TRAILER;
  if (get32(trailer + AT_CRC) != crc32c(0, message, length - 4) || get32(trailer + AT_QP) != qp) {
    i->corrupted++;
    return;
  }
  take_number(i, (uint64_t)get32(trailer + 4) << 32 | get32(trailer));
}

uint64_t load_integrity_lost(const struct load_integrity *i, uint64_t sent)
{
  uint64_t came = i->checked - i->duplicated;
  return sent > came ? sent - came : 0;
}
