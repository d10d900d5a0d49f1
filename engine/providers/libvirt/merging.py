"""Layers of running machines become one: block jobs, watched until they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import libvirt
from lxml import etree

from ...context import TaskContext
from ...errors import Cancelled, HostRefused, MachineStateError
from ...spec import EnvRef
from ..base import DiskOverlay
from .domain import find, running
from .metadata import parser
from .refusals import is_code, refused

MERGE_STALL_S = 60.0
"""A merge that moves no byte for this long is given up."""
PIVOT_TIMEOUT_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LiveDisk:
    """One disk of a running machine, as libvirt sees it now."""

    chain: tuple[str, ...]
    """Its image, then what that stands on."""
    merging: bool
    ready: bool
    """The merge has caught up with the guest and can be completed."""

    @property
    def image(self) -> str:
        return self.chain[0] if self.chain else ""


def unsnapshot(conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, overlays: Sequence[DiskOverlay]) -> None:
    """Merge the overlays of a running machine into the frozen images; the overlays' files are then in nobody's use.

    Raises:
        MachineStateError: the machine is down, or a disk is on neither image.
        HostRefused: the host cannot do it; the disks that were not merged go on as they were.
        Cancelled: the user asked to stop; as above.
    """
    domain = running(conn, env, machine)
    for overlay in overlays:
        if overlay.overlay in live_disk(live_disks(domain.XMLDesc()), machine, overlay.dev).chain:
            _merge_active(ctx, domain, machine, overlay.dev, overlay.overlay, overlay.frozen)


def open_images(conn: libvirt.virConnect, env: EnvRef, machine: str) -> frozenset[str]:
    """Return the images of a machine's disks and what they stand on; none when it is down."""
    domain = find(conn, env, machine)
    return frozenset(path for disk in live_disks(domain.XMLDesc()).values() for path in disk.chain) if domain is not None else frozenset()


def commit_layer(conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, dev: str, top: str, base: str) -> None:
    """Write what `top` holds into `base`, which it stands on. Raises what `unsnapshot` raises."""
    domain = running(conn, env, machine)
    disk = live_disk(live_disks(domain.XMLDesc()), machine, dev)
    if disk.image == top:
        _merge_active(ctx, domain, machine, dev, top, base)
    elif top in disk.chain:
        _run_job(ctx, domain, machine, dev, lambda: domain.blockCommit(dev, base, top, 0, 0))


def pull_layer(conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, dev: str, layer: str, below: str | None) -> None:
    """Copy what is above `below` into the image in use. Raises what `unsnapshot` raises."""
    domain = running(conn, env, machine)
    disk = live_disk(live_disks(domain.XMLDesc()), machine, dev)
    if layer not in disk.chain:
        return
    if disk.chain.index(layer) != 1:
        raise MachineStateError(
            f"machine '{machine}' runs on what stands on '{layer}'", hint=f"stop it first: lagotui --run stop {machine}"
        )
    _run_job(ctx, domain, machine, dev, lambda: domain.blockRebase(dev, below, 0, 0))


def live_disks(xml: str) -> dict[str, LiveDisk]:
    """Return the disks of a running domain by their name in the guest."""
    disks = {}
    for element in etree.fromstring(xml.encode(), parser()).findall("devices/disk"):
        target = element.find("target")
        if target is None:
            continue
        mirror = element.find("mirror")
        disks[target.get("dev", "")] = LiveDisk(
            chain=tuple(source.get("file", "") for source in _sources(element)),
            merging=mirror is not None,
            ready=mirror is not None and mirror.get("ready") == "yes",
        )
    return disks


def live_disk(disks: dict[str, LiveDisk], machine: str, dev: str) -> LiveDisk:
    """Raises: MachineStateError: the machine runs without that disk."""
    if dev not in disks:
        raise MachineStateError(f"machine '{machine}' runs without a disk '{dev}'", hint=f"stop and start it: lagotui --run stop {machine}")
    return disks[dev]


def _run_job(ctx: TaskContext, domain: libvirt.virDomain, machine: str, dev: str, start: Callable[[], object]) -> None:
    """Start a job that ends by itself, unless a run that died did, and wait for its end."""
    try:
        if not domain.blockJobInfo(dev):
            start()
        try:
            _wait_ended(ctx, domain, machine, dev)
        except (Cancelled, HostRefused):
            domain.blockJobAbort(dev, 0)
            raise
    except libvirt.libvirtError as error:
        raise refused(f"cannot merge layers of disk '{dev}' of machine '{machine}'", error) from error


def _wait_ended(ctx: TaskContext, domain: libvirt.virDomain, machine: str, dev: str) -> None:
    stall = _Stall(ctx, machine, dev)
    while job := domain.blockJobInfo(dev):
        stall.look(job)
        ctx.sleep(POLL_S)


def _merge_active(ctx: TaskContext, domain: libvirt.virDomain, machine: str, dev: str, top: str, base: str) -> None:
    disk = live_disk(live_disks(domain.XMLDesc()), machine, dev)
    if disk.image == base:
        return
    if disk.image != top:
        raise MachineStateError(f"disk '{dev}' of machine '{machine}' is on '{disk.image}', not on '{top}'")
    try:
        # A merge that a dead run began is simply finished.
        if not disk.merging:
            domain.blockCommit(dev, base, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        try:
            _wait_ready(ctx, domain, machine, dev)
            _pivot(ctx, domain, dev)
        except (Cancelled, HostRefused):
            domain.blockJobAbort(dev, 0)
            raise
    except libvirt.libvirtError as error:
        raise refused(f"cannot merge disk '{dev}' of machine '{machine}'", error) from error


def _wait_ready(ctx: TaskContext, domain: libvirt.virDomain, machine: str, dev: str) -> None:
    """Wait until the merge has caught up with the guest."""
    stall = _Stall(ctx, machine, dev)
    while not live_disks(domain.XMLDesc())[dev].ready:
        job = domain.blockJobInfo(dev)
        if not job:
            raise HostRefused(f"the merge of disk '{dev}' of machine '{machine}' ended by itself", hint="see the host's log of the machine")
        stall.look(job)
        ctx.sleep(POLL_S)


class _Stall:
    """Tells how far a job is, and gives it up when it does not move."""

    def __init__(self, ctx: TaskContext, machine: str, dev: str) -> None:
        self._ctx, self._machine, self._dev = ctx, machine, dev
        self._moved, self._moved_at_s = -1, time.monotonic()

    def look(self, job: dict[str, int]) -> None:
        if job["cur"] != self._moved:
            self._moved, self._moved_at_s = job["cur"], time.monotonic()
            self._ctx.progress(job["cur"], job["end"] or None, unit="B", note=self._dev)
        if time.monotonic() - self._moved_at_s > MERGE_STALL_S:
            raise HostRefused(f"the merge of disk '{self._dev}' of machine '{self._machine}' moved nothing for {MERGE_STALL_S:g} s")


def _pivot(ctx: TaskContext, domain: libvirt.virDomain, dev: str) -> None:
    """Let the machine go on with the frozen image."""
    deadline_s = time.monotonic() + PIVOT_TIMEOUT_S
    while True:
        try:
            domain.blockJobAbort(dev, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        except libvirt.libvirtError as error:
            # The guest wrote between our look and the call: a moment later the merge has caught up again.
            if not is_code(error, libvirt.VIR_ERR_BLOCK_COPY_ACTIVE) or time.monotonic() > deadline_s:
                raise
            ctx.sleep(POLL_S)
        else:
            return


def _sources(disk: etree._Element) -> list[etree._Element]:
    own = disk.findall("source")
    return own + [source for store in disk.findall(".//backingStore") if _outside_mirror(store) for source in store.findall("source")]


def _outside_mirror(element: etree._Element) -> bool:
    return not any(ancestor.tag == "mirror" for ancestor in element.iterancestors())
