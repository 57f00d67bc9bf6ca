from __future__ import annotations

from harness import KB, MB, Ecn, Pfc, Qos, Scenario, Topology
from harness.core.job import compile_job
from harness.patterns.pair import Pair
from harness.pytest_plugin.thresholds import threshold_figures


def figures(qos: Qos, topology: str) -> list[tuple[str, object]]:
    job = compile_job(Scenario(Pair(MB), qos=qos), Topology.load(topology), seed=1)
    return [(figure.name, figure.value) for figure in threshold_figures(job)]


def test_thresholds_of_the_scenario() -> None:
    assert figures(Qos(ecn=Ecn(kmin=100 * KB, kmax=200 * KB)), "star-9") == [
        ("Kmin", 100_000),
        ("Kmax", 200_000),
    ]


def test_defaults_are_those_of_the_ports_rate() -> None:
    assert figures(Qos(ecn=Ecn()), "star-9") == [("Kmin", 400_000), ("Kmax", 1_600_000)]


def test_ports_of_two_rates_are_told_apart() -> None:
    names = [name for name, _ in figures(Qos(ecn=Ecn()), "mixed-speed")]
    assert len(names) in (0, 4)
    assert all(" at " in name for name in names)


def test_without_marking_there_are_none() -> None:
    assert figures(Qos(), "star-9") == []
    assert threshold_figures({}) == []


def test_a_lossless_run_has_the_threshold_of_a_lone_ingress() -> None:
    # 32 MB, alpha 1/8: 4096 + 32e6 / 8 / (1 + 1/8) = 3559651
    assert figures(Qos(pfc=Pfc({3})), "star-9") == [("XOFF of a lone ingress, at most", 3_559_651)]


def test_switches_with_buffers_of_different_sizes_have_no_common_threshold() -> None:
    job = compile_job(Scenario(Pair(MB), qos=Qos(pfc=Pfc({3}))), Topology.load("leaf-spine-16"), seed=1)
    spine = next(node for node in job["nodes"] if node["kind"] == "switch")
    spine["switch"] = {"buffer": {**job["switch"]["buffer"], "bytes": 1}}
    assert threshold_figures(job) == []
