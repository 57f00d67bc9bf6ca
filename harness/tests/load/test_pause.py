"""The pause generator on a wire of our own: which bytes arrive, how far apart, and whether its certificate is true."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from harness.core.programs import find_program
from harness.tests.load import wire as wires
from harness.tests.load.wire import NEAR, Wire, decode, largest_gap_ns, write_pcap

REASON = wires.missing()
needs_wire = pytest.mark.skipif(REASON is not None, reason=str(REASON))

OWNED = "--i-own-this-fabric"
QUANTA_NS_10G = 3_355_392
"""65535 quanta of 512 bit times at 10 Gb/s, the rate of virtual Ethernet; frames are due every half of it."""

CLOCK_SLACK_NS = 100_000
"""What the wall clock of arrivals may be slewed against the monotonic clock of the sender within a second (0.01 %)."""

PFC = bytes.fromhex("88080101")
XON_3 = bytes.fromhex("88080101" + "0008" + "0000" * 8)


@pytest.fixture(scope="session")
def program() -> str:
    found = find_program("roce-load", "ROCE_LOAD")
    assert found is not None, "there is no roce-load: make setup builds it"
    return str(found)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
def pause(wire: Wire, program: str):
    """Run the generator beside the wire on the near port."""

    def run(*options: str) -> subprocess.CompletedProcess:
        return wire.run(program, "pause", "--interface", NEAR, *options)

    return run


@pytest.fixture
def start(wire: Wire, program: str):
    """Start the generator beside the wire; what still runs at the end is killed."""
    started = []

    def run(*options: str) -> subprocess.Popen:
        started.append(wire.start(program, "pause", "--interface", NEAR, OWNED, *options))
        return started[-1]

    yield run
    for process in started:
        with process:
            process.kill()


def told(done: subprocess.CompletedProcess, code: int = 0) -> dict:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def ended(process: subprocess.Popen, code: int = 0) -> dict:
    """Wait for the end of the generator, its standard input left open, and return its result."""
    line = process.stdout.readline()
    assert process.wait(timeout=10) == code, process.stderr.read()
    return json.loads(line)


def wait_for_frames(process: subprocess.Popen) -> None:
    """Return once it sends: the first line of progress comes a second after the first frame."""
    assert json.loads(process.stderr.readline())["frames"] > 0


# --- what arrives --------------------------------------------------------------------------------------------


@needs_wire
def test_what_arrives_is_what_a_dry_run_says(wire, pause):
    options = (
        "--kind",
        "pause,xon,disabled,global",
        "--priorities",
        "3,4",
        "--quanta",
        "1000,2000",
        "--count",
        "8",
    )
    plan = told(pause(*options, "--dry-run"))
    capture = wire.capture()
    result = told(pause(*options, OWNED))
    arrived = [frame.data.hex() for frame in capture.frames()]
    assert arrived == 2 * plan["bytes"] + plan["ends"]
    assert len(plan["ends"]) == 2  # one for 802.1Qbb, one for 802.3x
    assert (result["frames"], result["xon_sent"], result["error"]) == (8, True, None)
    assert result["gapless"] is None  # its frames hold nothing together


@needs_wire
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_decodes_the_frames(wire, pause, tmp_path):
    capture = wire.capture()
    pause("--priorities", "3,7", "--quanta", "65535,4660", "--count", "1", OWNED)
    pause("--kind", "global", "--quanta", "258", "--source", "02:00:00:00:00:99", "--count", "1", OWNED)
    frames = [frame.data for frame in capture.frames()]
    assert [len(frame) for frame in frames] == [60] * 4
    write_pcap(tmp_path / "pause.pcap", frames)
    pfc, xon, global_pause, _ = decode(tmp_path / "pause.pcap")
    assert pfc["eth"]["eth.dst"] == "01:80:c2:00:00:01"
    assert (pfc["eth"]["eth.type"], pfc["macc"]["macc.opcode"]) == ("0x8808", "0x0101")
    assert pfc["macc"]["macc.cbfc.enbv"] == "0x0088"
    times = [
        pfc["macc"]["CBFC Class Pause Times"][f"macc.cbfc.pause_time.c{priority}"] for priority in range(8)
    ]
    assert times == ["0", "0", "0", "65535", "0", "0", "0", "4660"]
    assert set(xon["macc"]["CBFC Class Pause Times"].values()) == {"0"}
    assert xon["macc"]["macc.cbfc.enbv"] == "0x0088"
    assert (global_pause["macc"]["macc.opcode"], global_pause["macc"]["macc.pause_time"]) == ("0x0001", "258")
    assert global_pause["eth"]["eth.src"] == "02:00:00:00:00:99"


@needs_wire
def test_the_end_can_be_left_to_the_quanta(wire, pause):
    capture = wire.capture()
    result = told(pause("--priorities", "3", "--count", "2", "--end", "none", OWNED))
    assert result["xon_sent"] is False
    assert [frame.data[12:16] for frame in capture.frames()] == [PFC, PFC]


# --- the certificate -----------------------------------------------------------------------------------------


@needs_wire
def test_the_gaps_on_the_wire_are_no_larger_than_the_certificate_says(wire, pause):
    capture = wire.capture()
    result = told(pause("--priorities", "3", "--duration", "1s", OWNED))
    frames = capture.frames()
    assert result["quanta_ns"] == QUANTA_NS_10G
    assert result["interval_ns"] == QUANTA_NS_10G // 2
    assert result["frames"] + 1 == len(frames)  # and the end
    assert result["frames"] + result["missed"] == 597  # 1 s / 1.677696 ms, the first at 0
    assert frames[-1].data[12:] == XON_3 + bytes(26)
    assert largest_gap_ns(frames[:-1]) <= result["largest_gap_ns"] + CLOCK_SLACK_NS
    assert result["gapless"] is (result["gaps_over_quanta"] == 0)
    lasted_ns = frames[-1].ns - frames[0].ns
    assert 0.98e9 <= lasted_ns <= 1.2e9


@needs_wire
def test_a_generator_that_was_stopped_says_so(wire, start):
    capture = wire.capture()
    process = start("--priorities", "3", "--duration", "3s")
    wait_for_frames(process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    process.send_signal(signal.SIGCONT)
    result = ended(process)
    assert result["largest_gap_ns"] >= 300_000_000
    assert result["gaps_over_quanta"] >= 1
    assert result["gapless"] is False
    assert result["missed"] >= 100
    assert result["error"] is None
    assert largest_gap_ns(capture.frames()) >= 300_000_000


@needs_wire
def test_a_generator_that_was_stopped_until_after_the_end_says_so(start):
    process = start("--priorities", "3", "--duration", "1200ms")
    wait_for_frames(process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)
    result = ended(process)
    assert result["gapless"] is False
    assert (
        50_000_000 <= result["largest_gap_ns"] <= 250_000_000
    )  # the pause was to last 0.2 s more, not 0.5 s


@needs_wire
def test_an_interval_longer_than_the_pause_is_not_gapless(pause):
    result = told(pause("--priorities", "3", "--interval", "10ms", "--duration", "50ms", OWNED))
    assert result["frames"] == 5
    assert result["gaps_over_quanta"] == 5
    assert result["gapless"] is False


@needs_wire
def test_a_start_at_a_set_time_is_met(wire, start):
    capture = wire.capture()
    at = time.monotonic_ns() + 700_000_000
    result = ended(start("--priorities", "3", "--duration", "20ms", "--start-at", str(at)))
    assert at <= result["first_mono_ns"] <= at + 200_000_000
    assert result["start_late_ns"] == result["first_mono_ns"] - at
    offset = time.time_ns() - time.monotonic_ns()
    assert abs(capture.frames()[0].ns - offset - result["first_mono_ns"]) < 5_000_000


@needs_wire
def test_a_start_that_is_told_on_standard_input_is_met(start):
    process = start("--priorities", "3", "--duration", "20ms", "--start-at", "stdin", "--until-stdin-closes")
    assert json.loads(process.stdout.readline()) == {"ready": True}
    at = time.monotonic_ns() + 200_000_000
    process.stdin.write(f"{at}\n")
    process.stdin.flush()
    result = ended(process)
    assert at <= result["first_mono_ns"] <= at + 100_000_000
    assert result["stopped"] is False


@needs_wire
@pytest.mark.parametrize(
    ("said", "stopped", "code"),
    [("", True, 0), ("12", True, 0), ("soon\n", False, 1), ("\n", False, 1), ("9" * 30 + "\n", False, 1)],
)
def test_a_start_that_is_never_told_sends_nothing(wire, start, said, stopped, code):
    capture = wire.capture()
    process = start("--priorities", "3", "--duration", "20ms", "--start-at", "stdin")
    assert json.loads(process.stdout.readline()) == {"ready": True}
    process.stdin.write(said)
    process.stdin.close()
    result = ended(process, code)
    assert (result["frames"], result["stopped"]) == (0, stopped)
    assert (result["error"] is None) is stopped
    assert capture.frames() == []


@needs_wire
def test_a_time_that_has_passed_is_a_failure(pause):
    result = told(pause("--priorities", "3", "--duration", "1ms", "--start-at", "1", OWNED), 1)
    assert result["frames"] == 0
    assert "its time had passed" in result["error"]


# --- ends of all kinds -----------------------------------------------------------------------------------------


@needs_wire
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_pause(wire, start, how):
    capture = wire.capture()
    process = start("--priorities", "3", "--duration", "60s")
    wait_for_frames(process)
    process.send_signal(how)
    result = ended(process)
    assert (result["stopped"], result["xon_sent"], result["error"]) == (True, True, None)
    last = capture.frames()[-1]
    assert last.data[12:] == XON_3 + bytes(26)


@needs_wire
def test_the_end_of_standard_input_ends_the_pause(wire, start):
    capture = wire.capture()
    process = start("--priorities", "3", "--until-stdin-closes")
    process.stdin.write("words that nobody waits for\n")
    process.stdin.flush()
    wait_for_frames(process)
    process.stdin.close()
    result = ended(process)
    assert (result["stopped"], result["xon_sent"], result["asked_ns"]) == (True, True, None)
    assert capture.frames()[-1].data[12:] == XON_3 + bytes(26)


@needs_wire
def test_a_generator_whose_time_has_not_come_ends_without_a_frame(wire, start):
    capture = wire.capture()
    process = start("--priorities", "3", "--duration", "1s", "--until-stdin-closes", "--start-at", str(2**62))
    time.sleep(0.3)
    process.stdin.close()
    result = ended(process)
    assert (result["frames"], result["stopped"], result["xon_sent"], result["error"]) == (
        0,
        True,
        False,
        None,
    )
    assert capture.frames() == []


@needs_wire
@pytest.mark.parametrize(
    ("blow", "words"),
    [(("link", "del", NEAR), "removed"), (("link", "set", NEAR, "down"), f"{NEAR} went down")],
)
def test_an_interface_that_goes_leaves_the_result_so_far(wire, start, blow, words):
    process = start("--priorities", "3", "--duration", "60s")
    wait_for_frames(process)
    wire.run("ip", *blow)
    result = ended(process, 1)
    assert words in result["error"]
    assert result["frames"] >= 100
    assert result["gapless"] is False


@needs_wire
def test_a_link_without_a_carrier_is_told(wire, pause):
    wire.run("ip", "link", "set", wires.FAR, "down")
    result = told(pause("--priorities", "3", "--duration", "5s", OWNED), 1)
    assert "took no frame for 1000 ms" in result["error"]
    assert result["frames"] == 0
    assert result["retries"] > 0


# --- refusals --------------------------------------------------------------------------------------------------


@needs_wire
def test_nothing_is_sent_unless_somebody_owns_the_fabric(wire, pause, monkeypatch):
    monkeypatch.delenv("ROCE_I_OWN_THIS_FABRIC", raising=False)
    capture = wire.capture()
    done = pause("--priorities", "3", "--count", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "say --i-own-this-fabric" in done.stderr
    monkeypatch.setenv("ROCE_I_OWN_THIS_FABRIC", "0")
    assert pause("--priorities", "3", "--count", "3").returncode == 2
    assert capture.frames() == []
    monkeypatch.setenv("ROCE_I_OWN_THIS_FABRIC", "1")
    assert told(pause("--priorities", "3", "--count", "3"))["frames"] == 3


@needs_wire
def test_a_user_without_the_right_is_told_what_to_do(wire, program):
    with tempfile.TemporaryDirectory(prefix="roce-pause-") as folder:  # pytest's own is closed to others
        place = Path(folder)
        place.chmod(0o755)
        copy = place / "roce-load"
        shutil.copy(program, copy)
        copy.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", str(copy), "pause")
        result = told(wire.run(*nobody, "--interface", NEAR, "--priorities", "3", "--count", "1", OWNED), 1)
        assert result["frames"] == 0
        assert "Operation not permitted; it needs root, or CAP_NET_RAW: setcap" in result["error"]
        assert told(wire.run(*nobody, "--interface", NEAR, "--probe"), 1)["error"] == result["error"]


@needs_wire
def test_a_probe_sends_nothing(wire, pause):
    capture = wire.capture()
    assert told(pause("--probe"))["error"] is None
    assert capture.frames() == []


@needs_wire
@pytest.mark.parametrize(
    ("interface", "words"),
    [
        ("p7", f"there is no interface 'p7'; there are lo, {wires.FAR}, {NEAR}"),
        ("lo", "lo is no Ethernet interface"),
    ],
)
def test_an_interface_that_cannot_is_refused(wire, program, interface, words):
    done = wire.run(program, "pause", "--interface", interface, "--priorities", "3", "--count", "1", OWNED)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@needs_wire
def test_an_interface_that_does_not_know_its_rate_needs_one(wire, program):
    wire.run("ip", "link", "add", "d0", "type", "bridge")
    wire.run("ip", "link", "set", "d0", "up")
    options = ("pause", "--interface", "d0", "--priorities", "3", "--count", "1", OWNED)
    done = wire.run(program, *options)
    assert done.returncode == 2
    assert "d0 does not say how fast it is; say --rate" in done.stderr
    assert told(wire.run(program, *options, "--rate-if-unknown", "1G"))["rate_bps"] == 10**9


@needs_wire
def test_the_interface_knows_its_rate_better(pause):
    options = ("--priorities", "3", "--count", "1", "--dry-run")
    assert told(pause(*options, "--rate-if-unknown", "1G"))["rate_bps"] == 10**10
    assert told(pause(*options, "--rate", "100G"))["rate_bps"] == 10**11


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "which interface"),
        (("--interface", "x", "--priorities", "9", "--count", "1"), "no list of priorities 0..7"),
        (("--interface", "x", "--priorities", "3"), "how long"),
        (("--interface", "x", "--storm"), "no option '--storm'"),
    ],
)
def test_bad_arguments_are_refused_in_words(program, options, words):
    done = subprocess.run([program, "pause", *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_help_shows_how(program):
    done = subprocess.run([program, "pause", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "roce-load pause --interface ens1f0 --priorities 3 --duration 2s --i-own-this-fabric" in done.stdout
    )


def test_a_dry_run_needs_no_interface_that_exists(program):
    options = ("--interface", "far0", "--source", "02:00:00:00:00:01", "--rate", "400G", "--priorities", "0")
    done = subprocess.run(
        [program, "pause", *options, "--dry-run"], capture_output=True, text=True, check=False
    )
    plan = told(done)
    assert (plan["quanta_ns"], plan["interval_ns"]) == (83_884, 41_942)
    assert plan["bytes"] == ["0180c2000001" + "020000000001" + "88080101" + "0001" + "ffff" + "00" * 40]


@needs_wire
def test_frames_are_evenly_spaced(wire, pause):
    """On a machine that others use, too, most gaps are within a tenth of the interval."""
    capture = wire.capture()
    told(pause("--priorities", "3", "--duration", "500ms", OWNED))
    times = [frame.ns for frame in capture.frames()[:-1]]
    gaps = [after - before for before, after in pairwise(times)]
    near = [gap for gap in gaps if abs(gap - QUANTA_NS_10G // 2) < QUANTA_NS_10G // 20]
    assert len(near) > 0.8 * len(gaps)
