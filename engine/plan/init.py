"""From nothing to an initialized prefix: subnets, keys, scripts, disks, seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..spec import EnvSpec, MachineSpec, NetSpec, NetType
from .bootstrap import bootstrap_steps, build_steps, left_alone, needs_appliance, needs_seed, root_password, takes_host_key
from .disks import Disks
from .materials import ImageFacts, InitFacts, OvaDisk, OvaFacts, ResolvedTemplate
from .model import Inverse, Plan, Resource, Step, StepKind
from .scripts import Scripts

__all__ = ["ImageFacts", "InitFacts", "OvaDisk", "OvaFacts", "ResolvedTemplate", "make_seed", "names_of", "needs_seed", "plan_init"]

GROUP_PREFIX = "Initialize prefix"
GROUP_SUBNETS = "Lease subnets"


def plan_init(spec: EnvSpec, facts: InitFacts) -> Plan:
    """Plan the prefix for an environment whose addresses are chosen."""
    disks, scripts = Disks(spec, facts), Scripts(facts.prefix)
    machines = {name: scripts.placed(disks.machine(name)) for name in spec.machines}
    placed = EnvSpec(machines, spec.nets)
    told = list(machines.values()) if facts.bootstrap else []
    making = disks.steps()
    steps = [_make_prefix(facts), *_claim_subnets(spec), _make_keys(placed, told), *scripts.steps(), *making]
    steps += [make_seed(machine, spec.nets) for machine in told if needs_seed(machine)]
    steps += bootstrap_steps([machine for machine in told if needs_appliance(machine)], making, facts.uuid)
    steps += build_steps(machines.values(), steps) if facts.build else []
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
    provided = [provide(machine, ("save-env",)) for machine in machines.values() if machine.is_provided]
    steps += provided
    steps.append(
        Step(
            "finish-prefix",
            StepKind.FINISH_PREFIX,
            facts.name,
            "Mark prefix as initialized",
            args={"workdir": facts.workdir, "set_current": facts.set_current},
            after=("save-env", *(step.id for step in provided)),
        )
    )
    notes = (*_unknown_archives(spec, facts), *left_alone(told))
    return Plan("init", "Initialize and populate prefix", facts.prefix, facts.uuid, facts.host, tuple(steps), notes=notes)


def provide(machine: MachineSpec, after: tuple[str, ...]) -> Step:
    """Return the step with which the plugin that runs a machine makes it."""
    return Step(
        f"provide-machine:{machine.name}",
        StepKind.PROVIDE_MACHINE,
        machine.name,
        f"Make VM {machine.name} with '{machine.vm_provider}'",
        after=after,
        resource=Resource.HYPERVISOR,
        inverse=Inverse(StepKind.UNPROVIDE_MACHINE),
    )


def _unknown_archives(spec: EnvSpec, facts: InitFacts) -> Iterator[str]:
    for machine in spec.machines.values():
        if machine.ova_url is not None and machine.ova_url not in facts.archives:
            yield f"machine '{machine.name}': its disks, memory and CPUs are known once '{machine.ova_url}' has been fetched"


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


def _make_keys(spec: EnvSpec, told: list[MachineSpec]) -> Step:
    hosts = {machine.name: names_of(machine, spec.nets) for machine in told if takes_host_key(machine)}
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
            "root_password": root_password(machine),
            "macs": [nic.mac for nic in machine.nics if nic.mac],
            "user_data": dict(machine.cloud_init.user_data) if machine.cloud_init else {},
            "network_config": machine.cloud_init.network_config if machine.cloud_init else None,
            "renew_network": renew_network,
        },
        after=("make-keys",),
        resource=Resource.DISK,
        group=("Bootstrap VMs",),
    )
