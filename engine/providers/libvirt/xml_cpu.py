"""The `<cpu>` of a machine: a model of its own, a whole element as its file has it, or what runs fastest here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lxml import etree

from ...errors import HostRefused
from ...spec import Json, MachineSpec
from ..base import Accel
from .accel import AccelChoice
from .cpu import CpuFacts

MAX_VCPU = 255
"""Of the machine type `pc`, as its domain capabilities say."""
MAX_CELLS = 128
"""NUMA nodes that QEMU takes (MAX_NODES of its sysemu/numa.h)."""
MAX_DEPTH = 16
"""Of a `cpu_custom`; libvirt's deepest `<cpu>` has four levels."""

ON_OFF = frozenset({"@migratable"})
YES_NO = (("yes", "no"), ("on", "off"))

NESTING_FLAGS = {"Intel": "vmx", "AMD": "svm"}
"""Vendor → what a guest needs to run guests of its own."""


def machine_cpu(machine: MachineSpec, accel: AccelChoice, facts: Callable[[], CpuFacts]) -> etree._Element:
    """Return the `<cpu>` of a machine.

    Args:
        machine: whose.
        accel: what it runs on.
        facts: what the host says of processors; asked only when a model is chosen by name.

    Raises:
        HostRefused: there is no such model, it cannot run here, `cpu_custom` makes no XML, or the machine has no possible size.
    """
    _check_size(machine)
    if machine.cpu_custom is not None and machine.cpu_model is not None:
        raise HostRefused(f"machine '{machine.name}' has both cpu_model and cpu_custom", hint="leave one of them out")
    if machine.cpu_custom is not None:
        return _with_topology(_custom(machine, machine.cpu_custom), machine.vcpu)
    if machine.cpu_model is not None:
        return _with_topology(_named(machine, accel, facts()), machine.vcpu)
    cpu = _with_topology(accel.cpu(), machine.vcpu)
    _add_numa(cpu, numa_cells(machine.vcpu, machine.memory_mib))
    return cpu


def numa_cells(vcpu: int, memory_mib: int) -> list[tuple[str, int]]:
    """Return processors (`0-1`) and MiB of each cell, as the predecessor lays them out; nothing for one processor.

    A remainder of the memory is dropped. Machines with more cells than QEMU takes get none.
    """
    if vcpu < 2:
        return []
    size = 1 if vcpu % 2 or vcpu == 2 else 4 if vcpu % 4 == 0 and vcpu != 4 else 2
    count = vcpu // size
    if count > MAX_CELLS:
        return []
    names = [str(first) if size == 1 else f"{first}-{first + size - 1}" for first in range(0, vcpu, size)]
    return [(name, memory_mib // count) for name in names]


def _check_size(machine: MachineSpec) -> None:
    if not 1 <= machine.vcpu <= MAX_VCPU:
        raise HostRefused(f"machine '{machine.name}' has vcpu {machine.vcpu}", hint=f"machines have 1 to {MAX_VCPU} processors")
    least_mib = max(1, len(numa_cells(machine.vcpu, machine.memory_mib)))
    if machine.memory_mib < least_mib:
        raise HostRefused(
            f"machine '{machine.name}' has {machine.memory_mib} MiB of memory for {machine.vcpu} processors",
            hint=f"give it at least {least_mib} MiB; guests of today need hundreds",
        )


def _named(machine: MachineSpec, accel: AccelChoice, facts: CpuFacts) -> etree._Element:
    model = facts.model_of(machine)
    cpu = etree.Element("cpu", mode="custom", match="exact")
    etree.SubElement(cpu, "model", fallback="forbid").text = model.name
    flag = NESTING_FLAGS.get(model.vendor)
    # Under TCG the guest's processor is none of the host's, whatever flags that one has.
    if accel.accel is Accel.KVM and model.vendor == facts.host.vendor and flag in facts.host_flags:
        etree.SubElement(cpu, "feature", policy="require", name=str(flag))
    return cpu


def _custom(machine: MachineSpec, cpu_custom: Mapping[str, Json]) -> etree._Element:
    try:
        return _element("cpu", cpu_custom, MAX_DEPTH)
    except (ValueError, TypeError) as wrong:
        raise HostRefused(
            f"cpu_custom of machine '{machine.name}' makes no XML: {wrong}",
            hint="keys are elements, '@key' attributes, '#text' the text; as in https://libvirt.org/formatdomain.html#cpu-model-and-topology",
        ) from wrong


def _element(tag: str, value: Json, depth: int) -> etree._Element:
    """Return what a key and its value mean: a mapping's keys are children, `@key` attributes and `#text` text."""
    if depth == 0:
        raise ValueError(f"it is more than {MAX_DEPTH} levels deep")
    element = etree.Element(tag)
    if not isinstance(value, Mapping):
        element.text = _text(value)
        return element
    for key, inner in value.items():
        if key == "#text":
            element.text = _text(inner)
        elif isinstance(key, str) and key.startswith("@"):
            element.set(key[1:], _text(inner, key) or "")
        else:
            for each in inner if isinstance(inner, list | tuple) else (inner,):
                element.append(_element(str(key), each, depth - 1))
    return element


def _text(value: Json, key: str = "") -> str | None:
    """Return a value as libvirt writes it; YAML reads both `on` and `yes` as true, and libvirt wants the word of each place."""
    if isinstance(value, Mapping | list | tuple):
        raise ValueError(f"text was expected, not {value!r}")
    if isinstance(value, bool):
        return YES_NO[key in ON_OFF][not value]
    return None if value is None else str(value)


def _with_topology(cpu: etree._Element, vcpu: int) -> etree._Element:
    if cpu.find("topology") is None:
        topology = etree.Element("topology", sockets=str(vcpu), cores="1", threads="1")
        model = cpu.find("model")
        cpu.insert(0 if model is None else cpu.index(model) + 1, topology)
    return cpu


def _add_numa(cpu: etree._Element, cells: list[tuple[str, int]]) -> None:
    if not cells:
        return
    numa = etree.SubElement(cpu, "numa")
    for number, (cpus, memory_mib) in enumerate(cells):
        etree.SubElement(numa, "cell", id=str(number), cpus=cpus, memory=str(memory_mib), unit="MiB")
