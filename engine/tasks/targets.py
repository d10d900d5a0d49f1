"""How to get into a machine, from what its prefix knows."""

from __future__ import annotations

from pathlib import Path

from ..config import Settings
from ..context import TaskContext
from ..errors import MachineStateError
from ..guest.dial import DirectDialer
from ..guest.shell import OwnLogin, SshTarget
from ..spec import SSH_PORT, MachineSpec, MachineStatus
from ..state.prefix import Prefix
from .init_steps import host_key_path
from .scope import RunScope

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
        port=machine.ssh.port if machine.ssh else SSH_PORT,
        user=machine.ssh_user or settings.ssh_user,
        key_file=prefix.private_key,
        password=machine.ssh_password or settings.ssh_password,
        known_hosts=prefix.known_hosts,
        first_contact=not host_key_path(prefix, machine.name).exists(),
        own=_own_login(machine, settings) if machine.is_external else None,
    )


def _own_login(machine: MachineSpec, settings: Settings) -> OwnLogin:
    return OwnLogin(tuple([Path(key) for key in machine.ssh.keys]) if machine.ssh else (), settings.ask)


def wait_until_ssh_answers(ctx: TaskContext, scope: RunScope, name: str) -> None:
    """Wait for a login on a machine, with what its host knows of it as the evidence."""
    from ..guest.readiness import Evidence, wait_ssh

    prefix, ref = scope.open_prefix(), scope.ref
    machine = prefix.machine(name)
    if machine.is_external:
        _wait_external(ctx, ssh_target(prefix, machine, scope.settings), machine)
        return
    provider = scope.provider()

    def evidence() -> Evidence:
        status = provider.machine_states(ref).get(name, MachineStatus.DOWN)
        return Evidence(status, provider.lease_of(ref, machine), tuple(provider.console_tail(ref, name, SERIAL_LINES)))

    target = ssh_target(prefix, machine, scope.settings)
    wait_ssh(ctx, target, provider.dialer(), deadline_s=machine.boot_time_s, evidence=evidence)


def _wait_external(ctx: TaskContext, target: SshTarget, machine: MachineSpec) -> None:
    """Wait for a login on a machine that exists without us; where that takes a passphrase, whoever needs the login asks for it."""
    from ..guest.identities import is_locked
    from ..guest.readiness import Evidence, wait_ssh
    from ..providers.external.reaching import reach

    reach(ctx, machine)
    if target.password is None and target.own is not None and is_locked(target.own):
        ctx.log(f"'{machine.name}' answers; logging in takes the passphrase of a key, so it was not tried")
        return
    evidence = Evidence(MachineStatus.RUNNING, machine.ip)
    wait_ssh(ctx, target, DirectDialer(), deadline_s=machine.boot_time_s, evidence=lambda: evidence, installing_s=0)


def wait_until_ready(ctx: TaskContext, scope: RunScope, machine: MachineSpec) -> None:
    """Wait for what the init file calls ready.

    Raises:
        NotReady: it did not come in time.
        MachineStateError: the machine is not running any more, or cannot be asked.
    """
    from ..guest.ready import Probes, wait_ready

    assert machine.ready is not None
    target = ssh_target(scope.open_prefix(), machine, scope.settings) if machine.ready.command or machine.ready.tcp else None
    if machine.is_external:
        wait_ready(ctx, machine.ready, Probes(machine.name, target, DirectDialer(), lambda: MachineStatus.RUNNING, list))
        return
    provider, ref = scope.provider(), scope.ref
    probes = Probes(
        name=machine.name,
        target=target,
        dialer=provider.dialer(),
        status=lambda: provider.machine_states(ref).get(machine.name, MachineStatus.DOWN),
        serial=lambda: provider.console_tail(ref, machine.name, READY_LINES),
    )
    wait_ready(ctx, machine.ready, probes)
