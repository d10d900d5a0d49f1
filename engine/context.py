"""What every blocking verb receives: where its log lines belong, how far it is, and whether it should stop."""

from __future__ import annotations

import contextvars
import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .bus import Bus
from .errors import Cancelled, EngineError
from .events import Outcome, TaskFinished, TaskLog, TaskProgress, TaskStarted

_task_numbers = itertools.count(1)
_current: contextvars.ContextVar[TaskContext | None] = contextvars.ContextVar("current_task", default=None)


class CancelToken:
    """A flag that one thread raises and every blocking wait of a run looks at."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: tuple[CancelToken, ...] = ()

    def child(self) -> CancelToken:
        """Return a token that is cancelled with this one, and can be cancelled without it."""
        token = CancelToken()
        with self._lock:
            self._children = (*self._children, token)
        if self.cancelled:
            token.cancel()
        return token

    def cancel(self) -> None:
        self._event.set()
        with self._lock:
            children = self._children
        for child in children:
            child.cancel()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s`; true as soon as the token is cancelled."""
        return self._event.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class TaskContext:
    """One task of a run. Make the root with `TaskContext.root`, the others with `child`."""

    bus: Bus
    run_id: str
    env: str
    """Path of the prefix that the run works on; "" when there is none."""
    task_id: str
    token: CancelToken = field(default_factory=CancelToken)

    @staticmethod
    @contextmanager
    def root(bus: Bus, name: str, *, run_id: str, env: str = "", token: CancelToken | None = None) -> Iterator[TaskContext]:
        """Open the root task of a run and make it the current task."""
        context = TaskContext(bus, run_id, env, _new_task_id(run_id), token or CancelToken())
        with context._running(name, None):
            yield context

    @contextmanager
    def child(self, name: str) -> Iterator[TaskContext]:
        """Open a task below this one; it fails with the exception that leaves the block."""
        context = TaskContext(self.bus, self.run_id, self.env, _new_task_id(self.run_id), self.token)
        with context._running(name, self.task_id):
            yield context

    def contained(self) -> TaskContext:
        """Return this task with a token that is cancelled with its own: what is cancelled here does not end the rest of the run."""
        return TaskContext(self.bus, self.run_id, self.env, self.task_id, self.token.child())

    def shielded(self) -> TaskContext:
        """Return this task with a token that nobody cancels: for rolling back after a cancel."""
        return TaskContext(self.bus, self.run_id, self.env, self.task_id, CancelToken())

    def log(self, message: str, level: int = logging.INFO) -> None:
        """Publish one log line of this task."""
        self.bus.publish(TaskLog(task_id=self.task_id, level=level, logger="engine", message=message))

    def tell(self, message: str) -> None:
        """Publish one line of this task that the user must see: what was decided for them."""
        self.bus.publish(TaskLog(task_id=self.task_id, level=logging.INFO, logger="engine", message=message, aloud=True))

    def progress(self, done: float, total: float | None = None, *, unit: str = "", note: str = "") -> None:
        """Say how far this task is."""
        self.bus.publish(TaskProgress(task_id=self.task_id, done=done, total=total, unit=unit, note=note))

    @property
    def cancelled(self) -> bool:
        return self.token.cancelled

    def raise_if_cancelled(self) -> None:
        """Raises: Cancelled: the user asked to stop."""
        if self.token.cancelled:
            raise Cancelled()

    def sleep(self, seconds: float) -> None:
        """Wait, but wake at once on a cancel.

        Raises:
            Cancelled: the user asked to stop.
        """
        if self.token.wait(seconds):
            raise Cancelled()

    def opened(self, name: str) -> TaskContext:
        """Open a task below this one that `closed` ends: for tasks that begin and end in different places."""
        context = TaskContext(self.bus, self.run_id, self.env, _new_task_id(self.run_id), self.token)
        context._announce(name, self.task_id)
        return context

    def closed(self, outcome: Outcome, duration_s: float, error: str = "") -> None:
        """End a task that `opened` began."""
        self.bus.publish(TaskFinished(task_id=self.task_id, outcome=outcome, duration_s=duration_s, error=error))

    def _announce(self, name: str, parent_id: str | None) -> None:
        self.bus.publish(TaskStarted(task_id=self.task_id, parent_id=parent_id, name=name, run_id=self.run_id, env=self.env))

    @contextmanager
    def _running(self, name: str, parent_id: str | None) -> Iterator[None]:
        self._announce(name, parent_id)
        started_s = time.monotonic()
        outcome, error = Outcome.OK, ""
        reset = _current.set(self)
        try:
            yield
        except BaseException as failure:
            outcome, error = outcome_of(failure)
            raise
        finally:
            _current.reset(reset)
            self.closed(outcome, time.monotonic() - started_s, error)


def outcome_of(failure: BaseException) -> tuple[Outcome, str]:
    """Return how a task ended that `failure` left, and the text that says why."""
    if isinstance(failure, Cancelled):
        return Outcome.CANCELLED, str(failure)
    return Outcome.FAILED, str(failure) if isinstance(failure, EngineError) else f"{type(failure).__name__}: {failure}"


def current_task() -> TaskContext | None:
    """Return the task that the calling code runs in, or None outside of every task."""
    return _current.get()


@contextmanager
def detached_task() -> Iterator[TaskContext]:
    """Give the current task, or outside of every run a task that nobody hears."""
    current = _current.get()
    if current is not None:
        yield current
    else:
        with TaskContext.root(Bus(ring_events=0), "look", run_id="look") as context:
            yield context


class Aloud(str):
    """A message that, logged by the standard `logging` inside a task, the user must see."""

    __slots__ = ()


class TaskLogHandler(logging.Handler):
    """Sends records of the standard `logging` to the task they happened in; records outside of every task are left alone."""

    def emit(self, record: logging.LogRecord) -> None:
        context = current_task()
        if context is not None:
            message, aloud = self.format(record), isinstance(record.msg, Aloud)
            context.bus.publish(TaskLog(task_id=context.task_id, level=record.levelno, logger=record.name, message=message, aloud=aloud))


def hear_logging() -> None:
    """Let records of the standard `logging` reach the task that they happen in, from now on, and once each."""
    root = logging.getLogger()
    if not any(isinstance(handler, TaskLogHandler) for handler in root.handlers):
        root.addHandler(TaskLogHandler())


def _new_task_id(run_id: str) -> str:
    return f"{run_id}.{next(_task_numbers)}"
