"""What machines printed on their serial consoles, made harmless: a guest is a stranger, and its output goes to a terminal."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import HostRefused

TAIL_BYTES = 65536
_ESCAPE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: titles, clipboard
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for devices
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequences: colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # the short ones: reset, character sets
)


def serial_tail(log: Path, lines: int) -> list[str]:
    """Return the last lines that a machine printed since start, harmless to show; [] when it never started.

    Args:
        log: the file that keeps them.
        lines: at most.

    Raises:
        HostRefused: the log is there but not ours to read.
    """
    try:
        data = _last_bytes(log)
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise HostRefused(f"cannot read the console log '{log}': it belongs to another user", hint=f"sudo chmod a+r {log}") from error
    return printable_lines(data)[-lines:] if lines > 0 else []


def printable_lines(data: bytes) -> list[str]:
    """Return console output as lines without control characters."""
    text = _ESCAPE.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
    shown = (_printable(line) for line in text.split("\n"))
    return [line for line in shown if line]


def _printable(line: str) -> str:
    last = line.rstrip("\r").rpartition("\r")[2]
    return "".join(char for char in last.replace("\t", "    ") if char.isprintable()).rstrip()


def _last_bytes(log: Path) -> bytes:
    """Read the end of the log; where a log daemon that runs as root has just rotated it, of the part that is ours."""
    rotated = log.with_name(f"{log.name}.0")
    try:
        return _tail_of(log)
    except PermissionError:
        if not rotated.exists():
            raise
        return _tail_of(rotated)


def _tail_of(log: Path) -> bytes:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read()
