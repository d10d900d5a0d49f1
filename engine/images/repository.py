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
from typing import Self
from urllib.parse import quote

from ..context import detached_task
from ..errors import TemplateError, TemplateMissing
from ..spec import Json
from .hashes import Checksum
from .sources import Fetched, FileImage, HttpImage, ImageSource, beside, plugged_in
from .texts import read_small
from .trouble import plain, shown
from .web import DEFAULT_LIMITS, Limits, is_web, read_text, require_web

__all__ = ["Fetched", "FileImage", "HttpImage", "ImageSource", "Repository", "TemplateRef", "load_repository", "missing", "require_name"]

BY_NAME = "name:"
"""Before the name of a repository, where a path or an address may stand too."""

_NAME_FORBIDDEN = frozenset("/:\0")
_NAME_BYTES = 72
"""Of a repository, a template and a version each: together with what the store adds they make one file name."""
_URL_SAFE = "/%:@+~,;=&!$'()*"
"""Of a handle, what is written into an address as it is."""
_STORE_SUFFIXES = (".hash", ".metadata", ".lock", ".tmp", ".part", ".resume")
"""A version may not end so: in the store these are the files beside an image."""


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
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Name → the template that it stands for."""

    def find(self, name: str, version: str | None = None) -> TemplateRef:
        """Return one version of a template, the newest when `version` is None.

        Raises:
            TemplateMissing: there is no such template or version.
        """
        versions = self.templates.get(self.aliases.get(name, name))
        if versions is None:
            raise missing(f"no template '{name}' in {self.place}", name, [*self.templates, *self.aliases])
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


def require_name(name: str) -> None:
    """Raises: TemplateError: the name of a repository, template or version would be no file name in the store."""
    if len(name.encode(errors="replace")) > _NAME_BYTES:
        raise TemplateError(f"'{name[:_NAME_BYTES]}…' cannot be a name: it is longer than {_NAME_BYTES} bytes")
    if not name.isprintable():
        raise TemplateError(f"'{plain(name)}' cannot be a name: it has characters that cannot be printed")
    if not name or name.startswith(".") or _NAME_FORBIDDEN & set(name) or name.endswith(_STORE_SUFFIXES):
        raise TemplateError(f"'{name}' cannot be a name: it would be no file name in the store")


def load_repository(location: str, repos: Path | None = None, limits: Limits = DEFAULT_LIMITS) -> Repository:
    """Read a repository.

    Args:
        location: path of its file, its address (`http:`, `https:`, `file:`), or its name, which `name:` before it makes plain where
            there could be such a file too; in paths `~` and `$VAR` are replaced.
        repos: folder where repositories are looked for by name, in `*.json` and `*.metadata` of it and below.
        limits: how patient we are with servers, now and when images are fetched.

    Raises:
        TemplateError: it cannot be found, read or understood; with file:line:column where there is one.
    """
    if is_web(location):
        with detached_task() as ctx:
            return _Reader(shown(location), read_text(ctx, location, limits), location.rpartition("/")[0], limits).repository()
    if location.startswith(BY_NAME):
        return _named(location.removeprefix(BY_NAME), repos, limits)
    path = _expanded(_without_scheme(location)).absolute()
    if repos is not None and _may_be_name(location) and not path.exists():
        return _named(location, repos, limits)
    return _Reader.of(path, limits).repository()


def require_repository(path: Path, text: str) -> None:
    """Look through the text that is to become the repository file `path`.

    Raises:
        TemplateError: it would be no repository that can be used; with file:line:column.
    """
    _Reader(str(path), text, path.parent).repository()


def _without_scheme(location: str) -> str:
    """Return the path of a `file:` URL; other schemes than those we read are refused."""
    scheme, colon, rest = location.partition("://")
    if scheme == "file":
        return "/" + rest.partition("/")[2] if not rest.startswith(("~", "$")) else rest
    if colon:
        raise TemplateError(f"repository '{shown(location)}' cannot be read: '{scheme}' is not one of http, https and file")
    return location.removeprefix("file:")


def _may_be_name(location: str) -> bool:
    return not (_NAME_FORBIDDEN | set("~$")) & set(location) and not location.startswith(".")


def _named(name: str, repos: Path | None, limits: Limits) -> Repository:
    """Return the repository of that name below a folder; files that are no repositories are passed over."""
    known = []
    for path in sorted(path for pattern in ("*.json", "*.metadata") for path in (repos.rglob(pattern) if repos else ())):
        try:
            found = _Reader.of(path, limits).name()
        except TemplateError:
            continue
        if found == name:
            return _Reader.of(path, limits).repository()
        known.append(found)
    error = missing(f"no repository '{name}' in '{repos}'", name, known)
    raise TemplateMissing(error.message, hint="give the path or the address of a repository, or the folder with --template-repos DIR")


class _Reader:
    """Turns the text of one repository file into a Repository, naming places when something is wrong."""

    def __init__(self, shown_as: str, text: str, base: Path | str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._path = shown_as
        self._text = text
        self._base = base
        """Folder of the file: of this machine, or an address."""
        self._limits = limits

    @classmethod
    def of(cls, path: Path, limits: Limits) -> Self:
        hint = "choose another with --template-repo-path"
        try:
            return cls(str(path), read_small(path), path.parent, limits)
        except FileNotFoundError as error:
            raise TemplateError(f"repository '{path}' cannot be read: {error.strerror}", hint=hint) from error
        except TemplateError as error:
            raise TemplateError(f"repository {error.message}", hint=hint) from error

    def name(self) -> str:
        return self._name(self._root().get("name"), ("name",))

    def _root(self) -> Mapping[str, Json]:
        try:
            return self._mapping(json.loads(self._text), ())
        except json.JSONDecodeError as error:
            raise TemplateError(f"{self._path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise TemplateError(f"{self._path}: no JSON that can be read: {error}") from error

    def repository(self) -> Repository:
        root = self._root()
        name = self._name(root.get("name"), ("name",))
        sources = self._mapping(root.get("sources", {}), ("sources",))
        templates = self._mapping(root.get("templates", {}), ("templates",))
        found = {template: self._versions(name, template, body, sources) for template, body in templates.items()}
        aliases = self._mapping(root.get("aliases", {}), ("aliases",))
        return Repository(name, self._path, found, {alias: self._alias(alias, body, found) for alias, body in aliases.items()})

    def _alias(self, alias: str, body: Json, known: Mapping[str, object]) -> str:
        self._name(alias, ("aliases", alias))
        template = self._text_of(body, ("aliases", alias), "the name of a template")
        if template not in known:
            raise self._wrong(("aliases", alias), f"'{alias}' stands for '{template}', which is not among 'templates'")
        return template

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
        image = self._image(source, sources[source], self._handle(value.get("handle"), (*at, "handle")), value, at)
        return TemplateRef(repo, template, version, self._timestamp(value.get("timestamp", 0), (*at, "timestamp")), image)

    def _image(self, name: str, body: Json, handle: str, version: Mapping[str, Json], place: tuple[str, ...]) -> ImageSource:
        at = ("sources", name)
        source = self._mapping(body, at)
        args = self._mapping(source.get("args", {}), (*at, "args"))
        metadata = self._mapping(version.get("metadata", {}), (*place, "metadata"))
        match source.get("type"):
            case "file":
                root = self._text_of(args.get("root"), (*at, "args", "root"), "the folder of a 'file' source")
                return self._beside(root, handle, metadata, (*at, "args", "root"))
            case "http":
                base = self._text_of(args.get("baseurl"), (*at, "args", "baseurl"), "the address of an 'http' source")
                self._require_web(base, (*at, "args", "baseurl"))
                return self._http(base, handle, version, metadata, place)
            case str(kind):
                return plugged_in(kind, self.place((*at, "type")))(args, handle, self.place(at))
            case other:
                raise self._wrong((*at, "type"), f"source '{name}' has type '{other}'; known are 'file' and 'http'")

    def _beside(self, root: str, handle: str, metadata: Mapping[str, Json], at: tuple[str, ...]) -> ImageSource:
        """Return an image of a 'file' source; a repository that came from the web means what lies beside it there."""
        if isinstance(self._base, Path):
            return FileImage(self._base / _expanded(root) / handle, metadata)
        if root.startswith(("/", "~", "$")) or ".." in PurePosixPath(root).parts:
            raise self._wrong(at, f"a repository from the web may not name '{root}', a folder of this machine")
        return HttpImage(beside(self._base, quote(str(PurePosixPath(root, handle)), safe=_URL_SAFE)), metadata, limits=self._limits)

    def _http(self, base: str, handle: str, version: Mapping[str, Json], metadata: Mapping[str, Json], at: tuple[str, ...]) -> HttpImage:
        listing, pinned = version.get("checksums", ""), version.get("checksum")
        if not isinstance(listing, str):
            raise self._wrong((*at, "checksums"), "the file that lists the checksums is expected, as a text")
        checksum = Checksum.of(str(pinned)) if pinned is not None else None
        if pinned is not None and checksum is None:
            raise self._wrong((*at, "checksum"), f"'{pinned}' is no checksum; write sha256: and its hex digits")
        return HttpImage(
            beside(base, quote(handle, safe=_URL_SAFE)),
            metadata,
            checksums_url=beside(base, listing) if listing else "",
            pinned=checksum,
            may_be_packed=version.get("xz", True) is not False,
            limits=self._limits,
        )

    def _require_web(self, base: str, at: tuple[str, ...]) -> None:
        try:
            require_web(base)
        except TemplateError as error:
            raise self._wrong(at, error.message) from error

    def _handle(self, value: Json, at: tuple[str, ...]) -> str:
        handle = self._text_of(value, at, "the handle of an image")
        path = PurePosixPath(handle)
        if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
            raise self._wrong(at, f"handle '{handle}' leaves the folder of its source")
        if not handle.isprintable():
            raise self._wrong(at, f"handle '{plain(handle)}' has characters that cannot be printed")
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
        try:
            require_name(name)
        except TemplateError as error:
            raise self._wrong(at, error.message) from error
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
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        return 0, 0
    for key in at:
        if not isinstance(node, yaml.MappingNode):
            break
        inner = next((value for name, value in node.value if name.value == key), None)
        if inner is None:
            break
        node = inner
    return (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (0, 0)


def _expanded(text: str) -> Path:
    path = Path(os.path.expandvars(text))
    try:
        return path.expanduser()
    except RuntimeError:  # `~somebody` who has no home: the path is then reported as not there
        return path
