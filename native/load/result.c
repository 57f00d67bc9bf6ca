#include "result.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PS_PER_NS = 1000 };
#define REACHED 0.95 /* part of an asked rate that counts as reached: whole messages are this coarse in a short run */

const char *load_error_name(int error, char *buffer, size_t size)
{
  if (error == 0)
    return NULL;
  if (error == LOAD_NO_PROGRESS)
    return "NO_PROGRESS";
  if (error == LOAD_DEVICE_GONE)
    return "DEVICE_GONE";
  if (error > 0)
    return load_status_name((unsigned)error);
  (void)snprintf(buffer, size, "POST_%s", load_errno_name(-error));
  return buffer;
}

void load_member_or_null(struct jsonw *w, const char *key, uint64_t value, bool known)
{
  if (known)
    jsonw_member_u64(w, key, value);
  else
    jsonw_member_null(w, key);
}

static void member_instant(struct jsonw *w, const char *key, const struct load_end *end, uint64_t ticks)
{
  load_member_or_null(w, key, load_clock_ns(end->clock, ticks), ticks != 0);
}

static void member_error(struct jsonw *w, int error, uint32_t vendor)
{
  char buffer[48];
  jsonw_member_string(w, "error", load_error_name(error, buffer, sizeof buffer));
  load_member_or_null(w, "vendor_err", vendor, error > 0);
}


/* --- descriptions ---------------------------------------------------------------------------------------------- */

void load_gid_text(const uint8_t gid[16], char *out)
{
  for (int i = 0; i < 8; i++)
    (void)snprintf(out + (size_t)i * 5, 6, "%02x%02x%s", gid[2 * i], gid[2 * i + 1], i < 7 ? ":" : "");
}

static void member_address(struct jsonw *w, const uint8_t gid[16])
{
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  char text[INET6_ADDRSTRLEN];
  bool v4 = memcmp(gid, mapped, sizeof mapped) == 0;
  jsonw_member_string(w, "address", inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? gid + 12 : gid, text, sizeof text));
}

/* The memory that the peer's work requests address: slots, a pattern, or none. */
static void member_memory(struct jsonw *w, const struct load_end *end, uint32_t qp)
{
  const struct load_flow *flow = &end->spec.flow;
  bool pingpong = end->ops == &load_pingpong_ops;
  bool has_slots = end->slots.n_regions > 0 && !flow->op->receives_data && (pingpong || !end->spec.source);
  bool has_pattern = end->pattern.mr.impl != NULL && !end->spec.source;
  uint64_t rkey = 0, addr = 0, bytes = 0, slots = 0, stride = 0;
  if (has_pattern) {
    rkey = end->pattern.mr.rkey;
    addr = (uint64_t)(uintptr_t)end->pattern.memory.base;
    bytes = end->pattern.memory.length;
    slots = 1;
  } else if (has_slots) {
    const struct load_region *region = load_slots_region(&end->slots, qp);
    rkey = region->mr.rkey;
    addr = (uint64_t)(uintptr_t)load_slots_at(&end->slots, qp, 0);
    bytes = (uint64_t)(uintptr_t)region->memory.base + region->memory.length - addr;
    slots = end->slots.count;
    stride = end->slots.stride;
  }
  jsonw_member_u64(w, "rkey", rkey);
  jsonw_member_u64(w, "addr", addr);
  jsonw_member_u64(w, "bytes", bytes);
  jsonw_member_u64(w, "slots", slots);
  jsonw_member_u64(w, "stride", stride);
  jsonw_member_u64(w, "period", end->layout.period);
}

void load_describe(struct jsonw *w, const struct load_end *end)
{
  char gid[48];
  load_gid_text(end->gid.raw, gid);
  jsonw_begin_array(w);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    jsonw_begin_object(w);
    jsonw_member_u64(w, "qpn", end->lanes[i].qp.qpn);
    jsonw_member_u64(w, "psn", end->lanes[i].psn);
    jsonw_member_string(w, "gid", gid);
    jsonw_member_u64(w, "gid_index", end->gid.index);
    jsonw_member_u64(w, "mtu", end->mtu);
    jsonw_member_null(w, "srqn");
    member_address(w, end->gid.raw);
    jsonw_member_null(w, "tcp_port");
    member_memory(w, end, i);
    jsonw_end_object(w);
  }
  jsonw_end_array(w);
}

/* The UDP source port Linux gives a QP: of its flow label, or of both QP numbers when it is 0 (rdma/ib_verbs.h). */
static uint32_t sport_of(uint32_t label, uint32_t local, uint32_t remote)
{
  if (label == 0) {
    uint64_t product = (uint64_t)local * remote;
    product ^= product >> 20;
    product ^= product >> 40;
    label = (uint32_t)(product & 0xFFFFF);
  }
  return ((label & 0x3FFF) ^ (label >> 14 & 0x3F)) | 0xC000;
}

void load_routes_of(struct jsonw *w, const struct load_end *end)
{
  jsonw_begin_array(w);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    const struct load_lane *lane = &end->lanes[i];
    jsonw_begin_object(w);
    jsonw_member_u64(w, "src_qpn", lane->qp.qpn);
    jsonw_member_u64(w, "dst_qpn", lane->remote.qpn);
    jsonw_member_u64(w, "first_psn", lane->psn);
    jsonw_member_u64(w, "udp_sport", sport_of(lane->flow_label, lane->qp.qpn, lane->remote.qpn));
    jsonw_end_object(w);
  }
  jsonw_end_array(w);
}

/* --- parts of results ------------------------------------------------------------------------------------------ */

static void member_latency(struct jsonw *w, const struct load_end *end)
{
  const struct histogram *h = &end->latency;
  if (histogram_count(h) == 0) {
    jsonw_member_null(w, "latencies");
    return;
  }
  static const struct {
    const char *key;
    double q;
  } quantiles[] = {{"p50_ps", 0.5}, {"p90_ps", 0.9}, {"p99_ps", 0.99}, {"p999_ps", 0.999}};
  jsonw_member_object(w, "latencies");
  jsonw_member_u64(w, "count", histogram_count(h));
  jsonw_member_u64(w, "min_ps", histogram_min(h) * PS_PER_NS);
  jsonw_member_u64(w, "mean_ps", (uint64_t)(histogram_mean(h) * PS_PER_NS));
  for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
    jsonw_member_u64(w, quantiles[i].key, histogram_quantile(h, quantiles[i].q) * PS_PER_NS);
  jsonw_member_u64(w, "max_ps", histogram_max(h) * PS_PER_NS);
  jsonw_end_object(w);
}

struct buckets {
  struct jsonw *w;
  bool counts;
};

static void say_bucket(void *arg, uint64_t from, uint64_t to, uint64_t count)
{
  const struct buckets *b = arg;
  if (b->counts) {
    jsonw_u64(b->w, count);
    return;
  }
  jsonw_begin_array(b->w);
  jsonw_u64(b->w, from);
  jsonw_u64(b->w, to);
  jsonw_end_array(b->w);
}

/* Buckets that are not empty: [from, to) in ns, and how many. */
static void member_histogram(struct jsonw *w, const struct histogram *h)
{
  if (histogram_count(h) == 0) {
    jsonw_member_null(w, "histogram");
    return;
  }
  jsonw_member_object(w, "histogram");
  jsonw_member_string(w, "unit", "ns");
  struct buckets b = {w, false};
  jsonw_member_array(w, "edges");
  histogram_each(h, say_bucket, &b);
  jsonw_end_array(w);
  b.counts = true;
  jsonw_member_array(w, "counts");
  histogram_each(h, say_bucket, &b);
  jsonw_end_array(w);
  jsonw_end_object(w);
}

static void member_payload(struct jsonw *w, const struct load_check *check, bool known, bool mismatch_known)
{
  load_member_or_null(w, "payload_verified_bytes", check->verified_bytes, known);
  load_member_or_null(w, "payload_mismatched_bytes", check->mismatched_bytes, known && mismatch_known);
  if (!known || !mismatch_known || !check->has_first) {
    jsonw_member_null(w, "first_mismatch");
    return;
  }
  jsonw_member_object(w, "first_mismatch");
  jsonw_member_u64(w, "qp", check->first.qp);
  jsonw_member_u64(w, "message", check->first.message);
  jsonw_member_u64(w, "offset", check->first.offset);
  jsonw_end_object(w);
}

static void member_any(struct jsonw *w, const struct load_end *end)
{
  jsonw_member_string(w, "status", load_fate_name(end->fate));
  member_error(w, end->error, end->vendor);
  member_instant(w, "end_mono_ns", end, end->finish);
  load_member_or_null(w, "recovery_local_ns", end->recovery_local_ns, end->recovery_local_ns != 0);
  jsonw_member_null(w, "perftest");
}

static void member_numbers(struct jsonw *w, const char *key, const struct load_end *end, uint64_t (*of)(const struct load_lane *))
{
  jsonw_member_array(w, key);
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    jsonw_u64(w, of(&end->lanes[i]));
  jsonw_end_array(w);
}

static uint64_t posted_of(const struct load_lane *lane)
{
  return lane->posted;
}

static uint64_t completed_of(const struct load_lane *lane)
{
  return atomic_load_explicit(&lane->done_messages, memory_order_relaxed);
}

static void member_qps(struct jsonw *w, const struct load_end *end)
{
  jsonw_member_array(w, "qps");
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    const struct load_lane *lane = &end->lanes[i];
    jsonw_begin_object(w);
    jsonw_member_u64(w, "index", i);
    jsonw_member_u64(w, "qpn", lane->qp.qpn);
    jsonw_member_u64(w, "remote_qpn", lane->remote.qpn);
    member_instant(w, "start_mono_ns", end, lane->start);
    member_instant(w, "end_mono_ns", end, lane->end);
    jsonw_member_string(w, "status", load_fate_name(lane->fate));
    member_error(w, lane->error, lane->vendor);
    jsonw_member_u64(w, "messages_completed", completed_of(lane));
    jsonw_end_object(w);
  }
  jsonw_end_array(w);
}

static void member_samples(struct jsonw *w, const struct load_end *end, const struct load_run *run)
{
  jsonw_member_array(w, "samples");
  for (uint32_t i = 0; run != NULL && i < run->n_ends; i++) {
    if (run->ends[i] != end)
      continue;
    for (uint32_t k = 0; k < run->n_samples[i]; k++) {
      jsonw_begin_array(w);
      jsonw_u64(w, run->samples[i][k].mono_ns);
      jsonw_u64(w, run->samples[i][k].bytes);
      jsonw_end_array(w);
    }
  }
  jsonw_end_array(w);
}

static void member_series(struct jsonw *w, const struct load_end *end)
{
  if (end->series_file == NULL) {
    jsonw_member_null(w, "series");
    return;
  }
  char name[64];
  jsonw_member_object(w, "series");
  (void)snprintf(name, sizeof name, "%s.bytes.npy", end->series_file);
  jsonw_member_string(w, "file", name);
  (void)snprintf(name, sizeof name, "%s.time.npy", end->series_file);
  jsonw_member_string(w, "time_file", name);
  (void)snprintf(name, sizeof name, "%s.messages.npy", end->series_file);
  jsonw_member_string(w, "messages_file", end->spec.flow.options.n_sizes > 0 ? name : NULL);
  jsonw_member_u64(w, "interval_ns", end->series_interval_ns);
  jsonw_member_u64(w, "rows", end->series_rows);
  jsonw_member_u64(w, "qps", end->spec.flow.qps);
  jsonw_end_object(w);
}

static void member_rates(struct jsonw *w, const struct load_end *end)
{
  if (!end->has_rates) {
    jsonw_member_null(w, "interval_rate_bps");
    return;
  }
  jsonw_member_object(w, "interval_rate_bps");
  jsonw_member_double(w, "min", end->rate_min_bps);
  jsonw_member_double(w, "mean", end->rate_mean_bps);
  jsonw_member_double(w, "max", end->rate_max_bps);
  jsonw_end_object(w);
}

static void member_gaps(struct jsonw *w, const struct load_end *end)
{
  const struct load_gaps *gaps = &end->gaps;
  jsonw_member_object(w, "idle_gaps");
  jsonw_member_u64(w, "count", gaps->count);
  jsonw_member_u64(w, "longest_ns", (uint64_t)load_clock_span_ns(end->clock, gaps->longest));
  jsonw_member_u64(w, "total_ns", (uint64_t)load_clock_span_ns(end->clock, gaps->total));
  jsonw_end_object(w);
  member_instant(w, "first_completion_ns", end, end->first_completion);
  member_instant(w, "last_completion_ns", end, end->last_completion);
  double tick_ns = end->last_device != 0 ? end->device->ops->tick_ns(end->device) : 0;
  load_member_or_null(w, "device_span_ns", (uint64_t)((double)(end->last_device - end->first_device) * tick_ns),
                      tick_ns > 0);
}

/* Messages told apart by number and checksum. What is lost is known when as many were sent as the flow has. */
static void member_integrity(struct jsonw *w, const struct load_end *end)
{
  if (end->spec.source || !end->spec.flow.options.integrity) {
    jsonw_member_null(w, "integrity");
    return;
  }
  uint64_t checked = 0, lost = 0, duplicated = 0, corrupted = 0, reordered = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    const struct load_integrity *one = end->lanes[i].integrity;
    checked += one->checked;
    duplicated += one->duplicated;
    corrupted += one->corrupted;
    reordered += one->reordered;
    uint64_t sent = end->spec.flow.messages != 0 ? end->spec.flow.messages : one->next;
    if (end->spec.flow.op->told)
      lost += load_integrity_lost(one, sent);
  }
  jsonw_member_object(w, "integrity");
  jsonw_member_u64(w, "checked", checked);
  load_member_or_null(w, "lost", lost, end->spec.flow.op->told);
  load_member_or_null(w, "duplicated", duplicated, end->spec.flow.op->told);
  jsonw_member_u64(w, "corrupted", corrupted);
  load_member_or_null(w, "reordered", reordered, end->spec.flow.op->told);
  jsonw_end_object(w);
}

/* --- a source -------------------------------------------------------------------------------------------------- */

/* Whether the asked rate was reached over the time the flow was posting. */
static void member_rate_reached(struct jsonw *w, const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  if (flow->rate_bps == 0) {
    jsonw_member_null(w, "rate_reached");
    return;
  }
  bool reached = false;
  if (end->start != 0 && end->finish > end->start) {
    double each = (double)load_wire_bits(flow, flow->message_bytes, end->mtu, end->gid.family);
    double bits = each * (double)load_end_bytes(end) / (double)flow->message_bytes;
    double ns = load_clock_span_ns(end->clock, end->finish - end->start);
    reached = bits * 1e9 / ns >= REACHED * (double)flow->rate_bps * flow->qps;
  }
  jsonw_member_bool(w, "rate_reached", reached);
}

static uint64_t bytes_posted(const struct load_end *end)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++) {
    if (end->spec.flow.options.n_sizes == 0) {
      sum += end->lanes[i].posted * end->spec.flow.message_bytes;
      continue;
    }
    for (uint64_t k = 0; k < end->lanes[i].posted; k++)
      sum += load_size_of(&end->spec.flow, i, k);
  }
  return sum;
}

static uint64_t messages_posted(const struct load_end *end)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < end->spec.flow.qps; i++)
    sum += end->lanes[i].posted;
  return sum;
}

static void source_result(struct jsonw *w, const struct load_end *end, const struct load_run *run)
{
  const struct load_flow *flow = &end->spec.flow;
  bool pingpong = end->ops == &load_pingpong_ops;
  bool checks = flow->check_payload && (flow->op->fetches || pingpong);
  uint64_t bytes = load_end_bytes(end);
  jsonw_member_string(w, "role", "src");
  member_any(w, end);
  member_instant(w, "start_mono_ns", end, end->start);
  jsonw_member_u64(w, "messages_posted", messages_posted(end));
  jsonw_member_u64(w, "messages_completed", load_end_messages(end));
  jsonw_member_u64(w, "bytes_sent", bytes_posted(end));
  jsonw_member_u64(w, "bytes_acked", bytes);
  member_numbers(w, "posted", end, posted_of);
  member_numbers(w, "completed", end, completed_of);
  member_latency(w, end);
  member_histogram(w, &end->latency);
  if (pingpong)
    jsonw_member_null(w, "rate_reached");
  else
    member_rate_reached(w, end);
  load_member_or_null(w, "bytes_delivered", bytes, flow->op->fetches);
  member_payload(w, &end->check, checks, true);
  load_member_or_null(w, "told_ns", (uint64_t)load_clock_span_ns(end->clock, end->told), end->told != 0);
  load_member_or_null(w, "recovery_ns",
                      (uint64_t)load_clock_span_ns(end->clock, end->recovered_at - end->failed_at),
                      end->recovered_at != 0);
  member_qps(w, end);
  member_samples(w, end, run);
  member_series(w, end);
  member_rates(w, end);
  member_gaps(w, end);
  jsonw_member_null(w, "integrity");
  jsonw_member_double(w, "cpu_s", run != NULL ? run->cpu_s : 0);
  jsonw_member_u64(w, "rate_bps", flow->rate_bps);
}

/* --- a target -------------------------------------------------------------------------------------------------- */

/* Payload delivered, where completions tell; the immediate of a reliable write tells of all before. */
static void member_delivered(struct jsonw *w, const struct load_end *end)
{
  const struct load_flow *flow = &end->spec.flow;
  bool pingpong = end->ops == &load_pingpong_ops;
  if (flow->op->told || pingpong) {
    jsonw_member_u64(w, "bytes_delivered", load_end_bytes(end));
    return;
  }
  uint64_t notified = 0;
  for (uint32_t i = 0; i < flow->qps; i++)
    notified += end->lanes[i].received > 0 ? flow->messages : 0;
  load_member_or_null(w, "bytes_delivered", notified * flow->message_bytes,
                      end->spec.notify && load_end_reliable(end) && flow->options.n_sizes == 0);
}

static void target_result(struct jsonw *w, const struct load_end *end, const struct load_run *run)
{
  const struct load_flow *flow = &end->spec.flow;
  bool pingpong = end->ops == &load_pingpong_ops;
  bool by_memory = !flow->op->receives_data && !pingpong && !(flow->options.integrity && flow->op->told);
  bool known = (flow->check_payload || flow->options.integrity) && flow->op->opcode != LOAD_READ &&
               (!by_memory || end->verified);
  /* where slots of an unreliable write were used twice, what differs may be old and not wrong */
  bool reused = !load_end_reliable(end) && by_memory && !flow->options.integrity &&
                (flow->messages == 0 || flow->messages > end->layout.slots);
  uint64_t received = pingpong && flow->op->opcode == LOAD_WRITE ? 0 : load_end_messages(end);
  jsonw_member_string(w, "role", "dst");
  member_any(w, end);
  member_delivered(w, end);
  jsonw_member_u64(w, "recv_completions", received);
  member_payload(w, &end->check, known, !reused);
  load_member_or_null(w, "immediates_wrong", end->check.immediates_wrong,
                      flow->op->immediate && flow->check_payload && !flow->options.integrity);
  member_integrity(w, end);
  member_gaps(w, end);
  jsonw_member_double(w, "cpu_s", run != NULL ? run->cpu_s : 0);
}

void load_result_of(struct jsonw *w, const struct load_end *end, const struct load_run *run)
{
  jsonw_begin_object(w);
  if (end->spec.source)
    source_result(w, end, run);
  else
    target_result(w, end, run);
  jsonw_end_object(w);
}

/* --- usage ----------------------------------------------------------------------------------------------------- */

static void say_thread(struct jsonw *w, const struct load_worker *worker, bool *limited, char *why, size_t size)
{
  char reason[160] = "";
  bool is_limited = load_worker_limited(worker, reason, sizeof reason);
  double wall = worker->wall_ns > 0 ? (double)worker->wall_ns : 1;
  jsonw_begin_object(w);
  jsonw_member_string(w, "name", worker->name);
  load_member_or_null(w, "cpu", (uint64_t)worker->cpu, worker->cpu >= 0);
  jsonw_member_string(w, "polling", worker->busy ? "busy" : "event");
  jsonw_member_double(w, "cpu_share", (double)worker->cpu_ns / wall);
  if (worker->knows_wait)
    jsonw_member_double(w, "wait_share", (double)worker->wait_ns / wall);
  else
    jsonw_member_null(w, "wait_share");
  jsonw_member_bool(w, "host_limited", is_limited);
  jsonw_member_string(w, "why", is_limited ? reason : NULL);
  jsonw_end_object(w);
  if (is_limited && !*limited) {
    *limited = true;
    (void)snprintf(why, size, "%s", reason);
  }
}

/* The most memory this process has had (VmHWM; getrusage() would count that of who started it); 0 unknown. */
static uint64_t peak_bytes(void)
{
  char line[160];
  unsigned long long kilobytes = 0;
  FILE *status = fopen("/proc/self/status", "re");
  while (status != NULL && kilobytes == 0 && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "VmHWM:", 6) == 0)
      kilobytes = strtoull(line + 6, NULL, 10);
  }
  if (status != NULL)
    (void)fclose(status);
  return kilobytes * 1024;
}

void load_usage_of(struct jsonw *w, const struct load_run *run)
{
  uint64_t polls = 0, completions = 0, wakeups = 0;
  for (uint32_t i = 0; i < run->n_ends; i++) {
    polls += run->ends[i]->polls;
    completions += run->ends[i]->completions;
  }
  for (uint32_t i = 0; i < run->n_workers; i++)
    wakeups += run->workers[i].wakeups;
  char why[160] = "";
  bool limited = false;
  jsonw_begin_object(w);
  jsonw_member_string(w, "engine", "native");
  jsonw_member_double(w, "cpu_s", run->cpu_s);
  jsonw_member_double(w, "wall_s", run->wall_s);
  jsonw_member_u64(w, "wakeups", wakeups);
  jsonw_member_u64(w, "polls", polls);
  jsonw_member_u64(w, "completions", completions);
  jsonw_member_array(w, "threads");
  for (uint32_t i = 0; i < run->n_workers; i++)
    say_thread(w, &run->workers[i], &limited, why, sizeof why);
  jsonw_end_array(w);
  jsonw_member_bool(w, "host_limited", limited);
  jsonw_member_string(w, "why", limited ? why : NULL);
  jsonw_member_string(w, "note", run->note[0] != '\0' ? run->note : NULL);
  jsonw_member_string(w, "series_error", run->series_error[0] != '\0' ? run->series_error : NULL);
  uint64_t peak = peak_bytes();
  load_member_or_null(w, "memory_peak_bytes", peak, peak != 0);
  load_member_or_null(w, "series_bytes", run->sampler != NULL ? load_sampler_bytes(run->sampler) : 0,
                      run->sampler != NULL);
  jsonw_end_object(w);
}
