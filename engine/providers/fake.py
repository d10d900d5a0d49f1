"""A host in memory: believable boots without a hypervisor, for small tests and for trying the screens."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..context import TaskContext
from ..errors import HostRefused, MachineStateError
from ..images.disks import make_overlay
from ..spec import EnvRef, MachineSpec, MachineStatus, NetSpec
from .base import Accel, ConsoleStream, DiskOverlay, HostCpu, HostInfo, MachineStats, StatusChange


@dataclass(slots=True)
class FakeHost:
    """What the host remembers; several providers may share it, as several connections share a real one."""

    start_s: float = 0.0
    """Seconds that starting a machine takes."""
    refuse: frozenset[str] = frozenset()
    """Machines and nets that fail to start."""
    refuse_memory: frozenset[str] = frozenset()
    """Machines whose memory can neither be saved nor restored."""
    paused: set[tuple[str, str]] = field(default_factory=set)
    machines: dict[tuple[str, str], MachineSpec] = field(default_factory=dict)
    """(environment uuid, machine) → what runs."""
    nets: dict[tuple[str, str], NetSpec] = field(default_factory=dict)
    overlays: dict[tuple[str, str], tuple[DiskOverlay, ...]] = field(default_factory=dict)
    watchers: list[Callable[[StatusChange], None]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    started_at_s: dict[tuple[str, str], float] = field(default_factory=dict)
    subnets: frozenset[str] = frozenset()
    """What its interfaces use."""
    bridges: frozenset[str] = frozenset()
    """Bridges that nets may name."""
    cpu_models: tuple[str, ...] = ("EPYC", "Nehalem", "Westmere")

    def tell(self, change: StatusChange) -> None:
        for watcher in tuple(self.watchers):
            watcher(change)


class FakeProvider:
    """One connection to a FakeHost."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def info(self) -> HostInfo:
        return HostInfo("fake", "fake:///", "fake 1.0", Accel.TCG, "a host in memory")

    def dialer(self) -> FakeDialer:
        return FakeDialer()

    def start_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        if net.name in self._host.refuse:
            raise HostRefused(f"net '{net.name}' was refused by the host")
        with self._host.lock:
            self._host.nets[env.uuid, net.name] = net
        self._host.tell(StatusChange(uuid=env.uuid, net=net.name, net_up=True))

    def update_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        with self._host.lock:
            if (env.uuid, net.name) in self._host.nets:
                self._host.nets[env.uuid, net.name] = net

    def stop_net(self, ctx: TaskContext, env: EnvRef, name: str) -> None:
        with self._host.lock:
            gone = self._host.nets.pop((env.uuid, name), None)
        if gone is not None:
            self._host.tell(StatusChange(uuid=env.uuid, net=name, net_up=False))

    def start_machine(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, seed: Path | None) -> None:
        if (env.uuid, machine.name) in self._host.machines:
            return
        ctx.sleep(self._host.start_s)
        if machine.name in self._host.refuse:
            raise HostRefused(f"machine '{machine.name}' was refused by the host", hint="try another host")
        with self._host.lock:
            self._host.machines[env.uuid, machine.name] = machine
            self._host.started_at_s[env.uuid, machine.name] = time.monotonic()
        self._host.tell(StatusChange(uuid=env.uuid, machine=machine.name, status=MachineStatus.RUNNING))

    def stop_machine(self, ctx: TaskContext, env: EnvRef, name: str) -> None:
        with self._host.lock:
            gone = self._host.machines.pop((env.uuid, name), None)
            self._host.paused.discard((env.uuid, name))
        if gone is not None:
            self._host.tell(StatusChange(uuid=env.uuid, machine=name, status=MachineStatus.DOWN))

    def press_power(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        up = name in self.machine_states(env)
        self.stop_machine(ctx, env, name)
        return up

    def press_reset(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        return name in self.machine_states(env)

    def machine_states(self, env: EnvRef) -> Mapping[str, MachineStatus]:
        with self._host.lock:
            return {name: self._status(uuid, name) for uuid, name in self._host.machines if uuid == env.uuid}

    def _status(self, uuid: str, name: str) -> MachineStatus:
        return MachineStatus.PAUSED if (uuid, name) in self._host.paused else MachineStatus.RUNNING

    def active_nets(self, env: EnvRef) -> frozenset[str]:
        with self._host.lock:
            return frozenset(name for uuid, name in self._host.nets if uuid == env.uuid)

    def used_subnets(self, env: EnvRef | None = None) -> frozenset[str]:
        with self._host.lock:
            gateways = [net.gw for (uuid, _), net in self._host.nets.items() if net.gw and (env is None or uuid != env.uuid)]
        return self._host.subnets | {f"{gw.rpartition('.')[0]}.0/24" for gw in gateways}

    def snapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], sync: Callable[[], bool]) -> None:
        sync()
        self._overlay(ctx, env, machine, overlays)

    def unsnapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...]) -> None:
        if (env.uuid, machine) in self._host.paused:
            raise HostRefused(f"the images of machine '{machine}' cannot be written while it is held")
        with self._host.lock:
            self._host.overlays.pop((env.uuid, machine), None)

    def open_images(self, env: EnvRef, machine: str) -> frozenset[str]:
        return frozenset()

    def commit_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, top: str, base: str) -> None:
        """Nothing has an image open here."""

    def pull_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, layer: str, below: str | None) -> None:
        """Nothing has an image open here."""

    def pause(self, ctx: TaskContext, env: EnvRef, machine: str) -> None:
        self._require_up(env, machine)
        with self._host.lock:
            self._host.paused.add((env.uuid, machine))

    def resume(self, ctx: TaskContext, env: EnvRef, machine: str) -> None:
        with self._host.lock:
            self._host.paused.discard((env.uuid, machine))

    def checkpoint(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], memory: Path) -> None:
        self._require_up(env, machine)
        if machine in self._host.refuse_memory:
            raise HostRefused(f"the memory of machine '{machine}' was refused by the host")
        memory.write_bytes(b"memory")
        self._overlay(ctx, env, machine, overlays)

    def check_memory(self, ctx: TaskContext, memory: Path) -> None:
        if not memory.exists():
            raise HostRefused(f"the saved memory '{memory}' is gone")

    def restore(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, memory: Path, seed: Path | None) -> None:
        if machine.name in self._host.refuse_memory:
            raise HostRefused(f"machine '{machine.name}' was not restored by the host")
        self.start_machine(ctx, env, machine, seed)
        self.pause(ctx, env, machine.name)

    def set_clock(self, ctx: TaskContext, env: EnvRef, machine: str) -> bool:
        return True

    def _overlay(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...]) -> None:
        with self._host.lock:
            self._host.overlays[env.uuid, machine] = overlays
        for overlay in overlays:
            if not Path(overlay.overlay).exists():
                make_overlay(ctx, Path(overlay.overlay), Path(overlay.frozen), overlay.frozen_format)

    def _require_up(self, env: EnvRef, machine: str) -> None:
        if (env.uuid, machine) not in self._host.machines:
            raise MachineStateError(f"machine '{machine}' is not running", hint=f"lagotui --run start {machine}")

    @contextmanager
    def console(self, env: EnvRef, machine: str) -> Iterator[ConsoleStream]:
        if (env.uuid, machine) not in self._host.machines:
            raise MachineStateError(f"machine '{machine}' is not running", hint=f"lagotui --run start {machine}")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(f"{machine} login: ".encode())
            yield ours

    def console_tail(self, env: EnvRef, machine: str, lines: int) -> list[str]:
        return [f"{machine} login:"] if (env.uuid, machine) in self._host.machines else []

    def stats(self, env: EnvRef) -> Mapping[str, MachineStats]:
        with self._host.lock:
            running = {name: spec for (uuid, name), spec in self._host.machines.items() if uuid == env.uuid}
            ages_s = {name: time.monotonic() - self._host.started_at_s[env.uuid, name] for name in running}
        return {name: _believable(spec, ages_s[name]) for name, spec in running.items()}

    def watch(self, on_change: Callable[[StatusChange], None]) -> Callable[[], None]:
        self._host.watchers.append(on_change)
        return lambda: self._host.watchers.remove(on_change)

    def lease_of(self, env: EnvRef, machine: MachineSpec) -> str | None:
        return machine.ip if (env.uuid, machine.name) in self._host.machines else None

    def can_read_images(self, folder: Path) -> str:
        return ""

    def cpu_models(self) -> tuple[str, ...]:
        return self._host.cpu_models

    def host_cpu(self) -> HostCpu:
        return HostCpu("EPYC", "AMD")

    def bridges(self) -> frozenset[str]:
        return self._host.bridges

    def enter_command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return argv

    def iter_tagged(self, uuid: str) -> Iterator[str]:
        with self._host.lock:
            yield from [name for each, name in self._host.machines if each == uuid]
            yield from [name for each, name in self._host.nets if each == uuid]

    def release(self, ctx: TaskContext) -> None:
        """Nothing ends: the host lives as long as its owner."""

    def close(self) -> None:
        """Nothing is held open."""


class FakeDialer:
    """Reaches no guest."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        raise ConnectionRefusedError(f"{host}:{port} is a machine in memory")

    def proxy_command(self) -> tuple[str, ...]:
        return ()


def _believable(spec: MachineSpec, age_s: float) -> MachineStats:
    booting_s = min(age_s, 5.0)
    return MachineStats(
        at_s=time.monotonic(),
        cpu_time_s=booting_s * 0.9 + age_s * 0.03,
        vcpu=spec.vcpu,
        memory_used_mib=int(spec.memory_mib * min(0.4, 0.1 + age_s / 20)),
        memory_mib=spec.memory_mib,
        disk_read_bytes=int(booting_s * 8e6),
        disk_written_bytes=int(age_s * 2e3),
        net_received_bytes=int(age_s * 900),
        net_sent_bytes=int(age_s * 700),
    )
