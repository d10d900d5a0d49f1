"""Questions at the terminal."""

from __future__ import annotations

import getpass
import os
import pty
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lagotui.verbs.asking import Asker, asker

LIMIT_S = 60


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A terminal on which somebody types `secret` at every question; the questions that were asked."""
    asked: list[str] = []

    def answer(prompt: str, stream: object = None) -> str:
        asked.append(prompt)
        return "secret"

    monkeypatch.setattr(getpass, "getpass", answer)
    yield asked


def test_the_same_is_asked_once(typed: list[str]) -> None:
    ask = Asker()
    assert [ask("one: "), ask("one: "), ask("two: ")] == ["secret", "secret", "secret"]
    assert typed == ["one: ", "two: "]


def test_whoever_tells_of_a_run_lets_go_of_the_terminal_before_the_question(typed: list[str]) -> None:
    ask, told = Asker(clear_s=LIMIT_S), []
    assert not ask.has_terminal(lambda: told.append("let go"))
    asking = threading.Thread(target=ask, args=("one: ",))
    asking.start()
    deadline_s = time.monotonic() + LIMIT_S
    while not told and asking.is_alive() and time.monotonic() < deadline_s:
        ask.has_terminal(lambda: told.append(f"let go after {len(typed)} questions"))
    asking.join(LIMIT_S)
    assert told == ["let go after 0 questions"] and typed == ["one: "]


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr", terminal)
        assert asker() is not None
        with Path(os.devnull).open() as nothing:
            monkeypatch.setattr("sys.stdin", nothing)
            assert asker() is None
