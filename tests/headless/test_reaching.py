"""Ways into a machine."""

from __future__ import annotations

import os
import pty
import socket
import termios
import threading
from pathlib import Path

import pytest

from lagotui.verbs.console import bridge
from lagotui.verbs.reaching import match_machine, what_to_run, words_of_command
from tests.headless.terminal_user import Lago


@pytest.mark.parametrize(
    ("host", "machine"), [("vm0", "vm0"), ("web-vm1", "web-vm1"), ("vm1", "web-vm1"), ("1", "web-vm1"), ("vm", None), ("", None)]
)
def test_a_machine_is_meant_by_its_name_or_by_the_end_of_it(host: str, machine: str | None) -> None:
    assert match_machine(host, ["vm0", "web-vm1"]) == machine


def test_the_exact_name_goes_before_the_end_of_another() -> None:
    assert match_machine("vm0", ["web-vm0", "vm0"]) == "vm0"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], []),
        (["ls", "-l"], ["ls", "-l"]),
        (["-c", "ls -l"], ["ls -l"]),
        (["--", "ls", "-l"], ["ls", "-l"]),
        (["--", "-c", "ls"], ["ls"]),
        (["ls", "--", "-c"], ["ls", "--", "-c"]),
    ],
)
def test_markers_before_the_command_are_no_part_of_it(words: list[str], command: list[str]) -> None:
    assert words_of_command(words) == command


@pytest.mark.parametrize("verb", ["shell", "console"])
def test_an_unknown_machine_is_exit_2(verb: str, made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = made(verb, "nothere")
    assert (outcome.code, outcome.out) == (2, "")


def test_shell_asks_for_help_where_no_machine_is_called_so(made: Lago) -> None:
    outcome = made("shell", "-h")
    assert outcome.code == 0
    assert "HOST [COMMAND…]" in outcome.out


def test_shell_explains_itself_where_there_is_no_environment(lago: Lago) -> None:
    assert "HOST [COMMAND…]" in lago("shell", "--help").out


def test_shell_without_a_machine_is_a_wrong_command_line(made: Lago) -> None:
    outcome = made("shell")
    assert (outcome.code, outcome.out) == (2, "")
    assert "HOST" in outcome.err


@pytest.mark.parametrize(
    ("words", "script", "command"),
    [
        (["true"], "true", ["bash", "-s"]),
        (["-c", "true"], None, ["true"]),
        (["--", "true"], None, ["true"]),
        (["true", "x"], None, ["true", "x"]),
        (["x" * 5000], None, ["x" * 5000]),
    ],
)
def test_a_single_word_may_be_a_script_but_no_marked_one(words: list[str], script: str | None, command: list[str], lago: Lago) -> None:
    Path("true").touch()
    assert what_to_run(words) == (script, command)


def test_console_needs_a_terminal(made: Lago) -> None:
    outcome = made("console", "vm0")
    assert "console needs a terminal" in outcome.err
    assert outcome.err.endswith("next: what it has printed: lagotui --run logs vm0\n")


class Stream:
    """A console, as hosts give it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def recv(self, size: int) -> bytes:
        return self._end.recv(size)

    def send(self, data: bytes) -> int:
        return self._end.send(data)


def test_the_console_carries_bytes_both_ways_until_it_is_left() -> None:
    machine, ours = socket.socketpair()
    user, terminal = pty.openpty()
    screen, output = os.pipe()
    before = termios.tcgetattr(terminal)
    session = threading.Thread(target=bridge, args=(Stream(ours), terminal, output))
    session.start()
    assert machine.recv(10) == b"\r"  # asks for a prompt
    os.write(user, b"ls\x03")
    assert machine.recv(10) == b"ls\x03"
    machine.sendall(b"file\r\n")
    assert os.read(screen, 10) == b"file\r\n"
    os.write(user, b"\x1d")
    session.join(60)
    assert not session.is_alive()
    assert termios.tcgetattr(terminal) == before
    for each in (user, terminal, screen, output):
        os.close(each)
    machine.close()
    ours.close()


def test_the_console_ends_when_the_machine_closes_it() -> None:
    machine, ours = socket.socketpair()
    user, terminal = pty.openpty()
    screen, output = os.pipe()
    before = termios.tcgetattr(terminal)
    machine.shutdown(socket.SHUT_WR)
    assert bridge(Stream(ours), terminal, output) is False
    assert termios.tcgetattr(terminal) == before
    for each in (user, terminal, screen, output):
        os.close(each)
    machine.close()
    ours.close()
