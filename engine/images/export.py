"""Disks made into images for others: merged into one, or standing on a template by its name; hashed, and packed on demand."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..context import TaskContext
from ..errors import CommandFailed, DiskFull, MachineStateError, TemplateError
from ..process import run
from ..spec import Json
from ..state.atomic import write_json, write_text
from .copying import CHUNK_BYTES, copy_sparse, created, digest_file, full_disk_named
from .disks import INFO_TIMEOUT_S
from .hashes import Digests

WORK_TIMEOUT_S = 24 * 3600.0
"""For what grows with the size of a disk."""
REBASE_TIMEOUT_S = 60.0
XZ_LEVEL = "-3"
"""The predecessor's `--best` takes 1.7 times as long for 4 % less. (tiny template, 28 MiB: 16.1 MB instead of 16.8)"""
XZ_BLOCK_BYTES = 16 * 1024 * 1024
"""As the predecessor has it: what threads work on, here and when it is unpacked."""
PACKED = ".xz"

_PERCENT = re.compile(rb"\(([0-9.]+)/100%\)")
_PUNCH_HOLE = 0x02 | 0x01
"""`FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE` of linux/falloc.h."""


@dataclass(frozen=True, slots=True)
class DiskExport:
    """One disk on its way out."""

    source: Path
    source_format: str
    target: Path
    """Of the image before it is packed; it must not be there."""
    format: str
    parent: Path | None = None
    """Image that it goes on standing on; None: it is merged with all that it stands on."""
    parent_format: str = ""
    parent_name: str = ""
    """How it names that image: `./<template>:<version>`."""
    own_layers: int = 1
    """Images above the parent."""
    verbatim: bool = False
    """It is copied as it is: a CD-ROM."""
    xz_threads: int = 0
    """0: it is not packed."""
    expected_bytes: int = 0
    """For the progress."""


def export_disk(ctx: TaskContext, job: DiskExport, metadata: Mapping[str, Json]) -> None:
    """Make the image with its `.hash` and `.metadata` beside it, and put it on the disk for good.

    Args:
        ctx: hears the bytes; a cancel ends what runs.
        job: what to make of what.
        metadata: of the disk; `sha1` and `size` are added.

    Raises:
        MachineStateError: something else writes to the disk.
        TemplateError: it cannot be read.
        CommandFailed: qemu-img or xz cannot do it.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    with _full_disk_of(job.target):
        sha1 = _make(ctx, job)
        size = job.target.stat().st_size
        if job.xz_threads:
            with ctx.child("Compressing disk") as task:
                sha1 = _pack(task, job.target, size, job.xz_threads)
        write_text(_beside(job.target, ".hash"), sha1)
        write_json(_beside(job.target, ".metadata"), {**metadata, "sha1": sha1, "size": size})


def measure(ctx: TaskContext, image: Path, image_format: str, target_format: str) -> int:
    """Return the bytes that an image takes at most when it is merged with all that it stands on.

    Raises:
        TemplateError: something in the chain cannot be used.
    """
    command: list[str | Path] = ["qemu-img", "measure", "--force-share", "--output=json", "-f", image_format, "-O", target_format, image]
    try:
        found = run(ctx, command, timeout_s=INFO_TIMEOUT_S)
    except CommandFailed as failure:
        if failure.returncode == 127:
            raise
        raise TemplateError(f"'{image}' cannot be exported: {failure.message}") from failure
    required = re.search(rb'"required": *([0-9]+)', found.stdout)
    return int(required[1]) if required else 0


def _make(ctx: TaskContext, job: DiskExport) -> str:
    """Make the image; return its sha1, or "" where packing finds it."""
    digests = Digests({"sha1"})
    if job.verbatim:
        with ctx.child("Copying disk") as task:
            copy_sparse(task, job.source, job.target, digests)
        return digests.result("sha1")
    if job.parent is None:
        with ctx.child("Merging layered image with base") as task:
            _convert(task, job)
    else:
        with ctx.child("Copying disk") as task:
            copy_sparse(task, job.source, job.target)
        with ctx.child("Rebase") as task:
            _rebase(task, job, job.parent)
    if job.xz_threads:
        return ""
    with ctx.child("Calculating sha1") as task, ThreadPoolExecutor(1, "sync") as beside:
        synced = beside.submit(_sync, job.target)  # while the bytes are read from memory, they are written to the disk
        digest_file(task, job.target, digests)
        synced.result()
    return digests.result("sha1")


def _convert(ctx: TaskContext, job: DiskExport) -> None:
    command: list[str | Path] = ["qemu-img", "convert", "-p", "-f", job.source_format, "-O", job.format, job.source, job.target]
    try:
        run(ctx, command, timeout_s=WORK_TIMEOUT_S, heard=_percent_of(ctx, job.expected_bytes))
    except CommandFailed as failure:
        if "lock" not in failure.stderr:
            raise
        raise MachineStateError(
            f"the disk '{job.source}' is in use: another program writes to it", hint="end what uses it, and export again"
        ) from failure


def _percent_of(ctx: TaskContext, total: int) -> Callable[[bytes], None]:
    """Return what takes qemu-img's progress: `    (12.50/100%)`."""

    def heard(piece: bytes) -> None:
        if found := _PERCENT.findall(piece):
            ctx.progress(round(total * float(found[-1]) / 100), total, unit="B")

    return heard


def _rebase(ctx: TaskContext, job: DiskExport, parent: Path) -> None:
    """Make the copy stand on its parent by name; what layers between the two hold is taken in first."""
    rename: list[str | Path] = ["qemu-img", "rebase", "-u", "-f", job.source_format, "-F", job.parent_format]
    if job.own_layers > 1:
        command: list[str | Path] = ["qemu-img", "rebase", "-p", "-f", job.source_format, "-b", parent, "-F", job.parent_format, job.target]
        run(ctx, command, timeout_s=WORK_TIMEOUT_S, heard=_percent_of(ctx, job.expected_bytes))
    run(ctx, [*rename, "-b", job.parent_name, job.target], timeout_s=REBASE_TIMEOUT_S)


def _pack(ctx: TaskContext, image: Path, size: int, threads: int) -> str:
    """Turn an image into `<image>.xz`; return its sha1. What was read of it is given back at once: there are never two whole copies."""
    digest = hashlib.sha1(usedforsecurity=False)
    command = ["xz", XZ_LEVEL, f"--threads={threads}", f"--block-size={XZ_BLOCK_BYTES}", "--stdout"]
    with created(_beside(image, PACKED)) as out, image.open("r+b") as whole:
        pieces = _consumed(ctx, whole.fileno(), size, digest.update)
        run(ctx, command, timeout_s=WORK_TIMEOUT_S, stdin=pieces, stdout=out, env={"XZ_OPT": "", "XZ_DEFAULTS": ""})
        os.fsync(out)
    image.unlink()
    return digest.hexdigest()


def _consumed(ctx: TaskContext, fd: int, size: int, update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Yield the bytes of a file, and make holes of what has been read."""
    offset = 0
    while data := os.pread(fd, CHUNK_BYTES, offset):
        update(data)
        yield data
        _punch(fd, offset, len(data))
        offset += len(data)
        ctx.progress(offset, size, unit="B")


def _punch(fd: int, offset: int, length: int) -> None:
    """Give the room of a piece of a file back; where the file system cannot, it stays taken until the file is removed."""
    call = _fallocate()
    if call is not None:
        call(fd, _PUNCH_HOLE, offset, length)


@cache
def _fallocate() -> Any:
    """Return the function of the C library; None where it has none. (Python's `posix_fallocate` cannot make holes.)"""
    call = getattr(ctypes.CDLL(None), "fallocate64", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _full_disk_of(target: Path) -> Iterator[None]:
    """Name the folder when the disk is full: commands do not."""
    try:
        with full_disk_named(target):
            yield
    except DiskFull as full:
        raise DiskFull(f"the disk of '{target.parent}' is full: '{target.name}' does not fit") from full


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
