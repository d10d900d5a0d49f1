"""The journal: what a dead run leaves to be read."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from engine.errors import DiskFull
from engine.plan.model import Inverse, Plan, Recovery, Step, StepKind
from engine.tasks.journal import Journal, dead_runs, ended_on, prune

STEPS = (
    Step("a", StepKind.START_NET, "n", "Create network n", inverse=Inverse(StepKind.STOP_NET)),
    Step("b", StepKind.START_MACHINE, "m", "Starting VM m", after=("a",), args={"x": [1, None]}),
)
PLAN = Plan("start", "Start Prefix", "/p", "0" * 32, "private", STEPS, Recovery.UNDO)


def test_an_ended_run_leaves_nothing_pending(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    journal.begin(STEPS[0])
    journal.done(STEPS[0])
    journal.end("ok")
    assert dead_runs(tmp_path) == []


def test_a_dead_run_tells_what_began_and_what_was_done(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    journal.begin(STEPS[0])
    journal.done(STEPS[0])
    journal.begin(STEPS[1])
    journal.close()
    (run,) = dead_runs(tmp_path)
    assert (run.plan, run.begun, run.done) == (PLAN, ("a", "b"), frozenset({"a"}))


def test_a_run_that_died_after_its_last_step_has_nothing_left_to_do(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    for step in STEPS:
        journal.begin(step)
        journal.done(step)
    journal.close()
    assert dead_runs(tmp_path) == []


def test_a_run_that_died_while_it_was_taken_back_is_taken_back_to_the_end(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    for step in STEPS:
        journal.begin(step)
        journal.done(step)
    journal.undone(STEPS[1])
    journal.close()
    assert dead_runs(tmp_path)[0].begun == ("a",)


def test_what_was_undone_already_is_not_undone_again(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    for step in STEPS:
        journal.begin(step)
    journal.undone(STEPS[1])
    journal.close()
    assert dead_runs(tmp_path)[0].begun == ("a",)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_line_cut_short_is_as_if_never_written(tmp_path: Path, cut: int) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    journal.begin(STEPS[0])
    journal.done(STEPS[0])
    journal.close()
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    (run,) = dead_runs(tmp_path)
    assert run.begun == ("a",)
    assert run.done == (frozenset({"a"}) if cut == 1 else frozenset())


def test_a_reopened_journal_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    journal.begin(STEPS[0])
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"done":')
    again = Journal.reopen(journal.path)
    again.undone(STEPS[0])
    again.close()
    assert dead_runs(tmp_path)[0].begun == ()


def test_a_run_that_died_before_its_first_line_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "r1.jsonl").write_text("")
    assert dead_runs(tmp_path) == []


def test_pruning_keeps_the_newest_and_every_unfinished_run(tmp_path: Path) -> None:
    Journal.create(tmp_path, "dead", PLAN).close()
    for number in range(4):
        Journal.create(tmp_path, f"r{number}", PLAN).end("ok")
    prune(tmp_path, kept=2)
    assert len(list(tmp_path.iterdir())) == 3
    assert [run.run_id for run in dead_runs(tmp_path)] == ["dead"]


def test_a_full_disk_is_named_and_a_journal_that_has_ended_is_not_left_open(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.touch()
    journal = Journal(path, os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(DiskFull, match=r"run\.jsonl"):
        journal.begin(PLAN.steps[0])
    journal.end("failed")
    assert not path.exists()


def test_a_line_cut_short_by_a_full_disk_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.begin(PLAN.steps[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.begin(PLAN.steps[1])
    journal.close()
    (dead,) = dead_runs(tmp_path)
    assert dead.begun == (PLAN.steps[1].id,)


def test_a_journal_that_cannot_be_begun_leaves_no_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Journal.create(tmp_path, "r1", PLAN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_is_not_kept_is_nowhere(tmp_path: Path) -> None:
    journal = Journal.unkept(tmp_path / "run.jsonl")
    journal.begin(PLAN.steps[0])
    journal.end("ok")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("done", [True, False])
def test_only_a_run_that_ended_says_where_it_was(tmp_path: Path, done: bool) -> None:
    journal = Journal.create(tmp_path, "r1", PLAN)
    journal.begin(PLAN.steps[0])
    if done:
        journal.end("ok")
    assert ended_on(journal.path) == (Path(PLAN.prefix) if done else None)


def test_what_is_no_journal_ended_nowhere(tmp_path: Path) -> None:
    assert ended_on(tmp_path / "gone") is None
    (tmp_path / "torn").write_text('{"run": {"id"')
    assert ended_on(tmp_path / "torn") is None
