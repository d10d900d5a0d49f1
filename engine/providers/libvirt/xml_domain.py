"""The XML of a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from ...spec import DEFAULT_MTU, EnvRef, MachineSpec, stable_mac
from .chain import Chains
from .metadata import NAMESPACES, domain_uuid, metadata_element
from .xml_disks import add_disks

AGENT_CHANNEL = "org.qemu.guest_agent.0"
BALLOON_PERIOD_S = 5
"""How often the guest tells its memory use; one small message, no measurable cost."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a machine runs on here."""

    virt_type: str
    """`kvm` or `qemu`."""
    cpu: etree._Element | None = None
    """The `<cpu>` that runs with that type; None leaves it to libvirt."""
    chains: Chains = field(default_factory=dict)
    """What its disks stand on."""


def domain_xml(env: EnvRef, machine: MachineSpec, seed: Path | None, ground: Ground) -> str:
    """Return what `createXML` takes.

    Args:
        env: whose machine it is.
        machine: its disks hold absolute paths and probed formats.
        seed: its NoCloud image.
        ground: what it runs on.

    Raises:
        HostRefused: a disk cannot be attached.
    """
    root = etree.Element("domain", type=ground.virt_type, nsmap=NAMESPACES)
    _text(root, "name", env.scoped_name(machine.name))
    _text(root, "uuid", domain_uuid(env, machine.name))
    root.append(metadata_element(env, machine.name))
    etree.SubElement(root, "memory", unit="MiB").text = str(machine.memory_mib)
    _text(root, "vcpu", str(machine.vcpu))
    _text(root, "iothreads", "1")
    _add_platform(root)
    if ground.cpu is not None:
        root.append(ground.cpu)
    _add_clock(root, ground.virt_type)
    devices = etree.SubElement(root, "devices")
    add_disks(devices, machine, seed, ground.chains)
    for index in range(len(machine.nics)):
        _add_nic(devices, env, machine, index)
    _add_serial(devices, env.serial_log(machine.name))
    _add_helpers(devices)
    return etree.tostring(root, pretty_print=True, encoding="unicode")


def _add_platform(root: etree._Element) -> None:
    system = etree.SubElement(root, "os")
    etree.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    features = etree.SubElement(root, "features")
    for name in ("acpi", "apic"):
        etree.SubElement(features, name)


def _add_clock(root: etree._Element, virt_type: str) -> None:
    clock = etree.SubElement(root, "clock", offset="utc")
    if virt_type == "kvm":
        etree.SubElement(clock, "timer", name="kvmclock")
    for name, what in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(root, name, what)
    power = etree.SubElement(root, "pm")
    for name in ("suspend-to-mem", "suspend-to-disk"):
        etree.SubElement(power, name, enabled="no")


def _add_nic(devices: etree._Element, env: EnvRef, machine: MachineSpec, index: int) -> None:
    nic = machine.nics[index]
    interface = etree.SubElement(devices, "interface", type="network")
    etree.SubElement(interface, "mac", address=nic.mac or stable_mac(env.uuid, machine.name, index))
    etree.SubElement(interface, "source", network=env.scoped_net_name(nic.net))
    etree.SubElement(interface, "model", type="virtio")
    # Machines boot from their disk; the network boot ROM would only make each start longer.
    etree.SubElement(interface, "rom", enabled="no")
    if nic.mtu is not None and nic.mtu != DEFAULT_MTU:
        etree.SubElement(interface, "mtu", size=str(nic.mtu))


def _add_serial(devices: etree._Element, log: Path) -> None:
    serial = etree.SubElement(devices, "serial", type="pty")
    # append: the file is made by us beforehand, so that it belongs to the user even where libvirt's log daemon runs as root.
    etree.SubElement(serial, "log", file=str(log), append="on")
    etree.SubElement(serial, "target", type="isa-serial", port="0")
    console = etree.SubElement(devices, "console", type="pty")
    etree.SubElement(console, "target", type="serial", port="0")


def _add_helpers(devices: etree._Element) -> None:
    channel = etree.SubElement(devices, "channel", type="unix")
    etree.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    etree.SubElement(devices, "controller", type="usb", model="none")
    balloon = etree.SubElement(devices, "memballoon", model="virtio")
    etree.SubElement(balloon, "stats", period=str(BALLOON_PERIOD_S))
    rng = etree.SubElement(devices, "rng", model="virtio")
    etree.SubElement(rng, "backend", model="random").text = "/dev/urandom"


def _text(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
