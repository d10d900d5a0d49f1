"""Networks of an environment: start, stop, see."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import libvirt

from ...spec import EnvRef, NetSpec
from .metadata import network_uuid, read_tag
from .refusals import foreign, is_code, refused
from .xml_net import bridge_name, network_xml


def start_net(
    conn: libvirt.virConnect, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec], *, named_in_ipv6: Collection[str] | None = None
) -> bool:
    """Start a net; returns false when it was up already. The arguments are those of `network_xml`.

    Raises:
        HostRefused: the host cannot make it, or somebody else's network has its name.
    """
    found = _find(conn, env, net.name)
    if found is not None and found.isActive():
        return False
    xml = network_xml(env, net, nets, named_in_ipv6=named_in_ipv6)
    try:
        conn.networkCreateXML(xml)
    except libvirt.libvirtError as error:
        # Another run may have made the net between our look and our call.
        if _find(conn, env, net.name) is not None:
            return False
        failure = refused(f"cannot start net '{net.name}'", error)
        bridge = bridge_name(env, net.name)
        if f"in use by interface {bridge}" in failure.message:  # nobody else makes one of that name
            failure.hint = f"a libvirtd that died left it: sudo ip link delete {bridge}"
        raise failure from error
    return True


def stop_net(conn: libvirt.virConnect, env: EnvRef, name: str) -> bool:
    """Remove a net; returns false when it was not there.

    Raises:
        HostRefused: the host cannot remove it, or it is somebody else's.
    """
    network = _find(conn, env, name)
    if network is None:
        return False
    try:
        network.destroy()
    except libvirt.libvirtError as error:
        # Another run may be removing it at this moment: not active any more, but still in the list.
        if not is_code(error, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
            raise refused(f"cannot stop net '{name}'", error) from error
    return True


def net_names(conn: libvirt.virConnect, uuid: str) -> frozenset[str]:
    """Return the nets of one environment that are up, by their name in the init file; one call, and one more for each candidate."""
    tags = (read_tag(network.XMLDesc()) for network in listed(conn) if network.name().startswith(f"{uuid[:4]}-"))
    return frozenset(tag.name for tag in tags if tag is not None and tag.uuid == uuid)


def tagged(conn: libvirt.virConnect, uuid: str) -> frozenset[str]:
    """Return the networks that carry an environment's tag, by their name on the host."""
    found = ((network, read_tag(network.XMLDesc())) for network in listed(conn))
    return frozenset(network.name() for network, tag in found if tag is not None and tag.uuid == uuid)


def listed(conn: libvirt.virConnect) -> list[libvirt.virNetwork]:
    """Return the active networks of the host, ours and others'."""
    networks: list[libvirt.virNetwork] = conn.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    return networks


def lease(conn: libvirt.virConnect, env: EnvRef, net: str, mac: str) -> str | None:
    """Return the IPv4 address that the net's DHCP server gave to `mac`; None while it gave none."""
    network = _find(conn, env, net)
    if network is None:
        return None
    try:
        leases = network.DHCPLeases(mac)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
            return None
        raise refused(f"cannot read the leases of net '{net}'", error) from error
    addresses = [str(entry["ipaddr"]) for entry in leases if entry["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4]
    return addresses[-1] if addresses else None


def our_bridges(conn: libvirt.virConnect, env: EnvRef | None = None) -> frozenset[str]:
    """Return the bridges of one environment, or of all that lagotui made."""
    tagged = (tag for network in listed(conn) if (tag := read_tag(network.XMLDesc())) is not None)
    return frozenset(bridge_name(EnvRef(tag.prefix, tag.uuid), tag.name) for tag in tagged if env is None or tag.uuid == env.uuid)


def _find(conn: libvirt.virConnect, env: EnvRef, net: str) -> libvirt.virNetwork | None:
    """Return the net on the host, None when it is not there.

    Raises:
        HostRefused: a network of that name was made by somebody else.
    """
    name = env.scoped_net_name(net)
    try:
        network = conn.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):
            return None
        raise refused(f"cannot look for net '{net}'", error) from error
    if network.UUIDString() != network_uuid(env, net):
        raise foreign("network", name)
    return network
