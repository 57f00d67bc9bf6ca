"""What a switch was like before, and what of ours is on it: for putting everything back.

Ours are the tables named `roce_harness`, root queues with the handle `4791:`, links whose port stands in the set
`downed` of our table, and the device that abilities are tried on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import DriverError
from harness.switches.linux.faults import TABLE
from harness.switches.linux.ports import SwitchPort
from harness.switches.linux.queues import ROOT
from harness.switches.linux.shell import Answers, Script

LINKS = "ip -j link show"
QUEUES = "tc -j qdisc show"
RULES = "nft -s list ruleset"
DOWNED = "nft list set downed"

TRIAL = "roceprobe0"
"""A bridge without ports that abilities are tried on; it lives for milliseconds."""

SETTLE_S = 0.1
"""How long a link is up before our rules let its packets pass: those sent while it was down come first."""

FAMILIES = ("bridge", "netdev")


@dataclass(frozen=True, slots=True)
class PortState:
    """One port as it was: whether it is set up, and its queues as `tc` tells them, without statistics."""

    up: bool
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """Ports by the name of their device, and the rules of the packet filter that are not ours."""

    ports: dict[str, PortState]
    rules: str

    def differences(self, now: State) -> list[str]:
        """Say what is not as it was."""
        return [
            *self._of_ports(now),
            *([] if self.rules == now.rules else ["rules of the packet filter changed"]),
        ]

    def _of_ports(self, now: State) -> Iterator[str]:
        for netdev, before in self.ports.items():
            after = now.ports.get(netdev)
            if after is None:
                yield f"{netdev} is gone"
                continue
            if after.up != before.up:
                yield f"{netdev} is {'up' if after.up else 'down'} and was {'up' if before.up else 'down'}"
            if after.queues != before.queues:
                yield f"{netdev} has queues {'; '.join(after.queues)} and had {'; '.join(before.queues)}"


def look(script: Script) -> Script:
    """Append what `state_of` and `ours` read."""
    script.text(LINKS).text(QUEUES).text(RULES)
    return script.text(f"nft list set bridge {TABLE} downed 2>/dev/null || :", DOWNED)


def state_of(answers: Answers, ports: Sequence[SwitchPort]) -> State:
    """Return the state that a script has looked at."""
    links = {each.get("ifname"): each for each in answers.json(LINKS)}
    listed = answers.json(QUEUES)
    found = {
        port.netdev: PortState("UP" in links[port.netdev].get("flags", ()), _queues_of(port.netdev, listed))
        for port in ports
        if port.netdev in links
    }
    return State(found, _without_ours(answers.text(RULES)))


def _queues_of(netdev: str, listed: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Describe the queues of a device in the order of `tc`; the seed of a netem is drawn anew each time."""
    return tuple(
        f"{each.get('kind')} {each.get('handle')} {each.get('parent', 'root')} {each.get('options', {})}"
        for each in listed
        if each.get("dev") == netdev
    )


def _without_ours(ruleset: str) -> str:
    """Return a ruleset without our tables: from their first line to the brace that closes them."""
    kept, inside = [], False
    for line in ruleset.strip().splitlines():
        inside = inside or _opens_ours(line)
        if not inside:
            kept.append(line)
        inside = inside and line != "}"
    return "\n".join(kept).strip()


def _opens_ours(line: str) -> bool:
    """Such as `table bridge roce_harness {`; tables begin in the first column, what is in them does not."""
    words = line.split()
    return line.startswith("table ") and words[2] == TABLE


def refuse_foreign_queues(state: State, host: str) -> None:
    """Raise DriverError when a port has a queue that somebody set: it could not be put back."""
    for netdev, port in state.ports.items():
        for each in port.queues:
            kind, handle, parent, *_ = each.split(" ")
            if handle not in ("0:", ROOT) and parent in ("root", "ingress", "clsact", "ffff:fff1"):
                what = f"{netdev} has a queue of its own: {kind} {handle}"
                raise DriverError(f"{host}: {what}; remove it first (tc qdisc del dev {netdev} {parent})")


def ours(answers: Answers, ports: Sequence[SwitchPort]) -> list[str]:
    """Say in words what of ours a script has seen."""
    roots = [each for each in answers.json(QUEUES) if each.get("handle") == ROOT]
    found = [f"{each.get('dev')}: {each.get('kind')} {ROOT} as its root queue" for each in roots]
    heads = [line.split() for line in answers.text(RULES).splitlines() if line.startswith("table ")]
    found += [f"nft table {family} {name}" for _, family, name, *_ in heads if name == TABLE]
    words = answers.text(DOWNED).replace('"', " ").split()
    found += [f"{port.netdev}: taken down" for port in ports if port.netdev in words]
    found += [f"device {TRIAL}" for each in answers.json(LINKS) if each.get("ifname") == TRIAL]
    return found


def clean(script: Script, ports: Sequence[SwitchPort]) -> Script:
    """Append what removes everything of ours, in the order in which nothing is lost in between.

    What is clean costs three commands: each takes a tenth of a second on a guest without hardware acceleration.
    """
    script.text(f"downed=$(nft list set bridge {TABLE} downed 2>/dev/null || :)", DOWNED)
    script.text("; ".join(["raised=no", *map(_raise, ports), _SETTLE]), "ip link set up")
    removals = "; ".join(
        f'case "$queues" in *"dev {each.netdev} "*) {_unqueue(each)};; esac' for each in ports
    )
    queued = f"queues=$(tc qdisc show | grep ' {ROOT} .*root' || :)"
    script.text(f'{queued}; if [ -n "$queues" ]; then {removals}; fi', "tc qdisc del root")
    tables = " ".join(f"'table {family} {TABLE}'" for family in FAMILIES)
    there = "nft list tables | grep -qx"
    script.text(
        f'for each in {tables}; do if {there} "$each"; then nft delete $each; fi; done', "nft delete table"
    )
    return script.text(
        f"if [ -e /sys/class/net/{TRIAL} ]; then ip link del {TRIAL}; fi", f"ip link del {TRIAL}"
    )


def _raise(port: SwitchPort) -> str:
    """Set a port up that we took down."""
    up = f"ip link set dev {port.netdev} up && raised=yes"
    return f'case "$downed" in *\'"{port.netdev}"\'*) {up};; esac'


def _unqueue(port: SwitchPort) -> str:
    return f"tc qdisc del dev {port.netdev} root"


_SETTLE = f"if [ $raised = yes ]; then sleep {SETTLE_S}; fi"


def put_back(script: Script, state: State) -> Script:
    """Append what sets ports up or down as they were, whoever changed them."""
    for netdev, port in state.ports.items():
        script.add("ip", "link", "set", "dev", netdev, "up" if port.up else "down")
    return script
