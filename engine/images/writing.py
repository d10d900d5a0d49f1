"""Writes of large files: whole whatever the kernel takes at once, and on their way to the disk while more comes in."""

from __future__ import annotations

import ctypes
from functools import cache
from os import pwrite
from typing import Any

BEHIND_BYTES = 16 * 1024 * 1024
"""Written before the kernel is asked to put it on the disk."""
_START = 2
"""SYNC_FILE_RANGE_WRITE: begin, do not wait. (sync_file_range(2))"""


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`."""
    rest = memoryview(data)
    while rest:
        written = pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


class WriteBehind:
    """Lets the disk write what was written so far while more comes in, so that the `fsync` at the end has little to wait for."""

    def __init__(self, fd: int, begun: int = 0) -> None:
        self._fd = fd
        self._asked = begun

    def at(self, offset: int) -> None:
        """Say that the file is written up to `offset`."""
        if offset - self._asked >= BEHIND_BYTES:
            _start(self._fd, self._asked, offset - self._asked)  # a hint: where it cannot be followed, `fsync` does it all
            self._asked = offset


def _start(fd: int, offset: int, length: int) -> None:
    call = _sync_file_range()
    if call is not None:
        call(fd, offset, length, _START)


@cache
def _sync_file_range() -> Any:
    """Return the function of the C library; None where it has none."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
