"""Numbers of the verbs ABI (linux/ib_user_verbs.h, infiniband/verbs.h) that the agent uses.

They are constants of the ABI; pyverbs keeps them in modules whose names differ between its versions.
"""

from __future__ import annotations

QPT_RC, QPT_UC, QPT_UD, QPT_XRC_SEND, QPT_XRC_RECV = 2, 3, 4, 9, 10
QPS_RESET, QPS_ERR = 0, 6
QP_STATE = 1  # bit of the attribute mask

WR_RDMA_WRITE, WR_RDMA_WRITE_WITH_IMM, WR_SEND, WR_SEND_WITH_IMM = 0, 1, 2, 3
WR_RDMA_READ, WR_ATOMIC_CMP_AND_SWP, WR_ATOMIC_FETCH_AND_ADD = 4, 5, 6

SEND_SIGNALED = 1 << 1

LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC = 1, 2, 4, 8

WC_WITH_IMM = 1 << 1

SRQT_XRC = 1
SRQ_INIT_TYPE, SRQ_INIT_PD, SRQ_INIT_XRCD, SRQ_INIT_CQ = 1, 2, 4, 8
XRCD_INIT_FD, XRCD_INIT_OFLAGS = 1, 2
QP_INIT_PD, QP_INIT_XRCD = 1, 2

DEVICE_XRC = 1 << 20
ATOMIC_NONE = 0

GRH_BYTES = 40
"""Room a UD receive leaves for the global route header in front of the payload."""

MTU_BYTES = (0, 256, 512, 1024, 2048, 4096)
"""Payload of a full packet by the number of `enum ibv_mtu`."""

WC_SUCCESS, WC_WR_FLUSH_ERR = 0, 5
STATUS = (
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
    "TM_RNDV_INCOMPLETE",
)
"""Names of `enum ibv_wc_status` without IBV_WC_, by number."""


def status_name(number: int) -> str:
    """Return the name of a completion status without IBV_WC_."""
    return STATUS[number] if 0 <= number < len(STATUS) else f"STATUS_{number}"


def mtu_number(payload_bytes: int) -> int:
    """Return the `enum ibv_mtu` of an MTU in bytes; raise ValueError when there is none."""
    return MTU_BYTES.index(payload_bytes, 1)
