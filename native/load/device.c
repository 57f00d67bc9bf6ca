#include "device.h"

#include <string.h>

const struct load_device_ops *load_device_ops_of(const char *name)
{
  static const char null[] = "null";
  if (strncmp(name, null, sizeof null - 1) == 0)
    return &load_null_ops;
#ifdef ROCE_LOAD_VERBS
  return &load_verbs_ops;
#else
  return NULL;
#endif
}

const char *load_status_name(unsigned status)
{
  /* enum ibv_wc_status, in its order */
  static const char *const names[] = {
      "SUCCESS",
      "LOC_LEN_ERR",
      "LOC_QP_OP_ERR",
      "LOC_EEC_OP_ERR",
      "LOC_PROT_ERR",
      "WR_FLUSH_ERR",
      "MW_BIND_ERR",
      "BAD_RESP_ERR",
      "LOC_ACCESS_ERR",
      "REM_INV_REQ_ERR",
      "REM_ACCESS_ERR",
      "REM_OP_ERR",
      "RETRY_EXC_ERR",
      "RNR_RETRY_EXC_ERR",
      "LOC_RDD_VIOL_ERR",
      "REM_INV_RD_REQ_ERR",
      "REM_ABORT_ERR",
      "INV_EECN_ERR",
      "INV_EEC_STATE_ERR",
      "FATAL_ERR",
      "RESP_TIMEOUT_ERR",
      "GENERAL_ERR",
      "TM_ERR",
  };
  return status < sizeof names / sizeof names[0] ? names[status] : "UNKNOWN_ERR";
}
