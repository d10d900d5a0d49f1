"""The runner: order, parallelism, limits, roll back, cancel, recovery."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import Cancelled, HostRefused, RecoveryFailed
from engine.plan.model import Inverse, Plan, Recovery, Resource, Step, StepKind
from engine.tasks.journal import Journal, dead_runs
from engine.tasks.runner import Runner, recover
from engine.tasktree import TaskTree

UNDO = Inverse(StepKind.STOP_MACHINE)


def step(name: str, *after: str, inverse: Inverse | None = UNDO, group: tuple[str, ...] = (), journaled: bool = True) -> Step:
    return Step(
        name,
        StepKind.START_MACHINE,
        name,
        f"Starting {name}",
        after=after,
        resource=Resource.HYPERVISOR,
        inverse=inverse,
        group=group,
        journaled=journaled,
    )


class World:
    """Performs steps by writing down that it did; may refuse some."""

    def __init__(
        self, refuse: Mapping[str, BaseException] | None = None, on_start: Callable[[TaskContext, str], None] | None = None
    ) -> None:
        self.happened: list[str] = []
        self._refuse = refuse or {}
        self._on_start = on_start
        self._lock = threading.Lock()

    def perform(self, ctx: TaskContext, kind: StepKind, subject: str, args: Mapping[str, Any]) -> None:
        sign = "+" if kind is StepKind.START_MACHINE else "-"
        if sign == "+" and self._on_start is not None:
            self._on_start(ctx, subject)
        if sign + subject in self._refuse:
            raise self._refuse[sign + subject]
        with self._lock:
            self.happened.append(sign + subject)


def run(tmp_path: Path, world: World, *steps: Step, limits: Mapping[Resource, int] | None = None, token_hook: Any = None) -> TaskTree:
    bus = Bus()
    reader = bus.subscribe()
    plan = Plan("start", "Start", "/p", "0" * 32, "private", steps)

    async def go() -> None:
        with TaskContext.root(bus, plan.title, run_id="r") as ctx:
            if token_hook is not None:
                token_hook(ctx.token)
            await Runner(plan, ctx, Journal.create(tmp_path, "r", plan), world.perform, limits=limits).run()

    tree = TaskTree()
    try:
        asyncio.run(go())
    finally:
        for event in reader.take():
            tree.apply(event)
    return tree


def test_a_step_waits_for_those_it_comes_after(tmp_path: Path) -> None:
    world = World()
    run(tmp_path, world, step("c", "a", "b"), step("b", "a"), step("a"))
    assert world.happened == ["+a", "+b", "+c"]


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    both_there = threading.Barrier(2, timeout=60)
    world = World(on_start=lambda ctx, name: both_there.wait() and None)
    run(tmp_path, world, step("a"), step("b"))
    assert sorted(world.happened) == ["+a", "+b"]


def test_no_more_steps_share_a_resource_than_its_limit(tmp_path: Path) -> None:
    inside: list[str] = []
    most: list[int] = []

    two_there = threading.Barrier(2, timeout=60)

    def watch(ctx: TaskContext, name: str) -> None:
        inside.append(name)
        most.append(len(inside))
        two_there.wait()
        inside.remove(name)

    limits = dict.fromkeys(Resource, 2)
    run(tmp_path, World(on_start=watch), *(step(f"s{n}") for n in range(8)), limits=limits)
    assert max(most) == 2


def test_a_failure_takes_back_what_was_done_last_first(tmp_path: Path) -> None:
    world = World({"+c": HostRefused("no room")})
    with pytest.raises(HostRefused, match="no room"):
        run(tmp_path, world, step("a"), step("b", "a"), step("c", "b"), step("d", "c"))
    assert world.happened == ["+a", "+b", "-c", "-b", "-a"]
    assert dead_runs(tmp_path) == []


def test_a_failed_take_back_is_said_and_left_to_recover(tmp_path: Path) -> None:
    world = World({"+b": HostRefused("no room"), "-a": HostRefused("stuck")})
    with pytest.raises(RecoveryFailed, match=r"no room; taking it back failed too: 'Starting a': stuck"):
        run(tmp_path, world, step("a"), step("b", "a"))
    assert len(dead_runs(tmp_path)) == 1


def test_a_cancel_stops_running_steps_and_takes_them_back(tmp_path: Path) -> None:
    def cancelled_while_it_sleeps(ctx: TaskContext, name: str) -> None:
        threading.Timer(0.05, ctx.token.cancel).start()
        ctx.sleep(60)

    world = World(on_start=cancelled_while_it_sleeps)
    with pytest.raises(Cancelled):
        run(tmp_path, world, step("a"))
    assert world.happened == ["-a"]


def test_a_cancel_during_a_last_step_that_cannot_stop_is_honoured(tmp_path: Path) -> None:
    world = World(on_start=lambda ctx, name: ctx.token.cancel())
    with pytest.raises(Cancelled):
        run(tmp_path, world, step("a"))
    assert world.happened == ["+a", "-a"]


def test_groups_are_tasks_that_end_with_their_last_step(tmp_path: Path) -> None:
    tree = run(tmp_path, World(), step("a", group=("Start vms",)), step("b", "a", group=("Start vms",)))
    assert [(node.depth, node.name, node.running) for node in tree.walk()] == [
        (1, "Start", False),
        (2, "Start vms", False),
        (3, "Starting a", False),
        (3, "Starting b", False),
    ]


def test_a_group_with_a_skipped_step_still_ends(tmp_path: Path) -> None:
    world = World({"+a": HostRefused("no")})
    with pytest.raises(HostRefused):
        run(tmp_path, world, step("a", group=("g",)), step("b", "a", group=("g",)))
    assert dead_runs(tmp_path) == []


def _die_after(tmp_path: Path, plan: Plan, *begun: str) -> None:
    journal = Journal.create(tmp_path, "dead", plan)
    for each in plan.steps:
        if each.id in begun:
            journal.begin(each)
            if each.id != begun[-1]:
                journal.done(each)
    journal.close()


def _recover(tmp_path: Path, world: World) -> None:
    async def go() -> None:
        with TaskContext.root(Bus(), "recover", run_id="r2") as ctx:
            await recover(dead_runs(tmp_path)[0], ctx, world.perform)

    asyncio.run(go())


def test_recovery_undoes_a_plan_of_that_kind(tmp_path: Path) -> None:
    plan = Plan("start", "Start", "/p", "0" * 32, "private", (step("a"), step("b", "a"), step("c", "b")), Recovery.UNDO)
    _die_after(tmp_path, plan, "a", "b")
    world = World()
    _recover(tmp_path, world)
    assert world.happened == ["-b", "-a"]
    assert dead_runs(tmp_path) == []


def test_recovery_finishes_a_plan_of_that_kind(tmp_path: Path) -> None:
    plan = Plan("stop", "Stop", "/p", "0" * 32, "private", (step("a"), step("b", "a"), step("c", "b")), Recovery.FINISH)
    _die_after(tmp_path, plan, "a", "b")
    world = World()
    _recover(tmp_path, world)
    assert world.happened == ["+b", "+c"]
    assert dead_runs(tmp_path) == []


def test_a_recovery_that_fails_stays_pending(tmp_path: Path) -> None:
    plan = Plan("stop", "Stop", "/p", "0" * 32, "private", (step("a"),), Recovery.FINISH)
    _die_after(tmp_path, plan, "a")
    with pytest.raises(HostRefused):
        _recover(tmp_path, World({"+a": HostRefused("daemon down")}))
    assert len(dead_runs(tmp_path)) == 1


def test_plans_survive_the_journal_unchanged() -> None:
    plan = Plan(
        "start", "Start", "/p", "0" * 32, "private", (step("a"), step("b", "a", inverse=None, group=("g", "h"))), Recovery.FINISH, ("n",)
    )
    assert Plan.from_json(plan.to_json()) == plan


def test_a_failed_plan_does_not_end_the_run_that_it_belongs_to(tmp_path: Path) -> None:
    tokens: list[Any] = []
    with pytest.raises(HostRefused):
        run(tmp_path, World({"+a": HostRefused("no")}), step("a"), step("b"), token_hook=tokens.append)
    assert not tokens[0].cancelled


def test_what_cannot_be_journaled_for_a_full_disk_is_taken_back_all_the_same(tmp_path: Path) -> None:
    world, plan = (
        World({"+c": HostRefused("no")}),
        Plan("start", "Start", "/p", "0" * 32, "private", (step("a"), step("b", "a"), step("c", "b"))),
    )
    journal = Journal.create(tmp_path, "r", plan)

    def fill_the_disk(ctx: TaskContext, name: str) -> None:
        if name == "c":
            os.dup2(full, journal._descriptor)

    world._on_start = fill_the_disk
    full = os.open("/dev/full", os.O_WRONLY)

    async def go() -> None:
        with TaskContext.root(Bus(), plan.title, run_id="r") as ctx:
            await Runner(plan, ctx, journal, world.perform).run()

    with pytest.raises(HostRefused):
        asyncio.run(go())
    os.close(full)
    assert world.happened == ["+a", "+b", "-c", "-b", "-a"]
    assert dead_runs(tmp_path) == []


def test_what_follows_is_settled_before_the_journal_says_that_all_is_done(tmp_path: Path) -> None:
    world, plan = World(), Plan("start", "Start", "/p", "0" * 32, "private", (step("a"), step("b", "a")))
    journal = Journal.create(tmp_path, "r", plan)
    seen: list[tuple[list[str], bool]] = []

    def settle() -> None:
        seen.append((list(world.happened), '"end"' in journal.path.read_text()))

    async def go() -> None:
        with TaskContext.root(Bus(), plan.title, run_id="r") as ctx:
            await Runner(plan, ctx, journal, world.perform, settle=settle).run()

    asyncio.run(go())
    assert seen == [(["+a", "+b"], False)]
    assert '"end"' in journal.path.read_text()
