"""What a changed init file asks of an environment that is there. Pure.

What init filled in (addresses, versions, paths, defaults) is no change: a value that the file leaves open matches whatever the
environment has. Where the file is known that the environment was made from, only what differs from that file counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..initfile.values import size_bytes
from ..spec import DhcpRange, DiskSpec, DiskType, EnvSpec, Json, MachineSpec, NetSpec, NetType, NicSpec


class Fate(StrEnum):
    """What happens to a machine, net, disk or nic."""

    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    """It is made anew: what is on it is lost."""
    REMOVE = "remove"


class When(StrEnum):
    """What a change takes."""

    NOW = "now"
    DOWN = "down"
    """The machine or net must be down: it is in force from its next start."""
    ANEW = "anew"
    """The thing must be made anew: what is on it is lost."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs."""

    what: str
    """Key of the init file: `memory`, `gw`, `disk data: size`."""
    before: Json
    after: Json
    when: When

    @property
    def text(self) -> str:
        return f"{self.what}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class ItemDiff:
    """One machine, net, disk or nic that differs."""

    kind: str
    """`machine`, `net`, `disk` or `nic`."""
    name: str
    """`vm0`, `vm0:data`, `vm0:eth1`."""
    fate: Fate
    why: str = ""
    changes: tuple[Change, ...] = ()
    loses: str = ""
    """What is lost by it, as a sentence; "" when nothing is."""

    @property
    def owner(self) -> str:
        """The machine that it belongs to; of a net, the net."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class EnvDiff:
    items: tuple[ItemDiff, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.items

    @property
    def losses(self) -> tuple[str, ...]:
        """One sentence for everything that would be lost."""
        return tuple(item.loses for item in self.items if item.loses)

    def of(self, fate: Fate, kind: str = "") -> tuple[ItemDiff, ...]:
        """Return the items with a fate, of one kind if one is given."""
        return tuple(item for item in self.items if item.fate is fate and kind in ("", item.kind))

    def names(self, fate: Fate, kind: str) -> tuple[str, ...]:
        return tuple(item.name for item in self.of(fate, kind))


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the init file whose value init leaves as it is."""

    what: str
    field: str
    """Of the spec."""
    when: When


MACHINE_KEYS = (
    Key("memory", "memory_mib", When.DOWN),
    Key("vcpu", "vcpu", When.DOWN),
    Key("cpu_model", "cpu_model", When.DOWN),
    Key("cpu_custom", "cpu_custom", When.DOWN),
    Key("vm-type", "vm_type", When.DOWN),
    Key("vm-provider", "vm_provider", When.ANEW),
    Key("ssh", "ssh", When.NOW),
    Key("groups", "groups", When.NOW),
    Key("boot_time_sec", "boot_time_s", When.NOW),
    Key("depends_on", "depends_on", When.NOW),
    Key("ready", "ready", When.NOW),
    Key("bootstrap", "bootstrap", When.ANEW),
    Key("cloud-init", "cloud_init", When.ANEW),
)
LOGIN_KEYS = ("ssh-user", "ssh_user"), ("ssh-password", "ssh_password"), ("root-password", "root_password")
"""A bootstrapped machine is told these once, at its first boot."""

NET_KEYS = (
    Key("type", "type", When.ANEW),
    Key("management", "management", When.ANEW),
    Key("bridge", "bridge", When.DOWN),
    Key("dhcp", "dhcp", When.NOW),
    Key("mtu", "mtu", When.DOWN),
    Key("ipv6", "ipv6", When.DOWN),
    Key("isolated", "isolated", When.DOWN),
)


_DONE = {Fate.REPLACE: "is replaced", Fate.REMOVE: "is removed"}


def diff(file: EnvSpec, env: EnvSpec, before: EnvSpec | None = None) -> EnvDiff:
    """Say what must be done to `env` for it to be what `file` says.

    Args:
        file: the init file as it is now, checked, before anything is filled in.
        env: the environment as its prefix has it.
        before: the init file that the environment was made from, where it is known.
    """
    items = [*_nets(file, env, before)]
    moved = {item.name for item in items if item.fate in (Fate.REPLACE, Fate.REMOVE)}
    for name, machine in file.machines.items():
        if name not in env.machines:
            items.append(ItemDiff("machine", name, Fate.CREATE, "it is new in the init file"))
        else:
            was = before.machines.get(name) if before else None
            items += _Machine(machine, env.machines[name], was, file.nets).items(moved)
    for name, machine in env.machines.items():
        if name not in file.machines:
            items.append(ItemDiff("machine", name, Fate.REMOVE, "it is not in the init file any more", loses=_lost_machine(machine)))
    return EnvDiff(tuple(items))


def stopped_for(changes: EnvDiff) -> dict[str, str]:
    """Return the machines that must be down for their disks or nics, with what of these they are stopped for."""
    found: dict[str, dict[str, None]] = {}
    for item in changes.items:
        is_met = item.fate is not Fate.CHANGE or any(change.when is When.DOWN for change in item.changes)
        if item.kind == "nic" or (item.kind == "disk" and is_met):
            found.setdefault(item.owner, {})[f"{item.kind}s"] = None
    return {name: " and ".join(kinds) for name, kinds in found.items()}


def _nets(file: EnvSpec, env: EnvSpec, before: EnvSpec | None) -> Iterator[ItemDiff]:
    for name, net in file.nets.items():
        if name not in env.nets:
            yield ItemDiff("net", name, Fate.CREATE, "it is new in the init file")
            continue
        changes = tuple(_net_changes(net, env.nets[name], before.nets.get(name) if before else None, _generated(env)))
        anew = [change.what for change in changes if change.when is When.ANEW]
        if anew:
            yield ItemDiff("net", name, Fate.REPLACE, f"{' and '.join(anew)} cannot be changed in place", changes)
        elif changes:
            yield ItemDiff("net", name, Fate.CHANGE, changes=changes)
    for name in env.nets:
        if name not in file.nets:
            yield ItemDiff("net", name, Fate.REMOVE, "it is not in the init file any more", loses=f"the net '{name}'")


def _net_changes(file: NetSpec, env: NetSpec, before: NetSpec | None, generated: Mapping[str, str]) -> Iterator[Change]:
    yield from _compared(NET_KEYS, file, env, before)
    if file.type is NetType.NAT and file.gw is not None and file.gw != env.gw:
        yield Change("gw", env.gw, file.gw, When.ANEW)
    if file.dns_domain_name and file.dns_domain_name != env.dns_domain_name:
        yield Change("dns_domain_name", env.dns_domain_name, file.dns_domain_name, When.DOWN)
    was = dict(before.dns_records) if before else {name: ip for name, ip in env.dns_records.items() if name not in generated}
    wanted = {name: ip for name, ip in file.dns_records.items() if before or name not in generated}
    if wanted != was:
        yield Change("dns_records", was, wanted, When.DOWN)


def _generated(env: EnvSpec) -> dict[str, str]:
    """Return the DNS names that an environment gives itself."""
    names = {name: ip for net in env.nets.values() for name, ip in net.mapping.items()}
    return names | {machine.name: machine.ip or "" for machine in env.machines.values()}


@dataclass(frozen=True, slots=True)
class _Machine:
    file: MachineSpec
    env: MachineSpec
    before: MachineSpec | None
    nets: Mapping[str, NetSpec]
    """Of the file."""

    def items(self, moved: set[str]) -> list[ItemDiff]:
        """Say what differs; a machine is made anew only where its first disk is, or where it is told things at its first boot only."""
        changes = [*self._values()]
        disks = [*self._disks()]
        parts = [*self._nics(moved), *disks]
        anew = [f"{change.what} cannot be changed in place" for change in changes if change.when is When.ANEW]
        anew += [f"disk {part.name.partition(':')[2]} {_DONE[part.fate]}" for part in disks if self._is_system(part)]
        name = self.file.name
        if anew:
            whole = ItemDiff("machine", name, Fate.REPLACE, "; ".join(anew), tuple(changes), _lost_machine(self.env))
            return [whole, *(replace(part, loses="") for part in parts)]
        if changes:
            parts.insert(0, ItemDiff("machine", name, Fate.CHANGE, changes=tuple(changes)))
        return parts

    def _is_system(self, part: ItemDiff) -> bool:
        """Whether a disk that is not kept is the first one, which holds the operating system."""
        first = {disks[0].name for disks in (self.env.disks, self.file.disks) if disks}
        return part.fate in _DONE and part.name.partition(":")[2] in first

    def _values(self) -> Iterator[Change]:
        yield from _compared(MACHINE_KEYS, self.file, self.env, self.before)
        told = When.ANEW if self.env.bootstrap else When.NOW
        yield from _compared([Key(what, field, told) for what, field in LOGIN_KEYS], self.file, self.env, self.before)
        if self.file.distro and self.file.distro != self.env.distro:
            yield Change("distro", self.env.distro, self.file.distro, When.NOW)
        known = self.before.metadata if self.before else _without_scripts(self.env.metadata)
        wanted = self.file.metadata if self.before else _without_scripts(self.file.metadata)
        if dict(wanted) != dict(known):
            yield Change("metadata", dict(known), dict(wanted), When.NOW)
        kept = {disk.name for disk in self.env.disks} & {disk.name for disk in self.file.disks}
        order, wanted_order = ([disk.name for disk in disks if disk.name in kept] for disks in (self.env.disks, self.file.disks))
        if order != wanted_order:
            yield Change("order of disks", order, wanted_order, When.DOWN)
        if self.before and dict(self.file.extra) != dict(self.before.extra):
            yield Change("other keys", dict(self.before.extra), dict(self.file.extra), When.NOW)

    def _nics(self, moved: set[str]) -> Iterator[ItemDiff]:
        name = self.file.name
        for index in range(max(len(self.file.nics), len(self.env.nics))):
            new = self.file.nics[index] if index < len(self.file.nics) else None
            old = self.env.nics[index] if index < len(self.env.nics) else None
            where = f"{name}:eth{index}"
            if old is None and new is not None:
                yield ItemDiff("nic", where, Fate.CREATE, f"a new nic on net '{new.net}'")
            elif new is None and old is not None:
                yield ItemDiff("nic", where, Fate.REMOVE, f"no nic on net '{old.net}' any more")
            elif new is not None and old is not None and not self._same_nic(new, old):
                yield ItemDiff("nic", where, Fate.CHANGE, changes=tuple(_nic_changes(new, old)))
            elif new is not None and new.net in moved:
                yield ItemDiff("nic", where, Fate.CHANGE, f"net '{new.net}' is made anew, so that its addresses are others")

    def _same_nic(self, new: NicSpec, old: NicSpec) -> bool:
        if new.net != old.net:
            return False
        if new.ip is None or old.ip is None:
            return new.ip == old.ip or new.ip is None
        net = self.nets.get(new.net)
        if net is not None and net.gw is None:  # only its last octet is meant
            return new.ip.rpartition(".")[2] == old.ip.rpartition(".")[2]
        return new.ip == old.ip

    def _disks(self) -> Iterator[ItemDiff]:
        old = {disk.name: disk for disk in self.env.disks}
        was = {disk.name: disk for disk in self.before.disks} if self.before else {}
        for index, disk in enumerate(self.file.disks):
            where = f"{self.file.name}:{disk.name}"
            if disk.name in old:
                yield from _disk(where, disk, self.env, old[disk.name], was.get(disk.name))
            elif index == 0 and not self.file.ova_url:
                yield ItemDiff("disk", where, Fate.REPLACE, "the machine starts from its first disk, and that is a new one")
            else:
                yield ItemDiff("disk", where, Fate.CREATE, "it is new in the init file")
        named = {disk.name for disk in self.file.disks}
        made = was or {disk.name: disk for disk in self.env.disks if not self.file.ova_url}
        for name in made:
            if name not in named and name in old:
                loses = _lost_disk(self.env, old[name])
                yield ItemDiff("disk", f"{self.file.name}:{name}", Fate.REMOVE, "it is not in the init file any more", loses=loses)


def _disk(where: str, file: DiskSpec, machine: MachineSpec, env: DiskSpec, before: DiskSpec | None) -> Iterator[ItemDiff]:
    changes = [*_disk_changes(file, env, before)]
    anew = [change.what for change in changes if change.when is When.ANEW]
    if anew:
        why = f"{' and '.join(anew)} cannot be changed in place"
        yield ItemDiff("disk", where, Fate.REPLACE, why, tuple(changes), _lost_disk(machine, env))
    elif changes:
        yield ItemDiff("disk", where, Fate.CHANGE, changes=tuple(changes))


def _disk_changes(file: DiskSpec, env: DiskSpec, before: DiskSpec | None) -> Iterator[Change]:
    was = before or env
    always: list[tuple[str, Json, Json]] = [("type", was.type.value, file.type.value)]
    always.append(("template_name", was.template_name, file.template_name))
    if file.template_version is not None:
        always.append(("template_version", env.template_version, file.template_version))
    if file.type is DiskType.EMPTY:
        always.append(("format", was.format, file.format))
    if before is not None:  # the prefix does not keep where an image came from
        always += [("path", before.path, file.path), ("url", before.url, file.url), ("make_a_copy", before.make_a_copy, file.make_a_copy)]
        always.append(("build", _plain(before.build), _plain(file.build)))
    always.append(("in_place", was.in_place, file.in_place))
    yield from (Change(what, old, new, When.ANEW) for what, old, new in always if old != new)
    if file.size is not None and file.size != was.size:
        grows = was.size is not None and size_bytes(file.size) >= size_bytes(was.size)
        yield Change("size", was.size, file.size, When.DOWN if grows else When.ANEW)
    if file.dev and file.dev != was.dev:
        yield Change("dev", env.dev, file.dev, When.DOWN)
    if before is not None and dict(file.metadata) != dict(before.metadata):
        yield Change("metadata", dict(before.metadata), dict(file.metadata), When.NOW)


def _compared(keys: Iterable[Key], file: object, env: object, before: object | None) -> Iterator[Change]:
    for key in keys:
        wanted, has = getattr(file, key.field), getattr(env, key.field)
        if wanted != has and (before is None or wanted != getattr(before, key.field)):
            yield Change(key.what, _plain(has), _plain(wanted), key.when)


def _plain(value: Any) -> Json:
    """Return a value of a spec as JSON has it."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, DhcpRange):
        return {"start": value.start, "end": value.end}
    return list(value) if isinstance(value, tuple) else value


def _nic_changes(new: NicSpec, old: NicSpec) -> Iterator[Change]:
    if new.net != old.net:
        yield Change("net", old.net, new.net, When.DOWN)
    if new.ip is not None and new.ip != old.ip:
        yield Change("ip", old.ip, new.ip, When.DOWN)


def _without_scripts(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """Init puts copies of scripts into the prefix, and their paths here."""
    return {key: value for key, value in metadata.items() if key not in ("deploy-scripts", "ovirt-scripts")}


def _lost_disk(machine: MachineSpec, disk: DiskSpec) -> str:
    """Say what is lost with one disk; nothing where it is an image of the user's, which stays."""
    if disk.in_place or disk.format == "iso":
        return ""
    kept = [name for name, disks in machine.snapshots.items() if any(each.name == disk.name for each in disks)]
    snapshots = f", in its snapshots ({', '.join(kept)}) too" if kept else ""
    return f"disk '{disk.name}' of machine '{machine.name}': everything on it{snapshots}"


def _lost_machine(machine: MachineSpec) -> str:
    disks = ", ".join(disk.name for disk in machine.disks) or "none"
    snapshots = f", its snapshots ({', '.join(machine.snapshots)})" if machine.snapshots else ""
    return f"machine '{machine.name}': everything on its disks ({disks}){snapshots}"


def _shown(value: Json) -> str:
    if value in (None, "", [], {}):
        return "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
