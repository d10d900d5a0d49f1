"""xz → images, without a process: bounded in memory and in size, whatever the file says; zeros become holes."""

from __future__ import annotations

import lzma
import os
from collections.abc import Iterator
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from .copying import created
from .hashes import Digests

XZ_MAGIC = b"\xfd7zXZ\x00"
UNPACK_BYTES = 4 * 1024 * 1024
UNPACK_MEMORY_BYTES = 1024**3
"""xz -9 needs 65 MiB; a file that wants more than this is out to harm."""
_HOLE_BYTES = 64 * 1024
"""Runs of zeros of this length become holes."""
_ZEROS = bytes(_HOLE_BYTES)
IMAGE_BYTES = 64 * 1024**3
"""Of an image whose size nobody declares, unpacked."""


class NotPacked(TemplateError):
    """What was to be xz cannot be unpacked."""


class NotXz(NotPacked):
    """It does not even begin like xz."""


def unpack_file(ctx: TaskContext, source: Path, out: Path, digests: Digests) -> None:
    """Unpack an xz file of this machine into the new file `out`; the digests run over what comes out.

    Raises:
        NotPacked: it is no xz, is damaged, or becomes too large.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    what, size = f"'{source}'", source.stat().st_size
    with source.open("rb") as packed, created(out) as fd:
        unpacker, writer = Unpacker(what), ImageWriter(fd, digests, IMAGE_BYTES, what)
        while data := packed.read(UNPACK_BYTES // 4):
            ctx.progress(packed.tell(), size, unit="B")
            for piece in unpacker.feed(data):
                ctx.raise_if_cancelled()
                writer.take(piece)
        unpacker.finish()
        writer.finish()


class Unpacker:
    """xz → bytes, piece by piece; several streams in a row are one file, as for xz itself."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._stream: lzma.LZMADecompressor | None = None
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` brings.

        Raises:
            NotPacked: it is no xz, or damaged.
        """
        while data:
            if self._stream is None:
                data = data.lstrip(b"\0") if self._begun else data  # padding between streams
                if not data:
                    return
                if data[: len(XZ_MAGIC)] != XZ_MAGIC[: len(data)]:
                    raise NotXz(f"{self._what} is no xz data")
                self._stream, self._begun = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACK_MEMORY_BYTES), True
            yield from self._step(self._stream, data)
            data = b""
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None

    def finish(self) -> None:
        """Raises: NotPacked: the last stream has no end."""
        if self._stream is not None or not self._begun:
            raise NotPacked(f"{self._what} ends in the middle of its xz data")

    def _step(self, stream: lzma.LZMADecompressor, data: bytes) -> Iterator[bytes]:
        try:
            yield stream.decompress(data, UNPACK_BYTES)
            while not stream.eof and not stream.needs_input:
                yield stream.decompress(b"", UNPACK_BYTES)
        except lzma.LZMAError as error:
            raise NotPacked(f"{self._what} is no xz data that can be unpacked: {error}") from error


class ImageWriter:
    """Writes an unpacked image with holes where there are zeros, and hashes it; never beyond its limit."""

    def __init__(self, fd: int, digests: Digests, limit_bytes: int, what: str) -> None:
        self._fd = fd
        self._digests = digests
        self._limit_bytes = limit_bytes
        self._what = what
        self._size = 0

    def take(self, data: bytes) -> None:
        if self._size + len(data) > self._limit_bytes:
            raise NotPacked(
                f"{self._what} unpacks to more than {self._limit_bytes} bytes; it was stopped",
                hint="when the image is that large, declare its 'size' in bytes in the repository",
            )
        self._digests.update(data)
        for start in range(0, len(data), _HOLE_BYTES):
            block = data[start : start + _HOLE_BYTES]
            if block != _ZEROS[: len(block)]:
                write_all(self._fd, block, self._size + start)
        self._size += len(data)

    def finish(self) -> None:
        os.ftruncate(self._fd, self._size)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
