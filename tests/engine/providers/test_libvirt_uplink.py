"""The way out of a private world."""

from __future__ import annotations

import os

import pytest

from engine.providers.libvirt.uplink import NETWORKS, choose_network, has_uplink

HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"


def route(address: str, mask: str) -> str:
    """Return a line of /proc/net/route: addresses are little-endian hex."""
    shown = ("".join(f"{int(octet):02X}" for octet in reversed(each.split("."))) for each in (address, mask))
    destination, netmask = shown
    return f"eth0 {destination} 00000000 0001 0 0 0 {netmask} 0 0 0\n"


@pytest.mark.parametrize(
    ("routes", "network"),
    [
        ("", NETWORKS[0]),
        (route("0.0.0.0", "0.0.0.0"), NETWORKS[0]),
        (route("192.0.2.0", "255.255.255.0"), NETWORKS[1]),
        (route("192.0.0.0", "255.255.0.0") + route("198.51.100.128", "255.255.255.128"), NETWORKS[2]),
        (route("0.0.0.0", "128.0.0.0") + route("128.0.0.0", "128.0.0.0"), NETWORKS[0]),
    ],
)
def test_the_uplinks_network_hides_none_that_the_host_is_on(routes: str, network: str) -> None:
    assert choose_network(HEAD + routes) == network


def test_a_process_in_our_own_network_has_no_uplink() -> None:
    assert not has_uplink(os.getpid())


def test_a_process_that_is_gone_has_no_uplink() -> None:
    assert not has_uplink(2**22 + 1)
