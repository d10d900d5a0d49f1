"""The only place with terminal codes of the headless door: the predecessor's console colours, by what they mean."""

from __future__ import annotations

from enum import StrEnum

_RESET = "\x1b[0m"
CLEAR_BELOW = "\x1b[J"
"""Erases from the cursor to the end of the screen."""


class Ink(StrEnum):
    """What a piece of a line is about."""

    HEADER = "\x1b[36m"
    SUCCESS = "\x1b[32m"
    ERROR = "\x1b[31m"
    WARNING = "\x1b[33m"
    FAINT = "\x1b[2m"


def paint(text: str, ink: Ink, *, colour: bool) -> str:
    """Return `text` in `ink`; unchanged without `colour`."""
    return f"{ink.value}{text}{_RESET}" if colour and text else text


def up(lines: int) -> str:
    """Return the code that puts the cursor at the start of the line `lines` above."""
    return f"\r\x1b[{lines}A" if lines else "\r"
