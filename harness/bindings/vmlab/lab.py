"""How a lab comes up: from nothing, from what a crash left, or as it was left running."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from harness.bindings.vmlab.accel import choose_accel
from harness.bindings.vmlab.errors import LabBusy, LabError
from harness.bindings.vmlab.image import Image, build
from harness.bindings.vmlab.launch import Launcher, Snapshot
from harness.bindings.vmlab.layout import Layout
from harness.bindings.vmlab.locks import change_lock, held, use_lock
from harness.bindings.vmlab.machine import Accel
from harness.bindings.vmlab.plan import Plan, plan
from harness.bindings.vmlab.ports import free_port
from harness.bindings.vmlab.preflight import check_run
from harness.bindings.vmlab.process import Process
from harness.bindings.vmlab.running import RunningLab
from harness.bindings.vmlab.snapshot import find_snapshot, make_snapshot
from harness.bindings.vmlab.state import GuestState, LabState, labs, read_state, write_state
from harness.bindings.vmlab.teardown import remove_logs, sweep, take_down
from harness.core.errors import suggestion
from harness.core.topology import Topology

log = logging.getLogger(__name__)

Say = Callable[[str], None]

_TOPOLOGY: TypeAdapter[Topology] = TypeAdapter(Topology)


class Lab:
    """How labs are brought up and found again."""

    @classmethod
    def up(
        cls,
        topology: Topology,
        *,
        name: str | None = None,
        progress: Say = log.info,
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
        folder = place.run(name or topology.name)
        use = use_lock(folder)
        use.acquire()
        with ExitStack() as undo:
            undo.callback(use.release)
            with held(change_lock(folder)):
                lab = _Start(place, folder.name, wanted, progress).run(keep=keep)
            if not keep:
                lab.use = use
                undo.pop_all()
        return lab

    @classmethod
    def find(cls, name: str, layout: Layout | None = None) -> RunningLab:
        """Return a lab that is up, for looking at it; raise LabError when there is none of this name."""
        place = layout or Layout.find()
        state = read_state(place.run(name))
        if state is None:
            up = [lab.name for lab in labs(place)]
            raise LabError(f"no lab {name!r} is up; {suggestion(name, up, 'up are') if up else 'none is'}")
        image = Image(place.images / state.image)
        launcher = Launcher(image, Accel(state.accel), find_snapshot(place, image, Accel(state.accel)))
        return RunningLab(place, plan(_TOPOLOGY.validate_python(state.topology)), state, launcher)


@dataclass(frozen=True, slots=True)
class _Start:
    """One bringing-up of a lab, by whoever holds its locks."""

    layout: Layout
    name: str
    plan: Plan
    say: Say

    def run(self, *, keep: bool) -> RunningLab:
        image = build(self.layout, self.say)
        accel = choose_accel(self.layout, image, self.say)
        snapshot = self._snapshot(image, accel)
        state = self._reusable(self._fresh(image, accel, keep)) or self._from_nothing(image, accel, keep)
        lab = RunningLab(self.layout, self.plan, state, Launcher(image, accel, snapshot))
        write_state(lab.folder, lab.state)
        self._complete(lab)
        return lab

    def _fresh(self, image: Image, accel: Accel, keep: bool) -> LabState:
        topology = _TOPOLOGY.dump_python(self.plan.topology, mode="json", exclude_defaults=True)
        owner = None if keep else Process.current()
        return LabState(self.name, topology, image.digest, image.build_id, accel, owner)

    def _from_nothing(self, image: Image, accel: Accel, keep: bool) -> LabState:
        folder = self.layout.run(self.name)
        if ended := sweep(self.layout, folder):
            self.say(f"lab {self.name!r}: ended {ended} guests that a crash had left")
        remove_logs(folder)
        check_run(self.layout.root, len(self.plan.guests))
        return replace(self._fresh(image, accel, keep), guests=self._ports())

    def _ports(self) -> dict[str, GuestState]:
        taken = {guest.ssh_port for lab in labs(self.layout) for guest in lab.guests.values()}
        states: dict[str, GuestState] = {}
        for node in self.plan.guests:
            port = free_port(taken)
            taken.add(port)
            states[node] = GuestState(port)
        return states

    def _snapshot(self, image: Image, accel: Accel) -> Snapshot | None:
        """Return the snapshot; without one guests are booted, which takes longer and is said."""
        try:
            return make_snapshot(self.layout, image, accel, self.say)
        except LabBusy:
            raise
        except LabError as error:
            self.say(f"no snapshot can be made, so every guest is booted: {error}")
            return None

    def _reusable(self, wanted: LabState) -> LabState | None:
        """Return the lab of this name when it can be used as it is; one that cannot is taken down."""
        before = read_state(self.layout.run(self.name))
        if before is None:
            return None
        reason = _unfit(before, wanted)
        if reason is None:
            return before
        self.say(f"lab {before.name!r}: {reason}; taking it down")
        take_down(self.layout, before)
        return None

    def _complete(self, lab: RunningLab) -> None:
        """Start what does not run or does not answer; on a failure nothing is left behind."""
        missing = [node for node, guest in lab.guests.items() if not guest.answers()]
        if not missing:
            return
        self.say(f"starting {', '.join(missing)}")
        try:
            for node in missing:
                lab.power_off(node)
            lab.start(missing, self.say)
        except BaseException:
            take_down(self.layout, lab.state)
            raise


def _unfit(before: LabState, wanted: LabState) -> str | None:
    """Return why a lab cannot be used as it is. Its locks are ours, so an owner that lives is this process."""
    if before.owner is not None and not before.owner.alive():
        return f"process {before.owner.pid}, which it belonged to, ended without taking it down"
    if before.owner is not None:
        return f"process {before.owner.pid} has not closed it"
    for key, what in (("topology", "topology"), ("build", "image"), ("accel", "accelerator")):
        if getattr(before, key) != getattr(wanted, key):
            return f"it runs with another {what}"
    return None
