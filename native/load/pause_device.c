/* The network interface: what it is, and a socket that sends frames on it. */
#include "pause.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES = 512 };

#define PROC_NET_DEV "/proc/self/net/dev" /* of this network namespace, which /sys/class/net need not be */

_Static_assert((int)PAUSE_NAME_BYTES == (int)IFNAMSIZ, "an interface name");

/* What the driver says of the link; 0 when it does not know. */
static uint64_t link_rate(int fd, const struct pause_device *d)
{
  struct ethtool_cmd settings = {.cmd = ETHTOOL_GSET};
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, d->name, sizeof d->name);
  request.ifr_data = (char *)&settings;
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) {
    return 0;
  }
  uint32_t mbps = (uint32_t)settings.speed_hi << 16 | settings.speed; /* ethtool_cmd_speed() shifts an int */
  bool known = mbps != 0 && mbps != UINT32_MAX && mbps != UINT16_MAX; /* SPEED_UNKNOWN, and as 16 bits */
  return known ? (uint64_t)mbps * 1000000 : 0;
}

/* "no interface 'x'; there are a, b" */
static void say_absent(const char *name, char *problem, size_t size)
{
  int n = snprintf(problem, size, "there is no interface '%s'", name);
  struct if_nameindex *all = if_nameindex();
  for (struct if_nameindex *i = all; i != NULL && i->if_name != NULL && n > 0 && (size_t)n < size; i++) {
    n += snprintf(problem + n, size - (size_t)n, "%s%s", i == all ? "; there are " : ", ", i->if_name);
  }
  if (all != NULL) {
    if_freenameindex(all);
  }
}

static bool look_with(int fd, struct pause_device *d, char *problem, size_t size)
{
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, d->name, sizeof request.ifr_name);
  if (ioctl(fd, SIOCGIFINDEX, &request) != 0) {
    say_absent(d->name, problem, size);
    return false;
  }
  d->index = request.ifr_ifindex;
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) {
    snprintf(problem, size, "%s: its hardware address: %s", d->name, strerror(errno));
    return false;
  }
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    snprintf(problem, size, "%s is no Ethernet interface (link type %d): it has no pause frames", d->name,
             (int)request.ifr_hwaddr.sa_family);
    return false;
  }
  memcpy(d->mac, request.ifr_hwaddr.sa_data, PAUSE_MAC_BYTES);
  return true;
}

bool pause_device_look(struct pause_device *d, const char *name, char *problem, size_t size)
{
  *d = (struct pause_device){.index = 0};
  if (strlen(name) >= sizeof d->name || strchr(name, '/') != NULL) {
    say_absent(name, problem, size);
    return false;
  }
  snprintf(d->name, sizeof d->name, "%s", name);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any socket answers for interfaces */
  if (fd < 0) {
    snprintf(problem, size, "cannot look at interfaces: %s", strerror(errno));
    return false;
  }
  bool found = look_with(fd, d, problem, size);
  if (found) {
    d->link_bps = link_rate(fd, d);
  }
  close(fd);
  return found;
}

bool pause_device_counters(const struct pause_device *d, uint64_t *errors, uint64_t *dropped)
{
  FILE *file = fopen(PROC_NET_DEV, "r");
  char line[LINE_BYTES];
  bool found = false;
  while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
    char *name = line + strspn(line, " ");
    char *colon = strchr(name, ':');
    if (colon != NULL && (size_t)(colon - name) == strlen(d->name) && strncmp(name, d->name, strlen(d->name)) == 0) {
      /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers */
      found = sscanf(colon + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, errors, dropped) == 2;
    }
  }
  if (file != NULL) {
    fclose(file);
  }
  return found;
}

static void say_refused(const struct pause_device *d, int number, char *problem, size_t size)
{
  bool denied = number == EPERM || number == EACCES;
  snprintf(problem, size, "cannot open a packet socket on %s: %s%s", d->name, strerror(number),
           denied ? "; it needs root, or CAP_NET_RAW: setcap cap_net_raw+ep roce-load" : "");
}

int pause_device_open(const struct pause_device *d, char *problem, size_t size)
{
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0 receives nothing */
  if (fd < 0) {
    say_refused(d, errno, problem, size);
    return -1;
  }
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = d->index};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    say_refused(d, errno, problem, size);
    close(fd);
    return -1;
  }
  /* Straight to the driver: no queueing discipline holds a frame back unseen. Where that cannot be, without. */
  int on = 1;
  (void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  return fd;
}
