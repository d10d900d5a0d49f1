"""Images that the user brings, from this machine or the web: looked at, described, and put into the store as templates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..spec import Json
from .catalogue import LOCAL
from .copying import copy_sparse
from .disks import probe
from .fetching import local_path
from .fitness import fit_image
from .hashes import SIDECARS, Checksum, Digests, listed, promised
from .looking_inside import look_inside
from .repository import TemplateRef, require_name
from .sources import Fetched, HttpImage, read_metadata
from .store import Store
from .trouble import shown
from .unpacking import unpack_file
from .web import is_web, read_text
from .xz import MAGIC

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class ImportRequest:
    source: str
    """Path or address of a qcow2 or raw image, `.xz` or not."""
    name: str
    version: str = "1"
    distro: str | None = None
    cloud_init: bool | None = None
    """None: find out."""
    checksum: str | None = None
    """`sha256:…`, hex digits, or the address of a list such as SHA256SUMS; None: sidecars count, where there are some."""


@dataclass(frozen=True, slots=True)
class Imported:
    path: Path
    name: str
    version: str
    format: str
    virtual_size: int
    metadata: Mapping[str, Json]
    is_checked: bool
    """Whether a checksum vouched for it."""

    @property
    def cloud_init(self) -> bool | None:
        """None: nobody knows."""
        known = self.metadata.get("cloud-init")
        return known if isinstance(known, bool) else None


def import_image(ctx: TaskContext, store: Store, request: ImportRequest) -> Imported:
    """Put an image into the store as a template of the repository `local`.

    Raises:
        TemplateError: it cannot be read, is no image that a machine can stand on, or its name is taken.
        HashMismatch: it is not what its checksum promises; nothing is kept.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    require_name(request.name)
    require_name(request.version)
    source = _Brought(request)
    ref = TemplateRef(LOCAL, request.name, request.version, time.time(), source)
    if store.has(ref):
        raise TemplateError(
            f"template '{request.name}' has a version '{request.version}' already: '{store.path_of(ref)}'",
            hint=f"give another: --version {_next(request.version)}",
        )
    path = store.fetch(ctx, ref)
    metadata = store.metadata(ref)
    if "cloud-init" not in metadata:
        ctx.log(f"no trace of cloud-init was found in '{request.name}'; say --cloud-init or --no-cloud-init when you know")
    info = probe(ctx, path)
    return Imported(path, request.name, request.version, info.format, info.virtual_size, metadata, source.is_checked)


@dataclass(slots=True)
class _Brought:
    """The user's image as the source of a template."""

    request: ImportRequest
    is_checked: bool = field(default=False)

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        request = self.request
        fetched = self._from_web(ctx, out) if is_web(request.source) else self._from_file(ctx, out)
        self.is_checked = fetched.is_checked
        if not fetched.is_checked:
            ctx.log(f"nothing vouches for '{shown(request.source)}': there is no checksum beside it, and none was given (--checksum)")
        return replace(fetched, metadata=self._described(ctx, out, fetched.metadata))

    def metadata(self) -> Mapping[str, Json]:
        return {}

    def known(self) -> Mapping[str, Json]:
        return {}

    def size(self, ctx: TaskContext) -> int | None:
        return None

    def _from_web(self, ctx: TaskContext, out: Path) -> Fetched:
        given = self.request.checksum or ""
        listing, pinned = (given, None) if is_web(given) else ("", _given(given))
        return HttpImage(self.request.source, checksums_url=listing, pinned=pinned, may_be_packed=False, unchecked=True).fetch(ctx, out)

    def _from_file(self, ctx: TaskContext, out: Path) -> Fetched:
        path = local_path(self.request.source) or Path(self.request.source).expanduser()
        if not path.is_file():
            raise TemplateError(f"image '{path}' is not there, or is no file")
        expected = self._promised(ctx, path)
        metadata = read_metadata(path.with_name(path.name + ".metadata"))
        algorithms = {checksum.algorithm for checksum in expected}
        digests = Digests(algorithms | {"sha1"})
        if _is_xz(path):
            of_file = Digests(algorithms)
            unpack_file(ctx, path, out, of_file, digests)
            of_file.verify(expected, f"image '{path}'")
        else:
            fit_image(ctx, path, str(path))
            copy_sparse(ctx, path, out, digests)
            digests.verify(expected, f"image '{path}'")
        return Fetched(metadata, digests.result("sha1"), bool(expected))

    def _promised(self, ctx: TaskContext, path: Path) -> Sequence[Checksum]:
        given = self.request.checksum or ""
        if is_web(given):
            return tuple(listed(read_text(ctx, given), [path.name], shown(given)).values())
        if (checksum := _given(given)) is not None:
            return (checksum,)
        return promised(path) if any(path.with_name(path.name + suffix).is_file() for suffix in SIDECARS) else ()

    def _described(self, ctx: TaskContext, image: Path, brought: Mapping[str, Json]) -> dict[str, Json]:
        """Return the metadata of the image: what the user says, what came with it, what is found in it."""
        request, info = self.request, fit_image(ctx, image, shown(self.request.source))
        if info.format == "raw" and image.stat().st_size % SECTOR_BYTES:
            raise TemplateError(f"'{shown(request.source)}' is no disk image: neither qcow2, nor made of sectors of {SECTOR_BYTES} bytes")
        metadata = dict(brought)
        if request.cloud_init is not None:
            metadata["cloud-init"] = request.cloud_init
        if request.distro is not None:
            metadata["distro"] = request.distro
        if not {"cloud-init", "distro"} <= metadata.keys():
            with ctx.child("Look inside the image") as task:
                found = look_inside(task, info, image.with_name(f".{image.name}.raw"))
            if found.cloud_init is not None:
                metadata.setdefault("cloud-init", found.cloud_init)
            if found.distro is not None:
                metadata.setdefault("distro", found.distro)
        return metadata


def _given(text: str) -> Checksum | None:
    """Return the checksum that the user gave; None when none was given."""
    checksum = Checksum.of(text) if text else None
    if text and checksum is None:
        raise TemplateError(f"'{text}' is no checksum", hint="write sha1, sha256 or sha512 in hex digits, or the address of a list of them")
    return checksum


def _is_xz(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _next(version: str) -> str:
    return str(int(version) + 1) if version.isascii() and version.isdigit() else f"{version}-2"
