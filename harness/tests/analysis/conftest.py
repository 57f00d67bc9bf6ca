from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from harness.bindings.sim.process import find_simulator
from harness.core.errors import SimError

Run = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def simulate() -> Run:
    """Run a job in the simulator; these tests hold formulas, references and simulator against each other."""
    try:
        program = find_simulator()
    except SimError as error:
        pytest.skip(str(error))

    def run(job: dict[str, Any]) -> dict[str, Any]:
        done = subprocess.run([program], input=json.dumps(job), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run
