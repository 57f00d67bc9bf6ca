/* Choosing the GID of a port by what it is, as the agent's gids.py: the same index means different addresses on
 * different hosts. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_verbs.h"

enum { MOST = 2047 };                 /* entries asked for: what fits the 16-bit length of a uverbs attribute */
enum rank { IPV4, IPV6, LINK_LOCAL }; /* in the order of preference */

static enum rank rank_of(const uint8_t raw[16])
{
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  if (memcmp(raw, mapped, sizeof mapped) == 0)
    return IPV4;
  return raw[0] == 0xfe && (raw[1] & 0xc0) == 0x80 ? LINK_LOCAL : IPV6;
}

const char *load_gid_family(const uint8_t raw[16])
{
  static const char *const names[] = {[IPV4] = "ipv4", [IPV6] = "ipv6", [LINK_LOCAL] = "link_local"};
  return names[rank_of(raw)];
}

static bool fulfils(const struct load_gid_entry *entry, const struct load_gid_wish *wish)
{
  if (wish->index >= 0)
    return entry->index == (uint32_t)wish->index;
  bool family = wish->family == NULL || strcmp(wish->family, load_gid_family(entry->gid.raw)) == 0;
  return family && wish->v2 == (entry->type == LOAD_GID_ROCE_V2);
}

const struct load_gid_entry *load_gid_choose(const struct load_gid_entry *table, size_t n,
                                             const struct load_gid_wish *wish)
{
  const struct load_gid_entry *best = NULL;
  for (const struct load_gid_entry *entry = table; entry < table + n; entry++) {
    if (!fulfils(entry, wish))
      continue;
    int better = best == NULL ? -1 : (int)rank_of(entry->gid.raw) - (int)rank_of(best->gid.raw);
    if (better < 0 || (better == 0 && entry->index < best->index))
      best = entry;
  }
  return best;
}

/* Type, family, address and network device of an entry. */
static int entry_words(const struct load_gid_entry *entry, char *text, size_t size)
{
  char address[INET6_ADDRSTRLEN] = "?";
  char netdev[IF_NAMESIZE] = "?";
  const uint8_t *raw = entry->gid.raw;
  if (rank_of(raw) == IPV4)
    inet_ntop(AF_INET, raw + 12, address, sizeof address);
  else
    inet_ntop(AF_INET6, raw, address, sizeof address);
  if (entry->ndev != 0 && if_indextoname(entry->ndev, netdev) == NULL)
    snprintf(netdev, sizeof netdev, "?");
  return snprintf(text, size, "%u: %s %s %s on %s", entry->index,
                  entry->type == LOAD_GID_ROCE_V2 ? "RoCE v2" : "IB/RoCE v1", load_gid_family(raw), address, netdev);
}

void load_gid_words(const struct load_gid_entry *table, size_t n, char *text, size_t size)
{
  size_t used = 0;
  snprintf(text, size, "none");
  for (size_t i = 0; i < n; i++) {
    char words[128];
    size_t length = (size_t)entry_words(&table[i], words, sizeof words);
    if (used + length + sizeof ", and more" > size) {
      snprintf(text + used, size - used, "%s", i == 0 ? "" : ", and more");
      return;
    }
    used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", words);
  }
}

static bool fail_no_gid(const struct load_device *device, uint8_t port, const struct load_gid_wish *wish,
                        const struct load_gid_entry *table, size_t n, struct load_error *e)
{
  char there[200];
  load_gid_words(table, n, there, sizeof there);
  if (wish->index >= 0)
    return load_fail(e, LOAD_NO_GID, "%s port %u: no GID with index %d; there is %s", device->name, port, wish->index,
                     there);
  return load_fail(e, LOAD_NO_GID, "%s port %u: no GID with %s, %s; there is %s", device->name, port,
                   wish->v2 ? "RoCE v2" : "IB/RoCE v1", wish->family == NULL ? "any family" : wish->family, there);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

typedef ssize_t query_table_fn(struct ibv_context *context, struct load_gid_entry *entries, size_t most, uint32_t flags,
                               size_t entry_size);

/* Behind ibv_query_gid_table(): libraries before rdma-core 32 lack it, and a program linked with it would not start. */
static query_table_fn *query_table(void)
{
  void *symbol = dlsym(RTLD_DEFAULT, "_ibv_query_gid_table");
  query_table_fn *function = NULL;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

/* One entry, from sysfs what libibverbs of that age does not tell. */
static bool read_entry(const struct load_device *device, uint8_t port, uint32_t index, struct load_gid_entry *out)
{
  static const union ibv_gid unused;
  char file[64];
  char text[64];
  *out = (struct load_gid_entry){.index = index, .port = port};
  if (ibv_query_gid(load_verbs_of(device)->context, port, (int)index, &out->gid) != 0 ||
      memcmp(&out->gid, &unused, sizeof unused) == 0)
    return false;
  snprintf(file, sizeof file, "ports/%u/gid_attrs/types/%u", port, index);
  if (!load_sysfs_text("/sys", device->name, file, text, sizeof text))
    return false;
  out->type = strcmp(text, "RoCE v2") == 0 ? LOAD_GID_ROCE_V2 : LOAD_GID_ROCE_V1;
  snprintf(file, sizeof file, "ports/%u/gid_attrs/ndevs/%u", port, index);
  if (load_sysfs_text("/sys", device->name, file, text, sizeof text))
    out->ndev = if_nametoindex(text);
  return true;
}

static size_t read_entries(const struct load_device *device, uint8_t port, struct load_gid_entry *table)
{
  struct ibv_port_attr attr;
  memset(&attr, 0, sizeof attr);
  if (ibv_query_port(load_verbs_of(device)->context, port, &attr) != 0 || attr.gid_tbl_len <= 0)
    return 0;
  size_t n = 0;
  for (uint32_t i = 0; i < (uint32_t)attr.gid_tbl_len && n < MOST; i++)
    n += read_entry(device, port, i, &table[n]) ? 1 : 0;
  return n;
}

/* Entries of the port that are in use; `table` has room for MOST. */
static size_t read_table(const struct load_device *device, uint8_t port, struct load_gid_entry *table)
{
  query_table_fn *query = query_table();
  ssize_t n = query == NULL ? -1 : query(load_verbs_of(device)->context, table, MOST, 0, sizeof *table);
  if (n < 0)
    return read_entries(device, port, table);
  size_t kept = 0;
  for (size_t i = 0; i < (size_t)n; i++) {
    if (table[i].port == port)
      table[kept++] = table[i];
  }
  return kept;
}

bool load_verbs_gid(struct load_device *device, uint8_t port, const struct load_gid_wish *wish, struct load_gid *out,
                    struct load_error *e)
{
  struct load_gid_entry *table = calloc(MOST, sizeof *table);
  if (table == NULL)
    return load_fail_os(e, ENOMEM, "%s port %u: its GIDs", device->name, port);
  size_t n = read_table(device, port, table);
  const struct load_gid_entry *chosen = load_gid_choose(table, n, wish);
  if (chosen == NULL) {
    fail_no_gid(device, port, wish, table, n, e);
  } else {
    *out = (struct load_gid){
        .index = chosen->index, .v2 = chosen->type == LOAD_GID_ROCE_V2, .family = load_gid_family(chosen->gid.raw)};
    memcpy(out->raw, chosen->gid.raw, sizeof out->raw);
  }
  free(table);
  return chosen != NULL;
}
