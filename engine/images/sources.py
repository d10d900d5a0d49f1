"""Where images come from: files of this machine, web servers, the store itself, and what plugins bring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urljoin, urlsplit

from ..context import TaskContext, detached_task
from ..errors import TemplateError, TemplateMissing
from ..spec import Json
from .copying import copy_sparse
from .download import Wanted, download, forget
from .hashes import SIDECARS, Checksum, Digests, listed, promised
from .texts import read_small
from .trouble import NotThere, shown
from .web import DEFAULT_LIMITS, Limits, content_length, read_text, require_web_file
from .xz import NotXz

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PLUGIN_GROUP = "lagotui.template_sources"
"""Entry points: type of a source → a `SourceType`."""

XZ = ".xz"
SIZE_PATIENCE_S = 4.0
"""Nobody waits longer than this for a size, which is good to know and no more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came with an image."""

    metadata: Mapping[str, Json]
    sha1: str
    """Of the bytes that were written; the store keeps it beside the image, as the predecessor does."""
    is_checked: bool = True
    """Whether a checksum vouched for them."""


class ImageSource(Protocol):
    """Where the image of one template version comes from."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        """Put the image into the new file `out`.

        Raises:
            TemplateError: it cannot be had, or is not what its checksum promises; `out` is then removed or worthless.
        """
        ...

    def metadata(self) -> Mapping[str, Json]:
        """Return what is known of the image before it is fetched, asking where it comes from; {} when nothing is.

        Raises:
            TemplateError: what is known of it cannot be read.
        """
        ...

    def known(self) -> Mapping[str, Json]:
        """Return what is known of the image without asking anybody; {} when nothing is."""
        ...

    def size(self, ctx: TaskContext) -> int | None:
        """Return how many bytes a fetch would bring; None when that cannot be found out."""
        ...


class SourceType(Protocol):
    """Makes the sources of one type; what an entry point names."""

    def __call__(self, args: Mapping[str, Json], handle: str, place: str) -> ImageSource:
        """Return the source of one image.

        Args:
            args: of the source, as the repository has them.
            handle: of the version.
            place: `file:line:column` of the source, for messages.

        Raises:
            TemplateError: the arguments cannot be used.
        """
        ...


def plugged_in(kind: str, place: str) -> SourceType:
    """Return what a plugin brings for a type of source.

    Raises:
        TemplateError: nobody knows the type.
    """
    from importlib.metadata import entry_points

    found = entry_points(group=PLUGIN_GROUP)
    for point in found:
        if point.name == kind:
            return _loaded(point, place)
    others = "".join(f", '{name}'" for name in sorted(found.names))
    raise TemplateError(
        f"{place}: there is no type of source '{kind}'; known are 'file' and 'http'{others}",
        hint=f"install the package that brings it (entry points of the group {PLUGIN_GROUP})",
    )


def _loaded(point: EntryPoint, place: str) -> SourceType:
    """Raises: TemplateError: the package is there, but what it brings cannot be used."""
    try:
        made: SourceType = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        package = point.dist.name if point.dist else point.value
        raise TemplateError(f"{place}: the type of source '{point.name}' of package '{package}' cannot be loaded: {error}") from error
    return made


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image on this machine, with its sidecars beside it."""

    path: Path
    extra: Mapping[str, Json] = field(default_factory=dict)
    """Metadata that the repository itself gives."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        if not self.path.is_file():
            raise TemplateError(f"image '{self.path}' is not there, or is no file")
        expected = promised(self.path)
        metadata = self.metadata()
        digests = Digests({checksum.algorithm for checksum in expected} | {"sha1"})
        copy_sparse(ctx, self.path, out, digests)
        digests.verify(expected, f"image '{self.path}'")
        return Fetched(metadata, digests.result("sha1"))

    def metadata(self) -> Mapping[str, Json]:
        return {**read_metadata(self.path.with_name(self.path.name + ".metadata")), **self.extra}

    def known(self) -> Mapping[str, Json]:
        return self.metadata()

    def size(self, ctx: TaskContext) -> int | None:
        return self.path.stat().st_size if self.path.is_file() else None


@dataclass(frozen=True, slots=True)
class HttpImage:
    """An image on a web server, `.xz` or as it is, with its sidecars beside it or a list of checksums somewhere."""

    url: str
    extra: Mapping[str, Json] = field(default_factory=dict)
    """Metadata that the repository itself gives; with it no `.metadata` is asked for."""
    checksums_url: str = ""
    """A list such as SHA256SUMS; "": there are sidecars."""
    pinned: Checksum | None = None
    """Given by the repository itself; of what `url` names, packed or not."""
    may_be_packed: bool = True
    """Whether `<url>.xz` is tried first."""
    unchecked: bool = False
    """Whether it is taken when no checksum is to be found: the user named it, and was told."""
    limits: Limits = DEFAULT_LIMITS

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        require_web_file(self.url)
        part = out.with_suffix(".part")
        try:
            image, sent = self._promised(ctx)
            metadata = self.metadata()
            digests = self._download(ctx, image, sent, metadata, out, part)
        except NotThere as missing:
            forget(part)
            raise TemplateMissing(f"the image cannot be downloaded: {missing.message}", hint="") from missing
        return Fetched(metadata, digests.result("sha1"), bool(image or sent))

    def metadata(self) -> Mapping[str, Json]:
        if self.extra:
            return self.extra
        with detached_task() as ctx:
            found = self._sidecar(ctx, ".metadata")
        return parse_metadata(found[1], shown(found[0])) if found else {}

    def known(self) -> Mapping[str, Json]:
        return self.extra

    def size(self, ctx: TaskContext) -> int | None:
        impatient = replace(
            self.limits, connect_s=min(SIZE_PATIENCE_S, self.limits.connect_s), silence_s=min(SIZE_PATIENCE_S, self.limits.silence_s)
        )
        sizes = (content_length(ctx, url, impatient) for url, _ in self._ways())
        return next((size for size in sizes if size is not None), None)

    def _download(
        self, ctx: TaskContext, image: Sequence[Checksum], sent: Mapping[str, Checksum], metadata: Mapping[str, Json], out: Path, part: Path
    ) -> Digests:
        size = metadata.get("size")
        missing: TemplateError | None = None
        for url, packed in self._ways():
            of_sent = [sent[name] for name in (_name(url),) if name in sent]
            wanted = Wanted(url, packed, of_sent, image, size if isinstance(size, int) else None, self.limits)
            try:
                return download(ctx, wanted, out, part)
            except NotThere as failure:
                missing = failure
            except NotXz as failure:
                if url == self.url:
                    raise
                missing = failure  # a server that answers every question with a page: as if it were not there
        assert missing is not None, "every way returns or fails"
        raise missing

    def _ways(self) -> tuple[tuple[str, bool], ...]:
        """Return what to ask for, the best first, and whether it is packed."""
        if self.url.endswith(XZ):
            return ((self.url, True),)
        plain = (self.url, False)
        return ((self.url + XZ, True), plain) if self.may_be_packed else (plain,)

    def _promised(self, ctx: TaskContext) -> tuple[Sequence[Checksum], Mapping[str, Checksum]]:
        """Return the checksums of the image, and by file name those of what is sent.

        Raises:
            TemplateError: there is none.
        """
        if self.pinned is not None:
            return ((), {_name(self.url): self.pinned}) if self.url.endswith(XZ) else ((self.pinned,), {})
        if self.checksums_url:
            text = read_text(ctx, self.checksums_url, self.limits)
            return (), listed(text, [_name(url) for url, _ in self._ways()], shown(self.checksums_url))
        return self._sidecars(ctx)

    def _sidecars(self, ctx: TaskContext) -> tuple[Sequence[Checksum], Mapping[str, Checksum]]:
        image: list[Checksum] = []
        sent: dict[str, Checksum] = {}
        for suffix in SIDECARS:
            found = self._sidecar(ctx, suffix)
            if found is None:
                continue
            checksum = Checksum.parse(found[1], shown(found[0]))
            packed = found[0].endswith(XZ + suffix)
            if packed and suffix != ".hash":  # `.hash` is of the unpacked image wherever it lies; the others as their tools make them
                sent[_name(found[0]).removesuffix(suffix)] = checksum
            else:
                image.append(checksum)
        if not image and not sent and not self.unchecked:
            raise TemplateError(
                f"image '{shown(self.url)}' has no checksum beside it ('{_name(self.url)}.hash' or '{_name(self.url)}.sha256')",
                hint="ask whoever publishes it for one; template import takes it with --checksum",
            )
        return image, sent

    def _sidecar(self, ctx: TaskContext, suffix: str) -> tuple[str, str] | None:
        """Return address and content of a sidecar, looked for as the predecessor does; None when there is none."""
        plain = self.url.removesuffix(XZ)
        packed = [plain + XZ] if self.may_be_packed or self.url.endswith(XZ) else []
        for url in (*packed, plain):
            try:
                return url + suffix, read_text(ctx, url + suffix, self.limits)
            except NotThere:
                continue
        return None


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image that the user put into the store; it can be had from nowhere else."""

    path: Path
    extra: Mapping[str, Json] = field(default_factory=dict)

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        raise TemplateMissing(f"image '{self.path}' was imported and is gone", hint="import it again with: lagotui --run template import")

    def metadata(self) -> Mapping[str, Json]:
        return self.extra

    def known(self) -> Mapping[str, Json]:
        return self.extra

    def size(self, ctx: TaskContext) -> int | None:
        return 0


def read_metadata(path: Path) -> Mapping[str, Json]:
    """Return what a `.metadata` sidecar says; {} when there is none.

    Raises:
        TemplateError: it cannot be read.
    """
    try:
        return parse_metadata(read_small(path), str(path))
    except FileNotFoundError:
        return {}


def parse_metadata(text: str, place: str) -> Mapping[str, Json]:
    """Read the content of a `.metadata` sidecar.

    Raises:
        TemplateError: it is not one JSON object.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"{place}:{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else place
        raise TemplateError(f"{where}: no JSON: {getattr(error, 'msg', error)}") from error
    if not isinstance(data, dict):
        raise TemplateError(f"'{place}' must hold one JSON object")
    return data


def beside(url: str, relative: str) -> str:
    """Return the address of what `relative` names from the folder `url`; an address stays what it is."""
    return urljoin(url.rstrip("/") + "/", relative)


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])
