"""External commands: output, failure, time limit, cancel."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import Cancelled, CommandFailed, DiskFull
from engine.process import run


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


def test_output_and_input_pass_through(ctx: TaskContext) -> None:
    assert run(ctx, ["cat"], stdin=b"hello", timeout_s=60).text == "hello"


def test_a_failure_names_the_command_and_its_last_words(ctx: TaskContext) -> None:
    with pytest.raises(CommandFailed, match=r"'ls' failed with exit code 2: .*no-such-file"):
        run(ctx, ["ls", "/no-such-file"], timeout_s=60)


def test_a_missing_program_says_what_to_install(ctx: TaskContext) -> None:
    with pytest.raises(CommandFailed, match="install 'no-such-program'"):
        run(ctx, ["no-such-program"], timeout_s=60)


def test_a_full_disk_is_told_apart(ctx: TaskContext) -> None:
    program = "import sys; sys.stderr.write('x.qcow2: No space left on device'); sys.exit(1)"
    with pytest.raises(DiskFull):
        run(ctx, [sys.executable, "-c", program], timeout_s=60)


def test_no_shell_reads_the_arguments(ctx: TaskContext) -> None:
    assert run(ctx, ["echo", "$HOME `id`"], timeout_s=60).text == "$HOME `id`\n"


def test_a_command_that_takes_too_long_is_ended(ctx: TaskContext) -> None:
    with pytest.raises(CommandFailed, match="no end after"):
        run(ctx, ["sleep", "60"], timeout_s=0.1)


def test_a_cancel_ends_the_command_soon(ctx: TaskContext) -> None:
    threading.Timer(0.1, ctx.token.cancel).start()
    began_s = time.monotonic()
    with pytest.raises(Cancelled):
        run(ctx, ["sleep", "300"], timeout_s=300)
    assert time.monotonic() - began_s < 60


def test_what_is_read_may_come_piece_by_piece(ctx: TaskContext) -> None:
    assert run(ctx, ["cat"], stdin=iter([b"a" * 100_000, b"b"]), timeout_s=60).stdout == b"a" * 100_000 + b"b"


def test_what_the_pieces_raise_is_raised(ctx: TaskContext) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise DiskFull("no room")

    with pytest.raises(DiskFull, match="no room"):
        run(ctx, ["cat"], stdin=pieces(), timeout_s=60)


def test_a_command_that_does_not_read_to_the_end_is_judged_by_its_exit_code(ctx: TaskContext) -> None:
    assert run(ctx, ["true"], stdin=iter([b"a" * 1_000_000]), timeout_s=60).returncode == 0


def test_output_is_heard_as_it_comes(ctx: TaskContext) -> None:
    heard: list[bytes] = []
    assert run(ctx, ["printf", "one\ntwo"], heard=heard.append, timeout_s=60).stdout == b""
    assert b"".join(heard) == b"one\ntwo"


def test_output_goes_to_a_descriptor(ctx: TaskContext, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        run(ctx, ["cat"], stdin=iter([b"hello"]), stdout=out.fileno(), timeout_s=60)
    assert (tmp_path / "out").read_bytes() == b"hello"


def test_a_command_dies_with_the_process_that_runs_it(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    os.mkfifo(said)
    program = (
        "import sys; from engine.bus import Bus; from engine.context import TaskContext; from engine.process import run\n"
        "with TaskContext.root(Bus(), 'test', run_id='r') as ctx:\n"
        "    run(ctx, ['sh', '-c', 'echo $$ > \"$0\"; exec sleep 600', sys.argv[1]], timeout_s=600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, said])
    pid = int(said.read_text())
    handle = os.pidfd_open(pid)
    process.kill()
    process.wait(60)
    ended, _, _ = select.select([handle], [], [], 60)
    os.close(handle)
    assert ended
