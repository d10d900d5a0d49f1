from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.errors import HostRefused
from engine.providers.libvirt import network
from engine.providers.libvirt.xml_net import bridge_name
from engine.spec import EnvRef, NetSpec


def test_started_net_is_up_under_its_own_name(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    long = replace(nets["lago"], name="a-name-longer-than-ten")
    network.start_net(conn, env, long, {long.name: long})
    assert network.net_names(conn, env.uuid) == {long.name}


def test_start_of_a_net_that_is_up_changes_nothing(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    assert [network.start_net(conn, env, nets["lago"], nets) for _ in range(2)] == [True, False]


def test_stop_removes_the_net(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    network.start_net(conn, env, nets["lago"], nets)
    network.stop_net(conn, env, "lago")
    assert conn.listAllNetworks() == [] or [net.name() for net in conn.listAllNetworks()] == ["default"]


def test_stop_of_a_net_that_is_down_changes_nothing(conn: Any, env: EnvRef) -> None:
    assert network.stop_net(conn, env, "lago") is False


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_network_of_somebody_else_is_left_alone(verb: str, conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    conn.networkCreateXML(f"<network><name>{env.scoped_net_name('lago')}</name></network>")
    with pytest.raises(HostRefused, match="did not make"):
        if verb == "start":
            network.start_net(conn, env, nets["lago"], nets)
        else:
            network.stop_net(conn, env, "lago")


def test_nets_of_another_environment_do_not_count(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    alike = replace(env, uuid=env.uuid[:4] + "f" * 28)
    network.start_net(conn, alike, nets["lago"], nets)
    assert network.net_names(conn, env.uuid) == frozenset()


def test_our_bridges_are_known_and_others_are_not_counted(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    network.start_net(conn, env, nets["lago"], nets)
    assert network.our_bridges(conn) == {bridge_name(env, "lago")}


def test_refusal_carries_libvirts_words(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    wrong = replace(nets["lago"], gw="192.168.200.x")
    with pytest.raises(HostRefused, match=r"cannot start net 'lago': libvirt says '.*192\.168\.200\.x"):
        network.start_net(conn, env, wrong, {})


def test_bridges_of_one_environment_are_told_from_those_of_others(conn: Any, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    other = EnvRef(env.prefix, "f" * 32)
    network.start_net(conn, env, nets["lago"], nets)
    network.start_net(conn, other, nets["storage"], nets)
    assert network.our_bridges(conn, env) == {bridge_name(env, "lago")}
    assert network.our_bridges(conn) == {bridge_name(env, "lago"), bridge_name(other, "storage")}
