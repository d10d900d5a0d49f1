"""Images that machines name by their URL: `file:` and the web; verified where a checksum is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..context import TaskContext
from ..errors import TemplateError
from .copying import copy_sparse
from .disks import replacing
from .hashes import Checksum, Digests

READ_ONLY = 0o444
"""Overlays stand on what was fetched."""


def local_path(url: str) -> Path | None:
    """Return the path that a `file:` URL, or a plain path, names; None for other URLs.

    Raises:
        TemplateError: the URL names a file of another machine, or no absolute path.
    """
    if url.startswith("/"):
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme.lower() != "file":
        return None
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise TemplateError(f"'{url}' names no file of this machine", hint="write file:///absolute/path")
    return Path(path)


def checksums(sha256: str | None, sha1: str | None) -> tuple[Checksum, ...]:
    """Return what an image must hash to.

    Raises:
        TemplateError: a text is no checksum of its kind.
    """
    wanted = []
    for algorithm, text in (("sha256", sha256), ("sha1", sha1)):
        if text is None:
            continue
        checksum = Checksum.parse(text, algorithm)
        if checksum.algorithm != algorithm:
            raise TemplateError(f"'{text}' is no {algorithm} checksum")
        wanted.append(checksum)
    return tuple(wanted)


def fetch(ctx: TaskContext, url: str, path: Path, expected: Sequence[Checksum] = ()) -> None:
    """Bring the file behind `url` to `path`, read-only; it is there whole and verified, or not at all. What ends in `.xz` is unpacked.

    Args:
        ctx: hears the bytes.
        url: `file:`, a plain path, `http:` or `https:`.
        path: of the new file; `<path>.part` beside it is what a download goes on from.
        expected: of the bytes behind `url`.

    Raises:
        TemplateError: it cannot be had.
        HashMismatch: it is not what was promised.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    local = local_path(url)
    with replacing(path) as new:
        if local is not None:
            digests = Digests({checksum.algorithm for checksum in expected})
            copy_sparse(ctx, local, new, digests if expected else None)
            digests.verify(expected, f"'{url}'")
        else:
            from .download import Wanted, download

            download(ctx, Wanted(url, is_xz(url), sent=expected), new, path.with_name(f"{path.name}.part"))
        new.chmod(READ_ONLY)


def is_xz(url: str) -> bool:
    """Whether a file on the web is unpacked on its way."""
    return urlsplit(url).path.endswith(".xz")
