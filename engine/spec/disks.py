"""Disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from .json import Json, beyond, without_none, words

_KEYS = words(
    "name type dev format size template_name template_version template_type path url sha256 sha1 make_a_copy in_place metadata build"
)


class DiskType(StrEnum):
    TEMPLATE = "template"
    EMPTY = "empty"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class DiskSpec:
    name: str
    type: DiskType
    dev: str
    """Name in the guest: `vda` is virtio-blk, `sda` virtio-scsi."""
    format: str = "qcow2"
    """`qcow2`, `raw` or `iso`; for file disks what the image really is is probed."""
    size: str | None = None
    """As qemu-img takes it, e.g. `10G`; None keeps the size of the backing image."""
    template_name: str | None = None
    template_version: str | None = None
    """None means the newest; the plan fills it in."""
    template_type: str = "lago"
    path: str | None = None
    """Absolute path of the image: for `file` disks the user's, after init that of the disk in use."""
    url: str | None = None
    """Where init fetches the image of a `file` disk from."""
    sha256: str | None = None
    """What the bytes behind `url` must hash to."""
    sha1: str | None = None
    make_a_copy: bool = False
    in_place: bool = False
    """`file` disks only: let the machine write the user's own image."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    build: tuple[Mapping[str, Json], ...] = ()
    """Commands that change the disk before the machine first starts, each one builder and its options."""
    extra: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        data = {
            "name": self.name,
            "type": self.type.value,
            "dev": self.dev,
            "format": self.format,
            "size": self.size,
            "template_name": self.template_name,
            "template_version": self.template_version,
            "template_type": self.template_type if self.type is DiskType.TEMPLATE else None,
            "path": self.path,
            "url": self.url,
            "sha256": self.sha256,
            "sha1": self.sha1,
            "make_a_copy": self.make_a_copy or None,
            "in_place": self.in_place or None,
            "build": [dict(command) for command in self.build] or None,
        }
        return {**self.extra, **without_none(data), "metadata": dict(self.metadata)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        return cls(
            name=data["name"],
            type=DiskType(data["type"]),
            dev=data.get("dev", ""),
            format=data.get("format", "qcow2"),
            size=data.get("size"),
            template_name=data.get("template_name"),
            template_version=data.get("template_version"),
            template_type=data.get("template_type", "lago"),
            path=data.get("path"),
            url=data.get("url"),
            sha256=data.get("sha256"),
            sha1=data.get("sha1"),
            make_a_copy=bool(data.get("make_a_copy", False)),
            in_place=bool(data.get("in_place", False)),
            metadata=data.get("metadata") or {},
            build=tuple(data.get("build") or ()),
            extra=beyond(data, _KEYS),
        )
