from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.bindings.sim import find_simulator
from harness.core.errors import SimError
from harness.tests.cli.conftest import Roce


@pytest.fixture
def simulator() -> Path:
    try:
        return find_simulator()
    except SimError as error:
        pytest.skip(str(error))


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for roce-sim that says it is half done, leaves its process id, and never ends."""
    program, pid = tmp_path / "endless", tmp_path / "endless.pid"
    program.write_text(
        "#!/bin/sh\n"
        f"echo $$ > {pid}.new; mv {pid}.new {pid}\n"
        'echo \'{"progress": 0.5, "sim_ps": 1000000, "events": 1, "flows_done": 0, "flows": 2}\' >&2\n'
        "exec sleep 60\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("ROCE_SIM", str(program))
    return pid


@pytest.mark.parametrize(
    ("traffic", "place"),
    [
        (
            "{pattern: incast, senders: 99, size: 1MB}",
            ":3: traffic[0].senders: not enough host ports (value 99)",
        ),
        ("{pattern: incast, senders: 2, size: 1MB, receiver: h99}", ":3: traffic[0].receiver: no such host"),
    ],
)
def test_what_the_topology_refuses_is_told_with_its_line(
    roce: Roce, tmp_path: Path, traffic: str, place: str
) -> None:
    scenario = tmp_path / "wrong.yaml"
    scenario.write_text(f"topology: star-9\ntraffic:\n  - {traffic}\n")

    said = roce("run", scenario, "--out", tmp_path / "out")

    assert said.code == 2
    assert f"{scenario}{place}" in said.err
    assert not (tmp_path / "out").exists()


def test_a_simulated_fabric_has_no_engine_to_choose(roce: Roce, incast: Path, tmp_path: Path) -> None:
    said = roce("run", incast, "--engine", "native", "--out", tmp_path / "out")

    assert said.code == 2
    assert "--engine: fabric 'sim' has no engines to choose from" in said.err


@pytest.mark.usefixtures("simulator")
class TestOnTheSimulator:
    def test_a_run_leaves_its_files(self, roce: Roce, incast: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"

        said = roce("run", incast, "--out", out, "--trace")

        assert said.code == 0
        names = {path.name for path in out.iterdir()}
        assert {"result.json", "job.json", "flows.csv", "cc_events.csv", "pfc_events.csv"} <= names
        assert {path.name for path in tmp_path.iterdir()} == {"out", "incast.yaml"}
        result = json.loads((out / "result.json").read_text())
        assert result["ended"] == "done"
        assert result["job"] == {"name": "small incast", "seed": 3}

    def test_the_summary_says_what_happened_and_that_it_is_simulated(
        self, roce: Roce, incast: Path, tmp_path: Path
    ) -> None:
        said = roce("run", incast, "--out", tmp_path / "out")

        assert "SIMULATED" in said.out
        assert said.out.count("  done  ") == 2
        assert "total: drops 0" in said.out

    def test_flows_are_those_of_the_result(self, roce: Roce, incast: Path, tmp_path: Path) -> None:
        roce("run", incast, "--out", tmp_path / "out")

        result = json.loads((tmp_path / "out" / "result.json").read_text())
        with (tmp_path / "out" / "flows.csv").open() as file:
            rows = {int(row["flow"]): row for row in csv.DictReader(file)}
        assert sorted(rows) == [0, 1]
        for index, flow in enumerate(result["flows"]):
            assert rows[index]["size_bytes"] == "200000"
            assert int(rows[index]["fct_ns"]) == flow["fct_ps"] // 1000
            assert rows[index]["sport"] == str(flow["qps"][0]["udp_sport"])

    def test_the_seed_on_the_command_line_wins(self, roce: Roce, incast: Path, tmp_path: Path) -> None:
        roce("run", incast, "--seed", "7", "--out", tmp_path / "out")

        assert json.loads((tmp_path / "out" / "result.json").read_text())["job"]["seed"] == 7

    def test_the_same_seed_gives_the_same_result(self, roce: Roce, incast: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            roce("run", incast, "--out", tmp_path / name)

        assert (tmp_path / "a" / "result.json").read_bytes() == (tmp_path / "b" / "result.json").read_bytes()

    def test_a_result_is_replaced_by_force_alone(self, roce: Roce, incast: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        roce("run", incast, "--out", out)

        refused = roce("run", incast, "--seed", "9", "--out", out)
        assert (refused.code, "--force" in refused.err) == (2, True)
        assert json.loads((out / "result.json").read_text())["job"]["seed"] == 3

        assert roce("run", incast, "--seed", "9", "--out", out, "--force").code == 0
        assert json.loads((out / "result.json").read_text())["job"]["seed"] == 9

    def test_flows_that_do_not_complete_are_no_evidence(
        self, roce: Roce, incast: Path, tmp_path: Path
    ) -> None:
        incast.write_text(incast.read_text() + "until: done\nduration: 5us\n")

        said = roce("run", incast, "--out", tmp_path / "out")

        assert said.code == 1
        assert "INVALID: " in said.out
        assert "unfinished" in said.out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("senders: 2", "senderz: 2", "did you mean 'senders'?"),
        ("size: 200KB", "size: 200", "add a unit"),
        ("size: 200KB", "size: .nan", "not a finite number"),
        ("topology: star-9", "topology: star9", "did you mean 'star-9'?"),
        ("senders: 2", "senders: 999", "999"),
        ("pattern: incast", "pattern: incest", "did you mean 'incast'?"),
        ("traffic:", "trafic:", "did you mean 'traffic'?"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    roce: Roce, incast: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    incast.write_text(incast.read_text().replace(old, new))

    said = roce("run", incast, "--out", tmp_path / "out")

    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_of_fabric_is_named(roce: Roce, incast: Path, tmp_path: Path) -> None:
    said = roce("run", incast, "--fabric", "simm", "--out", tmp_path / "out")

    assert (said.code, "did you mean 'sim'?" in said.err) == (2, True)


def test_a_simulator_that_dies_leaves_nothing(
    roce: Roce, incast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dying"
    program.write_text("#!/bin/sh\necho '{\"format\": 1'\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("ROCE_SIM", str(program))

    said = roce("run", incast, "--out", tmp_path / "out")

    assert said.code == 2
    assert "SIGKILL" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"dying", "incast.yaml"}


def test_ctrl_c_ends_the_simulator_and_leaves_nothing(endless: Path, incast: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = "from harness.cli import main; main()"
    command = [sys.executable, "-c", script, "run", str(incast), "--out", str(out)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        simulator = wait_for_pid(endless)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    finally:
        child.kill()

    assert child.returncode == 130
    assert said.strip() == "roce: error: interrupted"
    assert not alive(simulator)
    assert {path.name for path in tmp_path.iterdir()} == {"endless", "endless.pid", "incast.yaml"}


def wait_for_pid(path: Path, within_s: float = 20) -> int:
    """The process id in a file that appears when the process has started."""
    deadline = time.monotonic() + within_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
