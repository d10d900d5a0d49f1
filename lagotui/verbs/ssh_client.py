"""OpenSSH as a child on our terminal: what it says itself is kept apart from what the machine says, and its exit code is ours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
        with _terminal_kept():
            child = subprocess.Popen([argv[0], "-E", f"/proc/{os.getpid()}/fd/{log}", *argv[1:]])
            with _signals_passed_on(child):
                code = _wait(child)
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


@contextmanager
def _signals_passed_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let the child alone decide what Ctrl-C means, and end it when we are told to end."""

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        if signum != signal.SIGINT:  # the terminal gives that one to the child itself
            child.send_signal(signum)

    before = {signum: signal.signal(signum, pass_on) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
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
