"""The store: images that are here already. Lago's layout, so that both find each other's.

<repo>:<template>:<version>             the image, read-only; there means whole and verified
<repo>:<template>:<version>.hash        sha1 of it
<repo>:<template>:<version>.metadata    JSON
<repo>:<template>:<version>.lock        held (flock) by whoever fetches it
<repo>:<template>:<version>.tmp         while it is fetched
<repo>:<template>:<version>.part        what came in of a download that broke off; .resume says what it is of
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..spec import Json
from ..state.atomic import sync_dir, write_json, write_text
from .copying import full_disk_named
from .fitness import fit_image
from .repository import TemplateRef
from .texts import read_small

LOCK_POLL_S = 0.05
READ_ONLY = 0o444
_BESIDE = frozenset({".hash", ".metadata", ".lock", ".tmp", ".part", ".resume"})
_UNFINISHED = frozenset({".tmp", ".part", ".resume"})
_STAT_BLOCK_BYTES = 512
"""Unit of `st_blocks`, whatever the file system's own. (stat(2))"""


@dataclass(frozen=True, slots=True)
class StoredImage:
    repo: str
    name: str
    version: str
    path: Path
    size_bytes: int
    """What it takes on the disk."""
    metadata: Mapping[str, Json]
    flaw: str = ""
    """Why what is known of it cannot be read, and what helps."""


@dataclass(frozen=True, slots=True)
class Store:
    root: Path

    def path_of(self, ref: TemplateRef) -> Path:
        """Return where the image is, or would be."""
        return self.root / ref.store_name

    def has(self, ref: TemplateRef) -> bool:
        return self.path_of(ref).is_file()

    def fetch(self, ctx: TaskContext, ref: TemplateRef) -> Path:
        """Return the path of the image, fetched from its source first where it is not here yet.

        Of several runs that want the same image at once, one fetches it and the others wait.

        Raises:
            TemplateError: the source cannot give it, or it is no image that machines may stand on.
            HashMismatch: it is not what was promised.
            DiskFull: there is no room.
            Cancelled: the user asked to stop.
        """
        path = self.path_of(ref)
        if path.is_file():
            return path
        self._make_root()
        with locked(ctx, _beside(path, ".lock")):
            if not path.is_file():
                self._fetch_locked(ctx, ref, path)
        return path

    def metadata(self, ref: TemplateRef) -> Mapping[str, Json]:
        """Return what is known of an image in the store.

        Raises:
            TemplateError: the image is here, but what is known of it cannot be read.
        """
        return _read_metadata(self.path_of(ref))

    def listing(self) -> tuple[StoredImage, ...]:
        """Return the images that are here, by name; one whose metadata cannot be read is among them, with its flaw."""
        if not self.root.is_dir():
            return ()
        images = [path for path in self.root.iterdir() if path.name.count(":") >= 2 and path.suffix not in _BESIDE and path.is_file()]
        return tuple(stored for path in sorted(images) for stored in _stored(path))

    def leftovers(self) -> tuple[Path, ...]:
        """Return what downloads and fetches left that ended in the middle; some may be under way."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(path for path in self.root.iterdir() if path.suffix in _UNFINISHED and path.stem.count(":") >= 2))

    def remove(self, path: Path, still: Callable[[], bool]) -> bool:
        """Remove an image with its sidecars, or a leftover, unless another run works on it.

        Args:
            path: of `listing` or `leftovers`.
            still: asked again once nobody can fetch it: whether it is to be removed.
        """
        leftover = path.suffix in _UNFINISHED
        image = path.with_suffix("") if leftover else path
        with full_disk_named(path), _opened_lock(_beside(image, ".lock")) as fd:
            if not _try_lock(fd) or not still():
                return False
            for each in (path,) if leftover else (path, _beside(path, ".hash"), _beside(path, ".metadata")):
                each.unlink(missing_ok=True)
        return True

    def _make_root(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise self._unwritable(PermissionError(0, "Permission denied"))

    def _unwritable(self, error: OSError) -> TemplateError:
        return TemplateError(
            f"template store '{self.root}' cannot be written: {error.strerror}", hint="choose another with --template-store DIR"
        )

    def _fetch_locked(self, ctx: TaskContext, ref: TemplateRef, path: Path) -> None:
        new = _beside(path, ".tmp")
        self._clear(path)
        try:
            with full_disk_named(path):
                fetched = ref.source.fetch(ctx, new)
                fit_image(ctx, new, ref.store_name)
                write_json(_beside(path, ".metadata"), dict(fetched.metadata))
                write_text(_beside(path, ".hash"), fetched.sha1)
                _seal(new)
                ctx.raise_if_cancelled()
                new.replace(path)
                sync_dir(self.root)
        except BaseException:
            self._clear(path)
            raise

    def _clear(self, path: Path) -> None:
        """Remove what a run that is no more left behind, but for what a download can go on with; the image itself is not here."""
        for suffix in (".tmp", ".hash", ".metadata"):
            _beside(path, suffix).unlink(missing_ok=True)
        for unfinished in self.root.glob(f".{glob.escape(path.name)}.tmp.*"):  # of a builder, before `.tmp` had its name
            unfinished.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _seal(image: Path) -> None:
    """Nobody may write what overlays stand on; and it is on the disk for good before it gets its name."""
    fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(fd, READ_ONLY)
        os.fsync(fd)
    finally:
        os.close(fd)


def _stored(path: Path) -> Iterator[StoredImage]:
    """Yield the image; nothing when another run has removed it meanwhile."""
    repo, name, version = path.name.split(":", 2)
    metadata, flaw = _readable_metadata(path)
    with contextlib.suppress(FileNotFoundError):
        yield StoredImage(repo, name, version, path, path.stat().st_blocks * _STAT_BLOCK_BYTES, metadata, flaw)


def _readable_metadata(path: Path) -> tuple[Mapping[str, Json], str]:
    try:
        return _read_metadata(path), ""
    except TemplateError as error:
        return {}, str(error)


def _read_metadata(image: Path) -> Mapping[str, Json]:
    sidecar = _beside(image, ".metadata")
    hint = f"remove the image, and it is fetched again: rm {shlex.quote(str(image))}"
    try:
        data = json.loads(read_small(sidecar))
    except FileNotFoundError:
        return {}
    except TemplateError as error:
        raise TemplateError(error.message, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"'{sidecar}' cannot be read: {error}", hint=hint) from error
    return data if isinstance(data, dict) else {}


@contextmanager
def locked(ctx: TaskContext, path: Path) -> Iterator[None]:
    """Hold the lock file as long as the block runs; a holder that is killed lets go of it."""
    with _opened_lock(path) as fd:
        waiting = False
        while not _try_lock(fd):
            if not waiting:
                ctx.log(f"another run is fetching '{path.stem}'; waiting for it")
                waiting = True
            ctx.sleep(LOCK_POLL_S)
        yield


@contextmanager
def _opened_lock(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield fd
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
