"""How machines are told their names and keys, and how their disks are built: by a seed, from outside, or not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from ..spec import DiskSpec, DiskType, Json, MachineSpec, stable_mac
from .disks import ISO, LAYERED
from .model import Resource, Step, StepKind

GROUP_BOOTSTRAP = "Bootstrap VMs"
GROUP_BUILD = "Build disks"

NO_HOST_KEY = frozenset({"el6", "cirros"})
"""Distributions whose sshd takes no ed25519 host key from a file of ours: theirs is recorded on first contact."""

_NAMED = 3
"""So many machines a title names; of more it says how many there are."""


def needs_seed(machine: MachineSpec) -> bool:
    """Whether a machine, its disks placed, is told its name and keys by a NoCloud seed: its image says so, or the init file does."""
    if not machine.bootstrap or not machine.disks:
        return False
    return machine.cloud_init is not None or machine.disks[0].metadata.get("cloud-init") is True


def needs_appliance(machine: MachineSpec) -> bool:
    """Whether a machine, its disks placed, is told its name and keys from outside, before it first starts.

    Templates are, when they do not speak cloud-init. The user's own images are when it is known that they do not, or when the init file
    asks for it in so many words: an image of which nothing is known is left as it is.
    """
    if not machine.bootstrap or not machine.disks or needs_seed(machine):
        return False
    disk = machine.disks[0]
    if disk.type is DiskType.EMPTY or disk.format == ISO:
        return False
    return _is_template(disk) or disk.metadata.get("cloud-init") is False or machine.bootstrap_asked


def takes_host_key(machine: MachineSpec) -> bool:
    """Whether a machine can be given its host key."""
    return needs_seed(machine) or (needs_appliance(machine) and machine.distro not in NO_HOST_KEY)


def left_alone(machines: Iterable[MachineSpec]) -> Iterator[str]:
    """Say which machines nobody tells anything, though the init file does not ask for that."""
    for machine in machines:
        disk = machine.disks[0] if machine.disks else None
        if disk is None or disk.type is DiskType.EMPTY or disk.format == ISO or not machine.bootstrap:
            continue
        if not needs_seed(machine) and not needs_appliance(machine):
            yield (
                f"machine '{machine.name}': nothing is known of the image of its disk '{disk.name}': it keeps its own name and keys;"
                " 'bootstrap: true' has it prepared, 'bootstrap: false' says that this is meant"
            )


def bootstrap_steps(machines: Iterable[MachineSpec], making: Iterable[Step], uuid: str) -> list[Step]:
    """Return what tells machines from outside; the part that several share is done once for each image.

    Args:
        machines: that need it, their disks placed.
        making: the steps that make the disks of all machines.
        uuid: of the prefix.
    """
    made = {step.id: step for step in making}
    prepared: dict[str, tuple[Json, Step]] = {}
    together: list[dict[str, Json]] = []
    after: dict[str, None] = {}
    alone: list[Step] = []
    for machine in machines:
        disk = machine.disks[0]
        make = made.get(f"make-disk:{machine.name}:{disk.name}")
        overlaid = make is not None and not make.args["copy"]
        told = _told(machine, disk, make.args["source"] if make is not None and overlaid else disk.path, uuid)
        needed = ("make-keys", make.id) if make is not None else ("make-keys",)
        if make is None or not overlaid:
            alone.append(_bootstrap(f"bootstrap:{machine.name}", [told], needed))
            continue
        together.append(told)
        shared = _prepare(told, make, prepared)
        after |= dict.fromkeys((*needed, shared.id))
    session = [_bootstrap("bootstrap", together, tuple(after))] if together else []
    return [*(step for _, step in prepared.values()), *session, *alone]


def build_steps(machines: Iterable[MachineSpec], earlier: Iterable[Step]) -> list[Step]:
    """Return what runs the build commands of disks, each after what makes and bootstraps it.

    Args:
        machines: of which disks may have some, their disks placed.
        earlier: all steps before.
    """
    known = list(earlier)
    steps = []
    for machine in machines:
        told = [step.id for step in known if step.kind is StepKind.BOOTSTRAP and _is_about(step, machine.name)]
        for number, disk in enumerate(machine.disks):
            if disk.build and disk.format != ISO:
                makes = [step.id for step in known if step.id == f"make-disk:{machine.name}:{disk.name}"]
                steps.append(_build(machine.name, disk, ("make-keys", *makes, *(told if number == 0 else ()))))
    return steps


def _is_template(disk: DiskSpec) -> bool:
    return disk.type is DiskType.TEMPLATE and disk.template_type != LAYERED


def _is_about(step: Step, machine: str) -> bool:
    return any(each["name"] == machine for each in step.args["machines"])


def _told(machine: MachineSpec, disk: DiskSpec, source: str | None, uuid: str) -> dict[str, Json]:
    """Return what the step must know of a machine."""
    return {
        "name": machine.name,
        "distro": machine.distro,
        "macs": [nic.mac or stable_mac(uuid, machine.name, index) for index, nic in enumerate(machine.nics)],
        "ssh_user": machine.ssh_user,
        "host_key": takes_host_key(machine),
        "disk": disk.path,
        "format": disk.format,
        "size": disk.size,
        "source": source,
        "root_password": root_password(machine),
        "root_partition": disk.metadata.get("root-partition") or "",
    }


def root_password(machine: MachineSpec) -> str | None:
    """Return the password that root is given; where root is who logs in, its ssh password is meant too."""
    return machine.root_password or (machine.ssh_password if machine.ssh_user == "root" else None)


def preparation(told: Mapping[str, Json]) -> dict[str, Json]:
    """Return what of a machine says how its image is prepared: machines with the same share the work."""
    keys = ("distro", "ssh_user", "source", "root_password", "root_partition")
    return {**{key: told[key] for key in keys}, "nics": len(told["macs"])}


def _prepare(told: Mapping[str, Json], make: Step, prepared: dict[str, tuple[Json, Step]]) -> Step:
    """Return the step that prepares the image of a machine; there is one for all that can share it."""
    wanted = preparation(told)
    for known, step in prepared.values():
        if known == wanted:
            return step
    name = PurePath(str(told["source"])).name
    step_id = f"prepare-image:{name}" if f"prepare-image:{name}" not in prepared else f"prepare-image:{name}:{told['name']}"
    step = Step(
        step_id,
        StepKind.PREPARE_IMAGE,
        name,
        f"Prepare image {name}",
        args=wanted,
        after=make.after,
        resource=Resource.APPLIANCE,
        group=(GROUP_BOOTSTRAP,),
        journaled=False,  # what it makes is kept in the cache for others, and has a lock of its own
    )
    prepared[step_id] = (wanted, step)
    return step


def _bootstrap(step_id: str, machines: list[dict[str, Json]], after: tuple[str, ...]) -> Step:
    names = [machine["name"] for machine in machines]
    title = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} VMs"
    return Step(
        step_id,
        StepKind.BOOTSTRAP,
        ", ".join(names),
        f"Bootstrapping {title}",
        args={"machines": list(machines)},
        after=after,
        resource=Resource.APPLIANCE,
        group=(GROUP_BOOTSTRAP,),
    )


def _build(machine: str, disk: DiskSpec, after: tuple[str, ...]) -> Step:
    return Step(
        f"build:{machine}:{disk.name}",
        StepKind.BUILD,
        f"{machine}:{disk.name}",
        f"Build disk {disk.name} of VM {machine}",
        args={"path": disk.path, "format": disk.format, "commands": [dict(command) for command in disk.build]},
        after=after,
        resource=Resource.APPLIANCE,
        group=(GROUP_BUILD,),
    )
