"""What a plan needs and what this machine has: sizes of templates and images, memory, room on the disks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import TemplateError
from ..plan.summary import Capacity, SizeFacts, TemplateSummary
from ..spec import DiskSpec, DiskType, EnvSpec, Json

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..images.repository import TemplateRef
    from ..images.store import Store

MEMINFO = Path("/proc/meminfo")
_KIB_IN_MIB = 1024


def capacity(prefix: Path, store: Path) -> Capacity:
    """Return what is left where the prefix and the templates are, or will be."""
    return Capacity(available_memory_mib(MEMINFO.read_text()), _free_bytes(prefix), _free_bytes(store))


def available_memory_mib(meminfo: str) -> int:
    """Read `MemAvailable`: what programs can have without swapping. (proc(5))"""
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(fields.get("MemAvailable", fields.get("MemFree", "0")).split()[0]) // _KIB_IN_MIB


def size_facts(ctx: TaskContext, written: EnvSpec, catalogue: Catalogue, store: Store) -> SizeFacts:
    """Look up the sizes behind an init file; what cannot be known yet stays unknown."""
    disks = [(machine.name, disk) for machine in written.machines.values() for disk in machine.disks]
    refs = {
        (disk.template_name, disk.template_version): catalogue.find(disk.template_name, disk.template_version)
        for _, disk in disks
        if disk.type is DiskType.TEMPLATE and disk.template_name and disk.template_type == "lago"
    }
    templates = {wanted: _template(ctx, ref, store) for wanted, ref in refs.items()}
    images = _Images(ctx)
    virtual = {
        (machine, disk.name): _virtual_bytes(disk, templates.get((disk.template_name or "", disk.template_version)), images)
        for machine, disk in disks
    }
    copied = sum(_allocated_bytes(Path(disk.path)) for _, disk in disks if disk.make_a_copy and disk.path)
    unique = {(template.repo, template.name, template.version): template for template in templates.values()}
    return SizeFacts(tuple(unique.values()), virtual, copied)


class _Images:
    """Images of the user's, each looked at once."""

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx
        self._known: dict[str, int | None] = {}

    def virtual_bytes(self, path: str) -> int | None:
        if path not in self._known:
            self._known[path] = _probed(self._ctx, Path(path))
        return self._known[path]


def _virtual_bytes(disk: DiskSpec, template: TemplateSummary | None, images: _Images) -> int | None:
    from ..images.disks import parse_size

    if disk.size is not None:
        return parse_size(disk.size)
    if disk.type is DiskType.TEMPLATE:
        return template.virtual_bytes if template is not None else None
    return images.virtual_bytes(disk.path) if disk.path else None


def _template(ctx: TaskContext, ref: TemplateRef, store: Store) -> TemplateSummary:
    from ..images.catalogue import BuiltImage
    from ..images.sources import FileImage

    if store.has(ref):
        return TemplateSummary(ref.name, ref.version, ref.repo, "in store", 0, _probed(ctx, store.path_of(ref)))
    virtual = _probed(ctx, ref.source.path) if isinstance(ref.source, FileImage) else _virtual_size(ref.source.known())
    how = {FileImage: "copy", BuiltImage: "build"}.get(type(ref.source), "download")
    return TemplateSummary(ref.name, ref.version, ref.repo, how, ref.source.size(ctx), virtual)


def _virtual_size(metadata: Mapping[str, Json]) -> int | None:
    """Return what a guest sees of an image, where its metadata says so."""
    value = metadata.get("virtual_size", metadata.get("size"))
    return int(value) if str(value).isdigit() else None


def _probed(ctx: TaskContext, path: Path) -> int | None:
    from ..images.disks import probe
    from ..images.packed import is_packed, look_into

    try:
        return look_into(path).virtual_size if is_packed(path) else probe(ctx, path).virtual_size
    except TemplateError:  # not there yet, or no image: whoever uses it says so
        return None


def _allocated_bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512  # its unit whatever the file system's own is (stat(2))
    except OSError:
        return 0


def _free_bytes(folder: Path) -> int:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    status = os.statvfs(there)
    return status.f_bavail * status.f_frsize
