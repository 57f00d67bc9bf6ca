/* A small test framework.
 *
 *   #include "test.h"
 *   TEST(name_of_the_test) { ASSERT_EQ(1 + 1, 2); }
 *
 * The build collects every TEST(...) at the start of a line of test_*.c; nothing needs to be registered. Each test runs
 * in a process of its own with a time limit; a failed assertion prints both operands and ends that process.
 */
#ifndef ROCE_TESTS_TEST_H
#define ROCE_TESTS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEST(name)                                                                                                     \
  void test_##name(void);                                                                                              \
  void test_##name(void)

_Noreturn void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
void test_equal_signed(const char *file, int line, const char *what, intmax_t left, intmax_t right);
void test_equal_unsigned(const char *file, int line, const char *what, uintmax_t left, uintmax_t right);
void test_equal_string(const char *file, int line, const char *what, const char *left, const char *right);
void test_contains(const char *file, int line, const char *what, const char *text, const char *part);
void test_near(const char *file, int line, const char *what, double left, double right, double tolerance);

/* Makes the `nth` allocation from now on fail (1 is the next one), and all after it; 0 ends that. */
void test_fail_allocation(uint64_t nth);

/* A path for a scratch file of this test; removed with all others when the test process ends well. */
const char *test_scratch(const char *name);

/* The whole of a file in memory from malloc(), NUL-terminated; ends the test when it cannot be read. */
char *test_read_file(const char *path, size_t *length);

#define ASSERT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      test_fail(__FILE__, __LINE__, "`%s` is false", #condition);                                                      \
    }                                                                                                                  \
  } while (0)

/* Integers of the same signedness. */
#define ASSERT_EQ(a, b)                                                                                                \
  _Generic((a), uint64_t                                                                                               \
           : test_equal_unsigned, uint32_t                                                                             \
           : test_equal_unsigned, uint16_t                                                                             \
           : test_equal_unsigned, uint8_t                                                                              \
           : test_equal_unsigned, unsigned long long                                                                   \
           : test_equal_unsigned, default                                                                              \
           : test_equal_signed)(__FILE__, __LINE__, #a " == " #b, (a), (b))

#define ASSERT_STR(a, b) test_equal_string(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define ASSERT_CONTAINS(text, part) test_contains(__FILE__, __LINE__, #text " contains " #part, (text), (part))
#define ASSERT_NEAR(a, b, tolerance) test_near(__FILE__, __LINE__, #a " near " #b, (a), (b), (tolerance))

#endif
