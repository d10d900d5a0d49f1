"""xz data → bytes while it comes in: by the program `xz`, on all cores, or by Python's module where there is no such program.

Bounded in memory whatever the data says; what takes the bytes decides how many it takes.
"""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Protocol

from ..errors import TemplateError

MAGIC = b"\xfd7zXZ\x00"
PIECE_BYTES = 1024 * 1024
UNPACK_MEMORY_BYTES = 1024**3
"""xz -9 needs 65 MiB; a file that wants more than this is out to harm."""
_PROGRAM = ("--decompress", "--stdout", "--threads=0", "--no-warn", f"--memlimit-decompress={UNPACK_MEMORY_BYTES}")
_OPTION_VARIABLES = frozenset({"XZ_DEFAULTS", "XZ_OPT"})
"""Environment variables that would change what the program does."""

Take = Callable[[bytes], object]


class NotPacked(TemplateError):
    """What was to be xz cannot be unpacked."""


class NotXz(NotPacked):
    """It does not even begin like xz."""


class Unpacker(Protocol):
    """Takes xz data piece by piece; several streams in a row are one file, as for xz itself."""

    def feed(self, data: bytes) -> None:
        """Unpack a piece.

        Raises:
            NotPacked: it is no xz, or damaged.
        """
        ...

    def finish(self) -> None:
        """Say that there are no more pieces, and wait until all is unpacked.

        Raises:
            NotPacked: the data ends in the middle, or is damaged.
        """
        ...


@contextmanager
def unpacker(what: str, take: Take) -> Iterator[Unpacker]:
    """Yield what unpacks; leaving the block ends whatever goes on.

    Args:
        what: is unpacked, for messages.
        take: is given what comes out, on a thread or on the caller's; what it raises comes out of `feed` or `finish`.
    """
    program = shutil.which("xz")
    if program is None:
        yield _InProcess(what, take)
        return
    unpacking = _Program(program, what, take)
    try:
        yield unpacking
    finally:
        unpacking.end()


class _InProcess:
    def __init__(self, what: str, take: Take) -> None:
        self._what = what
        self._take = take
        self._stream: lzma.LZMADecompressor | None = None
        self._begun = False

    def feed(self, data: bytes) -> None:
        while data:
            if self._stream is None:
                data = data.lstrip(b"\0") if self._begun else data  # padding between streams
                if not data:
                    return
                if data[: len(MAGIC)] != MAGIC[: len(data)]:
                    raise NotXz(f"{self._what} is no xz data")
                self._stream, self._begun = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACK_MEMORY_BYTES), True
            for piece in self._step(self._stream, data):
                self._take(piece)
            data = b""
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None

    def finish(self) -> None:
        if self._stream is not None or not self._begun:
            raise NotPacked(f"{self._what} ends in the middle of its xz data")

    def _step(self, stream: lzma.LZMADecompressor, data: bytes) -> Iterator[bytes]:
        try:
            yield stream.decompress(data, PIECE_BYTES)
            while not stream.eof and not stream.needs_input:
                yield stream.decompress(b"", PIECE_BYTES)
        except lzma.LZMAError as error:
            raise NotPacked(f"{self._what} is no xz data that can be unpacked: {error}") from error


class _Program:
    def __init__(self, program: str, what: str, take: Take) -> None:
        self._argv = (program, *_PROGRAM)
        self._what = what
        self._take = take
        self._first = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "xz")
        self._reader: Future[None] = Future()

    def feed(self, data: bytes) -> None:
        if self._process is None:
            self._first += data
            if self._first[: len(MAGIC)] != MAGIC[: len(self._first)]:
                raise NotXz(f"{self._what} is no xz data")
            if len(self._first) < len(MAGIC):
                return
            data = self._first
            self._process = self._started()
            self._reader = self._thread.submit(self._read, self._process)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[_stdin(self._process).write(rest) :]
        except BrokenPipeError:
            raise self._failure(self._process) from None

    def finish(self) -> None:
        if self._process is None:
            raise NotPacked(f"{self._what} ends in the middle of its xz data")
        _stdin(self._process).close()
        if self._reader.exception() is not None or self._process.wait() != 0:
            raise self._failure(self._process)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._thread.shutdown()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                assert pipe is not None, "all are pipes"
                pipe.close()

    def _started(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if name not in _OPTION_VARIABLES}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._argv, stdin=pipe, stdout=pipe, stderr=pipe, env={**environ, "LC_ALL": "C"}, start_new_session=True, bufsize=0
        )
        _widen(_stdin(process))
        _widen(_stdout(process))
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Run on the thread: hand on what comes out, in pieces of one size."""
        try:
            with open(_stdout(process).fileno(), "rb", buffering=PIECE_BYTES, closefd=False) as out:
                while piece := out.read(PIECE_BYTES):
                    self._take(piece)
        except BaseException:
            process.kill()
            raise

    def _failure(self, process: subprocess.Popen[bytes]) -> BaseException:
        """Return why it came to its end: what `take` raised, or what the program says."""
        process.kill()
        refused = self._reader.exception()
        if refused is not None:
            return refused
        assert process.stderr is not None, "it is a pipe"
        said = process.stderr.read(4096).decode(errors="replace").strip().replace("\n", "; ").replace("xz: ", "").removeprefix("(stdin): ")
        return NotPacked(f"{self._what} is no xz data that can be unpacked: {said or 'xz was ended'}")


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None, "it is a pipe"
    return process.stdin


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None, "it is a pipe"
    return process.stdout


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole piece, where a user may have that much."""
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
