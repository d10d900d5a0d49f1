"""How to get into a machine, from what its prefix knows."""

from __future__ import annotations

from ..config import Settings
from ..context import TaskContext
from ..errors import MachineStateError
from ..guest.shell import SshTarget
from ..spec import MachineSpec, MachineStatus
from ..state.prefix import Prefix
from .init_steps import seed_path
from .scope import RunScope

SSH_PORT = 22
READY_LINES = 1000
"""Of the serial console, that are searched for what `ready` waits for."""
SERIAL_LINES = 5


def ssh_target(prefix: Prefix, machine: MachineSpec, settings: Settings) -> SshTarget:
    """Return everything that an ssh client needs.

    Raises:
        MachineStateError: the machine has no address on a management net.
    """
    if machine.ip is None:
        raise MachineStateError(
            f"machine '{machine.name}' has no address that we know of", hint=f"use its console: lagotui --run console {machine.name}"
        )
    return SshTarget(
        name=machine.name,
        address=machine.ip,
        port=SSH_PORT,
        user=machine.ssh_user or settings.ssh_user,
        key_file=prefix.private_key,
        password=machine.ssh_password or settings.ssh_password,
        known_hosts=prefix.known_hosts,
        first_contact=not seed_path(prefix, machine.name).exists(),
    )


def wait_until_ssh_answers(ctx: TaskContext, scope: RunScope, name: str) -> None:
    """Wait for a login on a machine, with what its host knows of it as the evidence."""
    from ..guest.readiness import Evidence, wait_ssh

    prefix, provider, ref = scope.open_prefix(), scope.provider(), scope.ref
    machine = prefix.machine(name)

    def evidence() -> Evidence:
        status = provider.machine_states(ref).get(name, MachineStatus.DOWN)
        return Evidence(status, provider.lease_of(ref, machine), tuple(provider.console_tail(ref, name, SERIAL_LINES)))

    target = ssh_target(prefix, machine, scope.settings)
    wait_ssh(ctx, target, provider.dialer(), deadline_s=machine.boot_time_s, evidence=evidence)


def wait_until_ready(ctx: TaskContext, scope: RunScope, machine: MachineSpec) -> None:
    """Wait for what the init file calls ready.

    Raises:
        NotReady: it did not come in time.
        MachineStateError: the machine is not running any more, or cannot be asked.
    """
    from ..guest.ready import Probes, wait_ready

    assert machine.ready is not None
    provider, ref = scope.provider(), scope.ref
    target = ssh_target(scope.open_prefix(), machine, scope.settings) if machine.ready.command or machine.ready.tcp else None
    probes = Probes(
        name=machine.name,
        target=target,
        dialer=provider.dialer(),
        status=lambda: provider.machine_states(ref).get(machine.name, MachineStatus.DOWN),
        serial=lambda: provider.console_tail(ref, machine.name, READY_LINES),
    )
    wait_ready(ctx, machine.ready, probes)
