"""One connection to one machine, for all that a verb does in it. Import this module lazily: it brings paramiko."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import GuestError, HostKeyChanged, MachineStateError, SshRefused, SshTimeout
from ..spec import MachineStatus
from . import ssh
from .dial import Dialer
from .readiness import INSTALLING_S
from .sftp import NoSftp, Sftp
from .shell import SshTarget

if TYPE_CHECKING:
    import paramiko

RETRY_S = 1.0
LOGIN_TIMEOUT_S = 30.0
"""Of one attempt, once the machine is connected: a busy one is slow to agree on keys."""
LOOK_PERIOD_S = 1.0
"""How often the host is asked, at most, whether a silent machine still runs."""
CHANNEL_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a machine is reached, and who knows whether it runs."""

    target: SshTarget
    dialer: Dialer
    status: Callable[[], MachineStatus]

    def require_up(self, what: str = "") -> None:
        """Raises: MachineStateError: the machine does not run."""
        status = self.status()
        if not status.is_up:
            name = self.target.name
            raise MachineStateError(f"'{name}' is {status.phrase}{what}", hint=f"start it with: lagotui --run start {name}")


@dataclass(slots=True)
class Session:
    """A machine that we are logged in to."""

    way: Way
    client: paramiko.Transport
    _looked_s: float = field(default_factory=time.monotonic)

    def run(
        self,
        ctx: TaskContext,
        command: str,
        stdin: bytes = b"",
        timeout_s: float = COMMAND_TIMEOUT_S,
        *,
        hear: ssh.Hear | None = None,
    ) -> ssh.CommandStatus:
        """Run a command line; see `ssh.run`.

        Raises:
            MachineStateError: the machine went down meanwhile.
            GuestError: it took too long, or the connection broke.
            Cancelled: the user asked to stop.
        """
        try:
            return ssh.run(ctx, self.client, command, stdin, timeout_s, hear=hear, watch=self.watch)
        except ssh.NotAnswering:
            self.way.require_up(", so what ran in it has ended")
            raise

    def sftp(self, ctx: TaskContext) -> Sftp:
        """Begin a conversation with the machine's SFTP server; close its channel in the end.

        Raises:
            NoSftp: it has none.
        """
        try:
            channel = ssh.open_channel(ctx, self.client, lambda channel: channel.invoke_subsystem("sftp"), CHANNEL_TIMEOUT_S)
        except ssh.ChannelRefused as refusal:
            raise NoSftp(f"'{self.way.target.name}' has no SFTP server") from refusal
        sftp = Sftp(channel, self.watch)
        try:
            sftp.greet(ctx)
        except BaseException:
            channel.close()
            raise
        return sftp

    def watch(self) -> None:
        """Raises: MachineStateError: the machine went down; the host is asked once a second."""
        if time.monotonic() - self._looked_s >= LOOK_PERIOD_S:
            self._looked_s = time.monotonic()
            self.way.require_up(": it went down meanwhile")


@contextmanager
def session(ctx: TaskContext, way: Way, *, tries: int, timeout_s: float, patience_s: float = float("inf")) -> Iterator[Session]:
    """Log in to a machine that runs, and hang up in the end.

    Args:
        ctx: the task it belongs to.
        way: to the machine.
        tries: how often a machine that does not answer is tried.
        timeout_s: for one connection.
        patience_s: for all tries together.

    Raises:
        MachineStateError: the machine does not run.
        SshTimeout: it did not answer.
        SshRefused, HostKeyChanged: it answers, and does not let us in.
        Cancelled: the user asked to stop.
    """
    client = _log_in(ctx, way, tries, timeout_s, patience_s)
    try:
        yield Session(way, client)
    finally:
        ssh.hang_up(client)


def _log_in(ctx: TaskContext, way: Way, tries: int, timeout_s: float, patience_s: float) -> paramiko.Transport:
    started_s, refused_since_s = time.monotonic(), None
    for attempt in range(1, tries + 1):
        way.require_up()
        try:
            guest = ssh.greet(ctx, way.target, way.dialer, timeout_s, timeout_s)
            with contextlib.suppress(OSError):  # no TCP: nothing holds small packets back
                guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return ssh.log_in(ctx, way.target, guest, max(timeout_s, LOGIN_TIMEOUT_S))
        except (SshRefused, HostKeyChanged):  # a machine that just came up may still be putting its keys in
            refused_since_s = refused_since_s or time.monotonic()
            if way.target.own is not None or time.monotonic() - refused_since_s > INSTALLING_S or attempt == tries:
                raise
        except GuestError as failure:
            refused_since_s = None
            way.require_up()
            if attempt == tries or time.monotonic() - started_s > patience_s:
                hint = f"see what it says with: lagotui --run console {way.target.name}"
                raise SshTimeout(f"{failure.message} ({attempt} tries)", hint=hint) from failure
            ctx.log(f"try {attempt} of {tries}: {failure.message}")
        ctx.sleep(RETRY_S)
    raise AssertionError("there is at least one try")
