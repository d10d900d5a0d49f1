"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from ..errors import DiskFull
from ..spec import Json

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_json(path: Path, value: Json, *, mode: int = 0o666) -> None:
    """Write a value as JSON, indented by 4 as the predecessor does. See `write_bytes`."""
    write_text(path, json.dumps(value, indent=4), mode=mode)


def write_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text in UTF-8. See `write_bytes`."""
    write_bytes(path, text.encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file in one step: readers see the old content or the new one.

    Args:
        path: the file; its folder must be there.
        content: all of it.
        mode: of the new file, less the umask.

    Raises:
        DiskFull: there is no room for it.
        OSError: it cannot be written for another reason.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        _write_new(part, content, mode)
        part.replace(path)
        sync_dir(path.parent)
    except OSError as failure:
        part.unlink(missing_ok=True)
        if failure.errno in FULL:
            raise DiskFull(f"'{path}' cannot be written: {os.strerror(failure.errno)}") from failure
        raise


def sync_dir(directory: Path) -> None:
    """Bring the entries of a folder to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
