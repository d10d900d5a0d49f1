"""Throw an environment away, whole or half-made, known or damaged."""

from __future__ import annotations

from ..state.env import EnvState
from .model import Plan, Recovery, Resource, Step, StepKind
from .running import stop_steps


def plan_destroy(state: EnvState) -> Plan:
    """Stop what runs, give the subnets back, remove the prefix."""
    stops = stop_steps(state, tuple(state.machines), tuple(state.nets), ("Stop prefix",))
    provided = [
        Step(
            f"unprovide-machine:{name}",
            StepKind.UNPROVIDE_MACHINE,
            name,
            f"Remove VM {name} of '{machine.spec.vm_provider}'",
            after=tuple(step.id for step in stops),
            resource=Resource.HYPERVISOR,
        )
        for name, machine in state.machines.items()
        if machine.spec.is_provided
    ]
    release = Step(
        "release-subnets",
        StepKind.RELEASE_SUBNETS,
        state.name,
        "Release subnets",
        after=tuple(step.id for step in stops),
    )
    remove = Step(
        "remove-prefix",
        StepKind.REMOVE_PREFIX,
        state.name,
        "Remove prefix",
        args={"workdir": state.workdir},
        after=(release.id, *(step.id for step in provided)),
        resource=Resource.DISK,
    )
    steps = (*stops, *provided, release, remove)
    return Plan("destroy", "Destroy prefix", state.ref.prefix, state.ref.uuid, state.host, steps, Recovery.FINISH, losses(state))


def losses(state: EnvState) -> tuple[str, ...]:
    """Say what a destroy loses, one sentence each."""
    ours = {name: machine for name, machine in state.machines.items() if not machine.spec.is_external}
    up = [name for name, machine in ours.items() if machine.status.is_up]
    snapshots = {snapshot for machine in state.machines.values() for snapshot in machine.spec.snapshots}
    said = [f"{len(ours)} machine(s) with their disks: {', '.join(ours) or 'none'}"]
    if up:
        said.append(f"{len(up)} of them running: {', '.join(up)}")
    if snapshots:
        said.append(f"{len(snapshots)} snapshot(s): {', '.join(sorted(snapshots))}")
    return (*said, f"the folder {state.ref.prefix}")
