"""Each mistake in a work request ends with the completion status that InfiniBand gives it."""

from __future__ import annotations

import pytest

from harness import Capability, Fault, Nic, Qos, Scenario, VerbsOptions, at_least, equals
from harness.analysis.completion import status_code
from harness.patterns.pair import Pair

pytestmark = pytest.mark.needs(Capability.REAL_VERBS)

SOON = Qos(nic=Nic(ack_timeout=12, retry_count=2))
REM_ACCESS = "IBV_WC_REM_ACCESS_ERR (InfiniBand 11.6.2)"
REM_INV_REQ = "IBV_WC_REM_INV_REQ_ERR (InfiniBand 11.6.2)"
LOC_PROT = "IBV_WC_LOC_PROT_ERR (InfiniBand 11.6.2)"
RETRY_EXC = "IBV_WC_RETRY_EXC_ERR (InfiniBand 11.6.2)"
BAD_LKEY = pytest.mark.deviation("bad local keys")
RECORDED = "evidence: what the device adds of its own"


@pytest.mark.plan("RTX-08")
@pytest.mark.parametrize(
    ("fault", "verb", "status", "source"),
    [
        (Fault.BAD_RKEY, "write", 10, REM_ACCESS),
        pytest.param(Fault.BAD_RKEY, "read", 10, REM_ACCESS, marks=pytest.mark.slow),
        (Fault.BAD_ADDRESS, "write", 10, REM_ACCESS),
        (Fault.NO_REMOTE_WRITE, "write_imm", 10, REM_ACCESS),
        (Fault.NO_REMOTE_READ, "read", 10, REM_ACCESS),
        pytest.param(Fault.LONG_SEND, "send", 9, REM_INV_REQ, marks=pytest.mark.deviation("long sends")),
        pytest.param(Fault.BAD_LKEY, "write", 4, LOC_PROT, marks=BAD_LKEY),
        pytest.param(Fault.BAD_LKEY, "send", 4, LOC_PROT, marks=[BAD_LKEY, pytest.mark.slow]),
        pytest.param(Fault.NO_RECEIVER, "send", 12, RETRY_EXC, marks=pytest.mark.slow),
    ],
)
def test_a_fault_has_its_status(fabric, expect, fault, verb, status, source):
    """One fault in the first work request: its status, and nothing after it completes."""
    traffic = Pair(1024, verb=verb, messages=4, verbs=VerbsOptions(fault=fault))
    result = fabric.run(Scenario(traffic, qos=SOON, may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(status, source=source))
    expect(
        "messages complete",
        flow.messages_completed,
        equals(0, source="the first one has the fault, and a QP in error does nothing more"),
    )
    expect("vendor error", flow.vendor_err, at_least(0), source=RECORDED)


@pytest.mark.plan("RTX-08")
@pytest.mark.parametrize("verb", ["fetch_add", pytest.param("compare_swap", marks=pytest.mark.slow)])
def test_a_forbidden_atomic_has_its_status(fabric, expect, verb):
    """An atomic on memory that does not allow it ends with a remote access error."""
    traffic = Pair(8, verb=verb, verbs=VerbsOptions(fault=Fault.NO_REMOTE_ATOMIC))
    result = fabric.run(Scenario(traffic, qos=SOON, may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(10, source=REM_ACCESS))
    expect("vendor error", flow.vendor_err, at_least(0), source=RECORDED)


@pytest.mark.plan("RTX-08")
@pytest.mark.negative_control("work requests without a fault")
def test_a_good_work_request_is_noticed(fabric, expect):
    """Without the fault all messages complete with status 0."""
    result = fabric.run(Scenario(Pair(1024, messages=4), qos=SOON, may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(10, source=REM_ACCESS))
    expect(
        "messages complete",
        flow.messages_completed,
        equals(0, source="the first one has the fault, and a QP in error does nothing more"),
    )


@pytest.mark.plan("RTX-08")
@pytest.mark.negative_control("another fault than the one that is claimed")
def test_another_status_is_noticed(fabric, expect):
    """A send that is too long does not pass for a protection fault."""
    traffic = Pair(1024, verb="send", messages=4, verbs=VerbsOptions(fault=Fault.LONG_SEND))
    result = fabric.run(Scenario(traffic, qos=SOON, may_fail=["pair-0"]))

    flow = result.flow("pair-0")
    expect("status", status_code(flow), equals(10, source=REM_ACCESS))
