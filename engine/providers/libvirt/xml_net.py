"""The XML of a network: behind NAT, on a bridge of the host, or on a bridge of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha1

from lxml import etree

from ...errors import HostRefused
from ...spec import DEFAULT_DNS_DOMAIN, DEFAULT_MTU, EnvRef, NetSpec, NetType, NicSpec
from .metadata import NAMESPACES, metadata_element, network_uuid

NAT_PORTS = (1024, 65535)
DUID_LL = "0:3:0:1"
"""A DHCPv6 client identifier made of a MAC (RFC 8415, 11.4): type 3, hardware type 1."""


def bridge_name(env: EnvRef, net: str) -> str:
    """Return the name of the net's bridge: 14 characters of the 15 that the kernel has room for."""
    return f"lt{sha1(f'{env.uuid}/{net}'.encode()).hexdigest()[:12]}"


def network_xml(env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec], *, named_in_ipv6: Collection[str] | None = None) -> str:
    """Return what `networkCreateXML` takes.

    Args:
        env: whose net it is.
        net: has IPv6 only where its `ipv6` is true.
        nets: all nets of the environment, settled alike.
        named_in_ipv6: nets whose machines are in the DNS with their IPv6 addresses too; None: all that have IPv6.

    Raises:
        HostRefused: the net has no subnet yet.
    """
    root = etree.Element("network", nsmap=NAMESPACES)
    _text(root, "name", env.scoped_net_name(net.name))
    _text(root, "uuid", network_uuid(env, net.name))
    root.append(metadata_element(env, net.name))
    if net.type is NetType.NAT:
        named = {name for name, each in nets.items() if each.ipv6 and (named_in_ipv6 is None or name in named_in_ipv6)}
        _fill_nat(root, env, net, nets, named)
    elif net.bridge is not None:
        etree.SubElement(root, "forward", mode="bridge")
        etree.SubElement(root, "bridge", name=net.bridge)
    else:
        # Without addresses of the host's; without this word libvirt would keep IPv6 between the guests off as well.
        root.set("ipv6", "yes")
        _own_bridge(root, env, net)
    return etree.tostring(root, pretty_print=True, encoding="unicode")


def _fill_nat(root: etree._Element, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec], named: Collection[str]) -> None:
    if net.gw is None:
        raise HostRefused(f"net '{net.name}' has no subnet", hint="make the environment anew: lagotui --run destroy, then init")
    if not net.isolated:
        _forward(root)
    _own_bridge(root, env, net)
    _names(root, net, nets, named)
    _addresses(root, net, net.gw)
    if net.ipv6:
        _ipv6_addresses(root, net, net.gw)


def _forward(root: etree._Element) -> None:
    forward = etree.SubElement(root, "forward", mode="nat")
    start, end = NAT_PORTS
    etree.SubElement(etree.SubElement(forward, "nat"), "port", start=str(start), end=str(end))


def _own_bridge(root: etree._Element, env: EnvRef, net: NetSpec) -> None:
    # With STP the bridge keeps each new port shut for about four seconds. Nothing joins two of our bridges, so there is no loop to find.
    etree.SubElement(root, "bridge", name=bridge_name(env, net.name), stp="off", delay="0")
    if net.mtu != DEFAULT_MTU:
        etree.SubElement(root, "mtu", size=str(net.mtu))


def _names(root: etree._Element, net: NetSpec, nets: Mapping[str, NetSpec], named: Collection[str]) -> None:
    if not net.management:
        etree.SubElement(root, "dns", enable="no")
        return
    etree.SubElement(root, "domain", name=net.dns_domain_name or DEFAULT_DNS_DOMAIN, localOnly="yes")
    dns = etree.SubElement(root, "dns", forwardPlainNames="no")
    records = dict(net.dns_records)
    for each in nets.values():
        records.update(each.mapping)
    _add_records(dns, records, str)
    for each in nets.values():
        if each.name in named and each.gw:
            _add_records(dns, {name: ip for name, ip in each.mapping.items() if records[name] == ip}, each.ipv6_of)


def _add_records(dns: etree._Element, records: Mapping[str, str], shown: Callable[[str], str]) -> None:
    for ip, names in _names_by_ip(records):
        host = etree.SubElement(dns, "host", ip=shown(ip))
        for name in names:
            _text(host, "hostname", name)


def _addresses(root: etree._Element, net: NetSpec, gw: str) -> None:
    subnet = gw.rpartition(".")[0]
    dhcp = _dhcp(etree.SubElement(root, "ip", address=gw, netmask="255.255.255.0"), net, lambda last: f"{subnet}.{last}")
    for ip, names in _names_by_ip(net.mapping):
        etree.SubElement(dhcp, "host", mac=NicSpec(net.name, ip).mac or "", name=names[0], ip=ip)


def _ipv6_addresses(root: etree._Element, net: NetSpec, gw: str) -> None:
    subnet = gw.rpartition(".")[0]
    address = etree.SubElement(root, "ip", family="ipv6", address=f"{net.ipv6_prefix}1", prefix="64")
    dhcp = _dhcp(address, net, lambda last: net.ipv6_of(f"{subnet}.{last}"))
    for ip, names in _names_by_ip(net.mapping):
        etree.SubElement(dhcp, "host", id=f"{DUID_LL}:{NicSpec(net.name, ip).mac}", name=names[0], ip=net.ipv6_of(ip))


def _dhcp(address: etree._Element, net: NetSpec, shown: Callable[[int], str]) -> etree._Element:
    """Return what holds the reservations of one address of a net. Without a pool it answers nobody else."""
    dhcp = etree.Element("dhcp")
    if net.dhcp is not None:
        etree.SubElement(dhcp, "range", start=shown(net.dhcp.start), end=shown(net.dhcp.end))
    if net.dhcp is not None or net.mapping:
        address.append(dhcp)
    return dhcp


def _names_by_ip(records: Mapping[str, str]) -> Iterable[tuple[str, list[str]]]:
    """Return addresses with their names, both in the order of the sorted names: the first is the machine's own."""
    by_ip: dict[str, list[str]] = {}
    for name in sorted(records):
        by_ip.setdefault(records[name], []).append(name)
    return by_ip.items()


def _text(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
