"""What an init file means, checked without touching the world: everything outside of the file comes in as `Facts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from .diagnostics import Diagnostic, Path, has_errors, in_file_order, quoted
from .model import Disk, Domain, Net, Nic
from .tree import Document
from .validate import InitFile, nearest, read_init_file
from .values import UnsetVariable, expand_path, is_good_name, octets

FIRST_SUBNET, LAST_SUBNET = 200, 254
"""Third octets of 192.168.x.0/24 that a file may name."""

_EXAMPLES = {"size": "size: 10G", "path": "path: images/disk.qcow2", "template_name": "template_name: tiny"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the world; None means unknown, and fewer checks."""

    templates: Mapping[str, tuple[str, ...]] | None = None
    """Template → versions."""
    files_base: str = "/"
    """Folder that relative paths start from: that of the init file."""
    exists: Callable[[str], bool] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of `$NAME` in paths."""


def check(document: Document, facts: Facts) -> list[Diagnostic]:
    """Return everything there is to say about `document`, in the order of the file."""
    return check_all(document, facts)[1]


def check_all(document: Document, facts: Facts) -> tuple[InitFile | None, list[Diagnostic]]:
    """Check `document`, and return what was read as well where it has no errors."""
    if document.data is None and document.problems:
        return None, document.problems
    init, problems = read_init_file(document)
    unread = {(each.line, each.column) for each in document.problems}
    about_values = [each for each in [*problems, *_Checker(init, facts).problems()] if (each.line, each.column) not in unread]
    found = in_file_order([*document.problems, *about_values])
    return (None if has_errors(found) else init), found


def management_nets(nets: Mapping[str, Net]) -> tuple[str, ...]:
    """Return the nets for management, sorted: those marked so, else the alphabetically first one."""
    marked = sorted(name for name, net in nets.items() if net.management)
    return tuple(marked or sorted(nets)[:1])


class _Checker:
    def __init__(self, init: InitFile, facts: Facts) -> None:
        self._init = init
        self._document = init.document
        self._facts = facts
        self._management = frozenset(management_nets(init.nets))
        self._gateways: dict[str, tuple[int, int, int, int]] = {}
        """Net → gateway, of the nets whose gateway can be used."""
        self._taken: dict[tuple[str, int], tuple[str, Path]] = {}
        """(net, last octet) → machine and place of the first nic that has it."""
        self._answers: dict[str, bool] = {}
        """Path → whether there is such a file; each is asked for once."""

    def problems(self) -> Iterator[Diagnostic]:
        yield from self._top()
        for name in self._init.net_names:
            if not is_good_name(name):
                yield self._bad_name("net", ("nets", name), name)
        yield from self._subnets()
        for name, net in self._init.nets.items():
            yield from self._net(name, net)
        for name in self._init.raw_domains:
            if not is_good_name(name):
                yield self._bad_name("machine", ("domains", name), name)
        for name, domain in self._init.domains.items():
            yield from self._domain(name, domain)

    def _top(self) -> Iterator[Diagnostic]:
        data = self._document.data
        if isinstance(data, dict) and data.get("domains") == {}:
            yield self._document.report("W201", ("domains",), "the environment has no machines", key=True)
        if isinstance(data, dict) and data.get("nets") == {}:
            yield self._document.report("E218", ("nets",), "the environment has no nets", "add one, for example nets: {lan: {}}", key=True)

    def _bad_name(self, what: str, path: Path, name: str, *, key: bool = True) -> Diagnostic:
        hint = "up to 63 letters, digits, '.', '_' and '-', the first one a letter or a digit"
        return self._document.report("E214", path, f"{quoted(name)} cannot be the name of a {what}", hint, key=key)

    # nets

    def _subnets(self) -> Iterator[Diagnostic]:
        holders: dict[int, str] = {}
        for name, net in self._init.nets.items():
            if net.gw is None:
                continue
            path: Path = ("nets", name, "gw")
            gateway = octets(net.gw)
            if gateway is None:
                yield self._document.report("E208", path, f"{quoted(net.gw)} is no IPv4 address", "write it like 192.168.210.1")
            elif gateway[:2] != (192, 168) or not FIRST_SUBNET <= gateway[2] <= LAST_SUBNET or not 1 <= gateway[3] <= 254:
                message = f"the gateway {net.gw} is not between 192.168.{FIRST_SUBNET}.1 and 192.168.{LAST_SUBNET}.254"
                yield self._document.report("E209", path, message, "choose one from that range, or leave gw out and one is chosen")
            elif gateway[2] in holders:
                first = holders[gateway[2]]
                line = self._document.line_of(("nets", first, "gw"))
                message = f"net {quoted(name)} has the subnet 192.168.{gateway[2]}.0/24 that net {quoted(first)} has (line {line})"
                yield self._document.report("E210", path, message, "give each net a /24 of its own")
            else:
                holders[gateway[2]] = name
                self._gateways[name] = gateway

    def _net(self, name: str, net: Net) -> Iterator[Diagnostic]:
        path: Path = ("nets", name)
        if net.dhcp and net.dhcp.start > net.dhcp.end:
            message = f"the dhcp range of net {quoted(name)} starts at {net.dhcp.start}, after its end {net.dhcp.end}"
            yield self._document.report("E211", (*path, "dhcp", "start"), message)
        if net.dns_domain_name is not None:
            yield from self._dns_domain(name, net.dns_domain_name)
        for host, address in (net.dns_records or {}).items():
            if octets(address) is None:
                message = f"{quoted(address)}, the address of {quoted(host)}, is no IPv4 address"
                yield self._document.report("E208", (*path, "dns_records", host), message)

    def _dns_domain(self, name: str, domain: str) -> Iterator[Diagnostic]:
        path: Path = ("nets", name, "dns_domain_name")
        if not all(is_good_name(label) for label in domain.split(".")):
            yield self._document.report("E214", path, f"{quoted(domain)} is no DNS domain", "write it like lago.local")
        alone = len(self._init.net_names) == 1
        if self._init.nets_are_whole and not alone and name not in self._management and "management" not in self._init.raw_nets[name]:
            message = f"net {quoted(name)} has a DNS domain, but DNS is served on management nets only"
            yield self._document.report("E219", path, message, "mark the net with management: true, or silence this with management: false")

    # machines

    def _domain(self, name: str, domain: Domain) -> Iterator[Diagnostic]:
        path: Path = ("domains", name)
        if domain.vm_type != "default":
            message = f"the vm-type {quoted(domain.vm_type)} has no effect yet: the machine is of the default type"
            yield self._document.report("W102", (*path, "vm-type"), message)
        for index, nic in enumerate(domain.nics):
            yield from self._nic(name, (*path, "nics", index), nic)
        yield from self._management_rule(name, domain)
        yield from self._disks(name, path, domain.disks)

    def _management_rule(self, name: str, domain: Domain) -> Iterator[Diagnostic]:
        if "nics" in self._init.without.get(name, ()):
            return
        if not self._init.nets_are_whole or not self._init.nets or any(nic.net not in self._init.nets for nic in domain.nics):
            return
        on = [nic.net for nic in domain.nics if nic.net in self._management]
        if len(on) == 1:
            return
        nets = ", ".join(quoted(net) for net in (on or sorted(self._management)))
        if on:
            message = f"machine {quoted(name)} has {len(on)} nics on management nets ({nets}), it needs exactly one"
            hint = "leave one of them, or take the mark management from a net"
        else:
            message = f"machine {quoted(name)} has no nic on a management net ({nets})"
            hint = f"add '- net: {min(self._management)}' to its nics"
        yield self._document.report("E204", ("domains", name), message, hint, key=True)

    def _nic(self, machine: str, path: Path, nic: Nic) -> Iterator[Diagnostic]:
        if nic.net not in self._init.net_names:
            message = f"machine {quoted(machine)} is on the net {quoted(nic.net)}, which is not in this file"
            yield self._document.report("E201", (*path, "net"), message, nearest(nic.net, self._init.net_names, "nets"))
        elif nic.ip is not None and nic.net in self._init.nets:
            yield from self._address(machine, (*path, "ip"), nic.net, nic.ip)

    def _address(self, machine: str, path: Path, net: str, written: str) -> Iterator[Diagnostic]:
        address = octets(written)
        gateway = self._gateways.get(net)
        if address is None:
            yield self._document.report("E208", path, f"{quoted(written)} is no IPv4 address", "write it like 192.168.210.7")
            return
        has_gateway = self._init.nets[net].gw is not None
        if has_gateway and gateway is None:
            return
        if gateway and address[:3] != gateway[:3]:
            message = f"the address {written} is outside of net {quoted(net)}, which is {_subnet(gateway)}"
            yield self._document.report("E207", path, message, f"choose one from {_subnet(gateway)}, or leave ip out")
            return
        if not 1 <= address[3] <= 254:
            yield self._document.report("E208", path, f"{written} is the net's or the broadcast address, no address of a machine")
            return
        if address[3] == (gateway[3] if gateway else 1):
            which = f"the gateway of net {quoted(net)}" if gateway else f"the gateway of net {quoted(net)}: without gw it is .1"
            yield self._document.report("E206", path, f"{written} is {which}", "choose another ip, or leave it out")
            return
        yield from self._claim(machine, path, net, written, address[3])
        if not gateway:
            message = f"the subnet of net {quoted(net)} is chosen at init: of {written} only the last octet .{address[3]} is kept"
            yield self._document.report("I201", path, message, f"give net {net} a gw to fix the subnet")

    def _claim(self, machine: str, path: Path, net: str, written: str, octet: int) -> Iterator[Diagnostic]:
        first = self._taken.setdefault((net, octet), (machine, path))
        if first[1] is not path:
            line = self._document.line_of(first[1])
            message = f"machine {quoted(machine)} has the address {written}, which machine {quoted(first[0])} has already (line {line})"
            yield self._document.report("E205", path, message, "choose another ip, or leave it out")

    # disks

    def _disks(self, machine: str, path: Path, disks: list[Disk]) -> Iterator[Diagnostic]:
        names: dict[str, int] = {}
        devices: dict[str, int] = {}
        for index, disk in enumerate(disks):
            place: Path = (*path, "disks", index)
            device = disk.dev or disk.device
            yield from self._disk_keys(place, disk, device)
            if device and devices.setdefault(device, index) != index:
                first = self._document.line_of((*path, "disks", devices[device]))
                message = f"machine {quoted(machine)} has two disks at {quoted(device)}; the first is at line {first}"
                yield self._document.report("E212", (*place, "dev" if disk.dev else "device"), message, "leave dev out, and it is chosen")
            if names.setdefault(disk.name, index) != index:
                first = self._document.line_of((*path, "disks", names[disk.name], "name"))
                message = f"machine {quoted(machine)} has two disks named {quoted(disk.name)}; the first is at line {first}"
                yield self._document.report("E213", (*place, "name"), message)
            yield from self._disk_source(place, disk)

    def _disk_keys(self, path: Path, disk: Disk, device: str | None) -> Iterator[Diagnostic]:
        if not is_good_name(disk.name):
            yield self._bad_name("disk", (*path, "name"), disk.name, key=False)
        if disk.dev and disk.device and disk.dev != disk.device:
            message = "'dev' and 'device' say different things"
            yield self._document.report("E106", (*path, "device"), message, "leave one of them", key=True)
        if device and device.startswith("hd") and disk.format != "iso":
            where: Path = (*path, "dev" if disk.dev else "device")
            yield self._document.report("E104", where, f"{quoted(device)} is for disks with format: iso", "use vda or sda")
        if disk.kind == "empty" and disk.format == "iso":
            yield self._document.report("E106", (*path, "format"), "an empty disk cannot be a CD-ROM", "use type: file with a path")
        if disk.make_a_copy and disk.in_place:
            message = "'make_a_copy' and 'in_place' exclude each other"
            yield self._document.report("E106", (*path, "in_place"), message, "leave one of them", key=True)

    def _disk_source(self, path: Path, disk: Disk) -> Iterator[Diagnostic]:
        needed = _needed_key(disk)
        if needed and getattr(disk, needed) is None:
            message = f"'{needed}' is missing from disk {quoted(disk.name)}: type {disk.kind} needs it"
            yield self._document.report("E102", (*path, needed), message, f"add it: {_EXAMPLES[needed]}")
        elif needed == "template_name" and disk.template_name is not None:
            yield from self._template(path, disk.template_name, disk.template_version)
        elif needed == "path" and disk.path is not None:
            yield from self._file((*path, "path"), disk.path)

    def _template(self, path: Path, name: str, version: str | None) -> Iterator[Diagnostic]:
        templates = self._facts.templates
        if templates is None:
            return
        if name not in templates:
            hint = nearest(name, tuple(templates), "templates")
            yield self._document.report("E202", (*path, "template_name"), f"there is no template {quoted(name)}", hint)
        elif version is not None and version not in templates[name]:
            message = f"template {quoted(name)} has no version {quoted(version)}"
            yield self._document.report("E203", (*path, "template_version"), message, nearest(version, templates[name], "versions"))

    def _file(self, path: Path, written: str) -> Iterator[Diagnostic]:
        try:
            wanted = expand_path(written, self._facts.variables, self._facts.files_base)
        except UnsetVariable as unset:
            message = f"the variable {quoted('$' + unset.name)} in {quoted(written)} is not set"
            yield self._document.report("E220", path, message, "set it, or write the path out")
            return
        if self._facts.exists is None:
            return
        if wanted not in self._answers:
            self._answers[wanted] = self._facts.exists(wanted)
        if not self._answers[wanted]:
            hint = "relative paths start at the folder of the init file"
            yield self._document.report("E216", path, f"there is no file {quoted(wanted)}", hint)


def _needed_key(disk: Disk) -> str:
    return {"empty": "size", "template": "template_name"}.get(disk.kind, "path")


def _subnet(gateway: tuple[int, int, int, int]) -> str:
    return ".".join(str(octet) for octet in gateway[:3]) + ".0/24"
