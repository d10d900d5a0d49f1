"""An environment as data: what an init file means, and what a prefix remembers.

Plain dataclasses, so that reading a prefix loads no validator.

Key names are the predecessor's (`vm-type`, `mgmt_net`, `dev` …): `to_json` and `from_json` are their only place.
Keys that lagotui does not know are kept in `extra` and written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DISK_KEYS = _words("name type dev format size template_name template_version template_type path make_a_copy in_place metadata")
_MACHINE_KEYS = _words(
    "name memory vcpu distro ssh-user ssh-password root-password bootstrap boot_time_sec vm-type vm-provider mgmt_net"
    " groups metadata nics disks snapshots"
)
_NET_KEYS = _words("name type gw dhcp management dns_domain_name dns_records mapping dns_forward mtu")

Json = Any
"""Whatever `json` reads and writes."""

DEFAULT_MEMORY_MIB = 1024
DEFAULT_VCPU = 2
DEFAULT_BOOT_TIME_S = 600
DEFAULT_DNS_DOMAIN = "lago.local"
DEFAULT_MTU = 1500


class MachineStatus(StrEnum):
    """State of a machine, in the predecessor's words."""

    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    STOPPING = "begin shut down"
    SHUT_OFF = "shut off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"
    NO_STATE = "no state"
    UNKNOWN = "unknown"
    DOWN = "down"
    """The host does not know the machine: it is not started."""
    UNREADABLE = "failed to get state"

    @property
    def is_up(self) -> bool:
        """Whether the machine holds memory on its host."""
        return self not in (MachineStatus.DOWN, MachineStatus.SHUT_OFF, MachineStatus.CRASHED, MachineStatus.UNREADABLE)


class DiskType(StrEnum):
    TEMPLATE = "template"
    EMPTY = "empty"
    FILE = "file"


class NetType(StrEnum):
    NAT = "nat"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class EnvRef:
    """Names one environment to a provider."""

    prefix: str
    """Absolute path of the prefix directory."""
    uuid: str
    """32 hex digits."""

    def scoped_name(self, name: str) -> str:
        """Return the name of a machine on its host: `763e40cc-vm1`."""
        return f"{self.uuid[:8]}-{name}"

    def scoped_net_name(self, name: str) -> str:
        """Return the name of a network on its host, at most 15 characters: `763e-lago`; long names become a hash."""
        from hashlib import sha1

        room = 15 - 4 - 1
        short = name if len(name) <= room else sha1(name.encode()).hexdigest()[:room]
        return f"{self.uuid[:4]}-{short}"


@dataclass(frozen=True, slots=True)
class NicSpec:
    net: str
    ip: str | None = None
    """None until the address plan has chosen one, and on nets without addresses."""
    mtu: int | None = None

    @property
    def mac(self) -> str | None:
        """`54:52:` and the address in hex; None without an address."""
        if self.ip is None:
            return None
        return "54:52:" + ":".join(f"{int(octet):02x}" for octet in self.ip.split("."))

    def to_json(self) -> dict[str, Json]:
        return _without_none({"net": self.net, "ip": self.ip, "mtu": self.mtu})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(net=data["net"], ip=data.get("ip"), mtu=data.get("mtu"))


@dataclass(frozen=True, slots=True)
class DiskSpec:
    name: str
    type: DiskType
    dev: str
    """Name in the guest: `vda` is virtio-blk, `sda` virtio-scsi."""
    format: str = "qcow2"
    """`qcow2`, `raw` or `iso`; for file disks what the image really is is probed."""
    size: str | None = None
    """As qemu-img takes it, e.g. `10G`; None keeps the size of the backing image."""
    template_name: str | None = None
    template_version: str | None = None
    """None means the newest; the plan fills it in."""
    template_type: str = "lago"
    path: str | None = None
    """Absolute path of the image: for `file` disks the user's, after init that of the disk in use."""
    make_a_copy: bool = False
    in_place: bool = False
    """`file` disks only: let the machine write the user's own image."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        data = {
            "name": self.name,
            "type": self.type.value,
            "dev": self.dev,
            "format": self.format,
            "size": self.size,
            "template_name": self.template_name,
            "template_version": self.template_version,
            "template_type": self.template_type if self.type is DiskType.TEMPLATE else None,
            "path": self.path,
            "make_a_copy": self.make_a_copy or None,
            "in_place": self.in_place or None,
        }
        return {**self.extra, **_without_none(data), "metadata": dict(self.metadata)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(
            name=data["name"],
            type=DiskType(data["type"]),
            dev=data.get("dev", ""),
            format=data.get("format", "qcow2"),
            size=data.get("size"),
            template_name=data.get("template_name"),
            template_version=data.get("template_version"),
            template_type=data.get("template_type", "lago"),
            path=data.get("path"),
            make_a_copy=bool(data.get("make_a_copy", False)),
            in_place=bool(data.get("in_place", False)),
            metadata=data.get("metadata") or {},
            extra=_beyond(data, _DISK_KEYS),
        )


@dataclass(frozen=True, slots=True)
class MachineSpec:
    name: str
    memory_mib: int = DEFAULT_MEMORY_MIB
    vcpu: int = DEFAULT_VCPU
    nics: tuple[NicSpec, ...] = ()
    disks: tuple[DiskSpec, ...] = ()
    """The first one is the OS disk."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    distro: str | None = None
    ssh_user: str = "root"
    ssh_password: str | None = None
    """None: keys only."""
    root_password: str | None = None
    bootstrap: bool = True
    boot_time_s: int = DEFAULT_BOOT_TIME_S
    """Overall time that ssh may take to answer."""
    vm_type: str = "default"
    vm_provider: str = "local-libvirt"
    mgmt_net: str = ""
    """Filled in by the plan: the management net that the machine is on."""
    snapshots: Mapping[str, tuple[DiskSpec, ...]] = field(default_factory=dict)
    """Snapshot name → the disks with `path` = the frozen image."""
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def ip(self) -> str | None:
        """The address on the management net; None when it has none."""
        return next((nic.ip for nic in self.nics if nic.net == self.mgmt_net and nic.ip), None)

    def with_disks(self, disks: tuple[DiskSpec, ...]) -> MachineSpec:
        return replace(self, disks=disks)

    def to_json(self) -> dict[str, Json]:
        data = {
            "name": self.name,
            "memory": self.memory_mib,
            "vcpu": self.vcpu,
            "distro": self.distro,
            "ssh-user": self.ssh_user,
            "ssh-password": self.ssh_password,
            "root-password": self.root_password,
            "bootstrap": None if self.bootstrap else False,
            "boot_time_sec": self.boot_time_s,
            "vm-type": self.vm_type,
            "vm-provider": self.vm_provider,
            "mgmt_net": self.mgmt_net,
        }
        return {
            **self.extra,
            **_without_none(data),
            "groups": list(self.groups),
            "metadata": dict(self.metadata),
            "nics": [nic.to_json() for nic in self.nics],
            "disks": [disk.to_json() for disk in self.disks],
            "snapshots": {name: [disk.to_json() for disk in disks] for name, disks in self.snapshots.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        groups = data.get("groups") or ()
        snapshots = data.get("snapshots") or {}
        return cls(
            name=data["name"],
            memory_mib=int(data.get("memory", DEFAULT_MEMORY_MIB)),
            vcpu=int(data.get("vcpu", DEFAULT_VCPU)),
            nics=tuple(NicSpec.from_json(nic) for nic in data.get("nics", ())),
            disks=tuple(DiskSpec.from_json(disk) for disk in data.get("disks", ())),
            metadata=data.get("metadata") or {},
            groups=(groups,) if isinstance(groups, str) else tuple(groups),
            distro=data.get("distro"),
            ssh_user=data.get("ssh-user") or "root",
            ssh_password=_text_or_none(data.get("ssh-password")),
            root_password=_text_or_none(data.get("root-password")),
            bootstrap=bool(data.get("bootstrap", True)),
            boot_time_s=int(data.get("boot_time_sec", DEFAULT_BOOT_TIME_S)),
            vm_type=data.get("vm-type", "default"),
            vm_provider=data.get("vm-provider", "local-libvirt"),
            mgmt_net=data.get("mgmt_net", ""),
            snapshots={name: tuple(DiskSpec.from_json(disk) for disk in disks) for name, disks in snapshots.items()},
            extra=_beyond(data, _MACHINE_KEYS),
        )


@dataclass(frozen=True, slots=True)
class DhcpRange:
    """Last octets of the pool for machines that have no planned address."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NetSpec:
    name: str
    type: NetType = NetType.NAT
    gw: str | None = None
    """Address of the gateway; names the /24. None until the plan has leased a subnet, and on bridges."""
    dhcp: DhcpRange | None = None
    management: bool = False
    dns_domain_name: str | None = None
    dns_records: Mapping[str, str] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    """DNS name → address of every NIC on this net; made by the plan."""
    dns_forward: str | None = None
    """Nets without management: the gateway whose DNS knows the names."""
    mtu: int = DEFAULT_MTU
    extra: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        data = {
            "gw": self.gw,
            "dhcp": {"start": self.dhcp.start, "end": self.dhcp.end} if self.dhcp else None,
            "dns_domain_name": self.dns_domain_name,
            "dns_forward": self.dns_forward,
            "dns_records": dict(self.dns_records) or None,
            "mtu": None if self.mtu == DEFAULT_MTU else self.mtu,
        }
        return {
            **self.extra,
            **_without_none(data),
            "name": self.name,
            "type": self.type.value,
            "management": self.management,
            "mapping": dict(self.mapping),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        dhcp = data.get("dhcp")
        return cls(
            name=data["name"],
            type=NetType(data.get("type", "nat")),
            gw=data.get("gw"),
            dhcp=DhcpRange(int(dhcp["start"]), int(dhcp["end"])) if dhcp else None,
            management=data.get("management") is True,
            dns_domain_name=data.get("dns_domain_name"),
            dns_records=data.get("dns_records") or {},
            mapping=data.get("mapping") or {},
            dns_forward=data.get("dns_forward"),
            mtu=int(data.get("mtu", DEFAULT_MTU)),
            extra=_beyond(data, _NET_KEYS),
        )


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """A whole environment; both maps are in file order."""

    machines: Mapping[str, MachineSpec]
    nets: Mapping[str, NetSpec]


def _beyond(data: Mapping[str, Json], known: frozenset[str]) -> dict[str, Json]:
    return {key: value for key, value in data.items() if key not in known}


def _without_none(data: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in data.items() if value is not None}


def _text_or_none(value: Json) -> str | None:
    return None if value is None else str(value)
