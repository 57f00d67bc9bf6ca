/* Requests on standard input, answers and events on standard output, one JSON object a line (docs/agent.md). */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "modes.h"
#include "session.h"

enum { FIRST_BUFFER = 1 << 16, LONGEST_LINE = 64 << 20, PROTOCOL = 1, MOST_NODES = 1 << 22 };

int load_signal_file(void)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
  (void)signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void load_hello(void)
{
  struct utsname name;
  char libc[32] = "";
#ifdef __GLIBC__
  (void)snprintf(libc, sizeof libc, "glibc %s", gnu_get_libc_version());
#endif
  cpu_set_t cpus;
  bool known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
  struct jsonw w;
  jsonw_init(&w, stdout);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "event", "hello");
  jsonw_member_u64(&w, "protocol", PROTOCOL);
  jsonw_member_string(&w, "program", "roce-load");
  jsonw_member_string(&w, "version", ROCE_VERSION);
  jsonw_member_array(&w, "devices");
  jsonw_string(&w, "null");
#ifdef ROCE_LOAD_VERBS
  jsonw_string(&w, "verbs");
#endif
  jsonw_end_array(&w);
  jsonw_member_string(&w, "arch", uname(&name) == 0 ? name.machine : NULL);
  jsonw_member_string(&w, "libc", libc);
  if (known)
    jsonw_member_u64(&w, "cpus", (uint64_t)CPU_COUNT(&cpus));
  else
    jsonw_member_null(&w, "cpus");
  jsonw_member_u64(&w, "pid", (uint64_t)getpid());
  jsonw_end_object(&w);
  (void)jsonw_finish(&w);
}

/* --- output ---------------------------------------------------------------------------------------------------- */

struct output {
  bool broken; /* nobody reads any more */
};

static void emit(void *arg, const char *line, size_t length, bool droppable)
{
  struct output *out = arg;
  struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
  if (droppable && (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0))
    return;
  while (length > 0 && !out->broken) {
    ssize_t n = write(STDOUT_FILENO, line, length);
    if (n < 0 && errno != EINTR)
      out->broken = true;
    if (n > 0) {
      line += n;
      length -= (size_t)n;
    }
  }
}

/* --- input ----------------------------------------------------------------------------------------------------- */

struct input {
  char *text;
  size_t length, capacity;
  bool ended;
};

/* Reads what is there. */
static void take_input(struct input *in)
{
  if (in->capacity - in->length < FIRST_BUFFER / 2) {
    size_t capacity = in->capacity > 0 ? in->capacity * 2 : FIRST_BUFFER;
    char *grown = capacity <= LONGEST_LINE ? realloc(in->text, capacity) : NULL;
    if (grown == NULL) {
      in->ended = true; /* a line that long is no request */
      return;
    }
    in->text = grown;
    in->capacity = capacity;
  }
  ssize_t n = read(STDIN_FILENO, in->text + in->length, in->capacity - in->length);
  if (n > 0)
    in->length += (size_t)n;
  else if (n == 0 || (errno != EINTR && errno != EAGAIN))
    in->ended = true;
}

static void answer_line(struct load_session *s, struct output *out, const char *line, size_t length)
{
  static const struct json_limits limits = {.max_depth = 32, .max_nodes = MOST_NODES};
  struct json_error e;
  struct json_doc *doc = json_parse(line, length, &limits, &e);
  if (doc != NULL) {
    load_session_answer(s, doc);
    json_free(doc);
    return;
  }
  char text[512];
  char message[192];
  size_t at = 0;
  for (const char *c = e.message; *c != '\0' && at + 1 < sizeof message; c++)
    message[at++] = (char)(*c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '\'' : *c);
  message[at] = '\0';
  int n = snprintf(text, sizeof text,
                   "{\"id\":null,\"ok\":false,\"error\":{\"kind\":\"bad_request\",\"message\":\"line: %s at column %" PRIu32
                   "\",\"detail\":{\"key\":\"line\",\"value\":null,\"expected\":\"one JSON object\"}}}\n",
                   message, e.column);
  emit(out, text, (size_t)n, false);
}

static void answer_all(struct load_session *s, struct output *out, struct input *in)
{
  size_t from = 0;
  while (in->text != NULL) {
    char *end = memchr(in->text + from, '\n', in->length - from);
    if (end == NULL || load_session_quitting(s))
      break;
    size_t length = (size_t)(end - in->text) - from;
    if (length > 0)
      answer_line(s, out, in->text + from, length);
    from = (size_t)(end - in->text) + 1;
  }
  if (from > 0)
    memmove(in->text, in->text + from, in->length - from);
  in->length -= from;
}

/* --- the loop -------------------------------------------------------------------------------------------------- */

static int wait_ms(uint64_t next_ns)
{
  return next_ns == UINT64_MAX ? -1 : next_ns > 1000000000 ? 1000 : (int)((next_ns + 999999) / 1000000);
}

static void serve(struct load_session *s, struct output *out, struct input *in, int signals)
{
  while (!in->ended && !out->broken && !load_session_quitting(s)) {
    uint64_t next = load_session_step(s);
    const struct load_run *run = load_session_run(s);
    struct pollfd files[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = signals, .events = POLLIN},
                              {.fd = run != NULL ? run->report : -1, .events = POLLIN}};
    if (poll(files, 3, run != NULL ? wait_ms(next) : -1) < 0 && errno != EINTR)
      break;
    if (files[1].revents != 0)
      break;
    if (files[0].revents != 0) {
      take_input(in);
      answer_all(s, out, in);
    }
  }
}

int load_serve(uint64_t watchdog_ns)
{
  struct output out = {0};
  struct input in = {0};
  int signals = load_signal_file();
  struct load_session *s = load_session_new(emit, &out, watchdog_ns);
  if (s == NULL || signals < 0) {
    (void)fprintf(stderr, "roce-load: memory is short\n");
    return LOAD_EXIT_RUN_FAILED;
  }
  load_hello();
  serve(s, &out, &in, signals);
  load_session_free(s);
  free(in.text);
  (void)close(signals);
  return LOAD_EXIT_GOOD;
}
