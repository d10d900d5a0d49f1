"""What the UI knows: one frozen AppState, and the pure function that takes one event into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.events import EnvChanged, Event, MachineChanged, NetChanged, SnapshotChanged, TaskFinished, TaskStarted
from engine.spec import MachineStatus
from engine.tasktree import TaskTree

if TYPE_CHECKING:
    from engine.providers.base import HostInfo, MachineStats
    from engine.state.env import EnvState

READINGS_KEPT = 90
"""Of each machine: three minutes at one every two seconds."""

RUNS_KEPT = 20
"""Finished runs that stay in the task tree."""


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """One environment that this machine knows."""

    path: str
    """Of the prefix."""
    used_at_s: float = 0.0
    """When it was last worked on; 0 when that is not known."""


@dataclass(frozen=True, slots=True)
class EnvDesk:
    """Everything known of one environment."""

    state: EnvState | None = None
    host: HostInfo | None = None
    readings: Mapping[str, tuple[MachineStats, ...]] = field(default_factory=dict)
    """Machine → its last readings, oldest first."""
    problem: str = ""
    """Why the last look failed; "" when it went well."""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class AppState:
    environments: tuple[EnvEntry, ...] | None = None
    """Recent first; None until they were looked up."""
    environments_problem: str = ""
    desks: Mapping[str, EnvDesk] = field(default_factory=lambda: MappingProxyType({}))
    """Path of the prefix → what is known of it."""

    def desk(self, env: str) -> EnvDesk:
        return self.desks.get(env, _UNKNOWN_DESK)


@dataclass(frozen=True, slots=True)
class EnvironmentsLoaded:
    entries: tuple[EnvEntry, ...]


@dataclass(frozen=True, slots=True)
class StateLoaded:
    env: str
    state: EnvState


@dataclass(frozen=True, slots=True)
class HostLoaded:
    env: str
    host: HostInfo | None
    """None while nothing of the environment runs."""


@dataclass(frozen=True, slots=True)
class StatsLoaded:
    env: str
    stats: Mapping[str, MachineStats]


@dataclass(frozen=True, slots=True)
class LookFailed:
    env: str
    """"" for the list of environments."""
    problem: str
    gone: bool = False
    """There is no such environment any more."""


Loaded = EnvironmentsLoaded | StateLoaded | HostLoaded | StatsLoaded | LookFailed
_UNKNOWN_DESK = EnvDesk()
_STATUSES = {status.value: status for status in MachineStatus}


def reduce(state: AppState, event: Event | Loaded) -> AppState:
    """Return the state after `event`; the same object when it says nothing about environments."""
    match event:
        case EnvironmentsLoaded():
            return replace(state, environments=event.entries, environments_problem="")
        case LookFailed(env=""):
            return replace(state, environments=state.environments or (), environments_problem=event.problem)
        case StateLoaded() | HostLoaded() | StatsLoaded() | LookFailed():
            return _with_desk(state, event.env, _load(state.desk(event.env), event))
        case MachineChanged():
            return _with_desk(state, event.env, _machine_changed(state.desk(event.env), event))
        case NetChanged():
            return _with_desk(state, event.env, _net_changed(state.desk(event.env), event))
        case EnvChanged():
            return _with_desk(state, event.env, replace(state.desk(event.env), gone=not event.exists))
        case _:
            return state


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch changed, so that only that is drawn again."""

    environments: bool = False
    envs: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    """Environments whose state must be read again."""
    listing_stale: bool = False
    """Whether an environment came or went."""
    tasks: bool = False
    tasks_shape: bool = False
    """Whether tasks came or ended."""


class Store:
    """Holds the state and the task tree; used on the UI's thread only."""

    def __init__(self) -> None:
        self.state = AppState()
        self.tasks = TaskTree()

    def apply(self, events: Iterable[Event | Loaded]) -> Changes:
        """Take a batch in, and say what it changed."""
        before = self.state
        stale: set[str] = set()
        listing_stale = tasks = shape = False
        for event in events:
            if isinstance(event, Event) and self.tasks.apply(event) is not None:
                tasks = True
                shape = shape or isinstance(event, TaskStarted | TaskFinished)
                continue
            self.state = reduce(self.state, event)
            if isinstance(event, SnapshotChanged | EnvChanged):
                stale.add(event.env)
            listing_stale = listing_stale or isinstance(event, EnvChanged)
        if shape:
            self._forget_old_runs()
        changed = frozenset(env for env, desk in self.state.desks.items() if before.desks.get(env) is not desk)
        listed = self.state.environments is not before.environments or self.state.environments_problem != before.environments_problem
        return Changes(listed, changed, frozenset(stale), listing_stale, tasks, shape)

    def _forget_old_runs(self) -> None:
        finished = [root for root in self.tasks.roots if not self.tasks.nodes[root].running]
        for root in finished[: max(0, len(finished) - RUNS_KEPT)]:
            self.tasks.forget(root)


def _with_desk(state: AppState, env: str, desk: EnvDesk) -> AppState:
    if state.desks.get(env) is desk:
        return state
    return replace(state, desks=MappingProxyType({**state.desks, env: desk}))


def _load(desk: EnvDesk, loaded: StateLoaded | HostLoaded | StatsLoaded | LookFailed) -> EnvDesk:
    match loaded:
        case StateLoaded():
            return replace(desk, state=loaded.state, problem="", gone=False)
        case HostLoaded():
            return replace(desk, host=loaded.host)
        case StatsLoaded():
            kept = {name: (*desk.readings.get(name, ()), reading)[-READINGS_KEPT:] for name, reading in loaded.stats.items()}
            return replace(desk, readings=kept)
        case LookFailed():
            return replace(desk, problem=loaded.problem, gone=desk.gone or (loaded.gone and desk.state is not None))


def _machine_changed(desk: EnvDesk, event: MachineChanged) -> EnvDesk:
    if desk.state is None or event.machine not in desk.state.machines:
        return desk
    status = _STATUSES.get(event.status, MachineStatus.UNKNOWN)
    machine = replace(desk.state.machines[event.machine], status=status)
    readings = desk.readings if status.is_up else {name: kept for name, kept in desk.readings.items() if name != event.machine}
    return replace(desk, state=replace(desk.state, machines={**desk.state.machines, event.machine: machine}), readings=readings)


def _net_changed(desk: EnvDesk, event: NetChanged) -> EnvDesk:
    if desk.state is None or event.net not in desk.state.nets:
        return desk
    net = replace(desk.state.nets[event.net], up=event.up)
    return replace(desk, state=replace(desk.state, nets={**desk.state.nets, event.net: net}))
