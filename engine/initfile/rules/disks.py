"""Disks: names, devices, sizes, and where their content comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..diagnostics import Diagnostic, Path, quoted
from ..model import Disk
from ..validate import nearest
from ..values import is_good_name
from .machines import fault_of_url
from .scope import Scope

_EXAMPLES = {"size": "size: 10G", "path": "path: images/disk.qcow2", "template_name": "template_name: tiny"}
_NAME_HINT = "up to 63 letters, digits, '.', '_' and '-', the first one a letter or a digit"

MAX_DISKS = 200
"""Far more than anybody attaches, and fewer than there are names for them: vda to vdzz."""

_OF_TEMPLATES = ("template_name", "template_version", "template_type")
_OF_IMAGES = ("path", "url", "make_a_copy", "in_place")
_IDLE = {
    "template": ("url", "make_a_copy", "in_place"),
    "empty": (*_OF_TEMPLATES, *_OF_IMAGES),
    "file": _OF_TEMPLATES,
}
"""Type of a disk → the keys that mean nothing there."""


def check_disks(scope: Scope, machine: str, disks: Sequence[Disk], written: Sequence[Mapping[str, Any]]) -> Iterator[Diagnostic]:
    """Check the disks of one machine.

    Args:
        scope: what is known.
        machine: its name.
        disks: as they were read.
        written: as they are in the file.
    """
    if len(disks) > MAX_DISKS:
        message = f"machine {quoted(machine)} has {len(disks)} disks, at most {MAX_DISKS} can be attached"
        yield scope.report("E230", ("domains", machine, "disks", MAX_DISKS), message, "leave some of them out")
    names: dict[str, int] = {}
    devices: dict[str, int] = {}
    for index, (disk, raw) in enumerate(zip(disks, written, strict=True)):
        path: Path = ("domains", machine, "disks", index)
        device = disk.dev or disk.device
        yield from _keys(scope, path, disk, raw)
        if device and devices.setdefault(device, index) != index:
            first = scope.line_of(("domains", machine, "disks", devices[device]))
            message = f"machine {quoted(machine)} has two disks at {quoted(device)}; the first is at line {first}"
            yield scope.report("E212", (*path, "dev" if disk.dev else "device"), message, "leave dev out, and it is chosen")
        if names.setdefault(disk.name, index) != index:
            first = scope.line_of(("domains", machine, "disks", names[disk.name], "name"))
            message = f"machine {quoted(machine)} has two disks named {quoted(disk.name)}; the first is at line {first}"
            yield scope.report("E213", (*path, "name"), message, "give each a name of its own")
        yield from _source(scope, path, disk)


def _keys(scope: Scope, path: Path, disk: Disk, raw: Mapping[str, Any]) -> Iterator[Diagnostic]:
    device = disk.dev or disk.device
    if not is_good_name(disk.name):
        yield scope.report("E214", (*path, "name"), f"{quoted(disk.name)} cannot be the name of a disk", _NAME_HINT)
    if disk.dev and disk.device and disk.dev != disk.device:
        yield scope.excludes(path, "dev", "device", "they say different things")
    if device and device.startswith("hd") and disk.format != "iso":
        where: Path = (*path, "dev" if disk.dev else "device")
        yield scope.report("E104", where, f"{quoted(device)} is for disks with format: iso", "use vda or sda")
    if disk.format == "iso" and disk.kind != "file":
        why = f"a disk of type {disk.kind} cannot be a CD-ROM"
        yield scope.excludes(path, "type", "format", why, "use type: file with a path", key=False)
    elif disk.format == "iso" and disk.size is not None:
        yield scope.excludes(path, "format", "size", "a CD-ROM is as large as its image")
    if disk.make_a_copy and disk.in_place:
        yield scope.excludes(path, "make_a_copy", "in_place")
    for key in _idle_keys(disk, raw):
        message = f"{quoted(key)} has no effect on a disk of type {disk.kind}"
        yield scope.report("W104", (*path, key), message, "leave it out", key=True)


def _idle_keys(disk: Disk, raw: Mapping[str, Any]) -> Iterator[str]:
    idle = _IDLE[disk.kind]
    if len(raw) > 3:
        for key in raw:
            if key in idle or (key in ("sha1", "sha256") and disk.url is None):
                yield key
    if disk.kind == "template" and disk.template_type == "lago" and disk.path is not None:
        yield "path"
    if disk.kind == "file" and disk.url is not None and disk.path is not None:
        yield "path"


def _source(scope: Scope, path: Path, disk: Disk) -> Iterator[Diagnostic]:
    if disk.kind == "file" and disk.url is not None:
        found = fault_of_url(scope, (*path, "url"), disk.url)
    elif is_really_empty(disk):
        message = f"disk {quoted(disk.name)} has neither path nor url: it is made empty, as with type: empty"
        found = scope.report("I202", (*path, "type"), message, "write type: empty, or add a path")
    else:
        needed = _needed_key(disk)
        value = getattr(disk, needed)
        if value is None:
            message = f"'{needed}' is missing from disk {quoted(disk.name)}: {_needer(disk)} needs it"
            found = scope.report("E102", (*path, needed), message, f"add it: {_EXAMPLES[needed]}")
        elif needed == "path":
            found = scope.missing_file((*path, "path"), value)
        else:
            found = _template(scope, path, disk) if needed == "template_name" else None
    if found:
        yield found


def is_really_empty(disk: Disk) -> bool:
    """Whether a file disk is what the predecessor's manual calls one: only a size, thinly provisioned."""
    return disk.kind == "file" and disk.size is not None and disk.path is None and disk.url is None and disk.format != "iso"


def _needed_key(disk: Disk) -> str:
    if disk.kind == "template":
        return "path" if disk.template_type == "qcow2" else "template_name"
    return "size" if disk.kind == "empty" else "path"


def _needer(disk: Disk) -> str:
    return "template_type qcow2" if disk.kind == "template" and disk.template_type == "qcow2" else f"type {disk.kind}"


def _template(scope: Scope, path: Path, disk: Disk) -> Diagnostic | None:
    templates, name, version = scope.facts.templates, disk.template_name, disk.template_version
    if templates is None or name is None:
        return None
    if name not in templates:
        hint = nearest(name, tuple(templates), "templates")
        return scope.report("E202", (*path, "template_name"), f"there is no template {quoted(name)}", hint)
    if version is not None and version not in templates[name]:
        message = f"template {quoted(name)} has no version {quoted(version)}"
        return scope.report("E203", (*path, "template_version"), message, nearest(version, templates[name], "versions"))
    stand_in = scope.facts.stand_ins.get(name)
    if stand_in is not None:
        message = f"template {quoted(name)} is {quoted(stand_in)} here, the nearest that is published today"
        return scope.report("I203", (*path, "template_name"), message, "name that one, and it stays the same one")
    return None
