#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "load/crc32c.h"
#include "load/payload.h"
#include "test.h"

static uint8_t *payload_of(uint32_t period, size_t length, uint64_t start)
{
  struct load_payload p;
  uint8_t *memory = malloc(length);
  ASSERT(memory != NULL && load_payload_init(&p, period));
  load_payload_copy(&p, memory, length, start);
  load_payload_free(&p);
  return memory;
}

static void check_block(uint32_t period, uint32_t crc)
{
  uint8_t *block = payload_of(period, period, 0);
  ASSERT_EQ(crc32c(0, block, period), crc);
  free(block);
}

/* The numbers are of harness.hosts.agent.payload.block(); harness/tests/load/test_payload_same.py compares bytes. */
TEST(load_payload_is_the_block_of_the_agent)
{
  check_block(LOAD_PERIOD, 0x531773f1);
  check_block(1 << 16, 0x33586a4c);
  check_block(1 << 18, 0x754e5422);
  static const uint8_t begins[] = {0x88, 0x8b, 0xb7, 0x80, 0xf2, 0xb7, 0x67, 0x38};
  uint8_t *block = payload_of(LOAD_PERIOD, LOAD_PERIOD, 0);
  ASSERT(memcmp(block, begins, sizeof begins) == 0);
  free(block);
}

TEST(load_payload_repeats_with_its_period)
{
  static const uint32_t periods[] = {1, 4096, 32768, LOAD_PERIOD, 1 << 16, 1 << 17, 1 << 20, 1 << 22};
  for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
    uint32_t period = periods[i];
    size_t length = 2 * (size_t)period + LOAD_CHUNK + 77;
    uint8_t *memory = payload_of(period, length, 0);
    uint8_t *block = payload_of(LOAD_PERIOD, LOAD_PERIOD, 0);
    for (size_t at = 0; at < length; at++)
      ASSERT_EQ(memory[at], block[at % period % LOAD_PERIOD]);
    free(block);
    free(memory);
  }
}

TEST(load_payload_can_be_begun_anywhere)
{
  static const uint32_t periods[] = {4096, LOAD_PERIOD, 1 << 17, 1 << 20};
  struct rng rng;
  rng_seed(&rng, 2);
  for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
    size_t length = 2 * (size_t)periods[i] + LOAD_CHUNK;
    uint8_t *memory = payload_of(periods[i], length, 0);
    for (unsigned n = 0; n < 50; n++) {
      uint64_t start = rng_below(&rng, length), size = rng_below(&rng, length - start);
      uint8_t *part = payload_of(periods[i], size + 1, start + periods[i] * rng_below(&rng, 1000));
      ASSERT(memcmp(part, memory + start, size) == 0);
      free(part);
    }
    free(memory);
  }
}

TEST(load_payload_fill_writes_the_block_again_and_again_and_nothing_else)
{
  struct load_payload p;
  ASSERT(load_payload_init(&p, LOAD_PERIOD));
  size_t length = 3 * LOAD_PERIOD + LOAD_CHUNK;
  uint8_t *memory = calloc(1, length + 1);
  ASSERT(memory != NULL);
  load_payload_fill(&p, memory, length);
  ASSERT(load_payload_equal(&p, memory, length, 0));
  ASSERT(load_payload_equal(&p, memory + LOAD_PERIOD, length - LOAD_PERIOD, 0));
  ASSERT_EQ((int)memory[length], 0);
  free(memory);
  load_payload_free(&p);
}

/* Values of harness.hosts.agent.payload.offset_of(). */
TEST(load_payload_offsets_are_those_of_the_agent)
{
  ASSERT_EQ(load_offset_of(0, 0, LOAD_PERIOD), UINT32_C(0));
  ASSERT_EQ(load_offset_of(0, 1, LOAD_PERIOD), UINT32_C(4099));
  ASSERT_EQ(load_offset_of(3, 130, LOAD_PERIOD), UINT32_C(36870));
  ASSERT_EQ(load_offset_of(16383, 126, LOAD_PERIOD), UINT32_C(63972));
  ASSERT_EQ(load_offset_of(3, UINT64_MAX / 127 * 127 - 124, LOAD_PERIOD), UINT32_C(36870));
  ASSERT_EQ(load_offset_of(3, 130, 1 << 16), UINT32_C(0));
}

TEST(load_payload_check_counts_wrong_bytes_and_keeps_the_first)
{
  struct load_payload p;
  struct load_check check = {0};
  ASSERT(load_payload_init(&p, LOAD_PERIOD));
  size_t length = 3 * (size_t)LOAD_CHUNK + 5;
  uint8_t *memory = malloc(length);
  ASSERT(memory != NULL);
  load_payload_copy(&p, memory, length, 1234);
  load_payload_check(&p, memory, length, 1234, 5, 6, &check);
  ASSERT_EQ(check.verified_bytes, length);
  ASSERT_EQ(check.mismatched_bytes, UINT64_C(0));
  ASSERT(!check.has_first);

  static const size_t wrong[] = {LOAD_CHUNK - 1, LOAD_CHUNK, LOAD_CHUNK + 9, 3 * LOAD_CHUNK + 4};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    memory[wrong[i]] ^= 0x10;
  check = (struct load_check){0};
  load_payload_check(&p, memory, length, 1234, 5, 6, &check);
  ASSERT_EQ(check.mismatched_bytes, UINT64_C(4));
  ASSERT_EQ(check.verified_bytes, length - 4);
  ASSERT(check.has_first);
  ASSERT_EQ(check.first.qp, UINT32_C(5));
  ASSERT_EQ(check.first.message, UINT64_C(6));
  ASSERT_EQ(check.first.offset, (uint64_t)LOAD_CHUNK - 1);

  load_payload_check(&p, memory, 10, 99, 7, 8, &check);
  ASSERT_EQ(check.first.message, UINT64_C(6));
  ASSERT(check.mismatched_bytes > 4);
  ASSERT_EQ(check.verified_bytes + check.mismatched_bytes, length + 10);
  free(memory);
  load_payload_free(&p);
}

/* A period above LOAD_PERIOD is compared in pieces that end where it does: a byte behind that place is found too. */
TEST(load_payload_check_sees_every_byte_of_a_folded_message)
{
  struct load_payload p;
  uint32_t period = 1 << 17;
  size_t length = 2 * (size_t)period;
  uint8_t *memory = malloc(length);
  ASSERT(memory != NULL && load_payload_init(&p, period));
  load_payload_copy(&p, memory, length, 0);
  struct rng rng;
  rng_seed(&rng, 3);
  for (unsigned n = 0; n < 400; n++) {
    size_t at = n < 200 ? period - 100 + n : rng_below(&rng, length);
    struct load_check check = {0};
    memory[at]++;
    load_payload_check(&p, memory, length, 0, 0, 0, &check);
    ASSERT_EQ(check.mismatched_bytes, UINT64_C(1));
    ASSERT_EQ(check.verified_bytes, length - 1);
    ASSERT_EQ(check.first.offset, at);
    ASSERT(!load_payload_equal(&p, memory, length, 0));
    memory[at]--;
  }
  ASSERT(load_payload_equal(&p, memory, length, 0));
  free(memory);
  load_payload_free(&p);
}

static uint64_t recognised(const struct load_payload *p, uint32_t qp, uint64_t is, uint64_t expected)
{
  uint8_t memory[LOAD_PREFIX];
  load_payload_copy(p, memory, sizeof memory, load_offset_of(qp, is, p->period));
  return load_payload_recognise(p, memory, sizeof memory, qp, expected);
}

TEST(load_payload_tells_messages_apart_where_some_are_lost)
{
  struct load_payload p;
  ASSERT(load_payload_init(&p, LOAD_PERIOD));
  for (uint64_t distance = 0; distance <= LOAD_CYCLE / 2; distance++) {
    ASSERT_EQ(recognised(&p, 3, 1000 + distance, 1000), 1000 + distance);
    ASSERT_EQ(recognised(&p, 3, 1000 - distance, 1000), 1000 - distance);
  }
  ASSERT_EQ(recognised(&p, 3, 1000 + LOAD_CYCLE, 1000), UINT64_C(1000)); /* the same payload */
  ASSERT_EQ(recognised(&p, 3, 100, 1), UINT64_C(100));                  /* there is none before 0 */
  ASSERT_EQ(recognised(&p, 4, 7, 7), UINT64_C(7));
  uint8_t noise[LOAD_PREFIX] = "not of the block";
  ASSERT_EQ(load_payload_recognise(&p, noise, sizeof noise, 0, 42), UINT64_C(42));
  load_payload_free(&p);
}

TEST(load_payload_needs_memory_and_a_period)
{
  struct load_payload p;
  test_fail_allocation(1);
  bool made = load_payload_init(&p, LOAD_PERIOD);
  test_fail_allocation(0);
  ASSERT(!made && p.tile == NULL);
  ASSERT(!load_payload_init(&p, 0) && p.tile == NULL);
  load_payload_free(&p);
  load_payload_free(&p);
}
