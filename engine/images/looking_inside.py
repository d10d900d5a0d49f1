"""What an image holds, found out without root, without mounting and without trusting it: by the words on its disk."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..process import run
from .copying import data_pieces
from .disks import ImageInfo

UNPACK_TIMEOUT_S = 1800.0
OVERLAP_BYTES = 4096
"""Words may lie across two pieces."""

_CLOUD_INIT = (b"cloud.cfg.d", b"/usr/bin/cloud-init", b"cloud-init-local.service")
"""A folder and files that every cloud-init brings. Names in folders lie in the clear on ext4, xfs and btrfs alike."""
_ID = re.compile(rb'(?:^|\n)ID="?([a-z0-9._-]{1,30})"?\n')
_VERSION_ID = re.compile(rb'(?:^|\n)VERSION_ID="?([0-9.]{1,10})"?\n')
_RED_HATS = frozenset({b"rhel", b"centos", b"almalinux", b"rocky", b"ol"})


@dataclass(slots=True)
class Findings:
    cloud_init: bool | None = None
    """None: no trace was found, which does not prove that there is none."""
    distro: str | None = None

    @property
    def are_whole(self) -> bool:
        return self.cloud_init is not None and self.distro is not None

    def look(self, data: bytes) -> None:
        """Take in what a piece of the disk shows."""
        if self.cloud_init is None and any(word in data for word in _CLOUD_INIT):
            self.cloud_init = True
        if self.distro is None:
            self.distro = _distro(data)


def look_inside(ctx: TaskContext, image: ImageInfo, scratch: Path) -> Findings:
    """Read through an image.

    Args:
        ctx: hears how far it is.
        image: stands alone.
        scratch: name of a file that may be made meanwhile, as large as the image's content.

    Raises:
        DiskFull: there is no room at `scratch`.
        Cancelled: the user asked to stop.
    """
    if image.format == "raw":
        return _read_through(ctx, image.path)
    try:
        run(ctx, ["qemu-img", "convert", "-f", image.format, "-O", "raw", image.path, scratch], timeout_s=UNPACK_TIMEOUT_S)
        return _read_through(ctx, scratch)
    finally:
        scratch.unlink(missing_ok=True)


def _read_through(ctx: TaskContext, raw: Path) -> Findings:
    findings, tail, end = Findings(), b"", 0
    fd = os.open(raw, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for offset, length in data_pieces(fd, os.fstat(fd).st_size):
            ctx.raise_if_cancelled()
            data = os.pread(fd, length, offset)
            findings.look(tail + data if offset == end else data)
            if findings.are_whole:
                break
            tail, end = data[-OVERLAP_BYTES:], offset + length
    finally:
        os.close(fd)
    return findings


def _distro(data: bytes) -> str | None:
    """Return the distribution that an `os-release` in `data` names, as the predecessor writes them: el9, fc44, debian."""
    at = data.find(b"PRETTY_NAME=")
    while at >= 0:
        text = data[max(0, at - 1000) : at + 2000]
        name, version = _ID.search(text), _VERSION_ID.search(text)
        if name is not None:
            major = version[1].partition(b".")[0].decode() if version else ""
            if name[1] in _RED_HATS:
                return f"el{major}"
            return f"fc{major}" if name[1] == b"fedora" else name[1].decode()
        at = data.find(b"PRETTY_NAME=", at + 1)
    return None
