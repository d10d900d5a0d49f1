"""A folder of this machine that a guest's files are written into.

A guest may be hostile: its names and links never lead out of the folder. Every step on the way to a file goes through a descriptor of the
folder that it is in, and no link is followed; a file gets its name when it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import CopyFailed

Parts = tuple[bytes, ...]
"""Names on the way from the folder down."""

KEPT_MODE = 0o777
"""What of a mode is kept: a guest makes no program of this machine run as somebody else."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def part_name(name: bytes) -> bytes:
    """Return the name of a file while it is not whole: always the same, so that the next copy uses up what a killed one left."""
    return b".lagotui-" + hashlib.sha1(name, usedforsecurity=False).hexdigest()[:16].encode() + b".part"


def is_name(name: bytes) -> bool:
    """Whether a guest's name can be the name of a file in a folder."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name


class NewFile:
    """A file that is being written; it gets its name by `finish`."""

    def __init__(self, folder: int, name: bytes) -> None:
        self._folder = folder
        self._name = name
        self._part = part_name(name)
        self._fd = os.open(self._part, _NEW, 0o600, dir_fd=folder)
        self._whole = False

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def finish(self, mode: int, atime: int, mtime: int) -> None:
        """Give the file its mode, its times (0: now) and its name."""
        if mode:
            os.fchmod(self._fd, mode & KEPT_MODE)
        if mtime:
            os.utime(self._fd, (atime, mtime))
        os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._whole = True

    def close(self) -> None:
        os.close(self._fd)
        if not self._whole:
            os.unlink(self._part, dir_fd=self._folder)


class LocalTree:
    """The folder; close it in the end."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._root)

    def make_folder(self, parts: Parts) -> bool:
        """Make a folder where none is; it is open to us alone until `finish_folder`.

        Returns:
            Whether it was made.

        Raises:
            OSError: something else has the name, a link for one.
        """
        if not parts:
            return False
        with self._folder(parts[:-1]) as parent:
            try:
                os.mkdir(parts[-1], 0o700, dir_fd=parent)
            except FileExistsError:
                os.close(os.open(parts[-1], _FOLDER, dir_fd=parent))
                return False
        return True

    def finish_folder(self, parts: Parts, mode: int, atime: int, mtime: int) -> None:
        """Give a folder its mode and its times."""
        with self._folder(parts) as folder:
            if mode:
                os.fchmod(folder, mode & KEPT_MODE)
            if mtime:
                os.utime(folder, (atime, mtime))

    @contextmanager
    def taking_shape(self, name: bytes, *, is_folder: bool) -> Iterator[Parts]:
        """Give the name that something is to be copied to; a folder that is not there yet gets its own in the end, with what is in it.

        Else the next copy would take what a killed one left for a folder to copy into, and never remove what is not whole in it.

        Raises:
            CopyFailed: something else has taken the name meanwhile.
        """
        if not (is_folder and name) or self._has(name):
            yield (name,) if name else ()
            return
        part = self._shape(name)
        try:
            yield (part,)
        finally:
            try:
                os.rename(part, name, src_dir_fd=self._root, dst_dir_fd=self._root)
            except FileNotFoundError:
                pass  # nothing of it came
            except OSError as failure:
                raise CopyFailed(f"'{os.fsdecode(name)}' has come here meanwhile: what was copied is in '{part.decode()}'") from failure

    def _shape(self, name: bytes) -> bytes:
        """Return a free name for a folder that will be called `name`; what a killed copy left under it is removed."""
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another copy is at work here
            return part_name(name + b"/" + os.urandom(8))
        part = part_name(name + b"/")
        with _missing_is_fine():
            shutil.rmtree(part, dir_fd=self._root)
        return part

    def _has(self, name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=self._root, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def new_file(self, parts: Parts) -> Iterator[NewFile]:
        """Begin a file; what is not finished is removed."""
        with self._folder(parts[:-1]) as folder:
            new = NewFile(folder, parts[-1])
            try:
                yield new
            finally:
                new.close()

    def make_link(self, parts: Parts, target: bytes) -> None:
        """Make a symbolic link, in the place of a file or link that is there."""
        with self._folder(parts[:-1]) as folder:
            part = part_name(parts[-1])
            with _missing_is_fine():
                os.unlink(part, dir_fd=folder)
            os.symlink(target, part, dir_fd=folder)
            try:
                os.replace(part, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(part, dir_fd=folder)
                raise

    @contextmanager
    def _folder(self, parts: Parts) -> Iterator[int]:
        """Open a folder below, link by link."""
        descriptor = os.dup(self._root)
        try:
            for name in parts:
                inner = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return
