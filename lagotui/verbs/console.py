"""A serial console on our terminal: raw mode, bytes both ways, one key to leave."""

from __future__ import annotations

import os
import termios
import threading
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.providers.base import ConsoleStream

DETACH = b"\x1d"
"""Ctrl-]."""

_CHUNK = 4096
_TIDY = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m\x1b(B"
"""Ends what a program of the machine may have left on: alternate screen, mouse, paste and keypad modes, a hidden cursor, colours."""


def bridge(stream: ConsoleStream, keyboard: int, screen: int) -> bool:
    """Connect a console with the terminal until Ctrl-] or until the machine closes it; the terminal is left as it was found.

    Returns:
        Whether the user left it; False: the machine closed it.
    """
    before = termios.tcgetattr(keyboard)
    open_while_output, output_ends = os.pipe()
    threading.Thread(target=_copy_output, args=(stream, screen, output_ends), daemon=True).start()
    try:
        tty.setraw(keyboard)
        _send(stream, b"\r")
        return _copy_keys(stream, keyboard, open_while_output)
    except OSError:  # the machine went while we sent
        return False
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        with suppress(OSError):  # a screen that has gone needs no tidying
            os.write(screen, _TIDY if os.isatty(screen) else b"")
        os.close(open_while_output)


def _copy_keys(stream: ConsoleStream, keyboard: int, ended: int) -> bool:
    import select

    while True:
        ready, _, _ = select.select([keyboard, ended], [], [])
        if ended in ready:
            return False
        keys, detach, _ = os.read(keyboard, _CHUNK).partition(DETACH)
        _send(stream, keys)
        if detach or not keys:
            return True


def _send(stream: ConsoleStream, data: bytes) -> None:
    while data:
        data = data[stream.send(data) :]


def _copy_output(stream: ConsoleStream, screen: int, ended: int) -> None:
    """Copy until the machine or we close the console; then close `ended`, which wakes who waits for keys."""
    try:
        with suppress(OSError):  # closed while we wait on it: the session is over
            while data := stream.recv(_CHUNK):
                os.write(screen, data)
    finally:
        os.close(ended)
