"""A lab whose guests run: each can be powered off, started again and looked at."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from threading import Lock as ThreadLock
from types import TracebackType
from typing import Self

from harness.bindings.vmlab.access import site_of, ssh_files
from harness.bindings.vmlab.errors import GuestError, LabError
from harness.bindings.vmlab.identity import identity
from harness.bindings.vmlab.launch import BOOT_TIMEOUT_S, Launcher, last_words, make_node, ssh_answers, tail
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import Lock, change_lock, held
from harness.bindings.vmlab.machine import Backends
from harness.bindings.vmlab.plan import GuestPlan, Plan
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.qmp import Qmp
from harness.bindings.vmlab.state import LabState, write_state
from harness.bindings.vmlab.teardown import take_down
from harness.core.errors import suggestion
from harness.core.site import Site

log = logging.getLogger(__name__)

Say = Callable[[str], None]

ANSWER_TIMEOUT_S = 10.0
"""How long a guest that should run may take to introduce its sshd before it counts as dead."""


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
    def process(self) -> Process | None:
        """Its QEMU, None when it was powered off."""
        return self._lab.state.guests[self.node].process

    @property
    def running(self) -> bool:
        """Whether its QEMU runs."""
        return self.process is not None and self.process.alive()

    def answers(self, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Return whether it runs and its sshd introduces itself within a time."""
        return self.running and ssh_answers(self.ssh_port, timeout_s)

    def power_off(self) -> None:
        """Take its power away: QEMU ends by SIGKILL, its neighbours lose carrier. Harmless when it is off."""
        self._lab.power_off(self.node)

    def restart(self) -> None:
        """Start it anew from the snapshot, as the same node on the same port; raise GuestError when it fails."""
        self._lab.restart(self.node)

    def console_tail(self, lines: int = 20) -> list[str]:
        """Return the last lines of its console."""
        return tail(self._lab.backends(self.node).console, lines)


class RunningLab:
    """A lab that is up. Closing it ends a lab that belongs to this process, and leaves one that was kept."""

    def __init__(self, layout: Layout, plan: Plan, state: LabState, launcher: Launcher) -> None:
        self.layout = layout
        self.plan = plan
        self.state = state
        self.folder = layout.run(state.name)
        self.use: Lock | None = None
        self._launcher = launcher
        self._writing = ThreadLock()
        self._stopping = False

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
            hint = suggestion(node, self.plan.guests, "it has")
            raise LabError(f"lab {self.name!r} has no node {node!r}; {hint}")
        return Guest(self, self.plan.guests[node])

    def backends(self, node: str) -> Backends:
        """Return where the files and sockets of a guest are."""
        guest = self.plan.guests[node]
        sockets = self.layout.sockets(self.folder)
        return Backends(self.folder, sockets, node, self.state.guests[node].ssh_port, guest.nics)

    def power_off(self, node: str) -> None:
        """End a guest's QEMU at once and pull its cables."""
        process = self.guest(node).process
        if process is not None:
            process.kill()
        self._note(node, None)
        self._set_carrier(node, up=False)

    def restart(self, node: str) -> None:
        """Start a guest anew; its links are those of before."""
        self.power_off(node)
        self.start([node])

    def start(self, nodes: Iterable[str], say: Say = log.info) -> None:
        """Start guests side by side and make them the nodes they are.

        Raises:
            GuestError: one did not come up; the others that were being started are ended too.
        """
        wanted = list(nodes)
        self._stopping = False
        with ThreadPoolExecutor(max(len(wanted), 1), thread_name_prefix="guest") as pool:
            futures = {pool.submit(self._start, node, say): node for node in wanted}
            try:
                for future in as_completed(futures):
                    future.result()
                    say(f"{futures[future]} is up")
            except BaseException:
                self._abandon(wanted)
                raise
        self._pull_cables(wanted)
        ssh_files(self.site, self._launcher.image.keys, self.folder)

    def _abandon(self, nodes: Iterable[str]) -> None:
        """End guests that are being started, so that the threads that wait for them give up at once."""
        self._stopping = True
        for node in nodes:
            process = self.state.guests[node].process
            if process is not None:
                process.kill()

    def _start(self, node: str, say: Say) -> None:
        backends = self.backends(node)
        try:
            process = self._launcher.start(backends, partial(self._started, node), say, self._wanted)
            script = partial(identity, self.plan.guests[node], self.plan.addresses, secrets.token_hex(32))
            make_node(backends, process, script, timeout_s=BOOT_TIMEOUT_S)
        except LabError as error:
            raise GuestError(node, f"{error}{last_words(backends)}") from error
        self._set_carrier(node, up=True)

    def _wanted(self) -> bool:
        return not self._stopping

    def _started(self, node: str, process: Process) -> None:
        """Write down what runs before anything else happens to it."""
        self._note(node, process)
        if self._stopping:
            process.kill()

    def _note(self, node: str, process: Process | None) -> None:
        with self._writing:
            known = replace(self.state.guests[node], process=process)
            self.state = replace(self.state, guests={**self.state.guests, node: known})
            write_state(self.folder, self.state)

    def _set_carrier(self, node: str, *, up: bool) -> None:
        """Give or take carrier at the far ends of a node's links, as a cable to a machine without power does."""
        for far, slot in self.plan.neighbours(node):
            self._set_link(far, slot, up=up)

    def _pull_cables(self, nodes: Iterable[str]) -> None:
        """Take carrier from guests whose neighbour is off; guests start with carrier on all links."""
        off = [node for node, guest in self.guests.items() if not guest.running]
        for far, slot in (end for node in off for end in self.plan.neighbours(node)):
            if far in nodes:
                self._set_link(far, slot, up=False)

    def _set_link(self, node: str, slot: int, *, up: bool) -> None:
        process = self.guest(node).process
        if process is None or not process.alive():
            return
        # A guest that ends meanwhile has no carrier to set.
        with contextlib.suppress(LabError, OSError), Qmp(self.backends(node).qmp, process.alive) as qmp:
            qmp.execute("set_link", name=f"data{slot}", up=up)

    def down(self) -> None:
        """Power all guests off and forget the lab; harmless when it is down."""
        with held(change_lock(self.folder), log.info):
            take_down(self.layout, self.state)
        self._release()

    def close(self) -> None:
        """End the lab when it ends with this process; else give it back running. May be called twice."""
        if self.use is None:
            return
        owner = self.state.owner
        if owner is not None and owner == Process.current():
            self.down()
        self._release()

    def _release(self) -> None:
        if self.use is not None:
            self.use.release()
            self.use = None
