"""How machines and nets start and stop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..context import TaskContext
from ..errors import MachineStateError
from ..spec import Json, MachineSpec, NetSpec, NetType
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
    require_images(machine)
    for disk in machine.disks:
        if disk.path and disk.format == "qcow2":
            rejoin(ctx, Path(disk.path))
    require_backing(machine)
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


def require_images(machine: MachineSpec) -> None:
    """Raises: MachineStateError: an image is not there or is none, which the host would say in words of its own, or wait for."""
    for disk in machine.disks:
        flaw = image_flaw(Path(disk.path), disk.format) if disk.path else ""
        if flaw:
            raise MachineStateError(
                f"machine '{machine.name}': the image '{disk.path}' of disk '{disk.name}' {flaw}",
                hint="put it back, revert to a snapshot, or destroy the environment",
            )


def require_backing(machine: MachineSpec) -> None:
    """Raises: MachineStateError: an image that one of the machine's stands on is gone."""
    from ..images.moved import backing_of

    for disk in machine.disks:
        image, seen = Path(disk.path or ""), set[Path]()
        while disk.path and image not in seen and (below := backing_of(image)) is not None:
            if _is_missing(below):
                raise MachineStateError(
                    f"machine '{machine.name}': the image '{below}', which disk '{disk.name}' stands on, is gone",
                    hint="put it back, or destroy the environment",
                )
            seen.add(image)
            image = below


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # closed to us: the host may see it
        return False
    return False


def image_flaw(image: Path, image_format: str) -> str:
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
