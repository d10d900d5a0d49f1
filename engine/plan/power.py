"""Ask machines to shut down or to reboot, and clean an environment up."""

from __future__ import annotations

from collections.abc import Sequence

from ..state.env import EnvState
from .model import Plan, Recovery, Resource, Step, StepKind
from .running import idle_nets, stop_steps


def plan_shutdown(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Let machines shut themselves down, then end the nets that nobody uses any more; all of both when none is named.

    A run that died is not taken up again: the machines have been asked, and a later verb must not surprise them.
    """
    up = _up(state, machines)
    steps = [_ask(name, StepKind.SHUT_DOWN_MACHINE, "Shutdown VM", "Shutdown vms") for name in up]
    steps += [
        Step(
            f"stop-net:{name}",
            StepKind.STOP_NET,
            name,
            f"Destroy network {name}",
            after=tuple(step.id for step in steps),
            resource=Resource.NETWORK,
            group=("Stop nets",),
        )
        for name in idle_nets(state, machines)
        if state.nets[name].up
    ]
    title = "Shutdown specified VMs" if machines else "Shutdown prefix"
    return Plan("shutdown", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps))


def plan_reboot(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Let the machines that are up restart themselves; nobody waits for them."""
    steps = tuple(_ask(name, StepKind.REBOOT_MACHINE, "Reboot VM", "Reboot vms") for name in _up(state, machines))
    title = "Reboot specified VMs" if machines else "Reboot prefix"
    return Plan("reboot", title, state.ref.prefix, state.ref.uuid, state.host, steps)


def plan_cleanup(state: EnvState) -> Plan:
    """Stop everything, and take the environment's mark away: its files stay, to be looked at, until it is destroyed."""
    stops = stop_steps(state, tuple(state.machines), tuple(state.nets), ("Stop prefix",))
    unmark = Step(
        "unmark-prefix", StepKind.UNMARK_PREFIX, state.name, "Tag prefix as uninitialized", after=tuple(step.id for step in stops)
    )
    return Plan("cleanup", "Cleanup prefix", state.ref.prefix, state.ref.uuid, state.host, (*stops, unmark), Recovery.FINISH)


def _up(state: EnvState, machines: Sequence[str]) -> list[str]:
    return [name for name in machines or state.machines if state.machines[name].status.is_up]


def _ask(name: str, kind: StepKind, title: str, group: str) -> Step:
    return Step(f"{kind.value}:{name}", kind, name, f"{title} {name}", resource=Resource.GUEST, group=(group,))
