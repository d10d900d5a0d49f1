"""Machines in OVA archives, as oVirt exports them: looked into without unpacking; only the disks that are named are taken out.

An archive comes from strangers. No name in it becomes a path of ours, links and devices are refused, and every size is bounded.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ..context import TaskContext
from ..errors import DiskFull, TemplateError
from .copying import CHUNK_BYTES
from .disks import probe, replacing
from .fetching import READ_ONLY
from .ovf import read_ovf

MAX_MEMBERS = 10_000
MAX_OVF_BYTES = 8 * 1024 * 1024
MAX_DISK_BYTES = 2**46
MAX_HEADER_BYTES = 1024 * 1024
"""Of one read that the tar reader asks for: longer names and extended headers are nobody's."""

_OVF = re.compile(r"(?P<root>(?:[^/]+/)*?)master/vms/[^/]+/[^/]+\.ovf|(?P<flat>(?:[^/]+/)?)[^/]+\.ovf")
_BLOCK = 64 * 1024
"""Of zeros that become a hole."""


@dataclass(frozen=True, slots=True)
class ArchivedDisk:
    name: str
    member: str
    """Path in the archive."""


@dataclass(frozen=True, slots=True)
class Ova:
    memory_mib: int | None
    vcpu: int | None
    disks: tuple[ArchivedDisk, ...]


def look_into(ctx: TaskContext, archive: Path) -> Ova:
    """Read what an archive holds, without writing anything.

    Raises:
        TemplateError: it is no archive of exactly one machine, or is not safe to unpack.
    """
    with _opened(ctx, archive) as tar:
        members = _members(ctx, tar, archive)
        found = [(member, match) for name, member in members.items() if (match := _OVF.fullmatch(name))]
        if len(found) != 1:
            raise TemplateError(f"archive '{archive}' holds {len(found)} descriptions of machines (.ovf); exactly one can be taken")
        member, match = found[0]
        _require_plain(member, archive, MAX_OVF_BYTES)
        content = tar.extractfile(member)
        text = content.read(MAX_OVF_BYTES) if content is not None else b""
        if len(text) != member.size:
            raise TemplateError(f"archive '{archive}' is cut short")
    ovf = read_ovf(text, f"'{member.name}' of archive '{archive}'")
    folder = match["flat"] if match["flat"] is not None else f"{match['root']}images/"
    disks = [_disk(archive, members, f"{folder}{place}") for place in ovf.disks]
    if len({disk.member for disk in disks}) != len(disks):
        raise TemplateError(f"archive '{archive}' names one disk twice")
    names = [disk.name for disk in disks]
    unique = [disk.name if names.count(disk.name) == 1 else f"{disk.name}-{number}" for number, disk in enumerate(disks)]
    return Ova(ovf.memory_mib, ovf.vcpu, tuple(ArchivedDisk(name, disk.member) for name, disk in zip(unique, disks, strict=True)))


def extract(ctx: TaskContext, archive: Path, places: Mapping[str, str]) -> None:
    """Take disks out of an archive.

    Args:
        ctx: the task it belongs to.
        archive: as `look_into` was given it.
        places: member → path of the new file, read-only; each is there whole or not at all.

    Raises:
        TemplateError: a disk is not there, is no image, or stands on another file.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    with _opened(ctx, archive) as tar:
        members = _members(ctx, tar, archive)
        for name, place in places.items():
            member = members.get(name)
            if member is None:
                raise TemplateError(f"archive '{archive}' has no '{name}' any more")
            _require_plain(member, archive, MAX_DISK_BYTES)
            with replacing(Path(place)) as new:
                _copy_out(ctx, tar, member, new, archive)
                info = probe(ctx, new)
                if info.backing is not None:
                    raise TemplateError(f"disk '{name}' of archive '{archive}' stands on another file, '{info.backing.name}'")
                new.chmod(READ_ONLY)


def _disk(archive: Path, members: Mapping[str, tarfile.TarInfo], wanted: str) -> ArchivedDisk:
    member = members.get(str(PurePosixPath(wanted)))
    if member is None or ".." in PurePosixPath(wanted).parts:
        raise TemplateError(f"archive '{archive}' describes a disk '{wanted}' that is not in it")
    _require_plain(member, archive, MAX_DISK_BYTES)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(wanted).name).lstrip("._-")[:63]
    return ArchivedDisk(name or "disk", str(PurePosixPath(wanted)))


def _members(ctx: TaskContext, tar: tarfile.TarFile, archive: Path) -> dict[str, tarfile.TarInfo]:
    """Return what is in the archive by name; refuse names that lead out of it, and names that are there twice."""
    found: dict[str, tarfile.TarInfo] = {}
    try:
        for number, member in enumerate(tar):
            ctx.raise_if_cancelled()
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or "\0" in member.name:
                raise TemplateError(f"archive '{archive}' holds '{member.name}', a name that leads out of it; it is not unpacked")
            if number >= MAX_MEMBERS:
                raise TemplateError(f"archive '{archive}' holds more than {MAX_MEMBERS} files; it is not unpacked")
            if str(path) in found and not member.isdir():
                raise TemplateError(f"archive '{archive}' holds '{path}' twice; it is not unpacked")
            found[str(path)] = member
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise TemplateError(f"'{archive}' is no archive that can be read: {error}") from error
    return found


def _require_plain(member: tarfile.TarInfo, archive: Path, max_bytes: int) -> None:
    if not member.isreg() or member.issparse():
        raise TemplateError(f"'{member.name}' of archive '{archive}' is no plain file; it is not unpacked")
    if not 0 <= member.size <= max_bytes:
        raise TemplateError(f"'{member.name}' of archive '{archive}' is {member.size} bytes long; it is not unpacked")


def _copy_out(ctx: TaskContext, tar: tarfile.TarFile, member: tarfile.TarInfo, new: Path, archive: Path) -> None:
    """Write a member to a new file; zeros become holes, so that a small archive cannot fill the disk with them."""
    source = tar.extractfile(member)
    assert source is not None, "it is a plain file"
    free = os.statvfs(new.parent).f_bavail * os.statvfs(new.parent).f_frsize
    done = written = 0
    with new.open("xb") as target:
        while done < member.size:
            ctx.raise_if_cancelled()
            try:
                data = source.read(min(CHUNK_BYTES, member.size - done))
            except (tarfile.TarError, EOFError, ValueError) as error:
                raise TemplateError(f"archive '{archive}' is damaged: {error}") from error
            if not data:
                raise TemplateError(f"archive '{archive}' is cut short in '{member.name}'")
            written += _write_sparse(target, done, data)
            done += len(data)
            if written > free:
                raise DiskFull(f"there is no room for '{member.name}' of archive '{archive}' beside '{new}'")
            ctx.progress(done, member.size, unit="B")
        target.truncate(member.size)


def _write_sparse(target: IO[bytes], offset: int, data: bytes) -> int:
    written = 0
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        if block.count(0) != len(block):
            target.seek(offset + start)
            target.write(block)
            written += len(block)
    return written


@contextmanager
def _opened(ctx: TaskContext, archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        if not archive.is_file():
            archive.stat()
            raise TemplateError(f"archive '{archive}' is no file")
        with archive.open("rb", buffering=0) as raw, _unpacked(raw) as file:
            try:
                tar = tarfile.TarFile(fileobj=_Watched(ctx, file))
            except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
                raise TemplateError(f"'{archive}' is no archive that can be read: {error}") from error
            with tar:
                yield tar
    except OSError as error:
        raise TemplateError(f"archive '{archive}' cannot be read: {error.strerror or error}") from error


@contextmanager
def _unpacked(raw: io.FileIO) -> Iterator[IO[bytes]]:
    """Yield the tar in a file that may be packed with gzip."""
    import gzip

    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    if packed:
        with gzip.GzipFile(fileobj=raw, mode="rb") as file:
            yield file  # type: ignore[misc]
    else:
        yield raw


class _Watched(io.RawIOBase):
    """A file for the tar reader: it looks for a cancel, and refuses to take a huge piece into memory because a header says so."""

    def __init__(self, ctx: TaskContext, file: IO[bytes]) -> None:
        super().__init__()
        self._ctx = ctx
        self._file = file

    def read(self, size: int = -1) -> bytes:
        self._ctx.raise_if_cancelled()
        if not 0 <= size <= max(MAX_HEADER_BYTES, CHUNK_BYTES):
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
