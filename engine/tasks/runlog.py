"""The narration of a run, on disk: one line a record, in the predecessor's `asctime::file::func::line::logger::LEVEL::message`."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ..bus import Bus
from ..events import Event, Outcome, TaskFinished, TaskLog, TaskStarted

FLUSH_S = 0.2


class RunLog:
    """Writes what one run says into a file until it is closed."""

    def __init__(self, bus: Bus, run_id: str, path: Path) -> None:
        self.path = path
        self._run_id = run_id
        self._names: dict[str, str] = {}
        self.trouble = ""
        """Why nothing is written, "" when all is well: a run must not fail because nobody can read about it later."""
        self._file: TextIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", errors="replace")
        except OSError as failure:
            self.trouble = f"this run is not logged: '{path}' cannot be written: {failure.strerror}"
        self._reader = bus.subscribe()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="run-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        self._ended.set()
        self._thread.join(5.0)
        self._reader.close()
        if self._file is not None:
            with suppress(OSError):  # what is left of the log does not fit on the disk: what there is must do
                self._file.close()

    def _write(self) -> None:
        for batch in self._reader.batches(per_second=1 / FLUSH_S, until=self._ended.is_set):
            lines = [line for event in batch if (line := self._line(event))]
            if self._file is None or self.trouble:
                continue
            try:
                self._file.writelines(lines)
                self._file.flush()
            except OSError as failure:
                self.trouble = f"the log of this run ends early: '{self.path}' cannot be written: {failure.strerror}"

    def _line(self, event: Event) -> str:
        match event:
            case TaskStarted() if event.run_id == self._run_id:
                self._names[event.task_id] = event.name
                return _formatted(event.at_s, "tasks", logging.INFO, f"start task: {event.name}")
            case TaskLog() if event.task_id in self._names:
                return _formatted(event.at_s, event.logger, event.level, event.message)
            case TaskFinished() if event.task_id in self._names:
                level = logging.ERROR if event.outcome is Outcome.FAILED else logging.INFO
                said = f"end task: {self._names[event.task_id]}: {event.outcome} in {event.duration_s:.3f} s"
                return _formatted(event.at_s, "tasks", level, f"{said}: {event.error}" if event.error else said)
            case _:
                return ""


def _formatted(at_s: float, logger: str, level: int, message: str) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s)) + f",{int(at_s % 1 * 1000):03d}"
    folded = message.replace("\n", "\\n")
    return f"{stamp}::{logger}::run::0::{logger}::{logging.getLevelName(level)}::{folded}\n"
