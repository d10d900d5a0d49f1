"""Scripts that a machine's bash reads from its stdin, with their output in the task log. Import this module lazily."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..context import TaskContext
from .session import Session

SCRIPT_LIMIT_S = 24 * 3600.0
"""Nobody knows how long a script of a user's may take; a machine that goes down ends it within seconds."""
SHOWN_LINES = 15
LONGEST_LINE = 2000
SHORTEST_SECRET = 4
"""Shorter ones would hide half of every line."""
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ScriptEnd:
    code: int
    last_lines: tuple[str, ...]


def run_script(ctx: TaskContext, session: Session, content: bytes, secrets: Iterable[str]) -> ScriptEnd:
    """Let a machine's bash read a script; secrets that it prints are hidden in the log.

    Raises:
        MachineStateError: the machine went down meanwhile.
        GuestError: the connection broke.
        Cancelled: the user asked to stop.
    """
    mask = masking(secrets)
    last: deque[str] = deque(maxlen=SHOWN_LINES)

    def take(line: str, is_err: bool) -> None:
        last.append(line)
        ctx.log(line, logging.INFO)

    lines = {is_err: Lines(lambda line, is_err=is_err: take(mask(line), is_err)) for is_err in (False, True)}  # type: ignore[misc]
    status = session.run(ctx, "bash -s", content, SCRIPT_LIMIT_S, hear=lambda data, is_err: lines[is_err].feed(data))
    for each in lines.values():
        each.end()
    return ScriptEnd(status.code, tuple(last))


def masking(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what hides secrets in a line."""
    words = sorted({secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True)
    if not words:
        return lambda line: line
    pattern = re.compile("|".join(re.escape(word) for word in words))
    return lambda line: pattern.sub("***", line)


@dataclass(slots=True)
class Lines:
    """Output as it comes, cut into lines that are safe to show: no control characters, not endless."""

    take: Callable[[str], None]
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0 or len(self._rest) > LONGEST_LINE:
            end = end if 0 <= end <= LONGEST_LINE else LONGEST_LINE
            self._give(bytes(self._rest[:end]))
            del self._rest[: end + (self._rest[end : end + 1] == b"\n")]

    def end(self) -> None:
        if self._rest:
            self._give(bytes(self._rest))
            self._rest.clear()

    def _give(self, line: bytes) -> None:
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]  # of a bar that draws over itself, the last state
        self.take(_CONTROLS.sub("", shown.decode(errors="replace")))
