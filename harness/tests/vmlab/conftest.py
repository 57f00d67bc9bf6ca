"""What tests of the VM lab share: a cache folder of their own, small topologies, a stand-in for QEMU."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.bindings.vmlab.layout import Layout
from harness.core.topology import Topology


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "cache")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for sockets; pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="vmlab-") as folder:
        yield Path(folder)


@pytest.fixture
def two_hosts() -> Topology:
    return Topology.load("softroce-2")


@pytest.fixture
def sleeper(tmp_path: Path) -> list[str]:
    """A command that sleeps, whose name and arguments may be those of a guest."""
    program = tmp_path / "qemu-system-fake"
    program.symlink_to(sys.executable)
    return [str(program), "-S", "-c", "import time; time.sleep(60)"]
