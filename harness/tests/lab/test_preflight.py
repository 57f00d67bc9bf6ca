"""`roce doctor --site` on real machines: what is fit is called so, what is not is named with host and stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from harness.cli import main
from harness.core.site import Site
from harness.hosts.preflight import STAGES, Options, Report, State, preflight
from harness.tests.lab.faultlab import FaultLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_fabric(faultlab: FaultLab) -> None:
    """Agents of a fabric would be taken for leftovers of the doctor."""
    faultlab.close_fabric()


def examine(faultlab: FaultLab, **options: object) -> Report:
    report = preflight(faultlab.site, faultlab.topology, Options(**options))
    assert faultlab.wait_until_clean(10, agents=0)[0] == []
    return report


@contextmanager
def broken(faultlab: FaultLab, node: str, script: str, repair: str) -> Iterator[None]:
    faultlab.on(node, script)
    try:
        yield
    finally:
        faultlab.on(node, repair)


def failed(report: Report) -> dict[str, str]:
    return {problem.stage: problem.line for problem in report.problems if problem.state is State.FAILED}


def test_a_fit_site_is_fit_at_every_stage(
    faultlab: FaultLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    plain = TypeAdapter(Site).dump_python(faultlab.site, mode="json", exclude_defaults=True)
    site.write_text(yaml.safe_dump({**plain, "max_start_skew": "1s"}))
    with pytest.raises(SystemExit) as exited:
        main(["doctor", "--site", str(site), "--mtu", "4096", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (exited.value.code, said["healthy"]) == (0, True)
    for host in ("h1", "h2"):
        states = {stage: cell["state"] for stage, cell in said["nodes"][host].items()}
        assert set(states) == {stage.name for stage in STAGES}
        assert states.pop("switch") == "skipped"
        assert "skipped" not in states.values()
    assert said["nodes"]["sw1"]["switch"] == {"state": "ok", "note": "linux"}
    assert [pair["passed"] for pair in said["facts"]["mesh"]] == [True, True]
    assert {rate["src"] for rate in said["facts"]["bandwidth"]} == {"h1:p0", "h2:p0"}
    assert all(rate["gbps"] > 0 for rate in said["facts"]["bandwidth"])


def test_what_is_wrong_with_a_host_and_a_switch_is_told_at_its_stage(faultlab: FaultLab) -> None:
    """Another MTU stops h2 at its link; what a killed run left on the switch is a warning."""
    with (
        broken(faultlab, "h2", "ip link set p0 mtu 1500", "ip link set p0 mtu 4200"),
        broken(faultlab, "sw1", "nft add table bridge roce_harness", "nft delete table bridge roce_harness"),
    ):
        report = preflight(faultlab.site, faultlab.topology)
    assert set(failed(report)) == {"link"}
    assert "h2:p0: another RDMA MTU than most (4096 on h1:p0; 1024 on h2:p0)" in failed(report)["link"]
    assert report.cell("h1", "clock").state is not State.SKIPPED
    assert report.cell("h2", "clock").state is State.SKIPPED
    warnings = [problem for problem in report.problems if problem.stage == "switch"]
    assert [problem.where for problem in warnings] == ["sw1"]
    assert "nft table bridge roce_harness" in warnings[0].value


def test_packets_that_are_filtered_on_the_way_are_found_by_the_mesh(faultlab: FaultLab) -> None:
    rule = "add table bridge lost; add chain bridge lost f { type filter hook forward priority 0; }"
    with broken(
        faultlab,
        "sw1",
        f"nft '{rule}'; nft add rule bridge lost f udp dport 4791 drop",
        "nft delete table bridge lost",
    ):
        report = examine(faultlab)
    assert set(failed(report)) == {"mesh"}
    assert "nothing arrives (RC RETRY_EXC_ERR, UD 0 of 32 bytes arrived" in failed(report)["mesh"]
    assert report.cell("h1", "bandwidth").state is State.SKIPPED


def test_packets_that_are_too_long_for_the_way_are_found_by_the_mesh(faultlab: FaultLab) -> None:
    with broken(faultlab, "sw1", "ip link set e2 mtu 1500", "ip link set e2 mtu 4200"):
        report = examine(faultlab)
    assert "8 bytes arrive, packets of 4096 do not" in failed(report)["mesh"]
