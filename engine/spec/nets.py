"""Networks, and the places of machines on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from .json import Json, beyond, without_none, words

DEFAULT_DNS_DOMAIN = "lago.local"
DEFAULT_MTU = 1500

IPV6_SITE = "fd8f:1391:3a82"
"""The predecessor's unique local prefix; a net's own /64 adds the third octet of its subnet, its decimal digits as they are."""

_KEYS = words("name type gw dhcp management dns_domain_name dns_records mapping dns_forward mtu ipv6 isolated bridge")


class NetType(StrEnum):
    NAT = "nat"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class NicSpec:
    net: str
    ip: str | None = None
    """None until the address plan has chosen one, and on nets without addresses."""
    mtu: int | None = None

    @property
    def mac(self) -> str | None:
        """`54:52:` and the address in hex; None without an address: then it is `stable_mac`'s."""
        if self.ip is None:
            return None
        return "54:52:" + ":".join(f"{int(octet):02x}" for octet in self.ip.split("."))

    def to_json(self) -> dict[str, Json]:
        return without_none({"net": self.net, "ip": self.ip, "mtu": self.mtu})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(net=data["net"], ip=data.get("ip"), mtu=data.get("mtu"))


def stable_mac(uuid: str, machine: str, index: int) -> str:
    """Return the MAC of a NIC that has no address of ours: on bridge nets.

    It follows from the environment's uuid, the machine's name and the index of the NIC, so that the NIC is the same one at every start
    and strangers' DHCP servers know it again. `56:52:` is of the locally administered range, and no planned NIC begins so.
    """
    from hashlib import sha1

    return ":".join(("56", "52", *(f"{byte:02x}" for byte in sha1(f"{uuid}/{machine}/{index}".encode()).digest()[:4])))


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
    ipv6: bool | None = None
    """Nat nets only; None: on where the host would accept it."""
    isolated: bool = False
    """Nat nets only: guests reach each other and the host, but nothing behind it."""
    bridge: str | None = None
    """Bridge nets only: an existing bridge of the host; None: one of our own, without an uplink."""
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def ipv6_prefix(self) -> str | None:
        """The net's /64 without its length, e.g. `fd8f:1391:3a82:200::`, whether IPv6 is on or not; None without a subnet."""
        return None if self.gw is None else f"{IPV6_SITE}:{self.gw.split('.')[2]}::"

    def ipv6_of(self, ip: str) -> str:
        """Return the IPv6 address of the machine that has the IPv4 address `ip` on this net: the prefix and those four octets."""
        from ipaddress import IPv6Address

        return str(IPv6Address(f"{self.ipv6_prefix}{ip}"))

    def to_json(self) -> dict[str, Json]:
        data = {
            "gw": self.gw,
            "dhcp": {"start": self.dhcp.start, "end": self.dhcp.end} if self.dhcp else None,
            "dns_domain_name": self.dns_domain_name,
            "dns_forward": self.dns_forward,
            "dns_records": dict(self.dns_records) or None,
            "mtu": None if self.mtu == DEFAULT_MTU else self.mtu,
            "ipv6": self.ipv6,
            "isolated": self.isolated or None,
            "bridge": self.bridge,
        }
        return {
            **self.extra,
            **without_none(data),
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
            ipv6=data.get("ipv6"),
            isolated=data.get("isolated") is True,
            bridge=data.get("bridge"),
            extra=beyond(data, _KEYS),
        )
