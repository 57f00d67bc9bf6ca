"""A lab: the guests of one topology, brought up, looked at and taken down."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock as ThreadLock
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from harness.bindings.vmlab.accel import choose_accel
from harness.bindings.vmlab.access import site_of, ssh_files
from harness.bindings.vmlab.errors import LabBusy, LabError
from harness.bindings.vmlab.identity import identity
from harness.bindings.vmlab.image import Image, build
from harness.bindings.vmlab.launch import BOOT_TIMEOUT_S, Launcher, Snapshot, make_node, ssh_answers, tail
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.machine import GUEST_MEMORY, Accel, Backends
from harness.bindings.vmlab.orphans import end_orphans
from harness.bindings.vmlab.plan import GuestPlan, Plan, plan
from harness.bindings.vmlab.ports import free_port
from harness.bindings.vmlab.preflight import check_run
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.snapshot import find_snapshot, make_snapshot
from harness.bindings.vmlab.state import (
    STATE_FILE,
    GuestState,
    LabState,
    Lock,
    change_lock,
    held,
    read_state,
    use_lock,
    write_state,
)
from harness.core.errors import suggestion
from harness.core.site import Site
from harness.core.topology import Topology

log = logging.getLogger(__name__)

Say = Callable[[str], None]

ANSWER_TIMEOUT_S = 10.0
"""How long a guest that should run may take to introduce its sshd before it is started again."""

_TOPOLOGY: TypeAdapter[Topology] = TypeAdapter(Topology)


def _silent(line: str) -> None:
    log.info("%s", line)


class Guest:
    """One node of a running lab."""

    def __init__(self, lab: RunningLab, plan: GuestPlan) -> None:
        self._lab = lab
        self.plan = plan

    @property
    def node(self) -> str:
        """Its name in the topology."""
        return self.plan.node

    @property
    def ssh_port(self) -> int:
        """Where its sshd answers, on 127.0.0.1; the same after a restart."""
        return self._lab.state.guests[self.node].ssh_port

    @property
    def running(self) -> bool:
        """Whether its QEMU runs."""
        process = self._lab.state.guests[self.node].process
        return process is not None and process.alive()

    def power_off(self) -> None:
        """Take its power away: its QEMU ends by SIGKILL, nothing is flushed; harmless when it is off."""
        self._lab.power_off(self.node)

    def restart(self) -> None:
        """Start it anew from the snapshot, as the same node on the same port."""
        self._lab.restart(self.node)

    def console_tail(self, lines: int = 20) -> list[str]:
        """Return the last lines of its console."""
        return tail(self._lab.backends(self.node).console, lines)


class RunningLab:
    """A lab whose guests run. Closing it ends what it started itself and leaves a lab that was there before."""

    def __init__(self, layout: Layout, state: LabState, launcher: Launcher, use: Lock | None) -> None:
        self.layout = layout
        self.state = state
        self.folder = layout.run(state.name)
        self.plan: Plan = plan(_TOPOLOGY.validate_python(state.topology))
        self._launcher = launcher
        self._use = use
        self._writing = ThreadLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.state.name

    @property
    def accel(self) -> str:
        """What executes the guests: `kvm` or `tcg`."""
        return self.state.accel

    @property
    def site(self) -> Site:
        """Where the nodes are and how to reach them."""
        ports = {node: guest.ssh_port for node, guest in self.state.guests.items()}
        return site_of(self.plan, ports, self._launcher.image.keys, self.folder)

    @property
    def guests(self) -> Mapping[str, Guest]:
        """All guests by the names of their nodes."""
        return {node: Guest(self, plan) for node, plan in self.plan.guests.items()}

    def guest(self, node: str) -> Guest:
        """Return one guest; raise LabError when there is no such node."""
        if node not in self.plan.guests:
            raise LabError(
                f"lab {self.name!r} has no node {node!r}; {suggestion(node, self.plan.guests, 'it has')}"
            )
        return Guest(self, self.plan.guests[node])

    def backends(self, node: str) -> Backends:
        """Return where the files and sockets of a guest are."""
        guest = self.plan.guests[node]
        sockets = self.layout.sockets(self.name)
        return Backends(self.folder, sockets, node, self.state.guests[node].ssh_port, guest.nics)

    def power_off(self, node: str) -> None:
        """End a guest's QEMU at once."""
        process = self.state.guests[node].process
        if process is not None:
            process.kill()
        self._note(node, None)

    def restart(self, node: str) -> None:
        """Start a guest anew; its links are those of before."""
        self.power_off(node)
        self.start([node], _silent)

    def start(self, nodes: Iterable[str], say: Say) -> None:
        """Start guests side by side and make them the nodes they are.

        Raises:
            GuestError: the first one that did not come up; the others are left as they are.
        """
        wanted = list(nodes)
        with ThreadPoolExecutor(max(len(wanted), 1)) as pool:
            futures = {node: pool.submit(self._start, node) for node in wanted}
            for node, future in futures.items():
                future.result()
                say(f"{node} is up")

    def _start(self, node: str) -> None:
        backends = self.backends(node)
        process = self._launcher.start(backends, lambda started: self._note(node, started))
        script = identity(self.plan.guests[node], self._addresses(), secrets.token_hex(32))
        make_node(backends, process, script, timeout_s=BOOT_TIMEOUT_S)

    def _addresses(self) -> dict[str, str]:
        """Data addresses by name: a host's first NIC has its plain name, all have `host-port`."""
        names: dict[str, str] = {}
        for guest in self.plan.guests.values():
            for nic in guest.nics:
                if nic.address is not None:
                    names.setdefault(guest.node, str(nic.address.ip))
                    names[f"{guest.node}-{nic.port}"] = str(nic.address.ip)
        return names

    def _note(self, node: str, process: Process | None) -> None:
        """Write down what runs before anything else happens to it."""
        with self._writing:
            known = replace(self.state.guests[node], process=process)
            self.state = replace(self.state, guests={**self.state.guests, node: known})
            write_state(self.folder, self.state)

    def down(self) -> None:
        """Power all guests off and forget the lab; harmless when it is down."""
        take_down(self.layout, self.state)
        self._release()

    def close(self) -> None:
        """End the lab when it ends with this process; else give it back running."""
        owner = self.state.owner
        if owner is not None and owner == Process.current():
            with held(change_lock(self.folder, self.name)):
                take_down(self.layout, self.state)
        self._release()

    def _release(self) -> None:
        if self._use is not None:
            self._use.release()


class Lab:
    """How labs come up and are found again."""

    @classmethod
    def up(
        cls,
        topology: Topology,
        *,
        name: str | None = None,
        progress: Say = _silent,
        keep: bool = False,
        layout: Layout | None = None,
    ) -> RunningLab:
        """Return a lab of this topology with all guests up.

        A lab of this name that was kept is used again, its dead guests started anew. `keep` leaves the lab
        running after this process; otherwise it ends with `close`, or with the next `up` after a crash.

        Raises:
            TopologyNotOffered: the topology is not for this lab.
            LabBusy: another process uses or changes the lab.
            LabError: a program, memory or disk is missing, or a guest did not come up.
        """
        wanted = plan(topology)
        place = layout or Layout.find()
        lab = name or topology.name
        folder = place.run(lab)
        use = None if keep else use_lock(folder, lab)
        if use is not None:
            use.acquire()
        try:
            with held(change_lock(folder, lab)):
                return _bring_up(place, lab, wanted, progress, keep, use)
        except BaseException:
            if use is not None:
                use.release()
            raise

    @classmethod
    def find(cls, name: str, layout: Layout | None = None) -> RunningLab:
        """Return a lab that is up, for looking at it; raise LabError when there is none of this name."""
        place = layout or Layout.find()
        state = read_state(place.root / "run" / name)
        if state is None:
            up = [lab.name for lab in labs(place)]
            raise LabError(f"no lab {name!r} is up; {suggestion(name, up, 'up are') if up else 'none is'}")
        image = Image(place.images / state.image)
        accel = Accel(state.accel)
        return RunningLab(place, state, Launcher(image, accel, find_snapshot(place, image, accel)), None)


def labs(layout: Layout) -> list[LabState]:
    """Return all labs that are up or were, and were not taken down."""
    found = (read_state(folder) for folder in sorted(layout.runs.iterdir()) if folder.is_dir())
    return [state for state in found if state is not None]


def _bring_up(layout: Layout, name: str, wanted: Plan, say: Say, keep: bool, use: Lock | None) -> RunningLab:
    image = build(layout, say)
    accel = choose_accel(layout, image, say)
    topology = _TOPOLOGY.dump_python(wanted.topology, mode="json", exclude_defaults=True)
    fresh = LabState(name, topology, image.digest, accel, None if keep else Process.current())
    before = _usable(layout, read_state(layout.run(name)), fresh, say)
    if before is None:
        _sweep(layout, name, say)
        check_run(layout.root, len(wanted.guests), GUEST_MEMORY)
        before = replace(fresh, guests=_guest_states(wanted))
    snapshot = _snapshot(layout, image, accel, say)
    lab = RunningLab(layout, before, Launcher(image, accel, snapshot), use)
    _start_missing(lab, say)
    return lab


def _usable(layout: Layout, before: LabState | None, wanted: LabState, say: Say) -> LabState | None:
    """Return the lab of this name when it can be used as it is; what cannot is taken down."""
    if before is None:
        return None
    if before.owner is not None and before.owner.alive():
        raise LabBusy(f"lab {before.name!r} belongs to process {before.owner.pid}, which still runs")
    reason = _unfit(before, wanted)
    if reason is None:
        return before
    say(f"lab {before.name!r}: {reason}; taking it down")
    take_down(layout, before)
    return None


def _unfit(before: LabState, wanted: LabState) -> str | None:
    if before.owner is not None:
        return f"process {before.owner.pid}, which it belonged to, ended without taking it down"
    for key, what in (("topology", "topology"), ("image", "image"), ("accel", "accelerator")):
        if getattr(before, key) != getattr(wanted, key):
            return f"it runs with another {what}"
    return None


def _sweep(layout: Layout, name: str, say: Say) -> None:
    """End guests that a crash left without a note, and remove old logs and sockets."""
    if ended := end_orphans(layout.sockets(name)):
        say(f"lab {name!r}: ended {ended} guests that a crash had left")
    _clear(layout, name)


def _guest_states(wanted: Plan) -> dict[str, GuestState]:
    taken: set[int] = set()
    states: dict[str, GuestState] = {}
    for node in wanted.guests:
        port = free_port(frozenset(taken))
        taken.add(port)
        states[node] = GuestState(port, None)
    return states


def _snapshot(layout: Layout, image: Image, accel: Accel, say: Say) -> Snapshot | None:
    """Return the snapshot; without one guests are booted, which takes longer and is said."""
    try:
        return make_snapshot(layout, image, accel, say)
    except LabError as error:
        log.warning("no snapshot: %s", error)
        say(f"no snapshot ({error}); booting every guest")
        return None


def _start_missing(lab: RunningLab, say: Say) -> None:
    write_state(lab.folder, lab.state)
    ssh_files(lab.site, lab.folder)
    missing = [node for node in lab.plan.guests if not _answers(lab, node)]
    if not missing:
        return
    say(f"starting {', '.join(missing)}")
    try:
        for node in missing:
            lab.power_off(node)
        lab.start(missing, say)
    except BaseException:
        take_down(lab.layout, lab.state)
        raise


def _answers(lab: RunningLab, node: str) -> bool:
    guest = lab.guest(node)
    return guest.running and ssh_answers(guest.ssh_port, ANSWER_TIMEOUT_S)


def stop(layout: Layout, name: str, *, force: bool = False) -> int:
    """Take a lab down by name; return how many guests it ended.

    Raises LabBusy when a session uses it or another process changes it, unless forced.
    """
    folder = layout.run(name)
    locks = [] if force else [use_lock(folder, name), change_lock(folder, name)]
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(held(lock))
        state = read_state(folder)
        return take_down(layout, state) if state is not None else end_orphans(layout.sockets(name))


def take_down(layout: Layout, state: LabState) -> int:
    """End all guests of a lab and forget it; return how many ran. Logs stay until the lab comes up again."""
    ended = sum(guest.process.kill() for guest in state.guests.values() if guest.process is not None)
    ended += end_orphans(layout.sockets(state.name))
    _clear(layout, state.name, logs=False)
    (layout.run(state.name) / STATE_FILE).unlink(missing_ok=True)
    return ended


def _clear(layout: Layout, name: str, *, logs: bool = True) -> None:
    for folder in {layout.run(name), layout.sockets(name)}:
        for path in folder.iterdir():
            if path.suffix in {".qmp", ".ctl", ".link"} or (logs and path.suffix == ".log"):
                path.unlink(missing_ok=True)
