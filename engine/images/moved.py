"""Overlays whose folder was moved: they name what they stand on by its old path."""

from __future__ import annotations

from pathlib import Path

from ..context import TaskContext
from ..process import run
from .disks import probe

REBASE_TIMEOUT_S = 60.0
_MAGIC = b"QFI\xfb"
_HEADER_BYTES = 20
_NAME_BYTES_MAX = 1023
"""Of a backing file's name. (QEMU, docs/interop/qcow2.rst)"""


def rejoin(ctx: TaskContext, image: Path) -> None:
    """Point an overlay to the image of the same name beside it where the one that it names is gone, and so on down the chain.

    Raises:
        TemplateError: an image of the chain cannot be used.
        CommandFailed: an overlay cannot be changed.
    """
    seen: set[Path] = set()
    while image not in seen and (backing := backing_of(image)) is not None:
        seen.add(image)
        beside = image.with_name(backing.name)
        if not backing.exists() and beside.is_file() and beside != image:
            info = probe(ctx, image)
            backing_format = info.backing_format or probe(ctx, beside).format
            ctx.log(f"'{image}' stood on '{backing}', which is gone; it stands on '{beside}' now")
            run(ctx, ["qemu-img", "rebase", "-u", "-f", info.format, "-b", beside, "-F", backing_format, image], timeout_s=REBASE_TIMEOUT_S)
            backing = beside
        image = backing


def backing_of(image: Path) -> Path | None:
    """Return what a qcow2 image says it stands on; None when that is nothing, or the image is not ours to read."""
    try:
        with image.open("rb") as content:
            header = content.read(_HEADER_BYTES)
            length = int.from_bytes(header[16:20], "big")
            if not header.startswith(_MAGIC) or not 0 < length <= _NAME_BYTES_MAX:
                return None
            content.seek(int.from_bytes(header[8:16], "big"))
            name = content.read(length).decode(errors="surrogateescape")
    except OSError:  # gone, or the host's while a machine runs on it
        return None
    return None if name.startswith("json:") else image.parent / name
