"""How machines and nets start, stop, and go back to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import MachineStateError
from ..events import SnapshotChanged
from ..providers.base import DiskOverlay
from ..spec import Json, MachineSpec, MachineStatus
from .init_steps import seed_path
from .scope import RunScope


def start_net(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    nets = scope.open_prefix().load_env().nets
    scope.provider().start_net(ctx, scope.ref, nets[subject], nets)


def stop_net(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.stop_net(ctx, scope.ref, subject)


def start_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    prefix = scope.open_prefix()
    machine = prefix.machine(subject)
    for disk in machine.disks:
        if disk.path and not Path(disk.path).exists():
            raise MachineStateError(
                f"machine '{subject}': the image '{disk.path}' of disk '{disk.name}' is gone",
                hint="put it back, revert to a snapshot, or destroy the environment",
            )
    seed = seed_path(prefix, subject)
    scope.provider().start_machine(ctx, scope.ref, machine, seed if seed.exists() else None)


def stop_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.stop_machine(ctx, scope.ref, subject)


def wait_ssh(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    scope.wait_ready(ctx, scope, subject)


def snapshot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    overlays = _overlays(args)
    if _is_up(scope, subject):
        scope.provider().snapshot(ctx, scope.ref, subject, overlays)
    else:
        for overlay in overlays:
            _make_overlay(ctx, overlay.overlay, overlay.frozen, overlay.frozen_format)
    _save(ctx, scope, args["after"])


def unsnapshot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    overlays = _overlays(args)
    if _is_up(scope, subject):
        scope.provider().unsnapshot(ctx, scope.ref, subject, overlays)
    _save(ctx, scope, args["before"])
    for overlay in overlays:
        Path(overlay.overlay).unlink(missing_ok=True)


def revert_disks(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    for disk in args["disks"]:
        if not Path(disk["backing"]).exists():
            raise MachineStateError(f"machine '{subject}': the frozen image '{disk['backing']}' is gone", hint="nothing was changed")
    for disk in args["disks"]:
        _make_overlay(ctx, disk["path"], disk["backing"], disk["backing_format"])


def _overlays(args: Mapping[str, Json]) -> tuple[DiskOverlay, ...]:
    return tuple(DiskOverlay(**overlay) for overlay in args["overlays"])


def _make_overlay(ctx: TaskContext, path: str, backing: str, backing_format: str) -> None:
    from ..images.disks import make_overlay

    make_overlay(ctx, Path(path), Path(backing), backing_format)


def _is_up(scope: RunScope, machine: str) -> bool:
    provider = scope.running_provider()
    return provider is not None and provider.machine_states(scope.ref).get(machine, MachineStatus.DOWN).is_up


def _save(ctx: TaskContext, scope: RunScope, data: Mapping[str, Json]) -> None:
    machine = MachineSpec.from_json(data)
    scope.open_prefix().save_machine(machine)
    ctx.bus.publish(SnapshotChanged(env=str(scope.prefix), machine=machine.name, snapshots=tuple(machine.snapshots)))
