/* Fuzz target: any bytes go to roce-load as a request, while a small run is prepared on null devices. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "load/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
  if (!condition) {
    fprintf(stderr, "load_fuzz: %s\n", what);
    abort();
  }
}

/* The last answer must be one line of JSON with an id and a verdict, and an error must say something. */
static void check_answer(void *arg, const char *line, size_t length, bool droppable)
{
  bool *good = arg;
  struct json_error e;
  (void)droppable;
  require(length > 0 && line[length - 1] == '\n' && memchr(line, '\n', length) == line + length - 1, "not one line");
  struct json_doc *doc = json_parse(line, length, NULL, &e);
  require(doc != NULL, "an answer is no JSON");
  const struct json_value *root = json_root(doc), *ok = json_get(root, "ok"), *error = json_get(root, "error");
  require(json_get(root, "event") != NULL || (ok != NULL && ok->type == JSON_BOOL), "no verdict");
  *good = ok != NULL && ok->boolean;
  if (!*good && ok != NULL) {
    const struct json_value *message = error != NULL ? json_get(error, "message") : NULL;
    require(message != NULL && message->type == JSON_STRING && message->count > 0, "an error without words");
  }
  json_free(doc);
}

static void answer(struct load_session *s, const char *text)
{
  struct json_error e;
  struct json_doc *doc = json_parse(text, strlen(text), NULL, &e);
  require(doc != NULL, "the fixed request is no JSON");
  load_session_answer(s, doc);
  json_free(doc);
}

static const char prepared[] =
    "{\"id\":1,\"op\":\"prepare\",\"run\":\"fuzz\",\"memory_bytes\":1048576,\"ends\":["
    "{\"id\":\"f/src\",\"role\":\"src\",\"device\":\"null0\",\"port\":1,\"flow\":{\"name\":\"f\",\"message_bytes\":64,"
    "\"qps\":2,\"verbs\":{\"recover\":\"reset\"}}},"
    "{\"id\":\"f/dst\",\"role\":\"dst\",\"device\":\"null1\",\"port\":1,\"flow\":{\"name\":\"f\",\"message_bytes\":64,"
    "\"qps\":2,\"verbs\":{\"recover\":\"reset\"}}}]}";

static bool is_op(const struct json_doc *doc, const char *name)
{
  const struct json_value *root = json_root(doc);
  const struct json_value *op = root->type == JSON_OBJECT ? json_get(root, "op") : NULL;
  return op != NULL && op->type == JSON_STRING && json_string_is(op, name);
}

/* Ends are read and not made: what they ask for may take any amount of memory. */
static void read_only(const struct json_doc *doc)
{
  struct load_error e = {.kind = LOAD_INTERNAL};
  bool failed = false;
  struct load_fields f = load_fields_top(doc, json_root(doc), &e, &failed);
  struct arena *arena = arena_new();
  const struct json_value *list = load_fields_list(&f, "ends", true);
  struct load_fields qos = load_fields_object(&f, "qos", false);
  struct load_qos settings;
  load_read_qos(&qos, &settings);
  uint32_t i = 0;
  for (const struct json_value *item = list != NULL ? list->first : NULL; item != NULL && arena != NULL; item = item->next) {
    struct load_end_spec spec;
    struct load_fields end = load_fields_element(&f, "ends", i++, item);
    load_read_end(&end, arena, &spec);
    if (!failed) {
      require(spec.flow.op != NULL && spec.flow.qps > 0 && spec.flow.message_bytes > 0, "a flow without a verb");
      require(load_size_of(&spec.flow, 0, 7) <= spec.flow.message_bytes, "a message above the largest");
    }
  }
  require(!failed || e.message[0] != '\0', "a refusal without words");
  arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const struct json_limits limits = {.max_depth = 32, .max_nodes = 1 << 16};
  struct json_error e;
  struct json_doc *doc = json_parse((const char *)data, size, &limits, &e);
  if (doc == NULL)
    return 0;
  bool good = false;
  if (is_op(doc, "prepare")) {
    read_only(doc);
  } else if (!is_op(doc, "start") && !is_op(doc, "resume")) { /* threads are for tests */
    struct load_session *s = load_session_new(check_answer, &good, 0);
    require(s != NULL, "memory");
    answer(s, prepared);
    require(good, "the fixed request was refused");
    load_session_answer(s, doc);
    load_session_free(s);
  }
  json_free(doc);
  return 0;
}
