"""From an environment back to an init file: what init filled in is left out, so that it can be made anew elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import InitFileError
from ..spec import DEFAULT_DNS_DOMAIN, DiskSpec, DiskType, EnvSpec, History, Json, MachineSpec, NetSpec, NicSpec

WILDCARD = "*"
_SCRIPTS = ("deploy-scripts", "ovirt-scripts")


def init_file(env: EnvSpec, before: EnvSpec | None = None) -> dict[str, Json]:
    """Return the content of an init file that makes such an environment.

    Args:
        env: as its prefix has it.
        before: the init file that it was made from, where it is known: what that one fixed stays fixed.
    """
    was = before or EnvSpec({}, {})
    given = {name for net in env.nets.values() for name in net.mapping} | set(env.machines)
    return {
        "domains": {name: _machine(machine, was.machines.get(name)) for name, machine in env.machines.items()},
        "nets": {name: _net(net, was.nets.get(name), given) for name, net in env.nets.items()},
    }


def without_paths(data: dict[str, Json], paths: Iterable[str]) -> dict[str, Json]:
    """Return the data without what paths name: keys, separated by `/`; `*` stands for every key or item.

    Raises:
        InitFileError: a path leads through something that is not there. What it ends at may be missing.
    """
    from copy import deepcopy

    left = deepcopy(data)
    for path in paths:
        _remove(left, path.strip("/").split("/"), path)
    return left


def _net(net: NetSpec, before: NetSpec | None, given: set[str]) -> dict[str, Json]:
    records = {name: ip for name, ip in net.dns_records.items() if name not in given} if before is None else before.dns_records
    domain = None if net.dns_domain_name == DEFAULT_DNS_DOMAIN else net.dns_domain_name
    gw = before.gw if before else None
    written = replace(net, gw=gw, dns_domain_name=domain, mapping={}, dns_records=records, dns_forward=None)
    data = _beyond(written.to_json(), NetSpec(net.name).to_json())
    return {"type": net.type.value, **{key: value for key, value in data.items() if key not in ("name", "mapping")}}


def _machine(machine: MachineSpec, before: MachineSpec | None) -> dict[str, Json]:
    written = replace(
        machine,
        nics=tuple(_nic(nic, before, index) for index, nic in enumerate(machine.nics)),
        disks=_disks(machine, before),
        ova_url=before.ova_url if before else None,
        distro=before.distro if before else None,
        metadata=_metadata(machine, before),
        mgmt_net="",
        snapshots={},
        history=History(),
    )
    data = _beyond(written.to_json(), MachineSpec(machine.name).to_json())
    kept = {key: value for key, value in data.items() if key not in ("name", "mgmt_net", "snapshots", "nics", "disks")}
    nics, disks = [nic.to_json() for nic in written.nics], [_disk_json(disk) for disk in written.disks]
    return {"memory": machine.memory_mib, "vcpu": machine.vcpu, **kept, "nics": nics, "disks": disks}


def _nic(nic: NicSpec, before: MachineSpec | None, index: int) -> NicSpec:
    fixed = before.nics[index].ip if before and index < len(before.nics) else None
    return NicSpec(nic.net, nic.ip if fixed else None)


def _disks(machine: MachineSpec, before: MachineSpec | None) -> tuple[DiskSpec, ...]:
    was = {disk.name: disk for disk in before.disks} if before else {}
    if before and before.ova_url:
        return before.disks  # the others come out of the archive
    return tuple(_disk(disk, was.get(disk.name)) for disk in machine.disks)


def _disk(disk: DiskSpec, before: DiskSpec | None) -> DiskSpec:
    """Return a disk as an init file has it. Where nobody knows what a `file` disk was made from, it is its image of today."""
    if before is not None and before.type is disk.type:
        return replace(before, dev=disk.dev, size=before.size or disk.size)
    if disk.type is DiskType.TEMPLATE and disk.template_name is None:
        return replace(disk, type=DiskType.FILE, template_version=None, template_type="lago", metadata={})
    return replace(disk, path=disk.path if disk.type is DiskType.FILE else None, metadata={})


def _metadata(machine: MachineSpec, before: MachineSpec | None) -> dict[str, Json]:
    scripts = {key: value for key, value in (before.metadata if before else {}).items() if key in _SCRIPTS}
    return {**{key: value for key, value in machine.metadata.items() if key not in _SCRIPTS}, **scripts}


def _disk_json(disk: DiskSpec) -> dict[str, Json]:
    return {key: value for key, value in disk.to_json().items() if value not in ({}, None)}


def _beyond(data: Mapping[str, Json], default: Mapping[str, Json]) -> dict[str, Json]:
    """Return what is not as it is by default, or empty."""
    return {key: value for key, value in data.items() if value not in (None, [], {}) and (key not in default or default[key] != value)}


def _remove(data: Any, keys: Sequence[str], path: str) -> None:
    first, *rest = keys
    if not rest:
        if not isinstance(data, MutableMapping):
            raise InitFileError(f"'{path}' ends in something that has no keys")
        if first == WILDCARD:
            data.clear()
        else:
            data.pop(first, None)
        return
    for inner in _inner(data, first, path):
        _remove(inner, rest, path)


def _inner(data: Any, key: str, path: str) -> list[Any]:
    if key == WILDCARD and isinstance(data, MutableMapping):
        return list(data.values())
    if key == WILDCARD and isinstance(data, list):
        return list(data)
    if isinstance(data, MutableMapping) and key in data:
        return [data[key]]
    if isinstance(data, list) and key.isdigit() and int(key) < len(data):
        return [data[int(key)]]
    raise InitFileError(f"'{path}' leads nowhere: there is no '{key}'", hint="* stands for every name: 'domains/*/metadata'")
