from __future__ import annotations

import pytest

from harness.bindings.vmlab import offers
from harness.bindings.vmlab.errors import LabError
from harness.bindings.vmlab.layout import LONGEST_SOCKET_NAME
from harness.bindings.vmlab.plan import MAX_SOCKET_NAME, plan
from harness.core.errors import TopologyNotOffered
from harness.core.topology import Link, Node, NodeKind, Topology


def star(hosts: int, name: str = "softroce-x") -> Topology:
    nodes = {f"h{n}": Node(kind=NodeKind.HOST) for n in range(1, hosts + 1)}
    links = tuple(Link(endpoints=(f"h{n}:p0", f"sw1:e{n}"), rate=10**7) for n in range(1, hosts + 1))
    return Topology(name=name, nodes={**nodes, "sw1": Node(kind=NodeKind.SWITCH)}, links=links)


def test_every_link_is_a_pair_of_sockets(two_hosts):
    guests = plan(two_hosts).guests
    ends = {nic.socket: nic.peer for guest in guests.values() for nic in guest.nics}
    assert len(ends) == 2 * len(two_hosts.links)
    assert all(ends[peer] == socket for socket, peer in ends.items())


def test_addresses_are_unique_and_for_hosts_only():
    guests = plan(star(4)).guests.values()
    addresses = [nic.address for guest in guests for nic in guest.nics if nic.address]
    macs = [nic.mac for guest in guests for nic in guest.nics]
    assert len(addresses) == len(set(addresses)) == 4
    assert len({address.network for address in addresses}) == 1
    assert len(macs) == len(set(macs)) == 8
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs), "locally administered, not multicast"
    assert all(nic.address is None for guest in guests if guest.is_switch for nic in guest.nics)


def test_names_lead_to_addresses(two_hosts):
    assert plan(two_hosts).addresses == {
        "h1": "198.18.1.1",
        "h1-p0": "198.18.1.1",
        "h2": "198.18.1.2",
        "h2-p0": "198.18.1.2",
    }


def test_neighbours_are_the_far_ends(two_hosts):
    lab = plan(two_hosts)
    assert lab.neighbours("h2") == [("sw1", 2)]
    assert lab.neighbours("sw1") == [("h1", 1), ("h2", 1)]


@pytest.mark.parametrize("name", ["softroce-2", "softroce-4"])
def test_shipped_topologies_are_offered(name):
    assert offers(name)
    assert plan(Topology.load(name)).guests


def test_other_topologies_are_not_offered():
    assert not offers("star-9")
    with pytest.raises(TopologyNotOffered, match="softroce-"):
        plan(star(2, name="star-2"))


def test_a_fifth_link_is_not_offered():
    assert plan(star(4)).guests
    with pytest.raises(TopologyNotOffered, match=r"nodes\.sw1.*5|5.*nodes\.sw1"):
        plan(star(5))


@pytest.mark.parametrize("port", ["br0", "mgmt", "lo", "data2", "a-very-long-port"])
def test_a_port_that_cannot_be_an_interface_is_refused(port):
    nodes = {"h1": Node(kind=NodeKind.HOST), "h2": Node(kind=NodeKind.HOST)}
    topology = Topology(
        name="softroce-x", nodes=nodes, links=(Link(endpoints=(f"h1:{port}", "h2:p0"), rate=10**7),)
    )
    with pytest.raises(LabError, match=f"h1:{port}"):
        plan(topology)


def test_names_too_long_for_a_socket_are_refused():
    nodes = {"h" * 40: Node(kind=NodeKind.HOST), "h2": Node(kind=NodeKind.HOST)}
    link = Link(endpoints=(f"{'h' * 40}:p0", "h2:p0"), rate=10**7)
    with pytest.raises(LabError, match="too long for a socket"):
        plan(Topology(name="softroce-x", nodes=nodes, links=(link,)))
    assert MAX_SOCKET_NAME < LONGEST_SOCKET_NAME
