/* Asynchronous events of a device that say that something is no longer well. */
#include <stdio.h>

#include "device_verbs.h"

enum about { DEVICE, PORT, QP, CQ, SRQ };
struct bad {
  enum ibv_event_type type;
  const char *name;
  enum about about;
  bool fatal; /* for all of the device's traffic, not only for one QP, or until a port comes back */
};

/* Those left out are good news (COMM_EST, PORT_ACTIVE, SQ_DRAINED …) or told by completions as well. */
static const struct bad *bad_of(enum ibv_event_type type)
{
  static const struct bad all[] = {
      {IBV_EVENT_CQ_ERR, "CQ_ERR", CQ, true}, /* overrun: completions are lost */
      {IBV_EVENT_QP_FATAL, "QP_FATAL", QP, false},
      {IBV_EVENT_QP_REQ_ERR, "QP_REQ_ERR", QP, false},
      {IBV_EVENT_QP_ACCESS_ERR, "QP_ACCESS_ERR", QP, false},
      {IBV_EVENT_PATH_MIG_ERR, "PATH_MIG_ERR", QP, false},
      {IBV_EVENT_DEVICE_FATAL, "DEVICE_FATAL", DEVICE, true},
      {IBV_EVENT_PORT_ERR, "PORT_ERR", PORT, false},
      {IBV_EVENT_SRQ_ERR, "SRQ_ERR", SRQ, true},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (all[i].type == type)
      return &all[i];
  }
  return NULL;
}

static void describe(const struct bad *bad, const struct ibv_async_event *event, char *text, size_t size)
{
  switch (bad->about) {
  case QP:
    snprintf(text, size, "%s QP %u", bad->name, event->element.qp->qp_num);
    return;
  case PORT:
    snprintf(text, size, "%s %d", bad->name, event->element.port_num);
    return;
  case DEVICE:
  case CQ:
  case SRQ:
    snprintf(text, size, "%s", bad->name);
    return;
  }
}

bool load_verbs_event_words(const struct ibv_async_event *event, char *text, size_t size, bool *fatal)
{
  const struct bad *bad = bad_of(event->event_type);
  if (bad == NULL)
    return false;
  describe(bad, event, text, size);
  *fatal = bad->fatal;
  return true;
}

bool load_verbs_async_event(struct load_device *device, char *text, size_t size, bool *fatal)
{
  struct ibv_async_event event;
  bool bad = false;
  while (!bad && ibv_get_async_event(load_verbs_of(device)->context, &event) == 0) {
    bad = load_verbs_event_words(&event, text, size, fatal);
    ibv_ack_async_event(&event); /* a QP is not destroyed before its events are acknowledged */
  }
  return bad;
}
