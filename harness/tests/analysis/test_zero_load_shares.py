from __future__ import annotations

import pytest

from harness.analysis.shares import time_off_ps, variation, worst_deviation
from harness.analysis.zero_load import hops, waiting_ps, zero_load_ps
from harness.bindings.sim import reserve
from harness.core.errors import ConfigError
from harness.core.evidence import Missing
from harness.core.qos import Nic, Qos
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.patterns.pair import Pair

STAR, POD = Topology.load("star-9"), Topology.load("leaf-spine-16")


def test_a_path_is_the_links_from_end_to_end():
    assert [(hop.rate_bps, hop.delay_ps) for hop in hops(STAR, "h1", "h9")] == [(10**11, 10**6)] * 2
    assert len(hops(POD, "h1", "h16")) == 4


def test_latency_by_hand():
    # 64 B: a write frame of 142 + 20 B takes 12.96 ns a link, an ACK of 66 + 20 B 6.88 ns, and 1 us a link each way.
    assert zero_load_ps(STAR, "h1", "h9", "write", 64, 4096) == 2 * (12_960 + 6_880) + 4 * 10**6
    # A read: its request of 78 + 20 B takes 7.84 ns, the response of 66 + 64 + 20 B 12 ns.
    assert zero_load_ps(STAR, "h1", "h9", "read", 64, 4096) == 2 * (7_840 + 12_000) + 4 * 10**6
    # A send has no RETH: 126 + 20 B.
    assert zero_load_ps(STAR, "h1", "h9", "send", 64, 4096) == 2 * (11_680 + 6_880) + 4 * 10**6


@pytest.mark.parametrize("verb", ["write", "send", "read"])
@pytest.mark.parametrize("size", [1, 1024, 4096, 4097, 65536])
@pytest.mark.parametrize("target", ["h2", "h16"])
def test_the_simulator_has_the_same_latency(tmp_path, verb, size, target):
    traffic = Pair(size, "h1", target, verb=verb, messages=3, max_outstanding=1)
    result = reserve(POD).run(Scenario(traffic, qos=Qos(nic=Nic(mtu=4096))), output=tmp_path / "run")
    assert result.flow("pair-0").latency.min_ps == zero_load_ps(POD, "h1", target, verb, size, 4096)


def test_other_verbs_are_refused():
    with pytest.raises(ConfigError, match="no latency is known"):
        zero_load_ps(STAR, "h1", "h9", "atomic", 8, 1024)


def test_frames_that_go_first_cost_their_time_on_every_link():
    assert waiting_ps(STAR, "h1", "h9", [1250]) == 2 * 2 * 100_000


def test_the_worst_deviation_is_relative_and_has_no_sign():
    assert worst_deviation([50, 30, 25], [50, 30, 20]) == pytest.approx(0.25)
    assert worst_deviation([40, 30], [50, 30]) == pytest.approx(0.2)
    assert isinstance(worst_deviation([Missing("gone"), 30], [50, 30]), Missing)
    with pytest.raises(ValueError, match="do not fit"):
        worst_deviation([1], [1, 2])
    with pytest.raises(ValueError, match="above 0"):
        worst_deviation([1], [0])


def test_time_off_counts_intervals_in_which_anybody_is_off():
    samples = [[50, 50], [40, 60], [20, 80], [22, 79], [20, 70]]
    assert time_off_ps(samples, [20, 80], within=0.1, every_ps=5) == 15
    with pytest.raises(ValueError, match="does not fit"):
        time_off_ps(samples, [20, 80, 0], within=0.1, every_ps=5)


def test_variation_is_the_deviation_over_the_mean():
    assert variation([10, 10, 10]) == 0
    assert variation([9, 11]) == pytest.approx(2**0.5 / 10)
    assert isinstance(variation([9]), Missing)
    assert isinstance(variation([0, 0]), Missing)
    assert isinstance(variation([9, Missing("gone")]), Missing)
