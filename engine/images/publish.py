"""A repository of one's own: a folder with `repo.metadata`, images and their sidecars, as the predecessor lays them out.

It may be used where it is, or put on a web server as it is. Of a template that is being added nothing is named before all of it is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..process import run
from ..spec import Json
from ..state.atomic import sync_dir, write_json, write_text
from .copying import copy_sparse, digest_file, full_disk_named
from .disks import probe, trusted_chain
from .fitness import fit_image
from .hashes import Digests
from .repository import load_repository, require_name, require_repository
from .sources import read_metadata
from .web import require_web

REPO_FILE = "repo.metadata"
FLATTEN_TIMEOUT_S = 7200.0
LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class PublishRequest:
    name: str
    folder: Path
    """Of the repository; made when it is not there."""
    source: Path
    """The image: of the store, the user's, or a disk that was exported or is of an environment."""
    known: tuple[Path, ...] = ()
    """Folders of images that `source` may stand on."""
    metadata: Mapping[str, Json] | None = None
    """Of the template; None: what lies beside `source`."""
    version: str | None = None
    """None: the next whole number."""
    distro: str | None = None
    cloud_init: bool | None = None
    repo_name: str | None = None
    """Of a repository that is made; None: as its folder."""
    baseurl: str | None = None
    """Where the folder will be on the web; None: the images are beside the repository, wherever that is."""


@dataclass(frozen=True, slots=True)
class Published:
    repository: Path
    repo: str
    name: str
    version: str
    image: Path
    sha1: str
    metadata: Mapping[str, Json]


def publish(ctx: TaskContext, request: PublishRequest) -> Published:
    """Add a version of a template to a repository, which is made when it is not there.

    Raises:
        TemplateError: the image, the repository or the name cannot be used, or the version is there already.
        CommandFailed: the image cannot be read while a machine runs on it.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    require_name(request.name)
    if request.baseurl is not None:
        require_web(request.baseurl)
    folder = request.folder.absolute()
    with full_disk_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _held(ctx, folder / f".{REPO_FILE}.lock"):
            return _publish_held(ctx, request, folder)


def _publish_held(ctx: TaskContext, request: PublishRequest, folder: Path) -> Published:
    repository = folder / REPO_FILE
    data = _read(repository, request.repo_name or folder.name)
    versions = data["templates"].setdefault(request.name, {"versions": {}})["versions"]
    version = request.version or _next(versions)
    require_name(version)
    image = folder / f"{request.name}-{version}.img"
    if version in versions:
        raise TemplateError(
            f"template '{request.name}' has a version '{version}' in '{repository}' already",
            hint=f"give another: --version {_next(versions)}",
        )
    metadata = _metadata(request)
    versions[version] = {"source": _source(data["sources"], request.baseurl), "handle": image.name, "timestamp": int(time.time())}
    require_repository(repository, json.dumps(data, indent=4))
    sha1 = _place(ctx, request, image, metadata)
    write_json(repository, data)
    return Published(repository, data["name"], request.name, version, image, sha1, metadata)


def _place(ctx: TaskContext, request: PublishRequest, image: Path, metadata: Mapping[str, Json]) -> str:
    """Put the image and its sidecars beside the repository; return the image's sha1."""
    new = image.with_name(f".{image.name}.new")
    new.unlink(missing_ok=True)
    digests = Digests({"sha1", "sha256"})
    try:
        if _stands_alone(ctx, request):
            copy_sparse(ctx, request.source, new, digests)
        else:
            with ctx.child("Merge the image with what it stands on"):
                run(ctx, ["qemu-img", "convert", "-O", "qcow2", request.source, new], timeout_s=FLATTEN_TIMEOUT_S)
            digest_file(ctx, new, digests)
        sha1 = digests.result("sha1")
        write_text(image.with_name(f"{image.name}.hash"), sha1 + "\n")
        write_text(image.with_name(f"{image.name}.sha256"), f"{digests.result('sha256')}  {image.name}\n")
        write_json(image.with_name(f"{image.name}.metadata"), dict(metadata))
        _sync(new)
        ctx.raise_if_cancelled()
        new.replace(image)
        sync_dir(image.parent)
    except BaseException:
        for leftover in (new, *(image.with_name(image.name + suffix) for suffix in (".hash", ".sha256", ".metadata"))):
            leftover.unlink(missing_ok=True)
        raise
    return sha1


def _stands_alone(ctx: TaskContext, request: PublishRequest) -> bool:
    if not request.source.is_file():
        raise TemplateError(f"image '{request.source}' is not there, or is no file")
    if probe(ctx, request.source).backing is None:
        fit_image(ctx, request.source, str(request.source))
        return True
    trusted_chain(ctx, request.source, (*request.known, request.source.parent))
    return False


def _metadata(request: PublishRequest) -> dict[str, Json]:
    beside = read_metadata(request.source.with_name(request.source.name + ".metadata")) if request.metadata is None else request.metadata
    metadata = dict(beside)
    if request.distro is not None:
        metadata["distro"] = request.distro
    if request.cloud_init is not None:
        metadata["cloud-init"] = request.cloud_init
    return metadata


def _read(repository: Path, name: str) -> dict[str, Json]:
    """Return what is in the repository file; a new repository when there is none."""
    if not repository.exists():
        require_name(name)
        return {"name": name, "sources": {}, "templates": {}}
    load_repository(str(repository))  # places what is wrong
    data: dict[str, Json] = json.loads(repository.read_text(encoding="utf-8"))
    return {"sources": {}, "templates": {}, **data}


def _source(sources: dict[str, Json], baseurl: str | None) -> str:
    """Return the name of the source of this folder, adding it when it is new."""
    wanted = {"type": "http", "args": {"baseurl": baseurl}} if baseurl else {"type": "file", "args": {"root": "."}}
    for name, source in sources.items():
        if source == wanted:
            return name
    name = "web" if baseurl else "here"
    while name in sources:
        name += "-2"
    sources[name] = wanted
    return name


def _next(versions: Mapping[str, Json]) -> str:
    numbers = [int(version) for version in versions if version.isascii() and version.isdigit()]
    return str(max(numbers, default=0) + 1)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(fd, 0o644)
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _held(ctx: TaskContext, lock: Path) -> Iterator[None]:
    """Keep others from extending the repository meanwhile."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(ctx, lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)


def _wait(ctx: TaskContext, acquire: Callable[[], object]) -> None:
    while True:
        try:
            acquire()
        except BlockingIOError:
            ctx.sleep(LOCK_POLL_S)
            continue
        return
