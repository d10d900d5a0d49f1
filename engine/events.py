"""What the engine tells the world: small frozen records, published on the bus in the order they happened."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a task ended."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at_s: float = field(default_factory=time.time)
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(Event):
    task_id: str
    parent_id: str | None
    """None for the root task of a run."""
    name: str
    run_id: str
    env: str = ""
    """Path of the prefix that the run works on; "" when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress(Event):
    task_id: str
    done: float
    total: float | None = None
    """None while the end is unknown."""
    unit: str = ""
    """What `done` counts: "B", "s", "steps"."""
    note: str = ""
    """The last thing known, e.g. a serial line while waiting for ssh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLog(Event):
    task_id: str
    level: int
    """A level of the standard `logging` module."""
    logger: str
    message: str
    aloud: bool = False
    """The user must see it, whatever else is hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished(Event):
    task_id: str
    outcome: Outcome
    duration_s: float
    error: str = ""
    """Message and next step of the failure; "" when the task went well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineChanged(Event):
    env: str
    """Path of the prefix."""
    machine: str
    status: str
    """A word of `engine.spec.MachineStatus`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetChanged(Event):
    env: str
    net: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChanged(Event):
    env: str
    machine: str
    snapshots: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvChanged(Event):
    """An environment appeared, went away, or changed as a whole: read its state again."""

    env: str
    exists: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped(Event):
    """A reader was too slow: this many log lines never reached it (state events are never dropped)."""

    count: int
