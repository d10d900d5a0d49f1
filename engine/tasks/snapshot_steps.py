"""How machines are frozen under a name, with or without their memory, and how they go back."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import GuestError, HostError, MachineStateError, SnapshotError
from ..events import SnapshotChanged
from ..images.moved import backing_of, rejoin
from ..providers.base import DiskOverlay
from ..spec import Json, MachineSpec, MachineStatus
from .init_steps import seed_path
from .running_steps import image_flaw, require_backing, require_images
from .scope import RunScope

LOGIN_TIMEOUT_S = 5.0
SYNC_TIMEOUT_S = 20.0
CLOCK_TIMEOUT_S = 10.0


def snapshot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    overlays, machine = _overlays(args), MachineSpec.from_json(args["before"])
    require_images(machine)
    if _is_up(scope, subject):
        scope.provider().snapshot(ctx, scope.ref, subject, overlays, lambda: _sync(ctx, scope, machine))
    else:
        require_backing(machine)
        for overlay in overlays:
            _make_overlay(ctx, overlay.overlay, overlay.frozen, overlay.frozen_format)
    save_spec(ctx, scope, MachineSpec.from_json(args["after"]))


def unsnapshot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Put the writes since into the frozen images, and go on with those."""
    from ..images.merging import commit

    overlays = _overlays(args)
    if _is_up(scope, subject):
        scope.provider().unsnapshot(ctx, scope.ref, subject, overlays)
    else:
        for overlay in overlays:
            if backing_of(Path(overlay.overlay)) == Path(overlay.frozen):
                commit(ctx, Path(overlay.overlay))
    save_spec(ctx, scope, MachineSpec.from_json(args["before"]))
    for overlay in overlays:
        Path(overlay.overlay).unlink(missing_ok=True)


def pause_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    scope.provider().pause(ctx, scope.ref, subject)


def resume_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.resume(ctx, scope.ref, subject)


def checkpoint_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    memory = Path(args["memory"])
    require_images(MachineSpec.from_json(args["before"]))
    memory.parent.mkdir(parents=True, exist_ok=True)
    scope.provider().checkpoint(ctx, scope.ref, subject, _overlays(args), memory)
    save_spec(ctx, scope, MachineSpec.from_json(args["after"]))


def uncheckpoint_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    # A machine that is held since its memory was written has let go of its images: QEMU takes them up again when it goes on.
    resume_machine(ctx, scope, subject, {})
    unsnapshot_machine(ctx, scope, subject, args)
    if args.get("held"):
        pause_machine(ctx, scope, subject, {})
    Path(args["memory"]).unlink(missing_ok=True)


def check_snapshot(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Look at everything that a revert needs, before anything is changed.

    Raises:
        SnapshotError: something of it is gone or damaged.
    """
    for image in (Path(each) for each in args["images"]):
        rejoin(ctx, image)
        below: Path | None = image
        while below is not None:
            if flaw := image_flaw(below, "qcow2" if below.suffix == ".qcow2" else ""):
                raise SnapshotError(f"machine '{subject}' cannot go back: the image '{below}' {flaw}", hint="nothing was changed")
            below = backing_of(below)
    if args["memory"]:
        try:
            scope.provider().check_memory(ctx, Path(args["memory"]))
        except HostError as failure:
            raise SnapshotError(
                f"machine '{subject}' cannot go back to its memory of then: {failure.message}", hint="nothing was changed"
            ) from failure


def make_overlays(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    for disk in args["disks"]:
        _make_overlay(ctx, disk["path"], disk["backing"], disk["backing_format"])


def save_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    save_spec(ctx, scope, MachineSpec.from_json(args["machine"]))


def restore_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    seed = seed_path(scope.open_prefix(), subject)
    machine = MachineSpec.from_json(args["machine"])
    scope.provider().restore(ctx, scope.ref, machine, Path(args["memory"]), seed if seed.exists() else None)


def set_clock(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Bring the machine's clock to now: by its agent, else by ssh; a machine that takes neither goes on with the time of then."""
    if scope.provider().set_clock(ctx, scope.ref, subject):
        return
    machine = scope.open_prefix().machine(subject)
    # the word goes through the login shell of an unknown user: both ways are tried, and what fails is silent
    command = f"date -u -s @{time.time() + 0.5:.0f} >/dev/null 2>&1 || sudo -n date -u -s @{time.time() + 0.5:.0f} >/dev/null 2>&1"
    if not _in_guest(ctx, scope, machine, command, CLOCK_TIMEOUT_S):
        ctx.log(f"the clock of '{subject}' is late: neither its guest agent nor ssh could set it", logging.WARNING)


def save_spec(ctx: TaskContext, scope: RunScope, machine: MachineSpec) -> None:
    """Write a machine; nothing is written where that is what is there: taking back must be possible on a full disk."""
    prefix = scope.open_prefix()
    if prefix.machine(machine.name) != machine:
        prefix.save_machine(machine)
        ctx.bus.publish(SnapshotChanged(env=str(scope.prefix), machine=machine.name, snapshots=tuple(machine.snapshots)))


def _sync(ctx: TaskContext, scope: RunScope, machine: MachineSpec) -> bool:
    return _in_guest(ctx, scope, machine, "sync", SYNC_TIMEOUT_S)


def _in_guest(ctx: TaskContext, scope: RunScope, machine: MachineSpec, command: str, timeout_s: float) -> bool:
    """Run a command by ssh, now or never; returns whether it went well."""
    from ..guest import ssh
    from .targets import ssh_target

    try:
        client = ssh.connect(ctx, ssh_target(scope.open_prefix(), machine, scope.settings), scope.provider().dialer(), LOGIN_TIMEOUT_S)
        try:
            return ssh.run(ctx, client, command, timeout_s=timeout_s).code == 0
        finally:
            ssh.hang_up(client)
    except (GuestError, MachineStateError) as failure:
        ctx.log(f"'{machine.name}' by ssh: {failure.message}", logging.DEBUG)
        return False


def _overlays(args: Mapping[str, Json]) -> tuple[DiskOverlay, ...]:
    return tuple(DiskOverlay(**overlay) for overlay in args["overlays"])


def _make_overlay(ctx: TaskContext, path: str, backing: str, backing_format: str) -> None:
    from ..images.disks import make_overlay

    make_overlay(ctx, Path(path), Path(backing), backing_format)


def _is_up(scope: RunScope, machine: str) -> bool:
    provider = scope.running_provider()
    return provider is not None and provider.machine_states(scope.ref).get(machine, MachineStatus.DOWN).is_up
