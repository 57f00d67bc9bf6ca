/* The event queue: a wheel of narrow time buckets for the near future and a 4-ary heap for the far.
 *
 * An event is a preallocated slot (one per thing that can happen: "port 7 ends its transmission"), so nothing is
 * allocated while the simulation runs and a slot is pending at most once. Events fire in the order of
 * (time, order); `order` is a number handed out when the event is *decided*, which keeps ties in a fixed, explainable order.
 */
#ifndef ROCE_SIM_EVQ_H
#define ROCE_SIM_EVQ_H

#include <stdbool.h>
#include <stdint.h>

#define EVQ_NONE UINT32_MAX
#define EVQ_NEVER UINT64_MAX

enum { EVQ_BUCKET_BITS = 14, EVQ_BUCKETS = 1 << EVQ_BUCKET_BITS };

struct evq_slot {
  uint64_t time;  /* ps; valid while armed */
  uint64_t order; /* tie-break among equal times */
  uint32_t next;  /* bucket list */
  uint32_t obj;   /* what the event is about: port, side, switch … */
  uint8_t kind;   /* enum sim_event, the caller's */
  bool armed;
};

struct evq_entry {
  uint64_t time, order;
  uint32_t slot;
};

struct evq {
  struct evq_slot *slots;
  uint32_t n_slots, cap_slots;
  uint32_t width_bits; /* a bucket is 2^width_bits ps wide */
  uint64_t current;    /* absolute number of the bucket in `active` */
  struct evq_entry *active, *scratch; /* events of the current bucket, latest first */
  uint32_t n_active, cap_active;
  struct evq_entry *far;
  uint32_t n_far, cap_far;
  uint32_t n_wheel; /* events in buckets after the current one */
  uint64_t summary[EVQ_BUCKETS / 64 / 64];
  uint64_t occupied[EVQ_BUCKETS / 64];
  uint32_t head[EVQ_BUCKETS];
};

/* Makes an empty queue for at most `cap_slots` slots. `horizon_ps` is how far ahead most events are scheduled.
 * Returns NULL when memory is short. */
struct evq *evq_new(uint32_t cap_slots, uint64_t horizon_ps);
void evq_free(struct evq *q);

/* Adds an event slot and returns its number. */
uint32_t evq_add_slot(struct evq *q, uint8_t kind, uint32_t obj);

/* Arms a slot that is not armed. `time` must not lie before the event that fired last. */
void evq_arm(struct evq *q, uint32_t slot, uint64_t time, uint64_t order);

/* Takes an armed slot out again. Costs a search; for deadlines that move closer, which is rare. */
void evq_disarm(struct evq *q, uint32_t slot);

/* Takes the earliest event out; EVQ_NONE when there is none. */
uint32_t evq_pop(struct evq *q);

/* Time of the earliest event, EVQ_NEVER when there is none. */
uint64_t evq_peek_time(struct evq *q);

#endif
