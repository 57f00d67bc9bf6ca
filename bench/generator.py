"""``python -m bench generator``: what a traffic generator costs by itself, without a device.

perftest and roce-load post 64-byte writes over a libibverbs that completes them at once (native/tests/stub_verbs).
Callgrind counts the instructions of two runs of different length; their difference is the cost of the messages alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import BenchError

SOURCES = Path(__file__).parents[1] / "native/tests/stub_verbs"
STUB = "libstubverbs.so"
CLOCK = "libsteadyclock.so"
COMPILE = ("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-fPIC", "-shared")
SIZE = 64
SHORT = 64_000
"""Messages of the short run: a multiple of the batches and of perftest's 100 messages for a completion; from 20,001
on perftest takes no time stamp of each message."""
LONG = 50 * SHORT
"""Messages of the long run: so many that the start, which looks at the clock for a millisecond, weighs nothing."""
PART = {"wr": "4123", "legacy": "0"}
"""perftest uses the ibv_wr_ functions on parts that it knows, such as ConnectX-6 (4123), and not on others."""
DEPTH = 128
"""Messages under way at most: perftest's default."""
UNSIGNALLED = 64
"""Messages for a completion with batch 1: half the depth is the most that roce-load takes; perftest takes 100."""
LIMIT_S = 300.0
"""Of one run; they take some seconds."""


@dataclass(frozen=True, slots=True)
class Case:
    """How messages are posted: work requests of one call, and by which interface."""

    batch: int
    posting: str  # "wr": ibv_wr_start … ibv_wr_complete; "legacy": ibv_post_send

    @property
    def title(self) -> str:
        """For people."""
        call = "ibv_wr_*" if self.posting == "wr" else "ibv_post_send"
        return f"batch {self.batch}, {call}"


CASES = tuple(Case(batch, posting) for posting in ("wr", "legacy") for batch in (1, 32))


@dataclass(frozen=True, slots=True)
class Cost:
    """User-space instructions for one message: of all, and of the stub alone."""

    instructions: float
    stub: float

    @property
    def own(self) -> float:
        """Of the generator and what it calls, without the device's part."""
        return self.instructions - self.stub


@dataclass(frozen=True, slots=True)
class Tools:
    """The two libraries that are preloaded, and roce-load when there is one."""

    stub: Path
    clock: Path
    roce_load: Path | None

    def environment(self, folder: Path, posting: str) -> dict[str, str]:
        """For a program that is to find the stub; those with the same folder are connected."""
        return {
            **os.environ,
            "LD_PRELOAD": f"{self.stub}:{self.clock}",
            "STUB_VERBS_WIRE": str(folder / "wire"),
            "STUB_VERBS_PART": PART[posting],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases; 0 when roce-load needs no more than perftest in each, 1 when it does, 2 on failure."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    try:
        with tempfile.TemporaryDirectory(prefix="generator-") as folder:
            rows = _measure(_tools(options.roce_load, Path(folder)), console)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    console.print(_table(rows))
    if options.json:
        figures = [_as_json(*row) for row in rows]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(any(mine and mine.instructions > theirs.instructions for _, theirs, mine in rows))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench generator", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument(
        "--roce-load", type=Path, metavar="PROGRAM", help="measure this one [the one beside this Python]",
        default=Path(sys.executable).with_name("roce-load"),
    )  # fmt: skip
    return parser.parse_args(arguments)


# --- what is measured -------------------------------------------------------------------------------------


def build(folder: Path) -> tuple[Path, Path]:
    """Compile the stub and the steady clock with the system's compiler.

    Raises:
        BenchError: there is no compiler, or no header of libibverbs.
    """
    stub, clock = folder / STUB, folder / CLOCK
    for target, where in ((stub, SOURCES), (clock, SOURCES / "clock")):
        sources = sorted(str(source) for source in where.glob("*.c"))
        _finish(["cc", *COMPILE, "-o", str(target), *sources], None)
    return stub, clock


def perftest(case: Case, messages: int, tools: Tools) -> Counter[str]:
    """Instructions of the sending ib_write_bw for so many messages, by the file they are from."""
    port = _free_port()
    command = ["ib_write_bw", "-d", "stub0", "-F", "-p", str(port), "-s", str(SIZE), "-n", str(messages)]
    command += ["-l", str(case.batch)] if case.batch > 1 else []
    command += ["--use_old_post_send"] if case.posting == "legacy" else []
    with tempfile.TemporaryDirectory(prefix="perftest-") as name:
        folder = Path(name)
        environment = tools.environment(folder, case.posting)
        with _running(command, environment) as server:
            _wait_listening(port, server)
            counts, text = _callgrind([*command, "127.0.0.1"], environment, folder)
    check_perftest(text, case, messages)
    return counts


def ours(case: Case, messages: int, tools: Tools) -> Counter[str]:
    """Instructions of roce-load for so many messages, by the file they are from: both ends in one process.

    The target of a write has nothing to do. As in perftest's run, 128 messages are under way at most.
    """
    load = {"batch": case.batch, "post": case.posting, "poll": "busy"}
    load["signal_every"] = UNSIGNALLED
    flow = {
        "name": "write", "src": "h1:p0", "dst": "h2:p0", "verb": "write", "message_bytes": SIZE,
        "messages": messages, "max_outstanding": DEPTH, "verbs": {"check_payload": False}, "load": load,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="roce-load-") as name:
        folder = Path(name)
        job = folder / "job.json"
        job.write_text(json.dumps({"name": case.title, "until": "done", "flows": [flow]}), encoding="utf-8")
        command = [str(tools.roce_load), "--device", "stub0", "--job", str(job)]
        counts, text = _callgrind(command, tools.environment(folder, case.posting), folder)
    sent = json.loads(text)["flows"][0]["messages_completed"]
    if sent != messages:
        raise BenchError(f"roce-load was to send {messages} messages, {case.title}, and completed {sent}")
    return counts


def check_perftest(text: str, case: Case, messages: int) -> None:
    """Refuse a run that did not do what the case says.

    Raises:
        BenchError: another number of iterations, or the other way to post.
    """
    row = re.search(rf"^ *{SIZE} +(\d+) ", text, re.MULTILINE)
    if row is None or int(row[1]) != messages:
        raise BenchError(f"ib_write_bw was to send {messages} messages and printed: {text.strip()[-300:]}")
    posted = re.search(r"ibv_wr\* API *: *(\w+)", text)
    if posted is None or (posted[1] == "ON") != (case.posting == "wr"):
        raise BenchError(
            f"ib_write_bw did not post as {case.title} wants: {posted[0] if posted else 'not said'}"
        )


def per_message(short: Mapping[str, int], long: Mapping[str, int], messages: int) -> Cost:
    """What `messages` more messages cost each, from the counts of a short and a long run."""
    more = {name: long.get(name, 0) - short.get(name, 0) for name in {*short, *long}}
    stub = sum(count for name, count in more.items() if Path(name).name == STUB)
    return Cost(sum(more.values()) / messages, stub / messages)


def _tools(asked: Path | None, folder: Path) -> Tools:
    if asked is not None and not asked.exists():
        raise BenchError(f"no {asked}: make setup with libibverbs-dev installed, or say --roce-load")
    missing = [tool for tool in ("valgrind", "ib_write_bw", "cc") if shutil.which(tool) is None]
    if missing:
        raise BenchError(f"not installed: {', '.join(missing)} (apt-get install valgrind perftest gcc)")
    return Tools(*build(folder), asked)


def _measure(tools: Tools, console: Console) -> list[tuple[Case, Cost, Cost | None]]:
    rows: list[tuple[Case, Cost, Cost | None]] = []
    with console.status("starting") as status:
        for case in CASES:
            status.update(case.title)
            theirs = _cost(perftest, case, tools)
            rows.append((case, theirs, _cost(ours, case, tools) if tools.roce_load else None))
    return rows


def _cost(run: Callable[[Case, int, Tools], Counter[str]], case: Case, tools: Tools) -> Cost:
    return per_message(run(case, SHORT, tools), run(case, LONG, tools), LONG - SHORT)


# --- counting ---------------------------------------------------------------------------------------------


def _callgrind(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> tuple[Counter[str], str]:
    out = folder / "callgrind.out"
    counted = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command]
    text = _finish(counted, environment)
    return by_object(out.read_text(encoding="utf-8").splitlines()), text


def by_object(lines: Sequence[str]) -> Counter[str]:
    """Own cost by object file, of the lines of a callgrind.out (format of the Valgrind manual, chapter 'Callgrind')."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    current, is_call = "", False
    for line in lines:
        if match := re.match(r"(c?ob)=\((\d+)\)(?: (.*))?$", line):
            if match[3]:
                names[match[2]] = match[3]
            if match[1] == "ob":
                current = names[match[2]]
        elif line.startswith("calls="):
            is_call = True  # the next line is the cost of what was called, counted where it is from
        elif re.match(r"[\d+*-]", line):
            if not is_call:
                counts[current] += int(line.split()[1])
            is_call = False
    return counts


# --- processes --------------------------------------------------------------------------------------------


def _finish(command: Sequence[str], environment: Mapping[str, str] | None) -> str:
    try:
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]}: {error}") from error
    if run.returncode != 0:
        said = (run.stderr.strip() or run.stdout.strip())[-500:]
        raise BenchError(f"{' '.join(command)} ended with exit code {run.returncode}: {said}")
    return run.stdout


@contextlib.contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait for the server: it serves one connection, so nobody may try it. 0A in /proc/net/tcp is LISTEN."""
    wanted = re.compile(rf":{port:04X} [0-9A-F]+:0000 0A ")
    until = time.monotonic() + 10
    while time.monotonic() < until:
        tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
        if any(table.exists() and wanted.search(table.read_text(encoding="ascii")) for table in tables):
            return
        if server.poll() is not None:
            raise BenchError(f"the server of ib_write_bw ended with exit code {server.returncode}")
        time.sleep(0.02)
    raise BenchError(f"the server of ib_write_bw did not listen on port {port} within 10 s")


# --- results ----------------------------------------------------------------------------------------------


def _table(rows: Sequence[tuple[Case, Cost, Cost | None]]) -> Table:
    table = Table(
        title=f"\nInstructions for a message of {SIZE} bytes, written to a device that costs nothing",
        title_justify="left",
        box=None,
        padding=(0, 1),
        pad_edge=False,
    )
    table.add_column("case", no_wrap=True)
    for heading in ("perftest", "without stub", "roce-load", "without stub", "÷ perftest"):
        table.add_column(heading, justify="right")
    for case, theirs, mine in rows:
        cells = [f"{theirs.instructions:.1f}", f"{theirs.own:.1f}"]
        if mine:
            ratio = mine.instructions / theirs.instructions
            cells += [f"{mine.instructions:.1f}", f"{mine.own:.1f}", f"{ratio:.2f}"]
        else:
            cells += ["–", "–", "–"]
        table.add_row(case.title, *cells)
    return table


def _as_json(case: Case, theirs: Cost, mine: Cost | None) -> dict[str, object]:
    return {
        "batch": case.batch,
        "posting": case.posting,
        "perftest": asdict(theirs),
        "roce_load": asdict(mine) if mine else None,
        "ratio": mine.instructions / theirs.instructions if mine else None,
    }
