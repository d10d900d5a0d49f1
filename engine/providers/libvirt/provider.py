"""libvirt as a host of machines: the contract of providers/base.py, each part delegated to the module that knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import libvirt

from ...context import TaskContext
from ...errors import HostRefused
from ...guest.dial import Dialer
from ...guest.serial import serial_tail
from ...spec import EnvRef, MachineSpec, MachineStatus, NetSpec, NetType
from ..base import ConsoleStream, HostCpu, HostInfo, MachineStats, StatusChange
from . import capacity, console, domain, net_facts, net_update, network, stats
from .accel import AccelChoice
from .chain import chains_of
from .cpu import CpuFacts, read_cpu_facts
from .hosts import HostChoice, HostKind
from .metadata import Tag, domain_uuid, network_uuid
from .session import Session
from .snapshots import LibvirtSnapshots
from .watch import Watch
from .xml_cpu import machine_cpu
from .xml_domain import Ground


class LibvirtProvider(LibvirtSnapshots):
    """A libvirt, connected. Libvirt's own objects never leave the modules below."""

    def __init__(self, session: Session, choice: HostChoice, accel: AccelChoice) -> None:
        self._session = session
        self._choice = choice
        self._accel = accel
        self._ours: dict[str, Tag] = {}
        """libvirt's UUID → whose it is, for what was started from here: it may be gone before a watcher could look."""
        self._cpu_facts: CpuFacts | None = None
        self._ipv6_refusal: str | None = None
        """Why nets have no IPv6 here, "" when they may; None: not looked yet."""

    # --- what it is ------------------------------------------------------------------------------------------------

    def info(self) -> HostInfo:
        version = self._session.look(lambda conn: _version(conn.getLibVersion())) or "libvirt"
        return HostInfo(self._choice.kind.value, self._session.uri, version, self._accel.accel, self._choice.why)

    def dialer(self) -> Dialer:
        return self._session.dialer()

    def enter_command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return self._session.enter_command(argv)

    def used_subnets(self, env: EnvRef | None = None) -> frozenset[str]:
        routes = self._session.routes()
        if self._choice.kind is HostKind.URI or routes is None:
            return frozenset()
        ours = (self._session.look(lambda conn: network.our_bridges(conn, env)) if env else None) or frozenset()
        return capacity.subnets_in_routes(routes, ours)

    def can_read_images(self, folder: Path) -> str:
        return capacity.command_to_let_in(folder, capacity.qemu_user()) if self._choice.kind is HostKind.SYSTEM else ""

    def bridges(self) -> frozenset[str] | None:
        match self._choice.kind:
            case HostKind.PRIVATE:
                return frozenset()
            case HostKind.SYSTEM:
                return net_facts.host_bridges() - (self._session.look(lambda conn: network.our_bridges(conn)) or frozenset())
            case HostKind.URI:
                return None

    def cpu_models(self) -> tuple[str, ...]:
        facts = self._session.look(self._read_cpu_facts)
        return facts.usable if facts is not None else ()

    def host_cpu(self) -> HostCpu:
        facts = self._session.look(self._read_cpu_facts)
        return facts.host if facts is not None else HostCpu("", "")

    def _read_cpu_facts(self, conn: libvirt.virConnect) -> CpuFacts:
        if self._cpu_facts is None:
            self._cpu_facts = read_cpu_facts(conn, self._accel.virt_type)
        return self._cpu_facts

    # --- lifecycle -------------------------------------------------------------------------------------------------

    def start_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        ctx.raise_if_cancelled()
        self._ours[network_uuid(env, net.name)] = Tag(env.uuid, env.prefix, net.name)
        net_facts.check_bridge(net, self._choice.kind, self.bridges() if net.bridge else None)
        if self._ipv6_refusal is None:
            self._ipv6_refusal = net_facts.ipv6_refusal(self._choice.kind)
        try:
            self._start_net(ctx, env, net, nets)
        except HostRefused as error:
            if net.ipv6 is not None or self._ipv6_refusal or not net_facts.is_about_ipv6(error):
                raise
            self._ipv6_refusal = error.message
            self._start_net(ctx, env, net, nets)

    def _start_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        if self._ipv6_refusal and net.ipv6 is None and net.type is NetType.NAT:
            ctx.log(f"net '{net.name}' has no IPv6: {self._ipv6_refusal}")
        settled = net_facts.settle_ipv6({**nets, net.name: net}, not self._ipv6_refusal)
        named = net_facts.insisting({**nets, net.name: net})
        connection = self._session.connect(ctx)
        if not connection.call(lambda conn: network.start_net(conn, env, settled[net.name], settled, named_in_ipv6=named)):
            ctx.log(f"net '{net.name}' is up already")

    def update_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        ctx.raise_if_cancelled()
        changed = self._session.connect(ctx).call(lambda conn: net_update.update_net(conn, env, net, nets))
        ctx.log(f"net '{net.name}': {changed} names and reservations changed")

    def stop_net(self, ctx: TaskContext, env: EnvRef, name: str) -> None:
        if not self._session.look(lambda conn: network.stop_net(conn, env, name)):
            ctx.log(f"net '{name}' is down already")

    def start_machine(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, seed: Path | None) -> None:
        ctx.raise_if_cancelled()
        self._ours[domain_uuid(env, machine.name)] = Tag(env.uuid, env.prefix, machine.name)
        connection = self._session.connect(ctx)
        cpu = machine_cpu(machine, self._accel, lambda: connection.call(self._read_cpu_facts))
        ground = Ground(self._accel.virt_type, cpu, chains_of(ctx, machine))
        if not connection.call(lambda conn: domain.start_machine(conn, env, machine, seed, ground)):
            ctx.log(f"machine '{machine.name}' is up already")

    def stop_machine(self, ctx: TaskContext, env: EnvRef, name: str) -> None:
        if not self._session.look(lambda conn: domain.stop_machine(conn, env, name)):
            ctx.log(f"machine '{name}' is down already")

    def press_power(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        return bool(self._session.look(lambda conn: domain.press_power(conn, env, name)))

    def press_reset(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        return bool(self._session.look(lambda conn: domain.press_reset(conn, env, name)))

    # --- looks -----------------------------------------------------------------------------------------------------

    def machine_states(self, env: EnvRef) -> Mapping[str, MachineStatus]:
        return self._session.look(lambda conn: domain.states(conn, env)) or {}

    def active_nets(self, env: EnvRef) -> frozenset[str]:
        return self._session.look(lambda conn: network.net_names(conn, env.uuid)) or frozenset()

    def stats(self, env: EnvRef) -> Mapping[str, MachineStats]:
        return self._session.look(lambda conn: stats.read_stats(conn, env)) or {}

    def lease_of(self, env: EnvRef, machine: MachineSpec) -> str | None:
        mac = next((nic.mac for nic in machine.nics if nic.net == machine.mgmt_net and nic.mac), None)
        return self._session.look(lambda conn: network.lease(conn, env, machine.mgmt_net, mac)) if mac else None

    def iter_tagged(self, uuid: str) -> Iterator[str]:
        for what, tagged in (("domain", domain.tagged), ("network", network.tagged)):
            yield from (f"{what} {name}" for name in sorted(self._session.look(partial(tagged, uuid=uuid)) or ()))

    def watch(self, on_change: Callable[[StatusChange], None]) -> Callable[[], None]:
        return Watch(self._session, self._ours, on_change).end

    # --- consoles ------------------------------------------------------------------------------------

    @contextmanager
    def console(self, env: EnvRef, machine: str) -> Iterator[ConsoleStream]:
        stream = self._session.call(lambda conn: console.open_console(conn, env, machine))
        try:
            yield stream
        finally:
            stream.close()

    def console_tail(self, env: EnvRef, machine: str, lines: int) -> list[str]:
        return serial_tail(env.serial_log(machine), lines)

    # --- the end ---------------------------------------------------------------------------------------------------

    def release(self, ctx: TaskContext) -> None:
        self._session.release(ctx)

    def close(self) -> None:
        self._session.close()


def _version(number: int) -> str:
    """Return libvirt's version number (major * 1,000,000 + minor * 1,000 + release) as a word."""
    return f"libvirt {number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"
