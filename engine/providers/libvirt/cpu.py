"""What a host says of processors: its own, and the models that its machines can have."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import libvirt
from lxml import etree

from ...errors import HostRefused
from ...spec import MachineSpec
from ..base import HostCpu
from .metadata import parser

ARCH = "x86_64"
CPU_MAP = Path("/usr/share/libvirt/cpu_map")
"""libvirt's description of each model in a file of its own."""

NEAR = 0.4
"""difflib ratio from which a model is worth naming beside a misspelt one."""


@dataclass(frozen=True, slots=True)
class CpuModel:
    name: str
    usable: bool
    """Whether a machine can run with it here."""
    vendor: str = ""


@dataclass(frozen=True, slots=True)
class CpuFacts:
    host: HostCpu
    host_flags: frozenset[str]
    models: tuple[CpuModel, ...]
    """Everything that libvirt and QEMU know, sorted by name."""

    @property
    def usable(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models if model.usable)

    def model_of(self, machine: MachineSpec) -> CpuModel:
        """Return the model that a machine asks for.

        Raises:
            HostRefused: there is none of that name, or this host cannot run it.
        """
        found = next((model for model in self.models if model.name == machine.cpu_model), None)
        if found is None:
            raise HostRefused(
                f"machine '{machine.name}': there is no cpu_model '{machine.cpu_model}'",
                hint=f"choose {' or '.join(self._nearest(machine.cpu_model or ''))}, or leave cpu_model out",
            )
        if not found.usable:
            raise HostRefused(
                f"machine '{machine.name}': this host cannot run the cpu_model '{machine.cpu_model}'",
                hint=f"choose one of {', '.join(self.usable)}; or leave cpu_model out",
            )
        return found

    def _nearest(self, name: str) -> list[str]:
        lowered = {model.name.lower(): model.name for model in self.models}
        near = get_close_matches(name.lower(), lowered, 3, NEAR)
        return [f"'{lowered[each]}'" for each in near] or [f"'{each}'" for each in self.usable[:3]]


def read_cpu_facts(conn: libvirt.virConnect, virt_type: str) -> CpuFacts:
    """Ask the host; `virt_type` is the type of its domains, `kvm` or `qemu`."""
    return CpuFacts(*_host_cpu(conn), tuple(sorted(_models(conn, virt_type), key=lambda model: model.name.lower())))


def _models(conn: libvirt.virConnect, virt_type: str) -> list[CpuModel]:
    try:
        said = conn.getDomainCapabilities(None, ARCH, "pc", virt_type)
    except libvirt.libvirtError:  # drivers that tell no domain capabilities, such as libvirt's fake hypervisor
        return [CpuModel(name, True, _vendor_in_map(name)) for name in conn.getCPUModelNames(ARCH) or ()]
    return models_in(said)


def models_in(domain_capabilities: str) -> list[CpuModel]:
    """Read the models; those whose use is `unknown` count as usable: then libvirt decides at the start of the machine."""
    elements = _parsed(domain_capabilities).findall("cpu/mode[@name='custom']/model")
    named = [(element.text or "", element) for element in elements]
    return [CpuModel(name, each.get("usable") != "no", each.get("vendor") or _vendor_in_map(name)) for name, each in named]


def _vendor_in_map(model: str) -> str:
    """Return a model's vendor as libvirt's files have it, for versions that do not tell it (before 8.9)."""
    try:
        element = etree.parse(CPU_MAP / f"x86_{model}.xml", parser()).find("model/vendor")
    except (OSError, etree.XMLSyntaxError):
        return ""
    return "" if element is None else element.get("name", "")


def _host_cpu(conn: libvirt.virConnect) -> tuple[HostCpu, frozenset[str]]:
    cpu = _parsed(conn.getCapabilities()).find("host/cpu")
    if cpu is None:
        return HostCpu("", ""), frozenset()
    host = HostCpu(cpu.findtext("model", ""), cpu.findtext("vendor", ""))
    flags = _feature_names(cpu)
    if host.model:
        with suppress(libvirt.libvirtError):  # without this call only what the model does not imply is known
            whole = conn.baselineCPU([etree.tostring(cpu, encoding="unicode")], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
            flags |= _feature_names(_parsed(whole))
    return host, flags


def _feature_names(cpu: etree._Element) -> frozenset[str]:
    return frozenset(feature.get("name", "") for feature in cpu.findall("feature") if feature.get("policy", "require") == "require")


def _parsed(xml: str) -> etree._Element:
    return etree.fromstring(xml.encode(), parser())
