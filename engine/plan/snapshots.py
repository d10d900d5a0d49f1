"""Snapshot, checkpoint, revert, and the removal of snapshots: overlays over frozen images, and memories beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from ..errors import MachineStateError, SnapshotError
from ..spec import DiskSpec, Json, MachineSpec, MachineStatus, SnapshotNote
from ..state.env import EnvState, MachineState
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind
from .running import clock_step, resume_step, start_net_step

_NAME = re.compile(r"\w[^/\x00-\x1f\x7f]*")
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")
_GROUP = ("Create VMs snapshots",)
MEMORY_FOLDER = "memory"
"""In the prefix; apart from the images, since a system's libvirt keeps memories for itself alone."""
LONGEST_STEM = 100
"""Characters of a snapshot's name that go into the name of a file."""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """What `snapshot` is asked for."""

    name: str
    machines: Sequence[str] = ()
    """None: all."""
    memory: bool = False
    """Keep the memory of what is up, too: all machines at one moment."""
    force: bool = False
    """Let an older snapshot of that name go once the new one is there."""
    now_s: float = 0.0


def plan_snapshot(state: EnvState, request: SnapshotRequest) -> Plan:
    """Freeze machines under a name; a checkpoint with memory that dies half done is undone: half of it is of no use.

    Raises:
        SnapshotError: the name cannot be used, or a machine already has it.
        MachineStateError: a machine writes to the user's own image.
    """
    name = request.name
    if not _NAME.fullmatch(name):
        raise SnapshotError(
            f"'{name}' cannot name a snapshot", hint="begin with a letter or digit, and use no '/' and no control characters"
        )
    chosen = _chosen(state, request.machines)
    taken = [machine.spec.name for machine in chosen if name in machine.spec.snapshots]
    if taken and not request.force:
        raise SnapshotError(
            f"{', '.join(taken)}: a snapshot '{name}' is there already", hint="choose another name, or let the old one go with --force"
        )
    up = [machine for machine in chosen if machine.status.is_up] if request.memory else []
    pauses = [_pause(machine.spec.name) for machine in up if machine.status is not MachineStatus.PAUSED]
    paused = tuple(step.id for step in pauses)
    steps = [_snapshot_machine(state, machine, request, paused) for machine in chosen]
    saved = tuple(step.id for step in steps)
    resumes = [resume_step(step.subject, saved, _GROUP) for step in pauses]
    clocks = [clock_step(step.subject, (step.id,), _GROUP) for step in resumes]
    recovery = Recovery.UNDO if request.memory else Recovery.FINISH
    title = f"Create snapshot {name}"
    return _plan(state, "snapshot", title, [*pauses, *steps, *resumes, *clocks], recovery)


def plan_revert(state: EnvState, name: str, machines: Sequence[str] = ()) -> Plan:
    """Go back to snapshot `name`: new overlays are made beside the old ones, so that up to its end everything can be taken back.

    Machines that are up are started again after a disk snapshot; a checkpoint brings back who was up, with their memory, and who was down.

    Raises:
        SnapshotError: a machine does not have the snapshot.
    """
    chosen = _holders(state, name, machines, strict=True)
    reverts = [_Revert(state, machine, name) for machine in chosen]
    nets = _nets_of(state, [each for each in reverts if each.comes_up])
    checks = [each.check() for each in reverts]
    made = [each.make(tuple(step.id for step in checks)) for each in reverts]
    ready = tuple(step.id for step in (*nets, *made))
    switched = [step for each in reverts for step in each.switch(ready)]
    restored = tuple(step.id for step in switched if step.kind is StepKind.RESTORE_MACHINE)
    resumes = [resume_step(each.spec.name, restored, each.group) for each in reverts if each.memory]
    clocks = [clock_step(step.subject, (step.id,), step.group) for step in resumes]
    lost = tuple(f"{machine.spec.name}: everything written since '{name}'" for machine in chosen)
    steps = [*nets, *checks, *made, *switched, *resumes, *clocks]
    return _plan(state, "revert", f"Revert to snapshot {name}", steps, Recovery.UNDO, lost)


def plan_forget(state: EnvState, name: str, machines: Sequence[str] = ()) -> Plan:
    """Take a snapshot off the list; its layers are left to the tidying that follows.

    Raises:
        SnapshotError: nobody has it, or a named machine has it not.
    """
    steps = [
        _save(machine.spec.name, forgotten(machine.spec, name), group=("Forget snapshot",)) for machine in _holders(state, name, machines)
    ]
    return _plan(state, "snapshot-delete", f"Delete snapshot {name}", steps, Recovery.FINISH)


def forgotten(spec: MachineSpec, name: str) -> MachineSpec:
    """Return a machine without a snapshot; its images and its memory become leftovers."""
    snapshots = {each: disks for each, disks in spec.snapshots.items() if each != name}
    memory = spec.history.note(name).memory
    freed = [*(disk.path for disk in spec.snapshots.get(name, ()) if disk.path), *([memory] if memory else [])]
    without = replace(spec, snapshots=snapshots, history=spec.history.without(name))
    return with_leftovers(without, freed)


def with_leftovers(spec: MachineSpec, paths: Sequence[str]) -> MachineSpec:
    """Return a machine that remembers what nobody names any more."""
    named = {disk.path for disks in (spec.disks, *spec.snapshots.values()) for disk in disks}
    left = tuple(dict.fromkeys(path for path in (*spec.history.leftovers, *paths) if path not in named))
    return replace(spec, history=replace(spec.history, leftovers=left))


def overlay_path(machine: MachineSpec, disk: DiskSpec) -> str:
    """Return a path beside the disk's image that neither the machine nor one of its snapshots uses yet."""
    assert disk.path is not None
    used = {*machine.history.leftovers, *(each.path for disks in (machine.disks, *machine.snapshots.values()) for each in disks)}
    here = PurePath(disk.path)
    stem = re.sub(r"\.\d+$", "", here.stem)
    number = 1
    while (candidate := str(here.with_name(f"{stem}.{number}.qcow2"))) in used:
        number += 1
    return candidate


def _memory_path(state: EnvState, machine: MachineSpec, name: str) -> str:
    used = {*machine.history.leftovers, *(note.memory for note in machine.history.notes.values())}
    folder, stem, number = PurePath(state.ref.prefix, MEMORY_FOLDER, machine.name), _NO_FILE_NAME.sub("_", name)[:LONGEST_STEM], 1
    candidate = str(folder / f"{stem}.mem")
    while candidate in used:
        number += 1
        candidate = str(folder / f"{stem}.{number}.mem")
    return candidate


def _chosen(state: EnvState, machines: Sequence[str]) -> list[MachineState]:
    return [state.machines[name] for name in dict.fromkeys(machines)] if machines else list(state.machines.values())


def _holders(state: EnvState, name: str, machines: Sequence[str], *, strict: bool = False) -> list[MachineState]:
    """Return the machines that have a snapshot; named ones must have it, and with `strict` all."""
    chosen = _chosen(state, machines)
    holders = [machine for machine in chosen if name in machine.spec.snapshots]
    lacking = [machine.spec.name for machine in chosen if name not in machine.spec.snapshots]
    if lacking and (machines or strict or not holders):
        known = sorted({snapshot for machine in chosen for snapshot in machine.spec.snapshots})
        hint = f"there is: {', '.join(known)}" if known else "there is none; make one with: lagotui --run snapshot NAME"
        if holders:
            hint = f"name those that have it: lagotui --run revert {name} {' '.join(machine.spec.name for machine in holders)}"
        raise SnapshotError(f"{', '.join(lacking)}: no snapshot '{name}'", hint=hint)
    return holders


def _plan(state: EnvState, verb: str, title: str, steps: Sequence[Step], recovery: Recovery, notes: tuple[str, ...] = ()) -> Plan:
    return Plan(verb, title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps), recovery, notes)


def _snapshot_machine(state: EnvState, machine: MachineState, request: SnapshotRequest, paused: tuple[str, ...]) -> Step:
    spec, name = machine.spec, request.name
    _refuse_own_images(spec)
    is_saved = request.memory and machine.status.is_up
    frozen = tuple(disk for disk in spec.disks if disk.format != "iso")
    overlays = [{"dev": d.dev, "frozen": d.path, "frozen_format": d.format, "overlay": overlay_path(spec, d)} for d in frozen]
    moved = {overlay["dev"]: overlay["overlay"] for overlay in overlays}
    disks = tuple(replace(disk, path=moved[disk.dev], format="qcow2") if disk.dev in moved else disk for disk in spec.disks)
    memory = _memory_path(state, spec, name) if is_saved else None
    note = SnapshotNote(created_s=request.now_s, up=machine.status.is_up, checkpoint=request.memory, memory=memory)
    before = forgotten(spec, name) if name in spec.snapshots else spec
    after = replace(before, disks=disks, snapshots={**before.snapshots, name: frozen}, history=before.history.taken(name, note))
    args: dict[str, Json] = {"overlays": overlays, "before": spec.to_json(), "after": with_leftovers(after, ()).to_json()}
    if memory:
        args |= {"memory": memory, "held": machine.status is MachineStatus.PAUSED}
    kind, back = StepKind.SNAPSHOT_MACHINE, StepKind.UNSNAPSHOT_MACHINE
    if is_saved:
        kind, back = StepKind.CHECKPOINT_MACHINE, StepKind.UNCHECKPOINT_MACHINE
    return Step(
        f"{kind.value}:{spec.name}",
        kind,
        spec.name,
        f"Snapshot VM {spec.name}",
        args=args,
        after=paused,
        resource=Resource.HYPERVISOR,
        group=_GROUP,
        inverse=Inverse(back, args),
    )


def _refuse_own_images(spec: MachineSpec) -> None:
    own_images = [disk.name for disk in spec.disks if disk.in_place]
    if own_images:
        raise MachineStateError(
            f"{spec.name}: disk '{own_images[0]}' is used in place and cannot be snapshotted",
            hint="leave 'in_place' out of the init file, and the image is overlaid instead",
        )


def _pause(name: str) -> Step:
    inverse = Inverse(StepKind.RESUME_MACHINE)
    title = f"Pause VM {name}"
    return Step(f"pause-machine:{name}", StepKind.PAUSE_MACHINE, name, title, resource=Resource.HYPERVISOR, group=_GROUP, inverse=inverse)


def _save(
    name: str, spec: MachineSpec, after: tuple[str, ...] = (), group: tuple[str, ...] = (), before: MachineSpec | None = None
) -> Step:
    inverse = Inverse(StepKind.SAVE_MACHINE, {"machine": before.to_json()}) if before else None
    args = {"machine": spec.to_json()}
    return Step(
        f"save-machine:{name}", StepKind.SAVE_MACHINE, name, f"Save VM {name}", args=args, after=after, group=group, inverse=inverse
    )


def _nets_of(state: EnvState, reverts: Sequence[_Revert]) -> list[Step]:
    used = {nic.net for each in reverts for nic in each.spec.nics}
    return [start_net_step(name) for name, net in state.nets.items() if name in used and not net.up]


class _Revert:
    """One machine on its way back."""

    def __init__(self, state: EnvState, machine: MachineState, name: str) -> None:
        self.spec = machine.spec
        self._name = name
        self.group = (f"Reverting {machine.spec.name} to snapshot {name}",)
        self._was_up = machine.status.is_up
        note = machine.spec.history.note(name)
        self.memory = note.memory or ""
        self.comes_up = bool(note.memory) if note.checkpoint else self._was_up
        spec = machine.spec
        frozen = {disk.name: disk for disk in spec.snapshots[name]}
        old = [disk for disk in spec.disks if disk.name in frozen]
        new = {disk.name: overlay_path(spec, disk) for disk in old}
        self._overlays = [
            {"path": new[disk.name], "backing": frozen[disk.name].path, "backing_format": frozen[disk.name].format} for disk in old
        ]
        disks = tuple(replace(disk, path=new[disk.name], format="qcow2") if disk.name in new else disk for disk in spec.disks)
        after = replace(spec, disks=disks, history=replace(spec.history, at=name))
        self._after = with_leftovers(after, [disk.path for disk in old if disk.path])
        self._hardware = replace(spec, disks=tuple(replace(d, dev=frozen[d.name].dev) if d.name in frozen else d for d in disks))

    def check(self) -> Step:
        name = self.spec.name
        args = {"images": [overlay["backing"] for overlay in self._overlays], "memory": self.memory}
        title = f"Check the snapshot of {name}"
        return Step(f"check-snapshot:{name}", StepKind.CHECK_SNAPSHOT, name, title, args=args, group=self.group, journaled=False)

    def make(self, after: tuple[str, ...]) -> Step:
        name = self.spec.name
        paths = [overlay["path"] for overlay in self._overlays]
        return Step(
            f"make-overlays:{name}",
            StepKind.MAKE_OVERLAYS,
            name,
            f"Put back the disks of {name}",
            args={"disks": self._overlays, "snapshot": self._name},
            after=after,
            resource=Resource.DISK,
            group=self.group,
            inverse=Inverse(StepKind.REMOVE_FILES, {"paths": paths}),
        )

    def switch(self, ready: tuple[str, ...]) -> list[Step]:
        """Return the steps that take the machine from its old overlays to the new ones."""
        name = self.spec.name
        stop = self._step(StepKind.STOP_MACHINE, f"Destroying VM {name}", ready, {}, StepKind.START_MACHINE)
        stops = [stop] if self._was_up else []
        save = _save(name, self._after, (*ready, *(step.id for step in stops)), self.group, self.spec)
        if not self.comes_up:
            return [*stops, save]
        if self.memory:
            args = {"machine": self._hardware.to_json(), "memory": self.memory}
            return [*stops, save, self._step(StepKind.RESTORE_MACHINE, f"Restoring VM {name}", (save.id,), args, StepKind.STOP_MACHINE)]
        return [*stops, save, self._step(StepKind.START_MACHINE, f"Starting VM {name}", (save.id,), {}, StepKind.STOP_MACHINE)]

    def _step(self, kind: StepKind, title: str, after: tuple[str, ...], args: dict[str, Json], inverse: StepKind) -> Step:
        return Step(
            f"{kind.value}:{self.spec.name}",
            kind,
            self.spec.name,
            title,
            args=args,
            after=after,
            resource=Resource.HYPERVISOR,
            group=self.group,
            inverse=Inverse(inverse),
        )
