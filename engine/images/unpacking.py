"""Unpacked images on their way to the disk: hashed, with holes where there are zeros, and never larger than they may become."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..context import TaskContext
from .copying import created
from .hashes import Beside, Digests
from .writing import WriteBehind, write_all
from .xz import PIECE_BYTES, NotPacked, Unpacker, unpacker

_HOLE_BYTES = 64 * 1024
"""Runs of zeros of this length become holes."""
_ZEROS = bytes(_HOLE_BYTES)
IMAGE_BYTES = 64 * 1024**3
"""Of an image whose size nobody declares, unpacked."""


def unpack_file(ctx: TaskContext, source: Path, out: Path, packed: Digests, image: Digests, *, limit_bytes: int = IMAGE_BYTES) -> None:
    """Unpack an xz file of this machine into the new file `out`.

    Args:
        ctx: hears the bytes.
        source: the file.
        out: appears; removed when it fails.
        packed: run over what is read.
        image: run over what comes out.
        limit_bytes: it does not become larger.

    Raises:
        NotPacked: it is no xz, is damaged, or becomes too large.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    what, size = f"'{source}'", source.stat().st_size
    with source.open("rb") as file, created(out) as fd, unpacking(ctx, fd, image, limit_bytes, what) as unpacked:
        with Beside(unpacked.feed, *packed.lanes()) as beside:
            while data := file.read(PIECE_BYTES):
                ctx.raise_if_cancelled()
                ctx.progress(file.tell(), size, unit="B")
                beside.put(data)
        unpacked.finish()


@contextmanager
def unpacking(ctx: TaskContext, fd: int, digests: Digests, limit_bytes: int, what: str) -> Iterator[Unpacker]:
    """Yield what unpacks into a new file; after its `finish` and at the end of the block the file and its digests are whole.

    Args:
        ctx: the task it belongs to.
        fd: of the file.
        digests: run over what comes out.
        limit_bytes: it does not become larger.
        what: is unpacked, for messages.
    """
    with Beside(*digests.lanes()) as beside:
        writer = _ImageWriter(ctx, fd, beside, limit_bytes, what)
        with unpacker(what, writer.take) as unpacks:
            yield unpacks
        writer.finish()


class _ImageWriter:
    """Writes an image with holes where there are zeros, and has it hashed; never beyond its limit."""

    def __init__(self, ctx: TaskContext, fd: int, beside: Beside, limit_bytes: int, what: str) -> None:
        self._ctx = ctx
        self._fd = fd
        self._beside = beside
        self._behind = WriteBehind(fd)
        self._limit_bytes = limit_bytes
        self._what = what
        self._size = 0

    def take(self, data: bytes) -> None:
        self._ctx.raise_if_cancelled()
        if self._size + len(data) > self._limit_bytes:
            raise NotPacked(
                f"{self._what} unpacks to more than {self._limit_bytes} bytes; it was stopped",
                hint="when the image is that large, declare its 'size' in bytes in the repository",
            )
        self._beside.put(data)
        for start, end in _filled(data):
            write_all(self._fd, memoryview(data)[start:end], self._size + start)
        self._size += len(data)
        self._behind.at(self._size)

    def finish(self) -> None:
        os.ftruncate(self._fd, self._size)


def _filled(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the parts that are no holes."""
    begun: int | None = None
    for start in range(0, len(data), _HOLE_BYTES):
        if data.startswith(_ZEROS[: len(data) - start], start):
            if begun is not None:
                yield begun, start
            begun = None
        elif begun is None:
            begun = start
    if begun is not None:
        yield begun, len(data)
