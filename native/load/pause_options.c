/* The arguments of `roce-load pause`. */
#include "pause.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define MOST_S UINT64_C(1000000000) /* of a duration */
#define MOST_BPS UINT64_C(100000000000000)

static const char usage[] =
    "usage: roce-load pause --interface IF --priorities 3,4 --duration 100ms --i-own-this-fabric\n"
    "\n"
    "Sends pause frames (IEEE 802.1Qbb, 802.3x) on an Ethernet interface, so often that the pause has no gap,\n"
    "and says how large the largest gap was. It stops traffic of others: use it on a fabric that is yours alone.\n"
    "\n"
    "  --interface IF        network interface to send on\n"
    "  --kind KIND[,KIND]    what to send, in turns (default: pause)\n"
    "                          pause        802.1Qbb: pauses the priorities\n"
    "                          xon          802.1Qbb: ends their pause (time 0)\n"
    "                          zero-quanta  the same frame, as one that must pause nothing\n"
    "                          disabled     802.1Qbb: times without enable bits, which must be ignored\n"
    "                          global       802.3x: pauses the whole link\n"
    "  --priorities LIST     priorities 0..7\n"
    "  --quanta N[,N]        time of a pause in quanta of 512 bit times, one for all or one for each priority\n"
    "                        (default: 65535)\n"
    "  --vector BITS         class-enable vector instead of the bits of the priorities, such as 0x18\n"
    "  --rate BPS            rate of the link in bit/s, such as 100G (default: what the interface says)\n"
    "  --rate-if-unknown BPS the same, where the interface does not say\n"
    "  --interval TIME       from one frame to the next (default: half of the pause time)\n"
    "  --duration TIME       how long to pause: 500us, 1.5ms, 2s\n"
    "  --count N             how many frames to send\n"
    "  --start-at NS|stdin   first frame at this time of CLOCK_MONOTONIC; stdin: say {\"ready\":true} on standard\n"
    "                        output and read the time from a line of standard input\n"
    "  --source MAC          source address (default: that of the interface)\n"
    "  --end xon|none        frames that end the pause, at the end and on SIGINT and SIGTERM (default: xon)\n"
    "  --until-stdin-closes  stop when standard input ends\n"
    "  --i-own-this-fabric   nobody else uses this fabric; ROCE_I_OWN_THIS_FABRIC=1 says so, too\n"
    "  --probe               say whether frames could be sent, and send none\n"
    "  --dry-run             print the frames and send none\n"
    "  --help                print this and exit\n"
    "\n"
    "The result is a JSON object on standard output; progress goes to standard error as JSON lines.\n"
    "\n"
    "examples:\n"
    "  roce-load pause --interface ens1f0 --priorities 3 --duration 2s --i-own-this-fabric\n"
    "  roce-load pause --interface ens1f0 --priorities 3,4 --quanta 65535,100 --count 1 --end none "
    "--i-own-this-fabric\n"
    "  roce-load pause --interface ens1f0 --kind disabled --priorities 3 --duration 1s --i-own-this-fabric\n"
    "  roce-load pause --interface ens1f0 --kind pause,global --priorities 3 --rate 100G --count 2 --dry-run\n"
    "\n"
    "Exit status: 0 the frames were sent, 1 the run failed (with a result), 2 the arguments are wrong.\n";

static const char *const kind_names[] = {"pause", "xon", "zero-quanta", "disabled", "global"};

enum { N_KINDS = sizeof kind_names / sizeof kind_names[0] };

/* What is read, and where words about it go. */
struct reader {
  struct pause_options *o;
  const char *quanta; /* the lists are read when both are known */
  const char *priorities;
  char *problem;
  size_t size;
};

typedef bool option_fn(struct reader *r, const char *name, const char *value);

struct option {
  const char *name;
  option_fn *read;
  bool has_value;
};

const char *pause_usage(void)
{
  return usage;
}

const char *pause_kind_name(enum pause_kind kind)
{
  return kind_names[kind];
}

static bool wrong(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct reader *r, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(r->problem, r->size, format, args);
  va_end(args);
  return false;
}

/* Digits alone, to a separator or the end; `base` 0 takes 0x, too. Moves `*text` behind them. */
static bool digits(const char **text, int base, uint64_t most, uint64_t *value)
{
  char *end = NULL;
  if (**text < '0' || **text > '9') {
    return false;
  }
  errno = 0;
  unsigned long long number = strtoull(*text, &end, base);
  if (errno != 0 || number > most) {
    return false;
  }
  *text = end;
  *value = number;
  return true;
}

/* A whole value is a number. */
static bool whole(const char *text, int base, uint64_t least, uint64_t most, uint64_t *value)
{
  return digits(&text, base, most, value) && *text == '\0' && *value >= least;
}

/* A number with a fraction and a unit; the unit's worth is looked up in `units`. */
struct unit {
  const char *name;
  double worth;
};

static bool with_unit(const char *text, const struct unit *units, double most, uint64_t *value)
{
  char *end = NULL;
  if (*text < '0' || *text > '9' || strpbrk(text, "xX") != NULL) {
    return false;
  }
  double number = strtod(text, &end);
  for (; units->name != NULL; units++) {
    double all = number * units->worth;
    if (strcmp(end, units->name) == 0 && all >= 1 && all <= most) {
      *value = (uint64_t)(all + 0.5);
      return true;
    }
  }
  return false;
}

static bool read_time(struct reader *r, const char *name, const char *value, uint64_t *ns)
{
  static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
  return with_unit(value, units, (double)(MOST_S * NS_PER_S), ns) ||
         wrong(r, "%s: '%s' is no time above 0 with its unit, such as 500us, 1.5ms, 2s", name, value);
}

static bool read_rate(struct reader *r, const char *name, const char *value, uint64_t *bps)
{
  static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {NULL, 0}};
  return with_unit(value, units, (double)MOST_BPS, bps) ||
         wrong(r, "%s: '%s' is no rate in bit/s, such as 100G or 25000000000", name, value);
}

static bool set_interface(struct reader *r, const char *name, const char *value)
{
  r->o->interface = value;
  return *value != '\0' || wrong(r, "%s: which interface?", name);
}

static bool kind_of(const char *text, size_t length, enum pause_kind *kind)
{
  for (unsigned i = 0; i < N_KINDS; i++) {
    if (strlen(kind_names[i]) == length && strncmp(kind_names[i], text, length) == 0) {
      *kind = (enum pause_kind)i;
      return true;
    }
  }
  return false;
}

static bool set_kind(struct reader *r, const char *name, const char *value)
{
  r->o->n_kinds = 0;
  for (const char *text = value;; text++) {
    size_t length = strcspn(text, ",");
    if (r->o->n_kinds == PAUSE_MAX_KINDS) {
      return wrong(r, "%s: at most %d kinds in turns", name, (int)PAUSE_MAX_KINDS);
    }
    if (!kind_of(text, length, &r->o->kinds[r->o->n_kinds++])) {
      return wrong(r, "%s: no kind '%.*s'; kinds are pause, xon, zero-quanta, disabled, global", name, (int)length,
                   text);
    }
    text += length;
    if (*text == '\0') {
      return true;
    }
  }
}

static bool set_priorities(struct reader *r, const char *name, const char *value)
{
  (void)name;
  r->priorities = value;
  return true;
}

static bool set_quanta(struct reader *r, const char *name, const char *value)
{
  (void)name;
  r->quanta = value;
  return true;
}

static bool set_vector(struct reader *r, const char *name, const char *value)
{
  uint64_t bits = 0;
  if (!whole(value, 0, 0, UINT16_MAX, &bits)) {
    return wrong(r, "%s: '%s' is no vector of 16 bits, such as 0x18", name, value);
  }
  r->o->vector = (uint16_t)bits;
  r->o->has_vector = true;
  return true;
}

static bool set_rate(struct reader *r, const char *name, const char *value)
{
  return read_rate(r, name, value, &r->o->rate_bps);
}

static bool set_rate_if_unknown(struct reader *r, const char *name, const char *value)
{
  return read_rate(r, name, value, &r->o->rate_if_unknown_bps);
}

static bool set_interval(struct reader *r, const char *name, const char *value)
{
  return read_time(r, name, value, &r->o->interval_ns);
}

static bool set_duration(struct reader *r, const char *name, const char *value)
{
  return read_time(r, name, value, &r->o->duration_ns);
}

static bool set_count(struct reader *r, const char *name, const char *value)
{
  return whole(value, 10, 1, INT64_MAX, &r->o->count) || wrong(r, "%s: '%s' is no number of frames", name, value);
}

static bool set_start(struct reader *r, const char *name, const char *value)
{
  r->o->start_from_stdin = strcmp(value, "stdin") == 0;
  return r->o->start_from_stdin || whole(value, 10, 1, INT64_MAX, &r->o->start_at_ns) ||
         wrong(r, "%s: '%s' is no time of CLOCK_MONOTONIC in ns", name, value);
}

static int hex(char c)
{
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool set_source(struct reader *r, const char *name, const char *value)
{
  bool good = strlen(value) == 17;
  for (size_t i = 0; good && i < PAUSE_MAC_BYTES; i++) {
    const char *pair = value + 3 * i;
    int high = hex(pair[0]);
    int low = hex(pair[1]);
    good = high >= 0 && low >= 0 && (i + 1 == PAUSE_MAC_BYTES || pair[2] == ':' || pair[2] == '-');
    r->o->source[i] = (uint8_t)(high * 16 + low);
  }
  r->o->has_source = true;
  return good || wrong(r, "%s: '%s' is no MAC address, such as 02:00:00:00:00:01", name, value);
}

static bool set_end(struct reader *r, const char *name, const char *value)
{
  r->o->xon_at_end = strcmp(value, "xon") == 0;
  return r->o->xon_at_end || strcmp(value, "none") == 0 || wrong(r, "%s: '%s' is neither xon nor none", name, value);
}

static bool set_until_stdin_closes(struct reader *r, const char *name, const char *value)
{
  (void)name;
  (void)value;
  return r->o->until_stdin_closes = true;
}

static bool set_owned(struct reader *r, const char *name, const char *value)
{
  (void)name;
  (void)value;
  return r->o->owned = true;
}

static bool set_probe(struct reader *r, const char *name, const char *value)
{
  (void)name;
  (void)value;
  return r->o->probe = true;
}

static bool set_dry_run(struct reader *r, const char *name, const char *value)
{
  (void)name;
  (void)value;
  return r->o->dry_run = true;
}

static bool set_help(struct reader *r, const char *name, const char *value)
{
  (void)name;
  (void)value;
  return r->o->help = true;
}

static const struct option options[] = {
    {"--interface", set_interface, true},
    {"--kind", set_kind, true},
    {"--priorities", set_priorities, true},
    {"--quanta", set_quanta, true},
    {"--vector", set_vector, true},
    {"--rate", set_rate, true},
    {"--rate-if-unknown", set_rate_if_unknown, true},
    {"--interval", set_interval, true},
    {"--duration", set_duration, true},
    {"--count", set_count, true},
    {"--start-at", set_start, true},
    {"--source", set_source, true},
    {"--end", set_end, true},
    {"--until-stdin-closes", set_until_stdin_closes, false},
    {"--i-own-this-fabric", set_owned, false},
    {"--probe", set_probe, false},
    {"--dry-run", set_dry_run, false},
    {"--help", set_help, false},
};

static const struct option *option_named(const char *argument, size_t length)
{
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
    if (strlen(options[i].name) == length && strncmp(options[i].name, argument, length) == 0) {
      return &options[i];
    }
  }
  return NULL;
}

/* Reads argv[*at] and its value; moves `*at` to the last of them. */
static bool read_one(struct reader *r, int argc, char **argv, int *at)
{
  const char *argument = argv[*at];
  size_t length = strcspn(argument, "=");
  const struct option *option = option_named(argument, length);
  if (option == NULL) {
    return wrong(r, "no option '%s'; --help lists them", argument);
  }
  const char *value = argument[length] == '=' ? argument + length + 1 : NULL;
  if (!option->has_value) {
    return value == NULL ? option->read(r, option->name, "") : wrong(r, "%s takes no value", option->name);
  }
  if (value == NULL && *at + 1 < argc) {
    value = argv[++*at];
  }
  return value != NULL ? option->read(r, option->name, value) : wrong(r, "%s wants a value", option->name);
}

static bool read_priorities(struct reader *r)
{
  const char *text = r->priorities;
  unsigned seen = 0;
  while (text != NULL && *text != '\0') {
    uint64_t priority = 0;
    bool good = digits(&text, 10, PAUSE_PRIORITIES - 1, &priority) && (*text == ',' || *text == '\0');
    if (!good || (*text == ',' && text[1] == '\0')) {
      return wrong(r, "--priorities: '%s' is no list of priorities 0..7, such as 3,4", r->priorities);
    }
    if ((seen >> priority & 1U) != 0) {
      return wrong(r, "--priorities: %d is there twice in '%s'", (int)priority, r->priorities);
    }
    seen |= 1U << priority;
    r->o->order[r->o->n_priorities++] = (uint8_t)priority;
    text += *text == ',' ? 1 : 0;
  }
  return true;
}

static bool fewer_or_more(struct reader *r, unsigned n)
{
  return wrong(r, "--quanta: %u values for %u priorities; give one for all or one for each", n, r->o->n_priorities);
}

static bool read_quanta(struct reader *r)
{
  uint16_t values[PAUSE_PRIORITIES];
  unsigned n = 0;
  for (const char *text = r->quanta == NULL ? "65535" : r->quanta;; text++) {
    uint64_t quanta = 0;
    if (!digits(&text, 10, UINT16_MAX, &quanta) || (*text != ',' && *text != '\0')) {
      return wrong(r, "--quanta: '%s' is no list of times 0..65535", r->quanta);
    }
    if (n == PAUSE_PRIORITIES) {
      return fewer_or_more(r, n + 1);
    }
    values[n++] = (uint16_t)quanta;
    if (*text == '\0') {
      break;
    }
  }
  if (n > 1 && n != r->o->n_priorities) {
    return fewer_or_more(r, n);
  }
  r->o->quanta[0] = values[0]; /* of 802.3x without priorities */
  for (unsigned i = 0; i < r->o->n_priorities; i++) {
    r->o->quanta[r->o->order[i]] = values[n == 1 ? 0 : i];
  }
  return true;
}

static bool all_global(const struct pause_options *o)
{
  bool all = true;
  for (unsigned i = 0; i < o->n_kinds; i++) {
    all = all && o->kinds[i] == PAUSE_GLOBAL;
  }
  return all;
}

static bool any_quanta(const struct pause_options *o)
{
  bool any = o->n_priorities == 0 && o->quanta[0] > 0;
  for (unsigned i = 0; i < o->n_priorities; i++) {
    any = any || o->quanta[o->order[i]] > 0;
  }
  return any;
}

/* What only all options together show. */
static bool read_together(struct reader *r)
{
  const struct pause_options *o = r->o;
  if (!read_priorities(r) || !read_quanta(r)) {
    return false;
  }
  if (o->interface == NULL) {
    return wrong(r, "--interface: which interface?");
  }
  if (o->probe) {
    return true;
  }
  if (o->n_priorities == 0 && !o->has_vector && !all_global(o)) {
    return wrong(r, "--priorities: which priorities? such as 3,4; --kind global needs none");
  }
  if (!any_quanta(o) && o->interval_ns == 0) {
    return wrong(r, "--quanta: with times of 0 alone say --interval");
  }
  if (o->duration_ns > 0 && o->count > 0) {
    return wrong(r, "either --duration or --count, not both");
  }
  if (o->duration_ns == 0 && o->count == 0 && !o->until_stdin_closes && !o->dry_run) {
    return wrong(r, "how long? say --duration, --count or --until-stdin-closes");
  }
  return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the reader writes to it */
bool pause_options_read(struct pause_options *o, int argc, char **argv, char *problem, size_t size)
{
  struct reader r = {.o = o, .problem = problem, .size = size};
  *o = (struct pause_options){.kinds = {PAUSE_PFC}, .n_kinds = 1, .xon_at_end = true};
  for (int i = 1; i < argc; i++) {
    if (!read_one(&r, argc, argv, &i)) {
      return false;
    }
    if (o->help) {
      return true;
    }
  }
  return read_together(&r);
}
