"""The XML of a machine's disks and of the controllers they need."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from string import ascii_lowercase

from lxml import etree

from ...errors import HostRefused
from ...spec import DiskSpec, MachineSpec
from .chain import Chains, Layer

IDE_ROOM = 4
"""Disks that the IDE of a `pc` takes."""
SCSI_ROOM = 15
"""Disks that libvirt puts on one SCSI controller, by their names: `sdp` is the first one on the second."""
LETTERS = tuple("".join(letters) for length in (1, 2) for letters in product(ascii_lowercase, repeat=length))

IOTHREAD = "1"
CACHE = "writeback"
"""`unsafe` would be faster for guests that sync a lot, but a power cut would then leave qcow2 files that no longer open, and frozen
images of snapshots with them. Environments are promised to survive a reboot of their host."""


def add_disks(devices: etree._Element, machine: MachineSpec, seed: Path | None, chains: Chains) -> None:
    """Add the disks in the order of the spec, then the seed, then the controllers that they need.

    Raises:
        HostRefused: a disk has no image, or there is no room for it on its bus.
    """
    taken = [disk.dev for disk in machine.disks if disk.format != "iso" or _keeps_dev(disk)]
    for number, disk in enumerate(machine.disks, start=1):
        if not disk.path:
            raise HostRefused(f"disk '{disk.name}' of machine '{machine.name}' has no image", hint="set its path")
        if disk.format == "iso":
            _add_cdrom(devices, machine, disk, number, taken)
        else:
            _add_disk(devices, disk, number, chains.get(disk.dev))
    if seed is not None:
        _add_seed(devices, seed, taken)
    _add_scsi_controllers(devices, machine, taken)


def _add_disk(devices: etree._Element, disk: DiskSpec, number: int, chain: tuple[Layer, ...] | None) -> None:
    bus = _bus_of(disk.dev)
    driver = {"name": "qemu", "type": disk.format, "cache": CACHE, "discard": "unmap"}
    if bus == "virtio":
        driver["iothread"] = IOTHREAD
    element = _add_file(devices, "disk", str(disk.path), driver)
    if chain is not None:
        add_chain(element, chain)
    etree.SubElement(element, "target", dev=disk.dev, bus=bus)
    etree.SubElement(element, "serial").text = str(number)
    etree.SubElement(element, "boot", order=str(number))


def add_chain(disk: etree._Element, chain: tuple[Layer, ...]) -> None:
    """Say what the disk stands on; the last `<backingStore>` is empty, which ends the chain."""
    parent = disk
    for layer in chain:
        parent = etree.SubElement(parent, "backingStore", type="file")
        etree.SubElement(parent, "format", type=layer.format)
        source = etree.SubElement(parent, "source", file=layer.path)
        etree.SubElement(source, "seclabel", model="dac", relabel="no")
    etree.SubElement(parent, "backingStore")


def _keeps_dev(iso: DiskSpec) -> bool:
    """Whether an iso disk has a name that a CD drive can have; the others get one on IDE."""
    return iso.dev.startswith(("sd", "hd"))


def _add_cdrom(devices: etree._Element, machine: MachineSpec, disk: DiskSpec, number: int, taken: list[str]) -> None:
    dev = disk.dev if _keeps_dev(disk) else _free_dev("hd", IDE_ROOM, taken)
    if not dev:
        raise HostRefused(f"machine '{machine.name}' has more than four disks on IDE", hint="give its iso disks a dev that begins with sd")
    taken.append(dev)
    element = _add_file(devices, "cdrom", str(disk.path), {"name": "qemu", "type": "raw"})
    etree.SubElement(element, "target", dev=dev, bus="scsi" if dev.startswith("sd") else "ide")
    etree.SubElement(element, "readonly")
    etree.SubElement(element, "serial").text = str(number)
    etree.SubElement(element, "boot", order=str(number))


def _add_seed(devices: etree._Element, seed: Path, taken: list[str]) -> None:
    element = _add_file(devices, "disk", str(seed), {"name": "qemu", "type": "raw"})
    etree.SubElement(element, "target", dev=_free_dev("vd", len(LETTERS), taken, after_last=True), bus="virtio")
    etree.SubElement(element, "readonly")
    etree.SubElement(element, "serial").text = "seed"


def _add_file(devices: etree._Element, device: str, path: str, driver: dict[str, str]) -> etree._Element:
    element = etree.SubElement(devices, "disk", type="file", device=device)
    etree.SubElement(element, "driver", driver)
    etree.SubElement(element, "source", file=path)
    return element


def _add_scsi_controllers(devices: etree._Element, machine: MachineSpec, taken: list[str]) -> None:
    """Add as many as the names of the disks call for; libvirt would make all but the first one of an old model."""
    places = [LETTERS.index(dev[2:]) for dev in taken if _bus_of(dev) == "scsi" and dev[2:] in LETTERS]
    for index in range(max(places) // SCSI_ROOM + 1 if places else 0):
        controller = etree.SubElement(devices, "controller", type="scsi", index=str(index), model="virtio-scsi")
        etree.SubElement(controller, "driver", queues=str(machine.vcpu), iothread=IOTHREAD)


def _bus_of(dev: str) -> str:
    if dev.startswith("sd"):
        return "scsi"
    return "ide" if dev.startswith("hd") else "virtio"


def _free_dev(bus_prefix: str, room: int, taken: list[str], *, after_last: bool = False) -> str:
    """Return the first free name (`after_last`: behind all that are taken, so that no disk of the user's moves); "" when there is none."""
    letters = LETTERS[:room]
    used = {match.group(1) for dev in taken if (match := re.fullmatch(rf"{bus_prefix}([a-z]+)", dev))}
    first = max((letters.index(letter) for letter in used if letter in letters), default=-1) + 1 if after_last else 0
    free = [letter for letter in (*letters[first:], *letters[:first]) if letter not in used]
    return f"{bus_prefix}{free[0]}" if free else ""
