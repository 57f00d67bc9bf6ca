/* The pause generator: bytes of frames, arguments, and the arithmetic of gaps. */
#include "load/pause.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

enum { MOST_ARGUMENTS = 24, PROBLEM_BYTES = 512, GBPS = 1000000000 };

static const uint8_t source[PAUSE_MAC_BYTES] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};

/* Arguments as one text, blanks between them. */
struct arguments {
  char text[512];
  char *argv[MOST_ARGUMENTS];
  int argc;
  char problem[PROBLEM_BYTES];
  struct pause_options options;
};

static bool read_text(struct arguments *a, const char *text)
{
  static char program[] = "pause";
  *a = (struct arguments){.argv = {program}, .argc = 1};
  snprintf(a->text, sizeof a->text, "%s", text);
  char *rest = NULL;
  for (char *word = strtok_r(a->text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
    ASSERT(a->argc < MOST_ARGUMENTS);
    a->argv[a->argc++] = word;
  }
  return pause_options_read(&a->options, a->argc, a->argv, a->problem, sizeof a->problem);
}

static void good(struct arguments *a, const char *text)
{
  if (!read_text(a, text)) {
    test_fail(__FILE__, __LINE__, "%s: %s", text, a->problem);
  }
}

/* Refused, in words that say what is wrong. */
static void bad(const char *text, const char *words)
{
  struct arguments a;
  if (read_text(&a, text)) {
    test_fail(__FILE__, __LINE__, "accepted: %s", text);
  }
  ASSERT_CONTAINS(a.problem, words);
}

/* The first frame of a plan must be these bytes, given without the padding. */
static void frame_is(const char *text, const uint8_t *bytes, size_t n)
{
  struct arguments a;
  struct pause_plan p;
  good(&a, text);
  pause_plan_make(&p, &a.options, source, UINT64_C(100) * GBPS);
  for (size_t i = 0; i < PAUSE_FRAME_BYTES; i++) {
    unsigned wanted = i < n ? bytes[i] : 0;
    if (p.frames[0][i] != wanted) {
      test_fail(__FILE__, __LINE__, "%s: byte %zu is %02x, not %02x", text, i, p.frames[0][i], wanted);
    }
  }
}

#define HEADER 0x01, 0x80, 0xC2, 0x00, 0x00, 0x01, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x88, 0x08
#define FRAME_IS(text, ...)                                                                                            \
  frame_is(text, (const uint8_t[]){HEADER, __VA_ARGS__}, sizeof(const uint8_t[]){HEADER, __VA_ARGS__})

TEST(pause_frames_carry_vector_and_quanta)
{
  FRAME_IS("--interface e --count 1 --priorities 3", 0x01, 0x01, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF);
  FRAME_IS("--interface e --count 1 --priorities 0 --quanta 258", 0x01, 0x01, 0x00, 0x01, 0x01, 0x02);
  FRAME_IS("--interface e --count 1 --priorities 7 --quanta 1", 0x01, 0x01, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0x00, 0x01);
  FRAME_IS("--interface e --count 1 --priorities 4,1 --quanta 16,32", 0x01, 0x01, 0x00, 0x12, 0, 0, 0x00, 0x20, 0, 0, 0,
           0, 0x00, 0x10);
  FRAME_IS("--interface e --count 1 --priorities 0,1,2,3,4,5,6,7 --quanta 9", 0x01, 0x01, 0x00, 0xFF, 0, 9, 0, 9, 0, 9,
           0, 9, 0, 9, 0, 9, 0, 9, 0, 9);
}

TEST(pause_frames_for_conformance)
{
  FRAME_IS("--interface e --count 1 --kind xon --priorities 3", 0x01, 0x01, 0x00, 0x08);
  FRAME_IS("--interface e --count 1 --kind zero-quanta --priorities 0,7", 0x01, 0x01, 0x00, 0x81);
  FRAME_IS("--interface e --count 1 --kind disabled --priorities 0 --quanta 65535", 0x01, 0x01, 0x00, 0x00, 0xFF, 0xFF);
  FRAME_IS("--interface e --count 1 --kind global --quanta 4660", 0x00, 0x01, 0x12, 0x34);
  FRAME_IS("--interface e --count 1 --kind global --priorities 3 --quanta 4660", 0x00, 0x01, 0x12, 0x34);
  FRAME_IS("--interface e --count 1 --priorities 0 --quanta 5 --vector 0xA1F0", 0x01, 0x01, 0xA1, 0xF0, 0x00, 0x05);
}

TEST(pause_frames_end_what_they_paused)
{
  struct arguments a;
  struct pause_plan p;
  good(&a, "--interface e --count 1 --priorities 3,4 --kind global,pause,pause,disabled");
  pause_plan_make(&p, &a.options, source, UINT64_C(100) * GBPS);
  ASSERT_EQ(p.n_frames, 4U);
  ASSERT_EQ(p.n_ends, 2U);
  ASSERT_EQ((unsigned)p.ends[0][15], 0x01U); /* 802.3x, time 0 */
  ASSERT_EQ((unsigned)(p.ends[0][14] | p.ends[0][16] | p.ends[0][17]), 0U);
  ASSERT_EQ((unsigned)p.ends[1][14], 0x01U); /* 802.1Qbb, the same priorities, times 0 */
  ASSERT_EQ((unsigned)p.ends[1][17], 0x18U);
  for (size_t i = 18; i < PAUSE_FRAME_BYTES; i++) {
    ASSERT_EQ((unsigned)p.ends[1][i], 0U);
  }
  good(&a, "--interface e --count 1 --priorities 3 --kind xon,disabled,zero-quanta");
  pause_plan_make(&p, &a.options, source, UINT64_C(100) * GBPS);
  ASSERT_EQ(p.n_ends, 0U); /* nothing was paused */
  ASSERT(!p.holds);
}

/* The shortest pause of a plan at a rate. */
static struct pause_plan plan_of(const char *text, uint64_t rate_bps)
{
  struct arguments a;
  struct pause_plan p;
  good(&a, text);
  pause_plan_make(&p, &a.options, source, rate_bps);
  return p;
}

TEST(pause_times_are_512_bits_each)
{
  /* 65535 × 512 bit at 100 Gb/s: 335.5392 µs */
  ASSERT_EQ(pause_quanta_ns(65535, UINT64_C(100) * GBPS), (uint64_t)335539);
  ASSERT_EQ(pause_quanta_ns(65535, UINT64_C(400) * GBPS), (uint64_t)83884);
  ASSERT_EQ(pause_quanta_ns(65535, 10000000), UINT64_C(3355392000));
  ASSERT_EQ(pause_quanta_ns(1, UINT64_C(800) * GBPS), (uint64_t)0);
  ASSERT_EQ(pause_quanta_ns(0, GBPS), (uint64_t)0);
}

TEST(pause_interval_is_half_of_the_shortest_pause)
{
  struct pause_plan p = plan_of("--interface e --count 1 --priorities 3,4 --quanta 65535,1000", UINT64_C(1) * GBPS);
  ASSERT_EQ(p.quanta_ns, (uint64_t)512000);
  ASSERT_EQ(p.interval_ns, (uint64_t)256000);
  ASSERT(p.holds);
  p = plan_of("--interface e --count 1 --priorities 3,4 --quanta 65535,0", GBPS); /* 4 is let go, 3 is held */
  ASSERT_EQ(p.quanta_ns, UINT64_C(33553920));
  p = plan_of("--interface e --count 1 --priorities 3,4 --vector 0x10 --quanta 7,1000", GBPS);
  ASSERT_EQ(p.quanta_ns, (uint64_t)512000); /* 3 is not enabled */
  p = plan_of("--interface e --count 1 --priorities 3 --interval 1.5ms", GBPS);
  ASSERT_EQ(p.interval_ns, (uint64_t)1500000);
  p = plan_of("--interface e --count 1 --priorities 3 --quanta 1", UINT64_C(800) * GBPS);
  ASSERT_EQ(p.interval_ns, (uint64_t)1);
  p = plan_of("--interface e --count 1 --kind disabled --priorities 3,5 --quanta 2000,1000", GBPS);
  ASSERT_EQ(p.interval_ns, (uint64_t)256000);
}

TEST(pause_holds_only_when_every_frame_pauses_the_same)
{
  ASSERT(plan_of("--interface e --count 1 --kind global", GBPS).holds);
  ASSERT(plan_of("--interface e --count 1 --priorities 3 --kind pause,pause", GBPS).holds);
  ASSERT(!plan_of("--interface e --count 1 --priorities 3 --kind pause,xon", GBPS).holds);
  ASSERT(!plan_of("--interface e --count 1 --priorities 3 --kind pause,global", GBPS).holds);
  ASSERT(!plan_of("--interface e --count 1 --priorities 3 --kind disabled", GBPS).holds);
  ASSERT(!plan_of("--interface e --count 1 --priorities 3 --vector 0", GBPS).holds);
}

TEST(pause_options_are_read)
{
  struct arguments a;
  good(&a, "--interface ens1f0 --priorities=3,4 --rate 25G --duration 1.5ms --start-at 123456789012 --end none "
           "--source 0A-bc:00:00:00:Ff --i-own-this-fabric --until-stdin-closes");
  ASSERT_STR(a.options.interface, "ens1f0");
  ASSERT_EQ(a.options.rate_bps, UINT64_C(25) * GBPS);
  ASSERT_EQ(a.options.duration_ns, (uint64_t)1500000);
  ASSERT_EQ(a.options.start_at_ns, UINT64_C(123456789012));
  ASSERT(!a.options.xon_at_end && a.options.owned && a.options.until_stdin_closes);
  ASSERT_EQ((unsigned)a.options.source[0], 0x0AU);
  ASSERT_EQ((unsigned)a.options.source[5], 0xFFU);
  ASSERT_EQ((unsigned)a.options.quanta[4], 65535U);
  good(&a, "--interface e --priorities 3 --count 1");
  ASSERT(a.options.xon_at_end && !a.options.owned && !a.options.has_source);
  good(&a, "--interface e --probe");
  good(&a, "--interface e --priorities 3 --count 1 --start-at stdin");
  ASSERT(a.options.start_from_stdin && a.options.start_at_ns == 0);
  good(&a, "--help --nonsense");
  ASSERT(a.options.help);
}

TEST(pause_options_that_are_wrong_are_refused_in_words)
{
  bad("", "which interface");
  bad("--interface", "--interface wants a value");
  bad("--interface= --priorities 3 --count 1", "which interface");
  bad("--nonsense 3", "no option '--nonsense'");
  bad("eth0", "no option 'eth0'");
  bad("--i-own-this-fabric=yes", "takes no value");
  bad("--interface e --count 1", "which priorities");
  bad("--interface e --count 1 --kind pause,global", "which priorities");
  bad("--interface e --priorities 3", "how long");
  bad("--interface e --priorities 3 --count 1 --duration 1s", "not both");
  bad("--interface e --kind storm", "no kind 'storm'; kinds are pause");
  bad("--interface e --kind pause,", "no kind ''");
  bad("--interface e --kind xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon,xon", "at most 16");
}

TEST(pause_options_that_are_no_numbers_are_refused_in_words)
{
  bad("--interface e --count 1 --priorities 8", "'8' is no list of priorities 0..7");
  bad("--interface e --count 1 --priorities 3,", "is no list of priorities");
  bad("--interface e --count 1 --priorities ,3", "is no list of priorities");
  bad("--interface e --count 1 --priorities -1", "is no list of priorities");
  bad("--interface e --count 1 --priorities 3,3", "3 is there twice");
  bad("--interface e --count 1 --priorities 3 --quanta 65536", "'65536' is no list of times 0..65535");
  bad("--interface e --count 1 --priorities 3 --quanta 1;2", "is no list of times");
  bad("--interface e --count 1 --priorities 3 --quanta 1,2", "2 values for 1 priorities");
  bad("--interface e --count 1 --priorities 3 --quanta 1,1,1,1,1,1,1,1,1", "9 values for 1 priorities");
  bad("--interface e --count 1 --priorities 3 --quanta 0", "say --interval");
  bad("--interface e --count 0 --priorities 3", "'0' is no number of frames");
  bad("--interface e --count 99999999999999999999 --priorities 3", "is no number of frames");
  bad("--interface e --duration 5 --priorities 3", "'5' is no time");
  bad("--interface e --duration 0s --priorities 3", "'0s' is no time");
  bad("--interface e --duration -1s --priorities 3", "is no time");
  bad("--interface e --duration infs --priorities 3", "is no time");
  bad("--interface e --duration 0x5s --priorities 3", "is no time");
  bad("--interface e --duration 1e30s --priorities 3", "is no time");
  bad("--interface e --interval 1m --count 1 --priorities 3", "--interval: '1m' is no time");
  bad("--interface e --rate 100Gbit --count 1 --priorities 3", "'100Gbit' is no rate");
  bad("--interface e --rate 0 --count 1 --priorities 3", "'0' is no rate");
  bad("--interface e --vector 0x10000 --count 1 --priorities 3", "no vector of 16 bits");
  bad("--interface e --start-at soon --count 1 --priorities 3", "is no time of CLOCK_MONOTONIC");
  bad("--interface e --end xof --count 1 --priorities 3", "neither xon nor none");
  bad("--interface e --source 02:00:00:00:00 --count 1 --priorities 3", "is no MAC address");
  bad("--interface e --source 02:00:00:00:00:0g --count 1 --priorities 3", "is no MAC address");
  bad("--interface e --source 02:00:00:00:00.01 --count 1 --priorities 3", "is no MAC address");
}

TEST(pause_certificate_counts_what_lies_between_frames)
{
  struct pause_certificate c = {.quanta_ns = 100};
  pause_certificate_close(&c, 5000); /* nothing was sent: nothing was held */
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)0);
  pause_certificate_sent(&c, 1000, 1010);
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)0);
  pause_certificate_sent(&c, 1050, 1060); /* from before the first call to after the second */
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)60);
  ASSERT_EQ(c.largest_gap_at_ns, (uint64_t)1000);
  pause_certificate_sent(&c, 1100, 1150);
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)100);
  ASSERT_EQ(c.gaps_over_quanta, (uint64_t)0); /* exactly the pause is no gap */
  pause_certificate_sent(&c, 1190, 1201);
  ASSERT_EQ(c.gaps_over_quanta, (uint64_t)1);
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)101);
  pause_certificate_sent(&c, 1210, 1300); /* stopped within the call */
  ASSERT_EQ(c.gaps_over_quanta, (uint64_t)2);
  ASSERT_EQ(c.first_ns, (uint64_t)1010);
  ASSERT_EQ(c.last_ns, (uint64_t)1300);
  ASSERT_EQ(c.frames, (uint64_t)5);
}

TEST(pause_certificate_counts_the_time_to_the_end)
{
  struct pause_certificate c = {.quanta_ns = 100};
  pause_certificate_sent(&c, 1000, 1001);
  pause_certificate_close(&c, 1100);
  ASSERT_EQ(c.gaps_over_quanta, (uint64_t)0);
  pause_certificate_close(&c, 1101);
  ASSERT_EQ(c.gaps_over_quanta, (uint64_t)1);
  c = (struct pause_certificate){.quanta_ns = 100};
  pause_certificate_sent(&c, 1000, 1001);
  pause_certificate_close(&c, 900); /* an end before the last frame leaves nothing */
  ASSERT_EQ(c.largest_gap_ns, (uint64_t)0);
}
