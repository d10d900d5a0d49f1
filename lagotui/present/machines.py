"""Machines → rows of the table and lines of the details pane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.providers.base import MachineStats
from engine.spec import DiskSpec, DiskType, MachineSpec, MachineStatus
from engine.state.env import EnvState, MachineState

from .cells import Column, Line, Row, Span, line_len, load_colour, meter, size_text, sparkline

Readings = Sequence[MachineStats]
"""Of one machine, oldest first."""

CELL_SPARKS = 8
"""Readings in the table's little graph."""

COLUMNS = (
    Column("  Name", 11, 0, 26),
    Column("State", 8, 0, 10),
    Column("Address", 15, 1),
    Column("CPU", 13, 2),
    Column("Memory", 11, 3, right=True),
    Column("Snap", 4, 4, right=True),
    Column("vCPU", 4, 6, right=True),
    Column("System", 12, 5, 20),
    Column("Disk r/w", 19, 7, right=True),
    Column("Net in/out", 19, 8, right=True),
    Column("Groups", 10, 9, 24),
)

_WORDS = {
    MachineStatus.STOPPING: "stopping",
    MachineStatus.UNREADABLE: "unreadable",
}
_FAILED = frozenset({MachineStatus.CRASHED, MachineStatus.UNREADABLE})
_STEADY = frozenset({MachineStatus.RUNNING, MachineStatus.BLOCKED})


@dataclass(frozen=True, slots=True)
class Rates:
    """What two readings say about the time between them."""

    cpu_percent: float
    """Of all its vCPUs: 0 to 100."""
    disk_read: float
    """Bytes a second, as the three below."""
    disk_written: float
    net_received: float
    net_sent: float


def symbol(status: MachineStatus) -> Span:
    """Return the sign of a state; its shape alone tells the states apart."""
    if status in _FAILED:
        return Span("✖", "vm-failed")
    if not status.is_up:
        return Span("○", "vm-down")
    return Span("●", "vm-running") if status in _STEADY else Span("◐", "vm-changing")


def status_span(status: MachineStatus) -> Span:
    return Span(_WORDS.get(status, status.value), symbol(status).colour)


def rates(before: MachineStats, after: MachineStats) -> Rates:
    """Return the rates between two readings; a machine that was restarted in between counts as idle."""
    elapsed_s = after.at_s - before.at_s
    if elapsed_s <= 0 or after.cpu_time_s < before.cpu_time_s:
        return Rates(0.0, 0.0, 0.0, 0.0, 0.0)
    cpu = (after.cpu_time_s - before.cpu_time_s) / elapsed_s / max(1, after.vcpu) * 100
    return Rates(
        min(100.0, cpu),
        max(0, after.disk_read_bytes - before.disk_read_bytes) / elapsed_s,
        max(0, after.disk_written_bytes - before.disk_written_bytes) / elapsed_s,
        max(0, after.net_received_bytes - before.net_received_bytes) / elapsed_s,
        max(0, after.net_sent_bytes - before.net_sent_bytes) / elapsed_s,
    )


def cpu_history(readings: Readings) -> list[float]:
    """Return the CPU load between each two neighbouring readings."""
    return [rates(before, after).cpu_percent for before, after in pairwise(readings)]


def rows(state: EnvState, readings: Mapping[str, Readings]) -> tuple[Row, ...]:
    """Return one row a machine, in the order of the init file."""
    return tuple(_row(machine, readings.get(name, ()) if machine.status.is_up else ()) for name, machine in state.machines.items())


def detail_lines(machine: MachineState, readings: Readings, width: int) -> tuple[Line, ...]:
    """Return what is known of one machine, for a pane of `width` cells."""
    spec = machine.spec
    lines: list[Line] = [
        (symbol(machine.status), Span(" "), status_span(machine.status), Span(f"  {spec.vcpu} vCPU · {spec.memory_mib} MiB", "dim")),
        (),
    ]
    if machine.status.is_up and len(readings) > 1:
        lines += _load_lines(readings, width)
    lines.append(_head("network"))
    lines += [line for index in range(len(spec.nics)) for line in _nic_lines(index, spec, width)]
    lines.append(())
    lines += [_head("disks"), *(_disk_line(disk) for disk in spec.disks), ()]
    lines.append(_head("snapshots"))
    lines += [_plain(f"  {name}") for name in spec.snapshots] or [(Span("  none", "dim"),)]
    facts = _fact_lines(spec)
    return (*lines, (), *facts) if facts else tuple(lines)


def _row(machine: MachineState, readings: Readings) -> Row:
    spec, status = machine.spec, machine.status
    nothing: Line = (Span("—", "dim"),)
    now = rates(readings[-2], readings[-1]) if len(readings) > 1 else None
    system = _system(spec)
    cells: tuple[Line, ...] = (
        (symbol(status), Span(f" {spec.name}", bold=status.is_up)),
        (status_span(status),),
        (Span(spec.ip),) if spec.ip else nothing,
        _cpu_cell(readings) if now else nothing,
        _memory_cell(readings[-1]) if readings else (Span(f"{spec.memory_mib}M", "dim"),),
        (Span(str(len(spec.snapshots))),) if spec.snapshots else nothing,
        (Span(str(spec.vcpu)),),
        (Span(system, "dim"),) if system else nothing,
        _rate_cell(now.disk_read, now.disk_written) if now else nothing,
        _rate_cell(now.net_received, now.net_sent) if now else nothing,
        (Span(" ".join(spec.groups), "dim"),) if spec.groups else nothing,
    )
    words = " ".join((spec.name, _WORDS.get(status, status.value), spec.ip or "", system, *spec.groups))
    return Row(spec.name, cells, words)


def _cpu_cell(readings: Readings) -> Line:
    history = cpu_history(readings[-CELL_SPARKS - 1 :])
    percent = history[-1]
    return (Span(sparkline(history, CELL_SPARKS), load_colour(percent)), Span(f"{percent:4.0f}%"))


def _memory_cell(reading: MachineStats) -> Line:
    share = reading.memory_used_mib / max(1, reading.memory_mib) * 100
    return (Span(str(reading.memory_used_mib), load_colour(share) if share >= 85 else ""), Span(f"/{reading.memory_mib}M", "dim"))


def _rate_cell(first: float, second: float) -> Line:
    return (Span(f"{size_text(first):>9} {size_text(second):>9}", "dim" if first + second < 1 else ""),)


def _load_lines(readings: Readings, width: int) -> list[Line]:
    room = max(8, width - 13)
    history = cpu_history(readings[-room - 1 :])
    last, now = readings[-1], rates(readings[-2], readings[-1])
    share = last.memory_used_mib / max(1, last.memory_mib)
    return [
        _fact("cpu", Span(sparkline(history, room), load_colour(now.cpu_percent)), Span(f"{now.cpu_percent:4.0f}%")),
        (Span("memory".ljust(8), "dim"), *meter(share, room, load_colour(share * 100)), Span(f"{share * 100:4.0f}%")),
        _fact("disk", Span(f"read {size_text(now.disk_read)}/s  write {size_text(now.disk_written)}/s")),
        _fact("net", Span(f"in {size_text(now.net_received)}/s  out {size_text(now.net_sent)}/s")),
        (),
    ]


def _nic_lines(index: int, spec: MachineSpec, width: int) -> list[Line]:
    nic = spec.nics[index]
    first: Line = (
        Span(f"  eth{index} ", "dim"),
        Span((nic.ip or "no address").ljust(15), "" if nic.ip else "dim", bold=nic.net == spec.mgmt_net),
        Span(f" {nic.net}", "net-up"),
    )
    if nic.mac is None:
        return [first]
    mac = Span(nic.mac, "dim")
    if line_len(first) + 2 + len(nic.mac) <= width:
        return [(*first, Span("  "), mac)]
    return [first, (Span("       "), mac)]


def _disk_line(disk: DiskSpec) -> Line:
    what = disk.type.value
    if disk.type is DiskType.TEMPLATE and disk.template_name:
        what = f"{disk.template_name}:{disk.template_version}" if disk.template_version else disk.template_name
    return (Span(f"  {disk.dev:<4} ", "dim"), Span(what), Span(f"  {disk.size or ''} {disk.format}".rstrip(), "dim"))


def _fact_lines(spec: MachineSpec) -> list[Line]:
    facts = {"distro": spec.distro or "", "groups": " ".join(spec.groups), "ssh user": spec.ssh_user}
    return [(Span(name.ljust(10), "dim"), Span(value)) for name, value in facts.items() if value]


def _system(spec: MachineSpec) -> str:
    """Return what the machine runs: its distribution, else the template of its first disk."""
    if spec.distro:
        return spec.distro
    return next((disk.template_name for disk in spec.disks if disk.template_name), "")


def _head(text: str) -> Line:
    return (Span(text, "title", bold=True),)


def _plain(text: str) -> Line:
    return (Span(text),)


def _fact(name: str, *value: Span) -> Line:
    return (Span(name.ljust(8), "dim"), *value)
