"""Copies of images: holes stay holes, blocks are shared where the file system can, and what is written may be hashed on the way."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..context import TaskContext
from ..errors import DiskFull, EngineError, TemplateError
from .hashes import Beside, Digests
from .writing import WriteBehind, write_all

CHUNK_BYTES = 1024 * 1024
"""Bytes between two looks at the cancel flag."""

PROGRESS_PERIOD_S = 0.1
FICLONE = 0x40049409
"""ioctl of linux/fs.h (`_IOW(0x94, 9, int)`): share all blocks of another file."""

_NO_SHARING = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.EBADF, errno.ETXTBSY})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def copy_sparse(ctx: TaskContext, source: Path, target: Path, digests: Digests | None = None) -> None:
    """Copy `source` to the new file `target` and put it on the disk for good.

    The digests, when given, run over the bytes that were written, holes included. On any failure `target` is removed.

    Raises:
        TemplateError: `source` cannot be read.
        DiskFull: there is no room for `target`.
        Cancelled: the user asked to stop.
    """
    with _reading(source) as source_fd, created(target) as target_fd:
        size = os.fstat(source_fd).st_size
        meter = _Meter(ctx, size)
        if _clone(source_fd, target_fd):
            if digests is not None:
                _digest(target_fd, size, digests, meter)
        elif digests is None:
            _copy_data(source_fd, target_fd, size, None, meter)
        else:
            with Beside(*digests.lanes()) as beside:
                _copy_data(source_fd, target_fd, size, beside, meter)
        os.fsync(target_fd)


def digest_file(ctx: TaskContext, path: Path, digests: Digests) -> None:
    """Run the digests over a file."""
    with _reading(path) as fd:
        size = os.fstat(fd).st_size
        _digest(fd, size, digests, _Meter(ctx, size))


@contextmanager
def created(target: Path) -> Iterator[int]:
    """Create a file that must not be there; when the block fails the file is removed and a full disk becomes DiskFull."""
    with full_disk_named(target):
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            yield fd
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)


@contextmanager
def full_disk_named(target: Path) -> Iterator[None]:
    """Turn "no space left" of the block into DiskFull, and other trouble with `target` into an error that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"the disk is full: '{target}' could not be written ({error.strerror})") from error
        raise EngineError(f"'{target}' cannot be written: {error.strerror or error}") from error


class _Meter:
    """Reports progress in bytes, at most ten times a second, and looks for a cancel."""

    def __init__(self, ctx: TaskContext, total: int) -> None:
        self._ctx = ctx
        self._total = total
        self._next_s = 0.0

    def at(self, done: int) -> None:
        self._ctx.raise_if_cancelled()
        now_s = time.monotonic()
        if now_s >= self._next_s or done == self._total:
            self._next_s = now_s + PROGRESS_PERIOD_S
            self._ctx.progress(done, self._total, unit="B")


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise TemplateError(f"image '{path}' cannot be read: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _clone(source_fd: int, target_fd: int) -> bool:
    try:
        fcntl.ioctl(target_fd, FICLONE, source_fd)
    except OSError as error:
        if error.errno not in _NO_SHARING:
            raise
        return False
    return True


def _copy_data(source_fd: int, target_fd: int, size: int, digests: Beside | None, meter: _Meter) -> None:
    os.ftruncate(target_fd, size)
    behind = WriteBehind(target_fd)
    for offset, length, is_hole in _pieces(source_fd, size):
        meter.at(offset)
        behind.at(offset)
        if is_hole:
            if digests is not None:
                digests.put(_ZEROS if length == CHUNK_BYTES else _ZEROS[:length])
        elif digests is None and _copy_in_kernel(source_fd, target_fd, offset, length):
            continue
        else:
            data = _read(source_fd, offset, length)
            write_all(target_fd, data, offset)
            if digests is not None:
                digests.put(data)
    meter.at(size)


_ZEROS = bytes(CHUNK_BYTES)


def _pieces(fd: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (offset, length, is_hole) of pieces no longer than a chunk that together are the file."""
    offset = 0
    while offset < size:
        data_start = _seek(fd, offset, os.SEEK_DATA, size)
        is_hole = data_start > offset
        end = data_start if is_hole else _seek(fd, offset, os.SEEK_HOLE, size)
        while offset < end:
            length = min(CHUNK_BYTES, end - offset)
            yield offset, length, is_hole
            offset += length


def data_pieces(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of the pieces of a file that are no holes."""
    return ((offset, length) for offset, length, is_hole in _pieces(fd, size) if not is_hole)


def _seek(fd: int, offset: int, whence: int, size: int) -> int:
    try:
        return min(os.lseek(fd, offset, whence), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data after `offset`
            return size
        raise


def _copy_in_kernel(source_fd: int, target_fd: int, offset: int, length: int) -> bool:
    done = 0
    while done < length:
        try:
            copied = os.copy_file_range(source_fd, target_fd, length - done, offset + done, offset + done)
        except OSError as error:
            if done == 0 and error.errno in _NO_SHARING:
                return False
            raise
        if copied == 0:
            return False
        done += copied
    return True


def _read(fd: int, offset: int, length: int) -> bytes:
    data = os.pread(fd, length, offset)
    if len(data) == length:
        return data
    pieces = [data]
    missing = length - len(data)
    while missing:
        piece = os.pread(fd, missing, offset + length - missing)
        if not piece:
            raise TemplateError("the image became shorter while it was copied")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _digest(fd: int, size: int, digests: Digests, meter: _Meter) -> None:
    with Beside(*digests.lanes()) as beside:
        for offset in range(0, size, CHUNK_BYTES):
            meter.at(offset)
            beside.put(_read(fd, offset, min(CHUNK_BYTES, size - offset)))
    meter.at(size)
