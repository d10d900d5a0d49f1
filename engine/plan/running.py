"""Start, wait for and stop machines and their nets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..errors import InitFileError, MachineStateError
from ..spec import MachineSpec, MachineStatus
from ..state.env import EnvState
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind


def plan_up(state: EnvState, machines: Sequence[str] = (), *, wait: bool = True) -> tuple[Plan, ...]:
    """Start machines, what they depend on, and the nets that they use; all of them when none is named.

    Machines that others depend on come first and are waited for, so there may be several plans, to be carried out one after the other:
    when one of them fails, what the earlier ones started goes on running and can be looked at.

    Args:
        state: of the environment; what runs already is left alone, and what is paused goes on.
        machines: by name; none means all.
        wait: end with waiting until every machine is ready.

    Raises:
        InitFileError: machines depend on each other in a circle.
    """
    specs = state.spec.machines
    levels = start_levels(specs, machines) or [[]]
    down = [name for level in levels for name in level if not _runs(state, name)]
    needed = {each for name in down for each in specs[name].depends_on if each in specs}
    used = {nic.net for level in levels for name in level for nic in specs[name].nics} if machines else set(state.nets)
    starting = [name for name, net in state.nets.items() if name in used and not net.up]
    waited: set[str] = set()
    plans: list[Plan] = []
    for level in levels:
        nets = [net for net in starting if level is levels[-1] or any(nic.net == net for name in level for nic in specs[name].nics)]
        starting = [net for net in starting if net not in nets]
        plans.append(_start_plan(state, [name for name in level if name in down], nets, bool(machines)))
        awaited = [name for name in level if name in needed]
        plans.append(plan_wait(state, awaited))
        waited.update(awaited)
    if wait:
        plans.append(plan_wait(state, [name for level in levels for name in level if name not in waited]))
    return tuple(plan for plan in plans if plan.steps)


def start_levels(specs: Mapping[str, MachineSpec], machines: Sequence[str] = ()) -> list[list[str]]:
    """Return machines by level, with all that they depend on: each depends on machines of earlier levels only.

    Raises:
        InitFileError: they depend on each other in a circle.
    """
    left = dict.fromkeys(_with_needed(specs, machines or tuple(specs)))
    levels: list[list[str]] = []
    while left:
        level = [name for name in left if not any(needed in left for needed in specs[name].depends_on)]
        if not level:
            raise InitFileError(
                f"machines depend on each other in a circle: {', '.join(left)}", hint="take one out of their 'depends_on' in the init file"
            )
        levels.append(level)
        for name in level:
            del left[name]
    return levels


def _with_needed(specs: Mapping[str, MachineSpec], machines: Sequence[str]) -> list[str]:
    """Return machines and everything that they depend on, in the order of the environment."""
    found: set[str] = set()
    todo = list(machines)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [needed for needed in specs[name].depends_on if needed in specs]
    return [name for name in specs if name in found]


def plan_start(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Start exactly these machines and the nets that they use, whatever they depend on; all of them when none is named.

    A machine that is paused goes on: QEMU holds one, too, whose disk had no room for what it wrote.
    """
    chosen = machines or tuple(state.machines)
    used = {nic.net for name in chosen for nic in state.machines[name].spec.nics} if machines else set(state.nets)
    down = [name for name in chosen if not _runs(state, name)]
    return _start_plan(state, down, [name for name, net in state.nets.items() if name in used and not net.up], bool(machines))


def _start_plan(state: EnvState, machines: Sequence[str], nets: Sequence[str], named: bool) -> Plan:
    steps = [start_net_step(name) for name in nets]
    for name in machines:
        if state.machines[name].status is MachineStatus.PAUSED:
            resume = resume_step(name, tuple(step.id for step in steps if step.kind is StepKind.START_NET), ("Start vms",))
            steps += [resume, clock_step(name, (resume.id,), ("Start vms",))]
        else:
            steps.append(_start_machine(state.machines[name].spec, nets))
    title = "Start specified VMs" if named else "Start Prefix"
    return Plan("start", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps))


def _runs(state: EnvState, name: str) -> bool:
    status = state.machines[name].status
    return status.is_up and status is not MachineStatus.PAUSED


def resume_step(name: str, after: tuple[str, ...], group: tuple[str, ...]) -> Step:
    """Return the step that lets a paused machine go on."""
    step_id = f"resume-machine:{name}"
    return Step(step_id, StepKind.RESUME_MACHINE, name, f"Resume VM {name}", after=after, resource=Resource.HYPERVISOR, group=group)


def clock_step(name: str, after: tuple[str, ...], group: tuple[str, ...]) -> Step:
    """Return the step that brings the clock of a machine that was paused to now."""
    title = f"Set the clock of {name}"
    return Step(f"set-clock:{name}", StepKind.SET_CLOCK, name, title, after=after, resource=Resource.GUEST, group=group, journaled=False)


def plan_wait(state: EnvState, machines: Collection[str] | None = None) -> Plan:
    """Wait until machines, by default all, are ready: ssh answers where they have an address, and what their `ready` asks for holds."""
    chosen = [state.machines[name].spec for name in (state.machines if machines is None else machines)]
    steps = tuple(_wait(machine) for machine in chosen if machine.ip or machine.ready)
    return Plan("wait", "Wait for ssh connectivity", state.ref.prefix, state.ref.uuid, state.host, steps)


def _wait(machine: MachineSpec) -> Step:
    kind, title = StepKind.WAIT_SSH, f"Wait for ssh connectivity on {machine.name}"
    if machine.ready is not None:
        kind, title = StepKind.WAIT_READY, f"Wait until {machine.name} is ready"
    return Step(f"{kind.value}:{machine.name}", kind, machine.name, title, resource=Resource.GUEST, journaled=False)


def plan_stop(state: EnvState, machines: Sequence[str] = ()) -> Plan:
    """Stop machines at once; all of them, and all nets, when none is named. A net goes when no machine that stays up uses it."""
    title = "Stop specified VMs" if machines else "Stop prefix"
    steps = stop_steps(state, machines or tuple(state.machines), idle_nets(state, machines))
    return Plan("stop", title, state.ref.prefix, state.ref.uuid, state.host, tuple(steps), Recovery.FINISH)


def stop_steps(state: EnvState, machines: Collection[str], nets: Collection[str], above: tuple[str, ...] = ()) -> list[Step]:
    """Return the steps that stop those of `machines` and `nets` that are up."""
    up = [name for name in machines if state.machines[name].status.is_up]
    steps = [
        Step(
            f"stop-machine:{name}",
            StepKind.STOP_MACHINE,
            name,
            f"Leave VM {name} as it is" if state.machines[name].spec.is_external else f"Destroying VM {name}",
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


def idle_nets(state: EnvState, stopping: Sequence[str]) -> list[str]:
    """Return the nets that nobody uses any more once `stopping` are down; all nets when none is named."""
    if not stopping:
        return list(state.nets)
    staying = [m.spec for name, m in state.machines.items() if name not in stopping and m.status.is_up]
    still_used = {nic.net for machine in staying for nic in machine.nics}
    touched = {nic.net for name in stopping for nic in state.machines[name].spec.nics}
    return [name for name in state.nets if name in touched and name not in still_used]


def plan_nets(state: EnvState, nets: Sequence[str], *, up: bool) -> Plan:
    """Start or stop nets by name.

    Raises:
        MachineStateError: a machine that runs uses a net that should be stopped.
    """
    if up:
        steps = [start_net_step(name) for name in nets if not state.nets[name].up]
        return Plan("start", "Start nets", state.ref.prefix, state.ref.uuid, state.host, tuple(steps))
    users = [name for name, m in state.machines.items() if m.status.is_up and any(nic.net in nets for nic in m.spec.nics)]
    if users:
        raise MachineStateError(f"running machines use {', '.join(nets)}: {', '.join(users)}", hint=f"lagotui --run stop {' '.join(users)}")
    return Plan("stop", "Stop nets", state.ref.prefix, state.ref.uuid, state.host, tuple(stop_steps(state, (), nets)), Recovery.FINISH)


def start_net_step(name: str) -> Step:
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
