"""What a run would do, summed up for a person, a program or the UI. Pure: everything that must be looked up comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..spec import DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec
from .diff import EnvDiff
from .forecast import Forecast
from .model import Step, StepKind


@dataclass(frozen=True, slots=True)
class NetSummary:
    name: str
    type: str
    subnet: str
    """`192.168.200.0/24`; "" on bridges."""
    gw: str
    dhcp: str
    """Last octets of the pool: `100–254`; "" without one."""
    management: bool
    dns_domain_name: str
    bridge: str
    """The host's bridge that it uses; "" when it is one of our own."""


@dataclass(frozen=True, slots=True)
class DiskSummary:
    name: str
    dev: str
    kind: str
    """`template`, `empty` or `file`."""
    source: str
    """`tiny:1`, a path or a URL; "" for empty disks."""
    how: str
    """What is done: `overlay`, `copy`, `new`, `in place`, `cdrom`."""
    size_bytes: int | None
    """What the guest sees; None when that is not known before it is fetched."""
    path: str
    """Where its image will be."""


@dataclass(frozen=True, slots=True)
class NicSummary:
    net: str
    ip: str
    """"" on nets without addresses."""


@dataclass(frozen=True, slots=True)
class MachineSummary:
    name: str
    memory_mib: int
    vcpu: int
    nics: tuple[NicSummary, ...]
    disks: tuple[DiskSummary, ...]
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateSummary:
    name: str
    version: str
    repo: str
    how: str
    """`in store`, `build`, `copy` or `download`."""
    size_bytes: int | None
    """What must be fetched; None when the source does not say."""
    virtual_bytes: int | None = None
    """What a guest sees of it; None when that is not known."""


@dataclass(frozen=True, slots=True)
class Need:
    """So much of something, beside what there is."""

    needed: int
    available: int
    at_most: int | None = None
    """What it may grow to; None when that is the same, or not known."""

    @property
    def enough(self) -> bool:
        return max(self.needed, self.at_most or 0) <= self.available


@dataclass(frozen=True, slots=True)
class PlanSummary:
    prefix: str
    host: str
    exists: bool
    """The prefix is there already: the plan is what changes."""
    nets: tuple[NetSummary, ...]
    machines: tuple[MachineSummary, ...]
    templates: tuple[TemplateSummary, ...]
    memory_mib: Need
    """Of the machines that would be started."""
    disk_bytes: Need
    """Where the prefix is."""
    store_bytes: Need
    """Where templates are kept."""
    forecast: Forecast
    changes: EnvDiff = field(default_factory=EnvDiff)
    notes: tuple[str, ...] = ()

    @property
    def step_count(self) -> int:
        return sum(step.count for step in self.forecast.steps)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this machine has left."""

    memory_mib: int
    disk_bytes: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class SizeFacts:
    """Sizes that were looked up."""

    templates: Sequence[TemplateSummary] = ()
    virtual_bytes: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    """Machine and disk → what the guest sees."""
    copied_bytes: int = 0
    """Of the images that are copied."""


def net_summary(net: NetSpec) -> NetSummary:
    return NetSummary(
        name=net.name,
        type=net.type.value,
        subnet=f"{net.gw.rpartition('.')[0]}.0/24" if net.gw else "",
        gw=net.gw or "",
        dhcp=f"{net.dhcp.start}–{net.dhcp.end}" if net.dhcp else "",
        management=net.management,
        dns_domain_name=net.dns_domain_name or "",
        bridge=net.bridge or "",
    )


def machine_summary(machine: MachineSpec, written: MachineSpec, sizes: SizeFacts) -> MachineSummary:
    """Sum up a machine.

    Args:
        machine: with its addresses, and its disks where they will be.
        written: as the init file has it: there the disks still say where they come from.
        sizes: of its disks.
    """
    sources = {disk.name: disk for disk in written.disks}
    disks = tuple(_disk(disk, sources.get(disk.name, disk), sizes.virtual_bytes.get((machine.name, disk.name))) for disk in machine.disks)
    nics = tuple(NicSummary(nic.net, nic.ip or "") for nic in machine.nics)
    return MachineSummary(machine.name, machine.memory_mib, machine.vcpu, nics, disks, machine.depends_on)


def _disk(placed: DiskSpec, written: DiskSpec, size_bytes: int | None) -> DiskSummary:
    path = placed.path or ""
    return DiskSummary(placed.name, placed.dev, placed.type.value, _source(placed, written), _how(placed, written), size_bytes, path)


def _source(placed: DiskSpec, written: DiskSpec) -> str:
    if placed.type is DiskType.TEMPLATE and placed.template_name:
        return f"{placed.template_name}:{placed.template_version}" if placed.template_version else placed.template_name
    if placed.type is DiskType.EMPTY:
        return ""
    return written.url or written.path or ""


def _how(placed: DiskSpec, written: DiskSpec) -> str:
    if placed.format == "iso":
        return "cdrom"
    if placed.type is DiskType.EMPTY:
        return "new"
    if placed.in_place:
        return "in place"
    return "copy" if written.make_a_copy else "overlay"


def fetched_bytes(templates: Sequence[TemplateSummary]) -> int:
    """Return what must be fetched at least: templates of unknown size count as nothing."""
    return sum(template.size_bytes or 0 for template in templates if template.how != "in store")


def fetch_steps_done(steps: Sequence[Step], templates: Sequence[TemplateSummary]) -> frozenset[str]:
    """Return the ids of fetch steps whose template is in the store."""
    stored = {(template.name, template.version) for template in templates if template.how == "in store"}
    return frozenset(
        step.id for step in steps if step.kind is StepKind.FETCH_TEMPLATE and (step.args.get("name"), step.args.get("version")) in stored
    )


def disk_need(disks: Sequence[DiskSummary], copied_bytes: int, available: int) -> Need:
    """Return what new images need: copies at once, everything once the guests have filled their disks."""
    grown = [disk.size_bytes for disk in disks if disk.how not in ("in place", "cdrom")]
    known = all(size is not None for size in grown)
    return Need(copied_bytes, available, sum(size or 0 for size in grown) if known else None)


def memory_need(env: EnvSpec, starting: Sequence[str], available_mib: int) -> Need:
    return Need(sum(env.machines[name].memory_mib for name in starting if not env.machines[name].is_external), available_mib)
