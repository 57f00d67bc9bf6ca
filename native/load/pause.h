/* `roce-load pause`: pause frames on a wire, paced, with a certificate of the gaps between them.
 *
 * IEEE 802.1Qbb (802.1Q clause 36) and IEEE 802.3 Annex 31B. Nothing here needs libibverbs.
 */
#ifndef ROCE_LOAD_PAUSE_H
#define ROCE_LOAD_PAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `roce-load pause …`, argv[0] being "pause". Returns the exit status: 0 good, 1 failed (with a result), 2 bad
 * arguments. */
int pause_main(int argc, char **argv);

enum {
  PAUSE_FRAME_BYTES = 60, /* the least of Ethernet, without its check sequence (802.3 clause 4.4.2) */
  PAUSE_PRIORITIES = 8,
  PAUSE_MAX_KINDS = 16,
  PAUSE_MAC_BYTES = 6,
  PAUSE_NAME_BYTES = 16, /* IFNAMSIZ */
};

enum pause_kind {
  PAUSE_PFC,         /* 802.1Qbb: pauses the priorities */
  PAUSE_XON,         /* 802.1Qbb: enabled priorities with a time of 0, which ends their pause */
  PAUSE_ZERO_QUANTA, /* the same bytes, as a frame that must pause nothing */
  PAUSE_DISABLED,    /* 802.1Qbb: times without their enable bits, which must be ignored */
  PAUSE_GLOBAL,      /* 802.3x: pauses the whole link */
};

/* What one frame says; quanta[0] alone counts with 802.3x. */
struct pause_frame {
  uint16_t opcode;
  uint16_t vector;
  uint16_t quanta[PAUSE_PRIORITIES];
};

struct pause_options {
  const char *interface;
  enum pause_kind kinds[PAUSE_MAX_KINDS]; /* sent in turns */
  unsigned n_kinds;
  uint8_t order[PAUSE_PRIORITIES]; /* priorities as they were named */
  unsigned n_priorities;
  uint16_t quanta[PAUSE_PRIORITIES]; /* by priority; by 0 when none was named */
  bool has_vector;
  uint16_t vector;                        /* instead of the bits of the priorities */
  uint64_t rate_bps, rate_if_unknown_bps; /* 0: not given */
  uint64_t duration_ns, interval_ns;      /* 0: not given */
  uint64_t count;                         /* 0: not given */
  bool start_from_stdin;                  /* a line there says it */
  uint64_t start_at_ns;                   /* CLOCK_MONOTONIC; 0: now */
  bool has_source;
  uint8_t source[PAUSE_MAC_BYTES];
  bool xon_at_end, owned, dry_run, probe, until_stdin_closes, help;
};

/* --- options: pause_options.c ------------------------------------------------------------------------------------ */

/* Reads the arguments after argv[0]; strings stay those of argv. False with what is wrong in `problem`. */
bool pause_options_read(struct pause_options *o, int argc, char **argv, char *problem, size_t size);
const char *pause_kind_name(enum pause_kind kind);
/* The text of --help. */
const char *pause_usage(void);

/* --- frames: pause_frame.c --------------------------------------------------------------------------------------- */

struct pause_frame pause_frame_of(enum pause_kind kind, const struct pause_options *o);
/* What ends the pauses of a frame: the same priorities with a time of 0. */
struct pause_frame pause_frame_xon(const struct pause_frame *f);
/* The bytes of a frame, padded. */
void pause_frame_write(uint8_t out[PAUSE_FRAME_BYTES], const uint8_t source[PAUSE_MAC_BYTES],
                       const struct pause_frame *f);
/* The shortest time that a frame pauses something it names, in quanta; 0 when it pauses nothing. */
uint16_t pause_frame_least(const struct pause_frame *f);
/* Time of some quanta of 512 bit times (802.3 Annex 31B.2), rounded down. */
uint64_t pause_quanta_ns(uint16_t quanta, uint64_t rate_bps);

/* Frames sent in turns, and those that end what they paused. */
struct pause_plan {
  uint8_t frames[PAUSE_MAX_KINDS][PAUSE_FRAME_BYTES];
  unsigned n_frames;
  uint8_t ends[2][PAUSE_FRAME_BYTES]; /* 802.1Qbb, 802.3x */
  unsigned n_ends;
  bool holds;         /* every frame pauses the same, so that there is a pause to certify */
  uint64_t quanta_ns; /* the shortest pause of a frame; of the quanta as given when no frame pauses */
  uint64_t interval_ns;
};

void pause_plan_make(struct pause_plan *p, const struct pause_options *o, const uint8_t source[PAUSE_MAC_BYTES],
                     uint64_t rate_bps);

/* --- interface: pause_device.c ----------------------------------------------------------------------------------- */

struct pause_device {
  char name[PAUSE_NAME_BYTES];
  int index;
  uint8_t mac[PAUSE_MAC_BYTES];
  uint64_t link_bps; /* 0: the device does not say */
};

/* False with what is wrong in `problem`: no such interface, no Ethernet. */
bool pause_device_look(struct pause_device *d, const char *name, char *problem, size_t size);
/* A socket that sends frames on the interface and receives nothing; -1 with what is wrong. The caller closes it. */
int pause_device_open(const struct pause_device *d, char *problem, size_t size);
/* What the kernel counted in sending; false when it does not say (the interface is gone). */
bool pause_device_counters(const struct pause_device *d, uint64_t *errors, uint64_t *dropped);

/* --- certificate: pause_certificate.c ---------------------------------------------------------------------------- */

/* What the sender can vouch for. A gap runs from just before the call that sent one frame to the return of the call
 * that sent the next: the frames were no farther apart than that, if the device sends what it took at once. */
struct pause_certificate {
  uint64_t quanta_ns;
  uint64_t frames;
  uint64_t first_ns, last_ns; /* return of the first and the last call */
  uint64_t held_ns;           /* just before the last call */
  uint64_t largest_gap_ns, largest_gap_at_ns;
  uint64_t gaps_over_quanta;
};

void pause_certificate_sent(struct pause_certificate *c, uint64_t before_ns, uint64_t after_ns);
/* The pause was to last until `end_ns`; the time since the last frame is a gap, too. */
void pause_certificate_close(struct pause_certificate *c, uint64_t end_ns);

/* --- sending: pause_send.c --------------------------------------------------------------------------------------- */

struct pause_run {
  const struct pause_options *options;
  const struct pause_plan *plan;
  const struct pause_device *device;
  int socket;
  struct pause_certificate certificate;
  uint64_t asked_ns; /* how long the pause was to last; 0: until somebody ends it */
  uint64_t start_late_ns;
  uint64_t frames_failed; /* given up: the device took none until the next was due */
  uint64_t retries;       /* refused for want of room, and tried again */
  uint64_t missed;        /* instants that passed without a frame */
  uint64_t late;          /* frames that were out more than half an interval after they were due */
  uint64_t latest_ns;     /* the most that a frame was late */
  uint64_t xon_ns;        /* when the frames that end the pause were out; 0: they were not sent */
  bool stopped;           /* by a signal, or by the end of standard input */
  bool real_time;
  char error[256];
};

/* Sends until the end, a signal (SIGINT, SIGTERM, SIGHUP) or an error; then ends the pause if that is wanted. */
void pause_send(struct pause_run *r);

#endif
