"""`roce doctor --site` as people and CI see it: a table, a line for each problem, JSON, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.core.errors import HostUnreachable
from harness.hosts.preflight import stages
from harness.tests.preflight.conftest import Rack

MakeRack = Callable[[int], Rack]


@pytest.fixture
def doctor(
    rack: MakeRack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command on two hosts, `h2` unreachable if so told; return exit code, stdout and stderr."""
    site = tmp_path / "site.yaml"
    two = rack(2)
    hosts = "\n".join(f"  {host}: {{ports: {{p0: {{device: rxe0}}}}}}" for host in two.hosts)
    site.write_text(f"topology: rack\nmax_start_skew: 1s\nhosts:\n{hosts}\n")
    monkeypatch.setattr(stages, "dialer", lambda _: two.dial)

    def run(*options: str, broken: bool = False) -> tuple[int, str, str]:
        if broken:
            two.refused["h2"] = HostUnreachable("no answer within 5 s", host="h2")
        with pytest.raises(SystemExit) as exited:
            main(["doctor", "--site", str(site), "--topology", str(two.file), "--no-bandwidth", *options])
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return run


def test_fit_hosts_are_a_table_and_exit_code_0(doctor: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = doctor()
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["node", "ssh", "python", "device", "link", "clock", "mesh"]
    assert lines[1].startswith("h1")
    assert "2/2" in lines[1]
    assert lines[-1] == "rack: 2 hosts are fit"
    assert err.splitlines()[0] == "ssh: connecting (2 hosts)"


def test_a_host_that_fails_is_a_line_with_advice_and_exit_code_1(
    doctor: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = doctor(broken=True)
    assert code == 1
    assert "FAILED" in next(line for line in out.splitlines() if line.startswith("h2"))
    told = next(line for line in out.splitlines() if line.startswith("failed "))
    assert told.startswith("failed ssh: h2: no answer within 5 s; check address and port")
    assert out.splitlines()[-1] == "rack: 1 of 2 nodes failed (h2)"


@pytest.mark.parametrize("broken", [False, True])
def test_json_is_all_there_is_on_stdout(doctor: Callable[..., tuple[int, str, str]], broken: bool) -> None:
    code, out, _ = doctor("--json", broken=broken)
    said = json.loads(out)
    assert (said["format"], said["healthy"]) == (1, not broken)
    assert code == int(broken)
    assert [problem["where"] for problem in said["problems"]] == (["h2"] if broken else [])
    assert said["nodes"]["h2"]["mesh"]["state"] == ("skipped" if broken else "ok")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--site", "none.yaml"], "none.yaml: cannot read the file"),
        (["--topology", "dumbbell"], "give --site"),
        (["--bandwidth"], "give --site"),
        (["--site", "topologies/sites/example.yaml", "--topology", "star-9"], "hosts that the site lacks"),
        (["--site", "topologies/sites/example.yaml", "--mtu", "1500"], "'1500' is not one of"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    with pytest.raises(SystemExit) as exited:
        main(["doctor", *arguments])
    assert exited.value.code == 2
    assert said in capsys.readouterr().err


def test_this_machine_is_examined_without_a_site(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    found = {each["what"]: each["state"] for each in json.loads(capsys.readouterr().out)}
    assert found["python"] == "ok"
    assert found["roce lab"] in ("ok", "optional")
