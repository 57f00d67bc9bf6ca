"""The VM lab itself: guests of QEMU, real sshd, real verbs. One lab serves the tests that only look."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.bindings.vmlab import Lab, LabBusy, RunningLab
from harness.bindings.vmlab.image import find_image
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.machine import Accel
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.snapshot import find_snapshot
from harness.bindings.vmlab.state import labs, read_state
from harness.bindings.vmlab.teardown import stop
from harness.core.topology import Link, Node, NodeKind, Topology

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU (qemu-system-x86)"),
    pytest.mark.skipif(
        find_image(Layout.find()) is None and shutil.which("mmdebstrap") is None,
        reason="needs an image, or mmdebstrap to build one: roce lab build",
    ),
]

NAME = f"boot-test-{os.getpid()}"

CRASH = """
import sys, time
from harness.bindings.vmlab import Lab
from harness.core.topology import Link, Node, NodeKind, Topology
lab = Lab.up(Topology.load("softroce-2"), name=sys.argv[1])
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def topology() -> Topology:
    return Topology.load("softroce-2")


@pytest.fixture(scope="module")
def up(topology: Topology) -> Iterator[RunningLab]:
    with Lab.up(topology, name=NAME) as lab:
        yield lab


def on(lab: RunningLab, node: str, command: str, timeout_s: float = 60) -> str:
    ssh = ["ssh", "-F", str(lab.folder / "ssh_config"), node, command]
    done = subprocess.run(ssh, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{node}: {command}: {done.stderr}{done.stdout}"
    return done.stdout


def eventually(claim: Callable[[], bool], timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_every_node_is_what_the_topology_says(up):
    for host in ("h1", "h2"):
        assert on(up, host, "hostname").strip() == host
        assert "state ACTIVE" in on(up, host, "rdma link")
        assert "active_mtu:\t\t4096" in on(up, host, "ibv_devinfo -d rxe0")
    bridged = on(up, "sw1", "bridge link")
    assert bridged.count("state forwarding") == 2
    assert "rxe" not in on(up, "sw1", "rdma link")


def test_guests_have_their_own_addresses_and_the_time(up):
    macs = {on(up, host, "cat /sys/class/net/p0/address") for host in ("h1", "h2")}
    assert len(macs) == 2
    for node in up.guests:
        assert abs(float(on(up, node, "date +%s.%N")) - time.time()) < 5


def test_large_packets_cross_the_switch(up):
    said = on(up, "h2", "ping -M do -c 3 -i 0.2 -s 4172 h1")
    assert "3 received" in said


def test_verbs_move_data_through_the_switch(up):
    with subprocess.Popen(
        ["ssh", "-F", str(up.folder / "ssh_config"), "h1", "timeout 50 ibv_rc_pingpong -d rxe0 -g 1 -n 200"],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        time.sleep(2)
        before = int(on(up, "sw1", "cat /sys/class/net/e1/statistics/tx_bytes"))
        client = on(up, "h2", "timeout 50 ibv_rc_pingpong -d rxe0 -g 1 -n 200 h1")
        assert "200 iters" in client
        assert "200 iters" in server.communicate(timeout=60)[0]
    assert int(on(up, "sw1", "cat /sys/class/net/e1/statistics/tx_bytes")) - before > 200 * 4096


def test_a_guest_reaches_nothing_of_this_machine(up):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempt = f"import socket; socket.create_connection(('10.0.2.2', {port}), 3)"
        said = on(up, "h1", f'python3 -c "{attempt}" 2>&1 && echo connected || true')
    assert "Error" in said
    assert "connected" not in said


def test_an_idle_guest_leaves_the_processor_alone(up):
    def used() -> int:
        return sum(_ticks(guest.process) for guest in up.guests.values())

    before = used()
    time.sleep(3)
    share = (used() - before) / os.sysconf("SC_CLK_TCK") / 3
    assert share < 0.3, f"three idle guests use {share:.0%} of a core"


def _ticks(process: Process) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_power_off_is_seen_and_restart_brings_the_same_node_back(up):
    host = up.guest("h1")
    key = on(up, "h1", "cat /sys/class/net/p0/address")
    on(up, "h1", "touch /root/lost")
    host.power_off()
    assert not host.answers(1)
    assert eventually(lambda: on(up, "sw1", "cat /sys/class/net/e1/carrier").strip() == "0")
    host.restart()
    assert on(up, "h1", "cat /sys/class/net/p0/address; ls /root") == key
    assert eventually(lambda: on(up, "sw1", "cat /sys/class/net/e1/carrier").strip() == "1")
    assert "1 received" in on(up, "h2", "ping -c 1 -W 5 h1")


def test_a_switch_that_comes_back_knows_which_cables_lead_nowhere(up):
    up.guest("h2").power_off()
    try:
        up.guest("sw1").restart()
        assert eventually(lambda: on(up, "sw1", "cat /sys/class/net/e2/carrier").strip() == "0")
        assert on(up, "sw1", "cat /sys/class/net/e1/carrier").strip() == "1"
    finally:
        up.guest("h2").restart()
    assert "1 received" in on(up, "h2", "ping -c 1 -W 5 h1")


def test_a_session_in_use_is_not_taken_by_another(up, topology):
    with pytest.raises(LabBusy, match=str(os.getpid())):
        Lab.up(topology, name=NAME)


def test_what_a_killed_controller_left_is_recovered(topology):
    name = f"{NAME}-crash"
    layout = Layout.find()
    controller = subprocess.Popen([sys.executable, "-c", CRASH, name], stdout=subprocess.PIPE, text=True)
    try:
        with controller:
            assert controller.stdout.readline() == "up\n"
            controller.send_signal(signal.SIGKILL)
        left = [guest.process for guest in read_state(layout.run(name)).guests.values()]
        assert all(process.alive() for process in left)
        said: list[str] = []
        with Lab.up(topology, name=name, progress=said.append) as lab:
            assert not any(process.alive() for process in left)
            assert on(lab, "h1", "hostname").strip() == "h1"
        assert any("ended without taking it down" in line for line in said)
    finally:
        stop(layout, name)
    assert name not in [lab.name for lab in labs(layout)]


@pytest.fixture
def own_cache(tmp_path) -> Layout:
    """A cache folder with the image of everybody and snapshots of its own."""
    image = find_image(Layout.find())
    layout = Layout(tmp_path / "cache")
    (layout.images / image.folder.name).symlink_to(image.folder)
    return layout


def test_a_snapshot_that_does_not_restore_is_replaced(up, own_cache, caplog):
    link = Link(endpoints=("h1:p0", "h2:p0"), rate=10**7)
    hosts = {name: Node(kind=NodeKind.HOST) for name in ("h1", "h2")}
    pair = Topology(name="softroce-pair", nodes=hosts, links=(link,))
    with Lab.up(pair, layout=own_cache) as lab:
        assert "1 received" in on(lab, "h2", "ping -c 1 -W 5 h1"), "a link without a switch"
        snapshot = find_snapshot(own_cache, find_image(own_cache), Accel(lab.accel))
        snapshot.state.write_bytes(snapshot.state.read_bytes()[:1000])
        caplog.set_level("INFO")
        lab.guest("h1").restart()
        assert "does not restore, so the guest is booted" in caplog.text
        assert on(lab, "h1", "hostname").strip() == "h1"
        assert "1 received" in on(lab, "h2", "ping -c 1 -W 5 h1")
    assert find_snapshot(own_cache, find_image(own_cache), Accel(lab.accel)) is None
