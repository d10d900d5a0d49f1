from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from engine.errors import HostRefused
from engine.providers.libvirt.metadata import Tag, network_uuid, read_tag
from engine.providers.libvirt.xml_net import bridge_name, network_xml
from engine.spec import EnvRef, NetSpec, NetType


@pytest.fixture
def all_nets(nets: dict[str, NetSpec]) -> dict[str, NetSpec]:
    """A net for each feature beside the two; one of them has IPv6, and nothing of it is in the DNS of the others."""
    six = replace(nets["lago"], name="six", gw="192.168.202.4", ipv6=True, dns_records={}, mapping={"vm0-six": "192.168.202.2"})
    wire = NetSpec("wire", NetType.BRIDGE, mtu=9000)
    lan = NetSpec("lan", NetType.BRIDGE, mtu=9000, bridge="br0", ipv6=True)
    return {**nets, "six": six, "wire": wire, "lan": lan}


NETS = ["lago", "storage", "six", "wire", "lan"]


@pytest.mark.parametrize("name", NETS)
def test_network_xml_is_the_golden_one(
    name: str, fixed_env: EnvRef, nets: dict[str, NetSpec], all_nets: dict[str, NetSpec], golden: Callable[[str, str], None]
) -> None:
    golden(f"net-{name}.xml", network_xml(fixed_env, all_nets[name], all_nets if name == "six" else nets))


@pytest.mark.parametrize("name", NETS)
def test_network_xml_is_accepted_by_libvirt(name: str, conn: Any, env: EnvRef, all_nets: dict[str, NetSpec]) -> None:
    network = conn.networkCreateXML(network_xml(env, all_nets[name], all_nets))
    assert (network.name(), network.UUIDString(), network.isPersistent()) == (env.scoped_net_name(name), network_uuid(env, name), 0)


def test_an_isolated_net_forwards_nothing_and_keeps_its_addresses(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    root = etree.fromstring(network_xml(env, replace(nets["lago"], isolated=True), nets))
    assert root.find("forward") is None and root.find("ip/dhcp") is not None


def test_network_keeps_our_tag(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    network = conn.networkCreateXML(network_xml(env, nets["lago"], nets))
    assert read_tag(network.XMLDesc()) == Tag(env.uuid, env.prefix, "lago")


def test_networks_of_others_have_no_tag(conn: Any) -> None:
    assert read_tag(conn.networkLookupByName("default").XMLDesc()) is None


def test_generated_dns_names_win_over_the_users(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    root = etree.fromstring(network_xml(env, nets["lago"], nets))
    assert [host.get("ip") for host in root.findall("dns/host") if "vm0" in [name.text for name in host]] == ["192.168.200.2"]


def test_management_net_knows_names_of_all_nets(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    root = etree.fromstring(network_xml(env, nets["lago"], nets))
    assert "vm0-storage" in [name.text for name in root.findall("dns/host/hostname")]


def test_dhcp_reserves_one_address_for_each_planned_nic(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    hosts = etree.fromstring(network_xml(env, nets["lago"], nets)).findall("ip/dhcp/host")
    assert [(host.get("name"), host.get("mac"), host.get("ip")) for host in hosts] == [
        ("vm0", "54:52:c0:a8:c8:02", "192.168.200.2"),
        ("vm1", "54:52:c0:a8:c8:03", "192.168.200.3"),
    ]


def test_net_without_dhcp_key_serves_only_its_own_machines(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    dhcp = etree.fromstring(network_xml(env, nets["storage"], nets)).find("ip/dhcp")
    assert [(each.tag, each.get("mac"), each.get("ip")) for each in dhcp] == [("host", "54:52:c0:a8:c9:02", "192.168.201.2")]


def test_net_without_dhcp_key_and_machines_serves_nobody(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    empty = replace(nets["storage"], mapping={})
    assert etree.fromstring(network_xml(env, empty, {**nets, "storage": empty})).find("ip/dhcp") is None


def test_bridges_of_alike_names_differ(env: EnvRef) -> None:
    assert len({bridge_name(env, f"storage-{number:02}") for number in range(50)}) == 50


def test_bridge_name_fits_the_kernel(env: EnvRef) -> None:
    assert len(bridge_name(env, "a-net-with-a-very-long-name")) <= 15


def test_bridges_of_two_environments_differ(env: EnvRef) -> None:
    assert bridge_name(env, "lago") != bridge_name(replace(env, uuid="f" * 32), "lago")


def test_net_without_subnet_is_refused_by_name(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    with pytest.raises(HostRefused, match="'lago'"):
        network_xml(env, replace(nets["lago"], gw=None), nets)


def six(env: EnvRef, nets: dict[str, NetSpec], **change: Any) -> Any:
    """Return the XML of the management net with IPv6."""
    net = replace(nets["lago"], ipv6=True, **change)
    return etree.fromstring(network_xml(env, net, {**nets, "lago": net}))


def test_ipv6_address_of_the_gateway_names_the_subnet(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    address = six(env, nets, gw="192.168.201.77").find("ip[@family='ipv6']")
    assert (address.get("address"), address.get("prefix")) == ("fd8f:1391:3a82:201::1", "64")


def test_ipv6_addresses_are_reserved_by_the_clients_identifier(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    hosts = six(env, nets).findall("ip[@family='ipv6']/dhcp/host")
    assert [(host.get("id"), host.get("name"), host.get("ip")) for host in hosts] == [
        ("0:3:0:1:54:52:c0:a8:c8:02", "vm0", "fd8f:1391:3a82:200::c0a8:c802"),
        ("0:3:0:1:54:52:c0:a8:c8:03", "vm1", "fd8f:1391:3a82:200::c0a8:c803"),
    ]


def test_dns_has_ipv6_addresses_of_our_machines_only(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    records = {host.get("ip"): [name.text for name in host] for host in six(env, nets).findall("dns/host") if ":" in host.get("ip")}
    assert records == {
        "fd8f:1391:3a82:200::c0a8:c802": ["vm0", "vm0-eth0", "vm0-lago", "vm0-lago-0"],
        "fd8f:1391:3a82:200::c0a8:c803": ["vm1"],
    }


def test_dns_has_no_ipv6_addresses_of_nets_that_only_follow_the_host(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    net = replace(nets["lago"], ipv6=True)
    root = etree.fromstring(network_xml(env, net, {**nets, "lago": net}, named_in_ipv6=()))
    assert not [host for host in root.findall("dns/host") if ":" in host.get("ip")]
    assert root.find("ip[@family='ipv6']/dhcp/host") is not None


def test_net_without_dhcp_key_reserves_ipv6_addresses_too(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    assert {each.tag for each in six(env, nets, dhcp=None).find("ip[@family='ipv6']/dhcp")} == {"host"}


@pytest.mark.parametrize("ipv6", [None, False])
def test_net_has_ipv6_only_when_it_is_settled(ipv6: bool | None, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    assert etree.fromstring(network_xml(env, replace(nets["lago"], ipv6=ipv6), nets)).find("ip[@family='ipv6']") is None


def test_bridge_of_the_host_is_used_as_it_is(env: EnvRef, all_nets: dict[str, NetSpec]) -> None:
    root = etree.fromstring(network_xml(env, all_nets["lan"], all_nets))
    assert (root.find("bridge").attrib, root.find("mtu"), root.find("ip")) == ({"name": "br0"}, None, None)


def test_own_bridge_has_no_way_out_and_no_addresses(env: EnvRef, all_nets: dict[str, NetSpec]) -> None:
    root = etree.fromstring(network_xml(env, all_nets["wire"], all_nets))
    assert (root.find("forward"), root.find("ip"), root.find("bridge").get("name")) == (None, None, bridge_name(env, "wire"))
