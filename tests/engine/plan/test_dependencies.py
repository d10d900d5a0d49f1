"""Machines that depend on others: the order in which they start, and what is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import InitFileError
from engine.plan.running import plan_up
from engine.spec import MachineSpec, MachineStatus, Readiness
from engine.state.env import EnvState, MachineState
from tests.engine.plan.test_plans import machine, state


def env(*up: str, **depends: str) -> EnvState:
    """Return an environment on net `n`; `web="db cache"` says that web depends on these two."""
    specs = {name: replace(machine(name, "n"), depends_on=tuple(needs.split())) for name, needs in depends.items()}
    return state(*up, **specs)


def steps(plan_state: EnvState, *machines: str, wait: bool = False) -> list[list[str]]:
    """Return the steps of each plan."""
    return [[step.id for step in plan.steps] for plan in plan_up(plan_state, machines, wait=wait)]


def test_without_dependencies_there_is_one_plan() -> None:
    assert steps(env(a="", b="")) == [["start-net:n", "start-machine:a", "start-machine:b"]]


def test_what_others_depend_on_starts_first_and_is_waited_for() -> None:
    assert steps(env(web="db", db="", lb="")) == [
        ["start-net:n", "start-machine:db", "start-machine:lb"],
        ["wait-ssh:db"],
        ["start-machine:web"],
    ]


def test_a_chain_starts_link_by_link() -> None:
    found = steps(env(a="b", b="c", c=""), wait=True)
    assert found == [
        ["start-net:n", "start-machine:c"],
        ["wait-ssh:c"],
        ["start-machine:b"],
        ["wait-ssh:b"],
        ["start-machine:a"],
        ["wait-ssh:a"],
    ]


def test_a_named_machine_brings_along_what_it_depends_on() -> None:
    assert steps(env(web="db", db="", other=""), "web") == [["start-net:n", "start-machine:db"], ["wait-ssh:db"], ["start-machine:web"]]


def test_what_is_up_already_is_only_waited_for() -> None:
    assert steps(env("db", "n", web="db", db="")) == [["wait-ssh:db"], ["start-machine:web"]]


def test_nothing_is_waited_for_when_everything_is_up() -> None:
    assert steps(env("db", "web", "n", web="db", db="")) == []


def test_nobody_is_waited_for_twice() -> None:
    waits = [step for plan in steps(env(web="db", db="", lb="db"), wait=True) for step in plan if step.startswith("wait")]
    assert sorted(waits) == ["wait-ssh:db", "wait-ssh:lb", "wait-ssh:web"]


@pytest.mark.parametrize("depends", [{"a": "b", "b": "a"}, {"a": "a"}, {"a": "b", "b": "c", "c": "a", "d": ""}])
def test_circles_are_refused_by_name(depends: dict[str, str]) -> None:
    with pytest.raises(InitFileError, match="in a circle: a"):
        plan_up(env(**depends))


def test_a_machine_with_readiness_is_waited_for_by_it_even_without_an_address() -> None:
    silent = MachineState(MachineSpec("s", ready=Readiness(log="up")), MachineStatus.DOWN)
    plan_state = replace(env(a="s"), machines={**env(a="s").machines, "s": silent})
    assert ["wait-ready:s"] in steps(plan_state)


def test_nets_that_no_machine_uses_start_too() -> None:
    assert steps(replace(env(), nets=env(a="").nets)) == [["start-net:n"]]


def test_two_hundred_machines_in_a_row_are_planned_at_once() -> None:
    chain = {f"m{number}": f"m{number - 1}" if number else "" for number in range(200)}
    assert len(plan_up(env(**chain))) == 400
