"""Machines: what they are, when they are ready, what they are told at their first boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Self

from .disks import DiskSpec
from .history import KEY as HISTORY_KEY
from .history import History
from .json import Json, beyond, text_or_none, without_none, words
from .nets import NicSpec

DEFAULT_MEMORY_MIB = 1024
DEFAULT_VCPU = 2
DEFAULT_BOOT_TIME_S = 600

_KEYS = words(
    "name memory vcpu cpu_model cpu_custom depends_on ready cloud-init distro ssh-user ssh-password root-password bootstrap"
    " boot_time_sec vm-type vm-provider ssh type url mgmt_net groups metadata nics disks snapshots"
) | {HISTORY_KEY}


LOCAL_PROVIDER = "local-libvirt"
EXTERNAL_PROVIDER = "ssh"
"""`vm-provider` of machines that exist already and are only reached by ssh."""
SSH_PORT = 22


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

    @property
    def phrase(self) -> str:
        """For "the machine is …"."""
        return "going down" if self is MachineStatus.STOPPING else self.value


class ServiceState(IntEnum):
    """State of a service in a machine, with the predecessor's numbers."""

    MISSING = 0
    INACTIVE = 1
    ACTIVE = 2


@dataclass(frozen=True, slots=True)
class Readiness:
    """When a machine counts as ready, beyond ssh; everything that is given must hold."""

    tcp: int | None = None
    """A port of the machine that takes connections."""
    command: str | None = None
    """A command in the machine that exits 0."""
    log: str | None = None
    """A regular expression that a line of its serial console matches."""
    timeout_s: int = DEFAULT_BOOT_TIME_S

    def to_json(self) -> dict[str, Json]:
        return without_none({"tcp": self.tcp, "command": self.command, "log": self.log, "timeout_sec": self.timeout_s})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        timeout_s = int(data.get("timeout_sec", DEFAULT_BOOT_TIME_S))
        return cls(data.get("tcp"), data.get("command"), data.get("log"), timeout_s)


@dataclass(frozen=True, slots=True)
class CloudInit:
    """What the machine's seed carries beyond what every seed does."""

    user_data: Mapping[str, Json] = field(default_factory=dict)
    """Merged into our `#cloud-config`; our keys, names and host keys win."""
    network_config: Mapping[str, Json] | None = None
    """Version 2; takes the place of the one that we write."""

    def to_json(self) -> dict[str, Json]:
        return without_none({"user-data": dict(self.user_data) or None, "network-config": self.network_config})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(data.get("user-data") or {}, data.get("network-config"))


@dataclass(frozen=True, slots=True)
class SshAccess:
    """How a machine is reached that exists already."""

    address: str
    """An address or a name."""
    port: int = SSH_PORT
    keys: tuple[str, ...] = ()
    """Absolute paths of the user's private keys; none: those of the agent, and those that OpenSSH takes by itself."""

    def to_json(self) -> dict[str, Json]:
        return {"address": self.address, "port": self.port, "keys": list(self.keys)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(data["address"], int(data.get("port", SSH_PORT)), tuple(data.get("keys") or ()))


@dataclass(frozen=True, slots=True)
class MachineSpec:
    name: str
    memory_mib: int = DEFAULT_MEMORY_MIB
    vcpu: int = DEFAULT_VCPU
    cpu_model: str | None = None
    """A model of libvirt's; None takes the host's."""
    cpu_custom: Mapping[str, Json] | None = None
    """A whole `<cpu>` element: keys are elements, `@key` attributes, `#text` text. Excludes `cpu_model`."""
    nics: tuple[NicSpec, ...] = ()
    disks: tuple[DiskSpec, ...] = ()
    """The first one is the OS disk."""
    depends_on: tuple[str, ...] = ()
    """Machines that must be ready before this one is started."""
    ready: Readiness | None = None
    cloud_init: CloudInit | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    distro: str | None = None
    ssh_user: str = "root"
    ssh_password: str | None = None
    """None: keys only."""
    root_password: str | None = None
    bootstrap: bool = True
    bootstrap_asked: bool = False
    """The init file says so itself: an image of which nothing is known is prepared too."""
    boot_time_s: int = DEFAULT_BOOT_TIME_S
    """Overall time that ssh may take to answer."""
    vm_type: str = "default"
    vm_provider: str = LOCAL_PROVIDER
    ssh: SshAccess | None = None
    """Of machines that exist already."""
    ova_url: str | None = None
    """The oVirt export that the machine comes from: keys `type: ova` and `url`."""
    mgmt_net: str = ""
    """Filled in by the plan: the management net that the machine is on."""
    snapshots: Mapping[str, tuple[DiskSpec, ...]] = field(default_factory=dict)
    """Snapshot name → the disks with `path` = the frozen image."""
    history: History = field(default_factory=History)
    """How its snapshots hang together."""
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def ip(self) -> str | None:
        """The address on the management net, or the one that the init file gives it; None when it has none."""
        if self.ssh is not None:
            return self.ssh.address
        return next((nic.ip for nic in self.nics if nic.net == self.mgmt_net and nic.ip), None)

    @property
    def is_provided(self) -> bool:
        """Whether a plugin runs it."""
        return self.vm_provider not in (LOCAL_PROVIDER, EXTERNAL_PROVIDER)

    @property
    def is_external(self) -> bool:
        """Whether it exists without us: no host of ours starts or stops it, and it has no disks of ours."""
        return self.vm_provider == EXTERNAL_PROVIDER

    def with_disks(self, disks: tuple[DiskSpec, ...]) -> MachineSpec:
        return replace(self, disks=disks)

    def to_json(self) -> dict[str, Json]:
        data = {
            "name": self.name,
            "memory": self.memory_mib,
            "vcpu": self.vcpu,
            "cpu_model": self.cpu_model,
            "cpu_custom": self.cpu_custom,
            "depends_on": list(self.depends_on) or None,
            "ready": self.ready.to_json() if self.ready else None,
            "cloud-init": self.cloud_init.to_json() if self.cloud_init else None,
            "distro": self.distro,
            "ssh-user": self.ssh_user,
            "ssh-password": self.ssh_password,
            "root-password": self.root_password,
            "bootstrap": self.bootstrap if self.bootstrap_asked or not self.bootstrap else None,
            "boot_time_sec": self.boot_time_s,
            "vm-type": self.vm_type,
            "vm-provider": self.vm_provider,
            "ssh": self.ssh.to_json() if self.ssh else None,
            "type": "ova" if self.ova_url else None,
            "url": self.ova_url,
            "mgmt_net": self.mgmt_net,
        }
        return {
            **self.extra,
            **without_none(data),
            "groups": list(self.groups),
            "metadata": dict(self.metadata),
            "nics": [nic.to_json() for nic in self.nics],
            "disks": [disk.to_json() for disk in self.disks],
            "snapshots": {name: [disk.to_json() for disk in disks] for name, disks in self.snapshots.items()},
            **({HISTORY_KEY: self.history.to_json()} if self.history != History() else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        groups = data.get("groups") or ()
        snapshots = data.get("snapshots") or {}
        return cls(
            name=data["name"],
            memory_mib=int(data.get("memory", DEFAULT_MEMORY_MIB)),
            vcpu=int(data.get("vcpu", DEFAULT_VCPU)),
            cpu_model=data.get("cpu_model"),
            cpu_custom=data.get("cpu_custom"),
            depends_on=tuple(data.get("depends_on") or ()),
            ready=Readiness.from_json(data["ready"]) if data.get("ready") else None,
            cloud_init=CloudInit.from_json(data["cloud-init"]) if data.get("cloud-init") else None,
            nics=tuple(NicSpec.from_json(nic) for nic in data.get("nics", ())),
            disks=tuple(DiskSpec.from_json(disk) for disk in data.get("disks", ())),
            metadata=data.get("metadata") or {},
            groups=(groups,) if isinstance(groups, str) else tuple(groups),
            distro=data.get("distro"),
            ssh_user=data.get("ssh-user") or "root",
            ssh_password=text_or_none(data.get("ssh-password")),
            root_password=text_or_none(data.get("root-password")),
            bootstrap=bool(data.get("bootstrap", True)),
            bootstrap_asked=data.get("bootstrap") is True,
            boot_time_s=int(data.get("boot_time_sec", DEFAULT_BOOT_TIME_S)),
            vm_type=data.get("vm-type", "default"),
            vm_provider=data.get("vm-provider", LOCAL_PROVIDER),
            ssh=SshAccess.from_json(data["ssh"]) if data.get("ssh") else None,
            ova_url=data.get("url") if data.get("type") == "ova" else None,
            mgmt_net=data.get("mgmt_net", ""),
            snapshots={name: tuple(DiskSpec.from_json(disk) for disk in disks) for name, disks in snapshots.items()},
            history=History.from_json(data.get(HISTORY_KEY) or {}, snapshots),
            extra=beyond(data, _KEYS),
        )
