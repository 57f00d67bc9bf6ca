"""One booted lab for all faults of a session; each is healed before the next."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.bindings.vmlab import Lab
from harness.bindings.vmlab.image import find_image
from harness.bindings.vmlab.layout import Layout
from harness.core.topology import Topology
from harness.tests.lab.faultlab import FaultLab
from harness.tests.lab.ledger import Ledger

FOLDER = "ROCE_LAB_FAULTS"
"""Names the folder that gets lab-faults.md and lab-faults.json; `out` by default."""

_LEDGER = Ledger()


def missing() -> str | None:
    """Say what keeps the lab from coming up here."""
    if shutil.which("qemu-system-x86_64") is None:
        return "needs QEMU (qemu-system-x86)"
    if find_image(Layout.find()) is None and shutil.which("mmdebstrap") is None:
        return "needs an image, or mmdebstrap to build one: roce lab build"
    return None


@pytest.fixture(scope="session")
def bootable() -> None:
    """Skip what needs guests where none can be booted; the reason says what to install."""
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def faultlab(bootable: None) -> Iterator[FaultLab]:
    with Lab.up(Topology.load("softroce-2"), name=f"faults-{os.getpid()}") as lab:
        faults = FaultLab(lab)
        yield faults
        faults.close()


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return _LEDGER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _LEDGER.entries:
        return
    terminalreporter.section("faults of the lab")
    for line in _LEDGER.lines():
        terminalreporter.write_line(line)
    _LEDGER.write(Path(os.environ.get(FOLDER, "out")))


@pytest.fixture(autouse=True)
def _time_of_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    began = time.monotonic()
    yield
    request.node.user_properties.append(("seconds", f"{time.monotonic() - began:.1f}"))
