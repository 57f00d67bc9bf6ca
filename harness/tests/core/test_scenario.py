from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.blocks import NicBlock, SwitchBlock
from harness.core.errors import ConfigError
from harness.core.events import DrainRate, Impair, LinkDown, LinkRate, LinkUp, PauseStorm, QosChange
from harness.core.flow import Flow, Flows
from harness.core.qos import Ack, Buffer, Cnp, Dcqcn, Ecmp, Ecn, EcnProfile, Ets, Nic, Pfc, Qos, Watchdog
from harness.core.scenario import Scenario
from harness.core.topology import Link, Node, Topology
from harness.core.units import GBPS, KB, MB, MS, US
from harness.core.yamlio import parse_yaml
from harness.patterns.incast import Incast
from harness.patterns.ring_all_reduce import RingAllReduce


def reread(scenario):
    return Scenario.from_document(parse_yaml(scenario.dump(), "dumped.yaml"))


times = st.integers(0, 10**13)
positive_times = st.integers(1, 10**13)
rates = st.integers(1, 10**12)
sizes = st.integers(1, 10**9)
fractions = st.floats(0, 1)
priorities = st.frozensets(st.integers(0, 7))
some_priorities = st.frozensets(st.integers(0, 7), min_size=1)
names = st.text("abcdefgh123-_.é", min_size=1, max_size=8)
ports = st.sampled_from(["h1:p0", "sw1:e2", "leaf1:e3"])


def maybe(strategy):
    return st.none() | strategy


thresholds = st.tuples(sizes, sizes).map(sorted)
qos = st.builds(
    Qos,
    pfc=maybe(
        st.builds(
            Pfc,
            priorities,
            mode=st.sampled_from(["quanta", "until_resume"]),
            quanta=st.integers(1, 65535),
            watchdog=maybe(st.builds(Watchdog, times, times, times, st.sampled_from(["drop", "forward"]))),
        )
    ),
    ecn=maybe(
        st.builds(
            lambda k, p, s, w: Ecn(k[0], k[1], p, s, "enqueue", w),
            thresholds,
            fractions,
            priorities,
            st.booleans(),
        )
        | st.builds(Ecn)
        | st.builds(
            lambda r, k, p: Ecn(profiles=[EcnProfile(r, k[0], k[1], p)]), rates, thresholds, fractions
        )
    ),
    dcqcn=maybe(
        st.builds(
            Dcqcn,
            st.just("paper"),
            g=maybe(fractions),
            alpha_timer_ps=maybe(times),
            clamp_target=maybe(st.booleans()),
        )
        | st.builds(Dcqcn, st.just("mlx5"), rpg_gd=maybe(st.integers(0, 100)))
        | st.builds(Dcqcn, st.just("ns3"), rate_ai_bps=maybe(rates))
    ),
    cnp=maybe(
        st.builds(
            Cnp, st.sampled_from(["cnp", "none"]), times, st.sampled_from(["qp", "port"]), st.integers(0, 7)
        )
    ),
    ets=maybe(st.builds(Ets, st.lists(st.integers(1, 100), min_size=8, max_size=8), priorities)),
    buffer=maybe(st.builds(Buffer, maybe(sizes), st.floats(0.01, 8), headroom=maybe(sizes))),
    ack=maybe(st.builds(Ack, st.integers(1, 64), maybe(st.integers(0, 7)), st.booleans())),
    nic=maybe(st.builds(Nic, st.sampled_from([1024, 4096]), ack_timeout=st.integers(0, 31), rx_drain=rates)),
    ecmp=maybe(st.builds(Ecmp, st.sampled_from(["spray", "dqpn"]), maybe(st.integers(0, 2**32)))),
    dscp_map=maybe(st.dictionaries(st.integers(0, 63), st.integers(0, 7))),
)
flows = st.builds(
    Flow,
    name=names,
    src=st.just("h1:p0"),
    dst=st.just("h2:p0"),
    message_bytes=sizes,
    verb=st.sampled_from(["write", "send"]),
    priority=st.integers(0, 7),
    start_ps=times,
    rate_bps=rates,
    after=st.tuples(names),
    flow_label=maybe(st.integers(0, 2**20 - 1)),
    dscp=maybe(st.integers(0, 63)),
)
patterns = st.one_of(
    st.lists(flows, min_size=1, max_size=3).map(Flows),
    st.builds(Incast, st.integers(1, 8), sizes, priority=st.integers(0, 7), start=times, rate=rates),
    st.builds(RingAllReduce, ranks=st.integers(2, 8), size=st.integers(100, 10**6)),
)
events = st.one_of(
    st.builds(LinkDown, times, ports),
    st.builds(LinkUp, times, ports),
    st.builds(LinkRate, times, ports, rates),
    st.builds(DrainRate, times, ports, rates),
    st.builds(PauseStorm, times, ports, some_priorities, times, interval=maybe(times)),
    st.builds(Impair, times, names, st.just("drop"), st.lists(st.integers(0, 99), min_size=1)),
    st.builds(Impair, times, names, st.just("delay"), fraction=fractions, delay=times),
    st.builds(QosChange, times, names, qos),
    st.builds(QosChange, times, names, switch=st.just({"ecn": None, "pfc": {"priorities": [4]}})),
)
topologies = (
    st.none()
    | st.sampled_from(["star-9", "dumbbell"])
    | st.builds(
        lambda rate, delay, ber: Topology(
            "two",
            {
                "h1": Node("host"),
                "h2": Node("host", nic={"mtu_bytes": 512}),
                "s": Node("switch", buffer=10 * MB),
            },
            [Link(("h1:p0", "s:e1"), rate, delay, ber), Link(("h2:p0", "s:e2"), rate, delay)],
        ),
        rates,
        times,
        st.floats(0, 0.1),
    )
)
scenarios = st.builds(
    Scenario,
    st.lists(patterns, min_size=1, max_size=2),
    qos=qos,
    events=st.lists(events, max_size=3),
    duration=maybe(positive_times),
    until=st.sampled_from([None, "done"]),
    sample_every=st.sampled_from([0, US, 10 * US, MS]),
    name=st.text("ab: #é'\"-", max_size=6),
    topology=topologies,
    seed=maybe(st.integers(0, 2**63 - 1)),
    may_fail=st.lists(names, max_size=2),
    wire=maybe(st.sampled_from([{"model": "fixed", "ack_bytes": 64}, {"vlan": True}])),
    time=maybe(st.just({"model": "ns3", "resolution_ps": 1000})),
    nic=maybe(st.sampled_from([{"cc": {"algorithm": "ns3", "pace": False}}, {"ack": {"every": 4}}])),
    switch=maybe(st.sampled_from([{"ecn": None}, {"buffer": {"model": "hpcc"}}])),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios)
def test_a_scenario_is_the_same_after_writing_and_reading(scenario):
    again = reread(scenario)
    assert again == scenario
    assert again.to_fields() == scenario.to_fields()


def test_the_file_of_the_design_is_read():
    scenario = Scenario.from_document(
        parse_yaml(
            """
topology: incast-8
seed: 1
until: done                     # or duration: 20ms
sample_every: 10us
qos: {pfc: {priorities: [3]}, ecn: {kmin: 400KB, kmax: 1600KB, pmax: 20%}, dcqcn: {preset: mlx5}}
traffic:
  - {pattern: incast, senders: 8, receiver: h9, verb: write, size: 20MB, priority: 3, start: 0us}
events:
  - {at: 5ms, link_down: "sw1:e2"}
""",
            "s.yaml",
        )
    )
    assert scenario == Scenario(
        Incast(8, size=20 * MB, receiver="h9", priority=3),
        qos=Qos(pfc=Pfc({3}), ecn=Ecn(kmin=400 * KB, kmax=1600 * KB, pmax=0.2), dcqcn=Dcqcn("mlx5")),
        events=[LinkDown(at=5 * MS, port="sw1:e2")],
        until="done",
        topology="incast-8",
        seed=1,
    )


@pytest.mark.parametrize(
    ("given", "by_duration", "limit"),
    [
        ({}, False, 10 * 10**12),
        ({"duration": 20 * MS}, True, 20 * MS),
        ({"until": "done", "duration": 20 * MS}, False, 20 * MS),
        ({"until": "duration", "duration": 5 * MS}, True, 5 * MS),
    ],
)
def test_when_a_run_ends(given, by_duration, limit):
    scenario = Scenario(Incast(2, size=MB), **given)
    assert (scenario.ends_by_duration, scenario.limit_ps) == (by_duration, limit)


def test_only_keys_that_were_written_are_kept_of_a_block():
    scenario = Scenario(Incast(2, size=MB), nic={"cnp": {"interval_ps": "4us"}}, switch={"ecn": None})
    assert scenario.to_fields()["nic"] == {"cnp": {"interval_ps": 4_000_000}}
    assert scenario.to_fields()["switch"] == {"ecn": None}
    assert isinstance(scenario.nic, NicBlock)
    assert isinstance(scenario.switch, SwitchBlock)


def test_wrong_arguments_in_python_are_the_same_errors():
    with pytest.raises(
        ConfigError, match="Scenario.sample_evry: unknown key 'sample_evry'; did you mean 'sample_every'"
    ):
        Scenario(Incast(2, size=MB), sample_evry=1)
    with pytest.raises(ConfigError, match="Pfc.priorities: there is no priority 8"):
        Pfc({8})
    with pytest.raises(ConfigError, match="expected a pattern"):
        Scenario(3)


def test_anything_with_flows_is_a_pattern():
    class Mine:
        def flows(self, topology, seed):
            return []

    mine = Mine()
    assert Scenario(mine).patterns == (mine,)


def test_a_pattern_that_cannot_be_written_to_a_file_still_runs():
    assert Scenario([Flows([Flow(name="a", src="h1:p0", dst="h2:p0", message_bytes=1)])], qos=Qos()).patterns


def test_the_schema_lists_the_events_and_the_keys():
    schema = Scenario.json_schema()
    assert {"traffic", "qos", "events", "topology", "seed", "duration"} <= set(schema["properties"])
    kinds = schema["properties"]["events"]["items"]["anyOf"]
    assert any("pause_storm" in kind["properties"] for kind in kinds)


def test_rates_of_thresholds_scale_with_the_ports():
    block = Qos(ecn=Ecn()).to_switch([25 * GBPS, 400 * GBPS])["ecn"]
    assert [(p["rate_bps"], p["kmin_bytes"], p["kmax_bytes"]) for p in block["profiles"]] == [
        (0, 400_000, 1_600_000),
        (25 * GBPS, 100_000, 400_000),
        (400 * GBPS, 1_600_000, 6_400_000),
    ]


def test_parameters_of_an_algorithm_ask_for_its_name():
    with pytest.raises(ConfigError, match="add algorithm: dcqcn or ns3"):
        QosChange(0, "h1", nic={"cc": {"min_rate_bps": 5}})
