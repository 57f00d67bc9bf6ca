from __future__ import annotations

from itertools import pairwise

import pytest

from harness.core.errors import ConfigError
from harness.core.topology import Link, Node, NodeKind, Topology, available
from harness.core.units import GBPS, US
from harness.core.yamlio import parse_yaml


def of(text):
    return Topology.from_document(parse_yaml(text, "t.yaml"), "t")


@pytest.mark.parametrize(
    ("name", "hosts", "switches", "links"),
    [
        ("dumbbell", 2, 1, 2),
        ("star-9", 9, 1, 9),
        ("incast-8", 9, 1, 9),
        ("leaf-spine-16", 16, 8, 32),
        ("two-tier-128", 128, 24, 256),
        ("leaf-spine-256", 256, 32, 512),
        ("ring-4", 8, 4, 12),
        ("mixed-speed", 4, 1, 4),
    ],
)
def test_shipped_topologies_load(name, hosts, switches, links):
    topology = Topology.load(name)
    assert topology.name == name
    assert (len(topology.hosts), len(topology.switches), len(topology.links)) == (hosts, switches, links)
    assert name in available()


def test_the_dumbbell_of_the_design_is_as_written():
    topology = Topology.load("dumbbell")
    assert topology.host_ports == ("h1:p0", "h2:p0")
    assert topology.switch_ports == ("sw1:e1", "sw1:e2")
    assert topology.peer("h1:p0") == "sw1:e1"
    assert topology.line_rate_bps("h1:p0") == 100 * GBPS
    assert topology.nodes["sw1"].buffer == 32_000_000
    assert topology.link("h1:p0").delay == US


def test_leaf_spine_paths_are_one_per_spine_and_shortest():
    topology = Topology.load("leaf-spine-16")
    paths = topology.paths("h1", "h16")
    assert len(paths) == 4
    assert paths[0] == ("h1:p0", "leaf1:e5", "spine1:e4", "leaf4:e4")
    assert {topology.peer(path[1]).partition(":")[0] for path in paths} == {f"spine{i}" for i in range(1, 5)}
    assert topology.paths("h1", "h2") == (("h1:p0", "leaf1:e2"),)


def test_every_path_is_a_walk_over_links_from_source_to_target():
    topology = Topology.load("leaf-spine-16")
    for path in topology.paths("h3", "h9"):
        for exit_, following in pairwise(path):
            assert topology.peer(exit_).partition(":")[0] == following.partition(":")[0]
        assert topology.peer(path[-1]) == "h9:p0"


def test_a_ring_has_two_ways_to_the_opposite_side():
    assert len(Topology.load("ring-4").paths("h1", "h5")) == 2


def test_hosts_never_forward():
    text = """
    nodes: {h1: {kind: host}, h2: {kind: host}, h3: {kind: host}}
    links:
      - {endpoints: ["h1:p0", "h2:p0"], rate: 1Gbps}
      - {endpoints: ["h2:p1", "h3:p0"], rate: 1Gbps}
    """
    with pytest.raises(ConfigError, match="no path from 'h1' to 'h3'.*hosts do not forward"):
        of(text)


def test_a_host_on_two_switches_is_no_shortcut_between_them():
    text = """
    nodes:
      {a: {kind: host}, b: {kind: host}, both: {kind: host}, s1: {kind: switch}, s2: {kind: switch}, s3: {kind: switch}}
    links:
      - {endpoints: ["a:p0", "s1:e1"], rate: 1Gbps}
      - {endpoints: ["b:p0", "s2:e1"], rate: 1Gbps}
      - {endpoints: ["both:p0", "s1:e2"], rate: 1Gbps}
      - {endpoints: ["both:p1", "s2:e2"], rate: 1Gbps}
      - {endpoints: ["s1:e3", "s3:e1"], rate: 1Gbps}
      - {endpoints: ["s2:e3", "s3:e2"], rate: 1Gbps}
    """
    topology = of(text)
    assert topology.paths("a", "b") == (("a:p0", "s1:e3", "s3:e2", "s2:e1"),)
    assert topology.paths("a", "both") == (("a:p0", "s1:e2"),)
    assert topology.paths("a", "both:p1") == (("a:p0", "s1:e3", "s3:e2", "s2:e2"),)


def test_two_hosts_may_be_wired_directly():
    topology = of(
        "nodes: {a: {kind: host}, b: {kind: host}}\nlinks: [{endpoints: ['a:p', 'b:p'], rate: 1Gbps}]"
    )
    assert topology.paths("a", "b") == (("a:p",),)


def test_parallel_links_are_different_paths():
    text = """
    nodes: {h1: {kind: host}, h2: {kind: host}, s1: {kind: switch}, s2: {kind: switch}}
    links:
      - {endpoints: ["h1:p0", "s1:e1"], rate: 1Gbps}
      - {endpoints: ["h2:p0", "s2:e1"], rate: 1Gbps}
      - {endpoints: ["s1:e2", "s2:e2"], rate: 1Gbps}
      - {endpoints: ["s1:e3", "s2:e3"], rate: 1Gbps}
    """
    assert of(text).paths("h1", "h2") == (("h1:p0", "s1:e2", "s2:e1"), ("h1:p0", "s1:e3", "s2:e1"))


def test_python_builds_the_same_topology_as_the_file():
    built = Topology(
        "t",
        {"a": Node(NodeKind.HOST), "b": Node("host")},
        (Link(("a:p", "b:p"), GBPS),),
    )
    assert built == of(
        "nodes: {a: {kind: host}, b: {kind: host}}\nlinks: [{endpoints: ['a:p', 'b:p'], rate: 1Gbps}]"
    )


def test_interface_order_follows_ports_then_links():
    text = """
    nodes: {h1: {kind: host}, h2: {kind: host}, s: {kind: switch, ports: [b, a]}}
    links:
      - {endpoints: ["h1:p0", "s:a"], rate: 1Gbps}
      - {endpoints: ["h2:p0", "s:b"], rate: 1Gbps}
    """
    assert of(text).ports("s") == ("b", "a")


def test_different_delays_of_hosts_and_fabric():
    topology = of(
        "generate: {leaf_spine: {leaves: 2, spines: 1, hosts_per_leaf: 1, host_delay: 1us, fabric_delay: 5us}}"
    )
    assert topology.link("h1:p0").delay == US
    assert topology.link("spine1:e1").delay == 5 * US


def test_unknown_names_say_what_exists(tmp_path):
    with pytest.raises(ConfigError, match="no topology named 'leafspine-16'; did you mean 'leaf-spine-16'"):
        Topology.load("leafspine-16")
    with pytest.raises(ConfigError, match="no such topology file"):
        Topology.load(tmp_path / "x.yaml")
    topology = Topology.load("dumbbell")
    with pytest.raises(ConfigError, match="there is no host 'h3'.*hosts are: h1, h2"):
        topology.paths("h1", "h3")
    with pytest.raises(ConfigError, match="the same host"):
        topology.paths("h1", "h1")


def test_the_schema_names_the_keys_of_files():
    schema = Topology.json_schema()
    assert set(schema["properties"]) == {"name", "nodes", "links", "generate"}
    assert "leaf_spine" in schema["properties"]["generate"]["properties"]
