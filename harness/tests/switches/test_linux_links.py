"""Links go down and up, every frame is accounted for, and everything is as it was afterwards."""

from __future__ import annotations

import pytest

from harness.core.errors import ConfigError, DriverError
from harness.switches.linux.state import TRIAL
from harness.tests.switches.bench import H1, H2, QPN, Bench, block, frame, impair, switched_on

DOWN, UP = ({"kind": f"link_{each}", "at_ps": 0, "port": "h2:p0"} for each in ("down", "up"))


def frames(*psns, **keys):
    return [frame(psn, **keys) for psn in psns]


def learn(bench: Bench):
    """Have the bridge learn where both hosts are."""
    bench.send(frame(1), back=[frame(1, src=H2, dst=H1)])


def looks(bench: Bench):
    return bench.sh(
        "tc qdisc show; tc filter show dev e1; nft -s list ruleset; ip -br link show type bridge_slave | cut -c1-30",
        switch=True,
    )


def test_nothing_passes_a_link_that_is_down_and_all_is_counted(bench: Bench):
    switched = switched_on(bench)
    learn(bench)
    before = switched.driver.counters()
    switched.apply(DOWN)
    assert "state DOWN" in bench.sh("ip link show e2", switch=True)
    assert bench.psns(*frames(100, 101, 102)) == []
    drops = switched.counted(before)["sw1:e2"]["drops"]
    assert (drops["link_down"], sum(drops.values())) == (3, 3)
    switched.apply(UP)
    assert bench.psns(*frames(103, 104)) == [103, 104]
    assert switched.counted(before)["sw1:e2"]["drops"]["link_down"] == 3


def test_frames_for_a_dead_link_are_not_flooded(bench: Bench):
    """The bridge has forgotten the address; without our rule it would send the frame everywhere."""
    switched = switched_on(bench)
    learn(bench)
    switched.apply(DOWN)
    before = switched.driver.counters()
    bench.send(frame(100))
    ports = switched.counted(before)
    assert ports["sw1:e1"]["tx_packets"] == 0


def test_what_waited_when_the_link_went_down_is_counted(bench: Bench):
    """A queue that hardly drains: of what was sent, what did not arrive was lost to the link."""
    switched = switched_on(bench, rate="100kbps")
    learn(bench)
    before = switched.driver.counters()
    there, _ = bench.send(*[frame(100 + i, payload=900) for i in range(50)], wait_s=0.1)
    switched.apply(DOWN, UP)
    more, _ = bench.send(frame(1000), wait_s=0.5)
    port = switched.counted(before)["sw1:e2"]
    arrived_since = port["tx_packets"] - len(there) - len(more)
    assert arrived_since >= 0
    assert port["drops"]["link_down"] == 51 - port["tx_packets"] > 20


def test_a_link_is_named_by_either_end(bench: Bench):
    switched = switched_on(bench)
    learn(bench)
    switched.apply({**DOWN, "port": "sw1:e2"})
    assert bench.psns(frame(100)) == []
    switched.apply({**UP, "port": "sw1:e2"})
    assert bench.psns(frame(101)) == [101]


def test_links_elsewhere_are_left_alone(bench: Bench):
    switched = switched_on(bench)
    done = switched.driver.apply({"kind": "qos", "at_ps": 0, "node": "sw2", "switch": {"ecn": None}})
    assert not done.acted
    assert "sw2" in done.what


def test_events_tell_when_they_acted(bench: Bench):
    switched = switched_on(bench)
    first, second = (switched.driver.apply(each) for each in (DOWN, UP))
    assert 0 < first.began_ns < first.ended_ns <= second.began_ns < second.ended_ns
    assert (first.acted, "sw1:e2" in first.what) == (True, True)


def test_an_event_that_switches_do_not_have_is_refused(bench: Bench):
    with pytest.raises(ConfigError, match=r"'pause_storm'.*impair"):
        switched_on(bench).driver.apply({"kind": "pause_storm", "at_ps": 0, "port": "h1:p0"})


def test_everything_is_as_it_was(bench: Bench):
    before = looks(bench)
    switched = switched_on(bench)
    switched.apply(impair("drop", fraction=0.5), DOWN)
    assert len(switched.driver.leftovers()) >= 4
    switched.driver.restore()
    assert looks(bench) == before
    assert switched.driver.leftovers() == []
    assert bench.psns(*frames(*range(100, 120))) == list(range(100, 120))
    switched.driver.restore()
    assert looks(bench) == before


def test_what_a_dead_controller_left_is_found_and_removed(bench: Bench):
    before = looks(bench)
    switched_on(bench).apply(impair("drop", fraction=1.0), DOWN)
    found = bench.driver()
    left = "\n".join(found.leftovers())
    for each in ("e1: tbf 4791:", "e2: tbf 4791:", "table bridge roce_harness", "e2: taken down"):
        assert each in left
    found.restore()
    assert found.leftovers() == []
    assert looks(bench) == before


def test_the_cleaning_script_alone_puts_everything_back(bench: Bench):
    """What a guard on the switch runs when the controller is killed."""
    before = looks(bench)
    switched = switched_on(bench)
    switched.apply(impair("drop", fraction=1.0), DOWN)
    bench.sh(switched.driver.cleaning, switch=True)
    assert looks(bench) == before
    assert switched.driver.leftovers() == []


def test_a_new_run_starts_from_what_was_there_before_the_dead_one(bench: Bench):
    before = looks(bench)
    switched_on(bench).apply(DOWN)
    later = bench.driver()
    later.snapshot()
    later.configure(block())
    later.restore()
    assert looks(bench) == before


def test_a_port_that_was_down_is_down_again(bench: Bench):
    bench.sh("ip link set e2 down", switch=True)
    try:
        switched = switched_on(bench)
        switched.apply(UP)
        switched.driver.restore()
        assert "state DOWN" in bench.sh("ip link show e2", switch=True)
        assert switched.driver.leftovers() == []
    finally:
        bench.sh("ip link set e2 up", switch=True)


def test_rules_of_others_stay(bench: Bench):
    bench.sh("nft add table bridge theirs; nft add counter bridge theirs seen", switch=True)
    try:
        switched_on(bench).driver.restore()
        assert "counter seen" in bench.sh("nft list ruleset", switch=True)
    finally:
        bench.sh("nft delete table bridge theirs", switch=True)


def test_what_others_changed_in_a_run_is_told(bench: Bench):
    switched = switched_on(bench)
    bench.sh("nft add table bridge theirs", switch=True)
    try:
        with pytest.raises(DriverError, match=r"sw1: not as it was: rules of the packet filter changed"):
            switched.driver.restore()
    finally:
        bench.sh("nft delete table bridge theirs", switch=True)
    switched.driver.restore()


def test_queues_of_others_are_not_replaced(bench: Bench):
    bench.sh("tc qdisc add dev e1 root handle 7: tbf rate 1mbit burst 10k limit 10k", switch=True)
    try:
        with pytest.raises(DriverError, match=r"sw1: e1 has a queue of its own: tbf 7:"):
            bench.driver().snapshot()
        assert "tbf 7:" in bench.sh("tc qdisc show dev e1", switch=True)
    finally:
        bench.sh("tc qdisc del dev e1 root", switch=True)


def test_a_trial_that_was_cut_short_is_removed(bench: Bench):
    driver = bench.driver()
    bench.sh(f"ip link add {TRIAL} type bridge", switch=True)
    assert driver.leftovers() == [f"device {TRIAL}"]
    driver.restore()
    assert driver.leftovers() == []


def test_a_switch_that_is_only_looked_at_tells_its_frames(bench: Bench):
    driver = bench.driver()
    before = driver.counters()
    bench.send(*frames(100, 101))
    port = driver.deltas(before, driver.counters())["sw1:e2"]
    assert (port["tx_packets"], port["rx_packets"]) == (2, 0)
    assert "drops" not in port
    assert {counter.key for counter in driver.offered} == {"tx_packets", "rx_packets", "tx_bytes", "rx_bytes"}
    assert driver.leftovers() == []


def test_a_second_run_counts_from_its_own_start(bench: Bench):
    switched = switched_on(bench)
    switched.apply(impair("drop", fraction=1.0))
    bench.send(*frames(100, 101))
    switched.driver.restore()
    again = switched_on(bench)
    before = again.driver.counters()
    assert bench.psns(*frames(100, qpn=QPN)) == [100]
    assert again.counted(before)["sw1:e2"]["drops"]["injected"] == 0
