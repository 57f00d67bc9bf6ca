"""Guards on switches: they clean when their input ends, and only then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.errors import CommandTimeout
from harness.hosts.guard import Guard
from harness.transport.local import LocalRemote
from harness.transport.shell import MARK


@pytest.fixture
def cleaned(tmp_path: Path) -> Path:
    return tmp_path / "cleaned"


@pytest.fixture
def remote() -> Iterator[LocalRemote]:
    local = LocalRemote("sw1")
    yield local
    local.close()


def wait_for(path: Path) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not path.exists():
        time.sleep(0.01)
    return path.exists()


def test_a_guard_cleans_when_nobody_is_left(remote: LocalRemote, cleaned: Path) -> None:
    guard = Guard(remote, f"touch {cleaned}")
    assert not cleaned.exists()
    guard._process.close_stdin()
    assert wait_for(cleaned)
    assert guard._process.wait(5) == 0


def test_a_guard_that_is_released_does_nothing(remote: LocalRemote, cleaned: Path) -> None:
    guard = Guard(remote, f"touch {cleaned}")
    guard.release()
    guard.release()
    assert guard._process.wait(5) == 0
    assert not cleaned.exists()


def test_a_guard_tries_again_when_cleaning_fails(remote: LocalRemote, cleaned: Path) -> None:
    tries = cleaned.with_name("tries")
    guard = Guard(remote, f"echo >>{tries}; [ $(wc -l <{tries}) = 3 ] || exit 90; touch {cleaned}")
    guard._process.close_stdin()
    assert wait_for(cleaned)


def test_a_guard_ends_what_its_connection_still_runs(
    remote: LocalRemote, cleaned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 40001 192.0.2.2 22")
    monkeypatch.setenv(MARK, "mine")
    half_way = remote.start(["sh", "-c", "sleep 60"])
    guard = Guard(remote, f"touch {cleaned}")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 40002 192.0.2.2 22")
    of_another = remote.start(["sh", "-c", "sleep 60"])
    guard._process.close_stdin()
    assert wait_for(cleaned)
    assert half_way.wait(5) == -9
    with pytest.raises(CommandTimeout):
        of_another.wait(0.1)
    of_another.kill()
    of_another.wait(5)
