#include <errno.h>
#include <string.h>

#include "load/error.h"
#include "test.h"

TEST(load_error_is_formatted_and_has_nothing_of_the_one_before)
{
  struct load_error e;
  ASSERT(!load_fail_key(&e, "ends[0].port", "0", "a port from 1"));
  ASSERT(!load_fail(&e, LOAD_PORT_DOWN, "%s: port %d is down", "rxe0", 1));
  ASSERT_EQ((int)e.kind, LOAD_PORT_DOWN);
  ASSERT_STR(e.message, "rxe0: port 1 is down");
  ASSERT_STR(e.key, "");
  ASSERT_EQ(e.number, 0);
}

TEST(load_error_may_be_made_of_itself)
{
  struct load_error e;
  (void)load_fail(&e, LOAD_OS, "the cause");
  (void)load_fail(&e, LOAD_INTERNAL, "flow a: %s", e.message);
  ASSERT_STR(e.message, "flow a: the cause");
  (void)load_fail_key(&e, "key", e.message, "another");
  ASSERT_STR(e.message, "key: flow a: the cause; expected another");
}

TEST(load_error_of_the_system_has_kind_text_and_name)
{
  struct load_error e;
  ASSERT(!load_fail_os(&e, ENOMEM, "making %d QPs", 7));
  ASSERT_EQ((int)e.kind, LOAD_NO_RESOURCES);
  ASSERT_EQ(e.number, ENOMEM);
  ASSERT_STR(e.message, "making 7 QPs: Cannot allocate memory (ENOMEM)");
  (void)load_fail_os(&e, EMFILE, "x");
  ASSERT_EQ((int)e.kind, LOAD_NO_RESOURCES);
  (void)load_fail_os(&e, EOPNOTSUPP, "x");
  ASSERT_EQ((int)e.kind, LOAD_UNSUPPORTED);
  (void)load_fail_os(&e, ENOSYS, "x");
  ASSERT_EQ((int)e.kind, LOAD_UNSUPPORTED);
  (void)load_fail_os(&e, EINVAL, "x");
  ASSERT_EQ((int)e.kind, LOAD_OS);
  (void)load_fail_os(&e, 4242, "x");
  ASSERT_STR(e.message, "x: Unknown error 4242 (EUNKNOWN)");
}

TEST(load_error_keeps_its_end_when_it_is_long)
{
  struct load_error e;
  char text[1000];
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  (void)load_fail_os(&e, EACCES, "%s", text);
  ASSERT_CONTAINS(e.message, ": Permission denied (EACCES)");
  (void)load_fail_key(&e, text, text, "a short one");
  ASSERT_CONTAINS(e.message, "; expected a short one");
  ASSERT_EQ(strlen(e.value), sizeof e.value - 1);
  (void)load_fail(&e, LOAD_OS, "%s", text);
  ASSERT_EQ(strlen(e.message), sizeof e.message - 1);
}

TEST(load_error_of_a_request_names_key_value_and_what_would_do)
{
  struct load_error e;
  ASSERT(!load_fail_key(&e, "ends[0].port", NULL, "a port from 1"));
  ASSERT_EQ((int)e.kind, LOAD_BAD_REQUEST);
  ASSERT_STR(e.message, "ends[0].port: nothing; expected a port from 1");
  ASSERT_STR(e.key, "ends[0].port");
  ASSERT_STR(e.value, "nothing");
  ASSERT_STR(e.expected, "a port from 1");
  ASSERT(!load_fail_feature(&e, "srq", "%s has no srq", "rxe0"));
  ASSERT_EQ((int)e.kind, LOAD_UNSUPPORTED);
  ASSERT_STR(e.feature, "srq");
  ASSERT_STR(e.message, "rxe0 has no srq");
}

/* The words of docs/agent.md. */
TEST(load_error_kinds_are_those_of_the_protocol)
{
  ASSERT_STR(load_kind_name(LOAD_INTERNAL), "internal");
  ASSERT_STR(load_kind_name(LOAD_BAD_REQUEST), "bad_request");
  ASSERT_STR(load_kind_name(LOAD_UNSUPPORTED), "unsupported");
  ASSERT_STR(load_kind_name(LOAD_NO_DEVICE), "no_device");
  ASSERT_STR(load_kind_name(LOAD_NO_GID), "no_gid");
  ASSERT_STR(load_kind_name(LOAD_PORT_DOWN), "port_down");
  ASSERT_STR(load_kind_name(LOAD_NO_RESOURCES), "no_resources");
  ASSERT_STR(load_kind_name(LOAD_OS), "os");
}

TEST(load_error_numbers_have_names)
{
  ASSERT_STR(load_errno_name(EINVAL), "EINVAL");
  ASSERT_STR(load_errno_name(ETIMEDOUT), "ETIMEDOUT");
  ASSERT_STR(load_errno_name(ENODEV), "ENODEV");
  ASSERT_STR(load_errno_name(0), "EUNKNOWN");
  ASSERT_STR(load_errno_name(-ENOMEM), "EUNKNOWN");
}
