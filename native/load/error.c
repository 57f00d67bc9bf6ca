#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The texts may lie in `e` itself, so everything is put together beside it. */
static bool fail_with(struct load_error *e, const struct load_error *made)
{
  *e = *made;
  return false;
}

bool load_fail(struct load_error *e, enum load_kind kind, const char *format, ...)
{
  struct load_error made = {.kind = kind};
  va_list args;
  va_start(args, format);
  (void)vsnprintf(made.message, sizeof made.message, format, args);
  va_end(args);
  return fail_with(e, &made);
}

static enum load_kind kind_of(int number)
{
  switch (number) {
  case ENOMEM:
  case ENOSPC:
  case EMFILE:
  case ENFILE:
  case EAGAIN:
  case ENOBUFS:
    return LOAD_NO_RESOURCES;
  case EOPNOTSUPP:
  case ENOSYS:
    return LOAD_UNSUPPORTED;
  default:
    return LOAD_OS;
  }
}

bool load_fail_os(struct load_error *e, int number, const char *format, ...)
{
  struct load_error made = {.kind = kind_of(number), .number = number};
  char doing[sizeof made.message];
  char reason[96];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(doing, sizeof doing, format, args);
  va_end(args);
  errno = number; /* %m: strerror() shares its buffer between threads, strerror_r() has two shapes */
  (void)snprintf(reason, sizeof reason, "%m");
  (void)snprintf(made.message, sizeof made.message, "%.180s: %s (%s)", doing, reason, load_errno_name(number));
  return fail_with(e, &made);
}

bool load_fail_key(struct load_error *e, const char *key, const char *value, const char *expected)
{
  struct load_error made = {.kind = LOAD_BAD_REQUEST};
  const char *shown = value != NULL ? value : "nothing";
  (void)snprintf(made.key, sizeof made.key, "%s", key);
  (void)snprintf(made.value, sizeof made.value, "%s", shown);
  (void)snprintf(made.expected, sizeof made.expected, "%s", expected);
  (void)snprintf(made.message, sizeof made.message, "%.100s: %.80s; expected %.120s", key, shown, expected);
  return fail_with(e, &made);
}

bool load_fail_feature(struct load_error *e, const char *feature, const char *format, ...)
{
  struct load_error made = {.kind = LOAD_UNSUPPORTED};
  va_list args;
  va_start(args, format);
  (void)vsnprintf(made.message, sizeof made.message, format, args);
  va_end(args);
  (void)snprintf(made.feature, sizeof made.feature, "%s", feature);
  return fail_with(e, &made);
}

const char *load_kind_name(enum load_kind kind)
{
  switch (kind) {
  case LOAD_BAD_REQUEST:
    return "bad_request";
  case LOAD_UNSUPPORTED:
    return "unsupported";
  case LOAD_NO_DEVICE:
    return "no_device";
  case LOAD_NO_GID:
    return "no_gid";
  case LOAD_PORT_DOWN:
    return "port_down";
  case LOAD_NO_RESOURCES:
    return "no_resources";
  case LOAD_OS:
    return "os";
  case LOAD_INTERNAL:
    break;
  }
  return "internal";
}

const char *load_errno_name(int number)
{
  static const struct {
    int number;
    const char *name;
  } names[] = {
#define NAME(n) {n, #n}
      NAME(EPERM), NAME(ENOENT), NAME(ESRCH), NAME(EINTR), NAME(EIO), NAME(ENXIO), NAME(E2BIG), NAME(EBADF),
      NAME(ECHILD), NAME(EAGAIN), NAME(ENOMEM), NAME(EACCES), NAME(EFAULT), NAME(EBUSY), NAME(EEXIST),
      NAME(EXDEV), NAME(ENODEV), NAME(ENOTDIR), NAME(EISDIR), NAME(EINVAL), NAME(ENFILE), NAME(EMFILE),
      NAME(ENOTTY), NAME(EFBIG), NAME(ENOSPC), NAME(ESPIPE), NAME(EROFS), NAME(EPIPE), NAME(EDOM), NAME(ERANGE),
      NAME(EDEADLK), NAME(ENAMETOOLONG), NAME(ENOSYS), NAME(ENODATA), NAME(ETIME), NAME(EPROTO), NAME(EBADMSG),
      NAME(EOVERFLOW), NAME(EILSEQ), NAME(EMSGSIZE), NAME(EPROTOTYPE), NAME(EPROTONOSUPPORT), NAME(EOPNOTSUPP),
      NAME(EAFNOSUPPORT), NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(ENETDOWN), NAME(ENETUNREACH),
      NAME(ENETRESET), NAME(ECONNABORTED), NAME(ECONNRESET), NAME(ENOBUFS), NAME(EISCONN), NAME(ENOTCONN),
      NAME(ESHUTDOWN), NAME(ETIMEDOUT), NAME(ECONNREFUSED), NAME(EHOSTDOWN), NAME(EHOSTUNREACH), NAME(EALREADY),
      NAME(EINPROGRESS), NAME(ESTALE), NAME(EREMOTEIO), NAME(EDQUOT), NAME(ECANCELED), NAME(ENOKEY),
      NAME(EKEYREJECTED), NAME(EOWNERDEAD), NAME(ENOTRECOVERABLE),
#undef NAME
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (names[i].number == number)
      return names[i].name;
  }
  return "EUNKNOWN";
}
