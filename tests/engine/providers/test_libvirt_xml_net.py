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


@pytest.mark.parametrize("name", ["lago", "storage"])
def test_network_xml_is_the_golden_one(name: str, fixed_env: EnvRef, nets: dict[str, NetSpec], golden: Callable[[str, str], None]) -> None:
    golden(f"net-{name}.xml", network_xml(fixed_env, nets[name], nets))


@pytest.mark.parametrize("name", ["lago", "storage"])
def test_network_xml_is_accepted_by_libvirt(name: str, conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    network = conn.networkCreateXML(network_xml(env, nets[name], nets))
    assert (network.name(), network.UUIDString(), network.isPersistent()) == (env.scoped_net_name(name), network_uuid(env, name), 0)


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


def test_net_without_dhcp_key_serves_no_dhcp(env: EnvRef, nets: dict[str, NetSpec]) -> None:
    assert etree.fromstring(network_xml(env, nets["storage"], nets)).find("ip/dhcp") is None


def test_bridges_of_alike_names_differ(env: EnvRef) -> None:
    assert len({bridge_name(env, f"storage-{number:02}") for number in range(50)}) == 50


def test_bridge_name_fits_the_kernel(env: EnvRef) -> None:
    assert len(bridge_name(env, "a-net-with-a-very-long-name")) <= 15


def test_bridges_of_two_environments_differ(env: EnvRef) -> None:
    assert bridge_name(env, "lago") != bridge_name(replace(env, uuid="f" * 32), "lago")


@pytest.mark.parametrize("change", [{"type": NetType.BRIDGE}, {"gw": None}])
def test_nets_that_cannot_be_made_are_refused_by_name(change: dict[str, Any], env: EnvRef, nets: dict[str, NetSpec]) -> None:
    with pytest.raises(HostRefused, match="'lago'"):
        network_xml(env, replace(nets["lago"], **change), nets)
