"""Images of this machine that are packed with xz, as exports make them: looked into, and unpacked into a prefix."""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import TemplateError
from ..process import run
from .disks import CREATE_TIMEOUT_S, probe, replacing
from .hashes import SIDECARS, Digests, promised
from .layers import layer_name, read_sidecar, require_same_base
from .unpacking import IMAGE_BYTES, unpack_file
from .xz import MAGIC, PIECE_BYTES, UNPACK_MEMORY_BYTES

SUFFIX = ".xz"
READ_ONLY = 0o444
"""Overlays stand on what is unpacked."""
_HEAD_BYTES = 64 * 1024
"""A cluster of qcow2: header and name of the backing file are in the first one."""
_QCOW2_MAGIC = b"QFI\xfb"


@dataclass(frozen=True, slots=True)
class PackedInfo:
    format: str
    """`qcow2` or `raw`."""
    virtual_size: int | None
    """Bytes that a guest sees; None: not known before it is unpacked."""
    template: tuple[str, str] | None = None
    """Name and version of the template that it stands on."""


def is_packed(path: Path) -> bool:
    """Whether a file is an image that is packed with xz; not when it cannot be read."""
    if path.suffix != SUFFIX:
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def unpacked_name(path: Path) -> Path:
    """Return the path that the image would have beside the packed one: its sidecars are named after that."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def look_into(path: Path) -> PackedInfo:
    """Find out what a packed image is from its begin.

    Raises:
        TemplateError: it cannot be read or unpacked, or stands on something that is no template.
    """
    head = _head(path)
    if not head.startswith(_QCOW2_MAGIC):
        size = read_sidecar(unpacked_name(path)).get("size")
        return PackedInfo("raw", size if isinstance(size, int) else None)
    offset, length = int.from_bytes(head[8:16], "big"), int.from_bytes(head[16:20], "big")
    virtual_size = int.from_bytes(head[24:32], "big")
    if not length:
        return PackedInfo("qcow2", virtual_size)
    backing = head[offset : offset + length].decode(errors="replace")
    template = layer_name(backing)
    if template is None:
        raise TemplateError(
            f"the packed image '{path}' stands on '{backing}', which is not the name of a template",
            hint=f"unpack it first: xz -dk '{path}'",
        )
    return PackedInfo("qcow2", virtual_size, template)


def unpack(ctx: TaskContext, source: Path, path: Path, parent: Path | None, *, is_disk: bool = True) -> None:
    """Unpack an image to the new file `path`, read-only; it is there whole and verified, or not at all.

    Args:
        ctx: hears the bytes.
        source: the packed image, with its sidecars beside it.
        path: of the new image.
        parent: image that it is made to stand on.
        is_disk: whether a machine runs on it; else it is a CD-ROM.

    Raises:
        TemplateError: it cannot be unpacked, or is not what it seemed.
        HashMismatch: it is not what its sidecars promise.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    image, known = unpacked_name(source), read_sidecar(unpacked_name(source))
    size = known.get("size")
    if parent is not None:
        require_same_base(known, source, parent)
    is_promised = any(image.with_name(image.name + suffix).is_file() for suffix in SIDECARS)
    expected = promised(image) if is_promised else ()
    with replacing(path) as new:
        digests = Digests({checksum.algorithm for checksum in expected})
        unpack_file(ctx, source, new, Digests(set()), digests, limit_bytes=size if isinstance(size, int) else IMAGE_BYTES)
        digests.verify(expected, f"image '{source}'")
        if parent is not None:
            below = probe(ctx, parent)
            run(ctx, ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", parent, "-F", below.format, new], timeout_s=CREATE_TIMEOUT_S)
        elif is_disk and (backing := probe(ctx, new).backing) is not None:
            raise TemplateError(f"image '{source}' stands on another file, '{backing}'")
        new.chmod(READ_ONLY)


def _head(path: Path) -> bytes:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACK_MEMORY_BYTES)
    head = b""
    try:
        with path.open("rb") as file:
            while len(head) < _HEAD_BYTES and not stream.eof and (data := file.read(PIECE_BYTES)):
                head += stream.decompress(data, _HEAD_BYTES)
    except (OSError, lzma.LZMAError) as failure:
        raise TemplateError(f"the packed image '{path}' cannot be read: {failure}") from failure
    return head
