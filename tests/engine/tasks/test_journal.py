"""The journal: what a dead run leaves to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan.model import Inverse, Plan, Recovery, Step, StepKind
from engine.tasks.journal import Journal, dead_runs, prune

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
