"""Which device, port and GID a host port is: chosen by content, and said in words."""

from __future__ import annotations

import copy

import pytest

from harness.core.errors import AgentFailed, ConfigError, PeerMismatch
from harness.core.site import RdmaPort
from harness.hosts.devices import check_peers, endpoint


def gid(index, kind, family, address, netdev="ens1"):
    return {"index": index, "gid": address, "type": kind, "family": family, "netdev": netdev}


TABLE = [
    gid(0, "IB/RoCE v1", "link_local", "fe80::1"),
    gid(1, "RoCE v2", "link_local", "fe80::1"),
    gid(2, "IB/RoCE v1", "ipv4", "::ffff:192.0.2.1"),
    gid(3, "RoCE v2", "ipv4", "::ffff:192.0.2.1"),
    gid(4, "RoCE v2", "ipv4", "::ffff:198.51.100.1", "ens1.100"),
    gid(5, "RoCE v2", "ipv6", "2001:db8::1"),
]
PORT = {
    "port": 1, "state": "ACTIVE", "phys_state": "LINK_UP", "active_mtu": 4096, "netdev": "ens1", "netdev_mtu": 9000,
    "gids": TABLE,
}  # fmt: skip
DEVICES = [
    {"device": "mlx5_0", "driver": "mlx5_core", "ports": [{**PORT, "gids": [], "netdev": "ens0"}]},
    {"device": "mlx5_1", "driver": "mlx5_core", "ports": [PORT]},
]


def find(devices=DEVICES, **wanted):
    return endpoint("h1:p0", RdmaPort(**wanted), devices)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"device": "mlx5_1"}, 3),
        ({"netdev": "ens1"}, 3),
        ({"netdev": "ens1.100"}, 4),
        ({"device": "mlx5_1", "netdev": "ens1.100"}, 4),
        ({"device": "mlx5_1", "family": "ipv6"}, 5),
        ({"device": "mlx5_1", "roce": "v1"}, 2),
        ({"device": "mlx5_1", "gid": 4}, 4),
    ],
)
def test_the_gid_is_chosen_by_what_it_is(wanted, index):
    found = find(**wanted)
    assert found.gid["index"] == index
    assert (found.host, found.device_name, found.port_number) == ("h1", "mlx5_1", 1)


def test_the_choice_is_told_in_words():
    assert find(device="mlx5_1").words == (
        "3 ::ffff:192.0.2.1 (RoCE v2, ipv4): chosen for RoCE v2 IPv4, the first of 2 such of 6 entries"
    )
    assert "pinned by the site" in find(device="mlx5_1", gid=3).words


def test_the_order_of_the_table_does_not_matter():
    devices = copy.deepcopy(DEVICES)
    devices[1]["ports"][0]["gids"].reverse()
    assert find(devices, device="mlx5_1").gid["index"] == 3


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (
            {"device": "mlx5_7"},
            AgentFailed,
            r"h1: there is no RDMA device mlx5_7 port 1 for h1:p0; it has mlx5_0",
        ),
        ({"device": "mlx5_1", "port": 2}, AgentFailed, "no RDMA device mlx5_1 port 2"),
        (
            {"netdev": "ens9"},
            AgentFailed,
            r"no RDMA device on ens9 for h1:p0; it has .*mlx5_1 port 1 \(ens1\)",
        ),
        (
            {"device": "mlx5_0"},
            AgentFailed,
            "h1: mlx5_0 port 1 has no RoCE v2 IPv4 GID for h1:p0; GIDs are none",
        ),
        ({"device": "mlx5_1", "gid": 9}, AgentFailed, "has no GID of index 9 for h1:p0; it has: 0, 1, 2, 3"),
        (
            {"device": "mlx5_1", "gid": 2},
            ConfigError,
            "GID 2 is RoCE v1 IPv4, and the site asks for RoCE v2 IPv4",
        ),
    ],
)
def test_what_is_not_there_is_said_with_what_is(wanted, error, message):
    with pytest.raises(error, match=message) as found:
        find(**wanted)
    assert "\n" not in str(found.value)


def test_a_host_without_rdma_devices_is_told():
    with pytest.raises(AgentFailed, match="it has no RDMA devices at all"):
        find([], device="mlx5_0")


def test_a_port_that_is_down_is_named():
    devices = [{**DEVICES[1], "ports": [{**PORT, "state": "DOWN", "phys_state": "DISABLED"}]}]
    with pytest.raises(
        AgentFailed, match=r"h1: mlx5_1 port 1 is down \(state DOWN, link DISABLED\): no RDMA"
    ):
        find(devices, device="mlx5_1")


def test_peers_of_different_kinds_are_a_mismatch_that_names_both():
    four, six = find(device="mlx5_1"), find(device="mlx5_1", family="ipv6")
    with pytest.raises(
        PeerMismatch, match=r"flow f: .* address families: h1:p0 ipv4 \(GID 3\), h1:p0 ipv6 \(GID 5\)"
    ):
        check_peers("f", four, six, 1024)
    with pytest.raises(PeerMismatch, match=r"different RoCE versions: h1:p0 RoCE v2 .* IB/RoCE v1 \(GID 2\)"):
        check_peers("f", four, find(device="mlx5_1", roce="v1"), 1024)


def test_an_mtu_that_nobody_knows_is_no_mismatch():
    unknown = find([{**DEVICES[1], "ports": [{**PORT, "active_mtu": None}]}], device="mlx5_1")
    check_peers("f", unknown, find(device="mlx5_1"), 4096)
