"""What is said to tc and nft and what is made of their answers: no kernel needed."""

from __future__ import annotations

import json
import math

import pytest

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import CommandFailed, ConfigError, UnexpectedOutput
from harness.core.port_counters import CounterTable
from harness.core.topology import Topology
from harness.switches import QpRoute, load
from harness.switches.linux import faults, queues, reading, shell
from harness.switches.linux.ports import SwitchPort
from harness.tests.switches.bench import Recording, block, ecn, impair, route, topology
from harness.transport.remote import Completed

PORT = SwitchPort(0, "sw1:e1", "e1", 40_000_000)
COMMANDS = (reading.LINKS, reading.QUEUES, reading.RULES)


def said(**texts):
    """A script's output: what each label printed."""
    return Completed(0, "".join(f"\n=== {label}\n{text}" for label, text in texts.items()), "")


def probed(*names, no=(), links=None):
    listed = links or [
        {"ifname": name, "mtu": 4200, "linkinfo": {"info_slave_kind": "bridge"}}
        for name in ("e1", "e2", *names)
    ]
    tried = {
        each: "no\n" if each in no else ""
        for each in ("commands", "plain", "red", "delays", "rules", "copies")
    }
    tried["commands"] = "nft\n" if "commands" in no else ""
    return said(**tried, **{"ip -d -j link show": json.dumps(listed)})


def driver(*answers, shape=None, node="sw1", ports=None, **probe):
    remote = Recording(probed(**probe), *answers)
    return load("linux")(remote, node, ports or {"e1": "e1", "e2": "e2"}, shape or topology()), remote


# --- what a switch is asked -------------------------------------------------------------------------------


def test_abilities_are_what_was_taken():
    everything, _ = driver()
    without, _ = driver(no=("red", "copies"))
    lost = everything.capabilities - without.capabilities
    assert lost == {Capability.ECN, Capability.QOS_CHANGE, Capability.PACKET_DUPLICATE}
    bare, _ = driver(no=("plain", "red", "delays", "rules", "copies"))
    assert bare.capabilities == {Capability.SWITCH_COUNTERS}


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"no": ("commands",)}, "sw1: no nft on this switch"),
        ({"links": [{"ifname": "eth0"}]}, "no such network device.*'e1'.*eth0"),
        ({"links": [{"ifname": "e1"}, {"ifname": "e2"}]}, "in no bridge.*'e1'"),
        ({"ports": {"e1": "e1; reboot", "e2": "e2"}}, r"switches\.sw1\.ports\.e1.*reboot"),
        ({"ports": {"e1": "e1"}}, r"switches\.sw1\.ports\.e2"),
    ],
)
def test_a_switch_that_is_not_as_the_site_says_is_refused_in_words(probe, words):
    with pytest.raises(ConfigError, match=words):
        driver(**probe)


def test_every_action_is_one_round_trip():
    switch, remote = driver()
    actions = [
        switch.snapshot,
        lambda: switch.configure(block()),
        lambda: switch.apply(impair("drop", packets=[0], iteration=1)),
        lambda: switch.apply({"kind": "link_rate", "at_ps": 0, "port": "h1:p0", "rate_bps": 1000}),
        lambda: switch.apply({"kind": "link_up", "at_ps": 0, "port": "h1:p0"}),
    ]
    empty = said(**dict.fromkeys(("ip -j link show", "tc -j qdisc show"), "[]"))
    remote.answers = [Completed(0, empty.stdout + "\n=== nft -s list ruleset\n", ""), *[said()] * 4]
    for count, action in enumerate(actions, start=2):
        switch.flows_connected({"f": [route()]})
        action()
        assert len(remote.scripts) == count


def test_a_command_that_fails_is_named_with_its_switch():
    switch, _ = driver(Completed(90, "", "=== ip -s -j link show\n=== tc -s -j qdisc show\nRTNETLINK: no\n"))
    with pytest.raises(CommandFailed, match=r"sw1: 'tc -s -j qdisc show' failed.*RTNETLINK: no"):
        switch.counters()


GOOD = {
    reading.LINKS: json.dumps([
        {"ifname": name, "flags": ["UP"], "stats64": {way: {"packets": 5, "bytes": 500} for way in ("rx", "tx")}}
        for name in ("e1", "e2")
    ]),
    reading.QUEUES: "[]",
    reading.RULES: '{"nftables": []}',
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "text", ["Segmentation fault", "{}", '"text"', "[1]", '{"nftables": 3}', '[{"kind": ']
)
def test_an_answer_nobody_understands_is_named_with_command_and_switch(command, text):
    if text == "{}" and command == reading.RULES:
        text = '{"other": []}'
    switch, _ = driver(said(**{**GOOD, command: text}))
    with pytest.raises(UnexpectedOutput) as wrong:
        switch.counters()
    assert "sw1" in str(wrong.value)
    assert repr(command) in str(wrong.value)


@pytest.mark.parametrize("missing", ["stats64", "tx", "packets"])
def test_a_counter_that_is_not_there_is_never_0(missing):
    link = {
        "ifname": "e1",
        "flags": [],
        "stats64": {way: {"packets": 5, "bytes": 500} for way in ("rx", "tx")},
    }
    holder = {"stats64": link, "tx": link["stats64"], "packets": link["stats64"]["tx"]}[missing]
    del holder[missing]
    switch, _ = driver(said(**{**GOOD, reading.LINKS: json.dumps([link])}))
    with pytest.raises(UnexpectedOutput, match=r"says no 'stats64\.tx\.packets' of e1 \(sw1:e1\)"):
        switch.counters()


def test_a_port_that_has_gone_is_an_error():
    switch, _ = driver(said(**{**GOOD, reading.LINKS: "[]"}))
    with pytest.raises(UnexpectedOutput, match="e1"):
        switch.counters()


# --- what a result says -----------------------------------------------------------------------------------


def port_reading(scale=1, **changes):
    base = {
        "link": {"tx_packets": 10, "tx_bytes": 1000, "rx_packets": 20, "rx_bytes": 2000},
        "queue": {
            "packets": 10, "bytes": 1000, "drops": 5, "red_marked": 3, "red_early": 2, "red_pdrop": 3, "red_other": 0
        },
        "rules": dict.fromkeys(faults.COUNTERS, 4),
    }  # fmt: skip
    scaled = {
        group: {key: value * scale for key, value in counters.items()} for group, counters in base.items()
    }
    return {"ports": {"sw1:e1": {**scaled, **changes}}, "purged": {"sw1:e1": 7 * (scale - 1)}}


def test_differences_have_the_keys_of_the_format():
    port = reading.deltas(port_reading(), port_reading(2), [3])["sw1:e1"]
    assert port == {
        "tx_packets": 10, "tx_bytes": 1000, "rx_packets": 20, "rx_bytes": 2000,
        "ecn_marked": [0, 0, 0, 3, 0, 0, 0, 0], "wred_dropped": [0, 0, 0, 2, 0, 0, 0, 0],
        "drops": {"egress_limit": 3, "wred": 2, "injected": 4, "link_down": 11},
        "injected": dict.fromkeys(faults.ACTIONS, 4),
    }  # fmt: skip


def test_the_counters_offered_are_those_filled_in():
    switch, remote = driver()
    remote.answers = [said()]
    switch.configure(block(ecn=ecn(1, 2, 1.0)))
    found = CounterTable(switch.deltas(port_reading(), port_reading(2)), frozenset())
    assert {counter for counter in Counter if isinstance(found[counter], int)} == switch.offered


@pytest.mark.parametrize("group", ["queue", "rules"])
def test_drops_that_were_reset_are_unknown_as_a_whole(group):
    later = port_reading(2)
    later["ports"]["sw1:e1"][group] = dict.fromkeys(later["ports"]["sw1:e1"][group], 0)
    port = reading.deltas(port_reading(), later, [3])["sw1:e1"]
    assert "drops" not in port
    assert port["tx_packets"] == 10


def test_frames_that_were_reset_are_unknown():
    later = port_reading(2)
    later["ports"]["sw1:e1"]["link"]["tx_packets"] = 0
    port = reading.deltas(port_reading(), later, [3])["sw1:e1"]
    assert "tx_packets" not in port
    assert port["rx_packets"] == 20


def test_a_port_read_once_is_left_out():
    assert reading.deltas({"ports": {}}, port_reading(), [3]) == {}


# --- which switch acts ------------------------------------------------------------------------------------

TWO = Topology(
    name="two",
    nodes={
        "h1": {"kind": "host"},
        "h2": {"kind": "host"},
        "s1": {"kind": "switch"},
        "s2": {"kind": "switch"},
    },
    links=[
        {"endpoints": ["h1:p0", "s1:e1"], "rate": "1Gbps"},
        {"endpoints": ["s1:e2", "s2:e2"], "rate": "1Gbps"},
        {"endpoints": ["h2:p0", "s2:e1"], "rate": "1Gbps"},
    ],
)


def acted(node, event, flow=None):
    switch, remote = driver(shape=TWO, node=node)
    remote.answers = [said()] * 2
    switch.configure(block())
    switch.flows_connected({"f": [flow or route()]})
    if event["kind"] == "link_down":
        shown = json.dumps([{"handle": "4791:", "packets": 1, "qlen": 0}])
        labels = (f"tc -s -j qdisc show ({when})" for when in ("before", "after"))
        remote.answers = [said(**dict.fromkeys(labels, shown))]
    done = switch.apply(event)
    assert (len(remote.scripts) == 3) == done.acted
    return done.acted


EVENTS = {
    "a flow to h2": (impair("drop", fraction=0.5), None, {"s2"}),
    "a flow to h1": (impair("drop", fraction=0.5), route(src="h2:p0", dst="h1:p0"), {"s1"}),
    "a read from h2": (impair("drop", fraction=0.5), route(read=True), {"s1"}),
    "a host's link": ({"kind": "link_down", "at_ps": 0, "port": "h1:p0"}, None, {"s1"}),
    "a switch's end": ({"kind": "link_down", "at_ps": 0, "port": "s1:e2"}, None, {"s1"}),
    "the rate of a link has two ends": (
        {"kind": "link_rate", "at_ps": 0, "port": "s1:e2", "rate_bps": 10**6}, None, {"s1", "s2"},
    ),
    "a node's QoS": ({"kind": "qos", "at_ps": 0, "node": "s2", "switch": {"ecn": ecn(1, 2, 1.0)}}, None, {"s2"}),
    "a host's QoS": ({"kind": "qos", "at_ps": 0, "node": "h1", "nic": {}}, None, set()),
}  # fmt: skip


@pytest.mark.parametrize(("event", "flow", "nodes"), EVENTS.values(), ids=EVENTS)
def test_the_right_switch_acts(event, flow, nodes):
    assert {node for node in ("s1", "s2") if acted(node, event, flow)} == nodes


# --- marking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kmin", [1, 999, 1000, 1001, 2000, 4096, 30_000, 99_999, 400_000, 5_000_000])
def test_tc_derives_the_shortest_average_from_what_it_is_given(kmin):
    """The condition by which tc chooses the weight 1/2 (Wlog 1): 1 <= a <= 2 (1 - 2^-burst)."""
    command = queues._red(queues.Marking(kmin, kmin * 2, 0.1), 10**9, block())
    given = dict(zip(command[1:-2:2], command[2:-1:2], strict=False))
    burst, packet, low = (int(given[key]) for key in ("burst", "avpkt", "min"))
    a = burst + 1 - low / packet
    assert 1 <= a <= 2 * (1 - 0.5**burst)


@pytest.mark.parametrize("pmax", [0.01, 0.1, 0.5, 1.0])
def test_evenly_spaced_marks_have_the_share_of_independent_ones(pmax):
    """A gap is one of 1 … 1/p with equal chance, on average (1 + 1/p) / 2."""
    p = queues.marking(ecn(0, 0, pmax), 10**9).probability
    assert math.isclose(2 / (1 + 1 / p), pmax, rel_tol=0.001)


def test_no_chance_at_all_is_as_little_as_tc_takes():
    assert 0 < queues.marking(ecn(1000, 2000, 0.0), 10**9).probability < 1e-5


def test_ports_take_the_profile_of_their_rate():
    profiles = [
        {"rate_bps": rate, "kmin_bytes": rate, "kmax_bytes": rate, "pmax": 1.0} for rate in (0, 10**6)
    ]
    block_ = {"profiles": profiles, "wred_drop": False}
    assert queues.marking(block_, 10**6).min_bytes == 10**6
    assert queues.marking(block_, 10**7).min_bytes == 1
    with pytest.raises(ConfigError, match="no ECN profile"):
        queues.marking({**block_, "profiles": profiles[1:]}, 10**7)


def test_thresholds_that_red_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match="kmax_bytes"):
        queues.marking(ecn(1, 2**30, 1.0), 10**9)


# --- rules ------------------------------------------------------------------------------------------------


def test_an_event_may_not_name_too_many_packets():
    with pytest.raises(ConfigError, match=r"packets.*at most 1024"):
        faults.impair(PORT, 1, impair("drop", packets=list(range(1025))), route(), 0)


def test_addresses_of_both_families_are_matched():
    six = QpRoute("h1:p0", "h2:p0", "fd00::1", "fd00::2", 1, 2, 3)
    assert "ip6 saddr fd00::1 ip6 daddr fd00::2" in faults.impair(
        PORT, 1, impair("drop", fraction=1.0), six, 0
    )


def test_arguments_are_quoted_for_the_shell():
    script = shell.Script().add("echo", "a'b").text("true || echo '=== x'", "quiet")
    assert "label quiet" in str(script)
    assert "'a'\"'\"'b'" in str(script)
