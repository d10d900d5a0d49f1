"""Nets: subnets and gateways, pools, names in DNS, bridges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..diagnostics import Diagnostic, Path, quoted
from ..model import Net
from ..validate import nearest
from ..values import is_dns_name, is_good_name, octets
from .scope import Scope

FIRST_SUBNET, LAST_SUBNET = 200, 254
"""Third octets of 192.168.x.0/24 that a file may name."""
MAX_SUBNETS = 56
"""That the program can lease: 192.168.200.0/24 to 192.168.255.0/24."""
HOSTS = frozenset(range(2, 255))
"""Last octets that are given out; a fixed address may also be 1."""
MIN_MTU_IPV6 = 1280
NAME_HINT = "up to 63 letters, digits, '.', '_' and '-', the first one a letter or a digit, the last one no '-' or '.'"

_ONLY_WITH_ADDRESSES = ("gw", "dhcp")
_ONLY_WITH_DNS = ("dns_records", "dns_domain_name", "ipv6", "isolated")


def check_nets(scope: Scope) -> Iterator[Diagnostic]:
    """Check the nets, and note their gateways in `scope`."""
    for name in scope.init.net_names:
        if not (is_good_name(name) and is_dns_name(name)):
            yield scope.report("E214", ("nets", name), f"{quoted(name)} cannot be the name of a net", NAME_HINT, key=True)
    yield from _gateways(scope)
    yield from _room(scope)
    for name, net in scope.init.nets.items():
        path: Path = ("nets", name)
        if net.kind == "bridge":
            yield from _bridge(scope, name, net)
        elif net.bridge is not None:
            yield _bridge_on_nat(scope, path)
        yield from _pool(scope, name, net)
        yield from _names(scope, name, net)
        if net.ipv6 and net.mtu < MIN_MTU_IPV6:
            yield scope.excludes(path, "ipv6", "mtu", f"IPv6 needs packets of {MIN_MTU_IPV6} bytes")


def _gateways(scope: Scope) -> Iterator[Diagnostic]:
    holders: dict[int, str] = {}
    for name, net in scope.init.nets.items():
        if net.gw is None or net.kind == "bridge":
            continue
        path: Path = ("nets", name, "gw")
        gateway = octets(net.gw)
        if gateway is None:
            yield scope.report("E208", path, f"{quoted(net.gw)} is no IPv4 address", "write it like 192.168.210.1")
        elif gateway[:2] != (192, 168) or not FIRST_SUBNET <= gateway[2] <= LAST_SUBNET or not 1 <= gateway[3] <= 254:
            message = f"the gateway {net.gw} is not between 192.168.{FIRST_SUBNET}.1 and 192.168.{LAST_SUBNET}.254"
            yield scope.report("E209", path, message, "choose one from that range, or leave gw out and one is chosen")
        elif gateway[2] in holders:
            first = holders[gateway[2]]
            line = scope.line_of(("nets", first, "gw"))
            message = f"net {quoted(name)} has the subnet 192.168.{gateway[2]}.0/24 that net {quoted(first)} has (line {line})"
            yield scope.report("E210", path, message, "give each net a /24 of its own")
        else:
            holders[gateway[2]] = name
            scope.gateways[name] = gateway
            yield from _in_use(scope, path, gateway)


def _in_use(scope: Scope, path: Path, gateway: tuple[int, int, int, int]) -> Iterator[Diagnostic]:
    subnet = subnet_of(gateway)
    hint = "choose another, or leave gw out and a free one is chosen"
    holder = (scope.facts.leases or {}).get(gateway[2])
    if holder and not holder.startswith(scope.facts.files_base.rstrip("/") + "/"):
        yield scope.report("W203", path, f"the subnet {subnet} is leased by the environment {quoted(holder)} right now", hint)
        return
    taken = next((used for used in scope.facts.subnets or () if _overlap(used, subnet)), None)
    if taken:
        yield scope.report("W203", path, f"the subnet {subnet} overlaps {taken}, which this host uses right now", hint)


def _overlap(one: str, other: str) -> bool:
    from ipaddress import IPv4Network

    return IPv4Network(one, strict=False).overlaps(IPv4Network(other))


def _room(scope: Scope) -> Iterator[Diagnostic]:
    natted = [name for name, net in scope.init.nets.items() if net.kind == "nat"]
    if len(natted) > MAX_SUBNETS:
        message = f"there are {len(natted)} nat nets, and {MAX_SUBNETS} subnets for them"
        yield scope.report("W206", ("nets",), message, "make some of them type: bridge, or split the environment", key=True)
    nics = [nic for domain in scope.init.domains.values() for nic in domain.nics]
    wanted = Counter(nic.net for nic in nics if nic.ip is None)
    for name in natted:
        fixed = {address[3] for nic in nics if nic.net == name and (address := octets(nic.ip or ""))} if wanted[name] else set()
        gateway = octets(scope.init.nets[name].gw or "")
        room = len(HOSTS - fixed - {gateway[3] if gateway else 1})
        if wanted[name] > room:
            message = f"net {quoted(name)} has {wanted[name]} nics without a fixed address, and {room} addresses for them"
            yield scope.report("W206", ("nets", name), message, "spread the machines over more nets", key=True)


def _bridge(scope: Scope, name: str, net: Net) -> Iterator[Diagnostic]:
    path: Path = ("nets", name)
    written = scope.init.raw_nets[name]
    for key in _ONLY_WITH_ADDRESSES:
        if written.get(key) is not None:
            yield scope.excludes(
                path, "type", key, "a bridge net has no addresses of ours", f"leave {key} out, or write type: nat", key=False
            )
    for key in _ONLY_WITH_DNS:
        if written.get(key) is not None:
            message = f"{quoted(key)} has no effect on a bridge net: it has no addresses of ours"
            yield scope.report("W104", (*path, key), message, "leave it out", key=True)
    bridges = scope.facts.bridges
    if net.bridge is not None and bridges is not None and net.bridge not in bridges:
        message = f"this host has no bridge {quoted(net.bridge)}"
        nobody = "a private host sees none of the machine's: use --libvirt_url qemu:///system, or leave bridge out for one of its own"
        yield scope.report("E223", (*path, "bridge"), message, nearest(net.bridge, bridges, "bridges") if bridges else nobody)
    if name in scope.management and scope.init.nets_are_whole:
        message = f"net {quoted(name)} is for management, but a bridge net has no addresses by which its machines could be reached"
        yield scope.report("W204", path, message, "mark a nat net with management: true", key=True)


def _bridge_on_nat(scope: Scope, path: Path) -> Diagnostic:
    if "type" in scope.init.raw_nets[str(path[1])]:
        return scope.excludes(path, "bridge", "type", "only bridge nets are on a bridge of the host", "write type: bridge")
    message = "'bridge' needs type: bridge; without type the net is nat"
    return scope.report("E106", (*path, "bridge"), message, "write type: bridge", key=True)


def _pool(scope: Scope, name: str, net: Net) -> Iterator[Diagnostic]:
    if net.dhcp and net.dhcp.start > net.dhcp.end:
        path: Path = ("nets", name, "dhcp")
        first, later = scope.in_order((*path, "start"), (*path, "end"))
        message = f"the dhcp range of net {quoted(name)} starts at {net.dhcp.start}, after its end {net.dhcp.end}"
        yield scope.report("E211", later, f"{message} (see {quoted(first[-1])} at line {scope.line_of(first)})", "swap them")


def _names(scope: Scope, name: str, net: Net) -> Iterator[Diagnostic]:
    path: Path = ("nets", name)
    if net.dns_domain_name is not None:
        if not is_dns_name(net.dns_domain_name):
            message = f"{quoted(net.dns_domain_name)} is no DNS domain"
            yield scope.report("E214", (*path, "dns_domain_name"), message, "write it like lago.local")
        alone = len(scope.init.net_names) == 1
        marked = "management" in scope.init.raw_nets[name]
        if scope.init.nets_are_whole and not alone and name not in scope.management and not marked:
            message = f"net {quoted(name)} has a DNS domain, but DNS is served on management nets only"
            hint = "mark the net with management: true, or silence this with management: false"
            yield scope.report("E219", (*path, "dns_domain_name"), message, hint)
    for host, address in (net.dns_records or {}).items():
        place = (*path, "dns_records", host)
        if not is_dns_name(host):
            yield scope.report("E214", place, f"{quoted(host)} cannot be a name in DNS", NAME_HINT, key=True)
        if octets(address) is None:
            message = f"{quoted(address)}, the address of {quoted(host)}, is no IPv4 address"
            yield scope.report("E208", place, message, "write it like 192.168.210.7")
    if net.dns_records and scope.init.nets_are_whole and name not in scope.management and net.kind == "nat":
        message = f"'dns_records' has no effect: net {quoted(name)} is not for management, and only there DNS is served"
        hint = f"move it to net {min(scope.management)}"
        yield scope.report("W104", (*path, "dns_records"), message, hint, key=True)


def subnet_of(gateway: tuple[int, int, int, int]) -> str:
    return ".".join(str(octet) for octet in gateway[:3]) + ".0/24"
