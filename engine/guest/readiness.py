"""Waiting for a machine to let us in. Import this module lazily: it brings paramiko, best while the machine is still starting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..context import TaskContext
from ..errors import GuestError, HostKeyChanged, MachineStateError, SshRefused, SshTimeout
from ..spec import MachineStatus
from . import ssh
from .dial import Dialer
from .shell import SshTarget

POLL_S = (0.05, 0.5)
"""Pause between two attempts: at first, and at most."""
POLL_GROWTH = 1 / 150
"""Share of the time waited that a pause may take: a machine is seen within 1/150 of the time it needed."""
DIAL_TIMEOUT_S = (0.3, 3.0)
"""For one connection: short at first, since a lost first packet is only sent again after 1 s."""
BANNER_TIMEOUT_S = (1.0, 10.0)
"""For the server's first words: short at first, since a forwarded port takes connections that the machine never sees."""
LOGIN_TIMEOUT_S = 30.0
EVIDENCE_PERIOD_S = 0.5
INSTALLING_S = 8.0
"""How long a machine that just started may let nobody in, until it has installed its keys."""
SERIAL_LINES = 5
_NO_HOPE = frozenset({MachineStatus.PAUSED, MachineStatus.SUSPENDED, MachineStatus.STOPPING})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What its host knows of a machine that does not answer yet."""

    status: MachineStatus
    lease: str | None = None
    """Address that DHCP gave it."""
    serial: tuple[str, ...] = ()
    """Last lines of its serial console."""


def wait_ssh(
    ctx: TaskContext,
    target: SshTarget,
    dialer: Dialer,
    *,
    deadline_s: float,
    evidence: Callable[[], Evidence],
    installing_s: float = INSTALLING_S,
) -> float:
    """Wait until a login works and `true` runs.

    Args:
        ctx: the task it belongs to; its progress carries what is known meanwhile.
        target: the machine.
        dialer: its host's.
        deadline_s: how long to wait, from now.
        evidence: asks the host; called twice a second.
        installing_s: for how long a machine may refuse our key, or show another host key: it may be installing them.

    Returns:
        Seconds waited.

    Raises:
        MachineStateError: the machine is not running any more; nobody will answer.
        SshTimeout: the time is over; the message says what is known.
        SshRefused: the machine answers, but lets us not in.
        HostKeyChanged: the machine answers with another host key than ours.
        Cancelled: the user asked to stop.
    """
    return _Wait(ctx, target, dialer, deadline_s, evidence, installing_s).to_the_end()


@dataclass(slots=True)
class _Wait:
    ctx: TaskContext
    target: SshTarget
    dialer: Dialer
    limit_s: float
    ask: Callable[[], Evidence]
    installing_s: float
    _started_s: float = field(default_factory=time.monotonic)
    _asked_s: float = float("-inf")
    _evidence: Evidence = Evidence(MachineStatus.UNKNOWN)
    _last_error: str = "no attempt yet"
    _refused_since_s: float | None = None

    def to_the_end(self) -> float:
        while True:
            self._look()
            if self._attempt():
                return self._elapsed_s
            if self._elapsed_s >= self.limit_s:
                self._asked_s = float("-inf")
                self._look()
                raise SshTimeout(self._timeout_message(), hint=_timeout_hint(self.target))
            self.ctx.sleep(min(max(POLL_S[0], self._elapsed_s * POLL_GROWTH), POLL_S[1]))

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def _attempt(self) -> bool:
        left_s = max(self.limit_s - self._elapsed_s, 0.1)
        dial_timeout_s = min(max(DIAL_TIMEOUT_S[0], self._elapsed_s / 20), DIAL_TIMEOUT_S[1], left_s)
        banner_timeout_s = min(max(BANNER_TIMEOUT_S[0], self._elapsed_s / 5), BANNER_TIMEOUT_S[1], left_s)
        try:
            guest = ssh.greet(self.ctx, self.target, self.dialer, dial_timeout_s, banner_timeout_s)
            self.ctx.log("ssh answers; logging in")
            client = ssh.log_in(self.ctx, self.target, guest, min(LOGIN_TIMEOUT_S, left_s))
            try:
                status = ssh.run(self.ctx, client, "true", timeout_s=min(LOGIN_TIMEOUT_S, left_s))
            finally:
                ssh.hang_up(client)
        except (SshRefused, HostKeyChanged) as refusal:
            self._still_installing(refusal)
            return False
        except GuestError as failure:
            self._last_error = failure.message
            self._refused_since_s = None
            return False
        self._last_error = f"'true' ended with exit code {status.code}"
        return status.code == 0

    def _still_installing(self, refusal: SshRefused | HostKeyChanged) -> None:
        """Raises: the refusal, when the machine had time enough."""
        if self._refused_since_s is None:
            self._refused_since_s = time.monotonic()
        if time.monotonic() - self._refused_since_s > self.installing_s:
            raise refusal
        self._last_error = refusal.message

    def _look(self) -> None:
        if time.monotonic() - self._asked_s < EVIDENCE_PERIOD_S:
            return
        self._evidence = self.ask()
        self._asked_s = time.monotonic()
        status = self._evidence.status
        if not status.is_up or status in _NO_HOPE:
            serial = self._serial_end()
            raise MachineStateError(
                f"'{self.target.name}' is {status.phrase}, so it will not answer ssh{serial}",
                hint=f"{'let it go on' if status is MachineStatus.PAUSED else 'start it again'} with: lagotui --run start",
            )
        self.ctx.progress(round(self._elapsed_s, 1), self.limit_s, unit="s", note=self._note())

    def _note(self) -> str:
        serial = self._evidence.serial
        lease = f"has address {self._evidence.lease}" if self._evidence.lease else "no DHCP lease yet"
        return f"{lease}; {serial[-1].strip()}" if serial else f"{lease}; {self._last_error}"

    def _timeout_message(self) -> str:
        lease = f"DHCP gave it {self._evidence.lease}" if self._evidence.lease else "it got no address by DHCP"
        return (
            f"'{self.target.name}' did not let us in by ssh within {self.limit_s:g} s: its state is '{self._evidence.status.value}', "
            f"{lease}, the last attempt: {self._last_error}{self._serial_end()}"
        )

    def _serial_end(self) -> str:
        lines = [line.rstrip() for line in self._evidence.serial if line.strip()][-SERIAL_LINES:]
        return "; its serial console ends with:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""


def _timeout_hint(target: SshTarget) -> str:
    return f"when it only needs more time, raise 'boot_time_sec' of '{target.name}' in the init file"
