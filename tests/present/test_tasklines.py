"""Events → console lines."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest

from engine.events import Dropped, Event, Outcome, TaskFinished, TaskLog, TaskProgress, TaskStarted
from lagotui.present.tasklines import TaskLines, clock, indicator, running_lines


def begin(task_id: str, name: str, parent: str | None = None, at_s: float = 0.0) -> TaskStarted:
    return TaskStarted(task_id=task_id, parent_id=parent, name=name, run_id="r", at_s=at_s)


def end(task_id: str, outcome: Outcome = Outcome.OK, duration_s: float = 1.0, error: str = "") -> TaskFinished:
    return TaskFinished(task_id=task_id, outcome=outcome, duration_s=duration_s, error=error)


def log(task_id: str, message: str, level: int = logging.INFO) -> TaskLog:
    return TaskLog(task_id=task_id, level=level, logger="engine", message=message)


def told(events: Iterable[Event], **limits: Any) -> list[str]:
    lines = TaskLines(**limits)
    return [line for event in events for line in lines.lines(event)]


def test_tasks_are_told_as_the_predecessor_tells_them() -> None:
    events = [
        begin("1", "Initialize and populate prefix"),
        begin("2", "Initialize prefix", "1"),
        begin("3", "Create ssh keys", "2"),
        end("3", duration_s=1.4),
        end("2", duration_s=61),
        end("1", duration_s=3601),
    ]
    assert told(events) == [
        "@ Initialize and populate prefix: ",
        "  # Initialize prefix: ",
        "    * Create ssh keys: ",
        "    * Create ssh keys: Success (in 0:00:01)",
        "  # Initialize prefix: Success (in 0:01:01)",
        "@ Initialize and populate prefix: Success (in 1:00:01)",
    ]


DEEP = [begin("1", "a"), begin("2", "b", "1"), begin("3", "c", "2"), begin("4", "d", "3"), log("4", "hidden")]


def test_headers_below_the_depth_are_not_shown() -> None:
    assert told([*DEEP, end("4")], depth=3)[-1] == "    * c: "


def test_depth_minus_one_shows_all() -> None:
    assert told([*DEEP, end("4")], depth=-1)[-1] == "      - d: Success (in 0:00:01)"


def test_log_lines_of_a_task_that_went_well_are_not_shown() -> None:
    assert told([begin("1", "a"), log("1", "hidden"), end("1")]) == ["@ a: ", "@ a: Success (in 0:00:01)"]


def test_a_failure_shows_what_was_hidden() -> None:
    events = [*DEEP, end("4", Outcome.FAILED, error="no room"), end("3", Outcome.FAILED, error="no room")]
    assert told(events, depth=1) == [
        "@ a: ",
        "  # b: ",
        "    * c: ",
        "      - d: ",
        "        ~ hidden",
        "        ~ no room",
        "      - d: ERROR (in 0:00:01)",
        "    * c: ERROR (in 0:00:01)",
    ]


def test_an_error_line_is_shown_at_once_with_the_headers_above() -> None:
    events = [*DEEP, log("4", "it broke", logging.ERROR), log("4", "again", logging.ERROR)]
    assert told(events, depth=1)[1:] == ["  # b: ", "    * c: ", "      - d: ", "        ~ hidden", "        ~ it broke", "        ~ again"]


def test_lines_below_the_level_are_never_shown() -> None:
    events = [begin("1", "a"), log("1", "detail", logging.DEBUG), log("1", "known"), end("1", Outcome.FAILED, error="no")]
    assert told(events) == ["@ a: ", "  # known", "  # no", "@ a: ERROR (in 0:00:01)"]
    assert "  # detail" in told(events, level=logging.DEBUG)


def test_level_error_is_silent_until_something_fails() -> None:
    well = [begin("1", "a"), begin("2", "b", "1"), end("2")]
    assert told(well, level=logging.ERROR) == []
    failing = [*well, begin("3", "c", "1"), end("3", Outcome.FAILED, error="no")]
    assert told(failing, level=logging.ERROR) == ["@ a: ", "  # c: ", "    * no", "  # c: ERROR (in 0:00:01)"]


def test_a_cancelled_task_is_no_error() -> None:
    assert told([begin("1", "a"), log("1", "x"), end("1", Outcome.CANCELLED, error="cancelled")])[1:] == ["@ a: CANCELLED (in 0:00:01)"]


def test_every_line_of_a_long_message_is_indented() -> None:
    assert told([begin("1", "a"), log("1", "one\ntwo", logging.ERROR)])[1:] == ["  # one", "  # two"]


def test_dropped_lines_are_told() -> None:
    assert told([Dropped(count=7)]) == ["(7 log lines were too fast to be kept)"]


def test_colour_is_only_there_on_request() -> None:
    events = [begin("1", "a"), end("1")]
    assert not any("\x1b" in line for line in told(events))
    assert all("\x1b[" in line for line in told(events, colour=True))


@pytest.mark.parametrize(("depth", "sign"), [(1, "@"), (2, "#"), (3, "*"), (4, "-"), (5, "~"), (6, "@")])
def test_indicators_cycle(depth: int, sign: str) -> None:
    assert indicator(depth) == sign


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00:00"), (59.9, "0:00:59"), (3661, "1:01:01"), (36000, "10:00:00")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_running_lines_name_the_innermost_tasks_with_their_progress() -> None:
    lines = TaskLines()
    progress = TaskProgress(task_id="2", done=2**20, total=2**22, unit="B", note="tiny\r\n")
    for event in [begin("1", "a"), begin("2", "Copy", "1"), begin("3", "Wait", "1", at_s=5), progress]:
        list(lines.lines(event))
    assert running_lines(lines.tree, now_s=10, width=80, limit=5) == [
        "… Copy  0:00:10  1.0 MiB of 4.0 MiB (25%)  tiny",
        "… Wait  0:00:05",
    ]


def test_seconds_are_told_by_the_clock_alone() -> None:
    lines = TaskLines()
    for event in [begin("1", "Wait"), TaskProgress(task_id="1", done=7, total=600, unit="s", note="no lease yet")]:
        list(lines.lines(event))
    assert running_lines(lines.tree, now_s=7, width=80, limit=5) == ["… Wait  0:00:07  no lease yet"]


def test_running_lines_keep_to_their_limit_and_width() -> None:
    lines = TaskLines()
    for event in [begin("1", "a"), *(begin(f"1{n}", f"task {n}", "1") for n in range(9))]:
        list(lines.lines(event))
    shown = running_lines(lines.tree, now_s=0, width=8, limit=3)
    assert shown == ["… task 0", "… task 1", "… and 7 "]


@pytest.mark.parametrize("limits", [{}, {"level": logging.ERROR}, {"depth": 1}])
def test_what_must_be_seen_is_told_at_once_below_its_task(limits: dict[str, int]) -> None:
    spoken = TaskLog(task_id="2", level=logging.INFO, logger="engine", message="host: private", aloud=True)
    lines = told([begin("1", "Init"), begin("2", "Choose", "1"), log("2", "hidden"), spoken], **limits)
    assert lines == ["@ Init: ", "  # Choose: ", "    * host: private"]
