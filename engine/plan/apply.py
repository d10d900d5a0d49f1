"""From a changed init file to the steps that bring an environment there. Pure.

Two plans: the first one does everything and can be taken back whole, since what is replaced is only set aside; the second one throws
away what was set aside, and is finished when it is interrupted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..spec import DhcpRange, EnvSpec, Json, MachineSpec, NetSpec
from ..state.env import EnvState
from .diff import EnvDiff, Fate, When, stopped_for
from .init import make_seed, names_of
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind
from .running import stop_steps

ASIDE = "aside"
"""Folder of the prefix for files that the run may still need back."""
_OF_INIT = frozenset({StepKind.MAKE_PREFIX, StepKind.CLAIM_SUBNETS, StepKind.SAVE_ENV, StepKind.FINISH_PREFIX, StepKind.KEEP_INIT_FILE})
"""Steps of an init that say nothing of single machines."""


@dataclass(frozen=True, slots=True)
class ApplyFacts:
    """What planning needs to know from outside."""

    files: Mapping[str, tuple[str, ...]]
    """Machine → files of its own below the prefix: images, seed, host keys; and `vm0:data` → images of one disk, frozen ones too."""
    scripts: Collection[str]
    """Scripts that are in the prefix already."""
    known_hosts: str
    """Text of the file."""
    seeds: Mapping[str, str] = field(default_factory=dict)
    """Machine that was told its names and keys by a seed → the seed's image."""


def plan_apply(state: EnvState, changes: EnvDiff, target: EnvSpec, made: Plan, keep: Step, facts: ApplyFacts) -> Plan:
    """Plan what can be taken back.

    Args:
        state: of the environment.
        changes: what differs.
        target: what it will be, complete.
        made: an init of the new parts only.
        keep: the step that remembers the init file.
        facts: from outside.
    """
    gone = [*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.REMOVE, "machine")]
    stops = _stops(state, changes, gone)
    aside = _set_aside(state, [*gone, *_disks_gone(changes, gone)], facts, after=stops)
    claim = _claim(state, changes, target)
    first = tuple(step.id for step in (*stops, *aside, *claim))
    making = [_taken_over(step, made, first, facts) for step in made.steps if step.kind not in _OF_INIT and not _is_idle(step)]
    making += _grow(state, changes, target, first, gone)
    making += _retell(state, changes, target, facts, (*first, *(step.id for step in making)))
    update = _update(state, target, after=(*first, *(step.id for step in making)))
    names = [_update_net(state, target, name, update) for name in _renamed(state, changes, target)]
    steps = (*stops, *aside, *claim, *making, *update, *names)
    last = replace(keep, after=tuple(step.id for step in steps))
    title = "Apply changed init file"
    return Plan("apply", title, state.ref.prefix, state.ref.uuid, state.host, (*steps, last), notes=later(state, changes))


def plan_cleanup(state: EnvState, target: EnvSpec) -> Plan:
    """Plan the throwing away of what the environment no longer stands on."""
    folder = str(PurePath(state.ref.prefix, ASIDE))
    steps = [Step("remove-files", StepKind.REMOVE_FILES, ASIDE, "Remove what was replaced", {"paths": [folder]}, resource=Resource.DISK)]
    freed = sorted(_octets(state.spec.nets.values()) - _octets(target.nets.values()))
    if freed:
        steps.append(Step("release-subnets", StepKind.RELEASE_SUBNETS, state.name, "Release subnets", {"octets": freed}))
    return Plan("cleanup", "Clean up", state.ref.prefix, state.ref.uuid, state.host, tuple(steps), Recovery.FINISH)


def lost_by(state: EnvState, changes: EnvDiff) -> tuple[str, ...]:
    """Say what the user must agree to: what is lost, and which machines are stopped on the way."""
    gone = {*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.REMOVE, "machine")}
    stopped = {name: what for name, what in stopped_for(changes).items() if name not in gone and state.machines[name].status.is_up}
    sentences = (f"machine '{name}': what runs on it (it is stopped for its {what}, and started again)" for name, what in stopped.items())
    return (*changes.losses, *sentences, *_memories_lost(state, [name for name in stopped_for(changes) if name not in gone]))


def _memories_lost(state: EnvState, machines: Iterable[str]) -> Iterator[str]:
    for name in machines:
        notes = state.machines[name].spec.history.notes
        kept = ", ".join(snapshot for snapshot, note in notes.items() if note.memory)
        if kept:
            yield f"machine '{name}': the memory of its snapshots ({kept}), which knows other nics and disks; the disks of these stay"


def later(state: EnvState, changes: EnvDiff) -> tuple[str, ...]:
    """Say which changes are in force only when something is started again."""
    said, stopped = [], stopped_for(changes)
    for item in changes.of(Fate.CHANGE):
        what = ", ".join(change.what for change in item.changes if change.when is When.DOWN and change.what != "dns_records")
        if item.kind == "machine" and what and item.name not in stopped and state.machines[item.name].status.is_up:
            how = f"lagotui --run stop {item.name}, then lagotui --run start {item.name}"
            said.append(f"machine '{item.name}' is running: {what} changes when it is stopped and started: {how}")
        if item.kind == "net" and what and state.nets[item.name].up:
            how = "lagotui --run stop, then lagotui --run up"
            said.append(f"net '{item.name}' is up: {what} changes when it is stopped, with all of its machines, and started: {how}")
    return tuple(said)


def _disks_gone(changes: EnvDiff, gone: Collection[str]) -> list[str]:
    """Return the disks that are made anew or go, of machines that stay."""
    items = (*changes.of(Fate.REPLACE, "disk"), *changes.of(Fate.REMOVE, "disk"))
    return [item.name for item in items if item.owner not in gone]


def _stops(state: EnvState, changes: EnvDiff, gone: Collection[str]) -> list[Step]:
    """Return what stops machines and nets that cannot stay up; taken back, they are started again."""
    machines = [name for name in state.machines if name in {*gone, *stopped_for(changes)}]
    nets = [*changes.names(Fate.REPLACE, "net"), *changes.names(Fate.REMOVE, "net")]
    restart = {StepKind.STOP_MACHINE: StepKind.START_MACHINE, StepKind.STOP_NET: StepKind.START_NET}
    return [replace(step, inverse=Inverse(restart[step.kind])) for step in stop_steps(state, machines, nets)]


def _set_aside(state: EnvState, gone: Iterable[str], facts: ApplyFacts, after: Iterable[Step]) -> list[Step]:
    needed = tuple(step.id for step in after)
    titles = {name: f"Set aside {'disk' if ':' in name else 'VM'} {name}" for name in gone}
    return [_moved_aside(state, f"set-aside:{name}", name, title, facts.files.get(name, ()), needed) for name, title in titles.items()]


def _moved_aside(state: EnvState, step_id: str, subject: str, title: str, paths: Iterable[str], after: tuple[str, ...]) -> Step:
    folder = PurePath(state.ref.prefix, ASIDE)
    moves = {path: str(folder / PurePath(path).relative_to(state.ref.prefix)) for path in paths}
    inverse = Inverse(StepKind.PUT_BACK, {"moves": moves})
    return Step(step_id, StepKind.SET_ASIDE, subject, title, {"moves": moves}, after, Resource.DISK, inverse=inverse)


def _claim(state: EnvState, changes: EnvDiff, target: EnvSpec) -> list[Step]:
    new = {*changes.names(Fate.CREATE, "net"), *changes.names(Fate.REPLACE, "net")}
    ours = _octets(state.spec.nets.values())
    octets = sorted(_octets(net for name, net in target.nets.items() if name in new) - ours)
    if not octets:
        return []
    subject = ", ".join(f"192.168.{octet}.0/24" for octet in octets)
    inverse = Inverse(StepKind.RELEASE_SUBNETS, {"octets": octets})
    return [Step("claim-subnets", StepKind.CLAIM_SUBNETS, subject, "Lease subnets", args={"octets": octets}, inverse=inverse)]


def _grow(state: EnvState, changes: EnvDiff, target: EnvSpec, after: tuple[str, ...], gone: Collection[str]) -> list[Step]:
    """Return what makes disks larger. Nothing takes that back: a disk that is larger than it need be does no harm."""
    steps = []
    for item in changes.of(Fate.CHANGE, "disk"):
        machine, _, name = item.name.partition(":")
        disk = next(disk for disk in target.machines[machine].disks if disk.name == name)
        if machine not in gone and any(change.what == "size" for change in item.changes):
            args = {"path": disk.path, "size": disk.size}
            title, group = f"Grow disk {name}", (f"Create disks for VM {machine}",)
            steps.append(Step(f"grow-disk:{item.name}", StepKind.GROW_DISK, item.name, title, args, after, Resource.DISK, group))
    return steps


def _retell(state: EnvState, changes: EnvDiff, target: EnvSpec, facts: ApplyFacts, after: tuple[str, ...]) -> list[Step]:
    """Return what tells machines that stay of their new nics, and us of their new names; seeds say which nics there are."""
    items = [item for item in changes.items if item.kind == "nic" and item.owner in facts.seeds]
    again = [name for name in dict.fromkeys(item.owner for item in items) if _stays(name, changes)]
    if not again:
        return []
    steps = []
    for name in again:
        aside = _moved_aside(state, f"set-seed-aside:{name}", name, f"Set aside what {name} was told", [facts.seeds[name]], after)
        seed = make_seed(target.machines[name], target.nets, renew_network=True)
        inverse = Inverse(StepKind.REMOVE_FILES, {"seeds": [name], "paths": []})
        steps += [aside, replace(seed, title=f"Tell {name} of its nics", after=(aside.id,), inverse=inverse, group=())]
    known = {name: names_of(target.machines[name], target.nets) for name in again}
    inverse = Inverse(StepKind.UNMAKE_HOST_KEYS, {"machines": [], "known_hosts": facts.known_hosts})
    args: dict[str, Json] = {"hosts": {}, "known": known}
    title = "Record host keys under new names"
    steps.append(Step("know-host-keys", StepKind.MAKE_HOST_KEYS, ", ".join(again), title, args=args, after=after, inverse=inverse))
    return steps


def _stays(machine: str, changes: EnvDiff) -> bool:
    return machine not in (*changes.names(Fate.REPLACE, "machine"), *changes.names(Fate.REMOVE, "machine"))


def _is_idle(step: Step) -> bool:
    return step.kind is StepKind.MAKE_KEYS and not step.args["hosts"]


def _taken_over(step: Step, made: Plan, first: tuple[str, ...], facts: ApplyFacts) -> Step:
    """Return a step of the init of the new parts as one that can be taken back by itself."""
    kept = {each.id for each in made.steps if each.kind not in _OF_INIT and not _is_idle(each)}
    after = (*first, *(needed for needed in step.after if needed in kept))
    if step.kind is StepKind.MAKE_KEYS:
        hosts = step.args["hosts"]
        inverse = Inverse(StepKind.UNMAKE_HOST_KEYS, {"machines": list(hosts), "known_hosts": facts.known_hosts})
        title = "Create host keys"
        return replace(step, kind=StepKind.MAKE_HOST_KEYS, title=title, args={"hosts": hosts}, after=after, inverse=inverse, group=())
    if step.kind is StepKind.MAKE_SEED:
        return replace(step, after=after, inverse=Inverse(StepKind.REMOVE_FILES, {"seeds": [step.subject], "paths": []}))
    paths = [path for path in _targets(step) if path not in facts.scripts]
    return replace(step, after=after, inverse=Inverse(StepKind.REMOVE_FILES, {"paths": paths}) if paths else None)


def _targets(step: Step) -> list[str]:
    """Return the files that a step makes in the prefix."""
    match step.kind:
        case StepKind.MAKE_DISK | StepKind.FETCH_IMAGE:
            return [step.args["path"]]
        case StepKind.EXTRACT_OVA:
            return list(step.args["members"].values())
        case StepKind.COPY_SCRIPTS:
            return list(step.args["copies"].values())
        case _:
            return []


def _update(state: EnvState, target: EnvSpec, after: tuple[str, ...]) -> list[Step]:
    """Return the step that writes the specs; none when there is nothing to write."""
    now = state.spec
    if now == target and list(now.machines) == list(target.machines) and list(now.nets) == list(target.nets):
        return []
    inverse = Inverse(StepKind.UPDATE_SPEC, _spec_args(now))
    return [Step("update-spec", StepKind.UPDATE_SPEC, state.name, "Save prefix", args=_spec_args(target), after=after, inverse=inverse)]


def _spec_args(env: EnvSpec) -> dict[str, Json]:
    return {"machines": [_json(machine) for machine in env.machines.values()], "nets": [_json(net) for net in env.nets.values()]}


def _json(spec: MachineSpec | NetSpec) -> dict[str, Json]:
    return spec.to_json()


def _renamed(state: EnvState, changes: EnvDiff, target: EnvSpec) -> list[str]:
    """Return the nets that stay up and whose names or reservations change."""
    moved = {*changes.names(Fate.REPLACE, "net"), *changes.names(Fate.REMOVE, "net")}
    return [name for name, net in state.nets.items() if net.up and name not in moved and _names(net.spec) != _names(target.nets[name])]


def _names(net: NetSpec) -> tuple[dict[str, str], dict[str, str], DhcpRange | None]:
    return dict(net.dns_records), dict(net.mapping), net.dhcp


def _update_net(state: EnvState, target: EnvSpec, name: str, update: Iterable[Step]) -> Step:
    return Step(
        f"update-net:{name}",
        StepKind.UPDATE_NET,
        name,
        f"Update names of network {name}",
        args={"nets": [_json(net) for net in target.nets.values()]},
        after=tuple(step.id for step in update),
        resource=Resource.NETWORK,
        inverse=Inverse(StepKind.UPDATE_NET, {"nets": [_json(net) for net in state.spec.nets.values()]}),
    )


def _octets(nets: Iterable[NetSpec]) -> set[int]:
    return {int(net.gw.split(".")[2]) for net in nets if net.gw}
