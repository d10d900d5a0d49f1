"""A template repository: one JSON file that names templates, their versions, and the sources their images come from. Lago's format."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, Self

from ..context import TaskContext
from ..errors import TemplateError, TemplateMissing
from ..spec import Json
from .copying import copy_sparse
from .hashes import Digests, promised

_NAME_FORBIDDEN = frozenset("/:\0")
_STORE_SUFFIXES = (".hash", ".metadata", ".lock", ".tmp")
"""A version may not end so: in the store these are the files beside an image."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came with an image."""

    metadata: Mapping[str, Json]
    sha1: str
    """Of the bytes that were written; the store keeps it beside the image, as the predecessor does."""


class ImageSource(Protocol):
    """Where the image of one template version comes from."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        """Put the image into the new file `out`.

        Raises:
            TemplateError: it cannot be had, or is not what its checksum promises; `out` is then removed or worthless.
        """
        ...

    def metadata(self) -> Mapping[str, Json]:
        """Return what is known of the image before it is fetched; {} when nothing is.

        Raises:
            TemplateError: what is known of it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image on this machine, with its sidecars beside it."""

    path: Path

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
        return _read_metadata(self.path.with_name(self.path.name + ".metadata"))


@dataclass(frozen=True, slots=True)
class HttpImage:
    """An image on a web server. Known, so that copies of it in the store can be used."""

    url: str
    repository: Path
    source: str
    """Its name in the repository."""

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        place = _Reader.of(self.repository).place(("sources", self.source, "type"))
        raise TemplateError(
            f"{place}: '{self.url}' would have to be downloaded, which this version of lagotui cannot do",
            hint="download the image with its .hash and .metadata yourself, and name the folder in a source of type 'file'",
        )

    def metadata(self) -> Mapping[str, Json]:
        return {}


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """One version of one template, and where it comes from."""

    repo: str
    name: str
    version: str
    timestamp: float
    """Orders the versions; the highest is the newest."""
    source: ImageSource

    @property
    def store_name(self) -> str:
        """Name of the image in the store."""
        return f"{self.repo}:{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class Repository:
    name: str
    place: str
    """Of its file, for messages."""
    templates: Mapping[str, tuple[TemplateRef, ...]] = field(default_factory=dict)
    """Name → versions, the newest first."""

    def find(self, name: str, version: str | None = None) -> TemplateRef:
        """Return one version of a template, the newest when `version` is None.

        Raises:
            TemplateMissing: there is no such template or version.
        """
        versions = self.templates.get(name)
        if versions is None:
            raise missing(f"no template '{name}' in {self.place}", name, list(self.templates))
        if version is None:
            return versions[0]
        for ref in versions:
            if ref.version == version:
                return ref
        raise missing(f"template '{name}' has no version '{version}' in {self.place}", version, [ref.version for ref in versions])


def missing(message: str, name: str, known: Sequence[str]) -> TemplateMissing:
    """Return the error for a name that nobody knows, with the names that come near it."""
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        message += "; did you mean " + " or ".join(f"'{word}'" for word in near) + "?"
    elif known:
        message += f"; there are: {', '.join(known[:8])}{' …' if len(known) > 8 else ''}"
    return TemplateMissing(message)


def load_repository(location: str) -> Repository:
    """Read a repository.

    Args:
        location: path of its file, or a `file://` URL; `~` and `$VAR` are replaced.

    Raises:
        TemplateError: it cannot be read or understood; with file:line:column where there is one.
    """
    if location.startswith(("http://", "https://")):
        raise TemplateError(
            f"repository '{location}' would have to be downloaded, which this version of lagotui cannot do",
            hint="download the file and give its path with --template-repo-path",
        )
    return _Reader.of(_expanded(location.removeprefix("file://")).absolute()).repository()


class _Reader:
    """Turns the text of one repository file into a Repository, naming places when something is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    @classmethod
    def of(cls, path: Path) -> Self:
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise TemplateError(f"repository '{path}' cannot be read: {why}", hint="choose another with --template-repo-path") from error

    def repository(self) -> Repository:
        try:
            data = json.loads(self._text)
        except json.JSONDecodeError as error:
            raise TemplateError(f"{self._path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
        root = self._mapping(data, ())
        name = self._name(root.get("name"), ("name",))
        sources = self._mapping(root.get("sources", {}), ("sources",))
        templates = self._mapping(root.get("templates", {}), ("templates",))
        found = {template: self._versions(name, template, body, sources) for template, body in templates.items()}
        return Repository(name, str(self._path), found)

    def _versions(self, repo: str, template: str, body: Json, sources: Mapping[str, Json]) -> tuple[TemplateRef, ...]:
        at: tuple[str, ...] = ("templates", template)
        self._name(template, at)
        versions = self._mapping(self._mapping(body, at).get("versions"), (*at, "versions"))
        if not versions:
            raise self._wrong((*at, "versions"), f"template '{template}' has no versions")
        refs = [self._ref(repo, template, version, value, sources) for version, value in versions.items()]
        return tuple(sorted(refs, key=lambda ref: ref.timestamp, reverse=True))

    def _ref(self, repo: str, template: str, version: str, body: Json, sources: Mapping[str, Json]) -> TemplateRef:
        at = ("templates", template, "versions", version)
        self._name(version, at)
        value = self._mapping(body, at)
        source = self._text_of(value.get("source"), (*at, "source"), "the name of a source")
        if source not in sources:
            raise self._wrong((*at, "source"), f"template '{template}' names the source '{source}', which is not among 'sources'")
        image = self._image(source, sources[source], self._handle(value.get("handle"), (*at, "handle")))
        return TemplateRef(repo, template, version, self._timestamp(value.get("timestamp", 0), (*at, "timestamp")), image)

    def _image(self, name: str, body: Json, handle: str) -> ImageSource:
        at = ("sources", name)
        source = self._mapping(body, at)
        args = self._mapping(source.get("args", {}), (*at, "args"))
        match source.get("type"):
            case "file":
                root = _expanded(self._text_of(args.get("root"), (*at, "args", "root"), "the folder of a 'file' source"))
                return FileImage(self._path.parent / root / handle)
            case "http":
                url = self._text_of(args.get("baseurl"), (*at, "args", "baseurl"), "the address of an 'http' source")
                return HttpImage(f"{url.rstrip('/')}/{handle}", self._path, name)
            case other:
                raise self._wrong((*at, "type"), f"source '{name}' has type '{other}'; known are 'file' and 'http'")

    def _handle(self, value: Json, at: tuple[str, ...]) -> str:
        handle = self._text_of(value, at, "the handle of an image")
        path = PurePosixPath(handle)
        if path.is_absolute() or ".." in path.parts or "\0" in handle or path == PurePosixPath():
            raise self._wrong(at, f"handle '{handle}' leaves the folder of its source")
        return handle

    def _timestamp(self, value: Json, at: tuple[str, ...]) -> float:
        with contextlib.suppress(TypeError, ValueError):
            if math.isfinite(seconds := float(value)):
                return seconds
        try:
            return datetime.datetime.fromisoformat(str(value)).timestamp()
        except ValueError as error:
            raise self._wrong(at, f"'{value}' is no timestamp; write seconds since 1970") from error

    def _name(self, value: Json, at: tuple[str, ...]) -> str:
        name = self._text_of(value, at, "a name")
        if name.startswith(".") or _NAME_FORBIDDEN & set(name) or name.endswith(_STORE_SUFFIXES):
            raise self._wrong(at, f"'{name}' cannot be a name: it would be no file name in the store")
        return name

    def _text_of(self, value: Json, at: tuple[str, ...], what: str) -> str:
        if not isinstance(value, str) or not value:
            raise self._wrong(at, f"{what} is expected, as a text")
        return value

    def _mapping(self, value: Json, at: tuple[str, ...]) -> Mapping[str, Json]:
        if not isinstance(value, dict):
            raise self._wrong(at, f"'{at[-1]}' must be an object" if at else "the repository must be one JSON object")
        return value

    def _wrong(self, at: tuple[str, ...], message: str) -> TemplateError:
        return TemplateError(f"{self.place(at)}: {message}")

    def place(self, at: tuple[str, ...]) -> str:
        line, column = _position(self._text, at)
        return f"{self._path}:{line}:{column}" if line else str(self._path)


def _position(text: str, at: tuple[str, ...]) -> tuple[int, int]:
    """Return line and column of a value, or of the nearest one around it; (0, 0) when they cannot be found.

    The JSON module keeps no positions; YAML's parser does, and nearly all JSON is YAML.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return 0, 0
    for key in at:
        if not isinstance(node, yaml.MappingNode):
            break
        inner = next((value for name, value in node.value if name.value == key), None)
        if inner is None:
            break
        node = inner
    return (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (0, 0)


def _read_metadata(path: Path) -> Mapping[str, Json]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise TemplateError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise TemplateError(f"'{path}' must hold one JSON object")
    return data


def _expanded(text: str) -> Path:
    path = Path(os.path.expandvars(text))
    try:
        return path.expanduser()
    except RuntimeError:  # `~somebody` who has no home: the path is then reported as not there
        return path
