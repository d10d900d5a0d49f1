"""What engines do, as records of the standard `logging`: for log files and terminals of scripts."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from pathlib import Path

from engine.bus import Bus
from engine.events import Event, Outcome, TaskFinished, TaskLog, TaskStarted

LOGGER = "lagotui"
FORMAT = "%(asctime)s::%(filename)s::%(funcName)s::%(lineno)s::%(name)s::%(levelname)s::%(message)s"
"""The predecessor's."""
OWN = "engine"
"""Logger of the lines that the engine itself says in a task."""
PER_SECOND = 20.0

_relays: weakref.WeakSet[Relay] = weakref.WeakSet()
_is_wanted = False


class Relay:
    """Passes what is published on one bus on to `logging`, as soon as somebody wants to hear it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._names: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        _relays.add(self)
        if _is_wanted:
            self.begin()

    def begin(self) -> None:
        """Pass on from now on."""
        if self._thread is None:
            reader = self._bus.subscribe()

            def run() -> None:
                for batch in reader.batches(per_second=PER_SECOND, until=self._ended.is_set):
                    for event in batch:
                        self._pass_on(event)
                reader.close()

            self._thread = threading.Thread(target=run, name="sdk-log", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Pass on what waits, and stop."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _pass_on(self, event: Event) -> None:
        match event:
            case TaskStarted():
                self._names[event.task_id] = event.name
                _log(logging.INFO, "tasks", f"start task: {event.name}")
            case TaskLog() if event.logger == OWN:  # the others came from `logging`, where they were heard already
                _log(event.level, event.logger, event.message)
            case TaskFinished():
                said = f"end task: {self._names.pop(event.task_id, '')}: {event.outcome} in {event.duration_s:.3f} s"
                failed = event.outcome is Outcome.FAILED
                _log(logging.ERROR if failed else logging.INFO, "tasks", f"{said}: {event.error}" if event.error else said)
            case _:
                pass


def add_stream_logger(level: int = logging.DEBUG, name: str | None = None) -> None:
    """Print what every environment of this process does, on stdout.

    Args:
        level: of the least important records that are printed.
        name: of the logger to print; None: of all.
    """
    _listen(logging.StreamHandler(sys.stdout), level, name)


def add_log_file(path: str | Path, level: int = logging.INFO) -> None:
    """Write what every environment of this process does into a file, beside the log of each.

    Raises:
        OSError: the file cannot be written.
    """
    _listen(logging.FileHandler(path, encoding="utf-8"), level, None)


def _listen(handler: logging.Handler, level: int, name: str | None) -> None:
    global _is_wanted
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logging.getLogger(LOGGER).setLevel(logging.DEBUG)
    if name is not None:
        logger.setLevel(min(level, logger.level or level))
    _is_wanted = True
    for relay in tuple(_relays):
        relay.begin()


def _log(level: int, source: str, message: str) -> None:
    logging.getLogger(f"{LOGGER}.{source}").log(level, "%s", message)
