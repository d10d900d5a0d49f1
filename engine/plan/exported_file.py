"""The init file of an export: the environment as it is, on the exported images, without what makes it clash with the original. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ..spec import DEFAULT_DNS_DOMAIN, DiskSpec, DiskType, EnvSpec, Json, MachineSpec, NetSpec
from .disks import ISO, LAYERED
from .export import SKIP, Exported, ExportedDisk
from .generating import init_file
from .scripts import KEY as SCRIPTS_KEY

FOLDER = "$LAGO_INITFILE_PATH"
"""What paths begin with: the folder of the init file, wherever it is taken."""


def exported_file(env: EnvSpec, export: Exported, *, exact: bool = False) -> dict[str, Json]:
    """Return the content of the init file.

    Args:
        env: the environment.
        export: what of it is exported.
        exact: keep subnets, addresses and passwords.
    """
    kept = {machine.name for machine in export.machines}
    machines = {machine.name: _machine(machine, export, kept, exact=exact) for machine in export.machines}
    given = {name for net in env.nets.values() for name in net.mapping} | set(env.machines)
    nets = {name: _net(net, given, exact=exact) for name, net in env.nets.items()}
    said = EnvSpec(machines, nets)
    return init_file(said, said)  # all that is left is meant to stay


def left_out(export: Exported) -> list[str]:
    """Return the machines whose passwords are not in the init file."""
    return [machine.name for machine in export.machines if machine.ssh_password or machine.root_password]


def _net(net: NetSpec, given: Collection[str], *, exact: bool) -> NetSpec:
    records = {name: ip for name, ip in net.dns_records.items() if name not in given}
    domain = None if net.dns_domain_name == DEFAULT_DNS_DOMAIN else net.dns_domain_name
    return replace(net, gw=net.gw if exact else None, dns_records=records, dns_domain_name=domain)


def _machine(machine: MachineSpec, export: Exported, kept: Collection[str], *, exact: bool) -> MachineSpec:
    scripts = [f"{FOLDER}/{export.scripts[script]}" for script in machine.metadata.get(SCRIPTS_KEY) or ()]
    metadata = {key: value for key, value in machine.metadata.items() if key != SCRIPTS_KEY}
    return replace(
        machine,
        disks=tuple(_disk(each) for each in export.disks[machine.name]),
        nics=machine.nics if exact else tuple(replace(nic, ip=None) for nic in machine.nics),
        depends_on=tuple(name for name in machine.depends_on if name in kept),
        ssh_password=machine.ssh_password if exact else None,
        root_password=machine.root_password if exact else None,
        ova_url=None,  # its disks are exported with the others
        metadata={**metadata, SCRIPTS_KEY: scripts} if scripts else metadata,
        extra=_without_skip(machine.extra),
    )


def _disk(each: ExportedDisk) -> DiskSpec:
    disk = each.disk
    said = replace(
        disk,
        path=f"{FOLDER}/{each.name}",
        format=each.format,
        size=None,  # images know it
        url=None,
        sha256=None,
        sha1=None,
        in_place=False,
        metadata={},  # lies beside the image
        build=(),  # it is built
        extra=_without_skip(disk.extra),
    )
    if disk.type is DiskType.TEMPLATE:
        return replace(said, template_type=LAYERED)
    return replace(said, type=DiskType.FILE, make_a_copy=disk.format != ISO and (disk.make_a_copy or disk.type is DiskType.EMPTY))


def _without_skip(extra: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in extra.items() if key != SKIP}
