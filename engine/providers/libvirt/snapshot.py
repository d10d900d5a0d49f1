"""Snapshots of machines that are up: external overlays put on every disk at one moment, with or without the memory beside."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import libvirt
from lxml import etree

from ...context import TaskContext
from ...errors import Cancelled, MachineStateError
from ...process import run
from ...spec import EnvRef
from ..base import DiskOverlay
from .domain import running
from .merging import LiveDisk, live_disk, live_disks
from .metadata import parser
from .refusals import is_code, refused
from .xml_domain import AGENT_CHANNEL

AGENT_TIMEOUT_S = 10
"""Time that the guest agent gets to answer, and to freeze the file systems; a guest that is slower is snapshotted as it is."""
CLOCK_TIMEOUT_S = 3
THAW_TIMEOUT_S = 60
QEMU_IMG_TIMEOUT_S = 60.0
POLL_S = 0.1
FLAGS = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
)


def snapshot(
    conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, overlays: Sequence[DiskOverlay], sync: Callable[[], bool]
) -> None:
    """Put the overlays on the disks of a running machine, all at one moment.

    Raises:
        MachineStateError: the machine is down, or a disk is not on the image that should be frozen.
        HostRefused: the host cannot do it; nothing changed.
        Cancelled: the user asked to stop; nothing changed.
    """
    domain = running(conn, env, machine)
    xml = domain.XMLDesc()
    wanted = _wanted(ctx, domain, machine, xml, overlays)
    if wanted is None:
        return
    asked = etree.tostring(wanted, encoding="unicode")
    flags = FLAGS | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    try:
        if agent_connected(xml) and _take_quiesced(ctx, domain, machine, asked, flags):
            return
        if sync():
            ctx.log(f"'{machine}' is not quiesced by its guest agent: its file systems were synced by ssh")
        else:
            ctx.log(f"neither the guest agent of '{machine}' nor ssh serves: the snapshot is taken as of a power cut", logging.WARNING)
        domain.snapshotCreateXML(asked, flags)
    except libvirt.libvirtError as error:
        raise refused(f"cannot snapshot machine '{machine}'", error) from error


def checkpoint(
    conn: libvirt.virConnect, ctx: TaskContext, env: EnvRef, machine: str, overlays: Sequence[DiskOverlay], memory: Path
) -> None:
    """Write the memory of a machine to a file and put the overlays on its disks, all at one moment. It goes on in the same process.

    Raises:
        MachineStateError: the machine is down, or a disk is not on the image that should be frozen.
        HostRefused: the host cannot do it; nothing changed.
        DiskFull: there is no room for the memory; nothing changed.
        Cancelled: the user asked to stop; nothing changed.
    """
    domain = running(conn, env, machine)
    wanted = _wanted(ctx, domain, machine, domain.XMLDesc(), overlays)
    if wanted is None:
        return
    memory.unlink(missing_ok=True)  # of a run that died
    wanted.insert(0, etree.Element("memory", snapshot="external", file=str(memory)))
    asked = etree.tostring(wanted, encoding="unicode")
    try:
        watched(ctx, domain, lambda: domain.snapshotCreateXML(asked, FLAGS))
    except libvirt.libvirtError as error:
        ctx.raise_if_cancelled()
        raise refused(f"cannot save the memory of machine '{machine}'", error) from error


def watched(ctx: TaskContext, domain: libvirt.virDomain, work: Callable[[], object]) -> None:
    """Do what writes a machine's memory; tell how far it is, and end it on a cancel."""
    failures: list[libvirt.libvirtError] = []

    def body() -> None:
        try:
            work()
        except libvirt.libvirtError as error:
            failures.append(error)

    thread = threading.Thread(target=body, name="memory", daemon=True)
    thread.start()
    asked = False
    while thread.is_alive():
        thread.join(POLL_S)
        if thread.is_alive():
            _tell(ctx, domain)
            if ctx.cancelled and not asked:
                asked = _abort(domain)
    if failures:
        raise failures[0]
    if asked:
        raise Cancelled()


def set_clock(domain: libvirt.virDomain, now_s: float) -> bool:
    """Set a guest's clock by its agent; returns false when that does not serve."""
    if not agent_connected(domain.XMLDesc()):
        return False
    try:
        domain.agentSetResponseTimeout(CLOCK_TIMEOUT_S)
        domain.setTime({"seconds": int(now_s), "nseconds": int(now_s % 1 * 1e9)})
    except libvirt.libvirtError:  # it hangs, or lacks the command: there is another way
        return False
    return True


def agent_connected(xml: str) -> bool:
    for target in etree.fromstring(xml.encode(), parser()).findall("devices/channel/target"):
        if target.get("name") == AGENT_CHANNEL:
            return target.get("state") == "connected"
    return False


def _tell(ctx: TaskContext, domain: libvirt.virDomain) -> None:
    try:
        info = domain.jobInfo()
    except libvirt.libvirtError:  # it has just ended
        return
    total, done = int(info[3]), int(info[4])
    if total:
        ctx.progress(done, total, unit="B")


def _abort(domain: libvirt.virDomain) -> bool:
    try:
        domain.abortJob()
    except libvirt.libvirtError:  # it cannot be ended at this moment; the next look may
        return False
    return True


def _wanted(ctx: TaskContext, domain: libvirt.virDomain, machine: str, xml: str, overlays: Sequence[DiskOverlay]) -> etree._Element | None:
    """Make the overlays; return what libvirt is asked for, None when every disk is on its overlay already."""
    disks = live_disks(xml)
    todo = [overlay for overlay in overlays if live_disk(disks, machine, overlay.dev).image != overlay.overlay]
    if not todo:
        return None
    for overlay in todo:
        _make_overlay(ctx, domain, machine, disks[overlay.dev], overlay)
    ctx.raise_if_cancelled()
    root = etree.Element("domainsnapshot")
    listed = etree.SubElement(root, "disks")
    new = {overlay.dev: overlay.overlay for overlay in todo}
    for dev in disks:
        disk = etree.SubElement(listed, "disk", name=dev, snapshot="external" if dev in new else "no")
        if dev in new:
            etree.SubElement(disk, "driver", type="qcow2")
            etree.SubElement(disk, "source", file=new[dev])
    return root


def _make_overlay(ctx: TaskContext, domain: libvirt.virDomain, machine: str, disk: LiveDisk, overlay: DiskOverlay) -> None:
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
        ctx.log(f"the guest agent of '{machine}' does not freeze the file systems ({words})", logging.WARNING)
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
