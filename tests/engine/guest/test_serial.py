from __future__ import annotations

from pathlib import Path

import pytest

from engine.guest.serial import printable_lines, serial_tail
from engine.spec import EnvRef


@pytest.fixture
def env(tmp_path: Path) -> EnvRef:
    return EnvRef(str(tmp_path), "763e40cc" * 4)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\x1b[31mred\x1b[0m text", ["red text"]),
        (b"\x1b]0;a new title\x07login:", ["login:"]),
        (b"\x1b]52;c;aGVsbG8=\x1b\\login:", ["login:"]),
        (b"\x1bP1$r0m\x1b\\after", ["after"]),
        (b"\x1b(B\x1bcclear", ["clear"]),
        (b"\x9b2Jc1\xc2\x9b2J", ["\ufffd2Jc1"]),
        (b" 10%\r 50%\r100%\n", ["100%"]),
        (b"\x00bell\x07 back\x08space", ["bell backspace"]),
        ("a\u202eb\u2066c".encode(), ["abc"]),
        (b"cut \xe2\x82", ["cut \ufffd"]),
        (b"a\tb", ["a    b"]),
        (b"\x1b[", []),
        (b"", []),
    ],
)
def test_hostile_output_becomes_plain_lines(data: bytes, lines: list[str]) -> None:
    assert printable_lines(data) == lines


def write_log(env: EnvRef, data: bytes) -> Path:
    log = env.serial_log("vm0")
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(data)
    return log


def test_tail_is_the_last_lines(env: EnvRef) -> None:
    write_log(env, b"\n".join(b"line %d" % number for number in range(10)))
    assert serial_tail(env.serial_log("vm0"), 2) == ["line 8", "line 9"]


def test_tail_of_a_huge_log_reads_only_its_end(env: EnvRef) -> None:
    write_log(env, b"x" * 5_000_000 + b"\nthe end\n")
    assert serial_tail(env.serial_log("vm0"), 1) == ["the end"]


def test_machine_that_never_started_has_no_tail(env: EnvRef) -> None:
    assert serial_tail(env.serial_log("vm0"), 5) == []


def test_no_lines_are_none(env: EnvRef) -> None:
    write_log(env, b"one\ntwo\n")
    assert serial_tail(env.serial_log("vm0"), 0) == []
