/* The job as a whole: top level, time and wire; the parts are in job_*.c. */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "job_parts.h"

#define JOB struct job
#define WIRE struct wire_cfg
enum { FORMAT = 1, MAX_OVERHEAD = 4096 };
#define MAX_SAMPLES UINT64_C(1000000000)

enum until { UNTIL_DONE, UNTIL_DURATION };
_Static_assert(sizeof(bool) == 1, "until_done is read by its own function");

static const struct job_choice untils[] = {{"done", UNTIL_DONE}, {"duration", UNTIL_DURATION}, {NULL, 0}};
static const struct job_choice time_models[] = {{"exact", TIME_EXACT}, {"ns3", TIME_NS3}, {NULL, 0}};
static const struct job_choice wire_models[] = {{"rocev2", WIRE_ROCEV2}, {"fixed", WIRE_FIXED}, {NULL, 0}};
static const struct job_choice traces[] = {
    {"cc", TRACE_CC}, {"pfc", TRACE_PFC}, {"drop", TRACE_DROP}, {"mark", TRACE_MARK}, {NULL, 0}};

static job_custom_fn read_format, read_until, read_trace, read_ip_version;

/* Parts that need other parts to be read first are skipped here and fetched by read_parts(). */
static const struct job_field job_fields[] = {
    {.key = "format", .kind = FIELD_CUSTOM, .required = true, .custom = read_format},
    {.key = "name", .kind = FIELD_STRING, .offset = offsetof(JOB, name)},
    JOB_U64("seed", JOB, seed, 1, 0, INT64_MAX),
    JOB_CUSTOM("until", JOB, until_done, read_until),
    JOB_U64("duration_ps", JOB, duration_ps, UINT64_C(10000000000000), 1, JOB_MAX_PS),
    JOB_U64("drain_ps", JOB, drain_ps, 0, 0, JOB_MAX_PS),
    JOB_U64("sample_every_ps", JOB, sample_every_ps, 0, 0, JOB_MAX_PS),
    JOB_STRING_OR_NULL("output_dir", JOB, output_dir),
    JOB_CUSTOM("trace", JOB, trace, read_trace),
    JOB_CUSTOM("defects", JOB, defects, job_read_defects),
    JOB_SKIP("time"),
    JOB_SKIP("wire"),
    JOB_SKIP("nic"),
    JOB_SKIP("switch"),
    JOB_SKIP_REQUIRED("nodes"),
    JOB_SKIP_REQUIRED("links"),
    JOB_SKIP_REQUIRED("flows"),
    JOB_SKIP("events"),
};
static const struct job_table job_table = JOB_TABLE("the job", job_fields);

static const struct job_field time_fields[] = {
    JOB_ENUM("model", JOB, time_model, TIME_EXACT, time_models),
    JOB_U64("resolution_ps", JOB, resolution_ps, 1, 1, UINT64_C(1000000000000)),
};
static const struct job_table time_table = JOB_TABLE("time", time_fields);

static const struct job_field rocev2_fields[] = {
    JOB_SKIP("model"),
    JOB_CUSTOM("ip_version", WIRE, ip_version, read_ip_version),
    JOB_BOOL("vlan", WIRE, vlan, false),
    JOB_U32("gap_bytes", WIRE, gap_bytes, 20, 0, MAX_OVERHEAD),
};
static const struct job_table rocev2_table = JOB_TABLE("wire with model rocev2", rocev2_fields);

static const struct job_field fixed_fields[] = {
    JOB_SKIP("model"),
    JOB_U32("data_overhead_bytes", WIRE, data_overhead_bytes, 48, 0, MAX_OVERHEAD),
    JOB_U32("ack_bytes", WIRE, ack_bytes, 60, 1, MAX_OVERHEAD),
    JOB_U32("cnp_bytes", WIRE, cnp_bytes, 60, 1, MAX_OVERHEAD),
    JOB_U32("pfc_bytes", WIRE, pfc_bytes, 43, 1, MAX_OVERHEAD),
    JOB_U32("gap_bytes", WIRE, gap_bytes, 0, 0, MAX_OVERHEAD),
};
static const struct job_table fixed_table = JOB_TABLE("wire with model fixed", fixed_fields);

static bool read_format(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  (void)out;
  if (value->type != JSON_INT || value->integer != FORMAT) {
    return job_fail_is(ctx, where, value, "this program reads format %d", FORMAT);
  }
  return true;
}

static bool read_until(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  int until = UNTIL_DONE;
  if (!job_choice(ctx, where, value, untils, &until)) {
    return false;
  }
  *(bool *)out = until == UNTIL_DONE;
  return true;
}

static bool read_ip_version(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value,
                            void *out)
{
  if (value->type != JSON_INT || (value->integer != 4 && value->integer != 6)) {
    return job_fail_is(ctx, where, value, "must be 4 or 6");
  }
  *(uint32_t *)out = (uint32_t)value->integer;
  return true;
}

static bool read_trace(struct job_ctx *ctx, const struct job_where *where, const struct json_value *value, void *out)
{
  uint32_t *bits = out;
  size_t index = 0;
  *bits = 0;
  if (!job_list(ctx, where, value, sizeof traces / sizeof traces[0] - 1, "traces")) {
    return false;
  }
  for (const struct json_value *element = value->first; element != NULL; element = element->next, index++) {
    int bit = 0;
    if (!job_choice(ctx, JOB_INDEX(where, index), element, traces, &bit)) {
      return false;
    }
    *bits |= (uint32_t)bit;
  }
  return true;
}

/* `time`. */
static bool read_time(struct job_ctx *ctx, const struct json_value *value)
{
  const struct job_where *where = JOB_KEY(NULL, "time");
  if (!job_read(ctx, where, value, &time_table, ctx->job)) {
    return false;
  }
  if (ctx->job->time_model == TIME_EXACT && ctx->job->resolution_ps != 1) {
    return job_fail_key(ctx, where, value, "resolution_ps", "model \"exact\" has a resolution of 1 ps, is %llu",
                        (unsigned long long)ctx->job->resolution_ps);
  }
  return true;
}

static const struct job_table *wire_table(enum wire_model model)
{
  return model == WIRE_FIXED ? &fixed_table : &rocev2_table;
}

/* `wire`: its keys depend on its model. */
static bool read_wire(struct job_ctx *ctx, const struct json_value *value)
{
  const struct job_where *where = JOB_KEY(NULL, "wire");
  int model = WIRE_ROCEV2;
  if (!job_expect(ctx, where, value, JSON_OBJECT)) {
    return false;
  }
  const struct json_value *named = json_get(value, "model");
  if (named != NULL && !job_choice(ctx, JOB_KEY(where, "model"), named, wire_models, &model)) {
    return false;
  }
  struct wire_cfg *wire = &ctx->job->wire;
  memset(wire, 0, sizeof *wire);
  wire->model = (enum wire_model)model;
  wire->ip_version = 4;
  job_defaults(wire_table(wire->model), wire);
  return job_read(ctx, where, value, wire_table(wire->model), wire);
}

/* Series and traces need a place to go to, and a series must end some day. */
static bool check_output(struct job_ctx *ctx, const struct json_value *root)
{
  const struct job *job = ctx->job;
  if (job->output_dir != NULL && job->output_dir[0] == '\0') {
    return job_fail_key(ctx, NULL, root, "output_dir", "is empty; name a folder, or null for none");
  }
  if (job->output_dir == NULL && (job->trace != 0 || job->sample_every_ps != 0)) {
    const char *key = job->trace != 0 ? "trace" : "sample_every_ps";
    return job_fail_key(ctx, NULL, root, key, "writes files and needs output_dir");
  }
  if (job->sample_every_ps != 0 && job->duration_ps / job->sample_every_ps > MAX_SAMPLES) {
    return job_fail_key(ctx, NULL, root, "sample_every_ps",
                        "%llu is too short: up to duration_ps %llu there may be more than %llu samples; set a shorter "
                        "duration_ps or sample less often",
                        (unsigned long long)job->sample_every_ps, (unsigned long long)job->duration_ps,
                        (unsigned long long)MAX_SAMPLES);
  }
  return true;
}

/* Defaults of every host and switch. */
static bool read_configurations(struct job_ctx *ctx, const struct json_value *root)
{
  const struct json_value *nic = json_get(root, "nic");
  const struct json_value *sw = json_get(root, "switch");
  ctx->nic = arena_alloc(ctx->arena, sizeof *ctx->nic);
  ctx->sw = arena_alloc(ctx->arena, sizeof *ctx->sw);
  if (ctx->nic == NULL || ctx->sw == NULL) {
    return job_fail_memory(ctx);
  }
  job_nic_defaults(ctx->nic);
  job_switch_defaults(ctx->sw);
  if (!job_absent(nic) && !job_read_nic(ctx, JOB_KEY(NULL, "nic"), nic, ctx->nic)) {
    return false;
  }
  return job_absent(sw) || job_read_switch(ctx, JOB_KEY(NULL, "switch"), sw, ctx->sw);
}

/* Time and wire, defaults, then the lists, each of which refers to the ones before. */
static bool read_parts(struct job_ctx *ctx, const struct json_value *root)
{
  static const struct json_value empty_object = {.type = JSON_OBJECT};
  const struct json_value *time = json_get(root, "time");
  const struct json_value *wire = json_get(root, "wire");
  const struct json_value *nodes = json_get(root, "nodes");
  const struct json_value *flows = json_get(root, "flows");
  const struct json_value *events = json_get(root, "events");
  return read_time(ctx, job_absent(time) ? &empty_object : time) &&
         read_wire(ctx, job_absent(wire) ? &empty_object : wire) && read_configurations(ctx, root) &&
         job_read_nodes(ctx, nodes) && job_read_links(ctx, json_get(root, "links")) &&
         job_check_all_profiles(ctx, nodes) && job_read_flows(ctx, flows) && job_read_after(ctx, flows) &&
         (job_absent(events) || job_read_events(ctx, events));
}

static bool read_root(struct job_ctx *ctx, const struct json_value *root)
{
  struct job *job = ctx->job;
  if (root->type != JSON_OBJECT) {
    return job_fail_is(ctx, NULL, root, "a job must be an object");
  }
  job_defaults(&job_table, job);
  job->name = "";
  job->until_done = true;
  job_defaults(&time_table, job);
  return job_read(ctx, NULL, root, &job_table, job) && check_output(ctx, root) && read_parts(ctx, root);
}

/* Turns an error of the JSON text into one of the job. */
static void take_json_error(struct job_error *error, const struct json_error *json)
{
  memset(error, 0, sizeof *error);
  snprintf(error->message, sizeof error->message, "not valid JSON: %s", json->message);
  error->line = json->line;
  error->column = json->column;
}

/* Reads the document into a job in an arena of its own; NULL with the error filled. */
static struct job *build(const struct json_doc *doc, struct job_error *error)
{
  struct job_ctx ctx = {.doc = doc, .error = error, .arena = arena_new()};
  ctx.job = ctx.arena == NULL ? NULL : arena_alloc(ctx.arena, sizeof *ctx.job);
  bool ok = false;
  if (ctx.job == NULL) {
    job_fail_memory(&ctx);
  } else {
    ctx.job->arena = ctx.arena;
    ok = read_root(&ctx, json_root(doc));
    if (ok) {
      job_apply_defects(&ctx);
    }
  }
  namemap_free(&ctx.nodes);
  namemap_free(&ctx.ports);
  namemap_free(&ctx.flows);
  if (!ok) {
    arena_free(ctx.arena);
    return NULL;
  }
  return ctx.job;
}

struct job *job_parse(const char *text, size_t length, struct job_error *error)
{
  struct json_error json_error;
  memset(error, 0, sizeof *error);
  struct json_doc *doc = json_parse(text, length, NULL, &json_error);
  if (doc == NULL) {
    take_json_error(error, &json_error);
    return NULL;
  }
  struct job *job = build(doc, error);
  json_free(doc);
  return job;
}

void job_free(struct job *job)
{
  if (job != NULL) {
    arena_free(job->arena);
  }
}
