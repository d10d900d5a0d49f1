"""Blocking calls that cannot be interrupted, with a time limit all the same."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


def limited(work: Callable[[], T], timeout_s: float, late: Exception, on_late: Callable[[T], object] | None = None) -> T:
    """Run `work` on a thread of its own and return what it returns, or raise what it raises.

    Args:
        work: what blocks, in the context (the current task) of the caller.
        timeout_s: seconds until it is left behind.
        late: raised then.
        on_late: gets the result that comes after that.
    """
    job = _Job(work, on_late)
    threading.Thread(target=contextvars.copy_context().run, args=(job.run,), name="limited-call", daemon=True).start()
    return job.result(timeout_s, late)


class _Job(Generic[T]):
    """One call; a context manager, so that whatever leaves it is caught for the caller."""

    def __init__(self, work: Callable[[], T], on_late: Callable[[T], object] | None) -> None:
        self._work = work
        self._on_late = on_late
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._abandoned = False
        self._values: list[T] = []
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> bool:
        self._error = error
        with self._lock:
            self._ended.set()
            abandoned = self._abandoned
        if abandoned and self._values and self._on_late is not None:
            self._on_late(self._values[0])
        return True

    def run(self) -> None:
        with self:
            self._values.append(self._work())

    def result(self, timeout_s: float, late: Exception) -> T:
        self._ended.wait(timeout_s)
        with self._lock:
            self._abandoned = not self._ended.is_set()
        if self._abandoned:
            raise late
        if self._error is not None:
            raise self._error
        return self._values[0]
