"""The keys of the init file: names, types, defaults and what they mean. Everything else about keys is derived from here.

A `Status` on a key says what lagotui does with it; a key without one is honoured. Loading this module loads pydantic (a fifth of
a second), so nothing on the way of `status`, `shell` or `stop` imports it.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ..spec import DEFAULT_BOOT_TIME_S, DEFAULT_MEMORY_MIB, DEFAULT_MTU, DEFAULT_VCPU
from .diagnostics import quoted
from .values import MAX_MEMORY_MIB, disk_size, memory_mib

MIN_MEMORY_MIB = 16


class Status(StrEnum):
    HONOURED = "honoured"
    KEPT = "kept"
    """Known and passed on: it matters to a later verb."""
    LATER = "later"
    """Known, but it has no effect yet: a warning says so."""
    GENERATED = "generated"
    """Written by the program into a saved environment; of no meaning in an init file."""


class KeyInfo(NamedTuple):
    status: Status
    note: str


def _key(description: str, default: Any = ..., *, alias: str | None = None, status: Status = Status.HONOURED, note: str = "") -> Any:
    return Field(default, alias=alias, description=description, json_schema_extra={"status": status.value, "note": note})


def _kept(description: str, alias: str | None = None) -> Any:
    return _key(description, None, alias=alias, status=Status.KEPT)


def _later(description: str, note: str) -> Any:
    return _key(description, None, status=Status.LATER, note=note)


def _generated(description: str) -> Any:
    return _key(description, None, status=Status.GENERATED)


def wrong(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """Make the error of a validator; the code is that of a diagnostic, `{key}` in the message becomes the quoted key."""
    return PydanticCustomError(code, "{said}", {"said": message, "hint": hint})


def kind_of(value: Any) -> str:
    """Name the type of a value in the words of the file format."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {int: "a number", float: "a number", str: "the text " + quoted(value), dict: "a mapping", list: "a list"}
    return names.get(type(value), "something else")


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool | float):
        read_as = "a yes or no" if isinstance(value, bool) else "a number"
        raise wrong("E101", "{key} must be text, and this is read as " + read_as, "put it in quotes")
    raise wrong("E101", "{key} must be text, not " + kind_of(value))


def _integer(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    raise wrong("E101", "{key} must be a whole number, not " + kind_of(value))


def _flag(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "yes", "on", "false", "no", "off"):
        return value.lower() in ("true", "yes", "on")
    raise wrong("E101", "{key} must be true or false, not " + kind_of(value))


def _memory(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        amount = memory_mib(value)
        if amount is None:
            raise wrong("E215", "{key} must be a number of MiB or an amount like 2G, not " + quoted(value))
        if not MIN_MEMORY_MIB <= amount <= MAX_MEMORY_MIB:
            raise wrong("E104", f"{{key}} must be from {MIN_MEMORY_MIB} MiB to {MAX_MEMORY_MIB} MiB", "a bare number is MiB")
        return amount
    raise wrong("E101", "{key} must be a number of MiB or an amount like 2G, not " + kind_of(value))


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("E101", "{key} must be a number of GB or a size like 10G, not " + kind_of(value))
    size = disk_size(value)
    if size is None:
        raise wrong("E215", "{key} must be a number of GB or a size like 10G, up to 1024T, not " + quoted(value), "a bare number is GB")
    return size


def _groups(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise wrong("E101", "{key} must be a name or a list of names, not " + kind_of(value))


def _net_type(value: Any) -> Any:
    if value == "bridge":
        raise wrong("E105", "bridge nets are not supported yet", "use type: nat")
    return value


def _template_type(value: Any) -> Any:
    if value == "qcow2":
        raise wrong("E105", "template_type: qcow2 is not supported yet", "use type: file with that path: it stands on the image just so")
    return value


def _ova(value: Any) -> Any:
    raise wrong("E105", "machines from OVA archives are not supported yet", "give the machine a disk of type file")


def _url(value: Any) -> Any:
    raise wrong("E105", "disks by url are not supported yet", "download the image and use type: file with path")


def _provider(value: Any) -> Any:
    text = _text(value)
    if text != "local-libvirt":
        raise wrong("E105", f"the vm-provider {quoted(text)} is not supported yet", "use local-libvirt, or leave the key out")
    return text


Text = Annotated[str, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Integer = Annotated[int, BeforeValidator(_integer)]


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
            found[field.alias or name] = KeyInfo(Status(extra["status"]), extra["note"])
        return found


class Nic(Section):
    title = "nic"

    net: Text = _key("Name of the net that the nic is on. A net may be named by several nics of a machine.")
    ip: Text | None = _key("Static IPv4 address; without it one is chosen.", None)
    mtu: Any = _generated("Copied from the net.")


class Disk(Section):
    title = "disk"

    kind: Literal["template", "empty", "file"] = _key(
        "template: stands on a template; empty: a new disk; file: stands on an image of yours.", alias="type"
    )
    name: Text = _key("Name of the disk, unique in its machine; part of the file name.")
    dev: Annotated[Text, Field(pattern=r"^(?:(?:vd|sd)[a-z]{1,2}|hd[a-d])$")] | None = _key(
        "Device in the guest: vda (virtio-blk), sda (virtio-scsi). Without it the next free vd.", None
    )
    device: Annotated[Text, Field(pattern=r"^(?:(?:vd|sd)[a-z]{1,2}|hd[a-d])$")] | None = _key("Another name for dev.", None)
    format: Literal["qcow2", "raw", "iso"] = _key("Format of the disk; iso makes a CD-ROM.", "qcow2")
    size: Annotated[str, BeforeValidator(_size)] | None = _key("Size of an empty disk: a number of GB, or 512M, 10G, 2T.", None)
    template_name: Text | None = _key("Template that a template disk stands on.", None)
    template_version: Text | None = _key("Version of the template; without it the newest.", None)
    template_type: Annotated[Literal["lago"], BeforeValidator(_template_type)] = _key("lago: a template of the repository.", "lago")
    path: Text | None = _key("Image of a file disk; relative to the init file, with $NAME and ~ expanded.", None)
    make_a_copy: Flag = _key("file disks: copy the image instead of standing on it.", False)
    in_place: Flag = _key("file disks: let the machine write the image itself.", False)
    metadata: dict[str, Any] | None = _key("Facts about the image: distro, arch, root-partition …", None)
    url: Annotated[Any, BeforeValidator(_url)] = _key("Address that the image is fetched from.", None)
    build: Any = _later("Commands that customize the disk before the first start.", "the disk is not customized")
    skip_export: Any = _kept("Leave the disk out of exports.", "skip-export")


class Domain(Section):
    title = "machine"
    nested: ClassVar[dict[str, tuple[str, type[Section]]]] = {"nics": ("list", Nic), "disks": ("list", Disk)}

    memory: Annotated[int, BeforeValidator(_memory)] = _key("Memory: a number of MiB, or 512M, 2G.", DEFAULT_MEMORY_MIB)
    vcpu: Annotated[Integer, Field(ge=1, le=1024)] = _key("Number of virtual CPUs.", DEFAULT_VCPU)
    nics: list[Nic] = _key("Network interfaces in order: the first is eth0.", [])
    disks: list[Disk] = _key("Disks in order: the first one holds the operating system.", [])
    metadata: dict[str, Any] | None = _key("Free facts about the machine; deploy-scripts in it are for the verb deploy.", None)
    groups: Annotated[list[Text], BeforeValidator(_groups)] = _key("Ansible groups: a name or a list of names.", [])
    distro: Text | None = _key("Distribution in the guest; overrides what the template says.", None)
    ssh_user: Text = _key("User that ssh logs in as.", "root", alias="ssh-user")
    ssh_password: Text | None = _key("Password of that user; without it only the key is accepted.", None, alias="ssh-password")
    root_password: Text | None = _key("Password of root in the guest; without it there is none.", None, alias="root-password")
    bootstrap: Flag = _key("Prepare the guest (host name, key, addresses) before its first start.", True)
    boot_time_sec: Annotated[Integer, Field(ge=1, le=86_400)] = _key("Seconds that ssh may take to answer.", DEFAULT_BOOT_TIME_S)
    vm_type: Text = _key("Class of the machine.", "default", alias="vm-type")
    vm_provider: Annotated[str, BeforeValidator(_provider)] = _key("What runs the machine.", "local-libvirt", alias="vm-provider")
    based_on: Any = _key("A mapping or the name of a prototype: what the machine does not say comes from there.", None, alias="based-on")
    kind: Annotated[Any, BeforeValidator(_ova)] = _key("ova: a machine from an OVA archive.", None, alias="type")
    url: Any = _later("Address of the OVA archive.", "nothing is fetched for a machine")
    cpu_model: Any = _later("Exact CPU model of the guest.", "the machine gets the CPU of the host")
    cpu_custom: Any = _later("The CPU of the guest in libvirt's terms.", "the machine gets the CPU of the host")
    artifacts: Any = _kept("Paths in the guest that the verb collect fetches.")
    service_provider: Any = _kept("How services are managed in the guest: systemd, sysvinit, systemdcontainer.")
    service_class: Any = _kept("Old form of service_provider.")
    guest_agent: Any = _kept("Name of the guest agent's service.", "guest-agent")
    skip_export: Any = _kept("Leave the machine out of exports.", "skip-export")
    name: Any = _generated("The machine's key.")
    mgmt_net: Any = _generated("The management net that the machine is on.")
    snapshots: Any = _generated("Snapshots of a saved environment.")


Octet = Annotated[Integer, Field(ge=1, le=254)]


class Dhcp(Section):
    title = "dhcp range"

    start: Octet = _key("Last octet of the first address of the pool.")
    end: Octet = _key("Last octet of the last address of the pool.")


class Net(Section):
    title = "net"
    nested: ClassVar[dict[str, tuple[str, type[Section]]]] = {"dhcp": ("one", Dhcp)}

    kind: Annotated[Literal["nat"], BeforeValidator(_net_type)] = _key("nat: guests reach the world through the host.", "nat", alias="type")
    gw: Text | None = _key(
        "Address of the gateway, which names the /24: 192.168.200.1 to 192.168.254.254. Without it a free one is leased.", None
    )
    dhcp: Dhcp | None = _key("Pool for guests that have no planned address.", None)
    management: Flag = _key("The net that the host reaches the machines on: every machine has exactly one nic on such a net.", False)
    dns_domain_name: Text | None = _key("DNS domain of a management net; lago.local without it.", None)
    dns_records: dict[str, Text] | None = _key("More DNS names of a management net: name → address.", None)
    mtu: Annotated[Integer, Field(ge=576, le=65_535)] = _key("Largest packet in bytes.", DEFAULT_MTU)
    main_dns: Any = _generated("Of older files.")
    name: Any = _generated("The net's key.")
    mapping: Any = _generated("Names and addresses of a saved environment.")
    dns_forward: Any = _generated("Gateway of the management net of a saved environment.")


TOP_KEYS = {
    "domains": "The machines: name → keys.",
    "nets": "The nets: name → keys.",
    "prototypes": "Parts of machines by name, for based-on.",
}
