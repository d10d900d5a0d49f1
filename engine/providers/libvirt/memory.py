"""Machines paused, resumed, and brought back from a saved memory."""

from __future__ import annotations

from pathlib import Path

import libvirt
from lxml import etree

from ...errors import HostRefused
from ...spec import DiskSpec, EnvRef, MachineSpec
from .chain import Chains, Layer
from .domain import find, fresh_log, running
from .metadata import metadata_element, parser
from .refusals import is_code, refused
from .xml_disks import add_chain


def pause(conn: libvirt.virConnect, env: EnvRef, machine: str) -> None:
    """Hold a machine; one that is held already stays so.

    Raises:
        MachineStateError: it is down.
    """
    domain = running(conn, env, machine)
    try:
        domain.suspend()
    except libvirt.libvirtError as error:
        if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
            raise refused(f"cannot pause machine '{machine}'", error) from error


def resume(conn: libvirt.virConnect, env: EnvRef, machine: str) -> bool:
    """Let a machine go on; returns false when it is not held, or down."""
    domain = find(conn, env, machine)
    try:
        if domain is None or domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
            return False
        domain.resume()
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            return False
        raise refused(f"cannot resume machine '{machine}'", error) from error
    return True


def check_memory(conn: libvirt.virConnect, memory: Path) -> None:
    """Raises: HostRefused: libvirt sees no saved memory there."""
    _saved_xml(conn, memory)


def restore(conn: libvirt.virConnect, env: EnvRef, machine: MachineSpec, memory: Path, seed: Path | None, chains: Chains) -> bool:
    """Bring a machine back, and leave it paused; returns false when it is up already.

    Raises:
        HostRefused: libvirt cannot read the memory, or run the machine.
    """
    if find(conn, env, machine.name) is not None:
        return False
    xml = placed(_saved_xml(conn, memory), env, machine, seed, chains)
    fresh_log(env.serial_log(machine.name))
    try:
        conn.restoreFlags(str(memory), xml, libvirt.VIR_DOMAIN_SAVE_PAUSED)
    except libvirt.libvirtError as error:
        raise refused(f"cannot restore machine '{machine.name}'", error) from error
    return True


def placed(xml: str, env: EnvRef, machine: MachineSpec, seed: Path | None, chains: Chains) -> str:
    """Return the saved XML of a machine with its files where they are today; all else must stay as the guest has seen it."""
    root = etree.fromstring(xml.encode(), parser())
    old = root.find("metadata")
    if old is not None:
        root.replace(old, metadata_element(env, machine.name))
    disks = {disk.dev: disk for disk in machine.disks}
    for element in root.findall("devices/disk"):
        source, target = element.find("source"), element.find("target")
        if source is None or target is None:
            continue
        disk = disks.get(target.get("dev", ""))
        if element.findtext("serial") == "seed":
            if seed is not None:
                source.set("file", str(seed))
        elif disk is not None and disk.path:
            _place(element, source, disk, chains.get(disk.dev, ()))
    for log in root.findall("devices/*/log"):
        log.set("file", str(env.serial_log(machine.name)))
    return etree.tostring(root, encoding="unicode")


def _place(element: etree._Element, source: etree._Element, disk: DiskSpec, chain: tuple[Layer, ...]) -> None:
    source.set("file", str(disk.path))
    for stale in element.findall("backingStore"):
        element.remove(stale)
    driver = element.find("driver")
    if driver is not None and disk.format != "iso":
        driver.set("type", disk.format)
    if chain:
        add_chain(element, chain)


def _saved_xml(conn: libvirt.virConnect, memory: Path) -> str:
    try:
        xml: str = conn.saveImageGetXMLDesc(str(memory), libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
    except libvirt.libvirtError as error:
        raise refused(f"the saved memory '{memory}' cannot be read", error) from error
    if not memory.exists():
        raise HostRefused(f"the saved memory '{memory}' is gone")
    return xml
