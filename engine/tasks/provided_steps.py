"""What steps mean for machines whose provider is a plugin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ..context import TaskContext, detached_task
from ..errors import ConfigError, EngineError, HostRefused, MachineStateError
from ..plan.model import StepKind
from ..providers.provided import MachineProvider, open_machine
from ..spec import Json, MachineSpec, MachineStatus
from .scope import RunScope

Handler = Callable[[TaskContext, RunScope, str, Mapping[str, Json]], None]
SIDE_BY_SIDE = 16
"""Machines whose state is asked for at once."""


def start(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "be started", lambda provider: provider.start())


def stop(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "be stopped", lambda provider: provider.stop())


def shut_down(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "be shut down", lambda provider: provider.shutdown())


def reboot(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "be restarted", lambda provider: provider.reboot())


def snapshot(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Let the plugin freeze the machine; its disks, if the init file gives it some, stay what they are."""
    from .snapshot_steps import save_spec

    before, after = MachineSpec.from_json(args["before"]), MachineSpec.from_json(args["after"])
    name = after.history.at or ""
    _do(ctx, scope, subject, "be snapshotted", lambda provider: provider.create_snapshot(name))
    save_spec(ctx, scope, replace(before, snapshots={**before.snapshots, name: ()}, history=after.history))


def unsnapshot(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Forget what was frozen; a plugin is free to keep it."""
    from .snapshot_steps import save_spec

    save_spec(ctx, scope, MachineSpec.from_json(args["before"]))


def revert(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "go back", lambda provider: provider.revert_snapshot(args["snapshot"]))


def make(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    _do(ctx, scope, subject, "be made", lambda provider: provider.bootstrap())


def unmake(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Let the plugin remove the machine; without the plugin nobody can, and the rest of the environment goes all the same."""
    try:
        _do(ctx, scope, subject, "be removed", lambda provider: provider.destroy())
    except ConfigError as missing:
        ctx.log(f"what is left of machine '{subject}' stays: {missing.message}", logging.WARNING)


INSTEAD: Mapping[StepKind, Handler] = {
    StepKind.START_MACHINE: start,
    StepKind.STOP_MACHINE: stop,
    StepKind.SHUT_DOWN_MACHINE: shut_down,
    StepKind.REBOOT_MACHINE: reboot,
    StepKind.SNAPSHOT_MACHINE: snapshot,
    StepKind.UNSNAPSHOT_MACHINE: unsnapshot,
    StepKind.MAKE_OVERLAYS: revert,
}
"""What is done with such machines in place of what a host would do."""

IMPOSSIBLE = frozenset({StepKind.CHECKPOINT_MACHINE, StepKind.PAUSE_MACHINE, StepKind.RESTORE_MACHINE})
"""What no plugin is asked for."""


def states(machines: Iterable[MachineSpec], prefix: Path) -> dict[str, MachineStatus]:
    """Ask plugins for the states of their machines, side by side; one that cannot tell leaves its machine `failed to get state`."""
    with detached_task() as ctx, ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="provided") as pool:
        named = list(machines)
        return dict(zip((machine.name for machine in named), pool.map(lambda machine: _state(ctx, machine, prefix), named), strict=True))


def _state(ctx: TaskContext, machine: MachineSpec, prefix: Path) -> MachineStatus:
    try:
        return MachineStatus(open_machine(ctx, machine, str(prefix)).state())
    except Exception as failure:  # a stranger's code
        ctx.log(f"the state of '{machine.name}' is not known: {type(failure).__name__}: {failure}")
        return MachineStatus.UNREADABLE


def _do(ctx: TaskContext, scope: RunScope, name: str, what: str, work: Callable[[MachineProvider], None]) -> None:
    machine = scope.open_prefix().machine(name)
    try:
        work(open_machine(ctx, machine, str(scope.prefix)))
    except EngineError:
        raise
    except NotImplementedError as missing:
        raise MachineStateError(f"machine '{name}' cannot {what}: its provider '{machine.vm_provider}' does not offer that") from missing
    except Exception as failure:  # a stranger's code
        raise HostRefused(
            f"machine '{name}' cannot {what}: its provider '{machine.vm_provider}' says {type(failure).__name__}: {failure}"
        ) from failure
