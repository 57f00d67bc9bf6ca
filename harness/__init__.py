"""RoCE fabric validation harness: what suites import.

from harness import Counter, Pfc, Qos, Scenario, at_least, equals
from harness.patterns.incast import Incast
"""

from __future__ import annotations

from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import ConfigError, HarnessError
from harness.core.events import DrainRate, HostDown, Impair, LinkDown, LinkRate, LinkUp, PauseStorm, QosChange
from harness.core.evidence import Missing, is_missing
from harness.core.fabric import Fabric
from harness.core.flow import Arrivals, Flow, Flows, Pattern, Transport, Verb
from harness.core.load import Burst, CqModeration, Load
from harness.core.measure import (
    Limit,
    Measurement,
    Verdict,
    approx,
    at_least,
    at_most,
    between,
    equals,
    within,
)
from harness.core.qos import Ack, Buffer, Cnp, Dcqcn, Ecmp, Ecn, EcnProfile, Ets, Nic, Pfc, Qos, Watchdog
from harness.core.result import RunResult
from harness.core.scenario import Scenario
from harness.core.topology import Topology
from harness.core.units import GB, GBPS, KB, MB, MBPS, MS, NS, PS, US, GiB, KiB, MiB, S
from harness.core.verbs import Fault, Reduce, VerbsOptions

__all__ = [
    "GB", "GBPS", "KB", "MB", "MBPS", "MS", "NS", "PS", "US", "Ack", "Arrivals", "Buffer", "Burst", "Capability",
    "Cnp", "ConfigError", "Counter", "CqModeration", "Dcqcn", "DrainRate", "Ecmp", "Ecn", "EcnProfile", "Ets",
    "Fabric", "Fault", "Flow", "Flows", "GiB", "HarnessError", "HostDown", "Impair", "KiB", "Limit", "LinkDown",
    "LinkRate", "LinkUp", "Load", "Measurement", "MiB", "Missing", "Nic", "Pattern", "PauseStorm", "Pfc", "Qos",
    "QosChange", "Reduce", "RunResult", "S", "Scenario", "Topology", "Transport", "Verb", "VerbsOptions",
    "Verdict", "Watchdog", "approx", "at_least", "at_most", "between", "equals", "is_missing", "within",
]  # fmt: skip
