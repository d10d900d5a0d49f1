"""How fast guests can run here: KVM where it really works, else QEMU's own translation (TCG), and the CPU that goes with it."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from ...errors import HostRefused
from ..base import Accel

KVM_DEVICE = Path("/dev/kvm")
KVM_CREATE_VM = 0xAE01
"""_IO(0xAE, 0x01) of linux/kvm.h."""

TCG_MODEL = "qemu64"
"""Boots on a seventh less CPU time than `max`, measured with the tiny guest (3.4 s to 3.9 s)."""

X86_64_V2 = ("cx16", "lahf_lm", "popcnt", "sse4.1", "sse4.2", "ssse3")
"""Added to it: systems built for x86-64-v2 (RHEL 9 and its kin) do not start without; costs 6 %."""

VIRTUALISATION_FLAGS = frozenset({"vmx", "svm"})
"""Of Intel and AMD. A kernel may offer /dev/kvm without them (nested, emulated); guests then hang early in their boot."""


@dataclass(frozen=True, slots=True)
class KvmFacts:
    device_error: str
    """Why /dev/kvm cannot be used, "" when it opens and makes a virtual machine."""
    cpu_flags: frozenset[str] | None
    """None on processors that tell no such flags (other than x86)."""


@dataclass(frozen=True, slots=True)
class AccelChoice:
    accel: Accel
    why: str

    @property
    def virt_type(self) -> str:
        """The `type` of a libvirt domain."""
        return "kvm" if self.accel is Accel.KVM else "qemu"

    def cpu(self) -> etree._Element:
        """Return the `<cpu>` of a domain: the host's own under KVM, else what TCG runs fastest and today's systems accept."""
        if self.accel is Accel.KVM:
            return etree.Element("cpu", mode="host-passthrough", check="none", migratable="off")
        cpu = etree.Element("cpu", mode="custom", match="exact", check="none")
        etree.SubElement(cpu, "model", fallback="forbid").text = TCG_MODEL
        for name in X86_64_V2:
            etree.SubElement(cpu, "feature", policy="require", name=name)
        return cpu


def read_facts() -> KvmFacts:
    """Try KVM on this machine."""
    return KvmFacts(_device_error(KVM_DEVICE), _cpu_flags(Path("/proc/cpuinfo")))


def probe_accel(wanted: str = "auto", facts: Callable[[], KvmFacts] = read_facts) -> AccelChoice:
    """Choose the accelerator.

    Args:
        wanted: `auto`, `kvm` or `tcg`.
        facts: what is known of KVM here; asked unless TCG is wanted.

    Raises:
        HostRefused: KVM is wanted, and its device cannot be used.
    """
    if wanted == "tcg":
        return AccelChoice(Accel.TCG, "TCG is configured")
    known = facts()
    if wanted == "kvm":
        if known.device_error:
            raise HostRefused(f"cannot use KVM: {known.device_error}", hint=_kvm_hint(known.device_error))
        return AccelChoice(Accel.KVM, "KVM is configured")
    if known.device_error:
        return AccelChoice(Accel.TCG, f"no KVM: {known.device_error}")
    if known.cpu_flags is not None and not known.cpu_flags & VIRTUALISATION_FLAGS:
        return AccelChoice(Accel.TCG, f"'{KVM_DEVICE}' is there, but the processor has neither vmx nor svm")
    return AccelChoice(Accel.KVM, "KVM works here")


def _device_error(device: Path) -> str:
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"'{device}' does not open: {error.strerror}"
    try:
        os.close(fcntl.ioctl(descriptor, KVM_CREATE_VM, 0))
    except OSError as error:
        return f"'{device}' makes no virtual machine: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""


def _cpu_flags(cpuinfo: Path) -> frozenset[str] | None:
    if platform.machine() not in ("x86_64", "i686"):
        return None
    for line in cpuinfo.read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def _kvm_hint(device_error: str) -> str:
    if "Permission denied" in device_error:
        return "sudo usermod -aG kvm $USER, then log in again, or take accel=auto"
    return "take accel=auto"
