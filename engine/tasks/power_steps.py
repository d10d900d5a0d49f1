"""How machines are asked to shut down or to reboot: by their power button, else over ssh."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..context import TaskContext
from ..errors import GuestError, MachineStateError
from ..providers.base import Provider
from ..spec import Json, MachineStatus
from .scope import RunScope

GRACE_S = 20.0
"""A machine that has not begun to go by then does not heed its power button, and is asked over ssh."""
DEADLINE_S = 300.0
POLL_S = 0.2
SSH_TIMEOUT_S = 15.0


def shut_down_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Ask, and wait until the machine is off.

    Raises:
        MachineStateError: it stayed up.
    """
    provider = scope.running_provider()
    if provider is None or not provider.press_power(ctx, scope.ref, subject):
        return
    asked_at_s = time.monotonic()
    if _is_off_by(ctx, scope, provider, subject, asked_at_s + GRACE_S):
        return
    ctx.log(f"'{subject}' does not heed its power button: asking over ssh")
    _run_there(ctx, scope, subject, "poweroff")
    if not _is_off_by(ctx, scope, provider, subject, asked_at_s + DEADLINE_S):
        raise MachineStateError(
            f"machine '{subject}' was asked to shut down, and is still up after {DEADLINE_S:g} s",
            hint=f"see why: lagotui --run console {subject}; or end it at once: lagotui --run stop {subject}",
        )


def reboot_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    provider = scope.running_provider()
    if provider is not None:
        provider.press_reset(ctx, scope.ref, subject)


def unmark_prefix(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    scope.open_prefix().unmark_initialized()


def _is_off_by(ctx: TaskContext, scope: RunScope, provider: Provider, machine: str, deadline_s: float) -> bool:
    while provider.machine_states(scope.ref).get(machine, MachineStatus.DOWN).is_up:
        if time.monotonic() > deadline_s:
            return False
        ctx.sleep(POLL_S)
    return True


def _run_there(ctx: TaskContext, scope: RunScope, name: str, command: str) -> None:
    """Run a command that may end the connection; what goes wrong is only noted."""
    from ..guest import ssh
    from .targets import ssh_target

    prefix = scope.open_prefix()
    try:
        client = ssh.connect(ctx, ssh_target(prefix, prefix.machine(name), scope.settings), scope.provider().dialer(), SSH_TIMEOUT_S)
        try:
            ssh.run(ctx, client, command, timeout_s=SSH_TIMEOUT_S)
        finally:
            ssh.hang_up(client)
    except (GuestError, MachineStateError) as error:
        ctx.log(f"over ssh: {error.message}")
