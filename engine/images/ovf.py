"""The description of a machine in an OVA archive (OVF): memory, CPUs, disks. From strangers: nothing in it is followed or expanded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import TemplateError

if TYPE_CHECKING:
    from lxml.etree import _Element

CPU, MEMORY, DISK = "3", "4", "17"
"""ResourceType of items. (DMTF DSP0243, CIM_ResourceAllocationSettingData)"""

MAX_MEMORY_MIB = 64 * 1024 * 1024
MAX_VCPU = 1024
MAX_DISKS = 24

_UNITS = {
    "": 1024**2,
    "byte": 1,
    "bytes": 1,
    "kilobytes": 1024,
    "kb": 1024,
    "megabytes": 1024**2,
    "mb": 1024**2,
    "gigabytes": 1024**3,
    "gb": 1024**3,
    "terabytes": 1024**4,
    "tb": 1024**4,
}
"""Bytes of an allocation unit; oVirt writes MegaBytes."""


@dataclass(frozen=True, slots=True)
class Ovf:
    memory_mib: int | None
    vcpu: int | None
    disks: tuple[str, ...]
    """Places of the disks in the archive, as the description names them: `<group>/<volume>` of oVirt, else a file name."""


def read_ovf(text: bytes, place: str) -> Ovf:
    """Read a description.

    Args:
        text: XML.
        place: for messages.

    Raises:
        TemplateError: it is no description of exactly one machine.
    """
    root = _parsed(text, place)
    hardware = [each for each in root.iter() if _is_hardware(each)]
    if len(hardware) != 1:
        raise TemplateError(f"{place} describes {len(hardware)} machines; exactly one can be taken")
    memory: int | None = None
    vcpu: int | None = None
    disks: list[str] = []
    for item in (each for each in hardware[0] if _name(each) == "Item"):
        values = {_name(child): (child.text or "").strip() for child in item}
        match values.get("ResourceType"):
            case "3":
                vcpu = _vcpu(values, place)
            case "4":
                memory = _memory_mib(values, place)
            case "17":
                disks.append(_disk_file(root, values.get("HostResource", ""), place))
    if len(disks) > MAX_DISKS:
        raise TemplateError(f"{place} names {len(disks)} disks; more than {MAX_DISKS} cannot be taken")
    return Ovf(memory, vcpu, tuple(disks))


def _parsed(text: bytes, place: str) -> _Element:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True)
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise TemplateError(f"{place} is no XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise TemplateError(f"{place} declares a document type; descriptions with one are not read")
    return root


def _is_hardware(element: _Element) -> bool:
    if _name(element) == "VirtualHardwareSection":
        return True
    kind = next((str(value) for key, value in element.attrib.items() if str(key).endswith("}type")), "")
    return _name(element) == "Section" and kind.rpartition(":")[2] == "VirtualHardwareSection_Type"


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _vcpu(values: dict[str, str], place: str) -> int:
    if "cpu_per_socket" in values and "num_of_sockets" in values:
        count = _number(values["cpu_per_socket"], place) * _number(values["num_of_sockets"], place)
    else:
        count = _number(values.get("VirtualQuantity", ""), place)
    if not 1 <= count <= MAX_VCPU:
        raise TemplateError(f"{place} asks for {count} CPUs")
    return count


def _memory_mib(values: dict[str, str], place: str) -> int:
    amount = _number(values.get("VirtualQuantity", ""), place) * _unit(values.get("AllocationUnits", ""), place) // 1024**2
    if not 1 <= amount <= MAX_MEMORY_MIB:
        raise TemplateError(f"{place} asks for {amount} MiB of memory")
    return amount


def _unit(text: str, place: str) -> int:
    """Return the bytes of `MegaBytes`, or of `byte * 2^20` as the standard writes it."""
    word = text.lower().replace(" ", "")
    if word in _UNITS:
        return _UNITS[word]
    base, _, exponent = word.removeprefix("byte*").partition("^")
    if word.startswith("byte*") and base in ("2", "10") and exponent.isdigit() and len(exponent) <= 2 and int(exponent) <= 50:
        return int(pow(int(base), int(exponent)))
    raise TemplateError(f"{place} gives memory in '{text}', a unit that is not known")


def _number(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise TemplateError(f"{place} has '{text[:40]}' where a number is expected")
    return int(text)


def _disk_file(root: _Element, resource: str, place: str) -> str:
    """Follow `ovf:/disk/ID` to the file that it means; oVirt's own exports name the file straight away."""
    kind, _, name = resource.removeprefix("ovf:").strip("/").partition("/")
    if not resource.startswith("ovf:") and resource:
        return resource
    if kind == "disk":
        name = _attribute(_each(root, "Disk"), "diskId", name, "fileRef")
        kind = "file"
    href = _attribute(_each(root, "File"), "id", name, "href") if kind == "file" and name else ""
    if not href:
        raise TemplateError(f"{place} has a disk '{resource}' of which it does not say where it is")
    return href


def _each(root: _Element, name: str) -> Iterator[_Element]:
    return (each for each in root.iter() if _name(each) == name)


def _attribute(elements: Iterator[_Element], key: str, value: str, wanted: str) -> str:
    """Return an attribute of the element whose `key` is `value`; "" when there is none. Attributes go by their local names."""
    for element in elements:
        attributes = {str(name).rpartition("}")[2]: str(text) for name, text in element.attrib.items()}
        if attributes.get(key) == value:
            return attributes.get(wanted, "")
    return ""
