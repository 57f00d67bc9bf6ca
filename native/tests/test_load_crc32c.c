#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "load/crc32c.h"
#include "test.h"

/* Bit by bit, from the definition: polynomial 0x1EDC6F41, bits reversed, complemented before and after. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t length)
{
  crc = ~crc;
  for (size_t i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
  }
  return ~crc;
}

static void check(const void *data, size_t length, uint32_t expected)
{
  ASSERT_EQ(crc32c(0, data, length), expected);
  ASSERT_EQ(crc32c_portable(0, data, length), expected);
}

/* RFC 3720 B.4; there the bytes of the CRC are in the order of transmission, lowest first. */
TEST(load_crc32c_has_the_values_of_rfc_3720)
{
  uint8_t data[32];
  memset(data, 0, sizeof data);
  check(data, sizeof data, 0x8a9136aa);
  memset(data, 0xff, sizeof data);
  check(data, sizeof data, 0x62a8ab43);
  for (unsigned i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)i;
  check(data, sizeof data, 0x46dd794e);
  for (unsigned i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(31 - i);
  check(data, sizeof data, 0x113fdb5c);
  static const uint8_t read_command[48] = {[0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
                                           [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
  check(read_command, sizeof read_command, 0xd9963a56);
  check("", 0, 0);
  check("123456789", 9, 0xe3069283); /* the check value of the polynomial's catalogue entry */
}

TEST(load_crc32c_is_the_same_by_instruction_and_in_plain_c)
{
  enum { SIZE = 1 << 14 };
  uint8_t *data = malloc(SIZE);
  ASSERT(data != NULL);
  struct rng rng;
  rng_seed(&rng, 1);
  for (unsigned i = 0; i < SIZE; i++)
    data[i] = (uint8_t)rng_u64(&rng);
  for (unsigned n = 0; n < 5000; n++) {
    size_t start = rng_below(&rng, 64), length = rng_below(&rng, n % 10 == 0 ? SIZE - 64 : 200);
    uint32_t before = (uint32_t)rng_u64(&rng);
    uint32_t expected = crc32c_portable(before, data + start, length);
    ASSERT_EQ(crc32c(before, data + start, length), expected);
    if (n % 16 == 0)
      ASSERT_EQ(by_definition(before, data + start, length), expected);
  }
  free(data);
}

/* Every length about the places where the way of computing changes. */
TEST(load_crc32c_has_no_seams)
{
  uint8_t data[3300];
  for (unsigned i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i * 37 + i / 256);
  uint32_t expected = 0;
  for (size_t length = 0; length < sizeof data; length++) {
    ASSERT_EQ(crc32c(0, data, length), expected);
    expected = by_definition(expected, data + length, 1);
  }
}

TEST(load_crc32c_continues)
{
  uint8_t data[5000];
  for (unsigned i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i * 101 >> 3);
  uint32_t whole = crc32c(0, data, sizeof data);
  for (size_t cut = 0; cut <= sizeof data; cut += 13) {
    ASSERT_EQ(crc32c(crc32c(0, data, cut), data + cut, sizeof data - cut), whole);
    ASSERT_EQ(crc32c_portable(crc32c_portable(0, data, cut), data + cut, sizeof data - cut), whole);
  }
}
