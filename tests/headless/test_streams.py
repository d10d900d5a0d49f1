"""Standard streams that are closed, full or read no further: real processes, since only they have real streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lagotui.streams import tell

REPO = Path(__file__).resolve().parents[2]

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a line of sh in an empty folder, where `lago` is the headless program."""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPO), "LAGO_LIBVIRT_URL": "private"}
        lago = f"lago() {{ '{sys.executable}' -m lagotui --run \"$@\"; }}; "
        return subprocess.run(["sh", "-c", lago + line], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)

    return run


@pytest.mark.parametrize("line", ["lago template list >&-", "lago template list >&- 2>&- <&-", "lago template list 2>/dev/full"])
def test_streams_that_take_nothing_do_no_harm(line: str, shell: Shell) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", ["lago nonsense 2>&-", "lago list --nonsense 2>/dev/full"])
def test_an_error_that_nobody_can_hear_keeps_its_exit_code(line: str, shell: Shell) -> None:
    assert shell(line).returncode == 2


@pytest.mark.parametrize("words", ["template list", "schema", "--help", "list --help", "--version"])
def test_a_result_that_cannot_be_written_is_an_error(words: str, shell: Shell) -> None:
    done = shell(f"lago {words} >/dev/full")
    assert (done.returncode, done.stderr) == (2, "error: the result cannot be written: No space left on device\n")


@pytest.mark.parametrize("words", ["template list", "--help"])
def test_a_result_that_nobody_reads_is_no_error_to_tell(words: str, shell: Shell) -> None:
    done = shell(f"{{ lago {words}; echo $? >code; }} | head -c 0; cat code")
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_what_was_opened_gets_no_number_of_a_closed_stream(shell: Shell, tmp_path: Path) -> None:
    shell("lago -w nowhere destroy -y >&- 2>&-")
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [content for content in written if b"error:" in content]


def test_a_listener_that_goes_does_not_stop_who_tells() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        os.close(reader)
        tell(stream, "first\n")
        tell(stream, "second\n")
