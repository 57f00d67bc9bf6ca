"""Every fault of the lab itself, on real machines: one error that names host and cause, soon, and nothing left.

The faults share one lab and, where they happen to a running fabric, one fabric: that the next fault can happen
while data flows shows that the fabric healed from the one before.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from harness.core.engine import Engine
from harness.core.errors import (
    AgentFailed,
    AgentLost,
    AuthenticationFailed,
    CommandFailed,
    EngineError,
    HostKeyRejected,
    HostUnreachable,
)
from harness.core.result import RunResult
from harness.core.site import RdmaPort, Site
from harness.patterns.pair import Pair
from harness.tests.lab.faultlab import LONG, NOTICE_S, FaultLab, Told
from harness.tests.lab.ledger import Ledger

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Judge = Callable[..., list[str]]
NOTHING: list[str] = []
"""What a fault may leave behind."""


@pytest.fixture
def judge(faultlab: FaultLab, ledger: Ledger) -> Judge:
    """Hold an error against what every fault must give, write it down, and return what was left behind."""

    def check(
        injected: str,
        told: Told,
        kinds: type[Exception] | tuple[type[Exception], ...],
        *words: str,
        **look: object,
    ) -> list[str]:
        left, _ = faultlab.wait_until_clean(NOTICE_S - told.after_s, **look)
        ledger.add(injected, told.error, told.after_s, left)
        assert isinstance(told.error, kinds), repr(told.error)
        text = str(told.error)
        assert "\n" not in text
        assert [word for word in ("h2", *words) if word not in text] == [], text
        assert told.after_s <= NOTICE_S
        return left

    return check


@contextmanager
def healed(faultlab: FaultLab, script: str) -> Iterator[None]:
    """Put h2 right afterwards, whatever happened."""
    try:
        yield
    finally:
        faultlab.on("h2", script)


def key_pair(folder: Path) -> Path:
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


# --- faults that keep a fabric from coming up ------------------------------------------------------------------


def test_a_host_that_nobody_answers_for(faultlab: FaultLab, judge: Judge) -> None:
    told = faultlab.fault_at_start(faultlab.site_with("h2", port=1))
    assert judge("host unreachable", told, HostUnreachable, "127.0.0.1", "refused", agents=0) == NOTHING


def test_a_key_that_the_host_does_not_know(faultlab: FaultLab, judge: Judge, tmp_path: Path) -> None:
    told = faultlab.fault_at_start(faultlab.site_with("h2", identity=key_pair(tmp_path)))
    assert judge("wrong key", told, AuthenticationFailed, "root", agents=0) == NOTHING


def test_a_host_key_that_changed(faultlab: FaultLab, judge: Judge, tmp_path: Path) -> None:
    public = key_pair(tmp_path).with_suffix(".pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{faultlab.lab.guest('h2').ssh_port} {' '.join(public)}\n")
    told = faultlab.fault_at_start(faultlab.site_with("h2", known_hosts=known))
    assert judge("changed host key", told, HostKeyRejected, "key", str(known), agents=0) == NOTHING


def test_a_python_without_pyverbs(faultlab: FaultLab, judge: Judge) -> None:
    bare = "/root/bare-python"
    faultlab.on("h2", f"printf '#!/bin/sh\\nexec python3 -S \"$@\"\\n' >{bare}; chmod +x {bare}")
    told = faultlab.fault_at_start(faultlab.site_with("h2", python=bare), Engine.PYVERBS)
    assert judge("no pyverbs", told, EngineError, "pyverbs", "python3-pyverbs", agents=0) == NOTHING


def test_a_device_that_is_not_there(faultlab: FaultLab, judge: Judge) -> None:
    told = faultlab.fault_at_start(faultlab.site_with("h2", ports={"p0": RdmaPort(device="mlx5_7")}))
    assert judge("no device", told, AgentFailed, "mlx5_7", "rxe0", agents=0) == NOTHING


def test_a_full_disk(faultlab: FaultLab, judge: Judge) -> None:
    with healed(faultlab, "rm -f /root/fill /tmp/fill; rm -rf /root/.cache/roce-harness"):
        faultlab.on(
            "h2", "rm -rf /root/.cache/roce-harness; dd if=/dev/zero of=/root/fill bs=64k 2>/dev/null; :"
        )
        told = faultlab.fault_at_start(faultlab.site)
        assert judge("full disk", told, CommandFailed, "space", agents=0) == NOTHING


# --- faults between two runs -----------------------------------------------------------------------------------


def test_a_port_that_went_down(faultlab: FaultLab, judge: Judge) -> None:
    faultlab.good_run()
    with healed(faultlab, "ip link set p0 up"):
        told = faultlab.fault_before_run(lambda: faultlab.on("h2", "ip link set p0 down"))
        assert judge("port down", told, EngineError, "rxe0", "down") == NOTHING


def test_a_gid_that_is_gone(faultlab: FaultLab, judge: Judge) -> None:
    address = faultlab.on("h2", "ip -4 -o addr show p0 | awk '{print $4}'")
    with healed(faultlab, f"ip addr add {address} dev p0"):
        told = faultlab.fault_before_run(lambda: faultlab.on("h2", f"ip addr del {address} dev p0"))
        assert judge("GID missing", told, EngineError, "GID", "rxe0") == NOTHING


def test_peers_with_different_mtus(faultlab: FaultLab, judge: Judge) -> None:
    with healed(faultlab, "ip link set p0 mtu 4200"):
        told = faultlab.fault_before_run(lambda: faultlab.on("h2", "ip link set p0 mtu 1500"))
        assert judge("MTU mismatch between peers", told, EngineError, "MTU", "1024", "4096") == NOTHING


def test_a_host_out_of_queue_pairs(faultlab: FaultLab, judge: Judge) -> None:
    """The kernel's own limit for a group of processes; the agent is put into such a group."""
    (agent,) = faultlab.agents("h2") if faultlab.fabric else ()
    group = "/sys/fs/cgroup/few"
    limit = (
        "mkdir -p /sys/fs/cgroup; mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup; "
        f"echo +rdma >/sys/fs/cgroup/cgroup.subtree_control; mkdir -p {group}; "
        f"echo 'rxe0 hca_object=8' >{group}/rdma.max; echo {agent} >{group}/cgroup.procs"
    )
    many = dataclasses.replace(LONG, traffic=Pair(4096, messages=10, qps=16))
    with healed(faultlab, f"echo {agent} >/sys/fs/cgroup/cgroup.procs; rmdir {group}"):
        told = faultlab.fault_before_run(lambda: faultlab.on("h2", limit), many)
        assert judge("QP refused, out of resources", told, AgentFailed, "no_resources", "rxe0") == NOTHING


# --- faults in mid-run -----------------------------------------------------------------------------------------


def test_an_agent_that_is_killed(faultlab: FaultLab, judge: Judge) -> None:
    told = faultlab.fault_in_mid_run(lambda: faultlab.on("h2", "pkill -KILL -f 'agent[.]pyz'"))
    assert judge("agent killed (SIGKILL) in mid-run", told, AgentLost, "SIGKILL") == NOTHING


def test_an_sshd_that_is_killed(faultlab: FaultLab, judge: Judge) -> None:
    """The whole sshd: the connections end with it, and init starts a new one."""
    told = faultlab.fault_in_mid_run(
        lambda: faultlab.on("h2", "setsid sh -c 'sleep 0.1; pkill -KILL sshd' >/dev/null 2>&1 </dev/null &")
    )
    faultlab.forget("h2")
    assert wait_for(lambda: faultlab.reachable("h2"), 15)
    assert judge("sshd killed in mid-run", told, AgentLost, "cut off") == NOTHING


def test_a_machine_that_is_powered_off(faultlab: FaultLab, judge: Judge) -> None:
    told = faultlab.fault_in_mid_run(lambda: faultlab.lab.guest("h2").power_off())
    faultlab.forget("h2")
    try:
        assert judge("VM powered off in mid-run", told, AgentLost, but=("h2",)) == NOTHING
    finally:
        faultlab.lab.guest("h2").restart()


def test_a_wall_clock_that_jumps(faultlab: FaultLab, ledger: Ledger) -> None:
    """Runs are timed by monotonic clocks, so nothing breaks: the result says whose clock jumped and is no evidence."""
    jumped: list[float] = []

    def progress(fraction: float, _: int) -> None:
        if fraction > 0 and not jumped:
            faultlab.on("h2", "date -s @$(( $(date +%s) + 3600 )) >/dev/null")
            jumped.append(time.monotonic())

    faultlab.on("h2", "rm -f /root/bare-python")  # connects, which takes longer than a run may stand still
    scenario = dataclasses.replace(LONG, traffic=Pair(65536, messages=80, max_outstanding=2))
    with healed(faultlab, "date -s @$(( $(date +%s) - 3600 )) >/dev/null"):
        result = faultlab.fabric.run(scenario, progress=progress)
        took = time.monotonic() - jumped[0]
    reasons = [reason for reason in result.invalid_reasons if "jumped" in reason]
    faultlab.close_fabric()  # after a run without an error its queues stand until the fabric is closed
    left = faultlab.left()
    ledger.add("clock jump of 1 h in mid-run", f"INVALID: {'; '.join(reasons)}", took, left)
    assert len(reasons) == 1
    assert "h2" in reasons[0]
    by_s = re.search(r"by ([+-]\d+)", reasons[0])
    assert by_s is not None
    assert abs(int(by_s.group(1)) - 3600) < 60  # the guest was off by what it had drifted
    assert left == []


def test_a_switch_whose_connection_breaks(faultlab: FaultLab, ledger: Ledger) -> None:
    """What the run did there is put back over a new connection."""
    told = faultlab.fault_in_mid_run(
        lambda: (
            faultlab.on("h2", "pkill -KILL -f 'agent[.]pyz'"),
            faultlab.on("sw1", "setsid sh -c 'sleep 0.1; pkill -KILL sshd' >/dev/null 2>&1 </dev/null &"),
        )
    )
    faultlab.forget("sw1")
    assert wait_for(lambda: faultlab.reachable("sw1"), 15)
    left, _ = faultlab.wait_until_clean(NOTICE_S - told.after_s)
    ledger.add("agent and the switch's sshd killed", told.error, told.after_s, left)
    assert told.after_s <= NOTICE_S
    assert left == []


def test_the_fabric_serves_after_all_that(faultlab: FaultLab) -> None:
    result = faultlab.good_run()
    assert result.invalid_reasons == ()
    assert all(flow.status == "done" for flow in result.flows)
    assert faultlab.first is not None
    assert RunResult.load(faultlab.first.folder).invalid_reasons == ()  # results so far are as they were


def test_a_controller_that_is_killed(faultlab: FaultLab, ledger: Ledger, tmp_path: Path) -> None:
    """Agents end with their input, and a guard on the switch removes what the run did there."""
    faultlab.close_fabric()
    site = tmp_path / "site.yaml"
    plain = TypeAdapter(Site).dump_python(faultlab.site, mode="json", exclude_defaults=True)
    site.write_text(yaml.safe_dump({**plain, "max_start_skew": "1s"}))
    program = [sys.executable, str(Path(__file__).with_name("controller.py"))]
    with subprocess.Popen(
        [*program, str(site), faultlab.topology.name], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            said = [child.stdout.readline().strip(), child.stdout.readline().strip()] if child.stdout else []
            assert said == ["up", "running"]
            before = faultlab.left(agents=0)
        finally:
            child.kill()
    assert any("4791" in line for line in before)
    assert any("roce_harness" in line for line in before)
    assert {line[:2] for line in before if "agents" in line or "QP" in line} == {"h1", "h2"}
    left, took = faultlab.wait_until_clean(NOTICE_S, agents=0)
    ledger.add("controller killed (SIGKILL)", "none: nobody is left to give one", took, left)
    assert left == []
    assert took <= NOTICE_S


def wait_for(claim: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if claim():
            return True
    return False
