"""What a scenario asks of a fabric of hosts, and the refusal of what the fabric does not have.

A suite that says what it needs is skipped before; this is for whoever did not say: nothing that a scenario
declares is ever left out silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.core.capability import Capability
from harness.core.errors import ConfigError
from harness.core.scenario import Scenario

IMPAIRMENTS = {
    "drop": Capability.PACKET_DROP,
    "corrupt": Capability.PACKET_CORRUPT,
    "delay": Capability.PACKET_DELAY,
    "duplicate": Capability.PACKET_DUPLICATE,
    "mark": Capability.ECN_MARK_INJECT,
}

EVENTS = {
    "link_down": Capability.LINK_FLAP,
    "link_up": Capability.LINK_FLAP,
    "link_rate": Capability.LINK_RATE,
    "pause_storm": Capability.PAUSE_STORM,
    "drain_rate": Capability.SLOW_RECEIVER,
    "qos": Capability.QOS_CHANGE,
    "host_down": Capability.HOST_DOWN,
}

DISTURBING = frozenset({
    *IMPAIRMENTS.values(),
    Capability.LINK_FLAP,
    Capability.LINK_RATE,
    Capability.PAUSE_STORM,
    Capability.SLOW_RECEIVER,
    Capability.HOST_DOWN,
    Capability.QOS_CHANGE,
    Capability.ECN,
    Capability.PFC,
    Capability.PFC_WATCHDOG,
    Capability.ETS,
    Capability.DSCP_MAP,
    Capability.BUFFER_CONFIG,
    Capability.ECMP_CONFIG,
})  # fmt: skip
"""What changes a fabric that others may use: only whoever owns it may ask for it."""

OWNER_HINT = "it disturbs the fabric: say --i-own-this-fabric when nobody else uses it"

Demand = tuple[str, Capability]
"""A key of the job and what it needs."""


def refuse_what_is_missing(
    name: str,
    offered: frozenset[Capability],
    withheld: frozenset[Capability],
    scenario: Scenario,
    job: Mapping[str, Any],
) -> None:
    """Raise ConfigError for the first thing that the scenario asks for and the fabric does not offer.

    `withheld` is what it could do and may not, for it is not ours.
    """
    _refuse_models(name, job)
    for key, capability in _demands(scenario, job):
        if capability in withheld:
            raise ConfigError(f"fabric {name!r} may not do {capability}", key=key, hint=OWNER_HINT)
        if capability not in offered:
            raise ConfigError(
                f"fabric {name!r} does not offer {capability}",
                key=key,
                hint="the simulated fabric may: --fabric sim",
            )


def _refuse_models(name: str, job: Mapping[str, Any]) -> None:
    for block, real in (("time", "exact"), ("wire", "rocev2")):
        if job[block]["model"] != real:
            raise ConfigError(
                f"fabric {name!r} is real: it has no other {block}", key=block, value=job[block]["model"]
            )


def _demands(scenario: Scenario, job: Mapping[str, Any]) -> Iterator[Demand]:
    yield from _of_qos(scenario, job)
    for index, flow in enumerate(job["flows"]):
        yield from _of_flow(f"flows[{index}]", flow)
    for index, event in enumerate(job["events"]):
        key = f"events[{index}]"
        if event["kind"] == "impair":
            yield key, IMPAIRMENTS[event["action"]]
        else:
            yield key, EVENTS[event["kind"]]
    for name in job["trace"]:
        yield f"trace.{name}", Capability.EVENT_TRACE
    for index, link in enumerate(job["links"]):
        if link["ber"]:
            yield f"links[{index}].ber", Capability.BIT_ERRORS


def _of_qos(scenario: Scenario, job: Mapping[str, Any]) -> Iterator[Demand]:
    nics = _blocks(job, "nic")
    switches = _blocks(job, "switch")
    if any(nic["cc"]["algorithm"] != "none" for nic in nics):
        yield "nic.cc", Capability.DCQCN
    if any(nic["loss_recovery"] != "go_back_n" for nic in nics):
        yield "nic.loss_recovery", Capability.LOSS_RECOVERY_CHOICE
    if any(any(nic["rx"].values()) for nic in nics):
        yield "nic.rx", Capability.SLOW_RECEIVER
    if any(block["pfc"]["priorities"] for block in (*nics, *switches)):
        yield "pfc", Capability.PFC
    if any(block["pfc"]["watchdog"] for block in switches):
        yield "switch.pfc.watchdog", Capability.PFC_WATCHDOG
    if any(block["ecn"] is not None for block in switches):
        yield "switch.ecn", Capability.ECN
    if scenario.qos.ets is not None:
        yield "qos.ets", Capability.ETS
    if any("dscp_map" in block for block in switches):
        yield "switch.dscp_map", Capability.DSCP_MAP
    if scenario.qos.buffer is not None:
        yield "qos.buffer", Capability.BUFFER_CONFIG
    if any(block["ecmp"] != {"mode": "5tuple", "seed": None} for block in switches):
        yield "switch.ecmp", Capability.ECMP_CONFIG


def _blocks(job: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    """Return the block of all nodes and those that nodes have of their own."""
    return [job[kind], *(node[kind] for node in job["nodes"] if node.get(kind))]


def _of_flow(key: str, flow: Mapping[str, Any]) -> Iterator[Demand]:
    yield key, Capability.REAL_VERBS
    if flow["transport"] in ("uc", "ud"):
        yield f"{key}.transport", Capability.UNRELIABLE_TRANSPORTS
    if flow["transport"] == "xrc":
        yield f"{key}.transport", Capability.XRC
    if flow["after"]:
        yield f"{key}.after", Capability.DEPENDENT_TRANSFERS
    options = flow.get("verbs") or {}
    if options.get("srq"):
        yield f"{key}.verbs.srq", Capability.SRQ
    if options.get("engine") == "perftest":
        yield f"{key}.verbs.engine", Capability.WITNESS
    if flow.get("load") is not None:
        yield f"{key}.load", Capability.LOAD_OPTIONS
