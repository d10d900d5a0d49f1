"""What the engine asks of a host of machines. Blocking calls; each takes the task it runs in where it may take long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ..context import TaskContext
from ..guest.dial import Dialer
from ..spec import EnvRef, MachineSpec, MachineStatus, NetSpec


class Accel(StrEnum):
    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class HostInfo:
    kind: str
    """`private`, `system`, `uri` or `fake`."""
    uri: str
    version: str
    """Of the hypervisor's management layer, e.g. `libvirt 9.0.0`."""
    accel: Accel
    why: str = ""
    """Why this host was chosen, when it was chosen for the user."""


@dataclass(frozen=True, slots=True)
class HostCpu:
    """The processor of a host, in libvirt's words; both "" where nobody can tell."""

    model: str
    """The named model that comes nearest to it, e.g. `EPYC-Rome`."""
    vendor: str
    """`Intel`, `AMD` …"""


@dataclass(frozen=True, slots=True)
class MachineStats:
    """One reading; rates come from two of them."""

    at_s: float
    cpu_time_s: float
    """CPU seconds used since start."""
    vcpu: int
    memory_used_mib: int
    memory_mib: int
    disk_read_bytes: int
    disk_written_bytes: int
    net_received_bytes: int
    net_sent_bytes: int


@dataclass(frozen=True, slots=True)
class StatusChange:
    """Pushed by a host: a machine or a net of an environment of ours changed."""

    uuid: str
    """Of the environment."""
    machine: str = ""
    status: MachineStatus = MachineStatus.UNKNOWN
    net: str = ""
    net_up: bool = False


@dataclass(frozen=True, slots=True)
class DiskOverlay:
    """One disk of a snapshot: `frozen` stays as it is from now on, `overlay` takes the writes."""

    dev: str
    frozen: str
    frozen_format: str
    overlay: str


class Lifecycle(Protocol):
    """Networks and machines: start and stop are no-ops when there is nothing to do."""

    def start_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        """Start `net`; `nets` are all nets of the environment (their names go into the DNS of management nets)."""
        ...

    def update_net(self, ctx: TaskContext, env: EnvRef, net: NetSpec, nets: Mapping[str, NetSpec]) -> None:
        """Bring the names and reservations of a net that is up to what `net` says; its machines stay connected."""
        ...

    def stop_net(self, ctx: TaskContext, env: EnvRef, name: str) -> None: ...

    def start_machine(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, seed: Path | None) -> None:
        """Start `machine`; its disks hold absolute paths; `seed` is its NoCloud image."""
        ...

    def stop_machine(self, ctx: TaskContext, env: EnvRef, name: str) -> None:
        """End the machine at once, like pulling the plug."""
        ...

    def press_power(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        """Ask the machine to shut itself down, and return at once; false when it is not up."""
        ...

    def press_reset(self, ctx: TaskContext, env: EnvRef, name: str) -> bool:
        """Ask the machine to restart itself, and return at once; false when it is not up."""
        ...

    def machine_states(self, env: EnvRef) -> Mapping[str, MachineStatus]:
        """Return the machines of `env` that the host knows; the others are down."""
        ...

    def active_nets(self, env: EnvRef) -> frozenset[str]:
        """Return the nets of `env` that are up, by their name in the init file."""
        ...

    def used_subnets(self, env: EnvRef | None = None) -> frozenset[str]:
        """Return the IPv4 networks (`192.168.200.0/24`) that the host's interfaces and routes already use.

        Nets of other environments count, too: those of other users are in no lease store that we could read.

        Args:
            env: whose own nets do not count.
        """
        ...


class Snapshots(Protocol):
    """Disks of running machines. What these do may be repeated after a crash: what was done is left alone."""

    def snapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], sync: Callable[[], bool]) -> None:
        """Put an overlay on every disk of a running machine at one moment, quiesced by the guest agent where it is there.

        `sync` is called where it is not: it brings the guest's writes to its disks by other means, and says whether it could.
        """
        ...

    def unsnapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...]) -> None:
        """Merge the overlays back into the frozen images of a running machine, and go on with those."""
        ...

    def open_images(self, env: EnvRef, machine: str) -> frozenset[str]:
        """Return the images that a machine has open now, with what they stand on; none when it is down."""
        ...

    def commit_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, top: str, base: str) -> None:
        """Write what `top` holds into the image below it, under a running machine that then goes on without `top`."""
        ...

    def pull_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, layer: str, below: str | None) -> None:
        """Copy what `layer`, the image below that in use, holds into that in use, which then stands on `below`."""
        ...


class Memories(Protocol):
    """Machines with their memory. Blocking for as long as the memory takes; pausing is no-op where there is nothing to do."""

    def pause(self, ctx: TaskContext, env: EnvRef, machine: str) -> None:
        """Raises: MachineStateError: the machine is down."""
        ...

    def resume(self, ctx: TaskContext, env: EnvRef, machine: str) -> None: ...

    def checkpoint(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], memory: Path) -> None:
        """Put overlays on the disks of a machine that is up and write its memory to a file, all at one moment; it goes on as it was."""
        ...

    def check_memory(self, ctx: TaskContext, memory: Path) -> None:
        """Raises: HostError: the host sees no saved memory there."""
        ...

    def restore(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, memory: Path, seed: Path | None) -> None:
        """Bring a machine that is down to where its memory was saved, on the disks of `machine`, and leave it paused there."""
        ...

    def set_clock(self, ctx: TaskContext, env: EnvRef, machine: str) -> bool:
        """Set the guest's clock to now by its agent; returns false when that does not serve."""
        ...


class Consoles(Protocol):
    def console(self, env: EnvRef, machine: str) -> AbstractContextManager[ConsoleStream]:
        """Open the serial console; anybody else's session on it ends."""
        ...

    def console_tail(self, env: EnvRef, machine: str, lines: int) -> list[str]:
        """Return the last lines that the serial console printed since start; control characters are stripped."""
        ...


class ConsoleStream(Protocol):
    def recv(self, size: int, /) -> bytes: ...

    def send(self, data: bytes, /) -> int:
        """Return how many bytes were taken."""
        ...


class Stats(Protocol):
    def stats(self, env: EnvRef) -> Mapping[str, MachineStats]:
        """Read all machines of `env` that are up, in one call to the host."""
        ...


class Watches(Protocol):
    def watch(self, on_change: Callable[[StatusChange], None]) -> Callable[[], None]:
        """Call `on_change` (from a thread of the host's) whenever a machine or net of ours changes; returns what ends it."""
        ...


class Cpus(Protocol):
    def cpu_models(self) -> tuple[str, ...]:
        """Return what `cpu_model` may name here, sorted; empty while nobody can tell."""
        ...

    def host_cpu(self) -> HostCpu:
        """Return the processor of the host: what machines have that choose none, where they run on it directly."""
        ...


class Provider(Lifecycle, Snapshots, Memories, Consoles, Stats, Watches, Cpus, Protocol):
    """A host of machines, connected."""

    def info(self) -> HostInfo: ...

    def dialer(self) -> Dialer:
        """Return the one way to connect to a guest of this host."""
        ...

    def lease_of(self, env: EnvRef, machine: MachineSpec) -> str | None:
        """Return the address that DHCP gave the machine on its management net, None while there is none."""
        ...

    def can_read_images(self, folder: Path) -> str:
        """Return "" when machines of this host can use images below `folder`, else the command that would let them."""
        ...

    def bridges(self) -> frozenset[str] | None:
        """Return the host's own bridges, which a net's `bridge` may name; None where nobody can tell."""
        ...

    def enter_command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that runs `argv` in the network of the guests."""
        ...

    def iter_tagged(self, uuid: str) -> Iterator[str]:
        """Name everything on the host that carries the environment's tag: domains, networks."""
        ...

    def release(self, ctx: TaskContext) -> None:
        """Called after machines went away: a private world without machines ends here."""
        ...

    def close(self) -> None: ...
