"""Another program in our terminal, while the UI stands aside."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

SSH_FAILED = 255
"""OpenSSH's own exit code for a connection that did not come about or broke."""


def run_in_terminal(argv: Sequence[str]) -> int:
    """Run a program in the terminal until it ends; return its exit code.

    Ctrl-C is the program's: here it is only swallowed. A failed connection stays on screen until Enter is pressed.
    """
    before = signal.signal(signal.SIGINT, lambda _signum, _frame: None)
    try:
        code = subprocess.run(argv, check=False).returncode
        if code == SSH_FAILED:
            sys.stdout.write("\nThe connection failed or broke. Press Enter to go back to lagotui. ")
            sys.stdout.flush()
            sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
    return code
