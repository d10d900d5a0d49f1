"""Snapshots of running machines: external overlays put on every disk at one moment, and merged back."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import libvirt
from lxml import etree

from ...context import TaskContext
from ...errors import Cancelled, HostRefused, MachineStateError
from ...process import run
from ...spec import EnvRef
from ..base import DiskOverlay
from .domain import running
from .metadata import parser
from .refusals import is_code, refused
from .xml_domain import AGENT_CHANNEL

AGENT_TIMEOUT_S = 10
"""Time that the guest agent gets to answer, and to freeze the file systems; a guest that is slower is snapshotted as it is."""
THAW_TIMEOUT_S = 60
QEMU_IMG_TIMEOUT_S = 60.0
MERGE_STALL_S = 60.0
"""A merge that moves no byte for this long is given up."""
PIVOT_TIMEOUT_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Disk:
    """One disk of a running machine, as libvirt sees it now."""

    chain: tuple[str, ...]
    """Its image, then what that stands on."""
    merging: bool
    ready: bool
    """The merge has caught up with the guest and can be completed."""

    @property
    def image(self) -> str:
        return self.chain[0] if self.chain else ""


def snapshot(conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, overlays: Sequence[DiskOverlay]) -> None:
    """Put the overlays on the disks of a running machine, all at one moment.

    Raises:
        MachineStateError: the machine is down, or a disk is not on the image that should be frozen.
        HostRefused: the host cannot do it; nothing changed.
        Cancelled: the user asked to stop; nothing changed.
    """
    domain = running(conn, env, machine)
    xml = domain.XMLDesc()
    disks = _disks(xml)
    todo = [overlay for overlay in overlays if _disk(disks, machine, overlay.dev).image != overlay.overlay]
    if not todo:
        return
    for overlay in todo:
        _make_overlay(ctx, domain, machine, disks[overlay.dev], overlay)
    ctx.raise_if_cancelled()
    _take(ctx, domain, machine, _snapshot_xml(disks, todo), quiesce=_agent_connected(xml))


def unsnapshot(conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, overlays: Sequence[DiskOverlay]) -> None:
    """Merge the overlays of a running machine into the frozen images; the overlays' files are then in nobody's use.

    Raises:
        MachineStateError: the machine is down, or a disk is on neither image.
        HostRefused: the host cannot do it; the disks that were not merged go on as they were.
        Cancelled: the user asked to stop; as above.
    """
    domain = running(conn, env, machine)
    for overlay in overlays:
        _merge(ctx, domain, machine, overlay)


def _make_overlay(ctx: TaskContext, domain: libvirt.virDomain, machine: str, disk: _Disk, overlay: DiskOverlay) -> None:
    """Make the overlay's file ourselves: made by libvirt it would belong to root once the machine is down."""
    if disk.image != overlay.frozen:
        raise MachineStateError(
            f"disk '{overlay.dev}' of machine '{machine}' is on '{disk.image}', not on '{overlay.frozen}'",
            hint="another run changed it; look at: lagotui --run snapshot --list",
        )
    if overlay.overlay in disk.chain:
        raise MachineStateError(f"'{overlay.overlay}' is in use below disk '{overlay.dev}' of machine '{machine}'")
    # A run that died may have left the file; it holds nothing, since no machine ever ran on it.
    Path(overlay.overlay).unlink(missing_ok=True)
    capacity = domain.blockInfo(overlay.dev)[0]
    # -u: the frozen image is locked by the running machine, so qemu-img cannot open it, and need not: the size is known.
    layers = ["-u", "-f", "qcow2", "-b", overlay.frozen, "-F", overlay.frozen_format]
    run(ctx, ["qemu-img", "create", "-q", *layers, overlay.overlay, str(capacity)], timeout_s=QEMU_IMG_TIMEOUT_S)


def _snapshot_xml(disks: dict[str, _Disk], todo: Sequence[DiskOverlay]) -> str:
    root = etree.Element("domainsnapshot")
    listed = etree.SubElement(root, "disks")
    new = {overlay.dev: overlay.overlay for overlay in todo}
    for dev in disks:
        disk = etree.SubElement(listed, "disk", name=dev, snapshot="external" if dev in new else "no")
        if dev in new:
            etree.SubElement(disk, "driver", type="qcow2")
            etree.SubElement(disk, "source", file=new[dev])
    return etree.tostring(root, pretty_print=True, encoding="unicode")


def _take(ctx: TaskContext, domain: libvirt.virDomain, machine: str, xml: str, *, quiesce: bool) -> None:
    flags = (
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    )
    try:
        if quiesce and _take_quiesced(ctx, domain, machine, xml, flags):
            return
        if not quiesce:
            ctx.log(f"the guest agent of '{machine}' is not connected: the snapshot is taken as of a power cut", logging.WARNING)
        domain.snapshotCreateXML(xml, flags)
    except libvirt.libvirtError as error:
        raise refused(f"cannot snapshot machine '{machine}'", error) from error


def _take_quiesced(ctx: TaskContext, domain: libvirt.virDomain, machine: str, xml: str, flags: int) -> bool:
    """Take the snapshot with the guest's file systems frozen; returns false when its agent does not serve."""
    asked_to_freeze = False
    try:
        domain.agentSetResponseTimeout(AGENT_TIMEOUT_S)
        # A hung agent is found out by a harmless question: a freeze would be carried out when it wakes, with nobody left to thaw.
        domain.getTime()
        asked_to_freeze = True
        domain.snapshotCreateXML(xml, flags | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE)
    except libvirt.libvirtError as error:
        words = error.get_error_message() or ""
        if asked_to_freeze and not _is_agents_fault(error):
            raise
        ctx.log(f"the guest agent of '{machine}' does not freeze the file systems ({words}): taken as of a power cut", logging.WARNING)
        if asked_to_freeze:
            _thaw(ctx, domain, machine)
        return False
    return True


def _is_agents_fault(error: libvirt.libvirtError) -> bool:
    words = error.get_error_message() or ""
    return is_code(error, libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED) or "agent" in words or "fsfreeze" in words


def _thaw(ctx: TaskContext, domain: libvirt.virDomain, machine: str) -> None:
    """Take back a freeze that took too long and may yet be done."""
    try:
        domain.agentSetResponseTimeout(THAW_TIMEOUT_S)
        domain.fsThaw()
    except libvirt.libvirtError as error:
        ctx.log(
            f"the guest agent of '{machine}' did not thaw, its file systems may stay frozen: {error.get_error_message()}", logging.WARNING
        )


def _merge(ctx: TaskContext, domain: libvirt.virDomain, machine: str, overlay: DiskOverlay) -> None:
    disk = _disk(_disks(domain.XMLDesc()), machine, overlay.dev)
    if disk.image == overlay.frozen:
        return
    if disk.image != overlay.overlay:
        raise MachineStateError(f"disk '{overlay.dev}' of machine '{machine}' is on '{disk.image}', not on '{overlay.overlay}'")
    asked = f"cannot merge disk '{overlay.dev}' of machine '{machine}'"
    try:
        # A merge that a dead run began is simply finished.
        if not disk.merging:
            domain.blockCommit(overlay.dev, overlay.frozen, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        try:
            _wait_ready(ctx, domain, machine, overlay.dev)
            _pivot(ctx, domain, overlay.dev)
        except (Cancelled, HostRefused):
            domain.blockJobAbort(overlay.dev, 0)
            raise
    except libvirt.libvirtError as error:
        raise refused(asked, error) from error


def _wait_ready(ctx: TaskContext, domain: libvirt.virDomain, machine: str, dev: str) -> None:
    """Wait until the merge has caught up with the guest."""
    moved, moved_at_s = -1, time.monotonic()
    while not _disks(domain.XMLDesc())[dev].ready:
        job = domain.blockJobInfo(dev)
        if not job:
            raise HostRefused(f"the merge of disk '{dev}' of machine '{machine}' ended by itself", hint="see the host's log of the machine")
        if job["cur"] != moved:
            moved, moved_at_s = job["cur"], time.monotonic()
            ctx.progress(job["cur"], job["end"] or None, unit="B", note=dev)
        if time.monotonic() - moved_at_s > MERGE_STALL_S:
            raise HostRefused(f"the merge of disk '{dev}' of machine '{machine}' moved nothing for {MERGE_STALL_S:g} s")
        ctx.sleep(POLL_S)


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


def _disks(xml: str) -> dict[str, _Disk]:
    """Return the disks of a running domain by their name in the guest."""
    disks = {}
    for element in etree.fromstring(xml.encode(), parser()).findall("devices/disk"):
        target = element.find("target")
        if target is None:
            continue
        mirror = element.find("mirror")
        disks[target.get("dev", "")] = _Disk(
            chain=tuple(source.get("file", "") for source in _sources(element)),
            merging=mirror is not None,
            ready=mirror is not None and mirror.get("ready") == "yes",
        )
    return disks


def _sources(disk: etree._Element) -> list[etree._Element]:
    own = disk.findall("source")
    return own + [source for store in disk.findall(".//backingStore") if _outside_mirror(store) for source in store.findall("source")]


def _outside_mirror(element: etree._Element) -> bool:
    return not any(ancestor.tag == "mirror" for ancestor in element.iterancestors())


def _disk(disks: dict[str, _Disk], machine: str, dev: str) -> _Disk:
    if dev not in disks:
        raise MachineStateError(f"machine '{machine}' runs without a disk '{dev}'", hint=f"stop and start it: lagotui --run stop {machine}")
    return disks[dev]


def _agent_connected(xml: str) -> bool:
    for target in etree.fromstring(xml.encode(), parser()).findall("devices/channel/target"):
        if target.get("name") == AGENT_CHANNEL:
            return target.get("state") == "connected"
    return False
