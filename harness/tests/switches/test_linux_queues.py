"""Rates, buffers and marking of real queues: every frame is sent, dropped for a reason, or still there."""

from __future__ import annotations

import math

import pytest

from harness.core.errors import ConfigError
from harness.switches.linux import queues
from harness.tests.switches.bench import Bench, block, ecn, frame, switched_on

FRAME_BYTES = 14 + 20 + 8 + 12 + 940 + 4
WIRE_BYTES = FRAME_BYTES + 24
NOT_ECT = 0x68
"""ToS of DSCP 26, not ECN-capable."""


def frames(count, **keys):
    return [frame(1000 + i, payload=940, **keys) for i in range(count)]


def test_a_link_carries_its_rate_and_no_more(bench: Bench):
    """What the bucket holds goes at once; the rest takes its time on the wire."""
    rate, count = 8_000_000, 200
    switched_on(bench, rate="8Mbps")
    there, _ = bench.send(*frames(count), wait_s=0.5)
    burst = max(4 * 1524, rate * queues.BURST_MS // 8000)
    least = (count * WIRE_BYTES - burst - WIRE_BYTES) * 8 / rate
    assert len(there) == count
    assert least * 0.98 <= there[-1].at - there[0].at <= least * 1.25


def test_a_link_that_changes_its_rate_keeps_its_queue(bench: Bench):
    switched = switched_on(bench, rate="1Gbps")
    before = switched.driver.counters()
    switched.apply({"kind": "link_rate", "at_ps": 0, "port": "h2:p0", "rate_bps": 8_000_000})
    there, _ = bench.send(*frames(100), wait_s=0.5)
    assert there[-1].at - there[0].at > 0.08
    port = switched.counted(before)["sw1:e2"]
    assert (port["tx_packets"], port["drops"]["egress_limit"]) == (100, 0)


def test_a_rate_is_that_of_one_port(bench: Bench):
    switched = switched_on(bench, rate="1Gbps")
    switched.apply({"kind": "link_rate", "at_ps": 0, "port": "sw1:e1", "rate_bps": 1_000_000})
    there, _ = bench.send(*frames(100))
    assert there[-1].at - there[0].at < 0.08


def test_what_the_buffer_does_not_hold_is_counted(bench: Bench):
    switched = switched_on(bench, rate="1Mbps", buffer={"bytes": 20_000})
    before = switched.driver.counters()
    there, _ = bench.send(*frames(100), wait_s=0.6)
    ports = switched.counted(before)
    drops = ports["sw1:e2"]["drops"]
    assert drops["egress_limit"] == 100 - len(there) > 0
    assert sum(drops.values()) == drops["egress_limit"]
    assert ports["sw1:e2"]["tx_packets"] == len(there)
    assert ports["sw1:e1"]["rx_packets"] == 100
    assert 20 <= len(there) <= 20 + 6 + 3, "the buffer, and what left meanwhile from the bucket"


def test_drops_are_known_of_a_queue_that_drains(bench: Bench):
    """What waits is no counter: that it went down between readings means nothing."""
    switched = switched_on(bench, rate="1Mbps")
    bench.send(*frames(60), wait_s=0.05)
    before = switched.driver.counters()
    bench.send(wait_s=0.6)
    port = switched.counted(before)["sw1:e2"]
    assert port["tx_packets"] > 0
    assert port["drops"]["egress_limit"] == 0


def marked(there):
    return sum(each.ecn == 3 for each in there)


def test_a_short_queue_is_not_marked(full_bench: Bench):
    switched = switched_on(full_bench, rate="100Mbps", ecn=ecn(200_000, 400_000, 1.0))
    before = switched.driver.counters()
    there, _ = full_bench.send(*frames(100), wait_s=0.4)
    assert (len(there), marked(there)) == (100, 0)
    assert switched.counted(before)["sw1:e2"]["ecn_marked"] == [0] * 8


def filled(bench: Bench, switch, tos=0x6A, count=400):
    """Fill a queue that hardly drains, then let it go: packet i met i packets."""
    switch.apply({"kind": "link_rate", "at_ps": 0, "port": "sw1:e2", "rate_bps": 1000})
    bench.send(*frames(10), wait_s=0.05)  # empties the bucket of tokens
    before = switch.driver.counters()
    bench.send(*frames(count, tos=tos), wait_s=0.05)
    return switch.counted(before)["sw1:e2"]


def test_all_above_the_upper_threshold_are_marked(full_bench: Bench):
    """Of 400 packets the first 100 meet less than Kmax; a step: Kmin is Kmax."""
    switched = switched_on(full_bench, rate="100Mbps", ecn=ecn(100_000, 100_000, 1.0))
    port = filled(full_bench, switched)
    marks = port["ecn_marked"]
    assert 400 - 100_000 // FRAME_BYTES - 5 <= marks[3] <= 400 - 100_000 // FRAME_BYTES + 15
    assert sum(marks) == marks[3]
    assert port["drops"] == {"egress_limit": 0, "injected": 0, "link_down": 0, "wred": 0}


@pytest.mark.parametrize("pmax", [0.2, 0.5, 1.0])
def test_the_share_of_marks_between_thresholds_is_that_of_the_scenario(full_bench: Bench, pmax):
    """The queue grows from 0 to Kmax: the probability from 0 to pmax, on average half of it."""
    count = 1500
    switched = switched_on(
        full_bench, rate="100Mbps", buffer={"bytes": 4_000_000}, ecn=ecn(1, count * FRAME_BYTES, pmax)
    )
    marks = filled(full_bench, switched, count=count)["ecn_marked"][3]
    expected = count * pmax / 2
    assert abs(marks - expected) < 5 * math.sqrt(expected) + 0.1 * expected


def test_what_is_not_ecn_capable_is_left_alone(full_bench: Bench):
    switched = switched_on(full_bench, rate="100Mbps", ecn=ecn(50_000, 100_000, 1.0))
    port = filled(full_bench, switched, tos=NOT_ECT)
    assert port["ecn_marked"] == [0] * 8
    assert port["drops"]["wred"] == port["drops"]["egress_limit"] == 0


def test_what_is_not_ecn_capable_is_dropped_where_asked(full_bench: Bench):
    switched = switched_on(full_bench, rate="100Mbps", ecn=ecn(50_000, 100_000, 1.0, wred_drop=True))
    port = filled(full_bench, switched, tos=NOT_ECT)
    assert port["ecn_marked"] == [0] * 8
    assert port["drops"]["wred"] == port["wred_dropped"][3] > 200
    assert port["drops"]["egress_limit"] == 0


def test_thresholds_change_in_a_run_and_what_waits_stays(full_bench: Bench):
    switched = switched_on(full_bench, rate="100Mbps")
    assert filled(full_bench, switched)["ecn_marked"] == [0] * 8
    change = {"ecn": ecn(10_000, 20_000, 1.0)}
    before = switched.driver.counters()
    switched.apply({"kind": "qos", "at_ps": 0, "node": "sw1", "switch": change})
    full_bench.send(*frames(50), wait_s=0.05)
    marks = switched.counted(before)["sw1:e2"]["ecn_marked"][3]
    assert 50 - 20_000 // FRAME_BYTES - 3 <= marks <= 50 - 10_000 // FRAME_BYTES
    switched.apply({"kind": "link_rate", "at_ps": 0, "port": "sw1:e2", "rate_bps": 100_000_000})
    there, _ = full_bench.send(frame(1), wait_s=2.0)
    psns = [each.psn for each in there]
    left_before = 10 + 400 + 50 + 1 - len(psns)
    assert psns == [*range(1000, 1010), *range(1000, 1400), *range(1000, 1050), 1][left_before:]
    drops = switched.counted(before)["sw1:e2"]["drops"]
    assert drops == {"egress_limit": 0, "injected": 0, "link_down": 0, "wred": 0}


def test_thresholds_change_seven_times_a_run(full_bench: Bench):
    switched = switched_on(full_bench)
    changes = [
        {"kind": "qos", "at_ps": 0, "node": "sw1", "switch": {"ecn": ecn(i, i, 1.0)}} for i in range(1, 9)
    ]
    switched.apply(*changes[:7])
    with pytest.raises(ConfigError, match="7 times a run"):
        switched.apply(changes[7])
    assert len(full_bench.psns(*frames(10))) == 10


REFUSED = {
    "pfc.priorities": {"pfc": {"priorities": [3]}},
    "scheduler": {"scheduler": {"weights": [1, 1, 1, 5, 1, 1, 1, 1]}},
    "ecmp": {"ecmp": {"mode": "spray"}},
}


@pytest.mark.parametrize(("named", "change"), REFUSED.items())
def test_what_a_bridge_lacks_is_refused_and_nothing_is_touched(bench: Bench, named, change):
    driver = bench.driver()
    driver.snapshot()
    with pytest.raises(ConfigError, match=named) as refused:
        driver.configure(block(**change))
    assert "sw1" in str(refused.value)
    assert driver.leftovers() == []


def test_marking_for_two_priorities_is_refused(full_bench: Bench):
    driver = full_bench.driver()
    driver.snapshot()
    with pytest.raises(ConfigError, match=r"ecn\.priorities.*\[3, 4\]"):
        driver.configure(block(ecn=ecn(1, 2, 1.0, priorities=[3, 4])))
