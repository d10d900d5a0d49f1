"""Room in the store: images that no environment stands on are removed; where that cannot be known, everything stays."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..context import TaskContext
from ..errors import PrefixDamaged, TemplateError
from ..plan.apply import ASIDE
from ..state import known
from ..state.home import data_home, state_home
from ..state.prefix import Prefix
from .catalogue import LOCAL
from .store import Store, StoredImage

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_NAME_BYTES = 1023
"""Longest name of a backing file. (QEMU, docs/interop/qcow2.rst)"""
_STAT_BLOCK_BYTES = 512
_OFD_GETLK = 36
"""F_OFD_GETLK of linux/fcntl.h; QEMU holds such locks on every image that a machine stands on. (fcntl(2))"""
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux."""


@dataclass(frozen=True, slots=True)
class Kept:
    path: Path
    reason: str


@dataclass(slots=True)
class Pruned:
    removed: list[Path] = field(default_factory=list)
    """Or, in a dry run, what would be."""
    freed_bytes: int = 0
    kept: list[Kept] = field(default_factory=list)


@dataclass(slots=True)
class _Uses:
    """Who stands on what."""

    by_image: dict[Path, str] = field(default_factory=dict)
    """Image → the environment that stands on it."""
    unknown: list[str] = field(default_factory=list)
    """Sentences about environments that cannot be read."""


def prune(ctx: TaskContext, store: Store, *, dry_run: bool = False, all_unused: bool = False, shared: bool = False) -> Pruned:
    """Remove images that no known environment stands on, and what unfinished downloads left.

    Args:
        ctx: the task it belongs to.
        store: where.
        dry_run: only say what would be removed.
        all_unused: the newest version of each template and imported images too, which are kept otherwise.
        shared: also in a store that other people use, whose environments are not known here.

    Raises:
        TemplateError: the store is shared, and `shared` is not set.
        Cancelled: the user asked to stop.
    """
    if not shared and not dry_run:
        _refuse_shared(store.root)
    result = Pruned()
    images = store.listing()
    newest = _newest(images)
    for image in images:
        ctx.raise_if_cancelled()
        reason = "" if all_unused else _worth_keeping(image, newest)
        _prune_one(ctx, store, image.path, image.size_bytes, reason, dry_run, result)
    for leftover in store.leftovers():
        size = leftover.stat().st_blocks * _STAT_BLOCK_BYTES if leftover.exists() else 0
        if dry_run or store.remove(leftover, lambda: True):
            _count(result, leftover, size)
    return result


def _prune_one(ctx: TaskContext, store: Store, path: Path, size: int, reason: str, dry_run: bool, result: Pruned) -> None:
    reason = reason or _in_use(path)
    if not reason and (dry_run or store.remove(path, lambda: not _in_use(path))):
        _count(result, path, size)
        ctx.log(f"{'would remove' if dry_run else 'removed'} '{path.name}'")
    else:
        result.kept.append(Kept(path, reason or "another run works on it"))


def _count(result: Pruned, path: Path, size: int) -> None:
    result.removed.append(path)
    result.freed_bytes += size


def _newest(images: Iterable[StoredImage]) -> Mapping[tuple[str, str], Path]:
    """Return (repository, template) → the image that came last."""
    newest: dict[tuple[str, str], Path] = {}
    for image in sorted(images, key=lambda image: image.path.stat().st_mtime):
        newest[image.repo, image.name] = image.path
    return newest


def _worth_keeping(image: StoredImage, newest: Mapping[tuple[str, str], Path]) -> str:
    if image.repo == LOCAL:
        return "it was imported (--all removes it)"
    return "it is the newest of its template (--all removes it)" if newest[image.repo, image.name] == image.path else ""


def _in_use(image: Path) -> str:
    """Say who stands on an image, or why that cannot be known; "" when nobody does.

    Looked up anew for each image, shortly before it goes: environments come into being meanwhile.
    """
    if _is_open_by_a_machine(image):
        return "a machine that is running stands on it"
    if (run := _run_with(image)) is not None:
        return f"a run that has not ended names it ('{run}')"
    uses = _uses()
    if uses.unknown:
        return f"{uses.unknown[0]}: it may stand on this image"
    return uses.by_image.get(image.resolve(), "")


def _uses() -> _Uses:
    environments, unreadable = known.remembered()
    uses = _Uses(unknown=[f"the list of environments has an entry that cannot be read ('{path}')" for path in unreadable])
    for env in environments:
        try:
            if not _is_there(env.path):
                continue
            for path in _images_of(env.prefix):
                for each in chain(path):
                    uses.by_image.setdefault(each.resolve(), f"environment '{env.path}' stands on it")
        except PrefixDamaged as damaged:
            uses.unknown.append(f"environment '{env.path}' cannot be read ({damaged.message}); lagotui --run destroy removes it")
        except OSError as failure:
            why = f"'{failure.filename}': {failure.strerror}" if failure.filename else str(failure)
            uses.unknown.append(f"environment '{env.path}' cannot be read ({why})")
    return uses


def _is_there(prefix: Path) -> bool:
    """Whether there is a folder.

    Raises:
        OSError: that cannot be seen.
    """
    try:
        prefix.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _images_of(prefix: Prefix) -> Iterator[Path]:
    """Yield every disk of an environment, in use or frozen in a snapshot, and whatever else lies among its images or is set aside."""
    for machine in prefix.load_env().machines.values():
        for disks in (machine.disks, *machine.snapshots.values()):
            yield from (Path(disk.path) for disk in disks if disk.path)
    for folder in (prefix.images, prefix.path / ASIDE):
        yield from (path for path in folder.rglob("*") if path.is_file())


def chain(image: Path) -> Iterator[Path]:
    """Yield an image and all that it stands on, as far as they are there.

    Raises:
        OSError: one is there and cannot be read, or names what it stands on in a way that is not followed here.
    """
    seen: set[Path] = set()
    here: Path | None = image
    while here is not None and here not in seen:
        seen.add(here)
        yield here
        here = _backing(here)


def _backing(image: Path) -> Path | None:
    try:
        with image.open("rb") as file:
            header = file.read(20)
            offset, length = int.from_bytes(header[8:16], "big"), int.from_bytes(header[16:20], "big")
            if not header.startswith(_QCOW2_MAGIC) or not 0 < length <= _QCOW2_NAME_BYTES:
                return None
            file.seek(offset)
            name = os.fsdecode(file.read(length))
    except FileNotFoundError:  # a disk that is gone stands on nothing
        return None
    if name.startswith("json:"):
        raise OSError(0, "it names what it stands on as json:", str(image))
    return image.parent / name.removeprefix("file:")


def _is_open_by_a_machine(image: Path) -> bool:
    """Whether a program of any user on this host, QEMU for one, holds a lock on an image."""
    try:
        with image.open("rb") as file:
            answer = fcntl.fcntl(file, _OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:  # it is gone, closed to us, or on a file system without locks
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _run_with(image: Path) -> Path | None:
    """Return the journal of a run outside of every prefix that names an image: an init that is under way, or that died."""
    name = json.dumps(str(image))[1:-1].encode()
    folder = state_home() / "journal"
    return next((path for path in sorted(folder.rglob("*")) if path.is_file() and name in path.read_bytes()), None)


def _refuse_shared(root: Path) -> None:
    """Raises: TemplateError: other people may have environments that stand on images of this store."""
    if root.is_dir() and not root.is_relative_to(data_home()) and _is_shared(root):
        raise TemplateError(
            f"store '{root}' is shared with other people, and their environments are not known here",
            hint="see what would go with --dry-run; when nobody else needs it: --shared",
        )


def _is_shared(root: Path) -> bool:
    """Whether others can use the images of a store, be it only to read them: where it is open to them, and so is every folder above."""
    about = root.stat()
    if about.st_uid != os.geteuid() or about.st_mode & 0o022:
        return True
    return bool(about.st_mode & 0o055) and all(folder.stat().st_mode & 0o011 for folder in root.resolve().parents)
