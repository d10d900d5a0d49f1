"""The environment that a changed init file asks for: what stays keeps its addresses and its disks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..spec import DiskSpec, EnvSpec, MachineSpec, NetSpec, NicSpec
from .diff import LOGIN_KEYS, MACHINE_KEYS, EnvDiff, Fate, ItemDiff

_FIELDS = (
    {key.what: key.field for key in MACHINE_KEYS} | dict(LOGIN_KEYS) | {"distro": "distro", "metadata": "metadata", "other keys": "extra"}
)


def merged(file: EnvSpec, env: EnvSpec, changes: EnvDiff) -> EnvSpec:
    """Return the wanted environment; addresses of what is new are still to be chosen, its disks to be placed."""
    moved = {*changes.names(Fate.REPLACE, "net"), *changes.names(Fate.CREATE, "net")}
    nets = {name: net if name in moved else replace(net, gw=env.nets[name].gw) for name, net in file.nets.items()}
    anew = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.CREATE, "machine")}
    machines = {
        name: _anew(machine, env.machines.get(name), file.nets, nets) if name in anew else _kept(machine, env.machines[name], changes)
        for name, machine in file.machines.items()
    }
    return EnvSpec(machines, nets)


def new_parts(target: EnvSpec, changes: EnvDiff) -> EnvSpec:
    """Return what must be made: whole machines, and of those that stay the disks and scripts that are new."""
    anew = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.CREATE, "machine")}
    parts: dict[str, MachineSpec] = {}
    for name, machine in target.machines.items():
        disks = tuple(disk for disk in machine.disks if f"{name}:{disk.name}" in changes.names(Fate.CREATE, "disk"))
        if name in anew:
            parts[name] = machine
        elif disks or has_changed(changes, name, "metadata"):
            metadata = machine.metadata if has_changed(changes, name, "metadata") else {}
            parts[name] = replace(machine, disks=disks, metadata=metadata, bootstrap=False, ova_url=None)
    return EnvSpec(parts, target.nets)


def completed(target: EnvSpec, placed: Mapping[str, MachineSpec], changes: EnvDiff) -> EnvSpec:
    """Return the target with its new disks and scripts where they will be."""
    anew = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.CREATE, "machine")}
    machines = {
        name: placed[name] if name in anew else _with_parts(machine, placed[name], changes) if name in placed else machine
        for name, machine in target.machines.items()
    }
    return EnvSpec(machines, target.nets)


def has_changed(changes: EnvDiff, machine: str, what: str) -> bool:
    """Whether one value of a machine that stays is another."""
    return any(change.what == what for item in changes.of(Fate.CHANGE, "machine") if item.name == machine for change in item.changes)


def _anew(file: MachineSpec, env: MachineSpec | None, written: Mapping[str, NetSpec], nets: Mapping[str, NetSpec]) -> MachineSpec:
    """Return a machine that is made (again): on nets that stay it keeps its addresses."""
    old = env.nics if env is not None else ()
    nics = tuple(_nic(nic, old[index] if index < len(old) else None, written, nets) for index, nic in enumerate(file.nics))
    return replace(file, nics=nics)


def _nic(nic: NicSpec, old: NicSpec | None, written: Mapping[str, NetSpec], nets: Mapping[str, NetSpec]) -> NicSpec:
    gw = nets[nic.net].gw
    if gw is None:  # a bridge, or a net whose subnet is still to be chosen
        return nic
    if nic.ip is None:
        return replace(nic, ip=old.ip) if old is not None and old.net == nic.net and _is_in(old.ip, gw) else nic
    if written[nic.net].gw is None:  # only its last octet is meant
        return replace(nic, ip=f"{gw.rpartition('.')[0]}.{nic.ip.rpartition('.')[2]}")
    return nic


def _is_in(ip: str | None, gw: str) -> bool:
    return ip is not None and ip.rpartition(".")[0] == gw.rpartition(".")[0]


def _kept(file: MachineSpec, env: MachineSpec, changes: EnvDiff) -> MachineSpec:
    items = [item for item in changes.items if item.owner == file.name and item.kind in ("machine", "disk")]
    values: dict[str, Any] = {}
    for item in items:
        if item.kind == "machine":
            values |= {_FIELDS[change.what]: getattr(file, _FIELDS[change.what]) for change in item.changes}
    return replace(env, **values, disks=_disks(file, env, {item.name: item for item in items if item.kind == "disk"}))


def _disks(file: MachineSpec, env: MachineSpec, items: Mapping[str, ItemDiff]) -> tuple[DiskSpec, ...]:
    """Return the disks that are there, as they are to be, then the new ones."""
    written = {disk.name: disk for disk in file.disks}
    kept = [_disk(disk, written.get(disk.name), items.get(f"{env.name}:{disk.name}")) for disk in env.disks]
    there = {disk.name for disk in env.disks}
    return (*kept, *(disk for disk in file.disks if disk.name not in there))


def _disk(env: DiskSpec, file: DiskSpec | None, item: ItemDiff | None) -> DiskSpec:
    if file is None or item is None or item.fate is not Fate.CHANGE:
        return env
    what = {change.what for change in item.changes}
    changed = replace(env, dev=file.dev if "dev" in what else env.dev, size=file.size if "size" in what else env.size)
    return replace(changed, metadata={**changed.metadata, **file.metadata}) if "metadata" in what else changed


def _with_parts(machine: MachineSpec, placed: MachineSpec, changes: EnvDiff) -> MachineSpec:
    new = {disk.name: disk for disk in placed.disks}
    disks = tuple(new.get(disk.name, disk) for disk in machine.disks)
    metadata = placed.metadata if has_changed(changes, machine.name, "metadata") else machine.metadata
    return replace(machine, disks=disks, metadata=metadata)
