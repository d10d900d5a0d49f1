"""Two layers of a disk that no machine runs on become one. Killed on the way, both still hold what they held."""

from __future__ import annotations

from pathlib import Path

from ..context import TaskContext
from ..process import run

MERGE_TIMEOUT_S = 6 * 3600.0
HEADER_TIMEOUT_S = 60.0


def commit(ctx: TaskContext, top: Path) -> None:
    """Write what `top` holds into the image that it stands on; `top` stays as it is.

    Raises:
        CommandFailed: it cannot be done: a machine runs on one of them.
        DiskFull: there is no room.
    """
    run(ctx, ["qemu-img", "commit", "-q", "-d", "-f", "qcow2", top], timeout_s=MERGE_TIMEOUT_S)


def pull(ctx: TaskContext, top: Path, below: Path | None, below_format: str | None) -> None:
    """Let `top` stand on `below` (nothing: alone), and copy into it what it would lose by that. Raises what `commit` raises."""
    run(ctx, ["qemu-img", "rebase", "-q", "-f", "qcow2", *_backing(below, below_format), top], timeout_s=MERGE_TIMEOUT_S)


def repoint(ctx: TaskContext, top: Path, below: Path, below_format: str) -> None:
    """Let `top` stand on another image of the same content."""
    run(ctx, ["qemu-img", "rebase", "-u", "-f", "qcow2", *_backing(below, below_format), top], timeout_s=HEADER_TIMEOUT_S)


def _backing(below: Path | None, below_format: str | None) -> list[str | Path]:
    return ["-b", ""] if below is None else ["-b", below, "-F", below_format or "qcow2"]
