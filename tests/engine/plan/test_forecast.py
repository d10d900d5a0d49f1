"""How long a plan will take."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.plan.forecast import Forecast, forecast
from engine.plan.model import Resource, Step, StepKind


def step(name: str, *after: str, kind: StepKind = StepKind.MAKE_DISK, resource: Resource = Resource.DISK) -> Step:
    return Step(name, kind, name, name, after=after, resource=resource)


def seen(*steps: Step, medians: Mapping[str, float] | None = None, limit: int = 2, instant: frozenset[str] = frozenset()) -> Forecast:
    return forecast(steps, {"make-disk": 3.0} if medians is None else medians, {Resource.DISK: limit, Resource.GUEST: 9}, instant)


def test_steps_that_may_go_side_by_side_do() -> None:
    assert seen(step("a"), step("b")).seconds == 3.0


@pytest.mark.parametrize(("limit", "seconds"), [(1, 12.0), (2, 6.0), (4, 3.0)])
def test_a_resource_is_shared_by_so_many(limit: int, seconds: float) -> None:
    assert seen(*(step(name) for name in "abcd"), limit=limit).seconds == seconds


def test_steps_wait_for_what_they_depend_on() -> None:
    assert seen(step("a"), step("b", "a"), step("c", "b")).seconds == 9.0


def test_without_any_past_there_is_no_forecast() -> None:
    assert seen(step("a"), medians={}).seconds is None


def test_kinds_that_never_ran_are_named_and_count_nothing() -> None:
    found = seen(step("a"), step("w", "a", kind=StepKind.WAIT_SSH, resource=Resource.GUEST))
    assert (found.seconds, found.unknown) == (3.0, ("wait-ssh",))


def test_a_template_has_its_own_past() -> None:
    fetch = step("tiny", kind=StepKind.FETCH_TEMPLATE)
    assert seen(fetch, medians={"fetch-template:tiny": 40.0}).seconds == 40.0
    assert seen(fetch, medians={"fetch-template:other": 40.0}).seconds is None


def test_what_is_there_already_takes_no_time() -> None:
    fetch = step("tiny", kind=StepKind.FETCH_TEMPLATE)
    assert seen(fetch, medians={"fetch-template:tiny": 40.0}, instant=frozenset({"tiny"})).seconds == 0.0
