"""What planning an init must know from outside: templates, the user's images and what they stand on, archives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import InitFileError, TemplateError, TemplateMissing
from ..plan.disks import ISO, LAYERED, name_of_url
from ..plan.materials import ImageFacts, InitFacts, OvaDisk, OvaFacts, ResolvedTemplate, TemplateKey
from ..spec import DiskSpec, DiskType, EnvSpec, MachineSpec

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..images.store import Store
    from .facts import InitRequest

Place = tuple[str | int, ...]
"""Keys and indexes from the top of the init file."""


def init_facts(
    ctx: TaskContext,
    request: InitRequest,
    spec: EnvSpec,
    catalogue: Catalogue,
    store: Store,
    *,
    uuid: str,
    host: str,
    fetch: bool,
) -> InitFacts:
    """Gather what planning an init needs.

    Args:
        ctx: the task it belongs to.
        request: what is asked for.
        spec: what its init file means.
        catalogue: of the templates.
        store: of the images that are here already.
        uuid: of the new prefix.
        host: that it will be on.
        fetch: download archives that machines come from: what is in them cannot be known otherwise.

    Raises:
        InitFileError: a disk is made smaller than what it stands on, or something that the file names cannot be used; placed.
        TemplateMissing: nobody has a template.
        Cancelled: the user asked to stop.
    """
    look = _Look(ctx, request, catalogue, store, fetch)
    for machine in spec.machines.values():
        look.at_machine(machine)
    return InitFacts(
        prefix=str(request.prefix),
        workdir=str(request.workdir),
        name=request.prefix.name,
        uuid=uuid,
        host=host,
        templates=look.templates,
        images=look.images,
        archives=look.archives,
        set_current=request.set_current,
        bootstrap=not request.skip_bootstrap,
        build=not request.skip_build,
    )


@dataclass(slots=True)
class _Look:
    """Looks at everything that machines are made from, each thing once."""

    ctx: TaskContext
    request: InitRequest
    catalogue: Catalogue
    store: Store
    fetch: bool
    templates: dict[TemplateKey, ResolvedTemplate] = field(default_factory=dict)
    images: dict[str, ImageFacts] = field(default_factory=dict)
    archives: dict[str, OvaFacts] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    """Image → bytes that a guest sees."""

    def at_machine(self, machine: MachineSpec) -> None:
        place: Place = ("domains", machine.name)
        for index, disk in enumerate(machine.disks):
            self._at_disk(disk, (*place, "disks", index))
        if machine.ova_url is not None and machine.ova_url not in self.archives:
            self._at_archive(machine.ova_url, (*place, "url"))

    # disks

    def _at_disk(self, disk: DiskSpec, place: Place) -> None:
        if disk.type is DiskType.TEMPLATE and disk.template_type != LAYERED:
            template = self._template((disk.template_name or "", disk.template_version))
            if disk.size is not None and Path(template.image).is_file():
                self._require_room(disk, Path(template.image), place)
        elif disk.type is not DiskType.EMPTY and disk.url is None and disk.path is not None:
            from ..images.packed import is_packed

            path = Path(disk.path)
            if disk.format == ISO and not is_packed(path):
                return
            if disk.path not in self.images:
                self.images[disk.path] = self._layer(path, place) if disk.type is DiskType.TEMPLATE else self._file(path, place)
            if disk.size is not None:
                self._require_room(disk, path, place)

    def _template(self, key: TemplateKey) -> ResolvedTemplate:
        if key not in self.templates:
            ref = self.catalogue.find(*key)
            metadata = self.store.metadata(ref) if self.store.has(ref) else ref.source.metadata()
            self.templates[key] = ResolvedTemplate(ref.repo, ref.name, ref.version, str(self.store.path_of(ref)), metadata)
        return self.templates[key]

    def _file(self, path: Path, place: Place) -> ImageFacts:
        from ..images.disks import trusted_chain
        from ..images.layers import read_sidecar
        from ..images.packed import is_packed

        try:
            if is_packed(path):
                return self._packed(path)
            info = trusted_chain(self.ctx, path, (self.store.root,))[0]
            self._sizes[str(path)] = info.virtual_size
            return ImageFacts(info.format, read_sidecar(path))
        except TemplateError as wrong:
            raise _placed(self.request, "E229", (*place, "path"), wrong.message, wrong.hint) from wrong

    def _layer(self, path: Path, place: Place) -> ImageFacts:
        from ..images.layers import look_at_layer, read_sidecar
        from ..images.packed import is_packed

        try:
            if is_packed(path):
                return self._packed(path)
            layer = look_at_layer(self.ctx, path, self.store.root)
            self._sizes[str(path)] = layer.info.virtual_size
            if layer.missing is not None:
                self._template(layer.missing)
            return ImageFacts(layer.info.format, read_sidecar(path), layer.missing, tuple(map(str, layer.between)))
        except TemplateMissing as missing:
            message = f"'{path}' stands on a template that is not there: {missing.message}"
            raise _placed(self.request, "E202", (*place, "path"), message, missing.hint) from missing
        except TemplateError as wrong:
            raise _placed(self.request, "E229", (*place, "path"), wrong.message, wrong.hint) from wrong

    def _packed(self, path: Path) -> ImageFacts:
        from ..images.layers import read_sidecar
        from ..images.packed import look_into, unpacked_name

        found = look_into(path)
        self._sizes[str(path)] = found.virtual_size or 0
        if found.template is not None:
            self._template(found.template)
        return ImageFacts(found.format, read_sidecar(unpacked_name(path)), found.template, packed=True)

    def _require_room(self, disk: DiskSpec, base: Path, place: Place) -> None:
        from ..images.disks import parse_size, probe

        if str(base) not in self._sizes:
            self._sizes[str(base)] = probe(self.ctx, base).virtual_size
        below = self._sizes[str(base)]
        if disk.size is not None and parse_size(disk.size) < below:
            message = f"disk '{disk.name}' cannot be {disk.size}: the image that it stands on is {_shown_size(below)} already"
            raise _placed(self.request, "E104", (*place, "size"), message, "make it larger, or leave size out")

    # archives

    def _at_archive(self, url: str, place: Place) -> None:
        from ..images.archives import bring, cached
        from ..images.fetching import local_path
        from ..images.ova import look_into

        try:
            local = local_path(url)
            if local is None and not self.fetch and not cached(url).is_file():
                return
            path = local or bring(self.ctx, url)
            ova = look_into(self.ctx, path)
        except TemplateError as wrong:
            raise _placed(self.request, "E229", place, wrong.message, wrong.hint) from wrong
        disks = tuple(OvaDisk(disk.name, disk.member) for disk in ova.disks)
        name = name_of_url(url, "machine.ova")
        self.archives[url] = OvaFacts(name, str(local) if local else None, ova.memory_mib, ova.vcpu, disks)


def variables(request: InitRequest) -> Mapping[str, str]:
    """Return what `$NAME` means in paths of the init file: our environment, and the three names of the predecessor."""
    return {
        **os.environ,
        "LAGO_INITFILE_PATH": str(request.init_file.absolute().parent),
        "LAGO_WORKDIR_PATH": str(request.workdir),
        "LAGO_PREFIX_PATH": str(request.prefix),
    }


def _placed(request: InitRequest, code: str, place: Place, message: str, hint: str) -> InitFileError:
    """Return an error with the line and column of what it is about."""
    from ..initfile.source import parse
    from ..initfile.validate import read_init_file
    from .facts import shown_path

    document = parse(request.read(), str(shown_path(request.init_file)))
    read_init_file(document)  # so that what a machine inherits is found where it is written
    diagnostic = document.report(code, place, message, hint)
    return InitFileError(str(diagnostic), diagnostics=(diagnostic,))


def _shown_size(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.3g} GiB" if size_bytes >= 1024**3 else f"{size_bytes / 1024**2:.3g} MiB"
