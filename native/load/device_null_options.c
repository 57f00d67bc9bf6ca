/* "null0:rate=10Gbps,loss=1%": the options of a null device, one table line each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_null.h"

enum kind { SWITCH, COUNT, SHARE, TIME, RATE };

struct option {
  const char *name;
  size_t at;
  double low, high; /* of counts, ns, bits per second */
  enum kind kind;
};

struct unit {
  const char *name;
  double factor;
};

#define OPTION(name, kind, low, high) {#name, offsetof(struct null_options, name), low, high, kind}
#define OPTION_AS(name, field, kind, low, high) {#name, offsetof(struct null_options, field), low, high, kind}

/* Counts are below 2^53, so that a double holds them. */
#define MOST 9007199254740991.0

static const struct option options[] = {
    OPTION(data, SWITCH, 0, 0),
    OPTION_AS(latency, latency_ns, TIME, 0, 1e10),
    OPTION_AS(rate, rate_bps, RATE, 1e3, 1e13),
    OPTION(loss, SHARE, 0, 1),
    OPTION(dup, SHARE, 0, 1),
    OPTION(corrupt, SHARE, 0, 1),
    OPTION(reorder, SHARE, 0, 1),
    OPTION(unreliable, SWITCH, 0, 0),
    OPTION(die_after, COUNT, 1, MOST),
    OPTION(qp_error_after, COUNT, 0, MOST),
    OPTION(hang_after, COUNT, 0, MOST),
    OPTION(max_qp, COUNT, 1, NULL_MAX_QP),
    OPTION(max_wr, COUNT, 1, NULL_MAX_WR),
    OPTION(max_cqe, COUNT, 1, NULL_MAX_CQE),
    OPTION(no_events, SWITCH, 0, 0),
    OPTION(seed, COUNT, 0, MOST),
};
enum { OPTIONS = sizeof options / sizeof options[0] };

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit shares[] = {{"", 1}, {"%", 0.01}, {NULL, 0}};
static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit rates[] = {{"bps", 1}, {"kbps", 1e3}, {"Mbps", 1e6}, {"Gbps", 1e9}, {NULL, 0}};

static const struct unit *units_of(enum kind kind)
{
  return kind == SHARE ? shares : kind == TIME ? times : kind == RATE ? rates : no_units;
}

static const char *example_of(enum kind kind)
{
  static const char *const examples[] = {"on or off", "a whole number", "a share such as 0.01 or 1%",
                                         "a time such as 10us (ns, us, ms, s)",
                                         "a rate such as 10Gbps (bps, kbps, Mbps, Gbps)"};
  return examples[kind];
}

static bool unknown(struct load_error *e, const char *value)
{
  char expected[sizeof e->expected] = "nullN[:option=value,...] with";
  size_t used = strlen(expected);
  for (size_t i = 0; i < OPTIONS; i++)
    used += (size_t)snprintf(expected + used, sizeof expected - used, "%s %s", i == 0 ? "" : ",", options[i].name);
  return load_fail_key(e, "device", value, expected);
}

static bool wrong(struct load_error *e, const struct option *option, const char *text)
{
  char expected[sizeof e->expected];
  if (option->kind == COUNT)
    (void)snprintf(expected, sizeof expected, "%s from %.0f to %.0f", example_of(COUNT), option->low, option->high);
  else
    (void)snprintf(expected, sizeof expected, "%s", example_of(option->kind));
  return load_fail_key(e, "device", text, expected);
}

static bool read_number(const struct option *option, const char *text, double *out)
{
  char *end = NULL;
  if (text[0] < '0' || text[0] > '9') /* strtod would take signs, blanks, inf */
    return false;
  double number = strtod(text, &end);
  for (const struct unit *unit = units_of(option->kind); unit->name != NULL; unit++) {
    if (strcmp(end, unit->name) == 0) {
      *out = number * unit->factor;
      return *out >= option->low && *out <= option->high && (option->kind != COUNT || floor(number) == number);
    }
  }
  return false;
}

static bool set(struct null_options *out, const struct option *option, const char *value)
{
  char *field = (char *)out + option->at;
  if (option->kind == SWITCH) {
    bool on = strcmp(value, "on") == 0;
    memcpy(field, &on, sizeof on);
    return on || strcmp(value, "off") == 0;
  }
  double number;
  if (!read_number(option, value, &number))
    return false;
  uint64_t whole = (uint64_t)number;
  if (option->kind == COUNT)
    memcpy(field, &whole, sizeof whole);
  else
    memcpy(field, &number, sizeof number);
  return true;
}

/* `text` is "option=value". */
static bool read_option(char *text, struct null_options *out, struct load_error *e)
{
  char *equals = strchr(text, '=');
  for (size_t i = 0; equals != NULL && i < OPTIONS; i++) {
    if (strncmp(text, options[i].name, (size_t)(equals - text)) == 0 &&
        options[i].name[equals - text] == '\0')
      return set(out, &options[i], equals + 1) || wrong(e, &options[i], text);
  }
  return unknown(e, text);
}

bool null_options_read(const char *name, uint32_t *number, struct null_options *out, struct load_error *e)
{
  char text[sizeof((struct load_device *)0)->name];
  char *end = NULL;
  *out = (struct null_options){.data = true,
                               .die_after = NULL_NEVER,
                               .qp_error_after = NULL_NEVER,
                               .hang_after = NULL_NEVER,
                               .max_qp = NULL_MAX_QP,
                               .max_wr = NULL_MAX_WR,
                               .max_cqe = NULL_MAX_CQE,
                               .seed = 1};
  if (strncmp(name, "null", 4) != 0 || name[4] < '0' || name[4] > '9')
    return unknown(e, name);
  unsigned long n = strtoul(name + 4, &end, 10);
  if (n > UINT16_MAX || (*end != '\0' && *end != ':'))
    return unknown(e, name);
  *number = (uint32_t)n;
  (void)snprintf(text, sizeof text, "%s", *end == ':' ? end + 1 : end);
  for (char *option = text; *end == ':' && option != NULL;) {
    char *comma = strchr(option, ',');
    if (comma != NULL)
      *comma++ = '\0';
    if (!read_option(option, out, e))
      return false;
    option = comma;
  }
  if (out->corrupt > 0 && !out->data)
    return load_fail_key(e, "device", name, "data=on together with corrupt");
  return true;
}
