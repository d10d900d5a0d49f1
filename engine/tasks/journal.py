"""What a run is about to do and has done, on disk before and after each step, so that a kill -9 loses nothing.

One file a run, one JSON object a line: `{"run": plan…}`, `{"begin": id}`, `{"done": id}`, `{"undone": id}`, `{"end": outcome}`.
Each line is on the disk before its writer goes on, but for `done`, which comes there with the next line: a power cut that takes it makes
a step that was done look merely begun, and what began is undone, or done once more, either way. Steps that begin side by side share a sync.
A last line cut short by a crash is as if it had not been written.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import DiskFull
from ..plan.model import Plan, Recovery, Step
from ..spec import Json
from ..state.atomic import FULL, sync_dir

SUFFIX = ".jsonl"
KEPT_RUNS = 50
"""Ended runs kept in a folder, for looking back."""


class Journal:
    """The journal of one run, open for writing."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._written = 0
        self._synced = 0
        self._torn = False
        """Whether the last line was cut short, by a full disk."""

    @classmethod
    def create(cls, folder: Path, run_id: str, plan: Plan) -> Journal:
        """Begin the journal of `plan` in `folder`.

        Raises:
            DiskFull: there is no room.
            OSError: the folder cannot be written.
        """
        path = folder / f"{run_id}{SUFFIX}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            journal = cls(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600))
        except OSError as failure:
            raise _explained(failure, path) from failure
        try:
            journal._write({"run": {"id": run_id, "pid": os.getpid(), "at_s": time.time(), "plan": plan.to_json()}})
            sync_dir(folder)
        except BaseException:
            journal.close()
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def unkept(cls, path: Path) -> Journal:
        """Begin a journal that is nowhere: for a run that must be possible on a full disk."""
        return cls(path, os.memfd_create(path.name, os.MFD_CLOEXEC))

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Go on with the journal of a dead run."""
        journal = cls(path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        journal._terminate_torn_line()
        return journal

    def begin(self, step: Step) -> None:
        self._write({"begin": step.id})

    def done(self, step: Step) -> None:
        self._write({"done": step.id}, sync=False)

    def undone(self, step: Step) -> None:
        self._write({"undone": step.id})

    def end(self, outcome: str) -> None:
        """Close the run: nothing is left to put right."""
        if self.path.exists():  # a destroy takes the folder along
            try:
                self._write({"end": outcome, "at_s": time.time()})
            except DiskFull:  # a journal that cannot say that all is well must not say otherwise
                self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _write(self, record: dict[str, Json], *, sync: bool = True) -> None:
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                self._append(line)
                self._written += 1
                number = self._written
            if sync:
                self._sync(number)
        except OSError as failure:
            raise _explained(failure, self.path) from failure

    def _append(self, line: bytes) -> None:
        rest = b"\n" + line if self._torn else line
        self._torn = True
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._torn = False

    def _sync(self, number: int) -> None:
        """Bring a line to the disk, unless another thread that came with a later one has."""
        with self._syncing:
            if self._synced < number:
                reached = self._written
                os.fdatasync(self._descriptor)
                self._synced = reached

    def _terminate_torn_line(self) -> None:
        if not self.path.read_bytes().endswith(b"\n"):
            os.write(self._descriptor, b"\n")


@dataclass(frozen=True, slots=True)
class DeadRun:
    """A journal without an end: its process died on the way."""

    path: Path
    run_id: str
    pid: int
    at_s: float
    plan: Plan
    begun: tuple[str, ...]
    """Ids of the steps that began and were not undone, in that order."""
    done: frozenset[str]

    @property
    def sentence(self) -> str:
        """Say what is pending, for a person."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.at_s))
        how = "undone" if self.plan.recovery is Recovery.UNDO else "finished"
        return (
            f"'{self.plan.verb}' of {when} ended in the middle; "
            f"it will be {how} by the next changing verb, or now with: lagotui --run recover"
        )


def read_dead_run(path: Path) -> DeadRun | None:
    """Read a journal; None when its run ended or had nothing left to do, or when it never got as far as its first line."""
    header: Json = None
    begun: list[str] = []
    done: set[str] = set()
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # cut short by the crash: as if never written
        if "run" in record:
            header = record["run"]
        elif "begin" in record:
            begun.append(record["begin"])
        elif "done" in record:
            done.add(record["done"])
        elif "undone" in record:
            begun = [step_id for step_id in begun if step_id != record["undone"]]
            done.discard(record["undone"])
        elif "end" in record:
            return None
    if header is None:
        return None
    plan = Plan.from_json(header["plan"])
    if all(step.id in done for step in plan.steps if step.journaled):
        return None  # it died after its last step: nothing is half done
    return DeadRun(path, header["id"], header["pid"], header["at_s"], plan, tuple(dict.fromkeys(begun)), frozenset(done))


def ended_on(path: Path) -> Path | None:
    """Return the prefix of a run that came to its end; None when it did not, or its journal cannot be read."""
    try:
        if read_dead_run(path) is not None:
            return None
        first, _, _ = path.read_bytes().partition(b"\n")
        return Path(Plan.from_json(json.loads(first)["run"]["plan"]).prefix)
    except (FileNotFoundError, ValueError, KeyError):  # removed meanwhile, or cut short in its first line
        return None


def dead_runs(folder: Path) -> list[DeadRun]:
    """Return the unfinished runs of a folder, oldest first. Call it under the prefix lock, or take a live run for a dead one."""
    found: list[DeadRun] = []
    for path in journals(folder):
        try:
            run = read_dead_run(path)
        except FileNotFoundError:
            continue  # its run ended between listing and reading
        if run is not None:
            found.append(run)
    return sorted(found, key=lambda run: run.at_s)


def prune(folder: Path, kept: int = KEPT_RUNS) -> None:
    """Forget the oldest ended runs of a folder."""
    ended = [path for path in journals(folder) if read_dead_run(path) is None]
    for path in sorted(ended, key=lambda each: each.stat().st_mtime)[:-kept]:
        path.unlink(missing_ok=True)


def journals(folder: Path) -> list[Path]:
    """Return the journals of a folder, by name; [] when it is not there, or just goes."""
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return []


def _explained(failure: OSError, path: Path) -> OSError | DiskFull:
    return DiskFull(f"the journal '{path}' cannot be written: {failure.strerror}") if failure.errno in FULL else failure
