"""Devices, GIDs and counters, read from a tree that looks like /sys."""

from __future__ import annotations

import pytest

from harness.hosts.agent import counters, devices, gids, verbs
from harness.hosts.agent.errors import AgentError
from harness.hosts.agent.flow import GidWish
from harness.hosts.agent.sysfs import Sysfs, address, family


def no_program(argv):
    raise OSError(f"{argv[0]}: not installed")


def test_a_device_is_described_without_pyverbs(sysfs_root, monkeypatch):
    monkeypatch.setattr(verbs, "try_load", lambda: (None, "none here"))
    device = devices.describe(Sysfs(sysfs_root))["devices"][0]
    port = device["ports"][0]
    assert (device["device"], device["driver"], device["firmware"], device["caps"]) == (
        "rxe0",
        "rxe",
        None,
        None,
    )
    assert device["pcie"] is None
    assert device["numa_node"] is None
    assert (port["state"], port["netdev"], port["netdev_mtu"], port["speed_gbps"]) == (
        "ACTIVE",
        "p0",
        4200,
        None,
    )
    assert [(gid["index"], gid["family"], gid["type"]) for gid in port["gids"]] == [
        (0, "link_local", "IB/RoCE v1"),
        (1, "ipv4", "RoCE v2"),
        (10, "ipv6", "RoCE v2"),
    ]


def test_a_pci_device_tells_its_slot(sysfs_root):
    folder = sysfs_root / "class/infiniband/mlx5_0"
    slot = sysfs_root / "devices/0000:3b:00.0"
    slot.mkdir(parents=True)
    folder.mkdir()
    (folder / "device").symlink_to(slot)
    facts = {"vendor": "0x15b3", "device": "0x1021", "numa_node": "1", "current_link_speed": "32.0 GT/s PCIe"}
    for name, text in {**facts, "current_link_width": "16"}.items():
        (slot / name).write_text(text)
    (sysfs_root / "drivers/mlx5_core").mkdir(parents=True)
    (slot / "driver").symlink_to(sysfs_root / "drivers/mlx5_core")
    device = Sysfs(sysfs_root).describe("mlx5_0")
    assert (device["driver"], device["vendor_id"], device["part_id"]) == ("mlx5_core", "0x15b3", "0x1021")
    assert device["numa_node"] == 1
    assert device["pcie"] == {
        "address": "0000:3b:00.0",
        "speed": "32.0 GT/s PCIe",
        "width": "16",
        "max_speed": None,
        "max_width": None,
    }


@pytest.mark.parametrize(
    ("gid", "kind", "ip"),
    [
        ("0000:0000:0000:0000:0000:ffff:c612:0102", "ipv4", "198.18.1.2"),
        ("fe80:0000:0000:0000:0052:4fff:fe00:0101", "link_local", "fe80:0000:0000:0000:0052:4fff:fe00:0101"),
        ("febf:0000:0000:0000:0052:4fff:fe00:0101", "link_local", "febf:0000:0000:0000:0052:4fff:fe00:0101"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "ipv6", "2001:0db8:0000:0000:0000:0000:0000:0001"),
    ],
)
def test_family_and_address(gid, kind, ip):
    assert (family(gid), address(gid)) == (kind, ip)


@pytest.mark.parametrize(
    ("wish", "index"),
    [
        (GidWish(), 1),
        (GidWish(family="ipv6"), 10),
        (GidWish(roce="v1"), 0),
        (GidWish(index=10), 10),
        (GidWish(family="ipv4"), 1),
    ],
)
def test_a_gid_is_chosen_by_what_it_is(sysfs_root, wish, index):
    chosen = gids.choose(Sysfs(sysfs_root).gids("rxe0", 1), wish, "rxe0", 1)
    assert chosen["index"] == index
    assert f"index {index} of rxe0 port 1" in chosen["why"]


@pytest.mark.parametrize(
    "wish", [GidWish(index=2), GidWish(family="link_local"), GidWish(roce="v1", family="ipv4")]
)
def test_a_gid_that_is_not_there_lists_what_is(sysfs_root, wish):
    with pytest.raises(AgentError) as caught:
        gids.choose(Sysfs(sysfs_root).gids("rxe0", 1), wish, "rxe0", 1)
    assert caught.value.kind == "no_gid"
    assert len(caught.value.detail["gids"]) == 3
    assert "198.18.1.1" in caught.value.message


def test_counters_are_what_was_read_and_nothing_else(sysfs_root):
    port = counters.of_port("rxe0", 1, "p0", Sysfs(sysfs_root), no_program)
    assert port["hw_counters"] == {"sent_pkts": 1234}
    assert port["counters"] == {"port_xmit_data": 2**64 - 1}
    assert port["netdev"] == {"rx_bytes": 77}
    assert port["carrier_changes"] == 2
    for absent in ("device_hw_counters", "rdma_statistic", "ethtool", "dcb_pfc"):
        assert port[absent] is None
        assert port["errors"][absent]


def test_counters_without_a_network_device_say_so(sysfs_root):
    port = counters.of_port("rxe0", 1, None, Sysfs(sysfs_root), no_program)
    assert port["netdev"] is None
    assert "no network device" in port["errors"]["netdev"]
    assert port["carrier_changes"] is None


PROGRAMS = {
    "rdma": '[{"ifindex":0,"ifname":"rxe0","port":1,"sent_pkts":12,"rcvd_pkts":7}]',
    "ethtool": "NIC statistics:\n     rx_prio3_pause: 5\n     [0]: rx_bytes: 9\n     name with blank: -1\n",
    "dcb": '{"ifname":"p0","requests":[0,1,2,3,4,5,6,7],"indications":[0,0,0,9,0,0,0,0]}',
}


def test_programs_are_read(sysfs_root):
    port = counters.of_port("rxe0", 1, "p0", Sysfs(sysfs_root), lambda argv: PROGRAMS[argv[0]])
    assert port["rdma_statistic"] == {"sent_pkts": 12, "rcvd_pkts": 7}
    assert port["ethtool"] == {"rx_prio3_pause": 5, "[0]: rx_bytes": 9, "name with blank": -1}
    assert port["dcb_pfc"] == {"requests": [0, 1, 2, 3, 4, 5, 6, 7], "indications": [0, 0, 0, 9, 0, 0, 0, 0]}


@pytest.mark.parametrize("broken", ["", "{", "[]", '[{"port": 2}]', "null"])
def test_programs_that_talk_nonsense_are_absent(sysfs_root, broken):
    port = counters.of_port("rxe0", 1, "p0", Sysfs(sysfs_root), lambda argv: broken)
    assert port["rdma_statistic"] is None
    assert port["errors"]["rdma_statistic"]
