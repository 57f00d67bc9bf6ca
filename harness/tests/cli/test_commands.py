from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.cli import doctor
from harness.cli.doctor import PROBE_BYTES, State
from harness.tests.cli.conftest import Roce


class TestTopo:
    def test_list_names_every_topology_with_its_size(self, roce: Roce) -> None:
        said = roce("topo", "list")

        assert said.code == 0
        assert "9 hosts, 1 switch, 9 links" in said.out

    def test_list_goes_on_after_a_topology_that_cannot_be_read(
        self, roce: Roce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "topologies").mkdir()
        (tmp_path / "topologies" / "aaa.yaml").write_text("nodes: {}")
        monkeypatch.chdir(tmp_path)

        said = roce("topo", "list")

        assert "cannot be read" in said.out
        assert "star-9" in said.out

    def test_show_draws_text(self, roce: Roce) -> None:
        assert "9 x 100Gbps 1us" in roce("topo", "show", "star-9").out

    def test_show_draws_svg(self, roce: Roce, tmp_path: Path) -> None:
        said = roce("topo", "show", "star-9", "--svg", tmp_path / "star.svg")

        assert said.code == 0
        assert ET.parse(tmp_path / "star.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(("kind", "key"), [("scenario", "traffic"), ("topology", "links")])
def test_schema_is_json_schema(roce: Roce, kind: str, key: str) -> None:
    schema = json.loads(roce("schema", kind).out)

    assert key in schema["properties"]
    assert schema["$schema"].startswith("https://json-schema.org/")


class TestCompare:
    HEADER = "t_ps,src,dst,sport,event,target_bps_after,rate_bps_after,alpha\n"

    def folders(self, tmp_path: Path, ours: str, reference: str) -> tuple[Path, Path]:
        run, references = tmp_path / "run", tmp_path / "references"
        run.mkdir()
        references.mkdir()
        (run / "cc_events.csv").write_text(self.HEADER + ours)
        (references / "case_ccevents.csv").write_text(self.HEADER + reference)
        return references, run

    def test_equal_events_exit_0(self, roce: Roce, tmp_path: Path) -> None:
        event = "1,0,8,10000,cnp,100,100,1.000000000\n"

        said = roce("compare", *self.folders(tmp_path, event, event))

        assert said.code == 0
        assert said.out.split()[-5:] == ["case", "cc", "1", "1", "0"]

    def test_a_different_event_is_shown_and_exits_1(self, roce: Roce, tmp_path: Path) -> None:
        event = "1,0,8,10000,cnp,100,100,1.000000000\n"

        said = roce("compare", *self.folders(tmp_path, event, event.replace("100,100", "100,99")))

        assert said.code == 1
        assert "0/8/10000 event 0" in said.out

    def test_an_empty_reference_proves_nothing(self, roce: Roce, tmp_path: Path) -> None:
        assert roce("compare", *self.folders(tmp_path, "", "")).code == 1

    def test_the_name_in_the_job_chooses_the_reference(self, roce: Roce, tmp_path: Path) -> None:
        event = "1,0,8,10000,cnp,100,100,1.000000000\n"
        references, run = self.folders(tmp_path, event, event)
        (references / "other_ccevents.csv").write_text(self.HEADER)
        (run / "result.json").write_text(json.dumps({"job": {"name": "case"}}))

        assert roce("compare", references, run).code == 0

    def test_names_are_listed_when_none_fits(self, roce: Roce, tmp_path: Path) -> None:
        references, run = self.folders(tmp_path, "", "")
        (references / "other_ccevents.csv").write_text(self.HEADER)

        said = roce("compare", references, run)

        assert (said.code, "case, other" in said.err) == (2, True)


def test_import_refuses_to_replace_a_file(roce: Roce, tmp_path: Path) -> None:
    target = tmp_path / "scenario.yaml"
    target.write_text("mine")

    said = roce("import", "hpcc", tmp_path / "none.cfg", "-o", target)

    assert (said.code, "--force" in said.err) == (2, True)
    assert target.read_text() == "mine"


def test_import_makes_an_earlier_import_again(roce: Roce, tmp_path: Path) -> None:
    target = tmp_path / "scenario.yaml"
    target.write_text("# Imported from old.cfg, a configuration\n")

    said = roce("import", "hpcc", tmp_path / "none.cfg", "-o", target)

    assert "none.cfg: cannot read" in said.err  # it went on to read, and kept the file when that failed
    assert target.exists()


class TestDoctor:
    def probe(self, text: str, code: int = 0) -> State:
        finished = subprocess.CompletedProcess(["roce-sim"], code, stdout=text, stderr="")
        return doctor._judge_probe("roce-sim", finished).state

    def good(self, **flow: object) -> str:
        probed = {"bytes_delivered": PROBE_BYTES, "status": "done"} | flow
        return json.dumps({"simulator": {"version": "0.1.0"}, "flows": [probed]})

    def test_a_simulator_that_carries_the_probe_is_good(self) -> None:
        assert self.probe(self.good()) is State.GOOD

    @pytest.mark.parametrize("text", ["", "{}", '{"flows": []}', "[]", "null"])
    def test_a_result_that_cannot_be_read_is_not(self, text: str) -> None:
        assert self.probe(text) is State.BROKEN

    def test_a_probe_that_was_lost_is_not(self) -> None:
        assert self.probe(self.good(bytes_delivered=PROBE_BYTES - 1)) is State.BROKEN
        assert self.probe(self.good(status="unfinished")) is State.BROKEN
        assert self.probe(self.good(), code=1) is State.BROKEN

    @pytest.mark.parametrize(
        ("script", "state", "words"),
        [
            (
                """echo '{"version": "7", "devices": ["null", "verbs"]}'""",
                State.GOOD,
                "7, devices null, verbs",
            ),
            ("""echo '{"version": "7", "devices": ["null"]}'""", State.OPTIONAL, "7, without libibverbs"),
            ("exit 3", State.OPTIONAL, "does not run"),
            ("echo '[]'", State.OPTIONAL, "does not run"),
        ],
    )
    def test_the_generator_is_asked_what_it_can(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, state: State, words: str
    ) -> None:
        program = tmp_path / "roce-load"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("ROCE_LOAD", str(program))
        found = doctor._generator()
        assert (found.state, words in found.seen) == (state, True)

    def test_a_generator_that_is_not_there_is_no_fault(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("ROCE_LOAD", str(tmp_path / "nothing"))
        assert doctor._generator().state is State.OPTIONAL
        monkeypatch.delenv("ROCE_LOAD")
        monkeypatch.setattr("harness.core.programs._candidates", lambda name: iter(()))
        assert "hosts use pyverbs" in doctor._generator().seen

    def test_versions_are_compared_as_numbers(self) -> None:
        assert doctor._version("2.10.1") > doctor._version("2.9")
        assert doctor._version("6.0.1rc1") == (6, 0, 1)

    def test_a_missing_or_old_package_is_named(self) -> None:
        assert doctor._requirement_fault("no-such-package>=1.0") == "no-such-package is not installed"
        assert "is older than 999" in (doctor._requirement_fault("pytest>=999") or "")
        assert doctor._requirement_fault("pytest>=1.0") is None

    def test_something_missing_makes_it_exit_1(
        self, roce: Roce, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("ROCE_SIM", str(tmp_path / "nothing"))

        said = roce("doctor")

        assert said.code == 1
        assert "ROCE_SIM names no program" in said.out
