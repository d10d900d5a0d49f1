"""Whether the terminal is still there: the toolkit reads on for ever, at full speed, when it is not."""

from __future__ import annotations

import asyncio
import select
import signal
import sys
from collections.abc import Callable
from functools import partial

from textual.app import App

WATCH_EVERY_S = 1.0


def watch_terminal(app: App[int], end: Callable[[int], None]) -> None:
    """Call `end` with the number of the signal when the app is told to go, or its terminal has gone."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, partial(end, signum))

    def look() -> None:
        if sys.__stdin__ is None or hung_up(sys.__stdin__.fileno()):
            end(signal.SIGHUP)

    app.set_interval(WATCH_EVERY_S, look)


def hung_up(fd: int) -> bool:
    """Whether whoever was at the other end of `fd` has gone."""
    poller = select.poll()
    poller.register(fd, select.POLLHUP | select.POLLERR)
    return any(mask & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, mask in poller.poll(0))
