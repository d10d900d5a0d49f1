"""From nothing to an initialized prefix: subnets, keys, templates, disks, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..errors import TemplateError
from ..spec import DiskSpec, DiskType, EnvSpec, Json, MachineSpec, NetSpec, NetType
from .model import Inverse, Plan, Resource, Step, StepKind

GROUP_PREFIX = "Initialize prefix"
GROUP_SUBNETS = "Lease subnets"


@dataclass(frozen=True, slots=True)
class ResolvedTemplate:
    """A template that the catalogue knows, with what its metadata says."""

    repo: str
    name: str
    version: str
    image: str
    """Absolute path in the store, also when it is not there yet."""
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InitFacts:
    """What planning an init needs to know from outside."""

    prefix: str
    workdir: str
    name: str
    """Of the prefix in its workdir."""
    uuid: str
    host: str
    templates: Mapping[tuple[str, str | None], ResolvedTemplate]
    """By the name and version that the disks ask for."""
    image_formats: Mapping[str, str] = field(default_factory=dict)
    """Path of each `file` disk → its probed format."""
    set_current: bool = False
    bootstrap: bool = True


def plan_init(spec: EnvSpec, facts: InitFacts) -> Plan:
    """Plan the prefix for an environment whose addresses are chosen.

    Raises:
        TemplateError: a machine's template cannot be told its name and keys.
    """
    machines = {name: _placed(machine, facts) for name, machine in spec.machines.items()}
    placed = EnvSpec(machines, spec.nets)
    if facts.bootstrap:
        _refuse_appliance(machines.values())
    seeded = [machine for machine in machines.values() if facts.bootstrap and needs_seed(machine)]
    steps = [_make_prefix(facts), *_claim_subnets(spec), _make_keys(placed, seeded)]
    steps += _fetch_templates(spec, facts)
    for machine in spec.machines.values():
        steps += _make_disks(machine, facts)
    steps += [_make_seed(machine, spec.nets) for machine in seeded]
    steps.append(
        Step(
            "save-env",
            StepKind.SAVE_ENV,
            facts.name,
            "Save prefix",
            args={"machines": [m.to_json() for m in machines.values()], "nets": [n.to_json() for n in spec.nets.values()]},
            after=tuple(step.id for step in steps),
        )
    )
    steps.append(
        Step(
            "finish-prefix",
            StepKind.FINISH_PREFIX,
            facts.name,
            "Mark prefix as initialized",
            args={"workdir": facts.workdir, "set_current": facts.set_current},
            after=("save-env",),
        )
    )
    return Plan("init", "Initialize and populate prefix", facts.prefix, facts.uuid, facts.host, tuple(steps))


def needs_seed(machine: MachineSpec) -> bool:
    """Whether a machine, its disks placed, is told its name and keys by a NoCloud seed."""
    return machine.bootstrap and bool(machine.disks) and machine.disks[0].metadata.get("cloud-init") is True


def _refuse_appliance(machines: Iterable[MachineSpec]) -> None:
    """Raises: TemplateError: a template would have to be bootstrapped from outside, which is not there yet."""
    for machine in machines:
        if machine.bootstrap and machine.disks and machine.disks[0].type is DiskType.TEMPLATE and not needs_seed(machine):
            raise TemplateError(
                f"machine '{machine.name}': template '{machine.disks[0].template_name}' does not say that it speaks cloud-init, "
                "so that the machine cannot be told its name and keys",
                hint="put \"cloud-init\": true into the metadata of the template when it does, or 'bootstrap: false' into the init file",
            )


def disk_path(prefix: str, machine: str, disk: DiskSpec, suffix: str) -> str:
    """Return where the image of a disk lives: `<prefix>/images/<machine>_<disk>.<suffix>`."""
    return str(PurePath(prefix, "images", f"{machine}_{disk.name}.{suffix}"))


def _placed(machine: MachineSpec, facts: InitFacts) -> MachineSpec:
    """Return the machine with every disk as it will be after init."""
    disks = tuple(_placed_disk(machine.name, disk, facts) for disk in machine.disks)
    distro = machine.distro or (disks[0].metadata.get("distro") if disks else None)
    return replace(machine, disks=disks, distro=distro)


def _placed_disk(machine: str, disk: DiskSpec, facts: InitFacts) -> DiskSpec:
    match disk.type:
        case DiskType.TEMPLATE:
            template = facts.templates[disk.template_name or "", disk.template_version]
            return replace(
                disk,
                path=disk_path(facts.prefix, machine, disk, "qcow2"),
                format="qcow2",
                template_version=template.version,
                metadata={**disk.metadata, **template.metadata},
            )
        case DiskType.EMPTY:
            return replace(disk, path=disk_path(facts.prefix, machine, disk, disk.format))
        case DiskType.FILE:
            return _placed_file(machine, disk, facts)


def _placed_file(machine: str, disk: DiskSpec, facts: InitFacts) -> DiskSpec:
    assert disk.path is not None
    if disk.format == "iso" or disk.in_place:
        return disk if disk.format == "iso" else replace(disk, format=facts.image_formats[disk.path])
    image_format = facts.image_formats[disk.path] if disk.make_a_copy else "qcow2"
    return replace(disk, path=disk_path(facts.prefix, machine, disk, image_format), format=image_format)


def _make_prefix(facts: InitFacts) -> Step:
    return Step(
        "make-prefix",
        StepKind.MAKE_PREFIX,
        facts.name,
        "Create prefix dirs",
        args={"workdir": facts.workdir},
        group=(GROUP_PREFIX,),
        inverse=Inverse(StepKind.REMOVE_PREFIX, {"workdir": facts.workdir}),
    )


def _claim_subnets(spec: EnvSpec) -> list[Step]:
    octets = sorted(int(net.gw.split(".")[2]) for net in spec.nets.values() if net.type is NetType.NAT and net.gw)
    if not octets:
        return []
    return [
        Step(
            "claim-subnets",
            StepKind.CLAIM_SUBNETS,
            ", ".join(f"192.168.{octet}.0/24" for octet in octets),
            "Lease subnets",
            args={"octets": octets},
            after=("make-prefix",),
            group=(GROUP_PREFIX,),
            inverse=Inverse(StepKind.RELEASE_SUBNETS),
        )
    ]


def _make_keys(spec: EnvSpec, seeded: list[MachineSpec]) -> Step:
    hosts = {machine.name: _names_of(machine, spec.nets) for machine in seeded}
    return Step(
        "make-keys",
        StepKind.MAKE_KEYS,
        "id_rsa",
        "Create ssh keys",
        args={"hosts": hosts},
        after=("make-prefix",),
        group=(GROUP_PREFIX,),
    )


def _names_of(machine: MachineSpec, nets: Mapping[str, NetSpec]) -> list[str]:
    """Return every name and address that a client may call the machine by."""
    addresses = [nic.ip for nic in machine.nics if nic.ip]
    names = [name for net in nets.values() for name, ip in net.mapping.items() if ip in addresses]
    domain = nets[machine.mgmt_net].dns_domain_name if machine.mgmt_net in nets else None
    full_name = [f"{machine.name}.{domain}"] if domain else []
    return list(dict.fromkeys([machine.name, *full_name, *names, *addresses]))


def _fetch_templates(spec: EnvSpec, facts: InitFacts) -> list[Step]:
    wanted = {
        (template.repo, template.name, template.version): template
        for machine in spec.machines.values()
        for disk in machine.disks
        if disk.type is DiskType.TEMPLATE
        for template in [facts.templates[disk.template_name or "", disk.template_version]]
    }
    return [
        Step(
            _fetch_id(template),
            StepKind.FETCH_TEMPLATE,
            template.name,
            f"Fetch template {template.name}:{template.version}",
            args={"repo": template.repo, "name": template.name, "version": template.version},
            after=("make-prefix",),
            resource=Resource.DISK,
            journaled=False,  # the store is shared and has locks of its own; a fetched template is never taken back
        )
        for template in wanted.values()
    ]


def _fetch_id(template: ResolvedTemplate) -> str:
    return f"fetch-template:{template.repo}:{template.name}:{template.version}"


def _make_disks(machine: MachineSpec, facts: InitFacts) -> list[Step]:
    steps = []
    for disk in machine.disks:
        placed = _placed_disk(machine.name, disk, facts)
        if placed.path == disk.path:
            continue  # used where it is
        template = facts.templates[disk.template_name or "", disk.template_version] if disk.type is DiskType.TEMPLATE else None
        steps.append(
            Step(
                f"make-disk:{machine.name}:{disk.name}",
                StepKind.MAKE_DISK,
                f"{machine.name}:{disk.name}",
                f"Create disk {disk.name}",
                args={
                    "type": disk.type.value,
                    "path": placed.path,
                    "format": placed.format,
                    "size": disk.size,
                    "source": template.image if template else disk.path,
                    "copy": disk.make_a_copy,
                },
                after=(_fetch_id(template),) if template else ("make-prefix",),
                resource=Resource.DISK,
                group=(f"Create disks for VM {machine.name}",),
            )
        )
    return steps


def _make_seed(machine: MachineSpec, nets: Mapping[str, NetSpec]) -> Step:
    domain = nets[machine.mgmt_net].dns_domain_name if machine.mgmt_net in nets else None
    return Step(
        f"make-seed:{machine.name}",
        StepKind.MAKE_SEED,
        machine.name,
        f"Bootstrapping {machine.name}",
        args={
            "domain": domain,
            "ssh_user": machine.ssh_user,
            "root_password": _root_password(machine),
            "macs": [nic.mac for nic in machine.nics if nic.mac],
        },
        after=("make-keys",),
        resource=Resource.DISK,
        group=("Bootstrap VMs",),
    )


def _root_password(machine: MachineSpec) -> str | None:
    """Return the password that root is given; where root is who logs in, its ssh password is meant too."""
    return machine.root_password or (machine.ssh_password if machine.ssh_user == "root" else None)
