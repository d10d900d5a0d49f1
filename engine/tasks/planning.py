"""What `init`, `up` and a changed init file would do, without doing it: nothing is claimed, started or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import HostError
from ..plan import summary as sums
from ..plan.diff import EnvDiff, Fate
from ..plan.forecast import forecast
from ..plan.model import Plan, Step
from ..plan.running import plan_up
from ..plan.summary import PlanSummary
from ..providers.hosts import ChosenHost
from ..spec import EnvRef, EnvSpec, MachineSpec, MachineStatus
from ..state import durations
from ..state.env import EnvState, MachineState, NetState
from ..state.locks import lock_holder
from ..state.prefix import Prefix, is_prefix
from .applying import Prepared, prepare_changes
from .bootstrap_steps import is_prepared, missing_for
from .estimating import capacity, size_facts
from .facts import InitRequest, read_init_file
from .preparing import Kit, chosen_host, env_of, init_plan
from .runner import default_limits
from .runs import pending_runs

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..images.store import Store


def plan_summary(kit: Kit, ctx: TaskContext, request: InitRequest) -> PlanSummary:
    """Sum up what `up` would do with an init file.

    Raises:
        InitFileError: the file cannot be used.
        EngineError: there is no such template, no subnet is left, an image cannot be used.
    """
    plan = _of_existing(kit, ctx, request) if is_prefix(request.prefix) else _of_new(kit, ctx, request)
    return replace(plan, notes=(*plan.notes, *_unfinished(request.prefix)))


def _unfinished(prefix: Path) -> tuple[str, ...]:
    """Say what of other runs is on its way, or was left in the middle: the plan is for things as they are at this moment."""
    holder, left = lock_holder(prefix), pending_runs(prefix)
    if holder is not None:
        return (f"'{holder.what}' is at work on it at this moment, and may change this plan",)
    return tuple(f"{run.sentence}; that may change this plan" for run in left)


def _of_new(kit: Kit, ctx: TaskContext, request: InitRequest) -> PlanSummary:
    images = kit.images()
    written = read_init_file(ctx, request, images[0], kit.settings, kit.hosts)
    host, notes = _chosen_host(kit, ctx, request, written)
    plan = init_plan(kit, ctx, request, written, host, images, fetch=False)
    env = env_of(plan)
    steps = [*plan.steps, *_starting(_state_of(plan, env))]
    seen = _Seen(request, written, env, steps, host.name, images, starting=tuple(env.machines), notes=(*plan.notes, *notes))
    return seen.summed_up(ctx)


def _of_existing(kit: Kit, ctx: TaskContext, request: InitRequest) -> PlanSummary:
    prepared = prepare_changes(kit, ctx, request, fetch=False)
    if prepared is None:
        state = kit.state(Prefix.at(request.prefix))
        starting = _down(state)
        return _Seen(request, EnvSpec({}, {}), state.spec, _starting(state), state.host, kit.images(), starting=starting).summed_up(ctx)
    after = _after(prepared)
    steps = [*(step for plan in prepared.plans for step in plan.steps), *_starting(after)]
    notes = (*(note for plan in prepared.plans for note in plan.notes), *(f"would be lost: {lost}" for lost in prepared.lost))
    images, host = prepared.images, prepared.state.host
    seen = _Seen(request, prepared.written, prepared.target, steps, host, images, prepared.changes, _down(after), notes)
    return seen.summed_up(ctx)


def _starting(state: EnvState) -> list[Step]:
    return [step for plan in plan_up(state) for step in plan.steps]


def _down(state: EnvState) -> tuple[str, ...]:
    return tuple(name for name, machine in state.machines.items() if not machine.status.is_up)


def _after(prepared: Prepared) -> EnvState:
    """Return the environment as it will be when its changes are applied, before anything is started."""
    state, stopped = prepared.state, {step.id for plan in prepared.plans for step in plan.steps}
    down = MachineState(MachineSpec(""), MachineStatus.DOWN)
    machines = {
        name: MachineState(machine, MachineStatus.DOWN if f"stop-machine:{name}" in stopped else state.machines.get(name, down).status)
        for name, machine in prepared.target.machines.items()
    }
    nets = {
        name: NetState(net, name in state.nets and state.nets[name].up and f"stop-net:{name}" not in stopped)
        for name, net in prepared.target.nets.items()
    }
    return replace(state, machines=machines, nets=nets)


def _chosen_host(kit: Kit, ctx: TaskContext, request: InitRequest, spec: EnvSpec) -> tuple[ChosenHost, tuple[str, ...]]:
    """Choose the host of a new environment; one that is out of order is a note, since the rest of the plan can still be seen."""
    try:
        return chosen_host(kit, ctx, request, spec), ()
    except HostError as failure:
        return ChosenHost(kit.settings.libvirt_url, frozenset()), (str(failure),)


def _state_of(plan: Plan, env: EnvSpec) -> EnvState:
    """Return the environment that an init has made: everything is down."""
    machines = {name: MachineState(machine, MachineStatus.DOWN) for name, machine in env.machines.items()}
    nets = {name: NetState(net, False) for name, net in env.nets.items()}
    return EnvState(EnvRef(plan.prefix, plan.uuid), "", plan.host, machines, nets)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a summary is made of."""

    request: InitRequest
    written: EnvSpec
    env: EnvSpec
    steps: Sequence[Step]
    host: str
    images: tuple[Catalogue, Store]
    changes: EnvDiff = field(default_factory=EnvDiff)
    starting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def summed_up(self, ctx: TaskContext) -> PlanSummary:
        catalogue, store = self.images
        written = self._new_parts()
        sizes = size_facts(ctx, written, catalogue, store)
        left = capacity(self.request.prefix, store.root)
        machines = tuple(
            sums.machine_summary(machine, self.written.machines.get(name, machine), sizes) for name, machine in self.env.machines.items()
        )
        disks = {(name, disk.name) for name, machine in written.machines.items() for disk in machine.disks}
        new = [disk for machine in machines for disk in machine.disks if (machine.name, disk.name) in disks]
        done = sums.fetch_steps_done(self.steps, sizes.templates) | {step.id for step in self.steps if is_prepared(step)}
        unable = missing_for(self.steps)
        return PlanSummary(
            prefix=str(self.request.prefix),
            host=self.host,
            exists=is_prefix(self.request.prefix),
            nets=tuple(sums.net_summary(net) for net in self.env.nets.values()),
            machines=machines,
            templates=tuple(sizes.templates),
            memory_mib=sums.memory_need(self.env, self.starting, left.memory_mib),
            disk_bytes=sums.disk_need(new, sizes.copied_bytes, left.disk_bytes),
            store_bytes=sums.Need(sums.fetched_bytes(sizes.templates), left.store_bytes),
            forecast=forecast(self.steps, durations.medians(), default_limits(), done),
            changes=self.changes,
            notes=(*self.notes, *([str(unable)] if unable else [])),
        )

    def _new_parts(self) -> EnvSpec:
        """Return what the init file says of the machines and disks that are made: only they need room."""
        if not is_prefix(self.request.prefix):
            return self.written
        new = {*self.changes.names(Fate.CREATE, "machine"), *self.changes.names(Fate.REPLACE, "machine")}
        made = {*self.changes.names(Fate.CREATE, "disk"), *self.changes.names(Fate.REPLACE, "disk")}
        parts = {
            name: machine if name in new else machine.with_disks(tuple(disk for disk in machine.disks if f"{name}:{disk.name}" in made))
            for name, machine in self.written.machines.items()
        }
        return EnvSpec({name: machine for name, machine in parts.items() if name in new or machine.disks}, {})
