"""The XML of a machine's disks and of the controllers they need."""

from __future__ import annotations

import re
import string
from pathlib import Path

from lxml import etree

from ...errors import HostRefused
from ...spec import DiskSpec, MachineSpec
from .chain import Chains, Layer

IOTHREAD = "1"
CACHE = "writeback"
"""`unsafe` would be faster for guests that sync a lot, but a power cut would then leave qcow2 files that no longer open, and frozen
images of snapshots with them. Environments are promised to survive a reboot of their host."""


def add_disks(devices: etree._Element, machine: MachineSpec, seed: Path | None, chains: Chains) -> None:
    """Add the disks in the order of the spec, then the seed, then the controllers that they need.

    Raises:
        HostRefused: a disk has no image, or there is no room for it on its bus.
    """
    taken = [disk.dev for disk in machine.disks if disk.format != "iso"]
    for number, disk in enumerate(machine.disks, start=1):
        if not disk.path:
            raise HostRefused(f"disk '{disk.name}' of machine '{machine.name}' has no image", hint="set its path")
        if disk.format == "iso":
            taken.append(_add_cdrom(devices, machine, disk, number, taken))
        else:
            _add_disk(devices, disk, number, chains.get(disk.dev))
    if seed is not None:
        _add_seed(devices, seed, taken)
    if any(_bus_of(dev) == "scsi" for dev in taken):
        _add_scsi_controller(devices, machine)


def _add_disk(devices: etree._Element, disk: DiskSpec, number: int, chain: tuple[Layer, ...] | None) -> None:
    bus = _bus_of(disk.dev)
    driver = {"name": "qemu", "type": disk.format, "cache": CACHE, "discard": "unmap"}
    if bus == "virtio":
        driver["iothread"] = IOTHREAD
    element = _add_file(devices, "disk", str(disk.path), driver)
    if chain is not None:
        _add_chain(element, chain)
    etree.SubElement(element, "target", dev=disk.dev, bus=bus)
    etree.SubElement(element, "serial").text = str(number)
    etree.SubElement(element, "boot", order=str(number))


def _add_chain(disk: etree._Element, chain: tuple[Layer, ...]) -> None:
    """Say what the disk stands on; the last `<backingStore>` is empty, which ends the chain."""
    parent = disk
    for layer in chain:
        parent = etree.SubElement(parent, "backingStore", type="file")
        etree.SubElement(parent, "format", type=layer.format)
        source = etree.SubElement(parent, "source", file=layer.path)
        etree.SubElement(source, "seclabel", model="dac", relabel="no")
    etree.SubElement(parent, "backingStore")


def _add_cdrom(devices: etree._Element, machine: MachineSpec, disk: DiskSpec, number: int, taken: list[str]) -> str:
    dev = disk.dev if disk.dev.startswith(("sd", "hd")) else _free_dev("hd", 4, taken)
    if not dev:
        raise HostRefused(f"machine '{machine.name}' has more than four iso disks on IDE", hint="give the others a dev that begins with sd")
    element = _add_file(devices, "cdrom", str(disk.path), {"name": "qemu", "type": "raw"})
    etree.SubElement(element, "target", dev=dev, bus="scsi" if dev.startswith("sd") else "ide")
    etree.SubElement(element, "readonly")
    etree.SubElement(element, "serial").text = str(number)
    etree.SubElement(element, "boot", order=str(number))
    return dev


def _add_seed(devices: etree._Element, seed: Path, taken: list[str]) -> None:
    element = _add_file(devices, "disk", str(seed), {"name": "qemu", "type": "raw"})
    etree.SubElement(element, "target", dev=_free_dev("vd", 26, taken, after_last=True), bus="virtio")
    etree.SubElement(element, "readonly")
    etree.SubElement(element, "serial").text = "seed"


def _add_file(devices: etree._Element, device: str, path: str, driver: dict[str, str]) -> etree._Element:
    element = etree.SubElement(devices, "disk", type="file", device=device)
    etree.SubElement(element, "driver", driver)
    etree.SubElement(element, "source", file=path)
    return element


def _add_scsi_controller(devices: etree._Element, machine: MachineSpec) -> None:
    controller = etree.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    etree.SubElement(controller, "driver", queues=str(machine.vcpu), iothread=IOTHREAD)


def _bus_of(dev: str) -> str:
    if dev.startswith("sd"):
        return "scsi"
    return "ide" if dev.startswith("hd") else "virtio"


def _free_dev(bus_prefix: str, room: int, taken: list[str], *, after_last: bool = False) -> str:
    """Return the first free name (`after_last`: behind all that are taken, so that no disk of the user's moves); "" when there is none."""
    letters = string.ascii_lowercase[:room]
    used = {match.group(1) for dev in taken if (match := re.fullmatch(rf"{bus_prefix}([a-z])", dev))}
    first = letters.index(max(used)) + 1 if after_last and used else 0
    behind = [letter for letter in letters[first:] if letter not in used] or [letter for letter in letters if letter not in used]
    return f"{bus_prefix}{behind[0]}" if behind else ""
