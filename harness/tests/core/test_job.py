from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from harness.core.errors import ConfigError
from harness.core.events import Impair, LinkDown, PauseStorm, QosChange
from harness.core.flow import Flow, Flows
from harness.core.job import compile_job, expand, matches
from harness.core.qos import Buffer, Cnp, Dcqcn, Ecn, Nic, Pfc, Qos
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.units import KB, MB, US
from harness.patterns.incast import Incast

STAR = Topology.load("star-9")


def job_of(*args, seed=1, topology=STAR, trace=(), output_dir=None, **kwargs):
    return compile_job(Scenario(*args, **kwargs), topology, seed=seed, trace=trace, output_dir=output_dir)


def flow(name, **kwargs):
    return Flow(**{"name": name, "src": "h1:p0", "dst": "h2:p0", "message_bytes": MB, **kwargs})


TOP_KEYS = [
    "format",
    "name",
    "seed",
    "until",
    "duration_ps",
    "drain_ps",
    "sample_every_ps",
    "output_dir",
    "trace",
    "time",
    "wire",
    "nic",
    "switch",
    "nodes",
    "links",
    "flows",
    "events",
]


def test_every_top_level_key_of_the_format_is_there_and_no_other():
    assert list(job_of(Incast(2, size=MB))) == TOP_KEYS


def test_defaults_are_those_of_the_format():
    job = job_of(Incast(2, size=MB))
    assert job["nic"]["cc"] == {"algorithm": "none"}
    assert job["nic"]["pfc"]["priorities"] == []
    assert job["nic"]["cnp"] == {"mode": "cnp", "interval_ps": 4 * US, "scope": "qp", "priority": 6}
    assert job["switch"]["ecn"] is None
    assert job["switch"]["scheduler"] == {"kind": "ets", "weights": [1] * 8, "strict": [6, 7]}
    assert job["wire"] == {"model": "rocev2", "ip_version": 4, "vlan": False, "gap_bytes": 20}
    assert (job["until"], job["duration_ps"], job["trace"]) == ("done", 10 * 10**12, [])


def test_the_same_arguments_give_the_same_bytes():
    make = lambda: json.dumps(job_of(Incast(8, size=MB, jitter=US), seed=7))  # noqa: E731
    assert make() == make()


def test_qos_becomes_the_blocks_of_the_format():
    job = job_of(
        Incast(2, size=MB),
        qos=Qos(
            pfc=Pfc({3, 4}),
            ecn=Ecn(kmin=5 * KB, kmax=200 * KB, pmax=0.01),
            dcqcn=Dcqcn("paper", g=0.5),
            nic=Nic(mtu=4096),
        ),
    )
    assert job["nic"]["mtu_bytes"] == 4096
    assert job["nic"]["pfc"]["priorities"] == job["switch"]["pfc"]["priorities"] == [3, 4]
    assert job["nic"]["cc"]["algorithm"] == "dcqcn"
    assert job["nic"]["cc"]["g"] == 0.5
    assert job["nic"]["cc"]["alpha_timer_ps"] == 55 * US
    assert job["switch"]["ecn"]["profiles"] == [
        {"rate_bps": 0, "kmin_bytes": 5000, "kmax_bytes": 200_000, "pmax": 0.01}
    ]


@pytest.mark.parametrize(
    ("qos", "interval", "mode"),
    [
        (Qos(dcqcn=Dcqcn("paper")), 50 * US, "cnp"),
        (Qos(dcqcn=Dcqcn("mlx5")), 4 * US, "cnp"),
        (Qos(dcqcn=Dcqcn("ns3")), 4 * US, "ack_echo"),
        (Qos(dcqcn=Dcqcn("paper"), cnp=Cnp(interval=9 * US)), 9 * US, "cnp"),
    ],
)
def test_a_preset_brings_its_notification_point(qos, interval, mode):
    cnp = job_of(Incast(2, size=MB), qos=qos)["nic"]["cnp"]
    assert (cnp["interval_ps"], cnp["mode"]) == (interval, mode)


def test_raw_blocks_win_over_qos():
    job = job_of(
        Incast(2, size=MB),
        qos=Qos(pfc=Pfc({3}), dcqcn=Dcqcn("mlx5")),
        nic={"cc": {"algorithm": "ns3", "pace": False}, "pfc": {"quanta": 7}},
        switch={"pfc": {"priorities": [5]}},
    )
    assert job["nic"]["cc"]["algorithm"] == "ns3"
    assert job["nic"]["cc"]["pace"] is False
    assert "rpg_gd" not in job["nic"]["cc"]
    assert job["nic"]["pfc"] == {"priorities": [3], "mode": "quanta", "quanta": 7}
    assert job["switch"]["pfc"]["priorities"] == [5]


def switch_bytes(job):
    node = next(node for node in job["nodes"] if node["kind"] == "switch")
    return node.get("switch", job["switch"])["buffer"]["bytes"]


def test_the_buffer_is_the_topology_s_unless_the_scenario_says():
    small = Topology(
        "t", {"h1": {"kind": "host"}, "h2": {"kind": "host"}, "s": {"kind": "switch", "buffer": "9MB"}},
        [{"endpoints": ["h1:p0", "s:1"], "rate": "1Gbps"}, {"endpoints": ["h2:p0", "s:2"], "rate": "1Gbps"}],
    )  # fmt: skip
    pair = Incast(1, size=MB)
    assert switch_bytes(job_of(pair, topology=small)) == 9 * MB
    assert switch_bytes(job_of(pair, topology=small, qos=Qos(buffer=Buffer(alpha=1.0)))) == 9 * MB
    assert switch_bytes(job_of(pair, topology=small, qos=Qos(buffer=Buffer(size=5 * MB)))) == 5 * MB
    assert switch_bytes(job_of(pair, topology=small, switch={"buffer": {"bytes": 4 * MB}})) == 4 * MB


def test_a_node_s_own_block_is_whole():
    topology = Topology(
        "t", {"h1": {"kind": "host", "nic": {"mtu_bytes": 512}}, "h2": {"kind": "host"}},
        [{"endpoints": ["h1:p0", "h2:p0"], "rate": "1Gbps"}],
    )  # fmt: skip
    job = job_of(Incast(1, size=MB), topology=topology, qos=Qos(pfc=Pfc({3})))
    first, second = job["nodes"]
    assert first["nic"] == {**job["nic"], "mtu_bytes": 512}
    assert "nic" not in second


def test_samples_need_a_folder():
    assert job_of(Incast(2, size=MB))["sample_every_ps"] == 0
    assert job_of(Incast(2, size=MB), output_dir="/x")["sample_every_ps"] == 10 * US


def test_events_are_written_as_in_the_format():
    events = [
        LinkDown(US, "sw1:e2"),
        PauseStorm(US, "h2:p0", {4, 3}, 2 * US),
        Impair(US, "a", "drop", [0, 7], iteration=2),
        Impair(US, "a", "mark", fraction=0.5),
        QosChange(US, "sw1", Qos(ecn=Ecn(kmin=1, kmax=2))),
        QosChange(US, "h1", nic={"mtu_bytes": 2048}),
    ]
    job = job_of(Flows([flow("a")]), events=events)["events"]
    assert job[0] == {"kind": "link_down", "at_ps": US, "port": "sw1:e2"}
    assert job[1] == {
        "kind": "pause_storm", "at_ps": US, "port": "h2:p0", "priorities": [3, 4], "duration_ps": 2 * US,
        "quanta": 65535, "interval_ps": None,
    }  # fmt: skip
    assert job[2] == {
        "kind": "impair", "at_ps": US, "flow": "a", "action": "drop", "qp": 0, "packets": [0, 7], "iteration": 2
    }  # fmt: skip
    assert job[3] == {"kind": "impair", "at_ps": US, "flow": "a", "action": "mark", "qp": 0, "fraction": 0.5}
    assert list(job[4]) == ["kind", "at_ps", "node", "switch"]
    assert list(job[4]["switch"]) == ["ecn"]
    assert job[5] == {"kind": "qos", "at_ps": US, "node": "h1", "nic": {"mtu_bytes": 2048}}


def test_two_patterns_of_one_kind_keep_their_flows_apart():
    scenario = Scenario([Incast(2, size=MB), Incast(3, size=MB), Incast(1, size=MB)])
    expansion = expand(scenario, STAR, 1)
    assert expansion.groups == (
        ("incast-0", "incast-1"),
        ("incast-0~2", "incast-1~2", "incast-2~2"),
        ("incast-0~3",),
    )


def test_what_flows_wait_for_is_renamed_with_them():
    chain = Flows([flow("a"), flow("b", after=("a",))])
    names = expand(Scenario([chain, chain]), STAR, 1).flows
    assert [(each.name, each.after) for each in names] == [
        ("a", ()), ("b", ("a",)), ("a~2", ()), ("b~2", ("a~2",)),
    ]  # fmt: skip


@dataclass
class Many:
    count: int
    made: int = 0

    def flow_count(self, topology):
        return self.count

    def flows(self, topology, seed):
        for index in range(self.count):
            self.made += 1
            yield flow(f"f{index}")


def test_a_billion_flows_are_refused_before_one_is_made():
    many = Many(10**9)
    with pytest.raises(ConfigError, match="makes 1000000000 flows, more than a job holds; at most 1000000"):
        expand(Scenario(many), STAR, 1)
    assert many.made == 0


def test_a_pattern_that_does_not_count_is_stopped_at_the_bound(monkeypatch):
    monkeypatch.setattr("harness.core.job.MAX_FLOWS", 10)
    monkeypatch.delattr(Many, "flow_count")
    many = Many(10**9)
    with pytest.raises(ConfigError, match="more flows than a job holds"):
        expand(Scenario(many), STAR, 1)
    assert many.made == 11


@pytest.mark.parametrize(
    ("flows", "message"),
    [
        ([flow("a"), flow("a")], "two flows have the same name"),
        ([flow("a", dst="h99:p0")], "no host port"),
        ([flow("a", dst="sw1:e1")], "no host port"),
        ([flow("a", after=("zzz",))], "waits for a flow that does not exist"),
        ([flow("a", messages=0)], "sends for ever"),
        ([flow("a", qps=2_000_000), flow("b")], "too many queue pairs"),
    ],
)
def test_flows_that_do_not_fit_are_refused(flows, message):
    with pytest.raises(ConfigError, match=message):
        job_of(Flows(flows))


def test_unknown_traces_say_what_exists():
    with pytest.raises(ConfigError, match="unknown trace.*did you mean 'cc'.*there are: cc, pfc, drop, mark"):
        job_of(Incast(2, size=MB), trace=["ccc"])


def test_names_match_whole_or_by_their_beginning():
    assert matches("incast-3", "incast-*")
    assert matches("incast-3", "incast-3")
    assert not matches("incast-33", "incast-3")


def test_the_documented_keys_and_defaults_are_the_ones_in_use():
    """docs/job-format.md is the contract: every key in its tables exists with that default."""
    import re
    from pathlib import Path

    text = Path(__file__).parents[3].joinpath("docs/job-format.md").read_text(encoding="utf-8")
    job = job_of(Flows([flow("a")]))
    for heading, block in (
        ("## `nic`", job["nic"]),
        ("## `switch`", job["switch"]),
        ("## Flows", job["flows"][0]),
    ):
        table = text.split(heading)[1].split("\n\n")[1]
        rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
        keys = [key for row in rows for key in re.findall(r"`(\w+)`", row[0])]
        assert sorted(keys) == sorted(set(block)), heading
    documented = text.split("`cc.algorithm` and its parameters")[1].split("## `switch`")[0]
    for algorithm in ("dcqcn", "mlx5", "ns3"):
        line = documented.split(f"* `{algorithm}`:")[1].split("\n* ")[0]
        cc = job_of(Flows([flow("a")]), nic={"cc": {"algorithm": algorithm}})["nic"]["cc"]
        found = dict(re.findall(r"`(\w+)` \[([^\]]+)\]", line))
        assert set(found) == set(cc) - {"algorithm"}, algorithm
        for key, default in found.items():
            assert _base(default) == cc[key], f"{algorithm}.{key}"


def test_a_dscp_and_a_map_of_them_are_there_only_when_given():
    """Whoever reads jobs without these words is not asked to know them."""
    plain, told = job_of(Flows([flow("a")])), job_of(Flows([flow("a", dscp=10)]), qos=Qos(dscp_map={10: 5}))
    assert "dscp" not in plain["flows"][0]
    assert "dscp_map" not in plain["switch"]
    assert told["flows"][0]["dscp"] == 10
    assert told["switch"]["dscp_map"] == [5 if dscp == 10 else dscp >> 3 for dscp in range(64)]


@pytest.mark.parametrize(
    ("given", "message"),
    [({64: 3}, "no such DSCP"), ({26: 8}, "no such priority"), ([3], "not a mapping of DSCP")],
)
def test_a_dscp_map_that_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Qos(dscp_map=given)


def test_a_dscp_has_six_bits():
    with pytest.raises(ConfigError, match="0 to 63"):
        flow("a", dscp=64)


def _base(text):
    units = {"µs": 10**6, "Mb/s": 10**6}
    words = text.split()
    value = {"true": True, "false": False}.get(words[0])
    if value is None:
        value = float(words[0])
    return value * units[words[1]] if len(words) > 1 else value
