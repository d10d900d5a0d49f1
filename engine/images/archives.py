"""OVA archives from the web: kept in the user's cache from the moment that a plan needs to look into one until its disks are out."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from pathlib import Path

from ..context import TaskContext
from ..state.home import cache_home
from ..state.locks import lock_path
from .fetching import fetch
from .store import locked

NAME = "machine.ova"


def cached(url: str) -> Path:
    """Return where the archive of a URL is, or would be."""
    return cache_home() / "archives" / sha256(url.encode()).hexdigest()[:16] / NAME


def bring(ctx: TaskContext, url: str) -> Path:
    """Return the path of the archive, fetched first where it is not here. Of several runs at once, one fetches it and the others wait.

    Raises:
        TemplateError: it cannot be had.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    path = cached(url)
    with locked(ctx, _lock(path)):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with ctx.child(f"Download archive {url.rpartition('/')[2]}") as task:
                fetch(task, url, path)
    return path


def forget(path: Path) -> None:
    """Remove an archive that is of no more use; a run that still wants it fetches it again."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another run is fetching it again
        path.parent.rmdir()


def _lock(path: Path) -> Path:
    lock = lock_path("archive", path)
    lock.parent.mkdir(parents=True, exist_ok=True)
    return lock
