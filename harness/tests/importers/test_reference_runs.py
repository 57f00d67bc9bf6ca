"""The simulator, told to be the HPCC ns-3 model, against what that model gave.

The numbers here are those of instrumented runs of the published model with picosecond time
(alibaba-edu/High-Precision-Congestion-Control at 9f4be2a). Where the folder of reference files is beside the
repository, every event is compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import oracle_compare, traces
from harness.core.job import compile_job
from harness.core.scenario import Scenario
from harness.core.yamlio import parse_yaml
from harness.importers.hpcc import scenario_text

Run = Callable[[dict[str, Any]], dict[str, Any]]
SHARED = Path(__file__).resolve().parents[4] / "shared" / "oracles"
DETERMINISTIC = ("s1_", "s5_step_", "s4star_noCC")

PROFILES = {
    "mlx": "ALPHA_RESUME_INTERVAL 1\nRATE_DECREASE_INTERVAL 4\nRP_TIMER 300\nFAST_RECOVERY_TIMES 1\n"
    "RATE_AI 20Mb/s\nRATE_HAI 200Mb/s\n",
    "paper5": "ALPHA_RESUME_INTERVAL 55\nRATE_DECREASE_INTERVAL 50\nRP_TIMER 55\nFAST_RECOVERY_TIMES 5\n"
    "RATE_AI 40Mb/s\nRATE_HAI 400Mb/s\n",
}
STEP = """KMAX_MAP 2 25000000000 100 100000000000 100
KMIN_MAP 2 25000000000 100 100000000000 100
PMAX_MAP 2 25000000000 1.0 100000000000 1.0
"""
RAMP = "KMAX_MAP 1 100000000000 1600\nKMIN_MAP 1 100000000000 400\nPMAX_MAP 1 100000000000 0.2\n"
COMMON = (
    "PACKET_PAYLOAD_SIZE 1000\nTOPOLOGY_FILE net.topo\nFLOW_FILE net.flow\nSIMULATOR_STOP_TIME 10.0\n"
    "EWMA_GAIN 0.00390625\nL2_ACK_INTERVAL 1\nHAS_WIN 0\nACK_HIGH_PRIO 1\nBUFFER_SIZE 32\nORC_RES ps\n"
)


@dataclass(frozen=True)
class Case:
    """A star: rates of the hosts' links, flows as (source, target, start), marking and control."""

    rates: list[str]
    flows: list[tuple[int, int, str]]
    size: int
    control: str

    def write(self, folder: Path) -> Path:
        hub = len(self.rates)
        links = [f"{hub} {host} {rate} 1us 0" for host, rate in enumerate(self.rates)]
        (folder / "net.topo").write_text("\n".join([f"{hub + 1} 1 {hub}", str(hub), *links]) + "\n")
        flows = [f"{src} {dst} 3 100 {self.size} {start}" for src, dst, start in self.flows]
        (folder / "net.flow").write_text("\n".join([str(len(flows)), *flows]) + "\n")
        (folder / "net.cfg").write_text(COMMON + self.control)
        return folder / "net.cfg"


def incast(senders: int, size: int, control: str, *, apart_ns: int = 0) -> Case:
    flows = [(i, senders, f"0.001{i * apart_ns:06d}") for i in range(senders)]
    return Case(["100Gbps"] * (senders + 1), flows, size, control)


def job_of(path: Path, *, seed: int = 1, folder: Path | None = None) -> dict[str, Any]:
    scenario = Scenario.from_document(parse_yaml(scenario_text(path), path.name))
    trace = ("cc", "pfc") if folder else ()
    return compile_job(scenario, scenario.resolved_topology(), seed=seed, output_dir=folder, trace=trace)


def total(result: dict[str, Any], key: str) -> int:
    return sum(flow[key] for flow in result["flows"])


# Case, first and last completion in ns, CNPs (= marks), cuts.
EXACT = [
    (
        Case(["100Gbps"] * 2, [(0, 1, "0.001")], 10**7, "CC_MODE 1\n" + PROFILES["mlx"] + RAMP),
        842483,
        842483,
        0,
        0,
    ),
    (incast(2, 10**7, PROFILES["mlx"] + STEP, apart_ns=37), 2381352, 2384188, 1882, 84),
    (incast(8, 10**7, PROFILES["mlx"] + STEP, apart_ns=37), 7721741, 8284006, 5582, 994),
    (incast(2, 10**7, PROFILES["paper5"] + STEP, apart_ns=37), 2130966, 2131378, 5762, 36),
    (incast(8, 10**7, PROFILES["paper5"] + STEP, apart_ns=37), 7650803, 7899541, 24499, 509),
    (
        Case(["100Gbps", "25Gbps"], [(0, 1, "0.001")], 2 * 10**7, PROFILES["mlx"] + STEP),
        8038239,
        8038239,
        1190,
        107,
    ),
]


@pytest.mark.parametrize(("case", "first", "last", "cnps", "cuts"), EXACT)
def test_deterministic_runs_are_equal_to_the_nanosecond(
    simulate: Run, tmp_path: Path, case: Case, first: int, last: int, cnps: int, cuts: int
) -> None:
    result = simulate(job_of(case.write(tmp_path)))

    times = sorted(flow["fct_ps"] // 1000 for flow in result["flows"])
    assert (times[0], times[-1]) == (first, last)
    assert total(result, "cnp_received") == cnps
    assert total(result, "rate_cuts") == cuts


def test_pauses_alone_slow_a_victim_that_shares_a_nic(simulate: Run, tmp_path: Path) -> None:
    """8:1 incast without marking, a victim with its own NIC and one that shares a sender's."""
    flows = [(i, 8, "0.001") for i in range(8)] + [(9, 10, "0.001"), (0, 11, "0.001")]
    case = Case(["100Gbps"] * 13, flows, 10**7, "ENABLE_QCN 0\nCC_MODE 0\n")
    result = simulate(job_of(case.write(tmp_path)))

    goodput = [8e6 * 10**7 / flow["fct_ps"] / 1e3 for flow in result["flows"]]
    assert goodput[8] == pytest.approx(94.96, abs=0.005)
    assert goodput[9] == pytest.approx(14.24, abs=0.005)
    assert max(flow["fct_ps"] for flow in result["flows"][:8]) == pytest.approx(6711.2e6, abs=0.05e6)
    assert sum(sum(port["tx_pause"]) for port in result["ports"].values()) == 1948


# Mean and standard deviation over ten seeds: profile, senders, mean FCT us, largest FCT us, marks, cuts.
BANDS = [
    ("mlx", 2, (2115, 100), (2179, 85), (152, 32), (99.1, 19)),
    ("mlx", 4, (3855, 100), (4003, 130), (396.6, 100), (295.2, 64)),
    ("mlx", 8, (7634, 77), (8309, 350), (4047, 370), (1660, 100)),
    ("paper5", 2, (1778, 39), (1823, 45), (434, 86), (31.4, 1.9)),
    ("paper5", 4, (3497, 39), (3646, 100), (6128, 170), (145.7, 6.5)),
    ("paper5", 8, (6770, 170), (7440, 310), (22950, 3400), (618.9, 31)),
]


@pytest.mark.parametrize(("profile", "senders", "mean_us", "max_us", "marks", "cuts"), BANDS)
def test_random_marking_lands_in_the_bands_of_ten_seeds(
    simulate: Run, tmp_path: Path, profile: str, senders: int, mean_us: tuple[float, float],
    max_us: tuple[float, float], marks: tuple[float, float], cuts: tuple[float, float],
) -> None:  # fmt: skip
    path = incast(senders, 10**7, PROFILES[profile] + RAMP).write(tmp_path)
    results = [simulate(job_of(path, seed=seed)) for seed in range(1, 11)]

    times = [[flow["fct_ps"] / 1e6 for flow in result["flows"]] for result in results]
    found = {
        "mean": ([statistics.mean(each) for each in times], mean_us),
        "max": ([max(each) for each in times], max_us),
        "marks": ([total(result, "cnp_received") for result in results], marks),
        "cuts": ([total(result, "rate_cuts") for result in results], cuts),
    }
    for name, (values, (mean, deviation)) in found.items():
        # Both are means of ten draws; 4 standard errors of their difference is wide enough for 24 checks.
        assert abs(statistics.mean(values) - mean) <= 4 * deviation * (2 / 10) ** 0.5, name


def configurations() -> list[Path]:
    found = sorted((SHARED / "configs").glob("hpcc_*.cfg"))
    return [path for path in found if path.stem.removeprefix("hpcc_").startswith(DETERMINISTIC)]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference runs are not here")
@pytest.mark.parametrize("path", configurations(), ids=lambda path: str(path.stem))
def test_every_event_of_the_deterministic_references(simulate: Run, tmp_path: Path, path: Path) -> None:
    job = job_of(path, folder=tmp_path)
    result = simulate(job)
    (tmp_path / traces.FLOWS_FILE).write_text(traces.flows_csv(result, traces.sizes_of(job)))

    rows = oracle_compare.compare_run(tmp_path, SHARED / "data", path.stem)

    assert all(row.equal for row in rows), oracle_compare.format_table(rows)
    assert {row.kind for row in rows} >= {"flows"}
