"""Snapshot and revert: overlays over frozen images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from ..errors import MachineStateError, SnapshotError
from ..spec import DiskSpec, Json, MachineSpec
from ..state.env import EnvState, MachineState
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def plan_snapshot(state: EnvState, name: str, machines: Sequence[str] = ()) -> Plan:
    """Freeze the disks of machines under `name`.

    Raises:
        SnapshotError: the name cannot be used, or a machine already has it.
        MachineStateError: a machine writes to the user's own image.
    """
    if not _NAME.fullmatch(name):
        raise SnapshotError(
            f"'{name}' cannot name a snapshot", hint="use letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    chosen = _chosen(state, machines)
    taken = [machine.spec.name for machine in chosen if name in machine.spec.snapshots]
    if taken:
        raise SnapshotError(f"{', '.join(taken)}: a snapshot '{name}' is there already", hint="choose another name")
    steps = tuple(_snapshot_machine(machine, name) for machine in chosen)
    title = f"Create snapshot {name}"
    return Plan("snapshot", title, state.ref.prefix, state.ref.uuid, state.host, steps, Recovery.FINISH)


def plan_revert(state: EnvState, name: str, machines: Sequence[str] = ()) -> Plan:
    """Go back to the disks of snapshot `name`; machines that are up are stopped first and started after.

    Raises:
        SnapshotError: a machine does not have the snapshot.
    """
    chosen = _chosen(state, machines)
    lacking = [machine.spec.name for machine in chosen if name not in machine.spec.snapshots]
    if lacking:
        known = sorted({snapshot for machine in chosen for snapshot in machine.spec.snapshots})
        hint = f"there is: {', '.join(known)}" if known else "there is none; make one with: lagotui --run snapshot NAME"
        raise SnapshotError(f"{', '.join(lacking)}: no snapshot '{name}'", hint=hint)
    steps = [step for machine in chosen for step in _revert_machine(machine, name)]
    title = f"Revert to snapshot {name}"
    lost = tuple(f"{machine.spec.name}: everything written since '{name}'" for machine in chosen)
    return Plan("revert", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps), Recovery.FINISH, notes=lost)


def overlay_path(machine: MachineSpec, disk: DiskSpec) -> str:
    """Return a path beside the disk's image that neither the machine nor one of its snapshots uses yet."""
    assert disk.path is not None
    used = {each.path for disks in (machine.disks, *machine.snapshots.values()) for each in disks}
    here = PurePath(disk.path)
    stem = re.sub(r"\.\d+$", "", here.stem)
    number = 1
    while (candidate := str(here.with_name(f"{stem}.{number}.qcow2"))) in used:
        number += 1
    return candidate


def _chosen(state: EnvState, machines: Sequence[str]) -> list[MachineState]:
    return [state.machines[name] for name in machines] if machines else list(state.machines.values())


def _snapshot_machine(machine: MachineState, name: str) -> Step:
    spec = machine.spec
    own_images = [disk.name for disk in spec.disks if disk.in_place]
    if own_images:
        raise MachineStateError(
            f"{spec.name}: disk '{own_images[0]}' is used in place and cannot be snapshotted",
            hint="leave 'in_place' out of the init file, and the image is overlaid instead",
        )
    frozen = tuple(disk for disk in spec.disks if disk.format != "iso")
    overlays = [{"dev": d.dev, "frozen": d.path, "frozen_format": d.format, "overlay": overlay_path(spec, d)} for d in frozen]
    moved = {overlay["dev"]: overlay["overlay"] for overlay in overlays}
    disks = tuple(replace(disk, path=moved[disk.dev], format="qcow2") if disk.dev in moved else disk for disk in spec.disks)
    after = replace(spec, disks=disks, snapshots={**spec.snapshots, name: frozen})
    args: dict[str, Json] = {"snapshot": name, "overlays": overlays, "before": spec.to_json(), "after": after.to_json()}
    return Step(
        f"snapshot-machine:{spec.name}",
        StepKind.SNAPSHOT_MACHINE,
        spec.name,
        f"Snapshot VM {spec.name}",
        args=args,
        resource=Resource.HYPERVISOR,
        group=("Create VMs snapshots",),
        inverse=Inverse(StepKind.UNSNAPSHOT_MACHINE, args),
    )


def _revert_machine(machine: MachineState, name: str) -> list[Step]:
    spec, was_up = machine.spec, machine.status.is_up
    group = (f"Reverting {spec.name} to snapshot {name}",)
    frozen = {disk.dev: disk for disk in spec.snapshots[name]}
    disks = [
        {"path": disk.path, "backing": frozen[disk.dev].path, "backing_format": frozen[disk.dev].format}
        for disk in spec.disks
        if disk.dev in frozen
    ]
    stop = Step(
        f"stop-machine:{spec.name}",
        StepKind.STOP_MACHINE,
        spec.name,
        f"Destroying VM {spec.name}",
        resource=Resource.HYPERVISOR,
        group=group,
        inverse=Inverse(StepKind.START_MACHINE),
    )
    revert = Step(
        f"revert-disks:{spec.name}",
        StepKind.REVERT_DISKS,
        spec.name,
        f"Put back the disks of {spec.name}",
        args={"disks": disks},
        after=(stop.id,) if was_up else (),
        resource=Resource.DISK,
        group=group,
    )
    start = Step(
        f"start-machine:{spec.name}",
        StepKind.START_MACHINE,
        spec.name,
        f"Starting VM {spec.name}",
        after=(revert.id,),
        resource=Resource.HYPERVISOR,
        group=group,
        inverse=Inverse(StepKind.STOP_MACHINE),
    )
    return [stop, revert, start] if was_up else [revert]
