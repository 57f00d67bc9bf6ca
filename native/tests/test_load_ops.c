/* The verbs of the generator: what each is, how its work requests are aimed, and that the agent knows the same. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/op.h"
#include "load/payload.h"
#include "test.h"

#define FLOW_PY ROCE_TEST_DATA "/../../harness/hosts/agent/flow.py"
#define WIRE_PY ROCE_TEST_DATA "/../../harness/hosts/agent/wire.py"

static const struct load_op *op(const char *name)
{
  const struct load_op *found = load_op_named(name, strlen(name));
  if (found == NULL)
    test_fail(__FILE__, __LINE__, "no op is called %s", name);
  return found;
}

/* What stands in a Python file between the first `from` and the next `to` after it, from malloc(). */
static char *part_of(const char *path, const char *from, const char *to)
{
  size_t length = 0;
  char *text = test_read_file(path, &length);
  char *start = strstr(text, from);
  ASSERT(start != NULL);
  char *end = strstr(start + strlen(from), to);
  ASSERT(end != NULL);
  *end = '\0';
  memmove(text, start, strlen(start) + 1);
  return text;
}

static bool quotes(const char *text, const char *word)
{
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\"", word);
  return strstr(text, quoted) != NULL;
}

TEST(load_ops_are_all_there_in_order)
{
  ASSERT_EQ((uint64_t)load_ops_count, (uint64_t)LOAD_OPCODES);
  for (size_t i = 0; i < load_ops_count; i++) {
    ASSERT(i == 0 || strcmp(load_ops[i - 1]->name, load_ops[i]->name) < 0);
    ASSERT(load_op_named(load_ops[i]->name, strlen(load_ops[i]->name)) == load_ops[i]);
    ASSERT(load_op_of(load_ops[i]->opcode) == load_ops[i]);
    ASSERT(load_ops[i]->fill != NULL && load_ops[i]->transports != 0);
  }
  ASSERT(load_op_of(LOAD_OPCODES) == NULL);
}

TEST(load_op_names)
{
  ASSERT_EQ((int)op("atomic")->opcode, (int)LOAD_FETCH_ADD);
  ASSERT_STR(op("atomic")->name, "fetch_add");
  ASSERT_EQ((int)load_op_named("write_imm", 5)->opcode, (int)LOAD_WRITE); /* the length decides */
  ASSERT(load_op_named("writ", 4) == NULL);
  ASSERT(load_op_named("writes", 6) == NULL);
  ASSERT(load_op_named("pause", 5) == NULL);
  ASSERT(load_op_named("", 0) == NULL);
}

TEST(load_ops_have_the_transports_of_the_agent)
{
  static const struct {
    const char *start;
    unsigned mask;
  } transports[] = {{"    \"rc\": (", LOAD_ON_RC}, {"    \"uc\": (", LOAD_ON_UC}, {"    \"ud\": (", LOAD_ON_UD}};
  for (size_t t = 0; t < sizeof transports / sizeof transports[0]; t++) {
    char *verbs = part_of(FLOW_PY, transports[t].start, ")");
    for (size_t i = 0; i < load_ops_count; i++) {
      if (((load_ops[i]->transports & transports[t].mask) != 0) != quotes(verbs, load_ops[i]->name))
        test_fail(__FILE__, __LINE__, "%s: not as in %s", load_ops[i]->name, verbs);
    }
    free(verbs);
  }
}

TEST(load_ops_are_of_the_kinds_of_the_agent)
{
  char *atomics = part_of(FLOW_PY, "\nATOMICS = (", ")");
  char *told = part_of(FLOW_PY, "\nTOLD = (", ")");
  for (size_t i = 0; i < load_ops_count; i++) {
    const struct load_op *o = load_ops[i];
    ASSERT(o->atomic == quotes(atomics, o->name));
    ASSERT(o->told == quotes(told, o->name));
    ASSERT(o->fetches == (o->atomic || o->opcode == LOAD_READ));
    ASSERT(o->immediate == (strstr(o->name, "_imm") != NULL));
    ASSERT(o->receives_data == (strncmp(o->name, "send", 4) == 0));
    ASSERT(!(o->told && o->fetches));
  }
  free(atomics);
  free(told);
}

TEST(load_ops_need_the_access_of_their_verb)
{
  ASSERT_EQ(op("write")->access, (unsigned)LOAD_REMOTE_WRITE);
  ASSERT_EQ(op("write_imm")->access, (unsigned)LOAD_REMOTE_WRITE);
  ASSERT_EQ(op("read")->access, (unsigned)LOAD_REMOTE_READ);
  ASSERT_EQ(op("fetch_add")->access, (unsigned)LOAD_REMOTE_ATOMIC);
  ASSERT_EQ(op("compare_swap")->access, (unsigned)LOAD_REMOTE_ATOMIC);
  ASSERT_EQ(op("send")->access, 0U);
  ASSERT_EQ(op("send_imm")->access, 0U);
}

TEST(load_ops_have_the_headers_of_the_agent)
{
  char *sizes = part_of(WIRE_PY, "_RETH, _DETH, _IMM, _AETH, _ATOMIC = ", "\n\n");
  ASSERT_CONTAINS(sizes, "= 16, 8, 4, 4, 28");
  free(sizes);
  char *table = part_of(WIRE_PY, "size = {\"write\": ", "}");
  ASSERT_CONTAINS(table, "{\"write\": _RETH, \"write_imm\": _RETH + _IMM, \"send_imm\": _IMM, \"read\": 2 * _AETH");
  free(table);
  ASSERT_EQ(op("write")->header_bytes, 16U);
  ASSERT_EQ(op("write_imm")->header_bytes, 20U);
  ASSERT_EQ(op("read")->header_bytes, 8U);
  ASSERT_EQ(op("send")->header_bytes, 0U);
  ASSERT_EQ(op("send_imm")->header_bytes, 4U);
  ASSERT_EQ(op("fetch_add")->header_bytes, 28U);
  ASSERT_EQ(op("compare_swap")->header_bytes, 28U);
}

/* --- fills -------------------------------------------------------------------------------------------------------- */

static const struct load_sge element = {.addr = 0x1000, .length = 64, .lkey = 7};
static const struct load_wr blank = {.id = 11,
                                     .flags = LOAD_SIGNALED,
                                     .imm = 1,
                                     .raddr = 2,
                                     .rkey = 3,
                                     .n_sge = 1,
                                     .sge = &element,
                                     .compare_add = 4,
                                     .swap = 5};
static const struct load_aim aim = {.remote_addr = 0x700000000000,
                                    .remote_slots = 5,
                                    .remote_stride = 4096,
                                    .remote_period = LOAD_PERIOD,
                                    .rkey = 3,
                                    .qp = 2};

/* A work request of message k; what is not the verb's is as it was. */
static struct load_wr filled(const char *name, const struct load_aim *at, uint64_t message)
{
  struct load_wr wr = blank;
  op(name)->fill(&wr, at, message);
  ASSERT_EQ(wr.id, blank.id);
  ASSERT_EQ(wr.flags, blank.flags);
  ASSERT_EQ(wr.rkey, blank.rkey);
  ASSERT_EQ(wr.n_sge, blank.n_sge);
  ASSERT(wr.sge == &element);
  return wr;
}

TEST(load_fill_write_goes_round_the_slots)
{
  static const uint64_t messages[] = {0, 1, 4, 5, 12, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
  for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
    uint64_t k = messages[i];
    ASSERT_EQ(filled("write", &aim, k).raddr, aim.remote_addr + k % 5 * 4096);
    ASSERT_EQ(filled("write", &aim, k).imm, blank.imm);
    ASSERT_EQ(filled("write_imm", &aim, k).raddr, aim.remote_addr + k % 5 * 4096);
  }
}

TEST(load_fill_write_with_many_slots)
{
  struct load_aim wide = aim;
  wide.remote_slots = (UINT64_C(1) << 32) + 3;
  wide.remote_stride = 64;
  ASSERT_EQ(filled("write", &wide, 9).raddr, wide.remote_addr + 9 * 64);
  ASSERT_EQ(filled("write", &wide, (UINT64_C(1) << 32) + 4).raddr, wide.remote_addr + 64);
}

TEST(load_fill_immediates_are_in_network_order)
{
  ASSERT_EQ(filled("write_imm", &aim, 0x01020304).imm, htonl(0x01020304));
  ASSERT_EQ(filled("send_imm", &aim, 0x01020304).imm, htonl(0x01020304));
  ASSERT_EQ(filled("send_imm", &aim, UINT64_C(0x5500000007)).imm, htonl(7));
  ASSERT_EQ(filled("send_imm", &aim, 3).raddr, blank.raddr);
}

TEST(load_fill_send_changes_nothing)
{
  struct load_wr wr = filled("send", &aim, 3);
  ASSERT_EQ(wr.imm, blank.imm);
  ASSERT_EQ(wr.raddr, blank.raddr);
  ASSERT_EQ(wr.compare_add, blank.compare_add);
  ASSERT_EQ(wr.swap, blank.swap);
}

TEST(load_fill_read_follows_the_payload)
{
  /* the agent's offset_of(qp, k, 65521): (2 * 8191 + k % 127 * 4099) % 65521 */
  ASSERT_EQ(filled("read", &aim, 0).raddr, aim.remote_addr + 16382);
  ASSERT_EQ(filled("read", &aim, 126).raddr, aim.remote_addr + (16382 + 126 * 4099) % 65521);
  ASSERT_EQ(filled("read", &aim, 127).raddr, aim.remote_addr + 16382);
  struct load_aim folded = aim;
  folded.remote_period = 65536;
  ASSERT_EQ(filled("read", &folded, 5).raddr, aim.remote_addr);
}

TEST(load_fill_atomics_count)
{
  struct load_wr wr = filled("fetch_add", &aim, 41);
  ASSERT_EQ(wr.raddr, aim.remote_addr);
  ASSERT_EQ(wr.compare_add, UINT64_C(1));
  wr = filled("compare_swap", &aim, 41);
  ASSERT_EQ(wr.raddr, aim.remote_addr);
  ASSERT_EQ(wr.compare_add, UINT64_C(41));
  ASSERT_EQ(wr.swap, UINT64_C(42));
}

/* --- devices ------------------------------------------------------------------------------------------------------ */

TEST(load_status_names)
{
  ASSERT_STR(load_status_name(LOAD_WC_SUCCESS), "SUCCESS");
  ASSERT_STR(load_status_name(LOAD_WC_WR_FLUSH_ERR), "WR_FLUSH_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_REM_INV_REQ_ERR), "REM_INV_REQ_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_REM_ACCESS_ERR), "REM_ACCESS_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_REM_OP_ERR), "REM_OP_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_RETRY_EXC_ERR), "RETRY_EXC_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_RNR_RETRY_EXC_ERR), "RNR_RETRY_EXC_ERR");
  ASSERT_STR(load_status_name(LOAD_WC_GENERAL_ERR), "GENERAL_ERR");
  ASSERT_STR(load_status_name(22), "TM_ERR");
  ASSERT_STR(load_status_name(99), "UNKNOWN_ERR");
}

TEST(load_device_names_choose_the_kind)
{
  ASSERT_STR(load_device_ops_of("null0")->kind, "null");
  ASSERT_STR(load_device_ops_of("null1:loss=0.1")->kind, "null");
  const struct load_device_ops *other = load_device_ops_of("mlx5_0");
#ifdef ROCE_LOAD_VERBS
  ASSERT_STR(other->kind, "verbs");
#else
  ASSERT(other == NULL);
#endif
}
