"""Machines that are told who they are from outside, and disks that are built, with libguestfs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import GuestfsMissing
from ..plan.bootstrap import preparation
from ..plan.model import Step, StepKind
from ..spec import Json
from ..state.prefix import Prefix
from .init_steps import host_key_path
from .scope import RunScope

if TYPE_CHECKING:
    from ..images.bootstrap import MachineDisk, Preparation

_PROGRAMS = {
    StepKind.PREPARE_IMAGE: ("virt-sysprep", "guestfish"),
    StepKind.BOOTSTRAP: ("virt-sysprep", "guestfish"),
    StepKind.BUILD: ("virt-customize",),
}
"""What each kind of step runs."""


def missing_for(steps: Iterable[Step]) -> GuestfsMissing | None:
    """Return the error that carrying out steps would end with since libguestfs is not there; None when all is there, or none is needed."""
    from ..images.guestfs import install_hint, tools_missing

    wanted = [step for step in steps if step.kind in _PROGRAMS]
    if not wanted:
        return None
    programs = tuple(dict.fromkeys(program for step in wanted for program in _PROGRAMS[step.kind]))
    missing = tools_missing(*programs)
    if not missing:
        return None
    told = [step for step in wanted if step.kind is StepKind.BOOTSTRAP]
    if told:
        disks = ", ".join(f"'{machine['disk']}' of '{machine['name']}'" for machine in told[0].args["machines"][:3])
        why = f"{disks} must be prepared from outside, as the image does not speak cloud-init"
        otherwise = "; or leave it out with --skip-bootstrap"
    else:
        why = f"disk {wanted[0].subject} has build commands"
        otherwise = "; or leave them out with --skip-build"
    return GuestfsMissing(f"{why}: {missing}", hint=install_hint(*programs) + otherwise)


def require_tools(steps: Iterable[Step]) -> None:
    """Raises: GuestfsMissing: a step needs libguestfs, and it is not there; the message says which disk, the hint what to install."""
    missing = missing_for(steps)
    if missing is not None:
        raise missing


def is_prepared(step: Step) -> bool:
    """Whether a step has nothing to do, since its image is prepared already."""
    from ..images.bootstrap import is_prepared

    return step.kind is StepKind.PREPARE_IMAGE and is_prepared(_preparation(step.args))


def prepare_image(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.bootstrap import prepare

    prepare(ctx, _preparation(args))


def bootstrap(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.bootstrap import bootstrap as tell

    prefix = scope.open_prefix()
    tell(ctx, [_machine(prefix, machine) for machine in args["machines"]])


def build_disk(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    from ..images.build import build
    from ..images.guestfs import GuestDisk

    public_key = scope.open_prefix().public_key
    disk = GuestDisk(Path(args["path"]), args["format"])
    for number, command in enumerate(args["commands"], 1):
        for builder, options in command.items():
            with ctx.child(f"{builder} ({number} of {len(args['commands'])})") as task:
                build(task, disk, builder, options or {}, public_key)


def _preparation(args: Mapping[str, Json]) -> Preparation:
    from ..images.bootstrap import Preparation
    from ..images.sysprep import Shared

    shared = Shared(args["distro"] or "", args["nics"], args["ssh_user"], args["root_password"] is not None)
    return Preparation(Path(args["source"]), shared, args["root_password"], args["root_partition"])


def _machine(prefix: Prefix, machine: Mapping[str, Json]) -> MachineDisk:
    from ..images.bootstrap import MachineDisk
    from ..images.sysprep import Told

    key = host_key_path(prefix, machine["name"])
    told = Told(
        name=machine["name"],
        distro=machine["distro"],
        authorized_key=prefix.public_key.read_text(encoding="utf-8"),
        macs=tuple(machine["macs"]),
        ssh_user=machine["ssh_user"],
        host_key=(key.read_text(encoding="utf-8"), key.with_suffix(".pub").read_text(encoding="utf-8")) if machine["host_key"] else None,
    )
    shared = _preparation(preparation(machine))
    return MachineDisk(told, Path(machine["disk"]), machine["format"], shared, machine["size"])
