"""A prefix copied (`cp -a`) while the original lives: what runs and what is leased is the original's, whatever is asked of the copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.api import Engine
from engine.errors import WorkdirError
from engine.plan.running import plan_stop
from engine.spec import MachineStatus
from engine.state import known
from engine.state.prefix import Prefix
from engine.tasks.journal import Journal
from engine.tasks.runs import journal_folder, pending_runs
from tests.engine.bench import HELLO, Bench


def copy_of(bench: Bench, prefix: Prefix) -> Prefix:
    shutil.copytree(bench.folder / "work", bench.folder / "copy", symlinks=True)
    return Prefix.at(bench.folder / "copy" / prefix.name)


def states(bench: Bench, prefix: Prefix) -> set[MachineStatus]:
    return {machine.status for machine in bench.engine.state(prefix).machines.values()}


VERBS: dict[str, Callable[[Engine, Prefix], object]] = {
    "status": lambda engine, env: engine.state(env),
    "start": lambda engine, env: engine.start(env).result(60),
    "stop": lambda engine, env: engine.stop(env).result(60),
    "shutdown": lambda engine, env: engine.shutdown(env).result(60),
    "snapshot": lambda engine, env: engine.snapshot(env, "s1").result(60),
    "recover": lambda engine, env: engine.recover(env).result(60),
    "cleanup": lambda engine, env: engine.cleanup(env).result(60),
    "console": lambda engine, env: engine.console(env, "vm0"),
    "stats": lambda engine, env: engine.stats(env),
    "watch": lambda engine, env: engine.watch(env),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_copy_is_refused_and_named(bench: Bench, verb: str) -> None:
    original = bench.up()
    copy = copy_of(bench, original)
    with pytest.raises(WorkdirError, match=f"'{copy.path}' is a copy of '{original.path}'"):
        VERBS[verb](bench.engine, copy)
    assert states(bench, original) == {MachineStatus.RUNNING}


def test_an_up_on_a_copy_is_refused(bench: Bench) -> None:
    copy_of(bench, bench.up())
    request = bench.request()
    with pytest.raises(WorkdirError, match="is a copy of"):
        bench.engine.up(type(request)(bench.folder / "copy", "default", request.init_file, HELLO)).result(60)


def test_destroying_a_copy_leaves_the_original_as_it_runs(bench: Bench) -> None:
    original = bench.up()
    copy = copy_of(bench, original)
    lease = (bench.folder / "subnets/200.lease").read_bytes()
    assert not any("running" in loss for loss in bench.engine.losses(copy))
    bench.engine.destroy(copy).result(60)
    assert not copy.path.exists()
    assert states(bench, original) == {MachineStatus.RUNNING}
    assert bench.engine.state(original).nets["n0"].up
    assert (bench.folder / "subnets/200.lease").read_bytes() == lease
    assert [env.path for env in known.known_environments()] == [original.path]


def test_the_original_goes_on_beside_its_copy(bench: Bench) -> None:
    original = bench.init()
    copy_of(bench, original)
    bench.engine.start(original).result(60)
    bench.engine.destroy(original).result(60)
    assert bench.host.machines == {}


def test_a_copy_is_known_by_the_lease_where_the_list_was_lost(bench: Bench) -> None:
    original = bench.up()
    known.forget(original.uuid)
    with pytest.raises(WorkdirError, match="is a copy of"):
        bench.engine.stop(copy_of(bench, original)).result(60)


def test_a_copy_whose_original_is_gone_is_an_environment(bench: Bench) -> None:
    original = bench.init()
    copy = copy_of(bench, original)
    bench.engine.destroy(original).result(60)
    bench.engine.start(copy).result(60)
    assert states(bench, copy) == {MachineStatus.RUNNING}


def test_another_name_for_the_same_folder_is_no_copy(bench: Bench) -> None:
    prefix = bench.init()
    (bench.folder / "other").symlink_to(bench.folder / "work")
    bench.engine.start(Prefix.at(bench.folder / "other" / prefix.name)).result(60)
    assert states(bench, prefix) == {MachineStatus.RUNNING}


def died(bench: Bench, prefix: Prefix) -> None:
    plan = plan_stop(bench.engine.state(prefix), ())
    journal = Journal.create(journal_folder(plan), "dead", plan)
    journal.begin(plan.steps[0])
    journal.close()


def test_a_run_of_the_original_that_died_is_not_the_copys(bench: Bench) -> None:
    original = bench.up()
    died(bench, original)
    copy = copy_of(bench, original)
    assert pending_runs(copy.path) == []
    assert len(pending_runs(original.path)) == 1


def test_a_run_that_died_before_its_prefix_moved_goes_on_at_the_new_place(bench: Bench) -> None:
    prefix = bench.up()
    died(bench, prefix)
    moved = Prefix.at((bench.folder / "work").rename(bench.folder / "moved") / prefix.name)
    assert bench.engine.recover(moved).result(60) == ["'stop' that had ended in the middle was finished"]
    assert states(bench, moved) == {MachineStatus.DOWN}
    assert not Path(prefix.path).exists()
