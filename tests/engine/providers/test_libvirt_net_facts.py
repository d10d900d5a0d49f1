from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import HostRefused
from engine.providers.libvirt.hosts import HostKind
from engine.providers.libvirt.net_facts import advertised, check_bridge, host_bridges, insisting, ipv6_refusal, settle_ipv6
from engine.spec import NetSpec, NetType

ZEROS, ROUTER = "0" * 32, "fd000000000000000000000000000001"
LEARNED = f"{ZEROS} 00 {ZEROS} 00 {ROUTER} 00000400 00000001 00000000 00450003     {{}}\n"
"""A default route that a router advertised, as /proc/net/ipv6_route has it."""
CONFIGURED = f"{ZEROS} 00 {ZEROS} 00 {ROUTER} 00000400 00000001 00000000 00000003     eth0\n"
LAN = NetSpec("lan", NetType.BRIDGE, bridge="br0")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for interface, accept in (("eth0", "1"), ("wlan0", "1"), ("eth1", "2")):
        (tmp_path / "conf" / interface).mkdir(parents=True)
        (tmp_path / "conf" / interface / "accept_ra").write_text(f"{accept}\n")
    return tmp_path / "conf"


def refusal(conf: Path, routes: str, kind: HostKind = HostKind.SYSTEM) -> str:
    file = conf.parent / "ipv6_route"
    file.write_text(routes)
    return ipv6_refusal(kind, conf, file)


PREFIX = f"{ROUTER} 40 {ZEROS} 00 {ZEROS} 00000100 00000001 00000000 004c0001     eth1\n"
"""The route to a prefix that it advertised as well."""


def test_only_nets_that_ask_for_ipv6_have_names_for_it() -> None:
    nets = {"asks": NetSpec("asks", ipv6=True), "follows": NetSpec("follows"), "never": NetSpec("never", ipv6=False)}
    assert insisting(nets) == {"asks"}


def test_only_routes_of_routers_count() -> None:
    assert advertised(CONFIGURED + LEARNED.format("wlan0") + PREFIX) == {"wlan0", "eth1"}


def test_host_that_accepts_everywhere_accepts(conf: Path) -> None:
    (conf / "all").mkdir()
    (conf / "all" / "accept_ra").write_text("2\n")
    assert refusal(conf, LEARNED.format("eth0")) == ""


def test_host_that_would_lose_routes_refuses_and_names_the_interfaces(conf: Path) -> None:
    assert "learned on eth0, wlan0 " in refusal(conf, LEARNED.format("wlan0") + LEARNED.format("eth0"))


@pytest.mark.parametrize("routes", ["", CONFIGURED, LEARNED.format("eth1")])
def test_host_that_loses_nothing_accepts(routes: str, conf: Path) -> None:
    assert refusal(conf, routes) == ""


@pytest.mark.parametrize("kind", [HostKind.PRIVATE, HostKind.URI])
def test_routes_of_this_machine_say_nothing_of_other_hosts(kind: HostKind, conf: Path) -> None:
    assert refusal(conf, LEARNED.format("eth0"), kind) == ""


@pytest.mark.parametrize("kind", [HostKind.PRIVATE, HostKind.SYSTEM])
def test_kernel_without_ipv6_refuses(kind: HostKind, tmp_path: Path) -> None:
    assert ipv6_refusal(kind, tmp_path / "nowhere", tmp_path / "none") == "the kernel has no IPv6"


@pytest.mark.parametrize(
    ("wanted", "accepted", "got"), [(None, True, True), (None, False, False), (True, False, True), (False, True, False)]
)
def test_net_has_the_last_word_on_ipv6(wanted: bool | None, accepted: bool, got: bool) -> None:
    assert settle_ipv6({"a": NetSpec("a", ipv6=wanted)}, accepted)["a"].ipv6 is got


def test_bridges_have_no_ipv6_of_ours() -> None:
    assert settle_ipv6({"lan": NetSpec("lan", NetType.BRIDGE, ipv6=True)}, True)["lan"].ipv6 is False


def test_bridges_are_told_from_other_interfaces(tmp_path: Path) -> None:
    for folder in ("br0/bridge", "br0/brif", "eth0/device"):
        (tmp_path / folder).mkdir(parents=True)
    assert host_bridges(tmp_path) == {"br0"}


@pytest.mark.parametrize(
    ("kind", "bridges", "words"),
    [
        (HostKind.SYSTEM, frozenset({"virbr0", "br1"}), "'br0' is not there; there are: br1, virbr0"),
        (HostKind.SYSTEM, frozenset(), "this host has none"),
        (HostKind.PRIVATE, frozenset({"br0"}), "your private host has none of its interfaces"),
    ],
)
def test_bridge_that_cannot_be_had_is_refused(kind: HostKind, bridges: frozenset[str], words: str) -> None:
    with pytest.raises(HostRefused, match=f"net 'lan'.*{words}"):
        check_bridge(LAN, kind, bridges)


@pytest.mark.parametrize(
    ("net", "kind", "bridges"),
    [
        (LAN, HostKind.SYSTEM, frozenset({"br0"})),
        (LAN, HostKind.URI, None),
        (NetSpec("wire", NetType.BRIDGE), HostKind.PRIVATE, frozenset()),
        (NetSpec("a"), HostKind.PRIVATE, frozenset()),
    ],
)
def test_other_nets_pass(net: NetSpec, kind: HostKind, bridges: frozenset[str] | None) -> None:
    check_bridge(net, kind, bridges)
