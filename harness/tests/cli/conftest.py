"""Run `roce` in this process, as its entry point does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import main


@dataclass(frozen=True)
class Said:
    """What one run of the command printed, and its exit code."""

    code: int
    out: str
    err: str


Roce = Callable[..., Said]


@pytest.fixture
def roce(capfd: pytest.CaptureFixture[str]) -> Roce:
    def call(*arguments: str | Path) -> Said:
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Said(int(exited.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def incast(tmp_path: Path) -> Path:
    """A scenario that runs in a few milliseconds: two senders, 200 kB each."""
    path = tmp_path / "incast.yaml"
    path.write_text(
        "name: small incast\n"
        "topology: star-9\n"
        "seed: 3\n"
        "sample_every: 10us\n"
        "qos: {pfc: {priorities: [3]}, ecn: {kmin: 400KB, kmax: 1600KB, pmax: 20%}, dcqcn: {preset: mlx5}}\n"
        "traffic:\n"
        "  - {pattern: incast, senders: 2, verb: write, size: 200KB, priority: 3}\n"
    )
    return path
