"""What changes in a running network's lists of hosts."""

from __future__ import annotations

import libvirt
from lxml import etree

from engine.plan.addressing import plan_addresses
from engine.providers.libvirt.net_update import Edit, edits_between
from engine.providers.libvirt.xml_net import network_xml
from engine.spec import DhcpRange, EnvRef, EnvSpec, MachineSpec, NetSpec, NicSpec

ENV = EnvRef("/p", "763e40cc" * 4)
ADD, DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
DNS, DHCP = libvirt.VIR_NETWORK_SECTION_DNS_HOST, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
POOL = libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE

RANGE = DhcpRange(100, 200)


def network(*machines: str, ipv6: bool = False, pool: DhcpRange | None = RANGE) -> etree._Element:
    net = NetSpec("lan", dhcp=pool, ipv6=ipv6)
    planned = plan_addresses(EnvSpec({name: MachineSpec(name, nics=(NicSpec("lan"),)) for name in machines}, {"lan": net}), {})
    return etree.fromstring(network_xml(ENV, planned.nets["lan"], planned.nets).encode())


def places(edits: list[Edit]) -> list[tuple[int, int, int]]:
    return [(edit.command, edit.section, edit.parent) for edit in edits]


def test_the_same_network_needs_no_edit() -> None:
    assert list(edits_between(network("a", "b"), network("a", "b"))) == []


def test_a_new_machine_is_added_to_names_and_reservations() -> None:
    edits = list(edits_between(network("a"), network("a", "b")))
    assert places(edits) == [(ADD, DNS, -1), (ADD, DHCP, 0)]
    assert "192.168.200.3" in edits[0].xml
    assert "<hostname>b</hostname>" in edits[0].xml


def test_a_machine_that_goes_is_removed_by_its_address() -> None:
    edits = list(edits_between(network("a", "b"), network("a")))
    assert places(edits) == [(DELETE, DNS, -1), (DELETE, DHCP, 0)]
    assert edits[0].xml == '<host ip="192.168.200.3"/>'


def test_ipv6_has_lists_of_its_own() -> None:
    assert places(list(edits_between(network("a", ipv6=True), network("a", "b", ipv6=True)))).count((ADD, DHCP, 1)) == 1


def test_another_pool_is_one_range_for_another() -> None:
    edits = list(edits_between(network("a"), network("a", pool=DhcpRange(100, 120))))
    assert places(edits) == [(DELETE, POOL, 0), (ADD, POOL, 0)]
    assert 'start="192.168.200.100" end="192.168.200.120"/>' in edits[1].xml


def test_a_pool_comes_and_goes() -> None:
    assert places(list(edits_between(network("a", pool=None), network("a")))) == [(ADD, POOL, 0)]
    assert places(list(edits_between(network("a"), network("a", pool=None)))) == [(DELETE, POOL, 0)]


def test_what_goes_is_removed_before_what_comes_is_added() -> None:
    commands = [edit.command for edit in edits_between(network("a", "b"), network("a", "c"))]
    assert commands == sorted(commands, key=lambda command: command != DELETE)
