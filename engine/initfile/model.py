"""The keys of the init file: names, types, defaults and what they mean. Everything else about keys is derived from here.

A `Status` on a key says what lagotui does with it; a key without one is honoured. Loading this module loads pydantic (a fifth of
a second), so nothing on the way of `status`, `shell` or `stop` imports it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..spec import DEFAULT_BOOT_TIME_S, DEFAULT_MEMORY_MIB, DEFAULT_MTU, DEFAULT_VCPU, SSH_PORT
from .kinds import (
    Build,
    Cpu,
    Cpus,
    Device,
    Flag,
    Interface,
    Mapping,
    Memory,
    Mtu,
    NetworkConfig,
    Octet,
    Pattern,
    Port,
    Seconds,
    Sha1,
    Sha256,
    Size,
    Text,
    Texts,
    Url,
    UserData,
)


class Status(StrEnum):
    HONOURED = "honoured"
    KEPT = "kept"
    """Known and passed on: it matters to a later verb."""
    DEPRECATED = "deprecated"
    """Known and passed on: there is a better key, and a warning says so."""
    GENERATED = "generated"
    """Written by the program into a saved environment; of no meaning in an init file."""


class Names(StrEnum):
    """What the values of a key are names of."""

    NOTHING = ""
    NETS = "nets"
    MACHINES = "machines"
    PROTOTYPES = "prototypes"
    TEMPLATES = "templates"
    VERSIONS = "template versions"
    CPU_MODELS = "cpu models"
    BRIDGES = "bridges"
    SERVICE_PROVIDERS = "service providers"
    PROVIDERS = "vm providers"


class KeyInfo(NamedTuple):
    status: Status
    note: str
    names: Names
    field: str
    """Name of the attribute that holds its value."""
    description: str


def _key(
    description: str,
    default: Any = ...,
    *,
    alias: str | None = None,
    status: Status = Status.HONOURED,
    note: str = "",
    names: Names = Names.NOTHING,
) -> Any:
    about: dict[str, Any] = {"status": status.value, "note": note, "names": names.value}
    return Field(default, alias=alias, description=description, json_schema_extra={"about": about})


def _kept(description: str, default: Any = None, alias: str | None = None, names: Names = Names.NOTHING) -> Any:
    return _key(description, default, alias=alias, status=Status.KEPT, names=names)


def _generated(description: str) -> Any:
    return _key(description, None, status=Status.GENERATED)


class Section(BaseModel):
    """A place of the file with keys of its own."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=False)
    title: ClassVar[str] = ""
    """How messages call it."""
    nested: ClassVar[dict[str, tuple[str, type[Section]]]] = {}
    """Key → ("one" or "list", section). (A field may not be called `type`: it would hide the builtin in this annotation.)"""

    @classmethod
    @cache
    def keys(cls) -> dict[str, KeyInfo]:
        """Return every known key as it is written in the file."""
        found = {}
        for name, field in cls.model_fields.items():
            extra: Any = field.json_schema_extra
            about = extra["about"]
            written = field.alias or name
            found[written] = KeyInfo(Status(about["status"]), about["note"], Names(about["names"]), name, field.description or "")
        return found


class Nic(Section):
    """A network interface."""

    title = "nic"

    net: Text = _key("Name of the net that the nic is on. A net may be named by several nics of a machine.", names=Names.NETS)
    ip: Text | None = _key("Static IPv4 address; without it one is chosen.", None)
    mtu: Any = _generated("Copied from the net.")


class Disk(Section):
    """A disk."""

    title = "disk"

    kind: Literal["template", "empty", "file"] = _key(
        "template: stands on a template; empty: a new disk; file: stands on an image of yours.", alias="type"
    )
    name: Text = _key("Name of the disk, unique in its machine; part of the file name.")
    dev: Device | None = _key("Device in the guest: vda (virtio-blk), sda (virtio-scsi). Without it the next free vd.", None)
    device: Device | None = _key("Another name for dev.", None)
    format: Literal["qcow2", "raw", "iso"] = _key("Format of the disk; iso makes a CD-ROM.", "qcow2")
    size: Size | None = _key("Size of an empty disk, or what another one grows to: a number of GB, or 512M, 10G, 2T.", None)
    template_name: Text | None = _key("Template that a template disk stands on.", None, names=Names.TEMPLATES)
    template_version: Text | None = _key("Version of the template; without it the newest.", None, names=Names.VERSIONS)
    template_type: Literal["lago", "qcow2"] = _key(
        "lago: a template of the repository; qcow2: the layer at path, whose missing parent comes from the repository.", "lago"
    )
    path: Text | None = _key("Image of a file disk; relative to the init file, with $NAME and ~ expanded.", None)
    url: Url | None = _key("Where init fetches the image of a file disk from: http, https, file, or a path.", None)
    sha256: Sha256 | None = _key("What the bytes behind url must hash to.", None)
    sha1: Sha1 | None = _key("What the bytes behind url must hash to; sha256 is better.", None)
    make_a_copy: Flag = _key("file disks: copy the image instead of standing on it.", False)
    in_place: Flag = _key("file disks: let the machine write the image itself.", False)
    metadata: Mapping | None = _key("Facts about the image: distro, arch, root-partition …", None)
    build: Build | None = _key("Commands that customize the disk before the first start: builders with their options.", None)
    skip_export: Flag | None = _kept("Leave the disk out of exports.", alias="skip-export")


class Ready(Section):
    """When a machine counts as ready, beyond ssh; everything that is given must hold."""

    title = "readiness"

    tcp: Port | None = _key("A port of the machine that takes connections.", None)
    command: Text | None = _key("A command in the machine that exits 0.", None)
    log: Pattern | None = _key("A regular expression that a line of the serial console matches.", None)
    timeout_sec: Seconds = _key("Seconds until it must be so.", DEFAULT_BOOT_TIME_S)


class CloudInit(Section):
    """What cloud-init in the guest is told at its first boot."""

    title = "cloud-init"

    user_data: UserData | None = _key(
        "A #cloud-config, as a mapping or as text that starts so; it is merged with what lagotui says.", None, alias="user-data"
    )
    network_config: NetworkConfig | None = _key(
        "Network configuration of version 2; takes the place of the one that lagotui writes.", None, alias="network-config"
    )


class Ssh(Section):
    """How a machine is reached that exists already: vm-provider: ssh."""

    title = "ssh"

    address: Text = _key("Address or name of the machine, as this computer reaches it.")
    port: Port = _key("Port that its ssh server listens on.", SSH_PORT)
    key_files: Texts = _key(
        "Private keys of yours, tried in this order, relative to the init file, with $NAME and ~ expanded; encrypted ones are taken from"
        " the ssh agent, or asked for. Without any, the agent's keys and those in ~/.ssh are tried.",
        [],
        alias="keys",
    )


class Domain(Section):
    """A machine."""

    title = "machine"
    nested: ClassVar[dict[str, tuple[str, type[Section]]]] = {
        "nics": ("list", Nic),
        "disks": ("list", Disk),
        "ready": ("one", Ready),
        "cloud-init": ("one", CloudInit),
        "ssh": ("one", Ssh),
    }

    memory: Memory = _key("Memory: a number of MiB, or 512M, 2G.", DEFAULT_MEMORY_MIB)
    vcpu: Cpus = _key("Number of virtual CPUs.", DEFAULT_VCPU)
    cpu_model: Text | None = _key("Exact CPU model of the guest; without it the CPU of the host.", None, names=Names.CPU_MODELS)
    cpu_custom: Cpu | None = _key(
        "The guest's <cpu> in libvirt's terms: keys are elements, '@key' attributes, '#text' text; excludes cpu_model.", None
    )
    nics: list[Nic] = _key("Network interfaces in order: the first is eth0.", [])
    disks: list[Disk] = _key("Disks in order: the first one holds the operating system.", [])
    depends_on: Texts = _key("Machines that must be ready before this one is started.", [], names=Names.MACHINES)
    ready: Ready | None = _key("When the machine counts as ready, beyond ssh.", None)
    cloud_init: CloudInit | None = _key("What cloud-init in the guest is told at its first boot.", None, alias="cloud-init")
    metadata: Mapping | None = _key("Free facts about the machine; deploy-scripts in it are run by the verb deploy.", None)
    groups: Texts = _key("Ansible groups: a name or a list of names.", [])
    distro: Text | None = _key("Distribution in the guest; overrides what the template says.", None)
    ssh_user: Text = _key("User that ssh logs in as.", "root", alias="ssh-user")
    ssh_password: Text | None = _key("Password of that user; without it only the key is accepted.", None, alias="ssh-password")
    root_password: Text | None = _key("Password of root in the guest; without it there is none.", None, alias="root-password")
    bootstrap: Flag = _key("Prepare the guest (host name, key, addresses) before its first start.", True)
    boot_time_sec: Seconds = _key("Seconds that ssh may take to answer.", DEFAULT_BOOT_TIME_S)
    vm_type: Text = _key("Class of the machine.", "default", alias="vm-type")
    vm_provider: Text = _key(
        "What runs the machine; ssh: it exists already, and is only reached.", "local-libvirt", alias="vm-provider", names=Names.PROVIDERS
    )
    ssh: Ssh | None = _key("How a machine is reached that exists already: with vm-provider: ssh.", None)
    based_on: Any = _key(
        "A mapping or the name of a prototype: what the machine does not say comes from there.",
        None,
        alias="based-on",
        names=Names.PROTOTYPES,
    )
    kind: Literal["ova"] | None = _key("ova: the machine comes from the OVA archive at url.", None, alias="type")
    url: Url | None = _key("The OVA archive, an oVirt export: http, https, file, or a path.", None)
    artifacts: Texts = _kept("Paths in the guest that the verb collect fetches.", [])
    service_provider: Text | None = _kept(
        "How services are managed in the guest; found out when it is not given.", names=Names.SERVICE_PROVIDERS
    )
    service_class: Any = _key("Old form of service_provider.", None, status=Status.DEPRECATED, note="write service_provider")
    guest_agent: Text | None = _kept("Name of the guest agent's service; found out when it is not given.", alias="guest-agent")
    skip_export: Flag | None = _kept("Leave the machine out of exports.", alias="skip-export")
    name: Any = _generated("The machine's key.")
    mgmt_net: Any = _generated("The management net that the machine is on.")
    snapshots: Any = _generated("Snapshots of a saved environment.")


class Dhcp(Section):
    """A pool of addresses."""

    title = "dhcp range"

    start: Octet = _key("Last octet of the first address of the pool.")
    end: Octet = _key("Last octet of the last address of the pool.")


class Net(Section):
    """A net."""

    title = "net"
    nested: ClassVar[dict[str, tuple[str, type[Section]]]] = {"dhcp": ("one", Dhcp)}

    kind: Literal["nat", "bridge"] = _key(
        "nat: guests reach the world through the host; bridge: a bridge without addresses of ours.", "nat", alias="type"
    )
    bridge: Interface | None = _key(
        "Bridge nets: an existing bridge of the host; without it one is made, with no way out.", None, names=Names.BRIDGES
    )
    gw: Text | None = _key(
        "Address of the gateway, which names the /24: 192.168.200.1 to 192.168.254.254. Without it a free one is leased.", None
    )
    dhcp: Dhcp | None = _key("Pool for guests that have no planned address.", None)
    management: Flag = _key("The net that the host reaches the machines on: every machine has exactly one nic on such a net.", False)
    dns_domain_name: Text | None = _key("DNS domain of a management net; lago.local without it.", None)
    dns_records: dict[str, Text] | None = _key("More DNS names of a management net: name → address.", None)
    mtu: Mtu = _key("Largest packet in bytes.", DEFAULT_MTU)
    ipv6: Flag | None = _key("Addresses of IPv6 too: true, false, or on where the host would accept it.", None)
    isolated: Flag = _key("Nat nets: true keeps guests from everything behind the host.", False)
    main_dns: Any = _generated("Of older files.")
    name: Any = _generated("The net's key.")
    mapping: Any = _generated("Names and addresses of a saved environment.")
    dns_forward: Any = _generated("Gateway of the management net of a saved environment.")


TOP_KEYS = {
    "domains": "The machines: name → keys.",
    "nets": "The nets: name → keys.",
    "prototypes": "Parts of machines by name, for based-on.",
}

NAMED: dict[str, type[Section]] = {"domains": Domain, "nets": Net, "prototypes": Domain}
"""Top key → what its names hold."""
