"""A checked init file → `EnvSpec`: defaults filled in, paths made absolute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from string import ascii_lowercase
from typing import Any

from ..spec import (
    DEFAULT_DNS_DOMAIN,
    EXTERNAL_PROVIDER,
    DhcpRange,
    DiskSpec,
    DiskType,
    EnvSpec,
    MachineSpec,
    NetSpec,
    NetType,
    NicSpec,
    Readiness,
    SshAccess,
)
from ..spec import CloudInit as CloudInitSpec
from .facts import Facts
from .model import CloudInit, Disk, Domain, Net, Ready, Section, Ssh, Status
from .rules.disks import is_really_empty
from .rules.machines import OLD_SCRIPTS, SCRIPTS
from .rules.scope import management_nets
from .validate import InitFile
from .values import expand_path, expand_url

_PASSED_ON = frozenset((Status.KEPT, Status.DEPRECATED))
_DEVICES = tuple("vd" + "".join(letters) for length in (1, 2) for letters in product(ascii_lowercase, repeat=length))


def build(init: InitFile, facts: Facts) -> EnvSpec:
    """Make the spec of `init`, which has no errors."""
    management = management_nets(init.nets)
    nets = {name: _net(name, net, init.raw_nets[name], name in management) for name, net in init.nets.items()}
    machines = {name: _machine(name, domain, init.raw_domains[name], facts) for name, domain in init.domains.items()}
    return EnvSpec(machines=machines, nets=nets)


def _net(name: str, net: Net, raw: Mapping[str, Any], is_management: bool) -> NetSpec:
    has_addresses = net.kind == "nat"
    return NetSpec(
        name=name,
        type=NetType(net.kind),
        gw=net.gw,
        dhcp=DhcpRange(net.dhcp.start, net.dhcp.end) if net.dhcp else None,
        management=is_management,
        dns_domain_name=net.dns_domain_name or (DEFAULT_DNS_DOMAIN if is_management else None),
        dns_records=dict(net.dns_records or {}),
        mtu=net.mtu,
        ipv6=net.ipv6 if has_addresses else None,
        isolated=net.isolated and has_addresses,
        bridge=net.bridge,
        extra=_extra(net, raw),
    )


def _machine(name: str, domain: Domain, raw: Mapping[str, Any], facts: Facts) -> MachineSpec:
    external = domain.vm_provider == EXTERNAL_PROVIDER
    return MachineSpec(
        name=name,
        memory_mib=domain.memory,
        vcpu=domain.vcpu,
        cpu_model=domain.cpu_model,
        cpu_custom=domain.cpu_custom,
        nics=() if external else tuple([NicSpec(net=nic.net, ip=nic.ip) for nic in domain.nics]),
        disks=_disks(domain.disks, raw["disks"], facts) if domain.disks and not external else (),
        depends_on=tuple(dict.fromkeys(domain.depends_on)),
        ready=_readiness(domain.ready) if domain.ready else None,
        cloud_init=_cloud_init(domain.cloud_init) if domain.cloud_init else None,
        metadata=_metadata(domain.metadata, facts) if domain.metadata else {},
        groups=tuple(domain.groups),
        distro=domain.distro,
        ssh_user=domain.ssh_user,
        ssh_password=domain.ssh_password,
        root_password=domain.root_password,
        bootstrap=domain.bootstrap,
        bootstrap_asked=domain.bootstrap and "bootstrap" in raw,
        boot_time_s=domain.boot_time_sec,
        vm_type=domain.vm_type,
        vm_provider=domain.vm_provider,
        ssh=_ssh(domain.ssh, facts) if external and domain.ssh else None,
        ova_url=_url(domain.url, facts) if domain.kind == "ova" else None,
        extra=_extra(domain, raw),
    )


def _readiness(ready: Ready) -> Readiness:
    return Readiness(ready.tcp, ready.command, ready.log, ready.timeout_sec)


def _ssh(said: Ssh, facts: Facts) -> SshAccess:
    return SshAccess(said.address, said.port, tuple([expand_path(key, facts.variables, facts.files_base) for key in said.key_files]))


def _cloud_init(said: CloudInit) -> CloudInitSpec | None:
    if not said.user_data and said.network_config is None:
        return None
    return CloudInitSpec(said.user_data or {}, said.network_config)


def _metadata(metadata: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Make the paths of deploy scripts absolute, under their key of today."""
    scripts = metadata.get(SCRIPTS, metadata.get(OLD_SCRIPTS))
    kept = {key: value for key, value in metadata.items() if key not in (SCRIPTS, OLD_SCRIPTS)}
    if scripts:
        kept[SCRIPTS] = [_script(script, facts) for script in scripts]
    return kept


def _script(written: str, facts: Facts) -> str:
    path = expand_path(written, facts.variables, facts.files_base)
    if facts.scripts_base is None or facts.exists is None or facts.exists(path):
        return path
    return expand_path(written, facts.variables, facts.scripts_base)


def _disks(disks: Iterable[Disk], raw: Iterable[Mapping[str, Any]], facts: Facts) -> tuple[DiskSpec, ...]:
    named = {disk.dev or disk.device for disk in disks}
    free = (device for device in _DEVICES if device not in named)
    return tuple([_disk(disk, disk.dev or disk.device or next(free), written, facts) for disk, written in zip(disks, raw, strict=True)])


def _disk(disk: Disk, dev: str, raw: Mapping[str, Any], facts: Facts) -> DiskSpec:
    return DiskSpec(
        name=disk.name,
        type=DiskType.EMPTY if is_really_empty(disk) else DiskType(disk.kind),
        dev=dev,
        format=disk.format,
        size=disk.size,
        template_name=disk.template_name,
        template_version=disk.template_version,
        template_type=disk.template_type,
        path=_path(disk, facts),
        url=_url(disk.url, facts) if disk.kind == "file" else None,
        sha256=disk.sha256,
        sha1=disk.sha1,
        make_a_copy=disk.make_a_copy,
        in_place=disk.in_place,
        metadata=disk.metadata or {},
        build=tuple(disk.build or ()),
        extra=_extra(disk, raw),
    )


def _path(disk: Disk, facts: Facts) -> str | None:
    means_an_image = disk.kind == "file" or (disk.kind == "template" and disk.template_type == "qcow2")
    if disk.path is None or disk.url is not None or not means_an_image:
        return None
    return expand_path(disk.path, facts.variables, facts.files_base)


def _url(written: str | None, facts: Facts) -> str | None:
    return None if written is None else expand_url(written, facts.variables, facts.files_base)


def _extra(section: Section, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is only kept: unknown keys as they are, and those of later verbs as they were understood."""
    known = type(section).keys()
    kept = {}
    for key, value in raw.items():
        info = known.get(key)
        if info is None:
            kept[key] = value
        elif info.status in _PASSED_ON:
            kept[key] = getattr(section, info.field)
    return kept
