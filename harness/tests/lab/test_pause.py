"""A pause storm on virtual machines: frames of one guest, caught in another, read by a tool that is not ours."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from harness import Capability
from harness.core.events import PauseStorm
from harness.core.site import Site
from harness.core.units import MS
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair
from harness.tests.lab.faultlab import LONG, NOTICE_S, FaultLab
from harness.tests.load.wire import CAPTURE, Frame, decode, frames_of, largest_gap_ns, write_pcap
from harness.transport.ssh import connect

pytestmark = [pytest.mark.lab, pytest.mark.slow]

QUANTA = 8000
"""102 ms at the 40 Mb/s of the lab: an emulated guest with one processor is away for tens of ms."""

STORM = PauseStorm(at="300ms", port="h2:p0", priorities=[3, 5], duration="1s", quanta=QUANTA)
STORMY = dataclasses.replace(
    LONG, traffic=Pair(65536, messages=200, max_outstanding=2, both_ways=True), events=(STORM,)
)
"""13 MB in each direction: some seconds."""


CONTROLLER = """
import sys
from harness import Scenario
from harness.core.events import PauseStorm
from harness.core.site import Site
from harness.core.topology import Topology
from harness.hosts.fabric import HostFabric
from harness.patterns.pair import Pair
storm = PauseStorm(at=0, port="h2:p0", priorities=[3], duration="50s", quanta=8000)
scenario = Scenario(
    Pair(65536, messages=100_000, max_outstanding=2), events=[storm], duration="60s", until="done", sample_every=0
)
fabric = HostFabric("to be killed", Topology.load(sys.argv[2]), Site.load(sys.argv[1]), 1)
fabric.run(scenario, progress=lambda fraction, _: print("running" if fraction > 0 else "starting", flush=True))
"""
"""A controller to be killed in a storm."""

GENERATORS = "ps -eo args | grep '[r]oce-load[^ ]* pause .*--start-at' || :"


@pytest.fixture
def catching(faultlab: FaultLab):
    """The switch guest, catching on its port to h2; a function ends it and gives what came."""
    remote = connect(faultlab.site.access("sw1"), "sw1")
    catcher = remote.start(["python3", "-c", CAPTURE, faultlab.site.switches["sw1"].ports["e2"]])
    assert catcher.readline(60) == b"ready\n"

    def caught() -> list[Frame]:
        catcher.close_stdin()
        return frames_of(catcher.readline(60).decode())

    yield caught
    remote.close()


@pytest.fixture(scope="module")
def stormed(faultlab: FaultLab):
    """One run with a storm, and what the switch guest caught on its port to h2 meanwhile."""
    faultlab.close_fabric()
    switch = faultlab.site.switches["sw1"]
    remote = connect(faultlab.site.access("sw1"), "sw1")
    try:
        with HostFabric("storm", faultlab.topology, faultlab.site, 1) as fabric:
            assert Capability.PAUSE_STORM in fabric.capabilities
            catcher = remote.start(["python3", "-c", CAPTURE, switch.ports["e2"]])
            assert catcher.readline(60) == b"ready\n"
            result = fabric.run(STORMY)
            catcher.close_stdin()
            return result, frames_of(catcher.readline(60).decode())
    finally:
        remote.close()


def test_the_certificate_counts_the_frames_that_arrived(stormed):
    result, frames = stormed
    (event,) = result.raw["hosts"]["events"]
    said = event["certificate"]
    assert said["error"] is None
    assert said["quanta_ns"] == QUANTA * 512 * 25  # ns of a bit at 40 Mb/s
    assert (said["xon_sent"], said["stopped"], said["tx_errors"]) == (True, False, 0)
    assert len(frames) == said["frames"] + 1
    assert 15 <= said["frames"] <= 20  # every 51 ms for 1 s
    assert 250 * MS <= event["began_ps"] <= 1500 * MS
    assert event["done_ps"] - event["began_ps"] <= 1200 * MS


def test_the_run_is_evidence_exactly_when_the_pause_held(stormed):
    result, _ = stormed
    (event,) = result.raw["hosts"]["events"]
    told = [reason for reason in result.invalid_reasons if "the pause of h2:p0" in reason]
    assert bool(told) is (event["certificate"]["gaps_over_quanta"] > 0)
    assert event["certificate"]["gapless"] is not bool(told)


def test_the_gaps_that_arrived_are_those_of_the_certificate(stormed):
    """Emulated links add their own delay, which changes by some ms."""
    result, frames = stormed
    (event,) = result.raw["hosts"]["events"]
    assert largest_gap_ns(frames[:-1]) <= event["certificate"]["largest_gap_ns"] + 20_000_000


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_reads_them_as_priority_flow_control(stormed: tuple[object, list[Frame]], tmp_path: Path):
    _, frames = stormed
    write_pcap(tmp_path / "storm.pcap", [frame.data for frame in frames])
    *pauses, end = decode(tmp_path / "storm.pcap")
    for layers in (*pauses, end):
        assert layers["eth"]["eth.dst"] == "01:80:c2:00:00:01"
        assert layers["macc"]["macc.opcode"] == "0x0101"
        assert layers["macc"]["macc.cbfc.enbv"] == "0x0028"
    for layers in pauses:
        times = layers["macc"]["CBFC Class Pause Times"]
        assert [times[f"macc.cbfc.pause_time.c{priority}"] for priority in range(8)] == [
            "0", "0", "0", str(QUANTA), "0", str(QUANTA), "0", "0",
        ]  # fmt: skip
    assert set(end["macc"]["CBFC Class Pause Times"].values()) == {"0"}


def test_nothing_stays_paused_when_the_controller_is_killed(
    faultlab: FaultLab, catching: Callable[[], list[Frame]], tmp_path: Path
):
    faultlab.close_fabric()
    site = tmp_path / "site.yaml"
    plain = TypeAdapter(Site).dump_python(faultlab.site, mode="json", exclude_defaults=True)
    site.write_text(yaml.safe_dump({**plain, "max_start_skew": "1s"}))
    program = [sys.executable, "-c", CONTROLLER, str(site), faultlab.topology.name]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert "running\n" in iter(child.stdout.readline, "")
            assert "pause" in faultlab.on("h2", GENERATORS)
            time.sleep(1)
        finally:
            child.kill()
    assert _soon(lambda: faultlab.on("h2", GENERATORS) == "", NOTICE_S)
    *pauses, end = catching()
    assert len(pauses) > 5
    assert set(end.data[18:]) == {0}  # times of 0


def _soon(claim: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if claim():
            return True
    return False
