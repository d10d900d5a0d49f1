"""The provider as a whole, on libvirt's fake hypervisor."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import HostRefused, MachineStateError
from engine.providers.base import Accel, HostCpu, Provider, StatusChange
from engine.providers.libvirt.accel import AccelChoice
from engine.providers.libvirt.hosts import HostChoice, HostKind
from engine.providers.libvirt.provider import LibvirtProvider
from engine.providers.libvirt.session import Session
from engine.spec import EnvRef, MachineSpec, MachineStatus, NetSpec, NetType

TEST_URI = "test:///default"
WAIT_S = 60.0


class TestAccel(AccelChoice):
    """The fake hypervisor runs only its own type of domain."""

    __test__ = False
    virt_type = "test"

    def cpu(self) -> Any:
        return etree.Element("cpu", mode="maximum")


@pytest.fixture
def provider() -> Iterator[LibvirtProvider]:
    made = LibvirtProvider(Session(TEST_URI), HostChoice(HostKind.URI, TEST_URI, ""), TestAccel(Accel.TCG, ""))
    yield made
    made.close()


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


def changes_of(provider: Provider) -> tuple[Callable[[], StatusChange], Callable[[], None]]:
    """Watch; return what waits for the next change, and what ends the watching."""
    heard: queue.Queue[StatusChange] = queue.Queue()
    end = provider.watch(heard.put)
    return lambda: heard.get(timeout=WAIT_S), end


def test_environment_comes_up_and_goes_without_a_trace(
    provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, nets: dict[str, NetSpec], machine: MachineSpec
) -> None:
    provider.start_net(ctx, env, nets["lago"], nets)
    provider.start_machine(ctx, env, machine, None)
    assert list(provider.iter_tagged(env.uuid)) == ["domain 763e40cc-vm0", "network 763e-lago"]
    provider.stop_machine(ctx, env, "vm0")
    provider.stop_net(ctx, env, "lago")
    assert list(provider.iter_tagged(env.uuid)) == []


def test_host_tells_what_it_is(provider: LibvirtProvider) -> None:
    info = provider.info()
    assert (info.kind, info.uri, info.version.split()[0], info.accel) == ("uri", TEST_URI, "libvirt", Accel.TCG)


def test_watch_tells_start_and_end_of_a_machine(provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, machine: MachineSpec) -> None:
    next_change, end = changes_of(provider)
    provider.start_machine(ctx, env, machine, None)
    provider.stop_machine(ctx, env, "vm0")
    assert [next_change(), next_change()] == [
        StatusChange(uuid=env.uuid, machine="vm0", status=MachineStatus.RUNNING),
        StatusChange(uuid=env.uuid, machine="vm0", status=MachineStatus.DOWN),
    ]
    end()


def test_watch_tells_the_end_of_a_machine_that_ran_before(
    provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, machine: MachineSpec
) -> None:
    provider.start_machine(ctx, env, machine, None)
    next_change, end = changes_of(provider)
    provider.stop_machine(ctx, env, "vm0")
    down = StatusChange(uuid=env.uuid, machine="vm0", status=MachineStatus.DOWN)
    assert down in iter(next_change, None)
    end()


def test_watch_tells_nets_by_their_own_name(provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, nets: dict[str, NetSpec]) -> None:
    long = replace(nets["lago"], name="a-name-longer-than-ten")
    next_change, end = changes_of(provider)
    provider.start_net(ctx, env, long, nets)
    provider.stop_net(ctx, env, long.name)
    assert [(change.net, change.net_up) for change in (next_change(), next_change())] == [(long.name, True), (long.name, False)]
    end()


def test_watch_is_silent_on_machines_of_others(
    provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, machine: MachineSpec, conn: Any
) -> None:
    next_change, end = changes_of(provider)
    conn.lookupByName("test").suspend()
    provider.start_machine(ctx, env, machine, None)
    assert next_change().machine == "vm0"
    end()


def test_ended_watch_hears_nothing(provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, machine: MachineSpec) -> None:
    _first, end_first = changes_of(provider)
    heard: list[StatusChange] = []
    end_second = provider.watch(heard.append)
    end_second()
    provider.start_machine(ctx, env, machine, None)
    assert (_first().machine, heard) == ("vm0", [])
    end_first()


def test_machine_that_is_down_has_no_console(provider: LibvirtProvider, env: EnvRef) -> None:
    with pytest.raises(MachineStateError, match="not running"), provider.console(env, "vm0"):
        pass


def test_machine_without_management_nic_has_no_lease(provider: LibvirtProvider, env: EnvRef, machine: MachineSpec) -> None:
    assert provider.lease_of(env, replace(machine, mgmt_net="elsewhere")) is None


def test_hosts_elsewhere_have_no_subnets_that_we_could_see(provider: LibvirtProvider) -> None:
    assert provider.used_subnets() == frozenset()


def test_hosts_elsewhere_have_bridges_that_we_cannot_see(provider: LibvirtProvider) -> None:
    assert provider.bridges() is None


def test_models_of_the_host_are_listed(provider: LibvirtProvider) -> None:
    models = provider.cpu_models()
    assert "Westmere" in models and list(models) == sorted(models, key=str.lower)


def test_host_that_tells_no_processor_has_none(provider: LibvirtProvider) -> None:
    assert provider.host_cpu() == HostCpu("", "")


def test_machine_of_an_unknown_model_is_refused(provider: LibvirtProvider, ctx: TaskContext, env: EnvRef, machine: MachineSpec) -> None:
    with pytest.raises(HostRefused, match="no cpu_model 'Westmare'"):
        provider.start_machine(ctx, env, replace(machine, cpu_model="Westmare"), None)
    assert provider.machine_states(env) == {}


@pytest.mark.parametrize(
    "net",
    [NetSpec("wire", NetType.BRIDGE), NetSpec("lan", NetType.BRIDGE, bridge="br0"), NetSpec("six", gw="192.168.209.1", ipv6=True)],
)
def test_net_of_each_kind_comes_and_goes(net: NetSpec, provider: LibvirtProvider, ctx: TaskContext, env: EnvRef) -> None:
    provider.start_net(ctx, env, net, {net.name: net})
    assert provider.active_nets(env) == {net.name}
    provider.stop_net(ctx, env, net.name)
    assert list(provider.iter_tagged(env.uuid)) == []


def test_images_are_a_question_only_on_the_system(provider: LibvirtProvider, tmp_path: Path) -> None:
    assert provider.can_read_images(tmp_path) == ""
