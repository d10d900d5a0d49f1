"""The real program in a terminal of its own: how long until the first screen is painted."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

from tests.benchmarks.measure import Figure, Place, median_s

LIMIT_S = 20
TITLE = b"lagotui"


def measure(place: Place) -> list[Figure]:
    return [Figure("UI: first paint", median_s(lambda: _first_paint(place), 5), "≤ 0.4 s")]


def _first_paint(place: Place) -> float:
    started_s = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.folder)
        os.execve(sys.executable, [sys.executable, "-m", "lagotui"], {**place.environ, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen = b""
    try:
        while TITLE not in seen:
            if time.perf_counter() - started_s > LIMIT_S or not select.select([terminal], [], [], LIMIT_S)[0]:
                raise TimeoutError(f"no screen: {seen[-300:]!r}")
            seen += os.read(terminal, 65536)
        return time.perf_counter() - started_s
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
