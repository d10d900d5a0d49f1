"""What steps mean for machines that exist without us: what can be done is done by ssh, what cannot is said before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..context import TaskContext
from ..errors import MachineStateError, PrefixDamaged, UnknownMachine
from ..plan.model import Plan, StepKind
from ..spec import Json, MachineSpec
from . import provided_steps
from .scope import RunScope

Handler = Callable[[TaskContext, RunScope, str, Mapping[str, Json]], None]


def reach_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Wait for what we cannot start."""
    from ..providers.external.reaching import reach

    ctx.log(f"machine '{subject}' exists without lagotui: waiting until it answers ssh")
    reach(ctx, scope.open_prefix().machine(subject))


def leave_machine(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Leave alone what is not ours to stop."""
    ctx.tell(f"machine '{subject}' is left as it is: it exists without lagotui, and is only reached by ssh")


INSTEAD: Mapping[StepKind, Handler] = {
    StepKind.START_MACHINE: reach_machine,
    StepKind.STOP_MACHINE: leave_machine,
    StepKind.SHUT_DOWN_MACHINE: leave_machine,
    StepKind.REBOOT_MACHINE: leave_machine,
}
"""What is done with such machines in place of what a host would do."""

IMPOSSIBLE = frozenset(
    {
        StepKind.SNAPSHOT_MACHINE,
        StepKind.CHECKPOINT_MACHINE,
        StepKind.CHECK_SNAPSHOT,
        StepKind.PAUSE_MACHINE,
        StepKind.RESTORE_MACHINE,
    }
)
"""What needs a host, and disks of ours."""


def instead(scope: RunScope, kind: StepKind, subject: str) -> Handler | None:
    """Return what is done in place of a step, when it is about a machine that exists without us, or that a plugin provides."""
    if kind not in INSTEAD and kind not in provided_steps.INSTEAD:
        return None
    machine = _machine(scope, subject)
    if machine is None:
        return None
    if machine.is_provided:
        return provided_steps.INSTEAD.get(kind)
    return INSTEAD.get(kind) if machine.is_external else None


def require_possible(plan: Plan, scope: RunScope) -> None:
    """Raises: MachineStateError: the plan asks a machine for what it, or its plugin, cannot do. Nothing is changed."""
    provided = dict.fromkeys(step.subject for step in plan.steps if step.kind in provided_steps.IMPOSSIBLE)
    for name in provided:
        machine = _machine(scope, name)
        if machine is not None and machine.is_provided:
            raise MachineStateError(f"machine '{name}': its provider '{machine.vm_provider}' keeps no memory of machines")
    asked = dict.fromkeys(step.subject for step in plan.steps if step.kind in IMPOSSIBLE)
    external = [name for name in asked if _is_external(scope, name)]
    if external:
        others = [name for name in asked if name not in external]
        hint = f"name the machines that are: {' '.join(others)}" if others else None
        what = f"machine {external[0]!r} exists without lagotui and is only reached by ssh"
        raise MachineStateError(f"{what}: it has no disks of ours, so '{plan.verb}' cannot be done with it", hint=hint)


def external_machines(machines: Mapping[str, MachineSpec]) -> list[MachineSpec]:
    return [machine for machine in machines.values() if machine.is_external]


def _is_external(scope: RunScope, name: str) -> bool:
    machine = _machine(scope, name)
    return machine is not None and machine.is_external


def _machine(scope: RunScope, name: str) -> MachineSpec | None:
    try:
        return scope.open_prefix().machine(name)
    except (PrefixDamaged, UnknownMachine):  # half made, or damaged: what its host knows is ours
        return None
