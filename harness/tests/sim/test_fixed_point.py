"""Where N DCQCN flows settle: the queue and the shares of the fluid model's fixed point.

Source: Zhu et al., SIGCOMM 2015, section 5, and Zhu et al., CoNEXT 2016; parameters of the 40 Gb/s testbed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.analysis.dcqcn import FluidModel, fixed_point
from harness.analysis.fairness import jain
from harness.tests.sim.jobs import GBPS, HPCC_WIRE, MS, US, Json, flow, run, star

MODEL = FluidModel()
RATE = 40 * GBPS
SETTLED = 20 * MS
END = 100 * MS


def settle(n: int, folder: Path, algorithm_keys: Json | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Queue (bytes) and goodput of each flow (bit/s) after 20 ms, sampled every 10 us; packets of 1000 bytes."""
    profile = {"rate_bps": 0, "kmin_bytes": 5_000, "kmax_bytes": 200_000, "pmax": 0.01}
    wire = HPCC_WIRE | {"data_overhead_bytes": 0}
    work = star(
        n + 1, [flow(f"f{i}", f"h{i}", f"h{n}", 1_000_000, messages=0, start_ps=i * 37_000) for i in range(n)],
        rate_bps=RATE, delay_ps=US, until="duration", duration_ps=END,
        sample_every_ps=10 * US, output_dir=str(folder), wire=wire,
        nic={
            "mtu_bytes": 1000,
            "cc": {"algorithm": "dcqcn", **(algorithm_keys or {})},
            "cnp": {"interval_ps": 50 * US, "scope": "qp"},
            "ack": {"every": 64, "priority": 6},
        },
        switch={"ecn": {"priorities": [3], "profiles": [profile]}},
    )  # fmt: skip
    result = run(work)
    column = result["series"]["tables"]["queue_bytes"]["columns"].index(f"s:e{n}/3")
    times = np.load(folder / "time_ps.npy")
    queue = np.load(folder / "queue_bytes.npy")[times > SETTLED, column]
    return queue, np.load(folder / "goodput_bps.npy")[times > SETTLED]


@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_queue_stands_at_the_fixed_point(n: int, tmp_path: Path) -> None:
    """The fluid model has no delay, no packets and no noise; the mean of a real queue lies around its q*.

    The linearised loop amplifies the sawtooth of a flow (one packet in 1/p* is marked, a cut takes alpha/2 of a
    share) into swings of the order of q* itself, cut off at 0; so the mean is asked for within a third.
    """
    queue, _ = settle(n, tmp_path)
    expected = fixed_point(MODEL, n).queue_bytes
    assert expected is not None
    assert queue.mean() == pytest.approx(expected, rel=0.35)


def test_the_flows_share_the_link_evenly(tmp_path: Path) -> None:
    queue, goodput = settle(4, tmp_path)
    shares = goodput.mean(axis=0)
    fairness = jain(list(shares))
    assert float(fairness) > 0.99  # type: ignore[arg-type]
    assert shares.sum() == pytest.approx(RATE, rel=0.02)
    assert queue.size


def test_more_flows_make_a_longer_queue(tmp_path: Path) -> None:
    means = []
    for n in (2, 4, 8):
        folder = tmp_path / str(n)
        folder.mkdir()
        means.append(settle(n, folder)[0].mean())
    assert means == sorted(means)
    assert means[2] > 2 * means[0]
