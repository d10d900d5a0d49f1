"""The logs verb."""

from __future__ import annotations

from pathlib import Path

from engine.tasks.logs import log_follow
from tests.headless.terminal_user import Lago

SERIAL = Path(".lago/default/logs/serial-vm0.log")


def test_logs_shows_what_was_done(made: Lago) -> None:
    made("start", "vm0")
    outcome = made("logs", "-n", "50")
    assert outcome.code == 0
    assert "start task: Starting VM vm0" in outcome.out


def test_logs_shows_as_many_lines_as_asked_for(made: Lago) -> None:
    assert len(made("logs", "-n", "2").out.splitlines()) == 2


def test_logs_of_a_machine_are_its_serial_console_made_harmless(made: Lago) -> None:
    SERIAL.write_bytes(b"one\r\n\x1b]52;c;aGVsbG8=\x07\x1b[31mtwo\x1b[0m\r\nlogin: ")
    assert made("logs", "vm0").out == "one\ntwo\nlogin:\n"


def test_logs_of_a_machine_that_never_started_are_empty(made: Lago) -> None:
    outcome = made("logs", "vm0")
    assert (outcome.code, outcome.out) == (0, "")


def test_logs_of_an_unknown_machine_are_exit_2(made: Lago) -> None:
    outcome = made("logs", "vm9")
    assert (outcome.code, "no machine 'vm9'" in outcome.err) == (2, True)


def test_following_goes_on_with_a_file_that_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_bytes(b"an old line\n")
    coming = log_follow(log)
    log.write_bytes(b"new\npart")
    assert next(coming) == ["new"]
    with log.open("ab") as file:
        file.write(b" of a line\n")
    assert next(coming) == ["part of a line"]
