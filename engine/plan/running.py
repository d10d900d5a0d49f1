"""Start, wait for and stop machines and their nets."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..spec import MachineSpec
from ..state.env import EnvState
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind


def plan_start(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Start machines and the nets that they use; all of them when none is named. What is up already is left alone."""
    chosen = [state.machines[name].spec for name in machines] if machines else list(state.spec.machines.values())
    used = {nic.net for machine in chosen for nic in machine.nics} if machines else set(state.nets)
    nets = [name for name, net in state.nets.items() if name in used and not net.up]
    steps = [_start_net(name) for name in nets]
    steps += [_start_machine(machine, nets) for machine in chosen if not state.machines[machine.name].status.is_up]
    title = "Start specified VMs" if machines else "Start Prefix"
    return Plan("start", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps))


def plan_wait(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Wait until ssh answers on every chosen machine that has an address."""
    chosen = machines or tuple(state.machines)
    steps = tuple(
        Step(
            f"wait-ssh:{name}",
            StepKind.WAIT_SSH,
            name,
            f"Wait for ssh connectivity on {name}",
            resource=Resource.GUEST,
            journaled=False,
        )
        for name in chosen
        if state.machines[name].spec.ip
    )
    return Plan("wait", "Wait for ssh connectivity", state.ref.prefix, state.ref.uuid, state.host, steps)


def plan_stop(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Stop machines at once; all of them, and all nets, when none is named. A net goes when no machine that stays up uses it."""
    title = "Stop specified VMs" if machines else "Stop prefix"
    steps = stop_steps(state, machines or tuple(state.machines), _idle_nets(state, machines))
    return Plan("stop", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps), Recovery.FINISH)


def stop_steps(state: EnvState, machines: Collection[str], nets: Collection[str], above: tuple[str, ...] = ()) -> list[Step]:
    """Return the steps that stop those of `machines` and `nets` that are up."""
    up = [name for name in machines if state.machines[name].status.is_up]
    steps = [
        Step(
            f"stop-machine:{name}",
            StepKind.STOP_MACHINE,
            name,
            f"Destroying VM {name}",
            resource=Resource.HYPERVISOR,
            group=(*above, "Stop vms"),
        )
        for name in up
    ]
    steps += [
        Step(
            f"stop-net:{name}",
            StepKind.STOP_NET,
            name,
            f"Destroy network {name}",
            after=tuple(f"stop-machine:{machine}" for machine in up),
            resource=Resource.NETWORK,
            group=(*above, "Stop nets"),
        )
        for name in nets
        if state.nets[name].up
    ]
    return steps


def _idle_nets(state: EnvState, stopping: Sequence[str]) -> list[str]:
    if not stopping:
        return list(state.nets)
    staying = [m.spec for name, m in state.machines.items() if name not in stopping and m.status.is_up]
    still_used = {nic.net for machine in staying for nic in machine.nics}
    touched = {nic.net for name in stopping for nic in state.machines[name].spec.nics}
    return [name for name in state.nets if name in touched and name not in still_used]


def _start_net(name: str) -> Step:
    return Step(
        f"start-net:{name}",
        StepKind.START_NET,
        name,
        f"Create network {name}",
        resource=Resource.NETWORK,
        group=("Start nets",),
        inverse=Inverse(StepKind.STOP_NET),
    )


def _start_machine(machine: MachineSpec, starting_nets: Collection[str]) -> Step:
    needed = dict.fromkeys(nic.net for nic in machine.nics if nic.net in starting_nets)
    return Step(
        f"start-machine:{machine.name}",
        StepKind.START_MACHINE,
        machine.name,
        f"Starting VM {machine.name}",
        after=tuple(f"start-net:{net}" for net in needed),
        resource=Resource.HYPERVISOR,
        group=("Start vms",),
        inverse=Inverse(StepKind.STOP_MACHINE),
    )
