"""Tasks of scripts and plugins, in the same tree as those of the engine.

with LogTask("prepare the lab"):
    LOGGER.info("hidden unless the task fails")
    LOGGER.info(log_always("shown at once"))
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar
from uuid import uuid4

from engine.bus import Bus
from engine.context import Aloud, TaskContext, current_task, hear_logging

P = ParamSpec("P")
R = TypeVar("R")

_bus = Bus()
_open: dict[str, LogTask] = {}


def use_bus(bus: Bus) -> None:
    """Publish the tasks that stand below no other task on `bus` from now on: the bus of the engine that was opened last."""
    global _bus
    _bus = bus


class LogTask:
    """A task for the length of a `with` block; it fails with the exception that leaves the block."""

    def __init__(
        self,
        task: str,
        logger: object = None,
        level: str = "info",
        propagate_fail: bool = True,
        uuid: str | None = None,
    ) -> None:
        """Name the task.

        Args:
            task: shown in the tree.
            logger: taken for the sake of old scripts; records of every logger end up in the task they happened in.
            level: a `debug` task is not shown.
            propagate_fail: whether an exception marks the task, and those above it, as failed; it is raised in any case.
            uuid: taken for the sake of old scripts.
        """
        self._name = task
        self._shown = level.lower() != "debug"
        self._propagate_fail = propagate_fail
        self._scope: AbstractContextManager[TaskContext] | None = None

    def __enter__(self) -> Self:
        if self._shown:
            hear_logging()
            above = current_task()
            self._scope = above.child(self._name) if above else TaskContext.root(_bus, self._name, run_id=uuid4().hex[:12])
            self._scope.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._scope is not None:
            scope, self._scope = self._scope, None
            if self._propagate_fail:
                scope.__exit__(kind, error, trace)
            else:
                scope.__exit__(None, None, None)


def log_task(
    task: str, logger: object = None, level: str = "info", propagate_fail: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that runs a function in a task. The arguments are those of `LogTask`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def in_task(*args: P.args, **kwargs: P.kwargs) -> R:
            with LogTask(task, logger, level, propagate_fail):
                return function(*args, **kwargs)

        return in_task

    return decorate


def start_log_task(task: str, logger: object = None, level: str = "info") -> None:
    """Begin a task that `end_log_task` ends, in the same thread. One of the same name that is open ends first."""
    if task in _open:
        end_log_task(task)
    _open[task] = LogTask(task, logger, level).__enter__()


def end_log_task(task: str, logger: object = None, level: str = "info") -> None:
    """End a task that `start_log_task` began; `level="error"` ends it as failed. One that is not open is let be."""
    opened = _open.pop(task, None)
    if opened is None:
        return
    if level.lower() in ("error", "critical"):
        failure = RuntimeError(task)
        try:
            opened.__exit__(RuntimeError, failure, None)
        except RuntimeError as same:
            if same is not failure:
                raise
    else:
        opened.__exit__(None, None, None)


def log_always(message: str) -> str:
    """Return the message marked so that, logged inside a task, it is shown at once, whatever the level and the depth."""
    return Aloud(message)
