"""What a switch can do, found by trying: commands, queues on a device made for it, rules in nft's check mode."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.capability import Capability
from harness.core.errors import ConfigError, suggestion
from harness.switches.linux import faults, queues
from harness.switches.linux.ports import SwitchPort
from harness.switches.linux.shell import Answers, Script
from harness.switches.linux.state import TRIAL

LINKS = "ip -d -j link show"
RATE_BPS = 40_000_000
BLOCK = {
    "buffer": {"bytes": 1_000_000},
    "ecn": {
        "wred_drop": False,
        "profiles": [{"rate_bps": 0, "kmin_bytes": 30_000, "kmax_bytes": 90_000, "pmax": 0.1}],
    },
}
"""An ordinary configuration; what is tried is whether it is taken at all."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was taken: rates (tbf), marking (red), holding back (prio, netem, fw), choosing packets, copying them."""

    rate: bool
    red: bool
    delays: bool
    rules: bool
    copies: bool

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The same as suites ask for it."""
        found = {Capability.SWITCH_COUNTERS}
        if self.rate:
            found |= {Capability.LINK_RATE}
        if self.rules and self.rate:
            found |= {Capability.LINK_FLAP, Capability.DROP_REASONS}
        if self.red:
            found |= {Capability.ECN}
        if self.red and self.delays:
            found |= {Capability.QOS_CHANGE}
        if self.rules:
            found |= {Capability.PACKET_DROP, Capability.PACKET_CORRUPT, Capability.ECN_MARK_INJECT}
        if self.rules and self.delays:
            found |= {Capability.PACKET_DELAY}
        if self.rules and self.copies:
            found |= {Capability.PACKET_DUPLICATE}
        return frozenset(found)


def script() -> Script:
    """Return what tries everything and leaves nothing."""
    port = SwitchPort(0, "trial:e1", TRIAL, RATE_BPS)
    trial = Script().text(f"trap 'ip link del {TRIAL} 2>/dev/null' EXIT", "trap")
    trial.text("for each in ip tc nft; do command -v $each >/dev/null || echo $each; done", "commands")
    trial.text(LINKS)
    made = f"{{ ip link show {TRIAL} || ip link add {TRIAL} type bridge; }} >/dev/null 2>&1"
    trial.text(f"{made} || echo no", "device")
    for name, options in (("plain", (False, False)), ("red", (False, True)), ("delays", (True, False))):
        trial.text(_tried(port, delays=options[0], red=options[1]), name)
    for name, rules in (
        ("rules", faults.tables([port], copies=False)),
        ("copies", faults.tables([port], copies=True)),
    ):
        trial.text(f"{{ nft -c -f - || echo no; }} 2>/dev/null <<'RULES'\n{rules}\nRULES\n:", name)
    return trial


def _tried(port: SwitchPort, *, delays: bool, red: bool) -> str:
    commands = [shlex.join(each) for each in queues.build(port, 1500, BLOCK, delays=delays, red=red)]
    if delays:
        commands.append(shlex.join(queues.hold_back(port, 1, 1_000_000_000)))
    gone = f"tc qdisc del dev {port.netdev} root"
    return f"{{ {' && '.join(commands)} || echo no; {gone}; }} 2>/dev/null; :"


def abilities(answers: Answers, ports: Sequence[SwitchPort], host: str) -> Abilities:
    """Judge what was tried; raise ConfigError for programs and ports that are not there."""
    missing = answers.text("commands").split()
    if missing:
        raise ConfigError(
            f"{host}: no {', '.join(missing)} on this switch", hint="install iproute2 and nftables"
        )
    _check_ports(answers, ports, host)

    def taken(name: str) -> bool:
        return "no" not in answers.text(name).split()

    rate = taken("plain")
    rules = taken("rules")
    return Abilities(rate, rate and taken("red"), rate and taken("delays"), rules, rules and taken("copies"))


def _check_ports(answers: Answers, ports: Sequence[SwitchPort], host: str) -> None:
    links = {str(each.get("ifname")): each for each in answers.json(LINKS)}
    for port in ports:
        node, _, name = port.place.partition(":")
        key = f"switches.{node}.ports.{name}"
        if port.netdev not in links:
            hint = suggestion(port.netdev, links, "it has")
            raise ConfigError(f"{host}: no such network device", key=key, value=port.netdev, hint=hint)
        if links[port.netdev].get("linkinfo", {}).get("info_slave_kind") != "bridge":
            raise ConfigError(f"{host}: this port is in no bridge", key=key, value=port.netdev)


def mtus(answers: Answers) -> dict[str, int]:
    """Return the MTU of each device in bytes."""
    return {str(each.get("ifname")): int(each.get("mtu", 1500)) for each in answers.json(LINKS)}
