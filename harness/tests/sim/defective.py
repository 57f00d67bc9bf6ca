"""A job on a healthy fabric and on a defective one, for the tests of the simulator's defects."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

from harness.tests.sim.jobs import US, Json, flow, program, run, star

MTU: Final = 1024
FRAME: Final = MTU + 62
WIRE: Final = MTU + 82
PACKET_PS: Final = WIRE * 8 * 10
"""Bytes and time of a full packet at 100 Gb/s."""
LOSSLESS: Final[Json] = {"priorities": [3]}


def both(work: Json, defect: str) -> tuple[Json, Json]:
    """Return the results of the healthy and of the defective run."""
    broken = run({**work, "defects": [defect]})
    assert broken["defects"] == [defect]
    return run(work), broken


def listed() -> list[Json]:
    """What --list-defects prints."""
    done = subprocess.run(
        [program(), "--list-defects"], capture_output=True, text=True, timeout=10, check=True
    )
    defects: list[Json] = json.loads(done.stdout)
    return defects


def incast(senders: int = 2, size: int = 2_000_000, *, flow_keys: Json | None = None, **more: Any) -> Json:
    """Hosts h0, h1, … send to the last one at line rate."""
    keys = flow_keys or {}
    flows = [flow(f"f{i}", f"h{i}", f"h{senders}", size, **keys) for i in range(senders)]
    return star(senders + 1, flows, **more)


def marking(kmin: int = 50_000, kmax: int = 200_000, pmax: float = 0.2, **more: Any) -> Json:
    """The `ecn` of a switch with one profile."""
    profile = {"rate_bps": 0, "kmin_bytes": kmin, "kmax_bytes": kmax, "pmax": pmax}
    return {"priorities": [3], "profiles": [profile], **more}


def impair(action: str, **more: Any) -> Json:
    """An impairment of flow f from the start."""
    return {"at_ps": 0, "kind": "impair", "flow": "f", "action": action, **more}


def one_flow(size: int = 1_000_000, *, flow_keys: Json | None = None, **more: Any) -> Json:
    """h0 sends flow f to h1 through one switch; the ACK timeout is 1 ms."""
    nic = {"ack_timeout_exponent": 8, **more.pop("nic", {})}
    return star(2, [flow("f", "h0", "h1", size, **(flow_keys or {}))], nic=nic, **more)


def storm(at_ps: int = 0, duration_ps: int = 100 * US, **more: Any) -> Json:
    """h1 pauses its switch for a while."""
    return {
        "at_ps": at_ps, "kind": "pause_storm", "port": "h1:p0", "priorities": [3], "duration_ps": duration_ps, **more
    }  # fmt: skip


def prio_sum(result: Json, port: str, key: str) -> int:
    """A counter of a port over its priorities."""
    return sum(result["ports"][port][key])
