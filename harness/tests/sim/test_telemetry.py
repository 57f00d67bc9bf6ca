"""Series and traces agree with the counters of the result, and with each other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.tests.sim.jobs import MS, US, Json, flow, program, rows, run, star

TABLES = {
    "queue_bytes": "bytes", "shared_bytes": "bytes", "goodput_bps": "bit/s", "cc_rate_bps": "bit/s", "cc_alpha": "1",
    "pause_fraction": "1", "ecn_marked": "packets", "cnp_sent": "packets",
}  # fmt: skip


def busy(folder: Path, **more: Any) -> Json:
    """An incast with pauses, marks, notifications and a few losses, over long before the run ends at 3 ms."""
    flows = [flow(f"f{i}", f"h{i}", "h3", 3_000_000, qps=2) for i in range(3)]
    profile = {"rate_bps": 0, "kmin_bytes": 30_000, "kmax_bytes": 300_000, "pmax": 0.3}
    return star(
        4, flows, until="duration", duration_ps=10 * MS, sample_every_ps=10 * US, output_dir=str(folder),
        trace=["cc", "pfc", "drop", "mark"],
        nic={"cc": {"algorithm": "mlx5"}, "pfc": {"priorities": [3]}, "ack_timeout_exponent": 7},
        switch={"pfc": {"priorities": [3]}, "buffer": {"bytes": 1_000_000},
                "ecn": {"priorities": [3], "profiles": [profile]}},
        events=[{"at_ps": 0, "kind": "impair", "flow": "f0", "action": "drop", "fraction": 0.001},
                {"at_ps": 50 * US, "kind": "pause_storm", "port": "h3:p0", "priorities": [3], "duration_ps": 40 * US}],
        **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, Path]:
    folder = tmp_path_factory.mktemp("busy")
    return run(busy(folder)), folder


def columns(recorded: tuple[Json, Path], name: str) -> dict[str, np.ndarray]:
    result, folder = recorded
    entry = result["series"]["tables"][name]
    values = np.load(folder / entry["file"])
    assert values.shape == (result["series"]["samples"], len(entry["columns"]))
    return {column: values[:, i] for i, column in enumerate(entry["columns"])}


def test_the_result_names_every_table(recorded: tuple[Json, Path]) -> None:
    result, folder = recorded
    series = result["series"]
    assert {name: entry["unit"] for name, entry in series["tables"].items()} == TABLES
    times = np.load(folder / series["time_file"])
    assert times.tolist() == list(range(10 * US, 10 * MS + 1, 10 * US))[: series["samples"]]
    assert series["samples"] >= 999


def test_cumulative_series_end_at_the_counters(recorded: tuple[Json, Path]) -> None:
    result = recorded[0]
    for port, values in columns(recorded, "ecn_marked").items():
        assert values[-1] == sum(result["ports"][port]["ecn_marked"])
        assert (np.diff(values) >= 0).all()
    for port, values in columns(recorded, "cnp_sent").items():
        assert values[-1] == result["ports"][port]["nic"]["cnp_sent"]
    assert sum(values[-1] for values in columns(recorded, "cnp_sent").values()) > 0


def test_goodput_adds_up_to_what_was_delivered(recorded: tuple[Json, Path]) -> None:
    result = recorded[0]
    for entry in result["flows"]:
        assert entry["status"] == "done"
        delivered = columns(recorded, "goodput_bps")[entry["name"]].sum() * 10e-6 / 8
        assert delivered == pytest.approx(entry["bytes_delivered"], rel=1e-9)


def test_pause_fractions_add_up_to_the_pause_duration(recorded: tuple[Json, Path]) -> None:
    result = recorded[0]
    total = 0.0
    for column, values in columns(recorded, "pause_fraction").items():
        port, priority = column.split("/")
        paused = result["ports"][port]["rx_pause_duration_ps"][int(priority)]
        assert values.sum() * 10 * US == pytest.approx(paused, abs=2)
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-9
        total += paused
    assert total > 40 * US


def test_queues_are_empty_at_the_end_and_never_above_their_maximum(recorded: tuple[Json, Path]) -> None:
    result = recorded[0]
    for column, values in columns(recorded, "queue_bytes").items():
        port, priority = column.split("/")
        assert values[-1] == 0
        assert values.max() <= result["ports"][port]["queue_max_bytes"][int(priority)]
    shared = columns(recorded, "shared_bytes")["s"]
    assert shared.max() <= result["switches"]["s"]["shared_max_bytes"]
    assert shared[-1] == result["switches"]["s"]["shared_end_bytes"] == 0


def test_rates_are_sums_over_the_qps_of_a_flow(recorded: tuple[Json, Path]) -> None:
    rate = columns(recorded, "cc_rate_bps")["f0"]
    assert rate.max() <= 2 * 100_000_000_000
    assert rate[-1] == 0  # nothing is left to pace
    alpha = columns(recorded, "cc_alpha")["f0"]
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_traces_have_as_many_lines_as_the_counters_say(recorded: tuple[Json, Path]) -> None:
    result, folder = recorded
    ports, flows = result["ports"].values(), result["flows"]
    marks = rows(folder / "mark_events.csv")
    assert len(marks) == sum(sum(port["ecn_marked"]) for port in ports) > 0
    lost = rows(folder / "drop_events.csv")
    assert len(lost) == sum(sum(port["drops"].values()) for port in ports) > 0
    pauses = rows(folder / "pfc_events.csv")
    assert len(pauses) == sum(sum(port["rx_pause"]) + sum(port["rx_resume"]) for port in ports) > 0
    kinds = [row[4] for row in rows(folder / "cc_events.csv")]
    assert kinds.count("cnp") == sum(entry["cnp_received"] for entry in flows) > 0
    assert kinds.count("dec") == sum(entry["rate_cuts"] for entry in flows) > 0
    assert sum(kind.startswith("inc") for kind in kinds) == sum(entry["rate_increases"] for entry in flows)


@pytest.mark.parametrize("name", ["cc_events", "pfc_events", "drop_events", "mark_events"])
def test_traces_are_in_the_order_of_time(name: str, recorded: tuple[Json, Path]) -> None:
    times = [int(row[0]) for row in rows(recorded[1] / f"{name}.csv")]
    assert times == sorted(times)


def test_no_partial_file_is_left_behind(recorded: tuple[Json, Path]) -> None:
    names = {path.name for path in recorded[1].iterdir()}
    assert not [name for name in names if name.endswith(".part")]
    assert names == {f"{name}.npy" for name in (*TABLES, "time_ps")} | {
        f"{name}_events.csv" for name in ("cc", "pfc", "drop", "mark")
    }


def test_recording_changes_nothing(recorded: tuple[Json, Path], tmp_path: Path) -> None:
    work = busy(tmp_path, name="again")
    for key in ("sample_every_ps", "output_dir", "trace"):
        del work[key]
    plain = run(work)
    for key in ("flows", "ports", "switches"):
        assert plain[key] == recorded[0][key]
    assert plain["series"] is None


def test_a_folder_that_is_not_there_fails_the_run(tmp_path: Path) -> None:
    work = busy(tmp_path / "absent")
    done = subprocess.run(
        [program()], input=json.dumps(work), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "output"
    assert "absent" in error["message"]


def test_a_full_disk_is_told() -> None:
    work = star(2, [flow("f", "h0", "h1", 1_000_000)])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [program()],
            input=json.dumps(work),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert "No space left on device" in json.loads(done.stderr.splitlines()[-1])["error"]


def test_standard_error_has_the_progress_and_a_summary() -> None:
    work = star(2, [flow("f", "h0", "h1", 1_000_000)])
    done = subprocess.run(
        [program()], input=json.dumps(work), capture_output=True, text=True, timeout=60, check=False
    )
    summary = json.loads(done.stderr.splitlines()[-1])
    assert summary["done"] is True
    assert set(summary) == {"done", "wall_s", "events_per_s", "hops_per_s", "max_rss_kb"}
