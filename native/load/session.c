#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "memory.h"
#include "result.h"

enum { SHARE_OF_AVAILABLE = 4, MOST_DEVICES = 1024 };
#define MOST_MEMORY (UINT64_C(512) << 20)
#define LEAST_MEMORY (UINT64_C(1) << 20)
#define MAX_NS (UINT64_MAX >> 2)
#define LEAST_SAMPLE_NS 100000
#define CLOCK_SPAN_NS 2000000 /* measured better at each start */

struct load_session {
  load_emit_fn *emit;
  void *arg;
  uint64_t watchdog_ns;
  struct load_clock clock;
  struct arena *arena; /* of the requests' texts */
  const char *name;    /* of the prepared run, NULL when there is none */
  struct load_qos qos;
  struct load_end *ends;
  uint32_t n_ends;
  bool *connected;
  struct load_device devices[MOST_DEVICES];
  uint32_t n_devices;
  uint64_t budget, sample_ns;
  const char *series;
  struct load_run *run;
  uint32_t closed;
  bool quitting;
  /* what an answer says beyond its state */
  const struct json_value *wanted;
  uint64_t *took_ns;
};

struct load_session *load_session_new(load_emit_fn *emit, void *arg, uint64_t watchdog_ns)
{
  struct load_session *s = calloc(1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->emit = emit;
  s->arg = arg;
  s->watchdog_ns = watchdog_ns;
  load_clock_init(&s->clock, CLOCK_SPAN_NS);
  return s;
}

/* --- the end --------------------------------------------------------------------------------------------------- */

static void close_all(struct load_session *s)
{
  load_run_free(s->run);
  s->run = NULL;
  s->closed = 0;
  for (uint32_t i = s->n_ends; i-- > 0;) {
    load_end_free(&s->ends[i]);
    s->closed++;
  }
  for (uint32_t i = s->n_devices; i-- > 0;) {
    s->devices[i].ops->close(&s->devices[i]);
    s->closed++;
  }
  free(s->ends);
  free(s->connected);
  free(s->took_ns);
  arena_free(s->arena);
  s->ends = NULL;
  s->connected = NULL;
  s->took_ns = NULL;
  s->arena = NULL;
  s->name = NULL;
  s->series = NULL;
  s->n_ends = s->n_devices = 0;
}

void load_session_free(struct load_session *s)
{
  if (s == NULL)
    return;
  close_all(s);
  free(s);
}

/* --- prepare --------------------------------------------------------------------------------------------------- */

static struct load_device *device_named(struct load_session *s, const char *name, struct load_error *e)
{
  for (uint32_t i = 0; i < s->n_devices; i++) {
    if (strcmp(s->devices[i].name, name) == 0)
      return &s->devices[i];
  }
  if (s->n_devices == MOST_DEVICES) {
    (void)load_fail(e, LOAD_NO_RESOURCES, "more than %d devices", MOST_DEVICES);
    return NULL;
  }
  struct load_device *device = &s->devices[s->n_devices];
  *device = (struct load_device){.ops = load_device_ops_of(name), .numa_node = -1};
  if (strlen(name) >= sizeof device->name) {
    (void)load_fail(e, LOAD_NO_DEVICE, "no device has the name %.80s", name);
    return NULL;
  }
  (void)snprintf(device->name, sizeof device->name, "%s", name);
  if (device->ops == NULL) {
    (void)load_fail_feature(e, "verbs", "%.60s: this roce-load was built without libibverbs and has null devices alone",
                            name);
    return NULL;
  }
  if (!device->ops->open(device, e))
    return NULL;
  s->n_devices++;
  return device;
}

static bool check_capabilities(const struct load_end *end, struct load_error *e)
{
  const struct load_flow *flow = &end->spec.flow;
  const struct load_caps *caps = &end->device->caps;
  char text[32], expected[48];
  if (flow->srq && !caps->srq)
    return load_fail_feature(e, "srq", "flow %.80s: %s has no srq", flow->name, end->device->name);
  if (flow->op->atomic && !caps->atomics)
    return load_fail_feature(e, "atomics", "flow %.80s: %s has no atomics", flow->name, end->device->name);
  if (flow->options.sges > caps->max_sge)
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: %" PRIu32 " elements; %s has %" PRIu32, flow->name,
                     flow->options.sges, end->device->name, caps->max_sge);
  if (flow->qps > caps->max_qp)
    return load_fail(e, LOAD_NO_RESOURCES, "flow %.80s: %" PRIu32 " QPs; %s has %" PRIu32, flow->name, flow->qps,
                     end->device->name, caps->max_qp);
  if (flow->transport == LOAD_UD && flow->message_bytes > end->mtu) {
    char key[128];
    (void)snprintf(key, sizeof key, "flow %.80s: message_bytes", flow->name);
    (void)snprintf(text, sizeof text, "%" PRIu32, flow->message_bytes);
    (void)snprintf(expected, sizeof expected, "at most %" PRIu32 " on UD", end->mtu);
    return load_fail_key(e, key, text, expected);
  }
  return true;
}

static bool make_end(struct load_session *s, struct load_end *end, uint64_t budget, struct load_error *e)
{
  struct load_port port = {0};
  end->device = device_named(s, end->spec.device, e);
  if (end->device == NULL || !end->device->ops->port(end->device, end->spec.port, &port, e))
    return false;
  end->mtu = port.mtu < s->qos.mtu_bytes ? port.mtu : s->qos.mtu_bytes;
  end->qos = s->qos;
  end->clock = &s->clock;
  end->report = -1;
  return end->device->ops->gid(end->device, end->spec.port, &end->spec.gid, &end->gid, e) &&
         check_capabilities(end, e) && load_end_make(end, budget, e);
}

static bool same(const char *a, const char *b)
{
  return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Refuses ids that are there twice, and a flow that waits for one that never tells this host that it is complete. */
static bool check_ends(const struct load_session *s, struct load_error *e)
{
  for (uint32_t i = 0; i < s->n_ends; i++) {
    const struct load_end_spec *spec = &s->ends[i].spec;
    for (uint32_t k = 0; k < i; k++) {
      if (same(s->ends[k].spec.id, spec->id))
        return load_fail_key(e, "ends", spec->id, "ids that are different");
    }
    for (uint32_t a = 0; spec->source && a < spec->flow.n_after; a++) {
      bool told = false;
      for (uint32_t k = 0; k < s->n_ends; k++) {
        const struct load_end_spec *other = &s->ends[k].spec;
        told = told || ((other->source || other->notify || other->flow.op->told) &&
                        same(other->flow.name, spec->flow.after[a]));
      }
      if (!told)
        return load_fail_key(e, "after", spec->flow.after[a], "a flow that ends here and notifies");
    }
  }
  return true;
}

static bool read_ends(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  const struct json_value *list = load_fields_list(f, "ends", true);
  if (*f->failed)
    return false;
  if (list->count == 0)
    return load_fail_key(e, "ends", "[]", "at least one end");
  s->ends = calloc(list->count, sizeof *s->ends);
  s->connected = calloc(list->count, sizeof *s->connected);
  s->took_ns = calloc(list->count, sizeof *s->took_ns);
  if (s->ends == NULL || s->connected == NULL || s->took_ns == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "memory is short for %" PRIu32 " ends", list->count);
  for (const struct json_value *item = list->first; item != NULL; item = item->next) {
    struct load_fields end = load_fields_element(f, "ends", s->n_ends, item);
    load_read_end(&end, s->arena, &s->ends[s->n_ends++].spec);
  }
  return !*f->failed && check_ends(s, e);
}

static uint64_t default_budget(void)
{
  uint64_t share = load_memory_available() / SHARE_OF_AVAILABLE;
  share = share < MOST_MEMORY ? share : MOST_MEMORY;
  return share > LEAST_MEMORY ? share : LEAST_MEMORY;
}

static bool read_prepare(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  const struct json_value *name = load_fields_text(f, "run", true);
  struct load_fields qos = load_fields_object(f, "qos", false);
  load_read_qos(&qos, &s->qos);
  s->budget = load_fields_integer(f, "memory_bytes", 1 << 16, MAX_NS, default_budget());
  (void)load_fields_integer_or_none(f, "duration_ns", 1, MAX_NS);
  int64_t sample = load_fields_integer_or_none(f, "sample_ns", LEAST_SAMPLE_NS, MAX_NS);
  const struct json_value *series = load_fields_text(f, "series", false);
  if (*f->failed)
    return false;
  s->sample_ns = sample > 0 ? (uint64_t)sample : 0;
  s->name = arena_strndup(s->arena, name->string, name->count);
  s->series = series != NULL ? arena_strndup(s->arena, series->string, series->count) : NULL;
  if (s->name == NULL || (series != NULL && s->series == NULL))
    return load_fail(e, LOAD_NO_RESOURCES, "memory is short for the request");
  return read_ends(s, f, e);
}

static bool prepare(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  if (s->name != NULL)
    return load_fail_key(e, "run", s->name, "teardown first: a run of this name is still here");
  s->arena = arena_new();
  bool good = s->arena != NULL ? read_prepare(s, f, e) : load_fail(e, LOAD_NO_RESOURCES, "memory is short");
  for (uint32_t i = 0; good && i < s->n_ends; i++) {
    good = make_end(s, &s->ends[i], s->budget / s->n_ends > 0 ? s->budget / s->n_ends : 1, e);
    if (!good && e->key[0] == '\0') {
      char message[sizeof e->message];
      (void)snprintf(message, sizeof message, "end %.60s: %.240s", s->ends[i].spec.id, e->message);
      (void)snprintf(e->message, sizeof e->message, "%s", message);
    }
  }
  if (!good)
    close_all(s);
  return good;
}

static void say_gids(struct load_session *s, struct jsonw *w)
{
  jsonw_member_object(w, "gids");
  for (uint32_t i = 0; i < s->n_ends; i++) {
    const struct load_end *end = &s->ends[i];
    bool again = false;
    for (uint32_t k = 0; k < i; k++)
      again = again || (s->ends[k].device == end->device && s->ends[k].spec.port == end->spec.port);
    if (again)
      continue;
    char key[96], gid[48], why[160];
    load_gid_text(end->gid.raw, gid);
    (void)snprintf(key, sizeof key, "%.60s/%u", end->device->name, (unsigned)end->spec.port);
    (void)snprintf(why, sizeof why, "index %" PRIu32 " of %.60s port %u: %s", end->gid.index, end->device->name,
                   (unsigned)end->spec.port, end->gid.family);
    jsonw_member_object(w, key);
    jsonw_member_u64(w, "index", end->gid.index);
    jsonw_member_string(w, "gid", gid);
    jsonw_member_string(w, "type", end->gid.v2 ? "RoCE v2" : "IB/RoCE v1");
    jsonw_member_string(w, "family", end->gid.family);
    jsonw_member_string(w, "why", why);
    jsonw_end_object(w);
  }
  jsonw_end_object(w);
}

static void say_prepare(struct load_session *s, struct jsonw *w)
{
  jsonw_member_string(w, "run", s->name);
  jsonw_member_object(w, "ends");
  for (uint32_t i = 0; i < s->n_ends; i++) {
    jsonw_key(w, s->ends[i].spec.id);
    load_describe(w, &s->ends[i]);
  }
  jsonw_end_object(w);
  say_gids(s, w);
  jsonw_member_object(w, "memory");
  jsonw_member_u64(w, "budget_bytes", s->budget);
  jsonw_end_object(w);
}

/* --- naming ends ----------------------------------------------------------------------------------------------- */

static struct load_end *end_of(struct load_session *s, const char *name, size_t length)
{
  for (uint32_t i = 0; i < s->n_ends; i++) {
    if (strlen(s->ends[i].spec.id) == length && memcmp(s->ends[i].spec.id, name, length) == 0)
      return &s->ends[i];
  }
  return NULL;
}

static uint32_t index_of(const struct load_session *s, const struct load_end *end)
{
  return (uint32_t)(end - s->ends);
}

static bool refuse_while_running(const struct load_session *s, const char *op, struct load_error *e)
{
  return s->run == NULL || load_fail_key(e, "op", op, "a run that has finished; stop or teardown ends it");
}

/* The end that a member of `ends`, or an element of that list, names. */
static struct load_end *named(struct load_session *s, struct load_fields *f, const struct json_value *value, bool by_key)
{
  const char *name = by_key ? value->key : value->type == JSON_STRING ? value->string : "";
  size_t length = by_key ? value->key_length : value->type == JSON_STRING ? value->count : 0;
  struct load_end *end = end_of(s, name, length);
  if (end == NULL && !*f->failed) {
    char text[100];
    (void)snprintf(text, sizeof text, "%.*s", (int)(length < 90 ? length : 90), name);
    *f->failed = true;
    (void)load_fail_key(f->error, "ends", text, s->n_ends > 0 ? "one of the prepared ends" : "no ends: prepare first");
  }
  return end;
}

/* --- connect --------------------------------------------------------------------------------------------------- */

static void read_gid(struct load_fields *f, uint8_t out[16])
{
  const struct json_value *text = load_fields_text(f, "gid", true);
  bool good = text != NULL && text->count == 39;
  for (uint32_t i = 0; good && i < 39; i++) {
    char c = text->string[i];
    if (i % 5 == 4) {
      good = c == ':';
      continue;
    }
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    good = digit >= 0;
    uint32_t nibble = i / 5 * 4 + i % 5;
    if (good)
      out[nibble / 2] = (uint8_t)(nibble % 2 == 0 ? digit << 4 : out[nibble / 2] | digit);
  }
  if (!good)
    load_fields_wrong(f, "gid", text, "eight groups of four hexadecimal digits");
}

static void read_remote(struct load_fields *f, struct load_remote *out)
{
  *out = (struct load_remote){0};
  out->qpn = (uint32_t)load_fields_integer(f, "qpn", 0, 0xFFFFFF, LOAD_REQUIRED);
  out->psn = (uint32_t)load_fields_integer(f, "psn", 0, 0xFFFFFF, LOAD_REQUIRED);
  out->mtu = (uint32_t)load_fields_integer(f, "mtu", 0, 4096, 0);
  out->rkey = (uint32_t)load_fields_integer(f, "rkey", 0, UINT32_MAX, 0);
  out->addr = load_fields_integer(f, "addr", 0, UINT64_MAX - 1, 0);
  out->bytes = load_fields_integer(f, "bytes", 0, UINT64_MAX >> 1, 0);
  out->slots = load_fields_integer(f, "slots", 0, UINT64_C(1) << 40, 1);
  out->stride = load_fields_integer(f, "stride", 0, UINT64_C(1) << 40, 0);
  out->period = (uint32_t)load_fields_integer(f, "period", 1, UINT64_C(1) << 31, 1);
  read_gid(f, out->gid);
}

static bool connect_end(struct load_session *s, struct load_fields *ends, const struct json_value *member,
                        struct load_error *e)
{
  struct load_end *end = named(s, ends, member, true);
  if (end == NULL)
    return false;
  const char *path = end->spec.id;
  if (member->type != JSON_ARRAY)
    return load_fail_key(e, path, json_type_name(member), "a list");
  struct load_remote *remotes = calloc(member->count > 0 ? member->count : 1, sizeof *remotes);
  if (remotes == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "memory is short for %" PRIu32 " peers", member->count);
  uint32_t n = 0;
  for (const struct json_value *item = member->first; item != NULL; item = item->next) {
    struct load_fields one = load_fields_element(ends, path, n, item);
    read_remote(&one, &remotes[n++]);
  }
  uint64_t began = load_mono_ns();
  bool good = !*ends->failed && load_end_connect(end, remotes, n, path, e);
  free(remotes);
  uint64_t took = load_mono_ns() - began;
  s->took_ns[index_of(s, end)] = took;
  if (end->recovery_local_ns != 0)
    end->recovery_local_ns += took;
  s->connected[index_of(s, end)] = good;
  return good;
}

static bool connect_ends(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  if (!refuse_while_running(s, "connect", e))
    return false;
  struct load_fields ends = load_fields_object(f, "ends", true);
  s->wanted = ends.object;
  for (const struct json_value *m = ends.object != NULL ? ends.object->first : NULL; m != NULL; m = m->next) {
    if (!connect_end(s, &ends, m, e))
      return false;
  }
  return !*f->failed;
}

static void say_connect(struct load_session *s, struct jsonw *w)
{
  jsonw_member_object(w, "ends");
  for (const struct json_value *m = s->wanted->first; m != NULL; m = m->next) {
    const struct load_end *end = end_of(s, m->key, m->key_length);
    jsonw_member_object(w, end->spec.id);
    jsonw_member_u64(w, "took_ns", s->took_ns[index_of(s, end)]);
    jsonw_end_object(w);
  }
  jsonw_end_object(w);
  jsonw_member_object(w, "routes");
  for (const struct json_value *m = s->wanted->first; m != NULL; m = m->next) {
    const struct load_end *end = end_of(s, m->key, m->key_length);
    jsonw_key(w, end->spec.id);
    load_routes_of(w, end);
  }
  jsonw_end_object(w);
}

/* --- start, stop ----------------------------------------------------------------------------------------------- */

static bool launch(struct load_session *s, struct load_fields *f, struct load_end **ends, uint32_t n,
                   struct load_error *e)
{
  static const char *const untils[] = {"done", "duration", NULL};
  struct load_plan plan = {.sample_ns = s->sample_ns, .series = s->series, .watchdog_ns = s->watchdog_ns};
  plan.at_ns = load_fields_integer(f, "at_mono_ns", 0, MAX_NS, load_mono_ns());
  int64_t duration = load_fields_integer_or_none(f, "duration_ns", 0, MAX_NS);
  plan.duration_ns = duration < 0 ? UINT64_MAX : (uint64_t)duration;
  plan.until_done = load_fields_choice(f, "until", untils, 0) == 0;
  plan.progress_ns = load_fields_integer(f, "progress_ms", 1, 3600000, 100) * 1000000;
  plan.drain_ns = load_fields_integer(f, "drain_ns", 0, MAX_NS, 0);
  if (!plan.until_done && duration < 0)
    load_fields_wrong(f, "duration_ns", NULL, "a duration, as until is duration");
  for (uint32_t i = 0; i < n; i++) {
    if (!s->connected[index_of(s, ends[i])])
      return load_fail_key(e, "ends", ends[i]->spec.id, "ends that are connected");
  }
  if (*f->failed)
    return false;
  load_clock_refine(&s->clock);
  s->run = load_run_new(ends, n, &plan, &s->clock, e);
  return s->run != NULL;
}

static bool start(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  if (!refuse_while_running(s, "start", e))
    return false;
  if (s->name == NULL)
    return load_fail_key(e, "op", "start", "prepare and connect first");
  struct load_end **ends = calloc(s->n_ends, sizeof(struct load_end *));
  if (ends == NULL)
    return load_fail(e, LOAD_NO_RESOURCES, "memory is short");
  for (uint32_t i = 0; i < s->n_ends; i++)
    ends[i] = &s->ends[i];
  bool good = launch(s, f, ends, s->n_ends, e);
  free(ends);
  return good;
}

static void say_now(struct load_session *s, struct jsonw *w)
{
  (void)s;
  jsonw_member_u64(w, "now_mono_ns", load_mono_ns());
}

static bool stop(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  (void)e;
  uint64_t drain = load_fields_integer(f, "drain_ns", 0, MAX_NS, 0);
  if (!*f->failed && s->run != NULL)
    load_run_stop(s->run, drain, "stopped");
  return !*f->failed;
}

/* --- verify, recover, resume ----------------------------------------------------------------------------------- */

static uint64_t *read_numbers(struct load_fields *f, const char *key, uint32_t n)
{
  const struct json_value *list = load_fields_list(f, key, true);
  uint64_t *out = calloc(n, sizeof *out);
  uint32_t i = 0;
  bool good = list != NULL && list->count == n;
  for (const struct json_value *item = good ? list->first : NULL; item != NULL && out != NULL; item = item->next) {
    good = good && item->type == JSON_INT && item->integer >= 0;
    out[i++] = item->type == JSON_INT ? (uint64_t)item->integer : 0;
  }
  if (!good)
    load_fields_wrong(f, key, list, "a list of one whole number for each QP");
  return out;
}

static bool verify(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  static const char *const known[] = {"posted", "completed", NULL};
  if (!refuse_while_running(s, "verify", e))
    return false;
  struct load_fields ends = load_fields_object(f, "ends", true);
  s->wanted = ends.object;
  for (const struct json_value *m = ends.object != NULL ? ends.object->first : NULL; m != NULL; m = m->next) {
    struct load_end *end = named(s, &ends, m, true);
    if (end == NULL)
      return false;
    struct load_fields told = load_fields_element(&ends, end->spec.id, 0, m);
    load_fields_only(&told, known);
    uint64_t *posted = read_numbers(&told, "posted", end->spec.flow.qps);
    uint64_t *completed = read_numbers(&told, "completed", end->spec.flow.qps);
    for (uint32_t i = 0; posted != NULL && completed != NULL && i < end->spec.flow.qps; i++) {
      if (completed[i] > posted[i])
        load_fields_wrong(&told, "completed", json_get(told.object, "completed"), "at most as many as were posted");
    }
    if (!s->connected[index_of(s, end)])
      load_fields_wrong(f, "ends", m, "ends that are connected");
    if (!*f->failed && posted != NULL && completed != NULL)
      load_end_verify(end, posted, completed);
    free(posted);
    free(completed);
    if (*f->failed)
      return false;
  }
  return !*f->failed;
}

static void say_verify(struct load_session *s, struct jsonw *w)
{
  jsonw_member_object(w, "ends");
  for (const struct json_value *m = s->wanted->first; m != NULL; m = m->next) {
    const struct load_end *end = end_of(s, m->key, m->key_length);
    jsonw_key(w, end->spec.id);
    load_result_of(w, end, NULL);
  }
  jsonw_end_object(w);
}

static bool recover(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  if (!refuse_while_running(s, "recover", e))
    return false;
  s->wanted = load_fields_list(f, "ends", true);
  for (const struct json_value *item = s->wanted != NULL ? s->wanted->first : NULL; item != NULL; item = item->next) {
    struct load_end *end = named(s, f, item, false);
    if (end == NULL)
      return false;
    if (end->spec.flow.recover == LOAD_RECOVER_NOT)
      return load_fail_key(e, "ends", end->spec.id, "ends of flows whose verbs.recover is set");
  }
  for (const struct json_value *item = s->wanted != NULL ? s->wanted->first : NULL; item != NULL; item = item->next) {
    struct load_end *end = named(s, f, item, false);
    s->connected[index_of(s, end)] = false;
    if (!load_end_recover(end, e))
      return false;
  }
  return !*f->failed;
}

static void say_recover(struct load_session *s, struct jsonw *w)
{
  jsonw_member_object(w, "ends");
  for (const struct json_value *item = s->wanted->first; item != NULL; item = item->next) {
    const struct load_end *end = end_of(s, item->string, item->count);
    jsonw_key(w, end->spec.id);
    load_describe(w, end);
  }
  jsonw_end_object(w);
  jsonw_member_object(w, "took_ns");
  for (const struct json_value *item = s->wanted->first; item != NULL; item = item->next) {
    const struct load_end *end = end_of(s, item->string, item->count);
    jsonw_member_u64(w, end->spec.id, end->recovery_local_ns);
  }
  jsonw_end_object(w);
}

static bool resume(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  if (!refuse_while_running(s, "resume", e))
    return false;
  const struct json_value *list = load_fields_list(f, "ends", true);
  uint32_t n = 0;
  struct load_end **ends = calloc(list != NULL && list->count > 0 ? list->count : 1, sizeof(struct load_end *));
  bool good = ends != NULL && list != NULL && list->count > 0;
  for (const struct json_value *item = good ? list->first : NULL; good && item != NULL; item = item->next) {
    ends[n] = named(s, f, item, false);
    good = ends[n++] != NULL;
  }
  if (!good && !*f->failed)
    load_fields_wrong(f, "ends", list, "a list of ends");
  good = good && launch(s, f, ends, n, e);
  free(ends);
  return good;
}

/* --- teardown, quit, clock ------------------------------------------------------------------------------------- */

static bool teardown(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  (void)f;
  (void)e;
  close_all(s);
  return true;
}

static void say_teardown(struct load_session *s, struct jsonw *w)
{
  jsonw_member_u64(w, "closed", s->closed);
  jsonw_member_array(w, "errors");
  jsonw_end_array(w);
}

static bool quit(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  s->quitting = true;
  return teardown(s, f, e);
}

static bool tell_clock(struct load_session *s, struct load_fields *f, struct load_error *e)
{
  (void)s;
  (void)f;
  (void)e;
  return true;
}

static void say_clock(struct load_session *s, struct jsonw *w)
{
  (void)s;
  struct timespec t;
  uint64_t mono = load_mono_ns();
  clock_gettime(CLOCK_REALTIME, &t);
  jsonw_member_u64(w, "mono_ns", mono);
  jsonw_member_u64(w, "real_ns", (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec);
}

static void say_nothing(struct load_session *s, struct jsonw *w)
{
  (void)s;
  (void)w;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

struct operation {
  const char *name;
  bool (*act)(struct load_session *s, struct load_fields *f, struct load_error *e);
  void (*say)(struct load_session *s, struct jsonw *w);
  const char *const *known;
};

static const char *const of_prepare[] = {"id", "op", "run", "qos", "ends", "memory_bytes", "duration_ns",
                                         "series", "sample_ns", NULL};
static const char *const of_ends[] = {"id", "op", "ends", NULL};
static const char *const of_start[] = {"id", "op", "at_mono_ns", "duration_ns", "until", "progress_ms", "drain_ns",
                                       NULL};
static const char *const of_resume[] = {"id", "op", "ends", "at_mono_ns", "duration_ns", "until", "progress_ms",
                                        "drain_ns", NULL};
static const char *const of_stop[] = {"id", "op", "drain_ns", NULL};
static const char *const of_clock[] = {"id", "op", "samples", NULL};
static const char *const of_none[] = {"id", "op", NULL};

static const struct operation operations[] = {
    {"prepare", prepare, say_prepare, of_prepare}, {"connect", connect_ends, say_connect, of_ends},
    {"start", start, say_now, of_start},           {"stop", stop, say_nothing, of_stop},
    {"verify", verify, say_verify, of_ends},       {"recover", recover, say_recover, of_ends},
    {"resume", resume, say_now, of_resume},        {"teardown", teardown, say_teardown, of_none},
    {"quit", quit, say_nothing, of_none},          {"clock", tell_clock, say_clock, of_clock},
};

static const struct operation *operation_of(const struct load_fields *f)
{
  const struct json_value *op = f->object != NULL ? json_get(f->object, "op") : NULL;
  for (size_t i = 0; op != NULL && op->type == JSON_STRING && i < sizeof operations / sizeof operations[0]; i++) {
    if (json_string_is(op, operations[i].name))
      return &operations[i];
  }
  return NULL;
}

static void say_error(struct jsonw *w, const struct load_error *e)
{
  jsonw_member_object(w, "error");
  jsonw_member_string(w, "kind", load_kind_name(e->kind));
  jsonw_member_string(w, "message", e->message);
  jsonw_member_object(w, "detail");
  if (e->key[0] != '\0') {
    jsonw_member_string(w, "key", e->key);
    jsonw_member_string(w, "value", e->value);
    jsonw_member_string(w, "expected", e->expected);
  }
  if (e->feature[0] != '\0')
    jsonw_member_string(w, "feature", e->feature);
  load_member_or_null(w, "errno", (uint64_t)e->number, e->number > 0);
  jsonw_end_object(w);
  jsonw_end_object(w);
}

/* One line: made in memory, so that a reader never sees half of it. */
struct line {
  char *text;
  size_t length;
  FILE *file;
  struct jsonw w;
};

static bool begin_line(struct line *line)
{
  *line = (struct line){0};
  line->file = open_memstream(&line->text, &line->length);
  if (line->file == NULL)
    return false;
  jsonw_init(&line->w, line->file);
  jsonw_begin_object(&line->w);
  return true;
}

static void end_line(struct load_session *s, struct line *line, bool droppable)
{
  jsonw_end_object(&line->w);
  bool good = jsonw_finish(&line->w) == 0;
  good = fclose(line->file) == 0 && good;
  if (good)
    s->emit(s->arg, line->text, line->length, droppable);
  free(line->text);
}

void load_session_answer(struct load_session *s, const struct json_doc *doc)
{
  struct load_error e = {.kind = LOAD_INTERNAL};
  bool failed = false;
  struct load_fields f = load_fields_top(doc, json_root(doc), &e, &failed);
  uint64_t id = load_fields_integer(&f, "id", 0, INT64_MAX, LOAD_REQUIRED);
  bool has_id = !failed;
  const struct operation *op = operation_of(&f);
  if (op == NULL)
    load_fields_wrong(&f, "op", f.object != NULL ? json_get(f.object, "op") : NULL,
                      "one of prepare, connect, start, stop, verify, recover, resume, teardown, quit, clock");
  else
    load_fields_only(&f, op->known);
  bool good = !failed && op != NULL && op->act(s, &f, &e) && !failed;
  struct line line;
  if (!begin_line(&line))
    return;
  if (has_id)
    jsonw_member_u64(&line.w, "id", id);
  else
    jsonw_member_null(&line.w, "id");
  jsonw_member_bool(&line.w, "ok", good);
  if (good)
    op->say(s, &line.w);
  else
    say_error(&line.w, &e);
  s->wanted = NULL;
  end_line(s, &line, false);
}

/* --- events ---------------------------------------------------------------------------------------------------- */

static void say_progress(struct jsonw *w, const struct load_run *run)
{
  jsonw_member_object(w, "flows");
  for (uint32_t i = 0; i < run->n_ends; i++) {
    if (run->ends[i]->spec.source)
      jsonw_member_u64(w, run->ends[i]->spec.flow.name, load_end_bytes(run->ends[i]));
  }
  jsonw_end_object(w);
}

static void say_end(struct jsonw *w, const struct load_end *end)
{
  char buffer[48];
  jsonw_member_string(w, "id", end->spec.id);
  jsonw_member_string(w, "status", load_fate_name(end->fate));
  jsonw_member_string(w, "error", load_error_name(end->error, buffer, sizeof buffer));
}

static void say_finished(struct jsonw *w, const struct load_run *run)
{
  jsonw_member_string(w, "why", run->why);
  jsonw_member_object(w, "ends");
  for (uint32_t i = 0; i < run->n_ends; i++) {
    jsonw_key(w, run->ends[i]->spec.id);
    load_result_of(w, run->ends[i], run);
  }
  jsonw_end_object(w);
  jsonw_key(w, "usage");
  load_usage_of(w, run);
}

static void tell(void *arg, struct load_run *run, const char *event, uint32_t index, uint64_t now_ns)
{
  struct load_session *s = arg;
  struct line line;
  if (!begin_line(&line))
    return;
  jsonw_member_string(&line.w, "event", event);
  jsonw_member_u64(&line.w, "mono_ns", now_ns);
  bool droppable = false;
  if (strcmp(event, "started") == 0) {
    jsonw_member_u64(&line.w, "asked_mono_ns", run->plan.at_ns);
  } else if (strcmp(event, "progress") == 0) {
    say_progress(&line.w, run);
    droppable = true;
  } else if (strcmp(event, "end") == 0) {
    say_end(&line.w, run->ends[index]);
  } else {
    say_finished(&line.w, run);
  }
  end_line(s, &line, droppable);
}

struct load_run *load_session_run(const struct load_session *s)
{
  return s->run;
}

uint64_t load_session_step(struct load_session *s)
{
  if (s->run == NULL)
    return UINT64_MAX;
  uint64_t next = load_run_step(s->run, tell, s);
  if (s->run->over) {
    load_run_free(s->run);
    s->run = NULL;
  }
  return next;
}

void load_session_stop(struct load_session *s, uint64_t drain_ns, const char *why)
{
  if (s->run != NULL)
    load_run_stop(s->run, drain_ns, why);
}

bool load_session_quitting(const struct load_session *s)
{
  return s->quitting;
}
