#include "payload.h"

#include <stdlib.h>
#include <string.h>

enum { QP_STEP = 8191, MESSAGE_STEP = 4099 }; /* as payload.py: odd and coprime to the periods */
#define SEED UINT32_C(0x526F4345)             /* "RoCE" */

/* --- the random bytes: MT19937 (Matsumoto and Nishimura, 1998), as Python's random.Random ------------------------- */

enum { MT_WORDS = 624, MT_MIDDLE = 397 };

struct mt {
  uint32_t word[MT_WORDS];
  unsigned at;
};

/* The initialisation by an array of the reference code of 2002, for an array of one word. */
static void mt_seed(struct mt *mt, uint32_t key)
{
  uint32_t *x = mt->word;
  x[0] = 19650218U;
  for (uint32_t i = 1; i < MT_WORDS; i++)
    x[i] = 1812433253U * (x[i - 1] ^ (x[i - 1] >> 30)) + i;
  uint32_t i = 1;
  for (unsigned n = 0; n < MT_WORDS; n++) {
    x[i] = (x[i] ^ ((x[i - 1] ^ (x[i - 1] >> 30)) * 1664525U)) + key;
    if (++i == MT_WORDS) {
      x[0] = x[MT_WORDS - 1];
      i = 1;
    }
  }
  for (unsigned n = 1; n < MT_WORDS; n++) {
    x[i] = (x[i] ^ ((x[i - 1] ^ (x[i - 1] >> 30)) * 1566083941U)) - i;
    if (++i == MT_WORDS) {
      x[0] = x[MT_WORDS - 1];
      i = 1;
    }
  }
  x[0] = 0x80000000U;
  mt->at = MT_WORDS;
}

static void mt_turn(struct mt *mt)
{
  uint32_t *x = mt->word;
  for (unsigned i = 0; i < MT_WORDS; i++) {
    uint32_t y = (x[i] & 0x80000000U) | (x[(i + 1) % MT_WORDS] & 0x7FFFFFFFU);
    x[i] = x[(i + MT_MIDDLE) % MT_WORDS] ^ (y >> 1) ^ ((y & 1) != 0 ? 0x9908B0DFU : 0);
  }
  mt->at = 0;
}

static uint32_t mt_next(struct mt *mt)
{
  if (mt->at == MT_WORDS)
    mt_turn(mt);
  uint32_t y = mt->word[mt->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9D2C5680U;
  y ^= (y << 15) & 0xEFC60000U;
  return y ^ (y >> 18);
}

/* random.Random(SEED).getrandbits(8 * length).to_bytes(length, "little"): the first words are the lowest, and of the
 * last one its highest bits are taken. */
static void random_bytes(uint8_t *out, size_t length)
{
  struct mt mt;
  mt_seed(&mt, SEED);
  for (size_t done = 0; done < length; done += 4) {
    uint32_t word = mt_next(&mt);
    size_t size = length - done < 4 ? length - done : 4;
    word >>= 8 * (4 - size);
    for (size_t i = 0; i < size; i++)
      out[done + i] = (uint8_t)(word >> (8 * i));
  }
}

/* --- the block ---------------------------------------------------------------------------------------------------- */

uint32_t load_offset_of(uint32_t qp, uint64_t message, uint32_t period)
{
  if (period != LOAD_PERIOD)
    return 0;
  return (uint32_t)(((uint64_t)qp * QP_STEP + message % LOAD_CYCLE * MESSAGE_STEP) % LOAD_PERIOD);
}

bool load_payload_init(struct load_payload *p, uint32_t period)
{
  *p = (struct load_payload){.period = period, .cycle = period < LOAD_PERIOD ? period : LOAD_PERIOD};
  if (period == 0)
    return false;
  size_t length = (size_t)LOAD_PERIOD + LOAD_CHUNK; /* the block, then the cycle again and again */
  p->tile = malloc(length);
  if (p->tile == NULL)
    return false;
  random_bytes(p->tile, LOAD_PERIOD);
  for (size_t i = p->cycle; i < length; i++)
    p->tile[i] = p->tile[i - p->cycle];
  return true;
}

void load_payload_free(struct load_payload *p)
{
  free(p->tile);
  p->tile = NULL;
}

/* Payload from `position` on that lies in one piece: its address, and its length in *size (at most `length`). */
static const uint8_t *piece_at(const struct load_payload *p, uint64_t position, size_t length, size_t *size)
{
  uint64_t in_period = position % p->period;
  uint64_t most = p->cycle == p->period ? LOAD_CHUNK : p->period - in_period;
  most = most < LOAD_CHUNK ? most : LOAD_CHUNK;
  *size = length < most ? length : (size_t)most;
  return p->tile + in_period % p->cycle;
}

void load_payload_fill(const struct load_payload *p, uint8_t *memory, size_t length)
{
  load_payload_copy(p, memory, length, 0);
}

void load_payload_copy(const struct load_payload *p, uint8_t *memory, size_t length, uint64_t start)
{
  for (size_t done = 0, size = 0; done < length; done += size) {
    const uint8_t *from = piece_at(p, start + done, length - done, &size);
    memcpy(memory + done, from, size);
  }
}

bool load_payload_equal(const struct load_payload *p, const uint8_t *memory, size_t length, uint64_t start)
{
  for (size_t done = 0, size = 0; done < length; done += size) {
    const uint8_t *expected = piece_at(p, start + done, length - done, &size);
    if (memcmp(memory + done, expected, size) != 0)
      return false;
  }
  return true;
}

/* --- checking ----------------------------------------------------------------------------------------------------- */

void load_check_wrong(struct load_check *check, uint32_t qp, uint64_t message, uint64_t offset, uint64_t count)
{
  check->mismatched_bytes += count;
  if (check->has_first)
    return;
  check->has_first = true;
  check->first = (struct load_mismatch){qp, message, offset};
}

static size_t differing(const uint8_t *got, const uint8_t *expected, size_t size, size_t *first)
{
  size_t wrong = 0;
  *first = 0;
  while (*first < size && got[*first] == expected[*first])
    (*first)++;
  for (size_t i = *first; i < size; i++)
    wrong += got[i] != expected[i] ? 1 : 0;
  return wrong;
}

void load_payload_check(const struct load_payload *p, const uint8_t *memory, size_t length, uint64_t start, uint32_t qp,
                        uint64_t message, struct load_check *check)
{
  for (size_t done = 0, size = 0; done < length; done += size) {
    const uint8_t *got = memory + done, *expected = piece_at(p, start + done, length - done, &size);
    size_t first = 0, wrong = memcmp(got, expected, size) == 0 ? 0 : differing(got, expected, size, &first);
    check->verified_bytes += size - wrong;
    if (wrong > 0)
      load_check_wrong(check, qp, message, done + first, wrong);
  }
}

uint64_t load_payload_recognise(const struct load_payload *p, const uint8_t *memory, size_t length, uint32_t qp,
                                uint64_t expected)
{
  for (uint64_t distance = 0; distance < LOAD_CYCLE; distance++) {
    if (load_payload_equal(p, memory, length, load_offset_of(qp, expected + distance, p->period)))
      return expected + distance;
    if (distance > expected)
      continue;
    if (load_payload_equal(p, memory, length, load_offset_of(qp, expected - distance, p->period)))
      return expected - distance;
  }
  return expected;
}
