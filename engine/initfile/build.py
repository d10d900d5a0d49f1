"""A checked init file → `EnvSpec`: defaults filled in, paths made absolute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from string import ascii_lowercase
from typing import Any

from ..spec import DEFAULT_DNS_DOMAIN, DhcpRange, DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec, NetType, NicSpec
from .check import Facts, management_nets
from .model import Disk, Domain, Net, Section, Status
from .validate import InitFile
from .values import expand_path

_DEVICES = tuple("vd" + "".join(letters) for length in (1, 2) for letters in product(ascii_lowercase, repeat=length))


def build(init: InitFile, facts: Facts) -> EnvSpec:
    """Make the spec of `init`, which has no errors."""
    management = management_nets(init.nets)
    nets = {name: _net(name, net, init.raw_nets[name], name in management) for name, net in init.nets.items()}
    machines = {name: _machine(name, domain, init.raw_domains[name], facts) for name, domain in init.domains.items()}
    return EnvSpec(machines=machines, nets=nets)


def _net(name: str, net: Net, raw: Mapping[str, Any], is_management: bool) -> NetSpec:
    return NetSpec(
        name=name,
        type=NetType(net.kind),
        gw=net.gw,
        dhcp=DhcpRange(net.dhcp.start, net.dhcp.end) if net.dhcp else None,
        management=is_management,
        dns_domain_name=net.dns_domain_name or (DEFAULT_DNS_DOMAIN if is_management else None),
        dns_records=dict(net.dns_records or {}),
        mtu=net.mtu,
        extra=_extra(Net, raw),
    )


def _machine(name: str, domain: Domain, raw: Mapping[str, Any], facts: Facts) -> MachineSpec:
    return MachineSpec(
        name=name,
        memory_mib=domain.memory,
        vcpu=domain.vcpu,
        nics=tuple(NicSpec(net=nic.net, ip=nic.ip) for nic in domain.nics),
        disks=_disks(domain.disks, raw.get("disks") or (), facts),
        metadata=domain.metadata or {},
        groups=tuple(domain.groups),
        distro=domain.distro,
        ssh_user=domain.ssh_user,
        ssh_password=domain.ssh_password,
        root_password=domain.root_password,
        bootstrap=domain.bootstrap,
        boot_time_s=domain.boot_time_sec,
        vm_type=domain.vm_type,
        vm_provider=domain.vm_provider,
        extra=_extra(Domain, raw),
    )


def _disks(disks: Iterable[Disk], raw: Iterable[Mapping[str, Any]], facts: Facts) -> tuple[DiskSpec, ...]:
    named = {disk.dev or disk.device for disk in disks}
    free = (device for device in _DEVICES if device not in named)
    return tuple(_disk(disk, disk.dev or disk.device or next(free), written, facts) for disk, written in zip(disks, raw, strict=True))


def _disk(disk: Disk, dev: str, raw: Mapping[str, Any], facts: Facts) -> DiskSpec:
    return DiskSpec(
        name=disk.name,
        type=DiskType(disk.kind),
        dev=dev,
        format=disk.format,
        size=disk.size,
        template_name=disk.template_name,
        template_version=disk.template_version,
        template_type=disk.template_type,
        path=_path(disk, facts),
        make_a_copy=disk.make_a_copy,
        in_place=disk.in_place,
        metadata=disk.metadata or {},
        extra=_extra(Disk, raw),
    )


def _path(disk: Disk, facts: Facts) -> str | None:
    if disk.path is None or disk.kind != "file":
        return None
    return expand_path(disk.path, facts.variables, facts.files_base)


def _extra(section: type[Section], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is only kept: unknown keys, and those of later verbs."""
    known = section.keys()
    passed_on = (Status.KEPT, Status.LATER)
    return {key: value for key, value in raw.items() if key not in known or known[key].status in passed_on}
