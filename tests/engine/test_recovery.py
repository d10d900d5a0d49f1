"""What a run that died in the middle leaves, and who puts it right."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import PrefixNotFound
from engine.plan.destroy import plan_destroy
from engine.plan.model import Plan
from engine.plan.running import plan_start, plan_stop
from engine.plan.snapshots import SnapshotRequest, plan_forget, plan_revert, plan_snapshot
from engine.state.locks import prefix_lock
from engine.state.prefix import Prefix
from engine.tasks.journal import Journal
from engine.tasks.preparing import prepare_init
from engine.tasks.runs import journal_folder, pending_runs
from engine.tasks.steps import performer
from tests.engine.bench import Bench


def die_in(bench: Bench, plan: Plan, steps: int) -> None:
    """Do the first steps of a plan as a run does that is killed in the middle of the last one."""
    journal = Journal.create(journal_folder(plan), "dead", plan)
    perform = performer(bench.engine.kit.scope_of(plan))
    with TaskContext.root(bench.engine.bus, "dies", run_id="dead") as ctx:
        for number, step in enumerate(plan.steps[:steps], 1):
            journal.begin(step)
            perform(ctx, step.kind, step.subject, step.args)
            if number < steps:
                journal.done(step)
    journal.close()


def plan_of_init(bench: Bench) -> Plan:
    request = bench.request()
    with TaskContext.root(bench.engine.bus, "plans", run_id="plan") as ctx:
        plan, scope = prepare_init(bench.engine.kit, ctx, request)
        assert scope.store is not None and scope.catalogue is not None
        scope.store.fetch(ctx, scope.catalogue.find("small"))
    return Plan.from_json({**plan.to_json(), "steps": [step.to_json() for step in plan.steps if step.journaled]})


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 8])
def test_an_init_that_died_is_undone_by_the_next_one(bench: Bench, steps: int) -> None:
    plan = plan_of_init(bench)
    die_in(bench, plan, steps)
    prefix = bench.init()
    assert prefix.uuid != plan.uuid
    assert pending_runs(prefix.path) == []
    assert [path.name for path in (bench.folder / "subnets").glob("*.lease")] == ["200.lease"]


def test_a_plan_tells_of_an_init_that_died(bench: Bench) -> None:
    die_in(bench, plan_of_init(bench), 3)
    (note,) = bench.engine.plan(bench.request()).notes
    assert note.startswith("'init' of ")
    assert "undone by the next changing verb" in note


def test_a_plan_of_an_environment_tells_of_a_run_that_died(bench: Bench) -> None:
    prefix = bench.up()
    die_in(bench, plan_stop(bench.engine.state(prefix), ()), 1)
    (note,) = bench.engine.plan(bench.request()).notes
    assert note.startswith("'stop' of ")


def test_a_plan_tells_of_a_run_that_is_at_work(bench: Bench) -> None:
    prefix = bench.init()
    with prefix_lock(prefix.path, "start"):
        (note,) = bench.engine.plan(bench.request()).notes
    assert note.startswith("'start' is at work")


def test_an_init_that_died_can_be_destroyed(bench: Bench) -> None:
    plan = plan_of_init(bench)
    die_in(bench, plan, 3)
    bench.engine.destroy(Prefix.at(Path(plan.prefix))).result(60)
    assert not Path(plan.prefix).parent.exists()
    assert pending_runs(Path(plan.prefix)) == []


def test_a_start_that_died_is_undone_before_the_next_verb(bench: Bench) -> None:
    prefix = bench.init()
    die_in(bench, plan_start(bench.engine.state(prefix)), 2)
    assert len(bench.host.machines) == 1
    bench.engine.stop(prefix).result(60)
    assert (bench.host.machines, bench.host.nets) == ({}, {})


def test_a_stop_that_died_is_finished(bench: Bench) -> None:
    prefix = bench.up()
    die_in(bench, plan_stop(bench.engine.state(prefix)), 1)
    assert len(bench.host.machines) == 1
    assert bench.engine.recover(prefix).result(60) == ["'stop' that had ended in the middle was finished"]
    assert (bench.host.machines, bench.host.nets) == ({}, {})


@pytest.mark.parametrize("steps", [1, 2])
def test_a_snapshot_that_died_is_finished(bench: Bench, steps: int) -> None:
    prefix = bench.up()
    die_in(bench, plan_snapshot(bench.engine.state(prefix), SnapshotRequest("s1")), steps)
    bench.engine.recover(prefix).result(60)
    assert all("s1" in machine.snapshots for machine in prefix.load_env().machines.values())


def test_a_destroy_that_died_is_finished_by_whatever_comes_next(bench: Bench) -> None:
    prefix = bench.up()
    plan = plan_destroy(bench.engine.state(prefix))
    die_in(bench, plan, len(plan.steps) - 1)
    with pytest.raises(PrefixNotFound):
        bench.engine.start(prefix).result(60)
    assert not prefix.path.exists()


def test_looking_repairs_nothing_but_says_what_is_pending(bench: Bench) -> None:
    prefix = bench.init()
    die_in(bench, plan_start(bench.engine.state(prefix)), 2)
    state = bench.engine.state(prefix)
    assert len(bench.host.machines) == 1
    assert len(state.pending) == 1
    assert "'start'" in state.pending[0]
    assert "recover" in state.pending[0]


def test_recovery_of_nothing_does_nothing(bench: Bench) -> None:
    assert bench.engine.recover(bench.init()).result(60) == []


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_checkpoint_that_died_is_undone(bench: Bench, steps: int) -> None:
    prefix = bench.up()
    before = prefix.load_env()
    die_in(bench, plan_snapshot(bench.engine.state(prefix), SnapshotRequest("s1", memory=True)), steps)
    bench.engine.recover(prefix).result(60)
    assert (prefix.load_env() == before) is (steps < 7)  # after its last journaled step there is nothing to undo
    assert bench.host.paused == set()
    assert (list((prefix.path / "memory").rglob("*.mem")) == []) is (steps < 7)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("steps", range(1, 8))
def test_a_revert_that_died_is_undone(bench: Bench, steps: int, memory: bool) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "s1", memory=memory).result(60)
    before, images = prefix.load_env(), sorted(prefix.images.iterdir())
    die_in(bench, plan_revert(bench.engine.state(prefix), "s1"), steps)
    bench.engine.recover(prefix).result(60)
    assert prefix.load_env() == before
    assert sorted(prefix.images.iterdir()) == images
    assert bench.engine.state(prefix).up_count == 2


def test_a_removal_that_died_is_finished(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.snapshot(prefix, "s1").result(60)
    die_in(bench, plan_forget(bench.engine.state(prefix), "s1"), 1)
    bench.engine.recover(prefix).result(60)
    assert all("s1" not in machine.snapshots for machine in prefix.load_env().machines.values())
