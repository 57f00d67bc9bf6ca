from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.cli import app
from harness.cli.console import EXIT_INTERRUPTED
from harness.core.errors import HarnessError
from harness.tests.cli.conftest import Roce


def commands() -> list[str]:
    """Every command, groups and their members included, as it is typed."""
    found = []
    for name, command in app.cli.commands.items():
        found.append(name)
        if isinstance(command, click.Group):
            found += [f"{name} {inner}" for inner in command.commands]
    return sorted(found)


@pytest.mark.parametrize("command", [*commands(), ""])
def test_help_has_an_example(roce: Roce, command: str) -> None:
    said = roce(*command.split(), "--help")

    assert said.code == 0
    assert f"roce {command}".strip() in said.out
    if command != "import":
        assert "Example" in said.out


def test_help_is_quick_to_import() -> None:
    # Heavy packages are imported by the command that needs them.
    probe = (
        "import sys, harness.cli.app as app; print([m for m in ('jinja2', 'rich.table') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nope.yaml", "--out", "x"], "nope.yaml: cannot read the file"),
        (["run", "nope.yaml"], "Missing option '--out'; see roce run --help"),
        (["nonsense"], "No such command 'nonsense'"),
        (["schema", "rack"], "'rack' is not one of 'scenario', 'topology', 'site'"),
        (["topo", "show", "star9"], "did you mean 'star-9'?"),
        (["topo", "show", "none.yaml"], "there is no such topology file"),
        (
            ["topo", "show", "star-9", "--svg", "/proc/nowhere/star.svg"],
            "cannot write /proc/nowhere/star.svg",
        ),
        (["import", "hpcc", "none.cfg", "-o", "x.yaml"], "none.cfg: cannot read"),
        (["report", "none", "-o", "x.html"], "cannot read the record"),
        (["report", ".", "-o", "x.pdf", "--format", "pdf"], "unknown report format"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(roce: Roce, arguments: list[str], message: str) -> None:
    said = roce(*arguments)

    assert said.code == 2
    assert message in said.err
    assert said.err.startswith("roce: error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback_wherever_it_stands(place: int) -> None:
    arguments = ["topo", "show", "nope"]
    arguments.insert(place, "--debug")

    with pytest.raises(HarnessError):
        app.main(arguments)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), EXIT_INTERRUPTED),
        (HarnessError("broken"), 2),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(
    roce: Roce, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(app.cli.commands["doctor"], "callback", fail)

    said = roce("doctor")

    assert said.code == code
    # click begins a new line after the ^C that the terminal shows
    assert said.err.strip().count("\n") == 0
    assert said.err.strip().startswith("roce: error: ")


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    # `roce schema | head -1`, with a pipe too small for the whole schema
    command = f"{sys.executable} -c 'from harness.cli import main; main()' schema | head -n 1"
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

    assert finished.stdout == "{\n"
    assert finished.stderr == ""
