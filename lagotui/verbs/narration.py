"""How a run is told on stderr: plain lines, lines with what is running below them on a terminal, or JSON."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Protocol, TextIO

from engine.events import Event

from ..exit_codes import ExitCode
from ..present.ansi import CLEAR_BELOW, Ink, paint, up
from ..present.tasklines import TaskLines, running_lines
from ..streams import tell

REDRAW_S = 0.5
"""How often the lines about running tasks are brought up to date when nothing happens."""


class Narrator(Protocol):
    """Tells a person, or a program, what goes on."""

    def set_limits(self, level: str, depth: int) -> None:
        """Take the settings `loglevel` and `logdepth`."""
        ...

    def tell(self, events: Sequence[Event]) -> None:
        """Tell what has happened since the last call; called often, also with nothing."""
        ...

    def note(self, text: str) -> None:
        """Tell one line that belongs to no task."""
        ...

    def failed(self, message: str, hint: str, exit_code: int) -> None:
        """Tell why the verb failed, and the next step."""
        ...

    def misunderstood(self, prog: str, usage: str, message: str) -> None:
        """Tell what is wrong with a command line, and how it is meant to be."""
        ...

    def trace(self, failure: BaseException) -> None:
        """Tell where an unexpected failure came from."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found."""
        ...


def narrator(stream: TextIO, *, as_json: bool) -> Narrator:
    """Return the narrator that fits `stream`; `NO_COLOR` and a dumb terminal are respected."""
    if as_json:
        return JsonNarrator(stream)
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return LineNarrator(stream, colour=False)
    return TerminalNarrator(stream, colour=not os.environ.get("NO_COLOR"))


class LineNarrator:
    """The predecessor's console lines."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._lines = TaskLines(colour=colour)

    def set_limits(self, level: str, depth: int) -> None:
        self._lines = TaskLines(level=logging.getLevelNamesMapping()[level.upper()], depth=depth, colour=self._colour)

    def tell(self, events: Sequence[Event]) -> None:
        self._write([line for event in events for line in self._lines.lines(event)])

    def note(self, text: str) -> None:
        self._write([text])

    def failed(self, message: str, hint: str, exit_code: int) -> None:
        lines = [paint(f"error: {message}", Ink.ERROR, colour=self._colour)]
        self._write([*lines, f"  next: {hint}"] if hint else lines)

    def misunderstood(self, prog: str, usage: str, message: str) -> None:
        self._write([usage.rstrip(), f"{prog}: error: {message}"])

    def trace(self, failure: BaseException) -> None:
        import traceback

        self._write(["".join(traceback.format_exception(failure)).rstrip()])

    def close(self) -> None:
        """Nothing waits: every line is flushed."""

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            tell(self._stream, "".join(f"{line}\n" for line in lines))


class TerminalNarrator(LineNarrator):
    """The same lines; below them what is running right now, redrawn in place."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        super().__init__(stream, colour=colour)
        self._live: list[str] = []
        self._drawn_at_s = 0.0

    def tell(self, events: Sequence[Event]) -> None:
        new = [line for event in events for line in self._lines.lines(event)]
        if new or time.monotonic() - self._drawn_at_s >= REDRAW_S:
            self._write(new)
            self._draw()

    def close(self) -> None:
        self._erase()
        super().close()

    def _draw(self) -> None:
        width, height = _size(self._stream)
        self._live = running_lines(self._lines.tree, now_s=time.time(), width=width - 1, limit=max(1, min(8, height // 3)))
        tell(self._stream, "".join(f"{paint(line, Ink.FAINT, colour=self._colour)}\n" for line in self._live))
        self._drawn_at_s = time.monotonic()

    def _erase(self) -> None:
        if self._live:
            tell(self._stream, up(len(self._live)) + CLEAR_BELOW)
            self._live = []

    def _write(self, lines: Sequence[str]) -> None:
        self._erase()
        super()._write(lines)


def _size(stream: TextIO) -> tuple[int, int]:
    """Return the columns and lines of a terminal; 80 and 24 of one that does not know them, or has gone."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


class JsonNarrator:
    """One JSON object an event, one a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def set_limits(self, level: str, depth: int) -> None:
        """Programs get everything."""

    def tell(self, events: Sequence[Event]) -> None:
        from dataclasses import asdict

        for event in events:
            self._write({"event": type(event).__name__, **asdict(event)})

    def note(self, text: str) -> None:
        self._write({"event": "Note", "at_s": time.time(), "text": text})

    def failed(self, message: str, hint: str, exit_code: int) -> None:
        self._write({"event": "Error", "at_s": time.time(), "message": message, "hint": hint, "exit_code": int(exit_code)})

    def misunderstood(self, prog: str, usage: str, message: str) -> None:
        self.failed(message, " ".join(usage.split()), ExitCode.USER_ERROR)

    def trace(self, failure: BaseException) -> None:
        import traceback

        self._write({"event": "Traceback", "at_s": time.time(), "text": "".join(traceback.format_exception(failure))})

    def close(self) -> None:
        """Nothing waits: every line is flushed."""

    def _write(self, record: dict[str, object]) -> None:
        import json

        tell(self._stream, f"{json.dumps(record)}\n")
