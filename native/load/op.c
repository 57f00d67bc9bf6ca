#include "op.h"

#include <arpa/inet.h>
#include <string.h>

const struct load_op *load_op_named(const char *name, size_t length)
{
  static const char atomic[] = "atomic"; /* the agent's name for it */
  if (length == sizeof atomic - 1 && memcmp(name, atomic, length) == 0)
    return load_op_of(LOAD_FETCH_ADD);
  for (size_t i = 0; i < load_ops_count; i++) {
    if (strlen(load_ops[i]->name) == length && memcmp(load_ops[i]->name, name, length) == 0)
      return load_ops[i];
  }
  return NULL;
}

const struct load_op *load_op_of(enum load_opcode opcode)
{
  for (size_t i = 0; i < load_ops_count; i++) {
    if (load_ops[i]->opcode == opcode)
      return load_ops[i];
  }
  return NULL;
}

uint32_t load_immediate(uint64_t message)
{
  return htonl((uint32_t)message);
}
