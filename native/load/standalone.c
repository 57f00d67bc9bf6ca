/* A whole job in one process: a controller in small, which asks the session what the harness would ask it. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"
#include "modes.h"
#include "session.h"

enum { FORMAT = 1, PS_PER_NS = 1000, PROGRESS_MS = 100 };
#define LEAD_NS 20000000
#define DRAIN_NS 500000000 /* for what is under way when a signal comes */
#define LEAST_SAMPLE_NS 100000
#define USUAL_SAMPLE_NS 1000000
#define MOST_PS (UINT64_MAX >> 1)

/* What the session says is kept as text and as a tree. */
struct said {
  char *text;
  struct json_doc *doc;
};

struct standalone {
  const struct load_standalone *how;
  struct json_doc *job;
  char *job_text;
  struct load_session *session;
  struct said answer, finished, verified;
  uint64_t next_id, asked_ns, last_progress_ns;
  const char *interrupted; /* name of the signal */
};

static void forget(struct said *said)
{
  json_free(said->doc);
  free(said->text);
  *said = (struct said){0};
}

static void keep(struct said *said, const char *text, size_t length)
{
  forget(said);
  struct json_error e;
  said->text = malloc(length + 1);
  if (said->text == NULL)
    return;
  memcpy(said->text, text, length);
  said->text[length] = '\0';
  said->doc = json_parse(said->text, length, NULL, &e);
}

/* Whether a line can be written to standard error without waiting for whoever should read it. A pipe that is ready
 * takes PIPE_BUF bytes, a longer line may stop half way. */
static bool takes_line(size_t length)
{
  struct stat file;
  if (fstat(STDERR_FILENO, &file) != 0)
    return false;
  struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
  bool waits = S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode);
  return !waits || (length <= PIPE_BUF && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0);
}

static void hear(void *arg, const char *line, size_t length, bool droppable)
{
  struct standalone *a = arg;
  (void)droppable;
  if (strncmp(line, "{\"event\":\"finished\"", 19) == 0) {
    keep(&a->finished, line, length);
  } else if (strncmp(line, "{\"event\":\"progress\"", 19) == 0) {
    if (!takes_line(length))
      return;
    (void)fwrite(line, 1, length, stderr);
    (void)fflush(stderr);
  } else if (strncmp(line, "{\"event\"", 8) != 0) {
    keep(&a->answer, line, length);
  }
}

/* --- asking ---------------------------------------------------------------------------------------------------- */

static void write_value(struct jsonw *w, const struct json_value *v)
{
  switch ((enum json_type)v->type) {
  case JSON_NULL:
    jsonw_null(w);
    break;
  case JSON_BOOL:
    jsonw_bool(w, v->boolean);
    break;
  case JSON_INT:
    jsonw_i64(w, v->integer);
    break;
  case JSON_UINT:
    jsonw_u64(w, v->uinteger);
    break;
  case JSON_REAL:
    jsonw_double(w, v->real);
    break;
  case JSON_STRING:
    jsonw_string_n(w, v->string, v->count);
    break;
  case JSON_ARRAY:
    jsonw_begin_array(w);
    for (const struct json_value *item = v->first; item != NULL; item = item->next)
      write_value(w, item);
    jsonw_end_array(w);
    break;
  case JSON_OBJECT:
    jsonw_begin_object(w);
    for (const struct json_value *item = v->first; item != NULL; item = item->next) {
      char key[256];
      (void)snprintf(key, sizeof key, "%.*s", (int)(item->key_length < 255 ? item->key_length : 255), item->key);
      jsonw_key(w, key);
      write_value(w, item);
    }
    jsonw_end_object(w);
    break;
  }
}

struct request {
  char *text;
  size_t length;
  FILE *file;
  struct jsonw w;
};

static bool begin(struct standalone *a, struct request *r, const char *op)
{
  *r = (struct request){0};
  r->file = open_memstream(&r->text, &r->length);
  if (r->file == NULL)
    return false;
  jsonw_init(&r->w, r->file);
  jsonw_begin_object(&r->w);
  jsonw_member_u64(&r->w, "id", a->next_id++);
  jsonw_member_string(&r->w, "op", op);
  return true;
}

/* Sends it; returns the answer when it is a good one, else NULL. */
static const struct json_value *ask(struct standalone *a, struct request *r)
{
  jsonw_end_object(&r->w);
  bool good = jsonw_finish(&r->w) == 0;
  good = fclose(r->file) == 0 && good;
  struct json_error e;
  struct json_doc *doc = good ? json_parse(r->text, r->length, NULL, &e) : NULL;
  forget(&a->answer);
  if (doc != NULL)
    load_session_answer(a->session, doc);
  json_free(doc);
  free(r->text);
  const struct json_value *root = a->answer.doc != NULL ? json_root(a->answer.doc) : NULL;
  const struct json_value *ok = root != NULL ? json_get(root, "ok") : NULL;
  return ok != NULL && ok->type == JSON_BOOL && ok->boolean ? root : NULL;
}

static const struct json_value *at(const struct json_value *value, const char *key)
{
  return value != NULL && value->type == JSON_OBJECT ? json_get(value, key) : NULL;
}

static uint64_t number(const struct json_value *object, const char *key, uint64_t fallback)
{
  const struct json_value *v = at(object, key);
  return v != NULL && v->type == JSON_INT && v->integer >= 0 ? (uint64_t)v->integer : fallback;
}

static const char *text_of(const struct json_value *v, char *out, size_t size)
{
  bool known = v != NULL && v->type == JSON_STRING;
  (void)snprintf(out, size, "%.*s", known ? (int)(v->count < size ? v->count : size - 1) : 0, known ? v->string : "");
  return out;
}

/* --- errors ---------------------------------------------------------------------------------------------------- */

static int bad_job(const char *message, uint32_t line, uint32_t column)
{
  struct jsonw w;
  jsonw_init(&w, stderr);
  jsonw_begin_object(&w);
  jsonw_member_string(&w, "error", message);
  jsonw_member_u64(&w, "line", line);
  jsonw_member_u64(&w, "column", column);
  jsonw_end_object(&w);
  (void)jsonw_finish(&w);
  return LOAD_EXIT_BAD_JOB;
}

/* What the session refused: a job that asks for what cannot be, or a device that fails. */
static int refused(struct standalone *a)
{
  const struct json_value *error = a->answer.doc != NULL ? at(json_root(a->answer.doc), "error") : NULL;
  char kind[32], message[400];
  text_of(at(error, "kind"), kind, sizeof kind);
  text_of(at(error, "message"), message, sizeof message);
  (void)bad_job(message[0] != '\0' ? message : "memory is short", 0, 0);
  return strcmp(kind, "bad_request") == 0 || strcmp(kind, "unsupported") == 0 ? LOAD_EXIT_BAD_JOB : LOAD_EXIT_RUN_FAILED;
}

/* --- the job --------------------------------------------------------------------------------------------------- */

/* What is read here and not by the session: of a wrong value the session would get another one. */
static bool check_job(const struct json_doc *job, struct load_error *e)
{
  static const char *const untils[] = {"done", "duration", NULL};
  static const char *const times[] = {"duration_ps", "drain_ps", "sample_every_ps", NULL};
  bool failed;
  if (json_root(job)->type != JSON_OBJECT)
    return load_fail_key(e, "job", json_type_name(json_root(job)), "an object with flows");
  struct load_fields f = load_fields_top(job, json_root(job), e, &failed);
  (void)load_fields_choice(&f, "until", untils, 0);
  for (const char *const *time = times; *time != NULL; time++)
    (void)load_fields_integer_or_none(&f, *time, 0, MOST_PS);
  const struct json_value *flows = load_fields_list(&f, "flows", true);
  uint32_t i = 0;
  if (flows != NULL && flows->count == 0)
    load_fields_wrong(&f, "flows", flows, "at least one flow");
  for (const struct json_value *item = flows != NULL ? flows->first : NULL; item != NULL; item = item->next) {
    struct load_fields flow = load_fields_element(&f, "flows", i++, item);
    (void)load_fields_text(&flow, "src", true);
    (void)load_fields_text(&flow, "dst", true);
    (void)load_fields_integer_or_none(&flow, "dscp", 0, 63);
    (void)load_fields_integer_or_none(&flow, "priority", 0, 7);
  }
  return !failed;
}

static int read_job(struct standalone *a)
{
  struct load_error wrong;
  char message[300];
  FILE *in = a->how->job != NULL ? fopen(a->how->job, "rb") : stdin;
  if (in == NULL) {
    (void)snprintf(message, sizeof message, "%.200s: %s", a->how->job, strerror(errno));
    return bad_job(message, 0, 0);
  }
  size_t length = 0;
  a->job_text = text_read_all(in, &length);
  if (in != stdin)
    (void)fclose(in);
  struct json_error e = {.message = "memory is short"};
  a->job = a->job_text != NULL ? json_parse(a->job_text, length, NULL, &e) : NULL;
  if (a->job == NULL)
    return bad_job(e.message, e.line, e.column);
  return check_job(a->job, &wrong) ? LOAD_EXIT_GOOD : bad_job(wrong.message, 1, 1);
}

static const struct json_value *job_flows(const struct standalone *a)
{
  return at(json_root(a->job), "flows");
}

/* The device of a port of the job; "/N" at its end is the device's port. A port without a binding has a null device of
 * its own, when allowed. */
static bool device_of(const struct standalone *a, const char *port, char *device, size_t size, unsigned *number_out)
{
  const struct load_standalone *how = a->how;
  *number_out = 1;
  for (uint32_t i = 0; i < how->n_bindings; i++) {
    if (how->bindings[i].port[0] != '\0' && strcmp(how->bindings[i].port, port) != 0)
      continue;
    (void)snprintf(device, size, "%s", how->bindings[i].device);
    char *slash = strrchr(device, '/');
    if (slash != NULL && slash[1] >= '1' && slash[1] <= '9') {
      *number_out = (unsigned)strtoul(slash + 1, NULL, 10);
      *slash = '\0';
    }
    return true;
  }
  if (!how->null_for_all)
    return false;
  uint32_t hash = 2166136261U; /* FNV-1a: the same port has the same null device */
  for (const char *c = port; *c != '\0'; c++)
    hash = (hash ^ (uint8_t)*c) * 16777619U;
  (void)snprintf(device, size, "null%u", (unsigned)(hash % 60000));
  return true;
}

static bool write_end(struct standalone *a, struct jsonw *w, const struct json_value *flow, const char *role,
                      char *problem, size_t size)
{
  char name[256], id[272], port[128], device[128];
  unsigned number_of_port;
  text_of(at(flow, "name"), name, sizeof name);
  text_of(at(flow, role), port, sizeof port);
  if (!device_of(a, port, device, sizeof device, &number_of_port)) {
    (void)snprintf(problem, size, "flow %.80s: no device for its port %.80s: say --device %.80s=NAME, or --null", name,
                   port, port);
    return false;
  }
  (void)snprintf(id, sizeof id, "%s/%s", name, role);
  jsonw_begin_object(w);
  jsonw_member_string(w, "id", id);
  jsonw_member_string(w, "role", role);
  jsonw_member_string(w, "device", device);
  jsonw_member_u64(w, "port", number_of_port);
  uint64_t dscp = number(flow, "dscp", UINT64_MAX), priority = number(flow, "priority", 3);
  jsonw_member_u64(w, "tos", dscp <= 63 ? dscp << 2 | 2 : 26 << 2 | 2); /* ECT(0), RFC 3168; 26 is what RoCE uses */
  jsonw_member_u64(w, "sl", priority <= 7 ? priority : 3);
  jsonw_key(w, "flow");
  write_value(w, flow);
  jsonw_end_object(w);
  return true;
}

static int prepare(struct standalone *a)
{
  struct request r;
  const struct json_value *job = json_root(a->job), *nic = at(job, "nic");
  if (!begin(a, &r, "prepare"))
    return bad_job("memory is short", 0, 0);
  jsonw_member_string(&r.w, "run", "standalone");
  if (nic != NULL) {
    jsonw_key(&r.w, "qos");
    write_value(&r.w, nic);
  }
  uint64_t every = number(job, "sample_every_ps", 0) / PS_PER_NS;
  if (a->how->series != NULL) {
    jsonw_member_string(&r.w, "series", a->how->series);
    jsonw_member_u64(&r.w, "sample_ns", every == 0                ? USUAL_SAMPLE_NS
                                        : every < LEAST_SAMPLE_NS ? LEAST_SAMPLE_NS
                                                                  : every);
  }
  jsonw_member_array(&r.w, "ends");
  char problem[320] = "";
  for (const struct json_value *flow = job_flows(a)->first; flow != NULL && problem[0] == '\0'; flow = flow->next) {
    if (write_end(a, &r.w, flow, "src", problem, sizeof problem))
      (void)write_end(a, &r.w, flow, "dst", problem, sizeof problem);
  }
  if (problem[0] != '\0') {
    (void)fclose(r.file);
    free(r.text);
    return bad_job(problem, 1, 1);
  }
  jsonw_end_array(&r.w);
  return ask(a, &r) != NULL ? LOAD_EXIT_GOOD : refused(a);
}

/* Each end learns the other's queue pairs, targets first. */
static int connect_all(struct standalone *a)
{
  struct said prepared = a->answer;
  a->answer = (struct said){0};
  const struct json_value *ends = at(json_root(prepared.doc), "ends");
  int code = LOAD_EXIT_GOOD;
  for (int sources = 0; sources < 2 && code == LOAD_EXIT_GOOD; sources++) {
    struct request r;
    if (!begin(a, &r, "connect"))
      break;
    jsonw_member_object(&r.w, "ends");
    for (const struct json_value *flow = job_flows(a)->first; flow != NULL; flow = flow->next) {
      char name[256], mine[272], theirs[272];
      text_of(at(flow, "name"), name, sizeof name);
      (void)snprintf(mine, sizeof mine, "%s/%s", name, sources ? "src" : "dst");
      (void)snprintf(theirs, sizeof theirs, "%s/%s", name, sources ? "dst" : "src");
      jsonw_key(&r.w, mine);
      write_value(&r.w, at(ends, theirs));
    }
    jsonw_end_object(&r.w);
    if (ask(a, &r) == NULL)
      code = refused(a);
  }
  forget(&prepared);
  return code;
}

static int start(struct standalone *a)
{
  struct request r;
  const struct json_value *job = json_root(a->job), *until = at(job, "until");
  if (!begin(a, &r, "start"))
    return LOAD_EXIT_RUN_FAILED;
  a->asked_ns = load_mono_ns() + LEAD_NS;
  jsonw_member_u64(&r.w, "at_mono_ns", a->asked_ns);
  jsonw_member_string(&r.w, "until", until != NULL && json_string_is(until, "duration") ? "duration" : "done");
  uint64_t duration = number(job, "duration_ps", 0) / PS_PER_NS;
  if (duration > 0)
    jsonw_member_u64(&r.w, "duration_ns", duration);
  jsonw_member_u64(&r.w, "drain_ns", number(job, "drain_ps", 0) / PS_PER_NS);
  jsonw_member_u64(&r.w, "progress_ms", PROGRESS_MS);
  return ask(a, &r) != NULL ? LOAD_EXIT_GOOD : refused(a);
}

static void follow(struct standalone *a, int signals)
{
  for (;;) {
    uint64_t next = load_session_step(a->session);
    const struct load_run *run = load_session_run(a->session);
    if (run == NULL)
      return;
    struct pollfd files[2] = {{.fd = signals, .events = POLLIN}, {.fd = run->report, .events = POLLIN}};
    (void)poll(files, 2, next > 100000000 ? 100 : (int)((next + 999999) / 1000000));
    struct signalfd_siginfo info;
    if (files[0].revents != 0 && read(signals, &info, sizeof info) == sizeof info) {
      a->interrupted = info.ssi_signo == SIGINT ? "SIGINT" : info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGHUP";
      load_session_stop(a->session, DRAIN_NS, "interrupted");
    }
  }
}

static void verify(struct standalone *a)
{
  struct request r;
  const struct json_value *ends = a->finished.doc != NULL ? at(json_root(a->finished.doc), "ends") : NULL;
  if (ends == NULL || !begin(a, &r, "verify"))
    return;
  jsonw_member_object(&r.w, "ends");
  for (const struct json_value *flow = job_flows(a)->first; flow != NULL; flow = flow->next) {
    char name[256], source[272], target[272];
    text_of(at(flow, "name"), name, sizeof name);
    (void)snprintf(source, sizeof source, "%s/src", name);
    (void)snprintf(target, sizeof target, "%s/dst", name);
    const struct json_value *result = at(ends, source);
    jsonw_member_object(&r.w, target);
    jsonw_key(&r.w, "posted");
    write_value(&r.w, at(result, "posted"));
    jsonw_key(&r.w, "completed");
    write_value(&r.w, at(result, "completed"));
    jsonw_end_object(&r.w);
  }
  jsonw_end_object(&r.w);
  if (ask(a, &r) != NULL) {
    a->verified = a->answer;
    a->answer = (struct said){0};
  }
}

/* --- the result ------------------------------------------------------------------------------------------------ */

static void member_copy(struct jsonw *w, const char *key, const struct json_value *value)
{
  jsonw_key(w, key);
  if (value != NULL)
    write_value(w, value);
  else
    jsonw_null(w);
}

static void member_time(struct jsonw *w, const char *key, uint64_t mono_ns, uint64_t zero_ns, bool known)
{
  if (known)
    jsonw_member_u64(w, key, mono_ns > zero_ns ? (mono_ns - zero_ns) * PS_PER_NS : 0);
  else
    jsonw_member_null(w, key);
}

static bool write_flow(struct standalone *a, struct jsonw *w, const struct json_value *flow)
{
  static const char *const copied[] = {"messages_completed", "bytes_sent", "bytes_acked", "rate_reached", NULL};
  char name[256], id[272];
  text_of(at(flow, "name"), name, sizeof name);
  (void)snprintf(id, sizeof id, "%s/src", name);
  const struct json_value *source = at(at(json_root(a->finished.doc), "ends"), id);
  (void)snprintf(id, sizeof id, "%s/dst", name);
  const struct json_value *checked = a->verified.doc != NULL ? at(json_root(a->verified.doc), "ends") : NULL;
  const struct json_value *target = at(checked != NULL ? checked : at(json_root(a->finished.doc), "ends"), id);
  const struct json_value *status = at(source, "status");
  uint64_t from = number(source, "start_mono_ns", 0), to = number(source, "end_mono_ns", 0);
  bool done = status != NULL && json_string_is(status, "done");
  jsonw_begin_object(w);
  member_copy(w, "name", at(flow, "name"));
  member_copy(w, "src", at(flow, "src"));
  member_copy(w, "dst", at(flow, "dst"));
  member_copy(w, "status", status);
  member_copy(w, "error", at(source, "error"));
  member_copy(w, "target_error", at(target, "error"));
  member_time(w, "start_ps", from, a->asked_ns, from != 0);
  member_time(w, "end_ps", to, a->asked_ns, done && to != 0);
  member_time(w, "fct_ps", to, from, done && from != 0 && to >= from);
  for (const char *const *key = copied; *key != NULL; key++)
    member_copy(w, *key, at(source, *key));
  if (from != 0 && to > from)
    jsonw_member_double(w, "goodput_bps", (double)number(source, "bytes_acked", 0) * 8e9 / (double)(to - from));
  else
    jsonw_member_null(w, "goodput_bps");
  member_copy(w, "latency", at(source, "latencies"));
  member_copy(w, "source", source);
  member_copy(w, "target", target);
  jsonw_end_object(w);
  return status != NULL && !json_string_is(status, "failed");
}

static const char *error_of(const struct standalone *a, bool flows_good, char *out, size_t size)
{
  char why[40];
  const struct json_value *series = at(at(json_root(a->finished.doc), "usage"), "series_error");
  text_of(at(json_root(a->finished.doc), "why"), why, sizeof why);
  if (a->interrupted != NULL)
    (void)snprintf(out, size, "interrupted by %s", a->interrupted);
  else if (strcmp(why, "no_progress") == 0)
    (void)snprintf(out, size, "nothing completed for too long: the peer or the device does not answer");
  else if (strcmp(why, "device_gone") == 0)
    (void)snprintf(out, size, "a device was removed or failed");
  else if (!flows_good)
    (void)snprintf(out, size, "a flow failed");
  else if (series != NULL && series->type == JSON_STRING)
    text_of(series, out, size);
  else
    return NULL;
  return out;
}

static int write_result(struct standalone *a)
{
  const struct json_value *finished = a->finished.doc != NULL ? json_root(a->finished.doc) : NULL;
  if (finished == NULL)
    return bad_job("the run has no result: memory is short", 0, 0) - LOAD_EXIT_BAD_JOB + LOAD_EXIT_RUN_FAILED;
  struct jsonw w;
  char error[160];
  bool good = true;
  jsonw_init(&w, stdout);
  jsonw_begin_object(&w);
  jsonw_member_u64(&w, "format", FORMAT);
  jsonw_member_bool(&w, "simulated", false);
  jsonw_member_object(&w, "executor");
  jsonw_member_string(&w, "name", "roce-load");
  jsonw_member_string(&w, "version", ROCE_VERSION);
  jsonw_end_object(&w);
  member_copy(&w, "job", at(json_root(a->job), "name"));
  member_copy(&w, "ended", at(finished, "why"));
  jsonw_member_array(&w, "flows");
  for (const struct json_value *flow = job_flows(a)->first; flow != NULL; flow = flow->next)
    good = write_flow(a, &w, flow) && good;
  jsonw_end_array(&w);
  jsonw_member_string(&w, "error", error_of(a, good, error, sizeof error));
  member_copy(&w, "usage", at(finished, "usage"));
  jsonw_end_object(&w);
  int failed = jsonw_finish(&w);
  if (failed != 0)
    (void)fprintf(stderr, "{\"error\":\"cannot write the result to standard output: %s\"}\n", strerror(failed));
  return failed == 0 && error_of(a, good, error, sizeof error) == NULL ? LOAD_EXIT_GOOD : LOAD_EXIT_RUN_FAILED;
}

int load_standalone(const struct load_standalone *how)
{
  struct standalone a = {.how = how};
  int code = read_job(&a);
  int signals = load_signal_file(); /* not before: one that comes while the job is read ends it at once */
  if (code == LOAD_EXIT_GOOD) {
    a.session = load_session_new(hear, &a, how->watchdog_ns);
    code = a.session != NULL && signals >= 0 ? prepare(&a) : LOAD_EXIT_RUN_FAILED;
  }
  if (code == LOAD_EXIT_GOOD)
    code = connect_all(&a);
  if (code == LOAD_EXIT_GOOD)
    code = start(&a);
  if (code == LOAD_EXIT_GOOD) {
    follow(&a, signals);
    verify(&a);
    code = write_result(&a);
  }
  load_session_free(a.session);
  forget(&a.answer);
  forget(&a.finished);
  forget(&a.verified);
  json_free(a.job);
  free(a.job_text);
  if (signals >= 0)
    (void)close(signals);
  return code;
}
