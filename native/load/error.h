/* What went wrong, in the words of the agent's protocol (docs/agent.md). */
#ifndef ROCE_LOAD_ERROR_H
#define ROCE_LOAD_ERROR_H

#include <stdbool.h>

enum load_kind {
  LOAD_INTERNAL,
  LOAD_BAD_REQUEST,  /* key, value and expected are set */
  LOAD_UNSUPPORTED,  /* feature is set */
  LOAD_NO_DEVICE,
  LOAD_NO_GID,
  LOAD_PORT_DOWN,
  LOAD_NO_RESOURCES,
  LOAD_OS,
};

struct load_error {
  enum load_kind kind;
  int number; /* errno, 0 for none */
  char message[320];
  char key[160], value[120], expected[200]; /* of a bad request */
  char feature[40];
};

/* Each fills `e` and returns false, so that a caller can `return load_fail(…)`. What it is given may lie in `e`. */
bool load_fail(struct load_error *e, enum load_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "DOING: strerror (NAME)"; ENOMEM and its like become no_resources, EOPNOTSUPP and ENOSYS unsupported. */
bool load_fail_os(struct load_error *e, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "KEY: VALUE; expected EXPECTED", long ones cut; a value of NULL is "nothing". */
bool load_fail_key(struct load_error *e, const char *key, const char *value, const char *expected);
bool load_fail_feature(struct load_error *e, const char *feature, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "bad_request", "no_device" … */
const char *load_kind_name(enum load_kind kind);
/* "ENOMEM" for 12; "EUNKNOWN" when it has no name here. */
const char *load_errno_name(int number);

#endif
