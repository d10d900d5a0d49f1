"""OpenSSH as a child on our terminal: what it says itself is kept apart from what the machine says, and its exit code is ours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

FAILED = 255
"""OpenSSH's exit code for its own failures; a command may end with it, too."""
_NOT_LET_IN = re.compile(
    rb"Permission denied \(|Host key verification failed|kex_exchange_identification|^ssh: connect to host"
    rb"|^Connection (?:closed|reset) by \S+ port|Too many authentication failures",
    re.MULTILINE,
)
"""Before there was a session: nothing of our stdin has been read, nothing has run in the machine. (OpenSSH 8 to 10)"""


@dataclass(frozen=True, slots=True)
class SshEnd:
    code: int
    """As a shell would tell it: 128 and the number of the signal that ended it."""
    said: bytes
    """By OpenSSH itself."""

    @property
    def was_let_in(self) -> bool:
        return self.code != FAILED or _NOT_LET_IN.search(self.said) is None


def run_ssh(argv: Sequence[str]) -> SshEnd:
    """Run an OpenSSH client on our stdin, stdout and stderr to its end; the terminal is left as it was found."""
    log = os.memfd_create("ssh", os.MFD_CLOEXEC)
    try:
        with _terminal_kept(), _signals_passed_on() as signals:
            child = subprocess.Popen([argv[0], "-E", f"/proc/{os.getpid()}/fd/{log}", *argv[1:]])
            signals.go_to(child.pid)
            code = _wait(child)
        if signals.came and code == FAILED:  # OpenSSH's answer to a signal
            code = -signals.came[0]
        return SshEnd(code if code >= 0 else 128 - code, os.pread(log, 64 * 1024, 0))
    finally:
        os.close(log)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a child; when it suspends itself (`~^Z`), so do we."""
    while True:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode
        os.kill(os.getpid(), signal.SIGSTOP)
        child.send_signal(signal.SIGCONT)


@dataclass(slots=True)
class _Signals:
    """What came in, and is passed on: of Ctrl-C the terminal tells the child, too, but who ends us by a program means us alone."""

    came: list[int] = field(default_factory=list)
    child: int = 0

    def take(self, signum: int, _frame: FrameType | None) -> None:
        self.came.append(signum)
        self._pass_on(signum)

    def go_to(self, child: int) -> None:
        """Name the process that they go to, also those that came before it was there."""
        self.child = child
        for signum in tuple(self.came):
            self._pass_on(signum)

    def _pass_on(self, signum: int) -> None:
        if self.child:
            with suppress(ProcessLookupError):
                os.kill(self.child, signum)  # not Popen's: that may take the child's end away from `_wait`


@contextmanager
def _signals_passed_on() -> Iterator[_Signals]:
    """Let the child alone decide what a signal means."""
    signals = _Signals()
    before = {signum: signal.signal(signum, signals.take) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Put the terminal back as it was, also when the child was killed before it could."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin.fileno())
    try:
        yield
    finally:
        if termios.tcgetattr(sys.stdin.fileno()) != before:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
