"""From nothing to an initialized prefix: subnets, keys, scripts, disks, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..errors import TemplateError
from ..spec import DiskType, EnvSpec, MachineSpec, NetSpec, NetType
from .disks import LAYERED, Disks
from .materials import ImageFacts, InitFacts, OvaDisk, OvaFacts, ResolvedTemplate
from .model import Inverse, Plan, Resource, Step, StepKind
from .scripts import Scripts

__all__ = ["ImageFacts", "InitFacts", "OvaDisk", "OvaFacts", "ResolvedTemplate", "make_seed", "names_of", "needs_seed", "plan_init"]

GROUP_PREFIX = "Initialize prefix"
GROUP_SUBNETS = "Lease subnets"


def plan_init(spec: EnvSpec, facts: InitFacts) -> Plan:
    """Plan the prefix for an environment whose addresses are chosen.

    Raises:
        TemplateError: a machine's template cannot be told its name and keys.
    """
    disks, scripts = Disks(spec, facts), Scripts(facts.prefix)
    machines = {name: scripts.placed(disks.machine(name)) for name in spec.machines}
    placed = EnvSpec(machines, spec.nets)
    if facts.bootstrap:
        _refuse_appliance(machines.values())
    seeded = [machine for machine in machines.values() if facts.bootstrap and needs_seed(machine)]
    steps = [_make_prefix(facts), *_claim_subnets(spec), _make_keys(placed, seeded), *scripts.steps(), *disks.steps()]
    steps += [make_seed(machine, spec.nets) for machine in seeded]
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
    notes = tuple(_unknown_archives(spec, facts))
    return Plan("init", "Initialize and populate prefix", facts.prefix, facts.uuid, facts.host, tuple(steps), notes=notes)


def _unknown_archives(spec: EnvSpec, facts: InitFacts) -> Iterator[str]:
    for machine in spec.machines.values():
        if machine.ova_url is not None and machine.ova_url not in facts.archives:
            yield f"machine '{machine.name}': its disks, memory and CPUs are known once '{machine.ova_url}' has been fetched"


def needs_seed(machine: MachineSpec) -> bool:
    """Whether a machine, its disks placed, is told its name and keys by a NoCloud seed: its image says so, or the init file does."""
    if not machine.bootstrap or not machine.disks:
        return False
    return machine.cloud_init is not None or machine.disks[0].metadata.get("cloud-init") is True


def _refuse_appliance(machines: Iterable[MachineSpec]) -> None:
    """Raises: TemplateError: a template would have to be bootstrapped from outside, which is not there yet."""
    for machine in machines:
        if not machine.bootstrap or not machine.disks or needs_seed(machine):
            continue
        if machine.disks[0].type is DiskType.TEMPLATE and machine.disks[0].template_type != LAYERED:
            raise TemplateError(
                f"machine '{machine.name}': template '{machine.disks[0].template_name}' does not say that it speaks cloud-init, "
                "so that the machine cannot be told its name and keys",
                hint="put \"cloud-init\": true into the metadata of the template when it does, or 'bootstrap: false' into the init file",
            )


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
    hosts = {machine.name: names_of(machine, spec.nets) for machine in seeded}
    return Step(
        "make-keys",
        StepKind.MAKE_KEYS,
        "id_rsa",
        "Create ssh keys",
        args={"hosts": hosts},
        after=("make-prefix",),
        group=(GROUP_PREFIX,),
    )


def names_of(machine: MachineSpec, nets: Mapping[str, NetSpec]) -> list[str]:
    """Return every name and address that a client may call the machine by."""
    addresses = [nic.ip for nic in machine.nics if nic.ip]
    names = [name for net in nets.values() for name, ip in net.mapping.items() if ip in addresses]
    domain = nets[machine.mgmt_net].dns_domain_name if machine.mgmt_net in nets else None
    full_name = [f"{machine.name}.{domain}"] if domain else []
    return list(dict.fromkeys([machine.name, *full_name, *names, *addresses]))


def make_seed(machine: MachineSpec, nets: Mapping[str, NetSpec], *, renew_network: bool = False) -> Step:
    """Return the step that writes a machine's seed; with `renew_network` a machine that has booted before takes its nics in again."""
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
            "user_data": dict(machine.cloud_init.user_data) if machine.cloud_init else {},
            "network_config": machine.cloud_init.network_config if machine.cloud_init else None,
            "renew_network": renew_network,
        },
        after=("make-keys",),
        resource=Resource.DISK,
        group=("Bootstrap VMs",),
    )


def _root_password(machine: MachineSpec) -> str | None:
    """Return the password that root is given; where root is who logs in, its ssh password is meant too."""
    return machine.root_password or (machine.ssh_password if machine.ssh_user == "root" else None)
