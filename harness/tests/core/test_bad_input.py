"""Every mistake people make in files gives one error that says where, what, and what exists instead."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError
from harness.core.job import compile_job
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.yamlio import load_yaml

TOPOLOGY = """\
nodes:
  h1: {kind: host}
  h2: {kind: host}
  sw1: {kind: switch, buffer: 32MB}
links:
  - {endpoints: ["h1:p0", "sw1:e1"], rate: 100Gbps, delay: 1us}
  - {endpoints: ["h2:p0", "sw1:e2"], rate: 100Gbps, delay: 1us}
"""

TRAFFIC = '  - {pattern: flows, flows: [{name: a, src: "h1:p0", dst: "h9:p0", message_bytes: 20MB}]}'

SCENARIO = f"""\
topology: star-9
seed: 1
qos: {{pfc: {{priorities: [3]}}, ecn: {{kmin: 400KB, kmax: 1600KB, pmax: 20%}}}}
traffic:
{TRAFFIC}
events:
  - {{at: 5ms, link_down: "sw1:e2"}}
"""


def edited(text, old, new):
    assert old in text
    return text.replace(old, new)


TOPOLOGY_MISTAKES = [
    (
        "kind: switch, buffer",
        "kind: switch, bufer",
        ":4: nodes.sw1.bufer: unknown key 'bufer'; did you mean 'buffer'?",
    ),
    ("buffer: 32MB", "buffer: 32 parsecs", ":4: nodes.sw1.buffer: unknown unit 'parsecs' of a size"),
    (
        "buffer: 32MB",
        "buffer: 32",
        ":4: nodes.sw1.buffer: size without a unit (value 32); add a unit, such as 20MB",
    ),
    ("buffer: 32MB", "buffer: 0", ":4: nodes.sw1.buffer: a switch needs a buffer above zero"),
    (
        "{kind: host}",
        "{kind: hots}",
        "nodes.h1.kind: not one of the choices (value 'hots'); choices are 'host' or 'switch'",
    ),
    ("{kind: host}", "{}", "nodes.h1.kind: this key is missing"),
    ("{kind: host}", "[host]", "nodes.h1: expected a mapping (key: value), got a list"),
    (
        '"h2:p0", "sw1:e2"',
        '"h3:p0", "sw1:e2"',
        ":7: links[1].endpoints: dangling endpoint: there is no node 'h3'",
    ),
    (
        '"h2:p0", "sw1:e2"',
        '"h2", "sw1:e2"',
        ":7: links[1].endpoints: an endpoint is written node:port (value 'h2')",
    ),
    (
        '"h2:p0", "sw1:e2"',
        '"h2:p0", "sw1:e1"',
        ":7: links[1]: port 'sw1:e1' is used twice: by links[0] and links[1]",
    ),
    ('"h2:p0", "sw1:e2"', '"sw1:e1", "h1:p0"', ":7: links[1]: duplicate link: the same as links[0]"),
    ('"h2:p0", "sw1:e2"', '"h2:p0"', ":7: links[1].endpoints"),
    ('"h2:p0", "sw1:e2"', '"h2:p0", "h2:p0"', ":7: links[1].endpoints: a link joins two ports"),
    ("rate: 100Gbps, delay", "rate: 0, delay", ":6: links[0].rate: a rate above zero is needed (value 0)"),
    ("rate: 100Gbps, delay", "rate: 100, delay", ":6: links[0].rate: rate without a unit (value 100)"),
    ("rate: 100Gbps, delay", "rate: .nan, delay", ":6: links[0].rate: not a finite number (value nan)"),
    ("rate: 100Gbps, delay", "rate: .inf, delay", ":6: links[0].rate: not a finite number (value inf)"),
    ("rate: 100Gbps, delay", "delay", ":6: links[0].rate: this key is missing"),
    ("delay: 1us", "delay: -1us", ":6: links[0].delay: negative duration (value '-1us')"),
    ("delay: 1us", "delay: 1us, ber: 2", ":6: links[0].ber: must be less than or equal to 0.1 (value 2)"),
    ("delay: 1us", "delay: 1us, ber: .nan", ":6: links[0].ber: must be a finite number (value nan)"),
    ("  h1: {kind: host}\n  h2: {kind: host}\n", "", "nodes: a topology without hosts"),
    (
        '  - {endpoints: ["h2:p0", "sw1:e2"], rate: 100Gbps, delay: 1us}\n',
        "",
        ":5: links: host 'h2' has no link",
    ),
    (TOPOLOGY, "[1, 2]", ":1: expected a mapping (key: value), got a list"),
    (TOPOLOGY, "", "the file is empty"),
    (
        TOPOLOGY,
        "generate: {star: {hosts: 1000000000}}",
        ":1: generate.star.hosts: must be less than or equal to 32768",
    ),
    (
        TOPOLOGY,
        "generate: {star: {host: 4}}",
        ":1: generate.star.host: unknown key 'host'; did you mean 'hosts'?",
    ),
    (
        TOPOLOGY,
        "generate: {stra: {hosts: 4}}",
        ":1: generate: there is no shape 'stra'; did you mean 'star'?",
    ),
    (
        TOPOLOGY,
        "generate: {star: {hosts: 4, rate: 0}}",
        ":1: generate.star.rate: a rate above zero is needed",
    ),
    (TOPOLOGY, "generate: {leaf_spine: {leaves: 4096, spines: 1, hosts_per_leaf: 4096}}", "too many hosts"),
    (TOPOLOGY, "generate: {star: {hosts: 4}}\nlinks: []", ":2: links: either generate or links"),
    (
        'links:\n  - {endpoints: ["h1:p0", "sw1:e1"]',
        '  sw2: {kind: switch}\nlinks:\n  - {endpoints: ["h1:p0", "sw2:e1"]',
        "there is no path from 'h1' to 'h2'",
    ),
    (
        "h1: {kind: host}",
        "h1: {kind: host, nics: {p1: {}}}",
        "'h1' has no port 'p0' (value 'h1:p0'); its ports are: p1",
    ),
    (
        "h1: {kind: host}",
        "h1: {kind: host, nics: {p0: {rate: 25Gbps}}}",
        "the link is faster than the NIC port",
    ),
    ("h1: {kind: host}", "h1: {kind: host, buffer: 1MB}", "nodes.h1.buffer: a host has no 'buffer'"),
    (
        "kind: switch, buffer",
        "kind: switch, switch: {ecmp: {mode: round}}, buffer",
        "nodes.sw1.switch.ecmp.mode: not one of",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), TOPOLOGY_MISTAKES)
def test_mistakes_in_a_topology(tmp_path, old, new, message):
    file = tmp_path / "t.yaml"
    file.write_text(edited(TOPOLOGY, old, new))
    with pytest.raises(ConfigError) as error:
        Topology.load(file)
    check(error.value, file, message)


SCENARIO_MISTAKES = [
    ("seed: 1", "sede: 1", ":2: sede: unknown key 'sede'; did you mean 'seed'?"),
    ("seed: 1", "seed: -1", ":2: seed: a seed is from 0 to 2^63-1 (value -1)"),
    ("seed: 1", "seed: .nan", ":2: seed"),
    ("seed: 1", "sample_every: 10 parsecs", ":2: sample_every: unknown unit 'parsecs'"),
    ("seed: 1", "sample_every: 10", ":2: sample_every: duration without a unit (value 10)"),
    ("seed: 1", "until: tomorrow", ":2: until: not one of the choices (value 'tomorrow')"),
    ("seed: 1", "until: duration", "duration: until duration, but there is no duration"),
    ("seed: 1", "duration: 0s", ":2: duration: a duration is above zero"),
    ("seed: 1", "drain: 1us", ":2: drain: drain belongs to until: duration"),
    ("seed: 1", "duration: 100s\nsample_every: 1ps", "too many samples"),
    ("seed: 1", "topology2: 1", "unknown key 'topology2'; did you mean 'topology'?"),
    ("topology: star-9", "topology: star-8", "no topology named 'star-8'; did you mean 'star-9'?"),
    ("topology: star-9", "topology: 9", ":1: topology: expected the name of a topology"),
    (
        "topology: star-9",
        "topology: {nodes: {h1: {kind: host}}, links: 3}",
        ":1: topology.links: expected a list",
    ),
    ("[3]", "[9]", ":3: qos.pfc.priorities: there is no priority 9; priorities are 0 to 7"),
    ("[3]", "3", ":3: qos.pfc.priorities: not a list of priorities (value 3); write a list such as [3]"),
    ("[3]", "[3, 3]", "a priority is listed twice"),
    ("kmin: 400KB", "kmin: 4MB", ":3: qos.ecn.kmin: kmin 4000000 bytes is above kmax 1600000 bytes"),
    ("kmin: 400KB, ", "", ":3: qos.ecn.kmin: kmin and kmax are given together"),
    ("pmax: 20%", "pmax: 20", ":3: qos.ecn.pmax: a fraction is from 0 to 1 (0% to 100%) (value 20)"),
    ("pmax: 20%", "pmax: .nan", ":3: qos.ecn.pmax: not a finite number"),
    (
        "pmax: 20%}",
        "pmax: 20%}, dcqcn: {preset: mlx6}",
        ":3: qos.dcqcn.preset: not one of the choices (value 'mlx6')",
    ),
    (
        "pmax: 20%}",
        "pmax: 20%}, dcqcn: {preset: paper, rpg_gd: 3}",
        ":3: qos.dcqcn.rpg_gd: preset 'paper' has no 'rpg_gd'",
    ),
    (
        "pmax: 20%}",
        "pmax: 20%}, ets: {weights: {3: 0}}",
        ":3: qos.ets.weights: a weight is a whole number above zero",
    ),
    (
        "pmax: 20%}",
        "pmax: 20%}, nic: {mtu: 1KB, retry_count: 8}",
        ":3: qos.nic.retry_count: must be less than",
    ),
    ("message_bytes: 20MB", "message_byte: 20MB", ":5: traffic[0].flows[0].message_byte: unknown key"),
    (
        "message_bytes: 20MB",
        "message_bytes: 20 parsecs",
        ":5: traffic[0].flows[0].message_bytes: unknown unit",
    ),
    (
        "message_bytes: 20MB",
        "message_bytes: 0",
        ":5: traffic[0].flows[0].message_bytes: flow 'a': out of range (value 0)",
    ),
    (
        "message_bytes: 20MB",
        "message_bytes: 20MB, priority: 8",
        ":5: traffic[0].flows[0].priority: flow 'a': out of range",
    ),
    (
        "message_bytes: 20MB",
        "message_bytes: 20MB, verb: wirte",
        ":5: traffic[0].flows[0].verb: not one of the choices",
    ),
    (
        "message_bytes: 20MB",
        "message_bytes: 20MB, transport: ud",
        ":5: traffic[0].flows[0].verb: flow 'a': transport ud has no write",
    ),
    ("h9:p0", "h1:p0", ":5: traffic[0].flows[0].dst: flow 'a' goes from 'h1:p0' to itself"),
    ("h9:p0", "h10:p0", "flow 'a': there is no host port (value 'h10:p0'); did you mean 'h1:p0'?"),
    (
        "message_bytes: 20MB",
        "message_bytes: 20MB, after: [b]",
        "flow 'a' waits for a flow that does not exist (value 'b')",
    ),
    ("message_bytes: 20MB", "message_bytes: 20MB, messages: 0", "flow 'a' sends for ever (messages 0)"),
    ("message_bytes: 20MB", "message_bytes: 20MB, qps: 2000000000", "out of range"),
    (
        "pattern: flows",
        "pattern: flow",
        ":5: traffic[0].pattern: unknown pattern (value 'flow'); did you mean 'flows'?",
    ),
    ("pattern: flows", "pattern: 3", ":5: traffic[0].pattern: which pattern?"),
    ("{pattern: flows, flows", "{flows", ":5: traffic[0].pattern: which pattern?"),
    (TRAFFIC, "  - incast", ":5: traffic[0]: expected a pattern"),
    (TRAFFIC, "  []", ":4: traffic: there is no traffic"),
    (
        TRAFFIC,
        "  - {pattern: incast, sender: 8, size: 20MB}",
        ":5: traffic[0].sender: unknown key 'sender'; did you mean 'senders'?",
    ),
    (
        TRAFFIC,
        "  - {pattern: incast, senders: 8, size: 20}",
        ":5: traffic[0].size: size without a unit (value 20)",
    ),
    (TRAFFIC, "  - {pattern: incast, senders: 1000000000, size: 20MB}", "senders"),
    ("at: 5ms, link_down", "at: 5, link_down", ":7: events[0].at: duration without a unit (value 5)"),
    (
        "at: 5ms, link_down",
        "at: 5ms, link_dwon",
        ":7: events[0]: the kind of the event is missing; did you mean 'link_down'?",
    ),
    ("at: 5ms, link_down", "link_down", ":7: events[0].at: this key is missing"),
    (
        'link_down: "sw1:e2"',
        'link_down: "sw1:e20"',
        "events[0]: there is no such port (value 'sw1:e20'); did you mean 'sw1:e2'?",
    ),
    (
        'link_down: "sw1:e2"',
        'link_rate: "sw1:e2", rate: 0',
        ":7: events[0].rate: a rate above zero is needed",
    ),
    (
        'link_down: "sw1:e2"',
        'pause_storm: "sw1:e2", priorities: [3], duration: 1ms',
        "events[0]: there is no such host port",
    ),
    (
        'link_down: "sw1:e2"',
        "impair: b, action: drop, packets: [3]",
        "events[0]: there is no such flow (value 'b'); flows are: a",
    ),
    ('link_down: "sw1:e2"', "impair: a, action: drop", ":7: events[0].packets: either packets or fraction"),
    (
        'link_down: "sw1:e2"',
        "impair: a, action: explode, fraction: 1%",
        ":7: events[0].action: not one of the choices",
    ),
    (
        'link_down: "sw1:e2"',
        "qos_change: h1, switch: {ecn: null}",
        "events[0]: nothing that a host has changes",
    ),
    (
        'link_down: "sw1:e2"',
        "qos_change: sw9, switch: {ecn: null}",
        "events[0]: there is no such node (value 'sw9')",
    ),
    ("seed: 1", "nic: {cc: {algorithm: bbr}}", ":2: nic.cc.algorithm: unknown algorithm (value 'bbr')"),
    ("seed: 1", "nic: {cc: {algorithm: mlx5, g: 1}}", ":2: nic.cc.g: unknown key 'g'"),
    ("seed: 1", "nic: {cnp: {interval_ps: 4 parsecs}}", ":2: nic.cnp.interval_ps: unknown unit"),
    ("seed: 1", "wire: {model: fixed, vlan: true}", ":2: wire.vlan: unknown key 'vlan'"),
    (
        "seed: 1",
        "switch: {ecn: {profiles: [{kmin_bytes: 5, kmax_bytes: 4, pmax: 1}]}}",
        ":2: switch.ecn.profiles[0].kmin",
    ),
    ("seed: 1", "switch: {buffer: {alpha: .inf}}", ":2: switch.buffer.alpha: must be"),
    ("seed: 1", "time: {model: ns3, resolution_ps: 0}", ":2: time.resolution_ps"),
    ("seed: 1", "may_fail: [z*]", "may_fail names no flow (value 'z*'); flows are: a"),
]


def compiled(file):
    scenario = Scenario.load(file)
    return compile_job(scenario, scenario.resolved_topology(), seed=1)


@pytest.mark.parametrize(("old", "new", "message"), SCENARIO_MISTAKES)
def test_mistakes_in_a_scenario(tmp_path, old, new, message):
    file = tmp_path / "s.yaml"
    file.write_text(edited(SCENARIO, old, new))
    with pytest.raises(ConfigError) as error:
        compiled(file)
    check(error.value, file, message)


def check(error, file, message):
    text = str(error)
    expected = f"{file}{message}" if message.startswith(":") else message
    assert expected in text
    assert "\n" not in text
    assert len(text) < 1500


def test_the_texts_without_a_mistake_are_good(tmp_path):
    (tmp_path / "t.yaml").write_text(TOPOLOGY)
    (tmp_path / "s.yaml").write_text(SCENARIO)
    assert Topology.load(tmp_path / "t.yaml").hosts == ("h1", "h2")
    scenario = Scenario.from_document(load_yaml(tmp_path / "s.yaml"))
    assert compile_job(scenario, scenario.resolved_topology(), seed=1)["flows"]


def test_several_mistakes_are_one_error_that_says_so(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO.replace("kmin: 400KB", "kmin: 1 parsec").replace("at: 5ms", "at: 5"))
    with pytest.raises(ConfigError, match=r":3: qos.ecn.kmin: .*1 more problem after this one"):
        Scenario.load(file)
