"""A second, tiny model of DCQCN on one switch, written from the words of its semantics and sharing no code.

N senders, one receiver, a link each; store and forward; every data packet is acknowledged at once and the ACK
says whether that packet was marked; marking is a step at dequeue on the bytes left behind. One heap of
closures, one Python object for everything: slow, and short enough to be read against the description in
docs/simulator.md. Times are picoseconds, cut off as a double of seconds is in ns-3.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.analysis.ns3time import transmission_ps

PAYLOAD, DATA, ACK = 1000, 1048, 60
US = 1_000_000
Row = tuple[int, str, int, int, str]
"""Time, event, target and rate after it, alpha with nine decimals."""


@dataclass
class Parameters:
    rate_bps: int = 100_000_000_000
    delay_ps: int = US
    mark_above: int = 20_000
    g: float = 1 / 256
    alpha_us: int = 1
    cut_us: int = 4
    rate_us: int = 30
    fast_recovery: int = 1
    ai_bps: int = 20_000_000
    hai_bps: int = 200_000_000
    min_bps: int = 100_000_000


class Clock:
    """Events in the order of time, then of the moment they were decided."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._decided = 0

    def after(self, delay: int, action: Callable[[], None]) -> None:
        self._decided += 1
        heapq.heappush(self._heap, (self.now + delay, self._decided, action))

    def run(self) -> None:
        while self._heap:
            self.now, _, action = heapq.heappop(self._heap)
            action()


@dataclass(eq=False)
class Packet:
    size: int
    sender: int
    number: int
    marked: bool = False


class Port:
    """One direction of a link: `pick` gives the next packet or None."""

    def __init__(self, clock: Clock, p: Parameters, deliver: Callable[[Packet], None]) -> None:
        self.clock, self.p, self.deliver, self.busy = clock, p, deliver, False
        self.queue: deque[Packet] = deque()

    def pick(self) -> Packet | None:
        return self.queue.popleft() if self.queue else None

    def kick(self) -> None:
        packet = None if self.busy else self.pick()
        if packet is None:
            return
        self.busy = True
        took = transmission_ps(packet.size, self.p.rate_bps)
        self.clock.after(took, self.idle)
        self.clock.after(took + self.p.delay_ps, lambda: self.deliver(packet))

    def idle(self) -> None:
        self.busy = False
        self.kick()


class MarkingPort(Port):
    def pick(self) -> Packet | None:
        packet = super().pick()
        if packet is not None and sum(waiting.size for waiting in self.queue) > self.p.mark_above:
            packet.marked = True
        return packet


@dataclass(eq=False)
class Rate:
    """The reaction point: two sticky bits set by notifications, two free-running ticks, one increase timer."""

    clock: Clock
    p: Parameters
    log: list[Row]
    rate: int = 0
    target: int = 0
    alpha: float = 1.0
    started: bool = False
    stage: int = 0
    for_alpha: bool = False
    for_cut: bool = False
    timer: int = 0
    ended: bool = field(default=False)

    def note(self, event: str) -> None:
        self.log.append((self.clock.now, event, self.target, self.rate, f"{self.alpha:.9f}"))

    def notified(self) -> None:
        if self.started:
            self.for_alpha = True
        else:
            self.started, self.target = True, self.rate
            self.clock.after(self.p.alpha_us * US, self.alpha_tick)
            self.clock.after(self.p.cut_us * US + 1000, self.cut_tick)
        self.for_cut = True
        self.note("cnp")

    def alpha_tick(self) -> None:
        if self.ended:
            return
        self.alpha = (1 - self.p.g) * self.alpha + (self.p.g if self.for_alpha else 0)
        self.for_alpha = False
        self.clock.after(self.p.alpha_us * US, self.alpha_tick)

    def cut_tick(self) -> None:
        if self.ended:
            return
        self.clock.after(self.p.cut_us * US, self.cut_tick)
        if not self.for_cut:
            return
        if self.stage:
            self.target = self.rate
        self.rate = max(self.p.min_bps, int(self.rate * (1 - self.alpha / 2)))
        self.stage, self.for_cut = 0, False
        self.restart_increase()
        self.note("dec")

    def restart_increase(self) -> None:
        self.timer += 1
        mine = self.timer
        self.clock.after(self.p.rate_us * US, lambda: self.increase(mine))

    def increase(self, timer: int) -> None:
        if self.ended or timer != self.timer:
            return
        gain, event = 0, "inc_fr"
        if self.stage == self.p.fast_recovery:
            gain, event = self.p.ai_bps, "inc_ai"
        elif self.stage > self.p.fast_recovery:
            gain, event = self.p.hai_bps, "inc_hai"
        self.target = min(self.target + gain, self.p.rate_bps)
        self.rate = self.rate // 2 + self.target // 2
        self.stage += 1
        self.restart_increase()
        self.note(event)


class Sender(Port):
    """A NIC with one QP: a packet may leave when its predecessor's size over the rate of then has passed."""

    def __init__(
        self, clock: Clock, p: Parameters, deliver: Callable[[Packet], None], index: int, packets: int
    ) -> None:
        super().__init__(clock, p, deliver)
        self.index, self.packets, self.sent, self.acked = index, packets, 0, 0
        self.start = self.end = self.next_ps = 0
        self.waking = False
        self.log: list[Row] = []
        self.rate = Rate(clock, p, self.log, rate=p.rate_bps, target=p.rate_bps)

    def begin(self) -> None:
        self.start = self.next_ps = self.clock.now
        self.kick()

    def pick(self) -> Packet | None:
        if self.sent == self.packets:
            return None
        if self.next_ps > self.clock.now:
            if not self.waking:
                self.waking = True
                self.clock.after(self.next_ps - self.clock.now, self.wake)
            return None
        self.next_ps = self.clock.now + transmission_ps(DATA, self.rate.rate)
        self.sent += 1
        return Packet(DATA, self.index, self.sent)

    def wake(self) -> None:
        self.waking = False
        self.kick()

    def receive(self, ack: Packet) -> None:
        if ack.marked:
            self.rate.notified()
        self.acked = ack.number
        if self.acked == self.packets:
            self.end, self.rate.ended = self.clock.now, True
        self.kick()


def simulate(p: Parameters, packets: list[int], starts: list[int]) -> tuple[list[int], list[list[Row]]]:
    """Completion times (ps) and reaction-point events of senders of `packets[i]` from `starts[i]` (ps)."""
    clock = Clock()
    senders: list[Sender] = []

    def from_receiver(ack: Packet) -> None:
        back[ack.sender].queue.append(ack)
        back[ack.sender].kick()

    def at_receiver(data: Packet) -> None:
        receiver.queue.append(Packet(ACK, data.sender, data.number, data.marked))
        receiver.kick()

    def at_switch(data: Packet) -> None:
        bottleneck.queue.append(data)
        bottleneck.kick()

    receiver = Port(clock, p, from_receiver)
    bottleneck = MarkingPort(clock, p, at_receiver)
    for i, count in enumerate(packets):
        senders.append(Sender(clock, p, at_switch, i, count))
    back = [Port(clock, p, sender.receive) for sender in senders]
    for sender, start in zip(senders, starts, strict=True):
        clock.after(start, sender.begin)
    clock.run()
    return [sender.end - sender.start for sender in senders], [sender.log for sender in senders]
