"""External commands: an argument list, never a shell; cancellable, with a time limit, and with their output in the task log.

They die with us: a killed process must leave no command that still writes to an image when the next verb takes it up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .context import TaskContext
from .errors import Cancelled, CommandFailed, DiskFull, EngineError

POLL_S = 0.02
"""How often a running command is looked at; also the time a cancel takes to reach it."""

_PIECE_BYTES = 64 * 1024


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
    stdin: bytes | Iterable[bytes] = b"",
    stdout: int | None = None,
    heard: Callable[[bytes], object] | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a command to its end.

    Args:
        ctx: the task it belongs to; a cancel ends the command and everything it started.
        argv: program and arguments; no shell reads them.
        timeout_s: seconds until it is ended.
        stdin: what it reads; what cannot be had whole is given piece by piece, on a thread of its own, and what that raises is raised here.
        stdout: descriptor that it writes to instead.
        heard: is given what it writes as it comes, on a thread of its own; nothing of it is kept.
        cwd: where it runs.
        env: variables added to our environment.
        check: raise when it exits non-zero.

    Raises:
        CommandFailed: it exited non-zero, took too long, or is not installed.
        DiskFull: it failed because the disk is full.
        Cancelled: the user asked to stop.
    """
    words = [os.fspath(word) for word in argv]
    environ = {**os.environ, "LC_ALL": "C", **(env or {})}
    ctx.log(f"$ {' '.join(words)}", logging.DEBUG)
    try:
        process = subprocess.Popen(
            _mortal(words, environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environ,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as missing:  # the latter also for a folder of PATH that is closed to us
        raise CommandFailed(words, 127, f"{missing.filename} is not there", hint=f"install '{words[0]}'; ./setup.sh does") from missing
    said, stderr = _communicate(ctx, process, lambda: _talk(process, stdin, heard), words, timeout_s)
    completed = Completed(tuple(words), process.returncode, said, stderr)
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


def _mortal(words: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command line that ends with the thread that runs it, where there is a program for that and one to run."""
    path = environ.get("PATH")
    setpriv = shutil.which("setpriv", path=path)
    return [setpriv, "--pdeathsig", "KILL", "--", *words] if setpriv and shutil.which(words[0], path=path) else words


def _talk(process: subprocess.Popen[bytes], stdin: bytes | Iterable[bytes], heard: Callable[[bytes], object] | None) -> tuple[bytes, bytes]:
    """Give a command what it reads, and take what it says, to its end."""
    if heard is None and isinstance(stdin, bytes):
        said, stderr = process.communicate(stdin)
        return said or b"", stderr
    assert process.stdin is not None and process.stderr is not None
    with ThreadPoolExecutor(2, "talk") as threads, process:
        fed = threads.submit(_feed, process.stdin, (stdin,) if isinstance(stdin, bytes) else stdin)
        complained = threads.submit(process.stderr.read)
        while process.stdout is not None and heard is not None and (piece := os.read(process.stdout.fileno(), _PIECE_BYTES)):
            heard(piece)
        said = process.stdout.read() if process.stdout is not None else b""
        fed.result()
        return said, complained.result()


def _feed(pipe: IO[bytes], pieces: Iterable[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:  # it has read enough, or has failed: its exit code says which
        for piece in pieces:
            pipe.write(piece)


def _communicate(
    ctx: TaskContext, process: subprocess.Popen[bytes], talk: Callable[[], tuple[bytes, bytes]], words: list[str], timeout_s: float
) -> tuple[bytes, bytes]:
    ended: Future[tuple[bytes, bytes]] = Future()
    reader = threading.Thread(target=lambda: _keep(ended, talk), daemon=True)
    reader.start()
    deadline_s = time.monotonic() + timeout_s
    while True:
        reader.join(POLL_S)
        if ended.done():
            return ended.result()
        if ctx.cancelled:
            _end(process, reader)
            raise Cancelled(f"'{words[0]}' was ended: cancelled")
        if time.monotonic() > deadline_s:
            _end(process, reader)
            raise CommandFailed(words, -signal.SIGKILL, f"no end after {timeout_s:g} s")


def _keep(ended: Future[tuple[bytes, bytes]], talk: Callable[[], tuple[bytes, bytes]]) -> None:
    try:
        ended.set_result(talk())
    except (OSError, ValueError, EngineError) as failure:
        ended.set_exception(failure)


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        reader.join(2.0)
        if not reader.is_alive():
            return
