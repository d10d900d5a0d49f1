"""Whether a machine that exists already answers: a machine runs when an ssh server greets us there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from ...context import TaskContext
from ...errors import MachineStateError, SshTimeout
from ...guest.dial import DirectDialer
from ...spec import SSH_PORT, MachineSpec, MachineStatus

LOOK_S = 2.0
"""Seconds that a machine has to greet us when its state is looked at; all are looked at side by side."""
ATTEMPT_S = 5.0
POLL_S = 0.5
GREETING = b"SSH-"


def silence_of(machine: MachineSpec, timeout_s: float) -> str:
    """Return "" when the machine's ssh server greets us, else why it does not."""
    address, port = _place(machine)
    deadline_s = time.monotonic() + timeout_s
    said = b""
    try:
        with DirectDialer().connect(address, port, timeout_s) as connection:
            while len(said) < len(GREETING):
                connection.settimeout(max(0.01, deadline_s - time.monotonic()))
                data = connection.recv(len(GREETING) - len(said))
                if not data:
                    return "it closed the connection at once"
                said += data
    except TimeoutError:
        return "no answer in time"
    except OSError as error:
        return error.strerror or str(error)
    return "" if said == GREETING else f"it says {said!r} instead of speaking ssh"


def states(machines: Iterable[MachineSpec], timeout_s: float = LOOK_S) -> dict[str, MachineStatus]:
    """Look at machines, all at once; those that do not greet us in time are down."""
    found: dict[str, MachineStatus] = {}
    lock = threading.Lock()
    named = list(machines)

    def look(machine: MachineSpec) -> None:
        status = MachineStatus.DOWN if silence_of(machine, timeout_s) else MachineStatus.RUNNING
        with lock:
            found[machine.name] = status

    threads = [threading.Thread(target=look, args=(machine,), name="external-look", daemon=True) for machine in named]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + timeout_s + POLL_S  # the resolver of names keeps to no time limit
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    with lock:
        return {machine.name: found.get(machine.name, MachineStatus.DOWN) for machine in named}


def reach(ctx: TaskContext, machine: MachineSpec) -> None:
    """Wait until the machine's ssh server greets us.

    Raises:
        SshTimeout: it did not in the machine's `boot_time_sec`.
        Cancelled: the user asked to stop.
    """
    started_s = time.monotonic()
    while why := silence_of(machine, ATTEMPT_S):
        waited_s = time.monotonic() - started_s
        address, port = _place(machine)
        if waited_s > machine.boot_time_s:
            raise SshTimeout(
                f"'{machine.name}' at {address} port {port} did not answer ssh within {machine.boot_time_s} s: {why}",
                hint="it exists without lagotui, which cannot start it: switch it on, or mend 'address' and 'port' in the init file",
            )
        ctx.progress(round(waited_s, 1), machine.boot_time_s, unit="s", note=why)
        ctx.sleep(POLL_S)


def _place(machine: MachineSpec) -> tuple[str, int]:
    if machine.ip is None:
        raise MachineStateError(f"machine '{machine.name}' has no address", hint="give it one in the init file: ssh: {address: 10.0.0.7}")
    return machine.ip, machine.ssh.port if machine.ssh else SSH_PORT
