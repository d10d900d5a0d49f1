"""Waiting for what an init file calls ready: a port, a command, a line on the serial console. Import this module lazily."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..context import TaskContext
from ..errors import GuestError, HostKeyChanged, MachineStateError, NotReady
from ..spec import MachineStatus, Readiness
from .dial import Dialer
from .shell import SshTarget

POLL_S = 0.5
DIAL_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 60.0
LONGEST_LINE = 2000
"""Characters of a console line that are searched: a pattern can take very long on endless ones."""
SHOWN_LINES = 5


@dataclass(frozen=True, slots=True)
class Probes:
    """How a machine can be asked."""

    name: str
    target: SshTarget | None
    """None when the machine has no address; then neither ports nor commands can be tried."""
    dialer: Dialer
    status: Callable[[], MachineStatus]
    serial: Callable[[], list[str]]
    """Returns the lines that its serial console printed since it was started."""


def wait_ready(ctx: TaskContext, ready: Readiness, probes: Probes) -> float:
    """Wait until everything holds that `ready` asks for; what held once is not asked again.

    Returns:
        Seconds waited.

    Raises:
        NotReady: the time is over; the message says what did not hold, and why.
        MachineStateError: the machine is not running any more.
        HostKeyChanged: another machine answers in its place.
        Cancelled: the user asked to stop.
    """
    started_s = time.monotonic()
    left = dict(_checks(ctx, ready, probes))
    while True:
        missing = {what: why for what, check in left.items() if (why := check())}
        for what in left.keys() - missing.keys():
            ctx.log(f"{what}: yes")
        left = {what: check for what, check in left.items() if what in missing}
        waited_s = time.monotonic() - started_s
        if not left:
            return waited_s
        _refuse_dead(probes, missing)
        if waited_s >= ready.timeout_s:
            raise NotReady(
                _too_late(probes, ready, missing), hint=f"raise 'timeout_sec' below 'ready' of '{probes.name}', or look: {_look(probes)}"
            )
        ctx.progress(round(waited_s, 1), ready.timeout_s, unit="s", note="; ".join(missing.values()))
        ctx.sleep(min(POLL_S, max(0.05, ready.timeout_s - waited_s)))


def _checks(ctx: TaskContext, ready: Readiness, probes: Probes) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield what must hold, and what looks: it returns "" when it does, else why it does not."""
    if ready.tcp is not None:
        port = ready.tcp
        yield f"port {port} takes connections", lambda: _closed(probes, port)
    if ready.log is not None:
        pattern = re.compile(ready.log)
        yield f"the console shows /{ready.log}/", lambda: _unseen(probes, pattern)
    if ready.command is not None:
        command = ready.command
        yield f"'{command}' succeeds", lambda: _fails(ctx, probes, command)


def _closed(probes: Probes, port: int) -> str:
    if probes.target is None:
        return "the machine has no address"
    try:
        probes.dialer.connect(probes.target.address, port, DIAL_TIMEOUT_S).close()
    except OSError as refusal:
        return f"port {port}: {refusal.strerror or refusal}"
    return ""


def _unseen(probes: Probes, pattern: re.Pattern[str]) -> str:
    lines = probes.serial()
    if any(pattern.search(line[:LONGEST_LINE]) for line in lines):
        return ""
    return f"the console says: {lines[-1].strip()}" if lines else "the console is silent"


def _fails(ctx: TaskContext, probes: Probes, command: str) -> str:
    from . import ssh

    if probes.target is None:
        return "the machine has no address"
    try:
        client = ssh.connect(ctx, probes.target, probes.dialer, COMMAND_TIMEOUT_S)
        try:
            status = ssh.run(ctx, client, command, timeout_s=COMMAND_TIMEOUT_S)
        finally:
            ssh.hang_up(client)
    except HostKeyChanged:
        raise
    except GuestError as failure:
        return failure.message
    said = (status.err or status.out).decode(errors="replace").strip().splitlines()
    return "" if status.code == 0 else f"exit code {status.code}{': ' + said[-1] if said else ''}"


def _refuse_dead(probes: Probes, missing: dict[str, str]) -> None:
    status = probes.status()
    if not status.is_up:
        raise MachineStateError(
            f"'{probes.name}' is {status.phrase}, so it will never be ready: {', '.join(missing)}",
            hint=f"lagotui --run start {probes.name}",
        )


def _too_late(probes: Probes, ready: Readiness, missing: dict[str, str]) -> str:
    what = "; ".join(f"{what}: no ({why})" for what, why in missing.items())
    lines = [line.rstrip() for line in probes.serial() if line.strip()][-SHOWN_LINES:]
    serial = "; its serial console ends with:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""
    return f"'{probes.name}' was not ready within {ready.timeout_s} s: {what}{serial}"


def _look(probes: Probes) -> str:
    return f"lagotui --run console {probes.name}"
