"""A serial console on our terminal: raw mode, bytes both ways, one key to leave."""

from __future__ import annotations

import os
import termios
import threading
import tty
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.providers.base import ConsoleStream

DETACH = b"\x1d"
"""Ctrl-]."""

_CHUNK = 4096


def bridge(stream: ConsoleStream, keyboard: int, screen: int) -> None:
    """Connect a console with the terminal until Ctrl-] or until the machine closes it."""
    before = termios.tcgetattr(keyboard)
    wake_reader, wake_writer = os.pipe()
    threading.Thread(target=_copy_output, args=(stream, screen, wake_writer), daemon=True).start()
    try:
        tty.setraw(keyboard)
        _send(stream, b"\r")
        _copy_keys(stream, keyboard, wake_reader)
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _copy_keys(stream: ConsoleStream, keyboard: int, ended: int) -> None:
    import select

    while True:
        ready, _, _ = select.select([keyboard, ended], [], [])
        if ended in ready:
            return
        keys, detach, _ = os.read(keyboard, _CHUNK).partition(DETACH)
        _send(stream, keys)
        if detach or not keys:
            return


def _send(stream: ConsoleStream, data: bytes) -> None:
    while data:
        data = data[stream.send(data) :]


def _copy_output(stream: ConsoleStream, screen: int, ended: int) -> None:
    while data := stream.recv(_CHUNK):
        os.write(screen, data)
    os.write(ended, b".")
