from __future__ import annotations

import subprocess

from harness.bindings.vmlab.identity import identity, rdma_device
from harness.bindings.vmlab.plan import plan


def script(two_hosts, node: str) -> str:
    lab = plan(two_hosts)
    return identity(lab.guests[node], lab.addresses, "00ff", now=1_700_000_000.25)


def test_a_host_gets_its_name_clock_address_and_rdma_device(two_hosts):
    lines = script(two_hosts, "h2").splitlines()
    assert lines[0] == "set -e"
    assert "date -s @1700000000.250000 > /dev/null" in lines
    assert "ip link set data1 name p0 address 02:52:4f:00:02:01 mtu 4200" in lines
    assert "ip addr add 198.18.1.2/16 dev p0" in lines
    assert lines.index("ip link set p0 up") < lines.index("rdma link add rxe0 type rxe netdev p0")


def test_a_switch_gets_a_bridge_of_its_ports_and_no_address(two_hosts):
    text = script(two_hosts, "sw1")
    assert "ip link set e1 master br0" in text
    assert "ip link set e2 master br0" in text
    assert "ip addr" not in text
    assert "rdma" not in text


def test_nodes_draw_different_process_ids(two_hosts):
    marks = [
        line
        for node in ("h1", "h2", "sw1")
        for line in script(two_hosts, node).splitlines()
        if "last_pid" in line
    ]
    assert len(set(marks)) == 3


def test_the_script_is_sound_shell(two_hosts):
    for node in two_hosts.nodes:
        done = subprocess.run(
            ["sh", "-n"], input=script(two_hosts, node), text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_rdma_devices_count_from_zero(two_hosts):
    assert rdma_device(plan(two_hosts).guests["h1"].nics[0]) == "rxe0"
