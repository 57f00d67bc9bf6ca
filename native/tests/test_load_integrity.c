#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "load/crc32c.h"
#include "load/integrity.h"
#include "test.h"

enum { LENGTH = 40, BODY = LENGTH - LOAD_TRAILER };

static void make_message(uint8_t *message, uint32_t qp, uint64_t number)
{
  for (unsigned i = 0; i < BODY; i++)
    message[i] = (uint8_t)(i * 7);
  load_seal(message, LENGTH, crc32c(0, message, BODY), qp, number);
}

static void take(struct load_integrity *i, uint64_t number)
{
  uint8_t message[LENGTH];
  make_message(message, 9, number);
  load_integrity_take(i, message, LENGTH, 9);
}

TEST(load_integrity_trailer_is_number_qp_and_crc_in_little_endian)
{
  uint8_t message[LENGTH];
  make_message(message, 0x0a0b0c0d, UINT64_C(0x0102030405060708));
  static const uint8_t trailer[] = {8, 7, 6, 5, 4, 3, 2, 1, 0x0d, 0x0c, 0x0b, 0x0a};
  ASSERT(memcmp(message + BODY, trailer, sizeof trailer) == 0);
  uint32_t crc = crc32c_portable(0, message, LENGTH - 4);
  for (unsigned i = 0; i < 4; i++)
    ASSERT_EQ(message[LENGTH - 4 + i], (uint8_t)(crc >> (8 * i)));
}

TEST(load_integrity_of_all_in_order_is_clean)
{
  struct load_integrity i = {0};
  for (uint64_t n = 0; n < 3 * LOAD_SEEN_BITS; n++)
    take(&i, n);
  ASSERT_EQ(i.checked, UINT64_C(3) * LOAD_SEEN_BITS);
  ASSERT_EQ(i.corrupted + i.duplicated + i.reordered, UINT64_C(0));
  ASSERT_EQ(i.next, UINT64_C(3) * LOAD_SEEN_BITS);
  ASSERT_EQ(load_integrity_lost(&i, i.next), UINT64_C(0));
  ASSERT_EQ(load_integrity_lost(&i, i.next + 5), UINT64_C(5));
  ASSERT_EQ(load_integrity_lost(&i, 1), UINT64_C(0));
}

TEST(load_integrity_sees_every_flipped_bit)
{
  struct load_integrity i = {0};
  uint8_t message[LENGTH];
  make_message(message, 9, 3);
  for (unsigned bit = 0; bit < LENGTH * 8; bit++) {
    message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    load_integrity_take(&i, message, LENGTH, 9);
    message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    ASSERT_EQ(i.corrupted, (uint64_t)bit + 1);
  }
  ASSERT_EQ(i.next, UINT64_C(0));
  load_integrity_take(&i, message, LENGTH, 9);
  ASSERT_EQ(i.corrupted, UINT64_C(8) * LENGTH);
  ASSERT_EQ(i.next, UINT64_C(4));
}

TEST(load_integrity_refuses_other_lengths_and_qps)
{
  struct load_integrity i = {0};
  uint8_t message[LENGTH + 1] = {0};
  make_message(message, 9, 0);
  load_integrity_take(&i, message, LENGTH, 8);
  load_integrity_take(&i, message, LENGTH + 1, 9);
  load_integrity_take(&i, message, LENGTH - 1, 9);
  load_integrity_take(&i, message, LOAD_TRAILER, 9);
  load_integrity_take(&i, message, 0, 9);
  ASSERT_EQ(i.checked, UINT64_C(5));
  ASSERT_EQ(i.corrupted, UINT64_C(5));
}

TEST(load_integrity_refuses_what_has_no_body)
{
  struct load_integrity i = {0};
  for (size_t length = 1; length <= LOAD_TRAILER; length++) {
    uint8_t *message = calloc(1, length); /* of its own, so that a sanitizer sees a look before it */
    ASSERT(message != NULL);
    if (length == LOAD_TRAILER)
      load_seal(message, length, 0, 9, 0);
    load_integrity_take(&i, message, length, 9);
    ASSERT_EQ(i.corrupted, length);
    free(message);
  }
}

TEST(load_integrity_tells_what_is_older_than_the_ring_as_duplicated)
{
  struct load_integrity i = {0};
  take(&i, 0);
  take(&i, LOAD_SEEN_BITS); /* what is between is on its way */
  take(&i, 1);              /* just in the ring */
  ASSERT_EQ(i.reordered, UINT64_C(1));
  take(&i, 0); /* just not, and seen */
  ASSERT_EQ(i.duplicated, UINT64_C(1));
  take(&i, LOAD_SEEN_BITS + 10);
  take(&i, 2); /* just not, and never seen: its loss stays */
  ASSERT_EQ(i.duplicated, UINT64_C(2));
  ASSERT_EQ(i.reordered, UINT64_C(1));
  ASSERT_EQ(load_integrity_lost(&i, i.next), i.next - 4);
}

TEST(load_integrity_forgets_the_ring_after_a_wide_gap)
{
  static const uint64_t gaps[] = {LOAD_SEEN_BITS - 1, LOAD_SEEN_BITS, LOAD_SEEN_BITS + 1, 5 * LOAD_SEEN_BITS,
                                  UINT64_C(1) << 40};
  for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
    struct load_integrity i = {0};
    for (uint64_t n = 0; n < LOAD_SEEN_BITS; n++)
      take(&i, n);
    uint64_t latest = LOAD_SEEN_BITS + gaps[g];
    take(&i, latest);
    for (uint64_t n = latest - LOAD_SEEN_BITS + 1; n < latest; n++)
      take(&i, n); /* those of the gap are new, those before it are not */
    ASSERT_EQ(i.reordered, gaps[g] < LOAD_SEEN_BITS ? gaps[g] : (uint64_t)LOAD_SEEN_BITS - 1);
    ASSERT_EQ(i.reordered + i.duplicated, (uint64_t)LOAD_SEEN_BITS - 1);
    ASSERT_EQ(i.corrupted, UINT64_C(0));
  }
}

/* --- a wire that does everything to messages, and knows what it did ---------------------------------------------- */

enum { SENT = 20000, LONGEST_WAY = LOAD_SEEN_BITS / 4 };

struct arrival {
  uint64_t number, at;
  bool corrupted;
};

static int by_time(const void *a, const void *b)
{
  const struct arrival *x = a, *y = b;
  if (x->at != y->at)
    return x->at < y->at ? -1 : 1;
  return x->number < y->number ? -1 : x->number > y->number ? 1 : 0;
}

struct wire {
  uint64_t lost, corrupted, duplicated, reordered;
};

/* In parts of 1000. */
struct faults {
  uint64_t lost, corrupted, duplicated, delayed;
};

static size_t send_all(struct rng *rng, const struct faults *f, struct arrival *out, struct wire *wire)
{
  size_t n = 0;
  for (uint64_t k = 0; k < SENT; k++) {
    uint64_t way = rng_below(rng, 1000) < f->delayed ? rng_below(rng, LONGEST_WAY) : 0;
    if (rng_below(rng, 1000) < f->lost) {
      wire->lost++;
    } else if (rng_below(rng, 1000) < f->corrupted) {
      wire->corrupted++;
      out[n++] = (struct arrival){k, k + way, true};
    } else {
      out[n++] = (struct arrival){k, k + way, false};
      for (; rng_below(rng, 1000) < f->duplicated; wire->duplicated++)
        out[n++] = (struct arrival){k, k + rng_below(rng, LONGEST_WAY), false};
    }
  }
  qsort(out, n, sizeof *out, by_time);
  return n;
}

/* What came for the first time after a later one, from a memory without end. */
static uint64_t count_reordered(const struct arrival *arrivals, size_t n)
{
  uint64_t next = 0, reordered = 0;
  bool *seen = calloc(SENT, sizeof *seen);
  ASSERT(seen != NULL);
  for (size_t a = 0; a < n; a++) {
    uint64_t k = arrivals[a].number;
    if (arrivals[a].corrupted)
      continue;
    reordered += k < next && !seen[k] ? 1 : 0;
    next = k >= next ? k + 1 : next;
    seen[k] = true;
  }
  free(seen);
  return reordered;
}

static void deliver(struct load_integrity *i, struct rng *rng, const struct arrival *arrivals, size_t n)
{
  for (size_t a = 0; a < n; a++) {
    uint8_t message[LENGTH];
    make_message(message, 9, arrivals[a].number);
    if (arrivals[a].corrupted)
      message[rng_below(rng, LENGTH)] ^= (uint8_t)(1 + rng_below(rng, 255));
    load_integrity_take(i, message, LENGTH, 9);
  }
}

static struct wire check_wire(uint64_t seed, struct faults faults)
{
  struct rng rng;
  struct wire wire = {0};
  struct load_integrity i = {0};
  rng_seed(&rng, seed);
  struct arrival *arrivals = calloc(3 * SENT, sizeof *arrivals);
  ASSERT(arrivals != NULL);
  size_t n = send_all(&rng, &faults, arrivals, &wire);
  wire.reordered = count_reordered(arrivals, n);
  deliver(&i, &rng, arrivals, n);
  ASSERT_EQ(i.checked, n);
  ASSERT_EQ(i.corrupted, wire.corrupted);
  ASSERT_EQ(i.duplicated, wire.duplicated);
  ASSERT_EQ(i.reordered, wire.reordered);
  ASSERT_EQ(load_integrity_lost(&i, SENT), wire.lost);
  free(arrivals);
  return wire;
}

TEST(load_integrity_tells_single_faults_apart)
{
  struct wire w = check_wire(1, (struct faults){.lost = 50});
  ASSERT(w.lost > 500 && w.corrupted + w.duplicated + w.reordered == 0);
  w = check_wire(2, (struct faults){.corrupted = 50});
  ASSERT(w.corrupted > 500 && w.lost + w.duplicated + w.reordered == 0);
  w = check_wire(3, (struct faults){.duplicated = 50});
  ASSERT(w.duplicated > 500 && w.lost + w.corrupted + w.reordered == 0);
  w = check_wire(4, (struct faults){.delayed = 50});
  ASSERT(w.reordered > 500 && w.lost + w.corrupted + w.duplicated == 0);
}

TEST(load_integrity_tells_faults_apart_when_all_happen)
{
  for (uint64_t seed = 10; seed < 40; seed++) {
    struct faults faults = {.lost = seed * 7 % 300, .corrupted = seed * 11 % 100, .duplicated = seed * 5 % 300,
                            .delayed = seed * 13 % 1000};
    (void)check_wire(seed, faults);
  }
}
