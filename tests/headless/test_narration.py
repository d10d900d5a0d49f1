"""What is told on stderr, and how a run is ended from outside."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.context import TaskContext
from engine.tasks.scope import RunScope
from lagotui.verbs.narration import JsonNarrator, LineNarrator, TerminalNarrator, narrator
from tests.headless.terminal_user import INIT_FILE, Lago


def test_the_task_tree_is_told_in_plain_lines(made: Lago) -> None:
    lines = made("start").err.splitlines()
    assert lines[0] == "@ Start Prefix: "
    assert lines[-1].startswith("@ Start Prefix: Success (in 0:00:0")
    assert "    * Starting VM vm0: " in lines
    assert not any("\x1b" in line for line in lines)


def test_logdepth_limits_the_tree(made: Lago) -> None:
    assert [line[0] for line in made("--logdepth", "1", "start").err.splitlines()] == ["@", "@"]


def test_loglevel_error_tells_nothing_of_what_goes_well(made: Lago) -> None:
    assert made("-l", "error", "start").err == ""


def test_a_failure_tells_task_cause_and_next_step(made: Lago) -> None:
    made.host.refuse = frozenset({"vm0"})
    outcome = made("start")
    assert outcome.code == 2
    assert "@ Start Prefix: ERROR (in 0:00:0" in outcome.err
    assert outcome.err.endswith("error: machine 'vm0' was refused by the host\n  next: try another host\n")


def test_events_as_json_are_one_object_a_line(made: Lago) -> None:
    records = [json.loads(line) for line in made("start", events_json=True).err.splitlines()]
    assert records[0]["event"] == "TaskStarted"
    assert records[0]["name"] == "Start Prefix"
    assert {"event", "at_s", "task_id", "outcome", "duration_s", "error"} == set(
        next(record for record in records if record["event"] == "TaskFinished")
    )


@pytest.mark.parametrize(
    "words", [("--events", "json", "revert"), ("--events=json", "--nonsense"), ("--events", "json", "-f", "xml", "list")]
)
def test_events_as_json_hold_what_is_wrong_with_the_command_line(words: tuple[str, ...], lago: Lago) -> None:
    (record,) = [json.loads(line) for line in lago(*words).err.splitlines()]
    assert (record["event"], record["exit_code"]) == ("Error", 2)
    assert record["hint"].startswith("usage: lagotui --run")


def test_events_as_json_hold_the_error_too(lago: Lago) -> None:
    (record,) = [json.loads(line) for line in lago("--events", "json", "status").err.splitlines()]
    assert (record["event"], record["exit_code"]) == ("Error", 2)
    assert record["hint"] == "make one with: lagotui --run init"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cancels_the_wait_and_leaves_the_machines(signum: signal.Signals, code: int, lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    assert lago("init").code == 0
    lago.wait_ready = lambda ctx, scope, machine: _signal_and_wait(ctx, signum)
    outcome = lago("up")
    assert outcome.code == code
    assert outcome.err.endswith("error: cancelled; what had been done before stays\n")
    assert {name for _, name in lago.host.machines} == {"vm0", "web-vm1"}


def test_a_signal_rolls_back_what_is_half_done(made: Lago) -> None:
    made.host.start_s = 60.0
    made.host.watchers.append(lambda change: os.kill(os.getpid(), signal.SIGINT) if change.net_up else None)
    outcome = made("start")
    assert outcome.code == 130
    assert outcome.err.endswith("error: cancelled; unfinished work was rolled back\n")
    assert not made.host.nets


def _signal_and_wait(ctx: TaskContext, signum: signal.Signals) -> None:
    os.kill(os.getpid(), signum)
    ctx.sleep(60)


def test_a_second_signal_is_told_that_the_roll_back_goes_on(made: Lago) -> None:
    heard = threading.Event()

    def wait_ready(ctx: TaskContext, scope: RunScope, machine: str) -> None:
        if heard.is_set():
            return
        heard.set()
        os.kill(os.getpid(), signal.SIGINT)
        while not ctx.token.wait(0.01):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        while "still coming to an end" not in stderr.getvalue():  # a step that cannot be interrupted at once
            threading.Event().wait(0.01)
        ctx.raise_if_cancelled()

    made.wait_ready = wait_ready
    stderr: Any = sys.stderr
    outcome = made("up")
    assert outcome.code == 130
    assert "Ctrl-C: still coming to an end" in outcome.err


def test_the_handlers_of_signals_are_put_back(made: Lago) -> None:
    before = signal.getsignal(signal.SIGTERM)
    made("start")
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_narrator_fits_the_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "log").open("w") as file:
        assert type(narrator(file, as_json=False)) is LineNarrator
        assert type(narrator(file, as_json=True)) is JsonNarrator
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb"), os.fdopen(terminal, "w") as stream:
        assert type(narrator(stream, as_json=False)) is TerminalNarrator
        monkeypatch.setenv("TERM", "dumb")
        assert type(narrator(stream, as_json=False)) is LineNarrator


def test_a_terminal_shows_running_tasks_and_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.events import Outcome, TaskFinished, TaskStarted

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as stream:
        voice = narrator(stream, as_json=False)
        voice.tell([TaskStarted(task_id="1", parent_id=None, name="Boot", run_id="r")])
        drawn = _read_until(screen, "0:00:00\r\n")
        voice.tell([TaskFinished(task_id="1", outcome=Outcome.OK, duration_s=0)])
        redrawn = _read_until(screen, "(in 0:00:00)\r\n")
        voice.close()
    assert drawn == "@ Boot: \r\n… Boot  0:00:00\r\n"
    assert redrawn == "\r\x1b[1A\x1b[J@ Boot: Success (in 0:00:00)\r\n"


def _read_until(screen: io.RawIOBase, end: str) -> str:
    text = ""
    while not text.endswith(end):
        text += (screen.read(4096) or b"").decode()
    return text
