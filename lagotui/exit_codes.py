"""Exit codes of every door."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    UNEXPECTED = 1
    """Something that should not happen, or no verb."""
    USER_ERROR = 2
    """The person at the terminal can do something about it; also a wrong command line."""
    SIGNAL = 128
    """Plus the number of the signal."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read our output has gone."""
