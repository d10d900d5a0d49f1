"""What decides which nets a host can make: its bridges, and whether it would let libvirt forward IPv6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...errors import HostRefused
from ...spec import NetSpec, NetType
from .hosts import HostKind

INTERFACES = Path("/sys/class/net")
IPV6 = Path("/proc/sys/net/ipv6/conf")
IPV6_ROUTES = Path("/proc/net/ipv6_route")

RTF_ADDRCONF = 0x40000
"""Of linux/ipv6_route.h: set on the routes that a router's advertisements made."""


def host_bridges(interfaces: Path = INTERFACES) -> frozenset[str]:
    """Return the names of the bridges of this machine."""
    return frozenset(path.parent.name for path in interfaces.glob("*/bridge"))


def check_bridge(net: NetSpec, kind: HostKind, bridges: frozenset[str] | None) -> None:
    """Refuse a net on a bridge that is not there; None for `bridges`: nobody knows.

    Raises:
        HostRefused: it is not there, or cannot be reached from a private host.
    """
    if net.type is not NetType.BRIDGE or net.bridge is None:
        return
    what = f"net '{net.name}': the bridge '{net.bridge}'"
    if kind is HostKind.PRIVATE:
        raise HostRefused(
            f"{what} is the machine's, and your private host has none of its interfaces",
            hint="use the system's libvirt: --libvirt_url qemu:///system; or leave bridge out for one without an uplink",
        )
    if bridges is not None and net.bridge not in bridges:
        there = f"there are: {', '.join(sorted(bridges))}" if bridges else "this host has none"
        raise HostRefused(f"{what} is not there; {there}", hint=f"sudo ip link add {net.bridge} type bridge; or leave bridge out")


def ipv6_refusal(kind: HostKind, conf: Path = IPV6, routes: Path = IPV6_ROUTES) -> str:
    """Return why libvirt would not start an IPv6 net here, "" when nothing speaks against it.

    libvirt turns IPv6 forwarding on, and the kernel then forgets what routers advertised on interfaces whose `accept_ra` is not 2;
    so it refuses where there are such routes. A private host has interfaces of its own, which no router is on.
    """
    if kind is HostKind.URI:
        return ""
    if not conf.is_dir():
        return "the kernel has no IPv6"
    if kind is HostKind.PRIVATE:
        return ""
    losers = sorted(each for each in advertised(_read(routes)) if not {_accept_ra(conf, each), _accept_ra(conf, "all")} & {"2"})
    return f"the host would lose the IPv6 routes that it learned on {', '.join(losers)} (accept_ra is not 2)" if losers else ""


def advertised(ipv6_routes: str) -> frozenset[str]:
    """Return the interfaces in a `/proc/net/ipv6_route` that routers advertised routes on."""
    lines = (line.split() for line in ipv6_routes.splitlines())
    return frozenset(words[9] for words in lines if len(words) == 10 and int(words[8], 16) & RTF_ADDRCONF)


def settle_ipv6(nets: Mapping[str, NetSpec], accepted: bool) -> dict[str, NetSpec]:
    """Return the nets with IPv6 on or off; those that leave it open follow the host."""
    return {name: replace(net, ipv6=net.type is NetType.NAT and (accepted if net.ipv6 is None else net.ipv6)) for name, net in nets.items()}


def insisting(nets: Mapping[str, NetSpec]) -> frozenset[str]:
    """Return the nets that ask for IPv6. Only their machines are in the DNS with IPv6 addresses.

    Most guests take another address than the one that is reserved for them: the reservation is for DHCPv6 clients whose identifier is
    their MAC. On nets that have IPv6 just because the host can, a name that leads nowhere would only be in the way.
    """
    return frozenset(name for name, net in nets.items() if net.ipv6)


def is_about_ipv6(error: HostRefused) -> bool:
    """Whether a refusal of libvirt's may be gone when the net has no IPv6."""
    return any(sign in error.message.lower() for sign in ("ipv6", "ip6tables", "accept_ra"))


def _accept_ra(conf: Path, interface: str) -> str:
    return _read(conf / interface / "accept_ra").strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
