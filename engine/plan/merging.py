"""The environment that a changed init file asks for: what stays keeps its addresses and its disks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..spec import DiskSpec, EnvSpec, MachineSpec, NetSpec, NicSpec
from ..spec.history import History
from .diff import LOGIN_KEYS, MACHINE_KEYS, EnvDiff, Fate, ItemDiff, stopped_for

_FIELDS = (
    {key.what: key.field for key in MACHINE_KEYS} | dict(LOGIN_KEYS) | {"distro": "distro", "metadata": "metadata", "other keys": "extra"}
)


def merged(file: EnvSpec, env: EnvSpec, changes: EnvDiff) -> EnvSpec:
    """Return the wanted environment; addresses of what is new are still to be chosen, its disks to be placed."""
    moved = {*changes.names(Fate.REPLACE, "net"), *changes.names(Fate.CREATE, "net")}
    nets = {name: net if name in moved else replace(net, gw=env.nets[name].gw) for name, net in file.nets.items()}
    anew = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.CREATE, "machine")}
    machines = {name: machine if name in anew else _kept(machine, env.machines[name], changes) for name, machine in file.machines.items()}
    dressed = {name: _with_addresses(machine, env.machines.get(name), file, nets) for name, machine in machines.items()}
    return EnvSpec(dressed, nets)


def new_parts(target: EnvSpec, changes: EnvDiff) -> EnvSpec:
    """Return what must be made: whole machines, and of those that stay the disks and scripts that are new."""
    anew = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.CREATE, "machine")}
    made = {*changes.names(Fate.CREATE, "disk"), *changes.names(Fate.REPLACE, "disk")}
    parts: dict[str, MachineSpec] = {}
    for name, machine in target.machines.items():
        disks = tuple(disk for disk in machine.disks if f"{name}:{disk.name}" in made)
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


def _with_addresses(machine: MachineSpec, env: MachineSpec | None, file: EnvSpec, nets: Mapping[str, NetSpec]) -> MachineSpec:
    """Return a machine with the nics of the file; on nets that stay they keep their addresses."""
    written = file.machines[machine.name].nics
    old = _partners(written, env.nics if env is not None else ())
    return replace(machine, nics=tuple(_nic(nic, old.get(index), file.nets, nets) for index, nic in enumerate(written)))


def _partners(new: Sequence[NicSpec], old: Sequence[NicSpec]) -> dict[int, NicSpec]:
    """Return for the index of each new nic the old one that it was: at the same place, else the next one on the same net."""
    found = {index: nic for index, nic in enumerate(old) if index < len(new) and new[index].net == nic.net}
    left = [nic for index, nic in enumerate(old) if index not in found]
    for index, nic in enumerate(new):
        partner = next((each for each in left if each.net == nic.net), None)
        if index not in found and partner is not None:
            found[index] = partner
            left.remove(partner)
    return found


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
            named = (change.what for change in item.changes if change.what in _FIELDS)
            values |= {_FIELDS[what]: getattr(file, _FIELDS[what]) for what in named}
    disks = _disks(file, env, {item.name.partition(":")[2]: item for item in items if item.kind == "disk"})
    kept = replace(env, **values, disks=disks, snapshots=_snapshots(env, disks))
    return kept if file.name not in stopped_for(changes) else replace(kept, history=_without_memory(env.history))


def _disks(file: MachineSpec, env: MachineSpec, items: Mapping[str, ItemDiff]) -> tuple[DiskSpec, ...]:
    """Return the disks in the order of the file, after those that it does not name, such as an archive's."""
    there, written = {disk.name: disk for disk in env.disks}, {disk.name for disk in file.disks}
    gone = {name for name, item in items.items() if item.fate is Fate.REMOVE}
    others = (disk for disk in env.disks if disk.name not in written and disk.name not in gone)
    named = (_disk(there[disk.name], disk, items.get(disk.name)) if disk.name in there else disk for disk in file.disks)
    return (*others, *named)


def _snapshots(env: MachineSpec, disks: Sequence[DiskSpec]) -> dict[str, tuple[DiskSpec, ...]]:
    """Return the snapshots with the disks that stay: one that is made anew has no past."""
    stay = {(disk.name, disk.path) for disk in disks}
    names = {disk.name for disk in env.disks if (disk.name, disk.path) in stay}
    return {name: tuple(disk for disk in frozen if disk.name in names) for name, frozen in env.snapshots.items()}


def _without_memory(history: History) -> History:
    """Return what is left of a machine's snapshots when its nics or disks are others: its memory speaks of the old ones."""
    memories = tuple(note.memory for note in history.notes.values() if note.memory)
    notes = {name: replace(note, memory=None, checkpoint=False) if note.memory else note for name, note in history.notes.items()}
    return replace(history, notes=notes, leftovers=(*history.leftovers, *memories))


def _disk(env: DiskSpec, file: DiskSpec, item: ItemDiff | None) -> DiskSpec:
    if item is None:
        return env
    if item.fate is Fate.REPLACE:
        return file
    what = {change.what for change in item.changes}
    changed = replace(env, dev=file.dev if "dev" in what else env.dev, size=file.size if "size" in what else env.size)
    return replace(changed, metadata={**changed.metadata, **file.metadata}) if "metadata" in what else changed


def _with_parts(machine: MachineSpec, placed: MachineSpec, changes: EnvDiff) -> MachineSpec:
    new = {disk.name: disk for disk in placed.disks}
    disks = tuple(new.get(disk.name, disk) for disk in machine.disks)
    metadata = placed.metadata if has_changed(changes, machine.name, "metadata") else machine.metadata
    return replace(machine, disks=disks, metadata=metadata)
