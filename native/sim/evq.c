#include "evq.h"

#include <stdlib.h>
#include <string.h>

struct evq *evq_new(uint32_t cap_slots, uint64_t horizon_ps)
{
  struct evq *q = calloc(1, sizeof *q);
  if (q == NULL)
    return NULL;
  q->cap_slots = q->cap_active = q->cap_far = cap_slots + 1;
  q->slots = calloc(q->cap_slots, sizeof *q->slots);
  q->active = malloc(q->cap_active * sizeof *q->active);
  q->scratch = malloc(q->cap_active * sizeof *q->scratch);
  q->far = malloc(q->cap_far * sizeof *q->far);
  memset(q->head, 0xff, sizeof q->head);
  q->width_bits = 5;
  while (q->width_bits < 40 && ((uint64_t)EVQ_BUCKETS << q->width_bits) < horizon_ps)
    q->width_bits++;
  if (q->slots == NULL || q->active == NULL || q->scratch == NULL || q->far == NULL) {
    evq_free(q);
    return NULL;
  }
  return q;
}

void evq_free(struct evq *q)
{
  if (q == NULL)
    return;
  free(q->slots);
  free(q->active);
  free(q->scratch);
  free(q->far);
  free(q);
}

uint32_t evq_add_slot(struct evq *q, uint8_t kind, uint32_t obj)
{
  uint32_t slot = q->n_slots++;
  q->slots[slot] = (struct evq_slot){.next = EVQ_NONE, .obj = obj, .kind = kind};
  return slot;
}

static inline bool before(const struct evq_entry *a, const struct evq_entry *b)
{
  return a->time < b->time || (a->time == b->time && a->order < b->order);
}

/* The far heap: a plain 4-ary min-heap of entries. */
static void far_push(struct evq *q, struct evq_entry e)
{
  uint32_t i = q->n_far++;
  while (i > 0) {
    uint32_t parent = (i - 1) / 4;
    if (!before(&e, &q->far[parent]))
      break;
    q->far[i] = q->far[parent];
    i = parent;
  }
  q->far[i] = e;
}

static uint32_t far_least_child(const struct evq *q, uint32_t i)
{
  uint32_t first = 4 * i + 1, best = first;
  uint32_t end = first + 4 < q->n_far ? first + 4 : q->n_far;
  for (uint32_t c = first + 1; c < end; c++)
    if (before(&q->far[c], &q->far[best]))
      best = c;
  return best;
}

static struct evq_entry far_pop(struct evq *q)
{
  struct evq_entry top = q->far[0], last = q->far[--q->n_far];
  uint32_t i = 0;
  while (4 * i + 1 < q->n_far) {
    uint32_t c = far_least_child(q, i);
    if (!before(&q->far[c], &last))
      break;
    q->far[i] = q->far[c];
    i = c;
  }
  q->far[i] = last;
  return top;
}

/* Inserts into the current bucket, kept latest first so that the next event is at the end. */
static void active_insert(struct evq *q, struct evq_entry e)
{
  uint32_t i = q->n_active++;
  while (i > 0 && before(&q->active[i - 1], &e)) {
    q->active[i] = q->active[i - 1];
    i--;
  }
  q->active[i] = e;
}

void evq_arm(struct evq *q, uint32_t slot, uint64_t time, uint64_t order)
{
  struct evq_slot *s = &q->slots[slot];
  s->time = time;
  s->order = order;
  s->armed = true;
  uint64_t bucket = time >> q->width_bits;
  if (bucket <= q->current) {
    active_insert(q, (struct evq_entry){time, order, slot});
  } else if (bucket - q->current < EVQ_BUCKETS) {
    uint32_t b = (uint32_t)bucket & (EVQ_BUCKETS - 1);
    s->next = q->head[b];
    q->head[b] = slot;
    q->occupied[b / 64] |= 1ull << (b % 64);
    q->summary[b / 4096] |= 1ull << (b / 64 % 64);
    q->n_wheel++;
  } else {
    far_push(q, (struct evq_entry){time, order, slot});
  }
}

/* Takes the entry of `slot` out of an array that stays in order; false when it is not there. */
static bool remove_entry(struct evq_entry *entries, uint32_t *n, uint32_t slot)
{
  for (uint32_t i = 0; i < *n; i++) {
    if (entries[i].slot != slot)
      continue;
    memmove(&entries[i], &entries[i + 1], (*n - i - 1) * sizeof *entries);
    (*n)--;
    return true;
  }
  return false;
}

static bool remove_from_bucket(struct evq *q, uint32_t b, uint32_t slot)
{
  for (uint32_t *link = &q->head[b]; *link != EVQ_NONE; link = &q->slots[*link].next) {
    if (*link != slot)
      continue;
    *link = q->slots[slot].next;
    q->n_wheel--;
    if (q->head[b] == EVQ_NONE) {
      q->occupied[b / 64] &= ~(1ull << (b % 64));
      if (q->occupied[b / 64] == 0)
        q->summary[b / 4096] &= ~(1ull << (b / 64 % 64));
    }
    return true;
  }
  return false;
}

/* Takes entry i out of the far heap: the last one takes its place and moves up or down. */
static void far_remove(struct evq *q, uint32_t i)
{
  struct evq_entry last = q->far[--q->n_far];
  if (i == q->n_far)
    return;
  while (i > 0 && before(&last, &q->far[(i - 1) / 4])) {
    q->far[i] = q->far[(i - 1) / 4];
    i = (i - 1) / 4;
  }
  while (4 * i + 1 < q->n_far) {
    uint32_t c = far_least_child(q, i);
    if (!before(&q->far[c], &last))
      break;
    q->far[i] = q->far[c];
    i = c;
  }
  q->far[i] = last;
}

void evq_disarm(struct evq *q, uint32_t slot)
{
  struct evq_slot *s = &q->slots[slot];
  if (!s->armed)
    return;
  s->armed = false;
  if (remove_entry(q->active, &q->n_active, slot))
    return;
  uint32_t b = (uint32_t)(s->time >> q->width_bits) & (EVQ_BUCKETS - 1);
  if (remove_from_bucket(q, b, slot))
    return;
  for (uint32_t i = 0; i < q->n_far; i++) {
    if (q->far[i].slot == slot) {
      far_remove(q, i);
      return;
    }
  }
}

/* Index of the first occupied bucket at or after `b`, without wrapping; EVQ_NONE when there is none. */
static uint32_t occupied_from(const struct evq *q, uint32_t b)
{
  uint64_t word = q->occupied[b / 64] & (~0ull << (b % 64));
  if (word != 0)
    return (b & ~63u) | (uint32_t)__builtin_ctzll(word);
  uint32_t w = b / 64 + 1;
  while (w < EVQ_BUCKETS / 64) {
    uint64_t sum = q->summary[w / 64] & (~0ull << (w % 64));
    if (sum != 0) {
      w = (w & ~63u) | (uint32_t)__builtin_ctzll(sum);
      return w * 64 + (uint32_t)__builtin_ctzll(q->occupied[w]);
    }
    w = (w & ~63u) + 64;
  }
  return EVQ_NONE;
}

/* Absolute number of the next occupied bucket; only when n_wheel > 0. */
static uint64_t next_bucket(const struct evq *q)
{
  uint32_t here = (uint32_t)q->current & (EVQ_BUCKETS - 1);
  uint32_t b = here + 1 < EVQ_BUCKETS ? occupied_from(q, here + 1) : EVQ_NONE;
  if (b == EVQ_NONE)
    b = occupied_from(q, 0);
  return q->current + ((b - here) & (EVQ_BUCKETS - 1));
}

static void merge_runs(const struct evq_entry *src, struct evq_entry *dst, uint32_t lo, uint32_t mid, uint32_t hi)
{
  uint32_t i = lo, j = mid;
  for (uint32_t k = lo; k < hi; k++)
    dst[k] = j >= hi || (i < mid && before(&src[j], &src[i])) ? src[i++] : src[j++];
}

/* Sorts the gathered bucket latest first; mostly it is so already, because lists are last in, first out. */
static void sort_active(struct evq *q)
{
  uint32_t n = q->n_active;
  uint32_t i = 1;
  while (i < n && before(&q->active[i], &q->active[i - 1]))
    i++;
  if (i >= n)
    return;
  if (n <= 24) {
    q->n_active = i;
    for (; i < n; i++)
      active_insert(q, q->active[i]);
    return;
  }
  for (uint32_t width = 1; width < n; width *= 2) {
    for (uint32_t lo = 0; lo < n; lo += 2 * width) {
      uint32_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
      merge_runs(q->active, q->scratch, lo, mid, hi);
    }
    struct evq_entry *t = q->active;
    q->active = q->scratch;
    q->scratch = t;
  }
}

static void open_bucket(struct evq *q, uint64_t bucket)
{
  uint32_t b = (uint32_t)bucket & (EVQ_BUCKETS - 1);
  q->current = bucket;
  for (uint32_t slot = q->head[b]; slot != EVQ_NONE; slot = q->slots[slot].next) {
    const struct evq_slot *s = &q->slots[slot];
    q->active[q->n_active++] = (struct evq_entry){s->time, s->order, slot};
  }
  q->n_wheel -= q->n_active;
  q->head[b] = EVQ_NONE;
  q->occupied[b / 64] &= ~(1ull << (b % 64));
  if (q->occupied[b / 64] == 0)
    q->summary[b / 4096] &= ~(1ull << (b / 64 % 64));
  sort_active(q);
}

/* Fills `active` from the wheel unless the far heap is due before the next bucket begins. */
static void advance(struct evq *q)
{
  if (q->n_wheel > 0) {
    uint64_t bucket = next_bucket(q);
    if (q->n_far == 0 || q->far[0].time >> q->width_bits >= bucket) {
      open_bucket(q, bucket);
      return;
    }
  }
  if (q->n_far > 0)
    q->current = q->far[0].time >> q->width_bits;
}

static inline bool far_is_next(const struct evq *q)
{
  return q->n_far > 0 && (q->n_active == 0 || before(&q->far[0], &q->active[q->n_active - 1]));
}

uint64_t evq_peek_time(struct evq *q)
{
  if (q->n_active == 0)
    advance(q);
  if (far_is_next(q))
    return q->far[0].time;
  return q->n_active > 0 ? q->active[q->n_active - 1].time : EVQ_NEVER;
}

uint32_t evq_pop(struct evq *q)
{
  if (q->n_active == 0)
    advance(q);
  uint32_t slot;
  if (far_is_next(q))
    slot = far_pop(q).slot;
  else if (q->n_active > 0)
    slot = q->active[--q->n_active].slot;
  else
    return EVQ_NONE;
  q->slots[slot].armed = false;
  return slot;
}
