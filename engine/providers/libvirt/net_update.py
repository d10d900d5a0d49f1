"""New names, reservations and pools in the DNS and DHCP of a net that stays up, so that its machines keep their connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import libvirt
from lxml import etree

from ...spec import EnvRef, NetSpec
from .metadata import network_uuid
from .net_facts import insisting, settle_ipv6
from .refusals import is_code, refused
from .xml_net import network_xml

ANYWHERE = -1
"""As parent: libvirt finds the only one there is."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One host or range element that is added or taken away."""

    command: int
    section: int
    parent: int
    """Which `<ip>` it is below."""
    xml: str


def update_net(conn: libvirt.virConnect, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> int:
    """Bring the hosts that a running net knows, and its pool, to what its spec says; return how many entries changed.

    Raises:
        HostRefused: the host does not take one.
    """
    try:
        network = conn.networkLookupByUUIDString(network_uuid(env, net.name))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):
            return 0  # it reads its spec when it is started
        raise refused(f"cannot look for net '{net.name}'", error) from error
    live = etree.fromstring(network.XMLDesc().encode())
    settled = settle_ipv6({**nets, net.name: net}, any(ip.get("family") == "ipv6" for ip in live.findall("ip")))
    wanted = network_xml(env, settled[net.name], settled, named_in_ipv6=insisting({**nets, net.name: net}))
    edits = list(edits_between(live, etree.fromstring(wanted.encode())))
    for edit in edits:
        try:
            network.update(edit.command, edit.section, edit.parent, edit.xml, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE)
        except libvirt.libvirtError as error:
            raise refused(f"cannot change the names and addresses of net '{net.name}'", error) from error
    return len(edits)


def edits_between(live: etree._Element, wanted: etree._Element) -> Iterator[Edit]:
    """Yield what makes the hosts and pools of one network those of another; what goes comes first, since names and addresses are unique."""
    pairs = [Hosts(libvirt.VIR_NETWORK_SECTION_DNS_HOST, ANYWHERE, live.findall("dns/host"), wanted.findall("dns/host"))]
    for index, (has, wants) in enumerate(zip(live.findall("ip"), wanted.findall("ip"), strict=False)):
        pairs.append(Hosts(libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE, index, has.findall("dhcp/range"), wants.findall("dhcp/range")))
        pairs.append(Hosts(libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, index, has.findall("dhcp/host"), wants.findall("dhcp/host")))
    for pair in pairs:
        yield from pair.edits(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, pair.live, pair.wanted)
    for pair in pairs:
        yield from pair.edits(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, pair.wanted, pair.live)


@dataclass(frozen=True, slots=True)
class Hosts:
    """One list of hosts or ranges, as it is and as it should be."""

    section: int
    parent: int
    live: list[etree._Element]
    wanted: list[etree._Element]

    def edits(self, command: int, these: list[etree._Element], without: list[etree._Element]) -> Iterator[Edit]:
        others = {_canonical(host) for host in without}
        for host in these:
            if _canonical(host) not in others:
                named = host if command != libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE else _without_names(host)
                yield Edit(command, self.section, self.parent, etree.tostring(named, encoding="unicode", with_tail=False))


def _without_names(host: etree._Element) -> etree._Element:
    """Return a host for its removal: by its names libvirt would also find its IPv6 twin, and refuse to choose."""
    bare = etree.Element(host.tag)
    for name, value in host.attrib.items():
        bare.set(name, value)
    return bare


def _canonical(host: etree._Element) -> tuple[object, ...]:
    return (*sorted(host.attrib.items()), *(name.text for name in host))
