"""Questions to the user at the terminal: passwords and passphrases."""

from __future__ import annotations

import getpass
import sys
import threading
from collections.abc import Callable

CLEAR_S = 0.5
"""How long whoever tells of a run has to leave the terminal to the question."""


class Asker:
    """Asks for each secret once; the answer is kept in memory while the program runs."""

    def __init__(self, clear_s: float = CLEAR_S) -> None:
        self._clear_s = clear_s
        self._lock = threading.Lock()
        self._answers: dict[str, str] = {}
        self._asking = threading.Event()
        self._clear = threading.Event()

    def __call__(self, prompt: str) -> str | None:
        """Return what the user types, unseen; None when they would rather not."""
        with self._lock:
            if prompt not in self._answers:
                self._clear.clear()
                self._asking.set()
                try:
                    self._clear.wait(self._clear_s)
                    self._answers[prompt] = getpass.getpass(prompt, stream=sys.stderr)
                except (EOFError, OSError):
                    return None
                finally:
                    self._asking.clear()
            return self._answers[prompt]

    def has_terminal(self, let_go: Callable[[], None]) -> bool:
        """Whether a question is on the terminal, or waits for it: then nobody else writes there.

        Args:
            let_go: takes away what would be in the question's way.
        """
        if not self._asking.is_set():
            return False
        if not self._clear.is_set():
            let_go()
            self._clear.set()
        return True


def asker() -> Asker | None:
    """Return what asks the user; None where there is no terminal to ask at."""
    return Asker() if sys.stdin.isatty() and sys.stderr.isatty() else None
