"""Disk images: what they are, and how overlays, empty disks and copies are made. What is new appears whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, TemplateError
from ..process import run
from ..state.atomic import sync_dir
from .copying import copy_sparse, full_disk_named

INFO_TIMEOUT_S = 30.0
CREATE_TIMEOUT_S = 120.0

FORMATS = frozenset({"qcow2", "raw"})
"""What machines run on. The other formats may name further files in ways that `probe` does not look into."""

_QCOW2_MAGIC = b"QFI\xfb"
_EXTERNAL_DATA_BIT = 1 << 2
"""In `incompatible_features` of a qcow2 header: the data is in another file. (QEMU, docs/interop/qcow2.rst)"""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([bkmgtpe]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


@dataclass(frozen=True, slots=True)
class ImageInfo:
    path: Path
    format: str
    """`qcow2` or `raw`, found in the image itself."""
    virtual_size: int
    """Bytes that a guest sees."""
    backing: Path | None = None
    """Absolute; None when the image stands alone."""
    backing_format: str | None = None
    """As the image records it."""


def probe(ctx: TaskContext, path: Path) -> ImageInfo:
    """Find out what an image is. Nothing that it names is opened, so that strangers' images may be looked at.

    Raises:
        TemplateError: it cannot be read, is no disk image for a machine, or keeps its data in another file.
    """
    path = path.absolute()
    _safe_header(path)
    try:
        found = run(ctx, ["qemu-img", "info", "--force-share", "--output=json", path], timeout_s=INFO_TIMEOUT_S)
    except CommandFailed as failure:
        if failure.returncode == 127:
            raise
        raise TemplateError(f"'{path}' is no disk image that can be used: {failure.message}") from failure
    data = json.loads(found.stdout)
    if data["format"] not in FORMATS:
        hint = f"convert it first: qemu-img convert -O qcow2 {shlex.quote(str(path))} {shlex.quote(f'{path}.qcow2')}"
        raise TemplateError(f"image '{path}' has format '{data['format']}'; machines run on qcow2 or raw", hint=hint)
    backing = data.get("full-backing-filename") or data.get("backing-filename")
    return ImageInfo(
        path=path,
        format=data["format"],
        virtual_size=int(data["virtual-size"]),
        backing=path.parent / backing if backing else None,
        backing_format=data.get("backing-filename-format"),
    )


def format_of(ctx: TaskContext, path: Path) -> str:
    """Return the format of an image, without a process where its first bytes tell.

    Raises:
        TemplateError: as `probe` does.
    """
    header = _safe_header(path)
    return "qcow2" if _qcow2_version(header) >= 2 else probe(ctx, path).format


def trusted_chain(ctx: TaskContext, path: Path, known: Sequence[Path]) -> tuple[ImageInfo, ...]:
    """Probe an image and everything that it stands on, the top first.

    An image says itself which file it stands on, so one from a stranger could bring any file of this machine into a guest. Hence each
    backing image must be in one of the folders `known`.

    Raises:
        TemplateError: an image of the chain is elsewhere, missing, or cannot be used.
    """
    folders = [folder.resolve() for folder in known]
    chain = [probe(ctx, path)]
    seen = {chain[0].path.resolve()}
    while (backing := chain[-1].backing) is not None:
        place = backing.resolve()
        if place in seen:
            raise TemplateError(f"image '{path}' stands on itself, through '{backing}'")
        if not any(place.is_relative_to(folder) for folder in folders):
            merged = shlex.quote(str(path.with_name(path.name + ".alone")))
            raise TemplateError(
                f"image '{chain[-1].path}' stands on '{backing}', a file that lagotui does not know; it is not opened",
                hint=f"when you trust it, merge the two first: qemu-img convert -O qcow2 {shlex.quote(str(path))} {merged}",
            )
        seen.add(place)
        chain.append(probe(ctx, place))
    return tuple(chain)


def make_overlay(ctx: TaskContext, path: Path, backing: Path, backing_format: str, size: str | None = None) -> None:
    """Make the qcow2 image `path` that takes the writes and leaves `backing` as it is; an image that is there already is replaced.

    Args:
        ctx: the task it belongs to.
        path: of the overlay.
        backing: what it stands on; recorded as an absolute path.
        backing_format: `qcow2` or `raw`, as probed.
        size: what the guest sees, e.g. `10G`; None keeps the size of `backing`.

    Raises:
        TemplateError: `size` cannot be read, or would cut the backing image off.
        DiskFull: there is no room.
    """
    backing = backing.absolute()
    if size is not None:
        below = probe(ctx, backing).virtual_size
        if parse_size(size) < below:
            raise TemplateError(f"disk '{path}' would be {size}, smaller than its backing image '{backing}' ({below} bytes)")
    options: list[str | Path] = ["-o", "lazy_refcounts=on", "-b", backing, "-F", backing_format]
    with replacing(path) as new:
        _create(ctx, "qcow2", new, options, size)


def make_empty(ctx: TaskContext, path: Path, format: str, size: str) -> None:
    """Make an empty disk, sparse; an image that is there already is replaced.

    Raises:
        TemplateError: `size` cannot be read, or there are no empty disks of this format.
        DiskFull: there is no room.
    """
    if format not in FORMATS:
        raise TemplateError(f"disk '{path}': there are no empty disks of format '{format}'; use qcow2 or raw")
    options = ["-o", "lazy_refcounts=on"] if format == "qcow2" else []
    with replacing(path) as new:
        _create(ctx, format, new, options, str(parse_size(size)))


def copy_image(ctx: TaskContext, source: Path, target: Path) -> None:
    """Copy an image; holes stay holes, blocks are shared where the file system can; an image that is there already is replaced.

    Raises:
        TemplateError: `source` cannot be read.
        DiskFull: there is no room.
    """
    with replacing(target) as new:
        copy_sparse(ctx, source, new)


def grow(ctx: TaskContext, path: Path, size: str) -> None:
    """Make the disk `path` larger, as the guest sees it.

    Raises:
        TemplateError: `size` cannot be read, or is smaller than the disk.
        DiskFull: there is no room.
    """
    info = probe(ctx, path)
    if parse_size(size) < info.virtual_size:
        raise TemplateError(f"disk '{path}' would be {size}, smaller than the image that it is made of ({info.virtual_size} bytes)")
    run(ctx, ["qemu-img", "resize", "-q", "-f", info.format, path, str(parse_size(size))], timeout_s=CREATE_TIMEOUT_S)


def parse_size(text: str) -> int:
    """Return the bytes of a size as qemu-img takes it: `101G`, `512M`, `1.5T`; a bare number is bytes.

    Raises:
        TemplateError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * 1024 ** _POWERS[match[2].lower()] if match else 0.0
    if not 0 < size < 2**63:
        raise TemplateError(f"'{text}' is no size of a disk", hint="write a number with a unit, e.g. 10G")
    return int(size)


def _create(ctx: TaskContext, format: str, path: Path, options: Sequence[str | Path], size: str | None) -> None:
    command = ["qemu-img", "create", "-q", "-f", format, *options, path, *([str(parse_size(size))] if size is not None else [])]
    run(ctx, command, timeout_s=CREATE_TIMEOUT_S)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name under which to make what becomes `path` when the block ends well."""
    path = path.absolute()
    new = path.with_name(f".{path.name}.new")
    with full_disk_named(path):
        new.unlink(missing_ok=True)
        try:
            yield new
            _sync_file(new)
            new.replace(path)
            sync_dir(path.parent)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _safe_header(path: Path) -> bytes:
    """Return the first bytes of an image whose data is in itself: qemu-img would open the data file that a header names."""
    try:
        if not (path.is_file() or path.is_block_device()):
            path.stat()
            raise TemplateError(f"image '{path}' is neither a file nor a block device")
        with path.open("rb") as image:
            header = image.read(80)
    except OSError as error:
        raise TemplateError(f"image '{path}' cannot be read: {error.strerror}") from error
    if _qcow2_version(header) >= 3 and int.from_bytes(header[72:80], "big") & _EXTERNAL_DATA_BIT:
        raise TemplateError(f"image '{path}' keeps its data in another file; lagotui does not follow that")
    return header


def _qcow2_version(header: bytes) -> int:
    return int.from_bytes(header[4:8], "big") if header.startswith(_QCOW2_MAGIC) else 0
