"""How machines and nets start, stop, and go back to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import MachineStateError
from ..events import SnapshotChanged
from ..providers.base import DiskOverlay
from ..spec import Json, MachineSpec, MachineStatus, NetSpec, NetType
from ..state.leases import Lease, LeaseStore
from ..state.prefix import Prefix
from .init_steps import seed_path
from .scope import RunScope

QCOW2_MAGIC = b"QFI\xfb"
"""First bytes of every qcow2 image. (QEMU, docs/interop/qcow2.rst)"""


def start_net(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    prefix = scope.open_prefix()
    nets = prefix.load_env().nets
    _hold_subnet(scope, prefix, nets[subject])
    scope.provider().start_net(ctx, scope.ref, nets[subject], nets)


def stop_net(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.stop_net(ctx, scope.ref, subject)


def _hold_subnet(scope: RunScope, prefix: Prefix, net: NetSpec) -> None:
    """Lease the subnet of a net again where the lease was lost: it ends when a prefix is moved."""
    leases = LeaseStore(scope.settings.lease_dir)
    octet = int(net.gw.split(".")[2]) if net.type is NetType.NAT and net.gw else None
    if octet is not None and leases.snapshot().holders.get(octet) != Lease(str(prefix.uuid_path), scope.uuid):
        leases.claim(prefix.uuid_path, scope.uuid, [octet])


def start_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.moved import rejoin

    prefix = scope.open_prefix()
    machine = prefix.machine(subject)
    _require_images(machine)
    for disk in machine.disks:
        if disk.path and disk.format == "qcow2":
            rejoin(ctx, Path(disk.path))
    seed = seed_path(prefix, subject)
    scope.provider().start_machine(ctx, scope.ref, machine, seed if seed.exists() else None)


def stop_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.stop_machine(ctx, scope.ref, subject)


def wait_ssh(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    scope.wait_ready(ctx, scope, subject)


def wait_ready(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Wait for ssh where the machine has an address, then for everything that its `ready` asks for."""
    from .targets import wait_until_ready

    machine = scope.open_prefix().machine(subject)
    if machine.ip:
        scope.wait_ready(ctx, scope, subject)
    wait_until_ready(ctx, scope, machine)


def snapshot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    overlays = _overlays(args)
    _require_images(MachineSpec.from_json(args["before"]))
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


def _require_images(machine: MachineSpec) -> None:
    """Raises: MachineStateError: an image is not there or is none, which the host would say in words of its own, or wait for."""
    for disk in machine.disks:
        flaw = _flaw(Path(disk.path), disk.format) if disk.path else ""
        if flaw:
            raise MachineStateError(
                f"machine '{machine.name}': the image '{disk.path}' of disk '{disk.name}' {flaw}",
                hint="put it back, revert to a snapshot, or destroy the environment",
            )


def _flaw(image: Path, image_format: str) -> str:
    """Say what is wrong with an image at first sight; "" when nothing is."""
    if not image.exists():
        return "is gone"
    if not (image.is_file() or image.is_block_device()):
        return "is neither a file nor a block device"
    try:
        with image.open("rb") as content:
            whole = image_format != "qcow2" or content.read(len(QCOW2_MAGIC)) == QCOW2_MAGIC
    except PermissionError:  # the host's, while a machine runs on it
        return ""
    return "" if whole else "is damaged: it is no qcow2 image"


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
