"""Whether the terminal is still there: the toolkit reads on for ever, at full speed, when it is not."""

from __future__ import annotations

import select


def hung_up(fd: int) -> bool:
    """Whether whoever was at the other end of `fd` has gone."""
    poller = select.poll()
    poller.register(fd, select.POLLHUP | select.POLLERR)
    return any(mask & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, mask in poller.poll(0))
