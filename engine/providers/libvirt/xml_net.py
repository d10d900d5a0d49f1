"""The XML of a NAT network."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1

from lxml import etree

from ...errors import HostRefused
from ...spec import DEFAULT_DNS_DOMAIN, DEFAULT_MTU, EnvRef, NetSpec, NetType, NicSpec
from .metadata import NAMESPACES, metadata_element, network_uuid

NAT_PORTS = (1024, 65535)


def bridge_name(env: EnvRef, net: str) -> str:
    """Return the name of the net's bridge: 14 characters of the 15 that the kernel has room for."""
    return f"lt{sha1(f'{env.uuid}/{net}'.encode()).hexdigest()[:12]}"


def network_xml(env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> str:
    """Return what `networkCreateXML` takes; `nets` are all nets of the environment.

    Raises:
        HostRefused: the net is of a type that this host does not make, or has no subnet yet.
    """
    if net.type is not NetType.NAT:
        raise HostRefused(f"net '{net.name}' is of type '{net.type}', and this libvirt host makes only nat nets", hint="set type: nat")
    if net.gw is None:
        raise HostRefused(f"net '{net.name}' has no subnet", hint="make the environment anew: lagotui --run destroy, then init")
    root = etree.Element("network", nsmap=NAMESPACES)
    _text(root, "name", env.scoped_net_name(net.name))
    _text(root, "uuid", network_uuid(env, net.name))
    root.append(metadata_element(env, net.name))
    _forward(root)
    # With STP the bridge keeps each new port shut for about four seconds. Nothing joins two of our bridges, so there is no loop to find.
    etree.SubElement(root, "bridge", name=bridge_name(env, net.name), stp="off", delay="0")
    if net.mtu != DEFAULT_MTU:
        etree.SubElement(root, "mtu", size=str(net.mtu))
    _names(root, net, nets)
    _addresses(root, net, net.gw)
    return etree.tostring(root, pretty_print=True, encoding="unicode")


def _forward(root: etree._Element) -> None:
    forward = etree.SubElement(root, "forward", mode="nat")
    start, end = NAT_PORTS
    etree.SubElement(etree.SubElement(forward, "nat"), "port", start=str(start), end=str(end))


def _names(root: etree._Element, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
    if not net.management:
        etree.SubElement(root, "dns", enable="no")
        return
    etree.SubElement(root, "domain", name=net.dns_domain_name or DEFAULT_DNS_DOMAIN, localOnly="yes")
    dns = etree.SubElement(root, "dns", forwardPlainNames="no")
    records = dict(net.dns_records)
    for each in nets.values():
        records.update(each.mapping)
    for ip, names in _names_by_ip(records).items():
        host = etree.SubElement(dns, "host", ip=ip)
        for name in names:
            _text(host, "hostname", name)


def _addresses(root: etree._Element, net: NetSpec, gw: str) -> None:
    address = etree.SubElement(root, "ip", address=gw, netmask="255.255.255.0")
    if net.dhcp is None:
        return
    subnet = gw.rpartition(".")[0]
    dhcp = etree.SubElement(address, "dhcp")
    etree.SubElement(dhcp, "range", start=f"{subnet}.{net.dhcp.start}", end=f"{subnet}.{net.dhcp.end}")
    for ip, names in _names_by_ip(net.mapping).items():
        etree.SubElement(dhcp, "host", mac=NicSpec(net.name, ip).mac or "", name=names[0], ip=ip)


def _names_by_ip(records: Mapping[str, str]) -> dict[str, list[str]]:
    """Return address → its names, both in the order of the sorted names: the first is the machine's own."""
    by_ip: dict[str, list[str]] = {}
    for name in sorted(records):
        by_ip.setdefault(records[name], []).append(name)
    return by_ip


def _text(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
