"""Look at the hosts of a site before anything is measured there: staged, and with what to do about each problem.

The stages stand in one ordered table (`stages.STAGES`), a module each. A host stops at its first failing
stage and the others go on.
"""

from __future__ import annotations

from harness.hosts.preflight.examination import Options
from harness.hosts.preflight.findings import Problem, Report, State
from harness.hosts.preflight.stages import STAGES, preflight

__all__ = ["STAGES", "Options", "Problem", "Report", "State", "preflight"]
