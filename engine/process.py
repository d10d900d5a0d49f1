"""External commands: an argument list, never a shell; cancellable, with a time limit, and with their output in the task log."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .context import TaskContext
from .errors import Cancelled, CommandFailed, DiskFull, EngineError

POLL_S = 0.02
"""How often a running command is looked at; also the time a cancel takes to reach it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its stdout as text."""
        return self.stdout.decode(errors="replace")


def run(
    ctx: TaskContext,
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout_s: float,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a command to its end.

    Args:
        ctx: the task it belongs to; a cancel ends the command and everything it started.
        argv: program and arguments; no shell reads them.
        timeout_s: seconds until it is ended.
        stdin: what it reads.
        cwd: where it runs.
        env: variables added to our environment.
        check: raise when it exits non-zero.

    Raises:
        CommandFailed: it exited non-zero, took too long, or is not installed.
        DiskFull: it failed because the disk is full.
        Cancelled: the user asked to stop.
    """
    words = [os.fspath(word) for word in argv]
    ctx.log(f"$ {' '.join(words)}", logging.DEBUG)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as missing:  # the latter also for a folder of PATH that is closed to us
        raise CommandFailed(words, 127, f"{missing.filename} is not there", hint=f"install '{words[0]}'; ./setup.sh does") from missing
    stdout, stderr = _communicate(ctx, process, stdin, words, timeout_s)
    completed = Completed(tuple(words), process.returncode, stdout, stderr)
    for line in stderr.decode(errors="replace").splitlines():
        ctx.log(line, logging.DEBUG)
    if check and process.returncode != 0:
        raise failure_of(completed)
    return completed


def failure_of(completed: Completed) -> EngineError:
    """Return the error that a failed command stands for."""
    stderr = completed.stderr.decode(errors="replace")
    if "No space left on device" in stderr:
        return DiskFull(f"'{completed.argv[0]}' found the disk full: {stderr.strip().splitlines()[-1]}")
    return CommandFailed(list(completed.argv), completed.returncode, stderr)


def _communicate(
    ctx: TaskContext, process: subprocess.Popen[bytes], stdin: bytes, words: list[str], timeout_s: float
) -> tuple[bytes, bytes]:
    result: list[tuple[bytes, bytes]] = []
    reader = threading.Thread(target=lambda: result.append(process.communicate(stdin)), daemon=True)
    reader.start()
    deadline_s = time.monotonic() + timeout_s
    while True:
        reader.join(POLL_S)
        if not reader.is_alive():
            return result[0]
        if ctx.cancelled:
            _end(process, reader)
            raise Cancelled(f"'{words[0]}' was ended: cancelled")
        if time.monotonic() > deadline_s:
            _end(process, reader)
            raise CommandFailed(words, -signal.SIGKILL, f"no end after {timeout_s:g} s")


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        reader.join(2.0)
        if not reader.is_alive():
            return
