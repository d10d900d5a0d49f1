"""What no machine can stand on: packed files, empty ones, images that stand on others, and qcow2 images that were cut off."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..context import TaskContext
from ..errors import TemplateError
from .disks import ImageInfo, probe

_PACKED = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes → what packed the file."""

_HEADER = struct.Struct(">4sIQIIQIIQ24xQ")
"""Of a qcow2 image: the places of its tables, and in version 3 what a reader must know. (QEMU, docs/interop/qcow2.rst)"""
_EXTENDED_L2_BIT = 1 << 4
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COMPRESSED_BIT = 1 << 62
_MAX_L1_ENTRIES = 4 * 1024 * 1024
"""QEMU itself allows no more."""


def fit_image(ctx: TaskContext, path: Path, url: str) -> ImageInfo:
    """Look at an image that was brought; refuse what no machine can stand on.

    Args:
        ctx: the task it belongs to.
        path: where it is now.
        url: where it came from, for messages.

    Raises:
        TemplateError: the file is packed, is no image, is empty or cut off, or stands on another file.
    """
    with path.open("rb") as file:
        start = file.read(6)
    packer = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
    if packer is not None:
        raise TemplateError(
            f"what '{url}' brought is packed with {packer}, no image", hint="unpack it at its source, or download and unpack it"
        )
    try:
        info = probe(ctx, path)
    except TemplateError as error:
        raise TemplateError(error.message.replace(str(path), url), hint=error.hint.replace(str(path), url)) from error
    if info.backing is not None:
        raise TemplateError(
            f"the image of '{url}' stands on another file, '{info.backing}', which was not fetched",
            hint="merge the two at their source: qemu-img convert -O qcow2 IMAGE MERGED",
        )
    if info.virtual_size == 0:
        raise TemplateError(f"the image of '{url}' is empty")
    if info.format == "qcow2" and (missing := _missing_bytes(ctx, path)):
        raise TemplateError(f"the image of '{url}' was cut off: at least {missing} bytes of it are missing", hint="bring it once more")
    return info


def _missing_bytes(ctx: TaskContext, path: Path) -> int:
    """Return how far a qcow2 image's own tables point beyond its end; the last cluster may be short, so where each begins counts."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        _, version, _, _, cluster_bits, _, _, l1_entries, l1_offset, features = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
        if version > 2 and features & _EXTENDED_L2_BIT:
            return 0
        tables = sorted(set(_table(file, l1_offset, min(l1_entries, _MAX_L1_ENTRIES))))
        end: int = max([l1_offset, *tables])
        for offset in tables[: size >> cluster_bits]:
            ctx.raise_if_cancelled()
            end = max([end, *_table(file, offset, (1 << cluster_bits) // 8)])
    return max(0, end + 1 - size)


def _table(file: BinaryIO, offset: int, entries: int) -> Iterator[int]:
    """Yield the places that a table points to."""
    file.seek(offset)
    data = file.read(entries * 8)
    table = array("Q", data[: len(data) // 8 * 8])
    if sys.byteorder == "little":
        table.byteswap()
    return (entry & _OFFSET_MASK for entry in table if entry & _OFFSET_MASK and not entry & _COMPRESSED_BIT)
