"""The disks of new machines: where each will be, and what must be done for that.

Images of the user's are never written: a disk is an overlay on them, in the prefix. What is fetched or taken out of an archive comes to
lie beside the overlays, read-only, once for all machines that stand on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from ..spec import DEFAULT_MEMORY_MIB, DEFAULT_VCPU, DiskSpec, DiskType, EnvSpec, Json, MachineSpec
from .materials import ImageFacts, InitFacts, OvaFacts, ResolvedTemplate, TemplateKey
from .model import Resource, Step, StepKind
from .names import Names

LAYERED = "qcow2"
"""The `template_type` of disks that stand on an image by its path."""
ISO = "iso"
OVA_METADATA: Mapping[str, Json] = {"root-partition": "/dev/sda1"}
"""What the predecessor takes for granted of an OVA's disk."""
_DEVICES = tuple(f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class _Making:
    """How the image of a disk comes to be."""

    source: str | None
    """Image that it stands on, or is a copy of; None: it is empty."""
    after: tuple[str, ...] = ("make-prefix",)
    """Steps that bring what it is made of."""
    is_copy: bool = False
    parent: str | None = None
    """Image that a copy is made to stand on."""
    between: tuple[str, ...] = ()
    """Images between the source and that one, which the copy takes in."""


@dataclass(frozen=True, slots=True)
class _Placed:
    disk: DiskSpec
    making: _Making | None
    """None: it is used where it is."""


@dataclass(slots=True)
class _Shared:
    """Steps that bring what several disks may stand on, by what they bring."""

    templates: dict[str, Step] = field(default_factory=dict)
    images: dict[tuple[str | None, ...], Step] = field(default_factory=dict)
    archives: dict[str, Step] = field(default_factory=dict)

    def steps(self) -> list[Step]:
        return [*self.templates.values(), *self.images.values(), *self.archives.values()]


class Disks:
    """The disks of all machines of an environment, placed."""

    def __init__(self, spec: EnvSpec, facts: InitFacts) -> None:
        self._facts = facts
        self._names = Names(facts.taken)
        self._shared = _Shared()
        machines = [_with_archive(machine, facts.archives.get(machine.ova_url or "")) for machine in spec.machines.values()]
        self._own = {
            (machine.name, disk.name): self._path(f"{machine.name}_{disk.name}.{disk.format if disk.type is DiskType.EMPTY else 'qcow2'}")
            for machine in machines
            for disk in machine.disks
            if _has_own_image(disk) or (disk.format != ISO and self._image(disk).packed)
        }
        self._machines = {machine.name: (machine, tuple(self._placed(machine, disk) for disk in machine.disks)) for machine in machines}

    def machine(self, name: str) -> MachineSpec:
        """Return the machine with every disk as it will be after init."""
        machine, placed = self._machines[name]
        disks = tuple(each.disk for each in placed)
        distro = machine.distro or (disks[0].metadata.get("distro") if disks else None)
        return replace(machine, disks=disks, distro=distro)

    def steps(self) -> list[Step]:
        """Return what makes all disks."""
        own = (step for name, (_, placed) in self._machines.items() for step in _make_steps(name, placed))
        return [*self._shared.steps(), *own]

    # one disk

    def _placed(self, machine: MachineSpec, disk: DiskSpec) -> _Placed:
        path = self._own.get((machine.name, disk.name))
        match disk.type:
            case DiskType.EMPTY:
                return _Placed(replace(disk, path=path), _Making(None))
            case DiskType.TEMPLATE if disk.template_type == LAYERED:
                url = machine.ova_url or ""
                from_archive = url in self._facts.archives and disk.path in {each.member for each in self._facts.archives[url].disks}
                return self._extracted(disk, path, url) if from_archive else self._layered(disk, path)
            case DiskType.TEMPLATE:
                return self._on_template(disk, path)
            case DiskType.FILE if disk.url is not None:
                return self._fetched(disk, path)
            case DiskType.FILE:
                return self._on_file(disk, path)

    def _on_template(self, disk: DiskSpec, path: str | None) -> _Placed:
        template, step = self._template((disk.template_name or "", disk.template_version))
        metadata = {**disk.metadata, **template.metadata}
        placed = replace(disk, path=path, format="qcow2", template_version=template.version, metadata=metadata)
        return _Placed(placed, _Making(template.image, (step.id,)))

    def _layered(self, disk: DiskSpec, path: str | None) -> _Placed:
        assert disk.path is not None
        image = self._image(replace(disk, format="qcow2"))
        metadata = {**image.metadata, **disk.metadata}
        if image.packed:
            return self._packed(replace(disk, metadata=metadata), path, image)
        if image.parent is None:
            return _Placed(replace(disk, path=path, format="qcow2", metadata=metadata), _Making(disk.path))
        template, step = self._template(image.parent)
        making = _Making(disk.path, ("make-prefix", step.id), is_copy=True, parent=template.image, between=image.between)
        return _Placed(replace(disk, path=path, format="qcow2", metadata={**template.metadata, **metadata}), making)

    def _extracted(self, disk: DiskSpec, path: str | None, url: str) -> _Placed:
        if url not in self._shared.archives:
            archive = self._facts.archives[url]
            places = {each.member: self._path(f"{PurePath(archive.name).stem}_{each.name}") for each in archive.disks}
            self._shared.archives[url] = _extract(url, archive, places)
        step = self._shared.archives[url]
        return _Placed(replace(disk, path=path, format="qcow2"), _Making(step.args["members"][disk.path], (step.id,)))

    def _fetched(self, disk: DiskSpec, path: str | None) -> _Placed:
        step = self._fetch(disk)
        if disk.format == ISO:
            return _Placed(replace(disk, path=step.args["path"]), None)
        return _Placed(replace(disk, path=path, format="qcow2"), _Making(step.args["path"], (step.id,)))

    def _packed(self, disk: DiskSpec, path: str | None, image: ImageFacts) -> _Placed:
        assert disk.path is not None
        template, needed = self._template(image.parent) if image.parent else (None, None)
        key = ("xz", disk.path)
        if key not in self._shared.images:
            name = self._path(PurePath(disk.path).name.removesuffix(".xz"))
            self._shared.images[key] = _unpack(disk, name, template, needed)
        step = self._shared.images[key]
        if disk.format == ISO:
            return _Placed(replace(disk, path=step.args["path"]), None)
        metadata = {**(template.metadata if template else {}), **disk.metadata}
        return _Placed(replace(disk, path=path, format="qcow2", metadata=metadata), _Making(step.args["path"], (step.id,)))

    def _on_file(self, disk: DiskSpec, path: str | None) -> _Placed:
        assert disk.path is not None
        image = self._image(disk)
        image_format = ISO if disk.format == ISO else image.format
        known = replace(disk, format=image_format, metadata={**image.metadata, **disk.metadata})
        if image.packed:
            return self._packed(known, path, image)
        if disk.make_a_copy:
            copy = self._path(PurePath(disk.path).name)
            return _Placed(replace(known, path=copy), _Making(disk.path, is_copy=True))
        if disk.format == ISO or disk.in_place:
            return _Placed(known, None)
        return _Placed(replace(known, path=path, format="qcow2"), _Making(disk.path))

    def _image(self, disk: DiskSpec) -> ImageFacts:
        return self._facts.images.get(disk.path or "", ImageFacts(disk.format))

    def _path(self, name: str) -> str:
        return str(PurePath(self._facts.prefix, "images", self._names.claim(name)))

    # what disks stand on

    def _template(self, key: TemplateKey) -> tuple[ResolvedTemplate, Step]:
        template = self._facts.templates[key]
        step = _fetch_template(template)
        return template, self._shared.templates.setdefault(step.id, step)

    def _fetch(self, disk: DiskSpec) -> Step:
        assert disk.url is not None
        key = (disk.url, disk.sha256, disk.sha1, disk.format if disk.format == ISO else None)
        if key not in self._shared.images:
            path = self._path(name_of_url(disk.url, f"{disk.name}.img"))
            self._shared.images[key] = _fetch_image(disk, path)
        return self._shared.images[key]


def name_of_url(url: str, otherwise: str) -> str:
    """Return the file name that a URL ends in; what comes packed with xz is unpacked on its way."""
    name = PurePath(unquote(urlsplit(url).path)).name.replace("\0", "").removesuffix(".xz")
    return name if name not in ("", ".", "..") and not name.startswith(".") else otherwise


def _has_own_image(disk: DiskSpec) -> bool:
    """Whether the disk gets an image that is named after it."""
    if disk.type is not DiskType.FILE:
        return True
    if disk.format == ISO:
        return False
    return disk.url is not None or not (disk.in_place or disk.make_a_copy)


def _with_archive(machine: MachineSpec, archive: OvaFacts | None) -> MachineSpec:
    """Return the machine with the disks of its archive before its own, and the archive's hardware where the init file says nothing."""
    if archive is None:
        return machine
    memory_mib = archive.memory_mib if archive.memory_mib and machine.memory_mib == DEFAULT_MEMORY_MIB else machine.memory_mib
    vcpu = archive.vcpu if archive.vcpu and machine.vcpu == DEFAULT_VCPU else machine.vcpu
    names, taken = {disk.name for disk in machine.disks}, {disk.dev for disk in machine.disks}
    free = (dev for dev in _DEVICES if dev not in taken)
    disks = tuple(
        DiskSpec(
            disk.name if disk.name not in names else f"ova-{disk.name}",
            DiskType.TEMPLATE,
            dev,
            template_type=LAYERED,
            path=disk.member,
            metadata=dict(OVA_METADATA),
        )
        for disk, dev in zip(archive.disks, free, strict=False)
    )
    return replace(machine, memory_mib=memory_mib, vcpu=vcpu, disks=(*disks, *machine.disks))


def _fetch_template(template: ResolvedTemplate) -> Step:
    return Step(
        f"fetch-template:{template.repo}:{template.name}:{template.version}",
        StepKind.FETCH_TEMPLATE,
        template.name,
        f"Fetch template {template.name}:{template.version}",
        args={"repo": template.repo, "name": template.name, "version": template.version},
        after=("make-prefix",),
        resource=Resource.DISK,
        journaled=False,  # the store is shared and has locks of its own; a fetched template is never taken back
    )


def _fetch_image(disk: DiskSpec, path: str) -> Step:
    name = PurePath(path).name
    return Step(
        f"fetch-image:{name}",
        StepKind.FETCH_IMAGE,
        name,
        f"Download image {name}",
        args={"url": disk.url, "path": path, "sha256": disk.sha256, "sha1": disk.sha1, "iso": disk.format == ISO},
        after=("make-prefix",),
        resource=Resource.NETWORK,
    )


def _unpack(disk: DiskSpec, path: str, parent: ResolvedTemplate | None, needed: Step | None) -> Step:
    name = PurePath(path).name
    return Step(
        f"unpack-image:{name}",
        StepKind.UNPACK_IMAGE,
        name,
        f"Unpack image {name}",
        args={"source": disk.path, "path": path, "parent": parent.image if parent else None, "iso": disk.format == ISO},
        after=("make-prefix", *((needed.id,) if needed else ())),
        resource=Resource.DISK,
    )


def _extract(url: str, archive: OvaFacts, places: Mapping[str, str]) -> Step:
    return Step(
        f"extract-ova:{url}",
        StepKind.EXTRACT_OVA,
        archive.name,
        f"Unpack archive {archive.name}",
        args={"url": url, "path": archive.path, "members": dict(places)},
        after=("make-prefix",),
        resource=Resource.DISK,
    )


def _make_steps(machine: str, placed: Iterable[_Placed]) -> Iterator[Step]:
    for each in placed:
        disk, making = each.disk, each.making
        if making is None:
            continue
        yield Step(
            f"make-disk:{machine}:{disk.name}",
            StepKind.MAKE_DISK,
            f"{machine}:{disk.name}",
            f"Create disk {disk.name}",
            args={
                "type": disk.type.value,
                "path": disk.path,
                "format": disk.format,
                "size": disk.size,
                "source": making.source,
                "copy": making.is_copy,
                "parent": making.parent,
                **({"between": list(making.between)} if making.between else {}),
            },
            after=making.after,
            resource=Resource.DISK,
            group=(f"Create disks for VM {machine}",),
        )
