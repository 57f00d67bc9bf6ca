"""Counters of a switch: one script to read them, and what a result says of them.

`ip` counts frames and bytes of ports without FCS; `tc` counts drops and marks of their queues; `nft` counts what our
own rules did. What Linux does not count is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.core.counters import Counter
from harness.core.errors import UnexpectedOutput
from harness.switches import Json, SwitchReading
from harness.switches.linux.faults import ACTIONS, COUNTERS, TABLE
from harness.switches.linux.ports import SwitchPort
from harness.switches.linux.queues import RED, ROOT
from harness.switches.linux.shell import Answers, Script

LINKS = "ip -s -j link show"
QUEUES = "tc -s -j qdisc show"
RULES = f"nft -j list counters table bridge {TABLE}"

OF_PORTS = frozenset({Counter.TX_BYTES, Counter.RX_BYTES, Counter.TX_PACKETS, Counter.RX_PACKETS})
OF_OUR_QUEUES = frozenset({
    Counter.DROPS, Counter.DROPS_EGRESS_LIMIT, Counter.DROPS_INJECTED, Counter.DROPS_LINK_DOWN
})  # fmt: skip
OF_RED = frozenset({Counter.ECN_MARKED, Counter.DROPS_WRED})

_FRAMES = {
    "tx_packets": ("tx", "packets"), "tx_bytes": ("tx", "bytes"),
    "rx_packets": ("rx", "packets"), "rx_bytes": ("rx", "bytes"),
}  # fmt: skip


def script() -> Script:
    """Return what reads everything; there are no rules of ours on a switch that is only looked at."""
    ours = f"if nft list tables | grep -qx 'table bridge {TABLE}'; then {RULES}; fi"
    return Script().text(LINKS).text(QUEUES).text(ours, RULES)


def parse(answers: Answers, ports: Sequence[SwitchPort], host: str) -> Json:
    """Return the counters by port as plain numbers; raise UnexpectedOutput naming command and switch."""
    links = {each.get("ifname"): each for each in answers.json(LINKS)}
    queues = answers.json(QUEUES)
    rules = counters_of_rules(answers.text(RULES), host)
    return {port.place: _port(port, links.get(port.netdev, {}), queues, rules, host) for port in ports}


def _port(
    port: SwitchPort,
    link: Mapping[str, Any],
    queues: Iterable[Mapping[str, Any]],
    rules: Mapping[str, int],
    host: str,
) -> Json:
    ours = {each.get("handle"): each for each in queues if each.get("dev") == port.netdev}
    found = {
        "link": {key: _number(link, ("stats64", *path), LINKS, host, port) for key, path in _FRAMES.items()},
        "queue": _queue(ours, host, port),
        "rules": {each: rules[f"{each}_{port.key}"] for each in COUNTERS if f"{each}_{port.key}" in rules},
    }
    return found if "flags" not in link else {**found, "up": "UP" in link["flags"]}


def _queue(ours: Mapping[Any, Mapping[str, Any]], host: str, port: SwitchPort) -> dict[str, int]:
    """Drops of the whole tree stand at its root; a port without our tree has none of these."""
    queue: dict[str, int] = {}
    if ROOT in ours:
        of_root = ("packets", "bytes", "drops")
        queue = {name: _number(ours[ROOT], (name,), QUEUES, host, port) for name in of_root}
    if reds := [
        each for handle, each in ours.items() if str(handle).startswith(RED) and each.get("kind") == "red"
    ]:
        of_red = ("marked", "early", "pdrop", "other")
        queue |= {
            f"red_{name}": sum(_number(each, (name,), QUEUES, host, port) for each in reds) for name in of_red
        }
    return queue


def _number(tree: Mapping[str, Any], path: tuple[str, ...], command: str, host: str, port: SwitchPort) -> int:
    value: Any = tree
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int):
        what = ".".join(path)
        raise UnexpectedOutput(f"{host}: {command!r} says no {what!r} of {port.netdev} ({port.place})")
    return value


def counters_of_rules(text: str, host: str) -> dict[str, int]:
    """Return the packets that each named counter has seen."""
    nothing = '{"nftables": []}'
    answers = Answers(host, {RULES: f"[{text.strip() or nothing}]"}).json(RULES)
    listed = answers[0].get("nftables")
    if not isinstance(listed, list):
        raise UnexpectedOutput(f"{host}: {RULES!r} printed no list 'nftables'")
    named = [each["counter"] for each in listed if isinstance(each, dict) and "counter" in each]
    return {each["name"]: each["packets"] for each in named}


def deltas(before: SwitchReading, after: SwitchReading, priorities: Sequence[int]) -> dict[str, Json]:
    """Return the port objects of a result; `priorities` are those that are marked (none, or one)."""
    earlier, later = before.get("ports", {}), after.get("ports", {})
    lost = {place: _lost(before, after, place) for place in later}
    return {
        place: _delta(earlier[place], later[place], lost[place], priorities)
        for place in later
        if place in earlier
    }


def _lost(before: SwitchReading, after: SwitchReading, place: str) -> int:
    """Packets that waited in a queue when its link went down; the driver adds them up itself."""
    purged: int = after.get("purged", {}).get(place, 0) - before.get("purged", {}).get(place, 0)
    return purged


def _delta(before: Json, after: Json, purged: int, priorities: Sequence[int]) -> Json:
    link = _differences(before["link"], after["link"])
    queue = _differences(before["queue"], after["queue"])
    rules = _differences(before["rules"], after["rules"])
    whole = queue.keys() == after["queue"].keys() and rules.keys() == after["rules"].keys()
    drops = _drops(queue, rules, purged) if whole else {}
    result: Json = {**link, "drops": drops} if drops else link
    if rules:
        result["injected"] = {action: rules[action] for action in ACTIONS if action in rules}
    for key, name in (("ecn_marked", "red_marked"), ("wred_dropped", "red_early")):
        if name in queue and len(priorities) <= 1:
            result[key] = _by_priority(queue[name], priorities)
    return result


def _drops(queue: Mapping[str, int], rules: Mapping[str, int], purged: int) -> dict[str, int]:
    """Tell drops apart: what the root of the queue dropped was too much, but for RED's early drops.

    A sum over some reasons only would pass for all of them: either all are here or none.
    """
    if "drops" not in queue or not {"drop", "down"} <= rules.keys():
        return {}
    early = queue.get("red_early", 0)
    drops = {
        "egress_limit": queue["drops"] - early,
        "injected": rules["drop"],
        "link_down": rules["down"] + purged,
    }
    return {**drops, "wred": early} if "red_early" in queue else drops


def _by_priority(count: int, priorities: Sequence[int]) -> list[int]:
    """All that is marked belongs to the one priority of the scenario; without marking nothing was."""
    return [count if priority in priorities else 0 for priority in range(8)]


def _differences(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Leave out what was reset: all of these have 64 bits, or 32 and a run that never fills them."""
    return {
        key: value - before[key] for key, value in after.items() if key in before and value >= before[key]
    }
