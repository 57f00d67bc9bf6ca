"""A Linux machine as a switch: a bridge, `tc` for its queues, `nft` for what happens to chosen packets.

docs/drivers.md tells how each part of a scenario is done here and where that differs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from harness.core.blocks import EcmpBlock, Json, SchedulerBlock, complete, merge
from harness.core.capability import Capability
from harness.core.counters import Counter
from harness.core.errors import ConfigError, DriverError, suggestion
from harness.core.topology import Topology
from harness.switches import Applied, QpRoute, SwitchReading
from harness.switches.linux import faults, links, probe, queues, reading, shell, state
from harness.switches.linux.ports import SwitchPort, ports_of
from harness.switches.linux.shell import Answers, Script
from harness.transport.remote import Remote

DEVIATIONS: Mapping[str, str] = {
    "marking point": "RED decides when a packet enters the queue, also where the scenario says dequeue",
    "marking average": "RED looks at a moving average of about two packets, not at the queue of the moment",
    "marking law": "RED spaces marks evenly; their share is that of the scenario, their gaps are not independent",
    "marked priorities": "a port has one queue for all priorities, and all ECN-capable packets in it are marked",
    "buffer": "each port has a buffer of the whole size; alpha, reserve and headroom do not exist",
    "link rate": "only what leaves the switch is held to the rate of a link; what hosts send is not",
    "bytes": "counted without FCS",
    "link down": "what a switch sent out before, and what it is still sent by a host, is lost without a count",
    "delay": "a packet that several events hold back is held back by the first",
}

_SHAPES: Mapping[str, Json] = {"scheduler": complete(SchedulerBlock()), "ecmp": complete(EcmpBlock())}
"""Parts of the block that cannot be set here; the defaults stand for "as it is"."""


class Linux:
    """One Linux bridge; implements `harness.switches.SwitchDriver`.

    Raises ConfigError when a port is no device in a bridge there or a program is missing.
    """

    name = "linux"
    deviations = DEVIATIONS

    def __init__(self, remote: Remote, node: str, ports: Mapping[str, str], topology: Topology) -> None:
        self._remote = remote
        self._node = node
        self._topology = topology
        self._ports = ports_of(node, ports, topology)
        self._lock = threading.RLock()
        self._state: state.State | None = None
        self._block: Json = {}
        self._purged = {port.place: 0 for port in self._ports}
        self._turn = 0
        self._bands: dict[str, dict[int, int]] = {}
        self._flows: Mapping[str, Sequence[QpRoute]] = {}
        self._events = 0
        tried = shell.run(remote, probe.script())
        self._can = probe.abilities(tried, self._ports, remote.host)
        self._mtus = probe.mtus(tried)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the kernel and the programs of this switch can do, found by trying."""
        return self._can.capabilities

    @property
    def offered(self) -> frozenset[Counter]:
        """The counters that `deltas` fills in; drops and marks are known of the queues that `configure` builds."""
        if not self._block or not self._can.rules:
            return reading.OF_PORTS
        return reading.OF_PORTS | reading.OF_OUR_QUEUES | (reading.OF_RED if self._can.red else frozenset())

    @property
    def cleaning(self) -> str:
        """The script that removes our queues, tables and link states."""
        return str(state.clean(Script(), self._ports))

    def snapshot(self) -> None:
        """Remember queues, links and rules; raise DriverError for queues that could not be put back."""
        with self._lock:
            answers = self._run(state.look(state.clean(Script(), self._ports)))
            found = state.state_of(answers, self._ports)
            state.refuse_foreign_queues(found, self._remote.host)
            self._state = found

    def configure(self, switch: Mapping[str, object]) -> None:
        """Build the queues of all ports and our tables anew."""
        with self._lock:
            block = dict(switch)
            self._check(block)
            script = state.clean(Script(), self._ports)
            for port in self._ports:
                mtu = self._mtus[port.netdev]
                script.tc(queues.build(port, mtu, block, delays=self._can.delays, red=self._can.red))
            if self._can.rules:
                script.nft(faults.tables(self._ports, copies=self._can.copies), "nft tables")
            self._run(script)
            self._forget(block)

    def _forget(self, block: Json) -> None:
        """Start from what `configure` has just built."""
        self._block = block
        self._turn = 0
        self._bands = {}
        self._flows = {}

    def _check(self, block: Json) -> None:
        """Raise ConfigError for what this switch does not have."""
        if not self._can.rate:
            raise ConfigError(
                f"{self._remote.host}: its kernel cannot hold a port to a rate (sch_tbf)", key="switch"
            )
        if block["pfc"]["priorities"]:
            raise self._refusal("pfc.priorities", block["pfc"]["priorities"], "there is no PFC in a bridge")
        for key, default in _SHAPES.items():
            if block[key] != default:
                raise self._refusal(key, block[key], "one queue a port and one path are all there is")
        ecn = block["ecn"]
        if ecn is not None and not self._can.red:
            raise self._refusal("ecn", "given", "its kernel cannot mark (sch_red)")
        if ecn is not None and len(ecn["priorities"]) != 1:
            raise self._refusal("ecn.priorities", ecn["priorities"], "one queue marks for one priority")

    def _refusal(self, key: str, value: object, hint: str) -> ConfigError:
        return ConfigError(
            f"{self._node} ({self.name}) cannot do this", key=f"switch.{key}", value=value, hint=hint
        )

    def flows_connected(self, flows: Mapping[str, Sequence[QpRoute]]) -> None:
        """Say which QPs carry each flow; replaces what was said of flows with the same name."""
        with self._lock:
            self._flows = {**self._flows, **flows}

    def apply(self, event: Mapping[str, object]) -> Applied:
        """Do one event now."""
        acts: Mapping[str, Callable[[Json], Applied]] = {
            "impair": self._impair,
            "link_down": self._link_down,
            "link_up": self._link_up,
            "link_rate": self._link_rate,
            "qos": self._change,
        }
        kind = str(event.get("kind"))
        if kind not in acts:
            raise ConfigError(
                "no event of a switch", key="kind", value=kind, hint=suggestion(kind, acts, "there are")
            )
        with self._lock:
            return acts[kind](dict(event))

    def _impair(self, event: Json) -> Applied:
        routes = self._flows.get(event["flow"])
        if routes is None:
            raise DriverError(
                f"{self._node}: flow {event['flow']!r} is not connected, so its packets are unknown"
            )
        if event.get("qp", 0) >= len(routes):
            raise ConfigError(
                "the flow has no such QP", key="qp", value=event["qp"], hint=f"it has {len(routes)}"
            )
        route = routes[event.get("qp", 0)]
        port = self._last_port(route)
        if port is None:
            return self._elsewhere(f"{event['flow']} does not end here")
        self._check_action(event["action"])
        script = Script()
        band = self._band(port, event["delay_ps"], script) if event["action"] == "delay" else 0
        self._events += 1
        script.nft(faults.impair(port, self._events, event, route, band), f"nft rules of {event['action']}")
        return self._timed(script, f"{event['action']} packets of {event['flow']} at {port.place}")

    def _check_action(self, action: str) -> None:
        needed = {
            "drop": Capability.PACKET_DROP,
            "corrupt": Capability.PACKET_CORRUPT,
            "mark": Capability.ECN_MARK_INJECT,
            "duplicate": Capability.PACKET_DUPLICATE,
            "delay": Capability.PACKET_DELAY,
        }
        if needed[action] not in self.capabilities:
            raise self._refusal("impair", action, f"its kernel lacks what {needed[action]} needs")

    def _last_port(self, route: QpRoute) -> SwitchPort | None:
        """Return our port at which the flow's data arrives; each packet passes only one such port."""
        place = self._topology.peer(self._topology.host_port(route.src if route.read else route.dst))
        return next((port for port in self._ports if port.place == place), None)

    def _band(self, port: SwitchPort, delay_ps: int, script: Script) -> int:
        """Return the band of a delay; append the command that makes it when it is new."""
        bands = self._bands.setdefault(port.place, {})
        if delay_ps not in bands:
            if len(bands) == queues.DELAY_BANDS:
                raise self._refusal(
                    "impair", "delay", f"a port has {queues.DELAY_BANDS} different delays at most"
                )
            bands[delay_ps] = len(bands) + 1
            script.add(*queues.hold_back(port, bands[delay_ps], delay_ps))
        return bands[delay_ps]

    def _link_down(self, event: Json) -> Applied:
        port = self._own_end(event["port"])
        if port is None:
            return self._elsewhere(f"{event['port']} is not here")
        began = time.monotonic_ns()
        answers = self._run(links.down(port))
        self._purged[port.place] += links.purged(answers, port, self._remote.host)
        return Applied(f"{port.place} taken down", began, time.monotonic_ns())

    def _link_up(self, event: Json) -> Applied:
        port = self._own_end(event["port"])
        if port is None:
            return self._elsewhere(f"{event['port']} is not here")
        return self._timed(links.up(port), f"{port.place} set up")

    def _link_rate(self, event: Json) -> Applied:
        port = self._own_end(event["port"], both=True)
        if port is None:
            return self._elsewhere(f"{event['port']} is not here")
        command = queues.rate(port, event["rate_bps"], self._mtus[port.netdev], self._block)
        return self._timed(Script().tc([command]), f"{port.place} at {event['rate_bps']} bit/s")

    def _change(self, event: Json) -> Applied:
        if event.get("node") != self._node or not event.get("switch"):
            return self._elsewhere(f"{event.get('node')} is not here")
        if Capability.QOS_CHANGE not in self.capabilities:
            raise self._refusal("qos", event["switch"], "its kernel lacks sch_red or sch_prio")
        block = merge(self._block, event["switch"])
        self._check(block)
        self._turn += 1
        commands = [each for port in self._ports for each in queues.thresholds(port, block, self._turn)]
        self._block = block
        return self._timed(Script().tc(commands), f"{self._node}: {', '.join(event['switch'])} changed")

    def _own_end(self, place: str, *, both: bool = False) -> SwitchPort | None:
        """Return our end of a link.

        An end at another switch is that one's, unless `both` must act.
        """
        ends = [place]
        if both or place in self._topology.host_ports:
            ends.append(self._topology.peer(place))
        return next((port for end in ends for port in self._ports if port.place == end), None)

    def counters(self) -> SwitchReading:
        """Read all counters: by port `link` (ip), `queue` (tc) and `rules` (nft)."""
        with self._lock:
            answers = self._run(reading.script())
            ports = reading.parse(answers, self._ports, self._remote.host)
            return {"ports": ports, "purged": dict(self._purged), "mono_ns": time.monotonic_ns()}

    def deltas(self, before: SwitchReading, after: SwitchReading) -> dict[str, Json]:
        """Return the port objects of a result; `injected` besides the format's keys tells what was done."""
        ecn = self._block.get("ecn")
        return reading.deltas(before, after, ecn["priorities"] if ecn else ())

    def restore(self) -> None:
        """Put everything back and check it; raise DriverError with what stayed different."""
        with self._lock:
            script = state.clean(Script(), self._ports)
            if self._state is not None:
                state.put_back(script, self._state)
            answers = self._run(state.look(script))
            wrong = state.ours(answers, self._ports)
            if self._state is not None:
                wrong += self._state.differences(state.state_of(answers, self._ports))
            if wrong:
                raise DriverError(f"{self._remote.host}: not as it was: {'; '.join(wrong)}")
            self._state = None

    def leftovers(self) -> list[str]:
        """Say what of ours, of any run, is on the switch."""
        with self._lock:
            return state.ours(self._run(state.look(Script())), self._ports)

    def _run(self, script: Script) -> Answers:
        return shell.run(self._remote, script)

    def _timed(self, script: Script, what: str) -> Applied:
        began = time.monotonic_ns()
        self._run(script)
        return Applied(what, began, time.monotonic_ns())

    def _elsewhere(self, what: str) -> Applied:
        now = time.monotonic_ns()
        return Applied(what, now, now, acted=False)
