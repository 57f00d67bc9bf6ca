from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness import patterns
from harness.core.errors import ConfigError
from harness.core.flow import Flow, Flows, Pattern
from harness.core.topology import Topology
from harness.core.units import KB, MB, US
from harness.core.yamlio import dump_yaml, parse_yaml, validate
from harness.patterns.all_to_all import AllToAll, Schedule
from harness.patterns.broadcast import Broadcast, Tree
from harness.patterns.incast import Incast
from harness.patterns.outcast import Outcast
from harness.patterns.pair import Pair
from harness.patterns.permutation import Permutation
from harness.patterns.ring_all_reduce import RingAllReduce
from harness.patterns.staircase import Staircase
from harness.patterns.victim import Shares, Victim

# The least that each pattern needs, as a file writes it; a new pattern needs a line here and nothing else.
EXAMPLES: dict[str, dict[str, Any]] = {
    "all_to_all": {"size": "300KB"},
    "flows": {"flows": [{"name": "f1", "src": "h1:p0", "dst": "h2:p0", "message_bytes": 1000}]},
    "broadcast": {"ranks": 5, "size": "1MB"},
    "incast": {"senders": 4, "size": "20MB", "receiver": "h6"},
    "outcast": {"receivers": ["h2", "h5"], "size": "1MB"},
    "pair": {"size": "1MB", "both_ways": True},
    "permutation": {"size": "1MB"},
    "ring_all_reduce": {"ranks": 5, "size": "1MB", "channels": 2},
    "staircase": {"senders": 3, "interval": "1ms"},
    "victim": {"senders": 2, "size": "1MB"},
}


def star(hosts: int, ports: int = 1) -> Topology:
    nodes: dict[str, Any] = {f"h{i}": {"kind": "host"} for i in range(1, hosts + 1)} | {
        "sw1": {"kind": "switch"}
    }
    links = [
        {"endpoints": [f"h{i}:p{port}", f"sw1:e{i}x{port}"], "rate": 100 * 10**9}
        for i in range(1, hosts + 1)
        for port in range(ports)
    ]
    return TypeAdapter(Topology).validate_python({"name": "star", "nodes": nodes, "links": links})


def two_switches(left: int, right: int) -> Topology:
    sides = [(f"h{i}", "a" if i <= left else "b") for i in range(1, left + right + 1)]
    nodes: dict[str, Any] = {name: {"kind": "host"} for name, _ in sides}
    nodes |= {"a": {"kind": "switch"}, "b": {"kind": "switch"}}
    links = [{"endpoints": [f"{name}:p0", f"{side}:{name}"], "rate": 100 * 10**9} for name, side in sides]
    links.append({"endpoints": ["a:up", "b:up"], "rate": 400 * 10**9})
    return TypeAdapter(Topology).validate_python({"name": "two", "nodes": nodes, "links": links})


def build(name: str, fields: dict[str, Any]) -> Pattern:
    kind = patterns.load(name)
    if kind is Flows:
        return Flows.from_fields(fields, None)
    return TypeAdapter(kind).validate_python(fields)


def ends(flows: list[Flow]) -> list[tuple[str, str]]:
    return [(flow.src, flow.dst) for flow in flows]


class TestEveryPattern:
    def test_has_an_example(self) -> None:
        assert sorted(EXAMPLES) == patterns.names()

    @pytest.mark.parametrize("name", patterns.names())
    def test_gives_the_same_valid_flows_for_the_same_seed(self, name: str) -> None:
        topology = star(8)
        pattern = build(name, EXAMPLES[name])

        first, second = list(pattern.flows(topology, 7)), list(pattern.flows(topology, 7))

        assert first == second
        assert len({flow.name for flow in first}) == len(first) > 0
        assert len(first) == pattern.flow_count(topology)  # type: ignore[attr-defined]
        assert {port for flow in first for port in (flow.src, flow.dst)} <= set(topology.host_ports)
        assert all(flow.src.partition(":")[0] != flow.dst.partition(":")[0] for flow in first)
        known = {flow.name for flow in first}
        assert all(set(flow.after) <= known for flow in first)

    @pytest.mark.parametrize("name", patterns.names())
    def test_survives_a_file(self, name: str) -> None:
        pattern = build(name, EXAMPLES[name])
        fields = (
            pattern.to_fields()
            if isinstance(pattern, Flows)
            else TypeAdapter(type(pattern)).dump_python(pattern, mode="json")
        )

        text = dump_yaml(fields)
        if isinstance(pattern, Flows):
            again: Pattern = Flows.from_fields(parse_yaml(text, "x.yaml").data, None)
        else:
            again = validate(parse_yaml(text, "x.yaml"), type(pattern))

        assert again == pattern

    @pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"flows"}))
    def test_refuses_unknown_keys_by_name(self, name: str) -> None:
        with pytest.raises(ConfigError, match="unknown key 'prioritty'; did you mean 'priority'"):
            validate(parse_yaml(dump_yaml(EXAMPLES[name] | {"prioritty": 3}), "x.yaml"), patterns.load(name))

    @pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"flows"}))
    def test_jitter_moves_starts_by_the_seed_alone(self, name: str) -> None:
        topology = star(8)
        pattern = build(name, EXAMPLES[name] | {"jitter": "5us", "start": "1us"})

        starts = [[flow.start_ps for flow in pattern.flows(topology, seed)] for seed in (1, 1, 2)]

        assert starts[0] == starts[1] != starts[2]
        assert min(starts[0]) >= US

    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("incast", {"senders": 10**9, "size": "1KB"}),
            ("outcast", {"receivers": 10**9, "size": "1KB"}),
            ("permutation", {"size": "1KB", "hosts": 10**9}),
            ("all_to_all", {"size": "1KB", "hosts": 10**9}),
            ("victim", {"senders": 10**9, "size": "1KB"}),
            ("staircase", {"senders": 10**9, "interval": "1ms"}),
            ("ring_all_reduce", {"ranks": 10**9, "size": "1GB"}),
            ("ring_all_reduce", {"ranks": 8, "size": "1GB", "channels": 10**9}),
        ],
    )
    def test_refuses_absurd_sizes_before_making_flows(self, name: str, fields: dict[str, Any]) -> None:
        with pytest.raises(ConfigError):
            list(build(name, fields).flows(star(8), 1))


def test_unknown_pattern_names_those_that_exist() -> None:
    with pytest.raises(
        ConfigError, match=r"'incats'.*did you mean 'incast'\? patterns are: all_to_all, broadcast, flows"
    ):
        patterns.load("incats")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"senders": 0, "size": "1KB"}, "at least one host"),
        ({"senders": "8", "size": "1KB"}, "neither a number of hosts nor a list"),
        ({"senders": True, "size": "1KB"}, "neither a number"),
        ({"senders": 2, "size": 1000}, "without a unit"),
        ({"senders": 2, "size": "0B"}, "greater than or equal to 1"),
        ({"senders": 2, "size": "3GiB"}, "less than or equal to 2147483648"),
        ({"senders": 2, "size": "1KB", "priority": 8}, "less than or equal to 7"),
        ({"senders": 2, "size": "1KB", "rate": "nan"}, "not a rate"),
        ({"senders": 2}, "missing"),
    ],
)
def test_bad_fields_are_one_clear_error(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(parse_yaml(dump_yaml(fields), "x.yaml"), Incast)


def test_pair_is_first_to_last() -> None:
    topology = star(3)

    assert ends(Pair(1 * MB).flows(topology, 1)) == [("h1:p0", "h3:p0")]
    assert ends(Pair(1 * MB, "h2", "h1:p0", both_ways=True).flows(topology, 1)) == [
        ("h2:p0", "h1:p0"),
        ("h1:p0", "h2:p0"),
    ]
    with pytest.raises(ConfigError, match="send to itself"):
        Pair(1 * MB, "h2", "h2").flows(topology, 1)
    with pytest.raises(ConfigError, match=r"no such host.*'h9'.*hosts are: h1, h2, h3"):
        Pair(1 * MB, "h9").flows(topology, 1)


def test_incast_and_outcast_mirror_each_other() -> None:
    topology = star(4)

    assert ends(Incast(2, 1 * KB).flows(topology, 1)) == [("h1:p0", "h4:p0"), ("h2:p0", "h4:p0")]
    assert ends(Incast(("h3", "h4"), 1 * KB, "h1").flows(topology, 1)) == [
        ("h3:p0", "h1:p0"),
        ("h4:p0", "h1:p0"),
    ]
    assert ends(Outcast(2, 1 * KB).flows(topology, 1)) == [("h1:p0", "h2:p0"), ("h1:p0", "h3:p0")]
    with pytest.raises(ConfigError, match=r"senders: not enough host ports \(value 4\); topology star has 3"):
        Incast(4, 1 * KB).flows(topology, 1)
    with pytest.raises(ConfigError, match=r"send to itself.*'h4'"):
        Incast(("h1", "h4"), 1 * KB).flows(topology, 1)
    with pytest.raises(ConfigError, match=r"named twice.*'h1'"):
        Incast(("h1", "h1"), 1 * KB).flows(topology, 1)


def test_incast_carries_its_fields_into_flows() -> None:
    pattern = Incast(1, 5, name="hot", messages=3, qps=2, priority=5, start=7, rate=10, window=99, interval=4)

    flow = pattern.flows(star(2), 1)[0]

    assert (flow.name, flow.message_bytes, flow.messages, flow.qps, flow.priority) == ("hot-0", 5, 3, 2, 5)
    assert (flow.start_ps, flow.rate_bps, flow.window_bytes, flow.message_interval_ps) == (7, 10, 99, 4)


@pytest.mark.parametrize(("hosts", "ports"), [(2, 1), (3, 1), (16, 1), (4, 4)])
def test_permutation_is_one_in_one_out(hosts: int, ports: int) -> None:
    topology = star(hosts, ports)
    for seed in range(20):
        flows = Permutation(1 * MB).flows(topology, seed)

        assert Counter(flow.src for flow in flows) == Counter(topology.host_ports)
        assert Counter(flow.dst for flow in flows) == Counter(topology.host_ports)
        assert all(flow.src.partition(":")[0] != flow.dst.partition(":")[0] for flow in flows)


def test_permutations_differ_by_seed() -> None:
    topology = star(16)

    assert len({tuple(ends(Permutation(1 * MB).flows(topology, seed))) for seed in range(10)}) == 10


def test_permutation_by_shift() -> None:
    topology = star(4)

    assert [dst for _, dst in ends(Permutation(1 * MB, shift=1).flows(topology, 1))] == [
        "h2:p0",
        "h3:p0",
        "h4:p0",
        "h1:p0",
    ]
    with pytest.raises(ConfigError, match="shift"):
        Permutation(1 * MB, shift=4).flows(topology, 1)


def test_all_to_all_covers_every_pair_once() -> None:
    topology = star(5)
    for schedule in Schedule:
        pairs = ends(AllToAll(1 * KB, schedule=schedule).flows(topology, 1))

        assert len(pairs) == len(set(pairs)) == 20


def test_pairwise_steps_wait_for_what_arrived() -> None:
    flows = {flow.name: flow for flow in AllToAll(1 * KB, schedule=Schedule.PAIRWISE).flows(star(4), 1)}

    assert flows["all-to-all-0-1"].after == ()
    assert flows["all-to-all-0-2"].after == ("all-to-all-3-0",)
    assert flows["all-to-all-0-3"].after == ("all-to-all-2-0",)


def test_victims_share_what_they_say() -> None:
    topology = two_switches(4, 5)
    flows = Victim(("h1", "h5"), 1 * MB, "h9", shares=(Shares.NOTHING, Shares.SENDER, Shares.UPLINK)).flows(
        topology, 1
    )

    assert [flow.name for flow in flows[2:]] == ["victim-nothing", "victim-sender", "victim-uplink"]
    nothing, sender, uplink = ends(flows)[2:]
    assert nothing == ("h3:p0", "h4:p0")
    assert sender == ("h1:p0", "h7:p0")
    assert uplink == ("h2:p0", "h6:p0")


def test_no_room_for_a_victim_is_said() -> None:
    with pytest.raises(ConfigError, match="no place for a victim that shares uplink"):
        Victim(2, 1 * MB, shares=(Shares.UPLINK,)).flows(star(8), 1)
    with pytest.raises(ConfigError, match=r"shares nothing.*leaves free"):
        Victim(2, 1 * MB, shares=(Shares.NOTHING,)).flows(star(4), 1)
    with pytest.raises(ConfigError, match="twice"):
        Victim(2, 1 * MB, shares=(Shares.SENDER, Shares.SENDER)).flows(star(8), 1)


def test_staircase_sizes_are_fair_shares() -> None:
    flows = Staircase(3, interval=1000 * US, payload_share=0.8).flows(star(4), 1)

    # 100 Gb/s * 0.8 * 1 ms = 10 MB an interval; shares of the five intervals: 1, 1/2, 1/3, 1/2, 1.
    step = 10_000_000
    assert [flow.start_ps for flow in flows] == [0, 1000 * US, 2000 * US]
    assert [flow.message_bytes for flow in flows] == [
        int(step * (1 + 1 / 2 + 1 / 3)),
        int(step * (1 / 2 + 1 / 3 + 1 / 2)),
        int(step * (1 / 3 + 1 / 2 + 1)),
    ]


def test_staircase_refuses_steps_that_no_message_fits() -> None:
    with pytest.raises(ConfigError, match="too short or too long"):
        Staircase(3, interval=10**12).flows(star(4), 1)


@pytest.mark.parametrize(("ranks", "size"), [(2, 2), (3, 10), (4, 7), (5, 1_000_003), (8, 64)])
def test_ring_all_reduce_reduces_and_gathers(ranks: int, size: int) -> None:
    """Run the flows in dependency order on sets of contributions and check sums, bytes and links."""
    flows = RingAllReduce(ranks, size).flows(star(ranks), 1)
    chunk = -(-size // ranks)
    sizes = [min(chunk, size - index * chunk) for index in range(ranks)]
    held = [[{rank} for _ in range(ranks)] for rank in range(ranks)]
    done: set[str] = set()
    for step in range(2 * (ranks - 1)):
        now = flows[step * ranks : (step + 1) * ranks]
        assert all(set(flow.after) <= done for flow in now)
        arriving = []
        for rank, flow in enumerate(now):
            index = (rank - step) % ranks if step < ranks - 1 else (rank + 1 - (step - ranks + 1)) % ranks
            assert flow.message_bytes == sizes[index]
            assert (flow.src, flow.dst) == (f"h{rank + 1}:p0", f"h{(rank + 1) % ranks + 1}:p0")
            arriving.append(((rank + 1) % ranks, index, set(held[rank][index])))
        for rank, index, content in arriving:
            held[rank][index] = held[rank][index] | content if step < ranks - 1 else content
        done |= {flow.name for flow in now}

    assert all(content == set(range(ranks)) for rank in held for content in rank)
    assert sum(flow.message_bytes for flow in flows) == 2 * (ranks - 1) * size


def test_ring_steps_wait_for_the_left_neighbour_and_for_their_own_last_chunk() -> None:
    flows = {flow.name: flow for flow in RingAllReduce(4, 4 * KB, reduce_time=5).flows(star(4), 1)}

    assert flows["ring-all-reduce-0-0-2"].after == ()
    assert flows["ring-all-reduce-0-3-0"].after == ("ring-all-reduce-0-2-3", "ring-all-reduce-0-2-0")
    assert flows["ring-all-reduce-0-3-0"].after_delay_ps == 5
    source = flows["ring-all-reduce-0-3-0"].src
    assert flows["ring-all-reduce-0-2-3"].dst == source  # what it waits for arrives where it starts


@pytest.mark.parametrize("ranks", [2, 3, 5, 8])
@pytest.mark.parametrize(("tree", "chunks"), [("binomial", 1), ("chain", 1), ("chain", 4)])
def test_a_broadcast_reaches_every_rank_once_in_its_rounds(ranks: int, tree: str, chunks: int) -> None:
    """Whoever sends has what it sends, one transfer at a time, and the rounds are as many as the formula says."""
    flows = list(Broadcast(ranks, 1003, tree=Tree(tree), chunks=chunks).flows(star(8), 1))
    end: dict[str, int] = {}
    busy: dict[tuple[str, int], str] = {}
    held = {("h1:p0", chunk) for chunk in range(chunks)}
    for flow in flows:
        chunk = int(flow.name.split("-")[1])
        end[flow.name] = 1 + max((end[name] for name in flow.after), default=0)
        assert (flow.src, chunk) in held
        assert (flow.dst, chunk) not in held
        assert busy.setdefault((flow.src, end[flow.name]), flow.name) == flow.name
        held.add((flow.dst, chunk))

    rounds = (ranks - 1).bit_length() if tree == "binomial" else ranks - 2 + chunks
    assert len(held) == ranks * chunks
    assert max(end.values()) == rounds
    assert sum(flow.message_bytes for flow in flows) == (ranks - 1) * 1003


def test_a_broadcast_refuses_chunks_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="only a chain has chunks"):
        Broadcast(4, 1 * KB, chunks=2).flows(star(8), 1)
    with pytest.raises(ConfigError, match="too few bytes for these chunks"):
        Broadcast(4, 5, tree=Tree.CHAIN, chunks=4).flows(star(8), 1)


def test_ring_refuses_chunks_of_nothing() -> None:
    with pytest.raises(ConfigError, match="too few bytes for this ring"):
        RingAllReduce(8, 10).flows(star(8), 1)


def test_channels_split_the_buffer() -> None:
    flows = RingAllReduce(2, 1001, channels=2, align=1).flows(star(2), 1)

    assert sum(flow.message_bytes for flow in flows) == 2 * 1001
    assert len(flows) == 8


@pytest.mark.parametrize(("ranks", "size", "channels"), [(2, 64, 1), (4, 4096, 2), (3, 12, 1)])
def test_ring_sums_reach_every_rank(ranks: int, size: int, channels: int) -> None:
    """Execute what the flows say is added and stored: every rank ends with the sum of all."""
    flows = RingAllReduce(ranks, size, channels, dtype="int32").flows(star(ranks), 1)
    groups = {flow.reduce.group: flow.reduce.buffer_bytes // 4 for flow in flows if flow.reduce}
    held = {
        (group, rank): [(rank + 1) * (index % 251 + 1) for index in range(count)]
        for group, count in groups.items()
        for rank in range(ranks)
    }
    want = {
        group: [sum(held[group, r][i] for r in range(ranks)) for i in range(n)] for group, n in groups.items()
    }
    step = ranks  # the flows of one step of one channel stand together
    for begin in range(0, len(flows), step):
        sent = []
        for flow in flows[begin : begin + step]:
            part = flow.reduce
            assert part is not None
            cut = slice(part.offset // 4, (part.offset + flow.message_bytes) // 4)
            sent.append((part, cut, list(held[part.group, part.src_rank][cut])))
        for part, cut, values in sent:
            target = held[part.group, part.dst_rank]
            added = [a + b for a, b in zip(target[cut], values, strict=True)]
            target[cut] = added if part.op == "sum" else values

    assert len(groups) == channels
    assert all(held[group, rank] == want[group] for group in groups for rank in range(ranks))


def test_ring_sums_need_whole_elements() -> None:
    with pytest.raises(ConfigError, match="does not divide into chunks of float32"):
        RingAllReduce(4, 4 * 1000 + 2, dtype="float32").flows(star(4), 1)
    assert RingAllReduce(4, 4 * 1001, align=4, dtype="float32").flows(star(4), 1)
