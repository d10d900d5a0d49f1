"""How long a plan will take, from how long its kinds of steps took before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from .model import Resource, Step, StepKind


@dataclass(frozen=True, slots=True)
class StepForecast:
    """All steps of one kind."""

    kind: str
    count: int
    seconds: float | None
    """That one of them takes; None when none has ever run here."""


@dataclass(frozen=True, slots=True)
class Forecast:
    seconds: float | None
    """From the first step to the last, side by side where they may be; None when no step is known."""
    steps: tuple[StepForecast, ...]
    """By kind, in the order of the plan."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Kinds that have never run here, and count as nothing."""
        return tuple(step.kind for step in self.steps if step.seconds is None)


def duration_key(kind: StepKind, subject: str) -> str:
    """Return the name under which durations of a step are kept: each template, and each build, takes its own time."""
    return f"{kind.value}:{subject}" if kind in (StepKind.FETCH_TEMPLATE, StepKind.PREPARE_IMAGE, StepKind.BUILD) else kind.value


def forecast(steps: Sequence[Step], medians: Mapping[str, float], limits: Mapping[Resource, int], instant: frozenset[str]) -> Forecast:
    """Say how long steps will take.

    Args:
        steps: of the plan, each after those that it depends on.
        medians: `duration_key` → seconds.
        limits: how many steps may share a resource.
        instant: ids of steps that have nothing to do, such as fetching what is in the store.
    """
    known = {step.id: 0.0 if step.id in instant else medians.get(duration_key(step.kind, step.subject)) for step in steps}
    kinds: dict[str, list[float | None]] = {}
    for step in steps:
        kinds.setdefault(step.kind.value, []).append(known[step.id])
    lines = tuple(StepForecast(kind, len(each), _mean(each)) for kind, each in kinds.items())
    measured = any(seconds is not None for seconds in known.values())
    ends_s = _simulate(steps, {step_id: seconds or 0.0 for step_id, seconds in known.items()}, limits)
    return Forecast(ends_s if measured else None, lines)


def _mean(seconds: Sequence[float | None]) -> float | None:
    measured = [each for each in seconds if each is not None]
    return sum(measured) / len(measured) if len(measured) == len(seconds) else None


def _simulate(steps: Sequence[Step], seconds: Mapping[str, float], limits: Mapping[Resource, int]) -> float:
    """Return when the last step ends, if each begins as soon as it may."""
    ends: dict[str, float] = {}
    slots: dict[Resource, list[float]] = {}
    for step in steps:
        ready_s = max((ends.get(needed, 0.0) for needed in step.after), default=0.0)
        busy = slots.setdefault(step.resource, [])
        if len(busy) >= limits.get(step.resource, 1):
            ready_s = max(ready_s, heappop(busy))
        ends[step.id] = ready_s + seconds[step.id]
        heappush(busy, ends[step.id])
    return max(ends.values(), default=0.0)
