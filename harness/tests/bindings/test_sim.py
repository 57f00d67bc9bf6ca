"""The simulated fabric, with small scripts that play roce-sim."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.bindings.sim import SimFabric, find_simulator, reserve
from harness.core.errors import ConfigError, SimError
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.units import GBPS, MB
from harness.patterns.incast import Incast

SCENARIO = Scenario(Incast(1, size=MB), sample_every=0)
REPOSITORY = Path(__file__).parents[3]

RESULT = {
    "format": 1, "simulated": True, "ended": "done", "error": None, "end_ps": 10**9, "flows": [], "ports": {},
    "series": None, "conservation": {"ok": True},
}  # fmt: skip


@pytest.fixture
def fabric_of(tmp_path):
    """Make a fabric whose simulator is a script."""
    made = []

    def make(body, **options):
        program = tmp_path / "roce-sim"
        head = f"#!{sys.executable}\nimport json, os, signal, sys, time\nRESULT = {RESULT!r}\n"
        program.write_text(head + textwrap.dedent(body))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        fabric = SimFabric(Topology.load("dumbbell"), 1, program, **options)
        made.append(fabric)
        return fabric

    yield make
    for fabric in made:
        fabric.close()


GOOD = "json.load(sys.stdin); print(json.dumps(RESULT))"


def test_the_job_goes_in_and_the_result_comes_out(fabric_of):
    fabric = fabric_of(
        "job = json.load(sys.stdin); RESULT['end_ps'] = len(job['flows']); print(json.dumps(RESULT))"
    )
    result = fabric.run(SCENARIO)
    assert result.end_ps == 1
    assert result.simulated
    assert json.loads((result.folder / "job.json").read_text())["flows"][0]["message_bytes"] == MB
    assert json.loads((result.folder / "result.json").read_text())["end_ps"] == 1


def test_progress_is_reported_and_noise_is_not(fabric_of):
    fabric = fabric_of(
        """
        for line in ['{"progress": 0.5, "sim_ps": 7}', 'noise', '{"progress": 7, "sim_ps": 8}', '{"done": true}', '[]',
                     '{"progress": "x"}']:
            print(line, file=sys.stderr, flush=True)
        json.load(sys.stdin); print(json.dumps(RESULT))
        """
    )
    heard = []
    fabric.run(SCENARIO, progress=lambda fraction, sim_ps: heard.append((fraction, sim_ps)))
    assert heard == [(0.5, 7), (1.0, 8)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", r"killed by SIGKILL; .*memory runs out.*\(exit code -9\)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"killed by SIGSEGV; that is a defect.*\(exit code -11\)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", r"killed by SIGTERM"),
        (
            """print('{"error": "unknown node", "path": "flows[3].src", "line": 12}', file=sys.stderr); sys.exit(2)""",
            r"refused the job \(exit code 2\): flows\[3\].src: unknown node",
        ),
        (
            """print('{"error": "No space left on device", "path": ""}', file=sys.stderr); sys.exit(1)""",
            r"gave no result \(exit code 1\): No space left on device$",
        ),
        ("sys.exit(2)", r"refused the job \(exit code 2\)$"),
        (
            "RESULT['error'] = {'kind': 'memory', 'message': 'no more'}; print(json.dumps(RESULT)); sys.exit(1)",
            r"the simulation failed \(exit code 1\): memory: no more",
        ),
        ("print(json.dumps(RESULT)); sys.exit(1)", r"the simulation failed \(exit code 1\)"),
        (
            "RESULT['error'] = {'kind': 'conservation', 'message': 'x'}; print(json.dumps(RESULT))",
            "failed .*conservation",
        ),
        ("sys.exit(1)", r"no result that can be read \(exit code 1\)"),
        ("print('garbage')", "no result that can be read"),
        ("print(json.dumps(RESULT)[:-5])", "no result that can be read"),
        ("print(json.dumps(RESULT)); print('more')", "no result that can be read"),
        ("sys.stdout.buffer.write(bytes(range(256)))", "no result that can be read"),
        ("print('[1, 2]')", "no result of format 1"),
        ("print('{\"format\": 2}')", "no result of format 1"),
        ("pass", "no result that can be read"),
        ("print('oops', file=sys.stderr); sys.exit(42)", r"does not know \(exit code 42\): oops"),
        ("print('x' * 300_000, file=sys.stderr); sys.exit(3)", r"\(exit code 3\)"),
    ],
)
def test_every_way_to_fail_is_one_clear_error_and_leaves_nothing(fabric_of, tmp_path, body, message):
    with pytest.raises(SimError, match=message) as error:
        fabric_of(body).run(SCENARIO, output=tmp_path / "out" / "run")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_simulator_that_does_not_read_its_job_does_not_block(fabric_of):
    assert fabric_of("print(json.dumps(RESULT))").run(SCENARIO).ended == "done"


def test_a_simulator_that_never_ends_is_ended(fabric_of):
    started = time.monotonic()
    with pytest.raises(SimError, match=r"took longer than 0.3 s"):
        fabric_of("time.sleep(60)", timeout_s=0.3).run(SCENARIO)
    assert time.monotonic() - started < 10


def test_a_simulator_that_cannot_be_run_is_named(fabric_of):
    fabric = fabric_of(GOOD)
    fabric.program.write_text("#!/no/such/interpreter\n")
    with pytest.raises(SimError, match="cannot run '.*roce-sim'"):
        fabric.run(SCENARIO)


def test_ctrl_c_ends_the_simulator_and_leaves_nothing(fabric_of, tmp_path):
    fabric = fabric_of(
        """
        print(json.dumps({"progress": 0.1, "sim_ps": os.getpid()}), file=sys.stderr, flush=True)
        time.sleep(60)
        """
    )
    seen = []

    def interrupt(_fraction, pid):
        seen.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fabric.run(SCENARIO, output=tmp_path / "out" / "run", progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_simulator_that_ignores_the_request_to_end_is_killed(fabric_of, monkeypatch):
    monkeypatch.setattr("harness.bindings.sim.process.GRACE_S", 0.2)
    fabric = fabric_of(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(json.dumps({"progress": 0.1, "sim_ps": os.getpid()}), file=sys.stderr, flush=True)
        time.sleep(60)
        """
    )
    seen = []

    def interrupt(_fraction, pid):
        seen.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fabric.run(SCENARIO, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_a_later_run_replaces_an_earlier_one(fabric_of, tmp_path):
    fabric = fabric_of(GOOD)
    place = tmp_path / "run"
    fabric.run(SCENARIO, output=place)
    (place / "old.csv").write_text("")
    fabric.run(SCENARIO, output=place)
    assert sorted(path.name for path in place.iterdir()) == ["job.json", "result.json"]


def test_an_earlier_run_stays_when_the_later_one_fails(fabric_of, tmp_path):
    place = tmp_path / "run"
    fabric_of(GOOD).run(SCENARIO, output=place)
    with pytest.raises(SimError):
        fabric_of("sys.exit(1)").run(SCENARIO, output=place)
    assert (place / "result.json").is_file()


def test_a_folder_that_holds_something_else_is_not_replaced(fabric_of, tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds something that is no run"):
        fabric_of(GOOD).run(SCENARIO, output=place)
    assert (place / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_used(fabric_of, tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    assert fabric_of(GOOD).run(SCENARIO, output=place).folder == place


def test_places_that_cannot_be_written_are_one_error(fabric_of, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(ConfigError, match="output folder"):
            fabric_of(GOOD).run(SCENARIO, output=place)


def test_folders_without_a_place_go_when_the_fabric_closes(fabric_of):
    fabric = fabric_of(GOOD)
    first, second = fabric.run(SCENARIO).folder, fabric.run(SCENARIO).folder
    assert first != second
    assert first.is_dir()
    fabric.close()
    fabric.close()
    assert not first.exists()
    assert not second.exists()


def test_a_scenario_that_does_not_fit_is_refused_before_anything_is_written(fabric_of, tmp_path):
    with pytest.raises(ConfigError, match="not enough host ports"):
        fabric_of(GOOD).run(Scenario(Incast(8, size=MB)), output=tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists()


def test_the_variable_names_the_simulator(fabric_of, monkeypatch, tmp_path):
    program = fabric_of(GOOD).program
    monkeypatch.setenv("ROCE_SIM", str(program))
    assert find_simulator() == program
    monkeypatch.setenv("ROCE_SIM", str(tmp_path / "nothing"))
    with pytest.raises(SimError, match="ROCE_SIM names no program"):
        find_simulator()


def test_a_missing_simulator_says_how_to_build_it(monkeypatch):
    monkeypatch.delenv("ROCE_SIM", raising=False)
    monkeypatch.setattr("harness.core.programs._candidates", lambda name: iter(()))
    with pytest.raises(SimError, match="there is no roce-sim: build it with `make setup`"):
        reserve(Topology.load("dumbbell"))


def test_a_simulated_fabric_has_no_site(tmp_path):
    with pytest.raises(ConfigError, match="needs no site"):
        reserve(Topology.load("dumbbell"), site=tmp_path)


def test_the_line_rate_is_that_of_the_slowest_host(fabric_of):
    fabric = fabric_of(GOOD)
    assert fabric.line_rate_gbps == 100
    assert SimFabric(Topology.load("mixed-speed"), 1, fabric.program).line_rate_gbps == 25


def real_simulator():
    try:
        return find_simulator()
    except SimError:
        pytest.skip("roce-sim is not built")


def test_the_real_simulator_gives_the_same_result_twice():
    fabric = SimFabric(Topology.load("incast-8"), 3, real_simulator())
    scenario = Scenario(Incast(8, size=MB))
    first, second = (fabric.run(scenario).folder.joinpath("result.json").read_bytes() for _ in range(2))
    result = fabric.run(scenario)
    assert first == second
    assert result.invalid_reasons == ()
    assert 80 < result.goodput_gbps < 100
    assert result.series["queue_bytes"].max("sw1:e9/3") > 0
    fabric.close()


def test_the_real_simulator_is_told_to_be_invalid_when_asked_for_too_much():
    fabric = SimFabric(Topology.load("dumbbell"), 1, real_simulator())
    result = fabric.run(Scenario(Incast(1, size=MB, rate=150 * GBPS)))
    assert "150Gbps were asked of h1:p0, whose link has 100Gbps" in result.invalid_reasons
    fabric.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_harness_that_is_interrupted_takes_its_simulator_along(fabric_of, number):
    """The whole way, in a process of its own: Ctrl-C at the harness ends both."""
    program = fabric_of(
        'print(\'{"progress": 0.1, "sim_ps": 1}\', file=sys.stderr, flush=True); time.sleep(30)'
    ).program
    code = textwrap.dedent(
        f"""
        import signal, sys
        from pathlib import Path
        from harness import Scenario, Topology
        from harness.bindings.sim import SimFabric
        from harness.patterns.incast import Incast
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        fabric = SimFabric(Topology.load("dumbbell"), 1, Path({str(program)!r}))
        fabric.run(Scenario(Incast(1, size=1000)), progress=lambda *_: print("started", flush=True))
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as harness:
        assert harness.stdout.readline() == "started\n"
        harness.send_signal(number)
        _, said = harness.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    assert harness.returncode != 0
