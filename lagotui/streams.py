"""Standard streams that are closed, full, or gone: nobody listening must never end, or harm, what is being done."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def secure() -> None:
    """Open the standard streams that we were started without, on nothing.

    Else the next file that is opened gets the number of one of them, and whatever is written to that stream goes into the file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # names of files need not be text, nor fit the terminal's encoding


def tell(stream: TextIO, text: str) -> None:
    """Write to a person or program that may have gone; then, and from then on, nothing is written."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        mute(stream)


def mute(stream: TextIO) -> None:
    """Let everything that is written from now on, and what waits to be written, go nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, stream.fileno())
    finally:
        os.close(nothing)
