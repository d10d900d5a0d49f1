"""What came of copying files: how far it is, what was left out, what failed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from ..context import TaskContext
from ..errors import CopyFailed

PROGRESS_S = 0.1
SHOWN = 5
"""Names that an error tells."""


@dataclass(slots=True)
class Tally:
    """One copy, from its first file to its last."""

    ctx: TaskContext
    total: int = 0
    """Bytes that are known of."""
    done: int = 0
    files: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    _told_s: float = 0.0

    def moved(self, count: int) -> None:
        """Count bytes."""
        self.done += count
        now_s = time.monotonic()
        if now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            self.ctx.progress(self.done, max(self.total, self.done), unit="B", note=f"{self.files} files")

    def skip(self, path: bytes, why: str) -> None:
        self.ctx.log(f"{shown(path)} is left out: {why}", logging.WARNING)

    def fail(self, path: bytes, why: str) -> None:
        """Note a file that could not be copied; the others still are."""
        self.failures.append((shown(path), why))
        self.ctx.log(f"{shown(path)}: {why}", logging.WARNING)

    def require_all(self, what: str) -> None:
        """Say the last word on the progress.

        Raises:
            CopyFailed: something could not be copied.
        """
        self.ctx.progress(self.done, max(self.total, self.done), unit="B", note=f"{self.files} files")
        if self.failures:
            named = "; ".join(f"{path}: {why}" for path, why in self.failures[:SHOWN])
            more = f"; and {len(self.failures) - SHOWN} more" if len(self.failures) > SHOWN else ""
            raise CopyFailed(f"{what}: {named}{more}", hint=f"what else there is was copied ({self.files} files)" if self.files else "")


def shown(path: bytes) -> str:
    """Return a path as a person can be shown it, however hostile."""
    text = path.decode(errors="backslashreplace")
    return repr(text) if text.isprintable() else ascii(text)
