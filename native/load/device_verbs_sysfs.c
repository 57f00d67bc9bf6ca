/* What sysfs tells of RDMA devices; the rules are those of the agent's sysfs.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_verbs.h"

static bool path_of(const char *root, const char *device, const char *file, char *path, size_t size)
{
  int n = snprintf(path, size, "%s/class/infiniband/%s/%s", root, device, file);
  return n > 0 && (size_t)n < size;
}

bool load_sysfs_text(const char *root, const char *device, const char *file, char *text, size_t size)
{
  char path[512];
  if (!path_of(root, device, file, path, sizeof path))
    return false;
  FILE *in = fopen(path, "re");
  if (in == NULL)
    return false;
  bool good = fgets(text, (int)size, in) != NULL; /* some files of entries not in use give EINVAL */
  fclose(in);
  if (good)
    text[strcspn(text, "\n")] = '\0';
  return good;
}

static bool exists(const char *root, const char *device, const char *file)
{
  char path[512];
  return path_of(root, device, file, path, sizeof path) && access(path, F_OK) == 0;
}

int load_sysfs_numa_node(const char *root, const char *device)
{
  char text[32];
  if (!load_sysfs_text(root, device, "device/numa_node", text, sizeof text))
    return -1;
  char *end = NULL;
  long node = strtol(text, &end, 10);
  return end != text && node >= 0 && node < 1024 ? (int)node : -1; /* kernels say -1 themselves when they do not know */
}

bool load_sysfs_software(const char *root, const char *device)
{
  return !exists(root, device, "device/driver") && exists(root, device, "parent");
}

uint64_t load_sysfs_rate(const char *root, const char *device, unsigned port)
{
  char file[64];
  char text[64];
  snprintf(file, sizeof file, "ports/%u/rate", port);
  if (!load_sysfs_text(root, device, file, text, sizeof text))
    return 0;
  char *end = NULL;
  double gbps = strtod(text, &end);
  return end != text && strncmp(end, " Gb/sec", 7) == 0 && gbps > 0 ? (uint64_t)(gbps * 1e9) : 0;
}
