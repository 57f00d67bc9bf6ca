/* The session of roce-load: requests as the agent sends them, answered on null devices. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/session.h"
#include "test.h"

enum { MOST_TRIES = 4000, PATIENCE = 20000 };
#define WATCHDOG_NS UINT64_C(1000000000)

/* A session, what it answered last, and the end of its last run. */
struct talk {
  struct load_session *session;
  char *answer, *finished;
  uint32_t events;
};

static void keep(char **out, const char *line, size_t length)
{
  free(*out);
  *out = strndup(line, length);
  ASSERT(*out != NULL);
}

static void hear(void *arg, const char *line, size_t length, bool droppable)
{
  struct talk *t = arg;
  (void)droppable;
  ASSERT(length > 1 && line[length - 1] == '\n');
  t->events += strncmp(line, "{\"event\"", 8) == 0 ? 1 : 0;
  if (strncmp(line, "{\"event\":\"finished\"", 19) == 0)
    keep(&t->finished, line, length);
  else if (strncmp(line, "{\"event\"", 8) != 0)
    keep(&t->answer, line, length);
}

static struct talk begin(void)
{
  return (struct talk){0};
}

static void open_talk(struct talk *t)
{
  t->session = load_session_new(hear, t, WATCHDOG_NS);
  ASSERT(t->session != NULL);
}

static void close_talk(struct talk *t)
{
  load_session_free(t->session);
  free(t->answer);
  free(t->finished);
  *t = (struct talk){0};
}

/* Asks while the `denied`th allocation and those after it fail (0: none). Returns whether the answer is good. */
static bool ask_denied(struct talk *t, uint64_t denied, const char *text)
{
  struct json_error e;
  struct json_doc *doc = json_parse(text, strlen(text), NULL, &e);
  if (doc == NULL)
    test_fail(__FILE__, __LINE__, "%s: %s", e.message, text);
  free(t->answer);
  t->answer = NULL;
  test_fail_allocation(denied);
  load_session_answer(t->session, doc);
  test_fail_allocation(0);
  json_free(doc);
  ASSERT(t->answer != NULL);
  return strstr(t->answer, "\"ok\":true") != NULL;
}

static bool ask(struct talk *t, const char *text)
{
  return ask_denied(t, 0, text);
}

static void good(struct talk *t, const char *text)
{
  if (!ask(t, text))
    test_fail(__FILE__, __LINE__, "%s\n  asked: %s", t->answer, text);
}

/* A request that must be refused with these words. */
static void refused(struct talk *t, const char *text, const char *kind, const char *words)
{
  ASSERT(!ask(t, text));
  ASSERT_CONTAINS(t->answer, kind);
  ASSERT_CONTAINS(t->answer, words);
}

static char *format(const char *how, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *how, ...)
{
  char *text = NULL;
  va_list args;
  va_start(args, how);
  int length = vasprintf(&text, how, args);
  va_end(args);
  ASSERT(length >= 0);
  return text;
}

/* Prepares both ends of one flow with these keys besides its name. */
static char *prepare_of(const char *device, const char *flow)
{
  return format("{\"id\":1,\"op\":\"prepare\",\"run\":\"r\",\"memory_bytes\":4194304,\"ends\":["
                "{\"id\":\"f/src\",\"role\":\"src\",\"device\":\"%s\",\"port\":1,\"flow\":{\"name\":\"f\",%s}},"
                "{\"id\":\"f/dst\",\"role\":\"dst\",\"device\":\"%s\",\"port\":1,\"flow\":{\"name\":\"f\",%s}}]}",
                device, flow, device, flow);
}

/* The list of queue pairs of an end in the last answer. */
static char *pairs_of(const struct talk *t, const char *end)
{
  char *key = format("\"%s\":[", end);
  const char *from = strstr(t->answer, key);
  ASSERT(from != NULL);
  from += strlen(key) - 1;
  const char *to = strchr(from, ']');
  ASSERT(to != NULL);
  free(key);
  return strndup(from, (size_t)(to - from) + 1);
}

/* The two requests that connect what the last answer describes. */
static void connects_of(const struct talk *t, char *out[2])
{
  char *source = pairs_of(t, "f/src"), *target = pairs_of(t, "f/dst");
  out[0] = format("{\"id\":2,\"op\":\"connect\",\"ends\":{\"f/dst\":%s}}", source);
  out[1] = format("{\"id\":3,\"op\":\"connect\",\"ends\":{\"f/src\":%s}}", target);
  free(source);
  free(target);
}

static void connect(struct talk *t)
{
  char *requests[2];
  connects_of(t, requests);
  good(t, requests[0]);
  good(t, requests[1]);
  free(requests[0]);
  free(requests[1]);
}

static void prepare(struct talk *t, const char *device, const char *flow)
{
  char *text = prepare_of(device, flow);
  good(t, text);
  free(text);
  connect(t);
}

/* Lets the run go on until it is over. */
static void finish(struct talk *t)
{
  for (int i = 0; load_session_run(t->session) != NULL; i++) {
    ASSERT(i < PATIENCE);
    (void)load_session_step(t->session);
    usleep(1000);
  }
}

static const char plain[] = "\"message_bytes\":64,\"messages\":100,\"qps\":2";
#define START "{\"id\":4,\"op\":\"start\",\"until\":\"done\"}"

TEST(session_runs_a_flow)
{
  struct talk t = begin();
  open_talk(&t);
  prepare(&t, "null0", plain);
  good(&t, START);
  ASSERT(load_session_run(t.session) != NULL);
  finish(&t);
  ASSERT_CONTAINS(t.finished, "\"why\":\"done\"");
  ASSERT_CONTAINS(t.finished, "\"completed\":[100,100]");
  good(&t, "{\"id\":5,\"op\":\"verify\",\"ends\":{\"f/dst\":{\"posted\":[100,100],\"completed\":[100,100]}}}");
  ASSERT_CONTAINS(t.answer, "\"payload_verified_bytes\":12800,\"payload_mismatched_bytes\":0");
  good(&t, "{\"id\":6,\"op\":\"teardown\"}");
  ASSERT_CONTAINS(t.answer, "\"closed\":3"); /* two ends and a device */
  close_talk(&t);
}

TEST(session_order_is_kept)
{
  struct talk t = begin();
  open_talk(&t);
  refused(&t, START, "bad_request", "prepare and connect first");
  refused(&t, "{\"id\":1,\"op\":\"connect\",\"ends\":{\"f/src\":[]}}", "bad_request", "prepare first");
  char *text = prepare_of("null0", plain);
  good(&t, text);
  refused(&t, START, "bad_request", "ends that are connected");
  refused(&t, text, "bad_request", "teardown first");
  refused(&t, "{\"id\":5,\"op\":\"verify\",\"ends\":{\"f/dst\":{\"posted\":[1,1],\"completed\":[1,1]}}}", "bad_request",
          "connected");
  free(text);
  close_talk(&t);
}

TEST(session_refuses_while_a_run_goes_on)
{
  struct talk t = begin();
  open_talk(&t);
  prepare(&t, "null0:hang_after=5", "\"message_bytes\":64,\"messages\":0");
  good(&t, "{\"id\":4,\"op\":\"start\",\"until\":\"duration\",\"duration_ns\":60000000000}");
  refused(&t, START, "bad_request", "a run that has finished");
  refused(&t, "{\"id\":5,\"op\":\"verify\",\"ends\":{}}", "bad_request", "a run that has finished");
  refused(&t, "{\"id\":6,\"op\":\"recover\",\"ends\":[]}", "bad_request", "a run that has finished");
  good(&t, "{\"id\":7,\"op\":\"clock\"}");
  good(&t, "{\"id\":8,\"op\":\"stop\"}");
  finish(&t);
  ASSERT_CONTAINS(t.finished, "\"why\":\"stopped\"");
  close_talk(&t);
}

TEST(session_may_be_freed_in_the_middle)
{
  static const char *const flows[] = {"\"message_bytes\":64,\"messages\":0", "\"message_bytes\":64,\"messages\":0,\"verb\":\"send\"",
                                      "\"message_bytes\":64,\"messages\":0,\"verbs\":{\"ping_pong\":true}"};
  for (size_t i = 0; i < sizeof flows / sizeof flows[0]; i++) {
    struct talk t = begin();
    open_talk(&t);
    prepare(&t, "null0", flows[i]);
    good(&t, "{\"id\":4,\"op\":\"start\",\"until\":\"duration\",\"duration_ns\":60000000000}");
    (void)load_session_step(t.session);
    usleep(20000);
    close_talk(&t);
  }
}

/* Ends of as many devices as there may be, and of one more. */
static char *many_devices(unsigned n)
{
  size_t room = 200 + 140 * (size_t)n, used = 0;
  char *text = malloc(room);
  ASSERT(text != NULL);
  used += (size_t)snprintf(text, room, "{\"id\":1,\"op\":\"prepare\",\"run\":\"r\",\"ends\":[");
  for (unsigned i = 0; i < n; i++)
    used += (size_t)snprintf(text + used, room - used,
                             "%s{\"id\":\"e%u\",\"role\":\"src\",\"device\":\"null%u\",\"port\":1,\"flow\":{\"name\":\"f%u\","
                             "\"message_bytes\":8}}",
                             i > 0 ? "," : "", i, i, i);
  (void)snprintf(text + used, room - used, "]}");
  return text;
}

TEST(session_takes_many_devices_and_refuses_one_more)
{
  struct talk t = begin();
  open_talk(&t);
  char *enough = many_devices(1024), *more = many_devices(1025);
  good(&t, enough);
  good(&t, "{\"id\":2,\"op\":\"teardown\"}");
  ASSERT_CONTAINS(t.answer, "\"closed\":2048");
  refused(&t, more, "no_resources", "more than 1024 devices");
  good(&t, "{\"id\":3,\"op\":\"teardown\"}");
  ASSERT_CONTAINS(t.answer, "\"closed\":0");
  free(enough);
  free(more);
  close_talk(&t);
}

TEST(session_names_what_is_wrong_with_peers)
{
  static const char *const wrong[][2] = {
      {"\"f/src\":[]", "2 queue pairs"},
      {"\"f/src\":7", "a list"},
      {"\"f/src\":[{},{}]", "f/src[0].qpn"},
      {"\"f/src\":[{\"qpn\":1,\"psn\":1,\"gid\":\"x\"},{}]", "hexadecimal"},
      {"\"f/src\":[{\"qpn\":16777216}]", "from 0 to 16777215"},
      {"\"g/src\":[]", "one of the prepared ends"},
  };
  struct talk t = begin();
  open_talk(&t);
  char *text = prepare_of("null0", plain);
  good(&t, text);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char *request = format("{\"id\":2,\"op\":\"connect\",\"ends\":{%s}}", wrong[i][0]);
    refused(&t, request, "bad_request", wrong[i][1]);
    free(request);
  }
  free(text);
  close_talk(&t);
}

TEST(session_verify_wants_a_number_for_each_pair)
{
  static const char *const wrong[] = {"{\"posted\":[1],\"completed\":[1,1]}", "{\"posted\":[1,1],\"completed\":[2,1]}",
                                      "{\"posted\":[1,-1],\"completed\":[1,1]}", "{\"posted\":1,\"completed\":[1,1]}",
                                      "{\"posted\":[1,1]}", "{\"posted\":[1,1],\"completed\":[1,1],\"x\":1}"};
  struct talk t = begin();
  open_talk(&t);
  prepare(&t, "null0", plain);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char *request = format("{\"id\":2,\"op\":\"verify\",\"ends\":{\"f/dst\":%s}}", wrong[i]);
    refused(&t, request, "bad_request", "f/dst");
    free(request);
  }
  close_talk(&t);
}

TEST(session_recovers_only_flows_that_say_so)
{
  struct talk t = begin();
  open_talk(&t);
  prepare(&t, "null0", plain);
  refused(&t, "{\"id\":2,\"op\":\"recover\",\"ends\":[\"f/src\"]}", "bad_request", "verbs.recover");
  refused(&t, "{\"id\":2,\"op\":\"recover\",\"ends\":[\"f/src\",7]}", "bad_request", "ends");
  refused(&t, "{\"id\":2,\"op\":\"resume\",\"ends\":[]}", "bad_request", "a list of ends");
  close_talk(&t);
}

/* --- when memory is short ---------------------------------------------------------------------------------------- */

static const char *const kinds[] = {
    "\"message_bytes\":64,\"messages\":20,\"qps\":3",
    "\"message_bytes\":64,\"messages\":20,\"qps\":3,\"verb\":\"send\",\"verbs\":{\"srq\":true},\"load\":{\"integrity\":true}",
    "\"message_bytes\":64,\"messages\":20,\"verb\":\"read\",\"load\":{\"sges\":4,\"sizes\":[[64,1],[32,1]]}",
    "\"message_bytes\":64,\"messages\":20,\"verb\":\"write\",\"verbs\":{\"ping_pong\":true}",
    "\"message_bytes\":8,\"messages\":20,\"verb\":\"fetch_add\",\"verbs\":{\"recover\":\"rebuild\"}",
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

TEST(session_prepare_survives_each_allocation_that_fails)
{
  for (size_t k = 0; k < KINDS; k++) {
    char *text = prepare_of("null0:latency=1us", kinds[k]);
    uint64_t n = 0;
    for (bool done = false; !done; n++) {
      struct talk t = begin();
      open_talk(&t);
      ASSERT(n < MOST_TRIES);
      done = ask_denied(&t, n + 1, text);
      if (!done)
        ASSERT(strstr(t.answer, "no_resources") != NULL || strstr(t.answer, "memory") != NULL);
      close_talk(&t);
    }
    ASSERT(n > 10);
    free(text);
  }
}

TEST(session_connect_and_start_survive_each_allocation_that_fails)
{
  for (size_t k = 0; k < KINDS; k++) {
    char *text = prepare_of("null0:latency=1us", kinds[k]);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
      struct talk t = begin();
      open_talk(&t);
      ASSERT(n < MOST_TRIES);
      good(&t, text);
      char *requests[2];
      connects_of(&t, requests);
      done = ask_denied(&t, n, requests[0]);
      done = ask_denied(&t, n, requests[1]) && done;
      done = ask_denied(&t, n, START) && done;
      finish(&t);
      if (done)
        ASSERT_CONTAINS(t.finished, "\"why\":\"done\"");
      free(requests[0]);
      free(requests[1]);
      close_talk(&t);
    }
    free(text);
  }
}
