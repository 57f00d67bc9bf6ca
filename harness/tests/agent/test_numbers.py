"""Layouts, pacing, sizes on the wire, latencies, and the tables of perftest."""

from __future__ import annotations

import dataclasses

import pytest

from harness.hosts.agent import pacing, perftest, wire
from harness.hosts.agent.errors import AgentError, BadRequest
from harness.hosts.agent.flow import read_end
from harness.hosts.agent.latency import SAMPLE, Latencies
from harness.hosts.agent.layout import ENDLESS_BYTES, RECV_DEPTH, SEND_DEPTH, Limits, plan
from harness.hosts.agent.request import Fields

MIB = 1 << 20


def end(flow, role="src", **keys):
    fields = {"id": "x", "role": role, "device": "d", "port": 1, "flow": flow, **keys}
    return read_end(Fields(fields, "ends[0]"))


@pytest.mark.parametrize(
    ("keys", "window"),
    [
        ({"messages": 1000}, SEND_DEPTH),
        ({"messages": 3}, 3),
        ({"messages": 1000, "max_outstanding": 7}, 7),
        ({"messages": 1000, "window_bytes": 20_000}, 4),
        ({"messages": 1000, "window_bytes": 10}, 1),
        ({"messages": 0, "message_bytes": MIB}, ENDLESS_BYTES // MIB),
        ({"messages": 0, "message_bytes": 1 << 30}, 2),
        ({"messages": 1000, "qps": 1000}, 32),
    ],
)
def test_how_many_messages_are_under_way(flow, keys, window):
    assert plan(end(flow(**keys)), Limits(64 * MIB)).window == window


def test_memory_stays_within_its_budget(flow):
    for size in (1, 5000, MIB, 100 * MIB):
        for verb in ("write", "read", "send"):
            for role in ("src", "dst"):
                layout = plan(end(flow(verb=verb, messages=500, message_bytes=size), role), Limits(8 * MIB))
                slots = layout.slots * (layout.slot_window if layout.folded else layout.stride)
                assert slots + layout.pattern_window <= 8 * MIB
                assert layout.slots == 0 or layout.stride >= size


def test_receives_are_twice_what_is_sent_and_exactly_what_is_asked(flow):
    limits = Limits(64 * MIB)
    assert plan(end(flow(verb="send", messages=0), "dst"), limits).receives == RECV_DEPTH
    assert plan(end(flow(verb="send", recv_depth=16), "dst"), limits).receives == 16
    assert plan(end(flow(verb="write", message_bytes=5), "dst", notify=True), limits).receives == 1
    with pytest.raises(AgentError) as caught:
        plan(end(flow(verb="send", recv_depth=5000), "dst"), limits)
    assert caught.value.detail == {"recv_depth": 5000, "possible": 1024}


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"verb": "fetch_add"}, "ends[0].flow.message_bytes"),
        ({"transport": "ud"}, "ends[0].flow.verb"),
        ({"message_bytes": 0}, "ends[0].flow.message_bytes"),
        ({"message_bytes": True}, "ends[0].flow.message_bytes"),
        ({"verbs": {"fault": "gremlins"}}, "ends[0].flow.verbs.fault"),
        ({"verbs": {"speed": 1}}, "ends[0].flow.verbs.speed"),
        ({"verb": "send_imm", "verbs": {"ping_pong": True}}, "ends[0].flow.verb"),
        ({"after": "f"}, "ends[0].flow.after"),
        ({"reduce": {"group": "g"}}, "ends[0].flow.reduce.ranks"),
    ],
)
def test_flows_that_cannot_be_are_refused_by_key(flow, keys, key):
    with pytest.raises(BadRequest) as caught:
        end(flow(**keys))
    assert caught.value.detail["key"] == key


def test_a_source_port_that_verbs_cannot_give_is_unsupported(flow):
    with pytest.raises(AgentError) as caught:
        end(flow(udp_sport=1234))
    assert (caught.value.kind, caught.value.detail) == ("unsupported", {"feature": "udp_sport"})


@pytest.mark.parametrize("sport", [49152, 49153, 60000, 65535])
def test_a_flow_label_gives_its_source_port(sport):
    label = wire.flow_label_of(sport)
    assert 0 < label < 2**20
    assert wire.udp_sport_of(label, 1, 2) == sport


def test_source_ports_without_a_label_are_symmetric():
    assert wire.udp_sport_of(0, 17, 34) == wire.udp_sport_of(0, 34, 17)
    assert 49152 <= wire.udp_sport_of(0, 17, 34) <= 65535


@pytest.mark.parametrize(
    ("size", "verb", "transport", "frames"),
    [
        (4096, "write", "rc", 62 + 16 + 4096 + 20),
        (4097, "write", "rc", 2 * (62 + 20) + 16 + 4100),
        (100, "send", "ud", 62 + 8 + 100 + 20),
        (8, "fetch_add", "rc", 62 + 28 + 20),
        (4096, "read", "rc", 62 + 20 + 4096 + 8),
    ],
)
def test_message_bits_are_those_of_its_frames(size, verb, transport, frames):
    assert wire.message_bits(size, 4096, verb, transport, "ipv4") == 8 * frames


def test_pacing_catches_up_but_not_for_ever():
    pacer = pacing.Pacer(1000.0, 0, None)
    pacer.begin(0)
    times = []
    for now in (0, 5000, 5000, 5000, 5000, 5000, 5000):
        times.append(pacer.next_ns)
        pacer.posted(now)
    assert times == [0, 1000, 2000, 3000, 4000, 5000, 6000]
    pacer.posted(10**9)
    assert pacer.next_ns == 10**9 - pacing.SLACK_NS + 1000


def test_intervals_and_rates_both_hold():
    pacer = pacing.Pacer(1000.0, 3000, None)
    pacer.begin(0)
    pacer.posted(0)
    assert pacer.next_ns == 3000


def test_poisson_has_the_mean_and_is_repeated_by_its_seed():
    def times(seed):
        pacer = pacing.Pacer(0.0, 1000, seed)
        pacer.begin(0)
        for _ in range(4000):
            pacer.posted(0)
        return pacer.next_ns

    assert times("a") == times("a") != times("b")
    assert times("a") == pytest.approx(4_000_000, rel=0.06)


def test_latencies_are_exact_until_there_are_too_many():
    latencies = Latencies("x")
    assert latencies.summary() is None
    for ns in range(1, 1001):
        latencies.add(ns)
    assert latencies.summary() == {
        "count": 1000, "min_ps": 1000, "mean_ps": 500_500, "p50_ps": 500_000, "p90_ps": 900_000, "p99_ps": 990_000,
        "p999_ps": 999_000, "max_ps": 1_000_000,
    }  # fmt: skip


def test_latencies_beyond_the_sample_keep_count_and_extremes():
    latencies = Latencies("x")
    for ns in range(2 * SAMPLE):
        latencies.add(ns)
    summary = latencies.summary()
    assert (summary["count"], summary["min_ps"]) == (2 * SAMPLE, 0)
    assert summary["max_ps"] == (2 * SAMPLE - 1) * 1000
    assert summary["p50_ps"] == pytest.approx(SAMPLE * 1000, rel=0.03)


BANDWIDTH = """
---------------------------------------------------------------------------------------
 #bytes     #iterations    BW peak[{unit}]    BW average[{unit}]   MsgRate[Mpps]
 65536      1000             11.25              {average}                0.000171
---------------------------------------------------------------------------------------
"""


@pytest.mark.parametrize(
    ("unit", "average", "bps"),
    [("MiB/sec", 10.5, 10.5 * 8 * 2**20), ("Gb/sec", 0.09, 9e7), ("MB/sec", 1, 8 * 2**20)],
)
def test_bandwidth_has_the_unit_of_its_header(unit, average, bps):
    found = perftest.parse(BANDWIDTH.format(unit=unit, average=average))
    assert (found["bytes"], found["iterations"]) == (65536, 1000)
    assert found["bw_average_bps"] == pytest.approx(bps)
    assert found["message_rate_hz"] == pytest.approx(171)
    assert found["latency"] is None


_NAMES = ("t_min", "t_max", "t_typical", "t_avg", "t_stdev", "99% percentile", "99.9% percentile")
_TIMES = (1111.29, 153125.07, 10229.86, 12214.27, 12000.00, 85365.59, 153125.07)
LATENCY = (
    " #bytes #iterations  "
    + "   ".join(f"{name}[usec]" for name in _NAMES)
    + "\n 64      300   "
    + "   ".join(map(str, _TIMES))
    + "\n"
)


def test_latency_columns_are_found_by_their_names():
    found = perftest.parse(LATENCY)
    assert found["latency"] == {
        "count": 300, "min_ps": 1_111_290_000, "max_ps": 153_125_070_000, "p50_ps": 10_229_860_000,
        "mean_ps": 12_214_270_000, "p90_ps": None, "p99_ps": 85_365_590_000, "p999_ps": 153_125_070_000,
    }  # fmt: skip
    assert found["bw_average_bps"] is None


@pytest.mark.parametrize(
    "text", ["", "Couldn't connect", " #bytes #iterations\n no numbers here\n", "#bytes"]
)
def test_output_without_a_table_is_null(text):
    assert set(perftest.parse(text).values()) == {None}


def test_duration_runs_show_no_peak():
    text = BANDWIDTH.format(unit="MiB/sec", average="9.5").replace("11.25", "0.00")
    assert perftest.parse(text)["bw_average_bps"] == pytest.approx(9.5 * 8 * 2**20)


def test_specifications_are_frozen(flow):
    with pytest.raises(dataclasses.FrozenInstanceError):
        end(flow()).flow.name = "other"
