"""Questions to the user at the terminal: passwords and passphrases."""

from __future__ import annotations

import getpass
import sys
import threading


class Asker:
    """Asks for each secret once; the answer is kept in memory while the program runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, str] = {}

    def __call__(self, prompt: str) -> str | None:
        """Return what the user types, unseen; None when they would rather not."""
        with self._lock:
            if prompt not in self._answers:
                try:
                    self._answers[prompt] = getpass.getpass(prompt, stream=sys.stderr)
                except (EOFError, OSError):
                    return None
            return self._answers[prompt]


def asker() -> Asker | None:
    """Return what asks the user; None where there is no terminal to ask at."""
    return Asker() if sys.stdin.isatty() and sys.stderr.isatty() else None
