"""The log of an environment, and what its machines printed on their serial consoles: the end of it, and what comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ..guest.serial import printable_lines, serial_tail
from ..state.prefix import Prefix

LOOK_S = 0.2


def log_path(env: Prefix, machine: str = "") -> Path:
    """Return the file of the environment's log, or of a machine's serial console.

    Raises:
        UnknownMachine: the environment has none of that name.
    """
    return env.ref.serial_log(env.machine(machine).name) if machine else env.log_file


def log_tail(env: Prefix, machine: str = "", lines: int = 200) -> list[str]:
    """Return the last lines of a log, harmless to show; [] while there is none.

    Raises:
        UnknownMachine: the environment has none of that name.
        HostRefused: the log is there but not ours to read.
    """
    path = log_path(env, machine)
    if machine:
        return serial_tail(path, lines)
    try:
        with path.open("rb") as file:
            return printable_lines(b"".join(deque(file, max(lines, 0))))
    except FileNotFoundError:
        return []


def log_follow(path: Path) -> Iterator[list[str]]:
    """Return the whole lines that come from now on, for ever; a file that was begun anew is read from its start."""
    return _coming(path, _size(path))


def _coming(path: Path, read: int) -> Iterator[list[str]]:
    part = b""
    while True:
        size = _size(path)
        if size < read:
            read, part = 0, b""
        if size > read:
            with path.open("rb") as file:
                file.seek(read)
                whole, _, part = (part + file.read(size - read)).rpartition(b"\n")
            read = size
            yield printable_lines(whole)
        time.sleep(LOOK_S)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
