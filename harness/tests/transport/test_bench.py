"""The bench of the control plane does what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import SSHD, running

bench = pytest.importorskip("bench.control_plane", reason="needs the source tree")


@pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")
def test_a_small_bench(capsys, monkeypatch) -> None:
    started: list[int] = []
    start = bench._start

    def watched(*arguments):
        process = start(*arguments)
        started.append(process.pid)
        return process

    monkeypatch.setattr(bench, "_start", watched)

    assert bench.main(["--hosts", "2", "4"]) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows[:2]] == ["2", "4"]
    assert all(float(cell) > 0 for row in rows[:2] for cell in row[1:8])
    assert len(started) == 4
    assert not any(map(running, started))


@pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")
def test_a_goal_that_is_missed_is_no_success(monkeypatch) -> None:
    monkeypatch.setattr(bench, "GOAL_S", 0.001)
    monkeypatch.setattr(bench, "GOAL_HOSTS", 2)

    assert bench.main(["--hosts", "2"]) == 1


def test_without_sshd_nothing_is_measured(monkeypatch, capsys) -> None:
    monkeypatch.setattr(bench.shutil, "which", lambda *_, **__: None)

    assert bench.main(["--hosts", "2"]) == 2
    assert "openssh-server" in capsys.readouterr().err


def test_it_is_found_by_its_name(monkeypatch) -> None:
    from bench.__main__ import main

    monkeypatch.setattr(bench, "main", lambda words: (Path.cwd(), words)[1])

    assert main(["control-plane", "--hosts", "3"]) == ["--hosts", "3"]
