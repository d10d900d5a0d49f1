"""A changed init file and the environment that was made from an earlier one: what differs, and the plans that bring the two together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import ChangeRefused
from ..plan.apply import ApplyFacts, lost_by, plan_apply, plan_cleanup
from ..plan.diff import EnvDiff, diff
from ..plan.init import plan_init
from ..plan.merging import completed, merged, new_parts
from ..plan.model import Plan
from ..plan.snapshots import MEMORY_FOLDER
from ..spec import DiskSpec, EnvSpec, MachineSpec
from ..state.env import EnvState
from ..state.prefix import Prefix
from .bootstrap_steps import require_tools
from .facts import InitRequest, addressed, read_init_file, shown_path
from .init_facts import init_facts
from .init_steps import host_key_path, seed_path
from .preparing import Kit, env_of, keep_init_file

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..images.store import Store


@dataclass(frozen=True, slots=True)
class Prepared:
    """A changed init file, thought through to its end."""

    state: EnvState
    written: EnvSpec
    """What the file says."""
    changes: EnvDiff
    target: EnvSpec
    """What the environment will be."""
    lost: tuple[str, ...]
    """What the user must agree to lose, a sentence each."""
    plans: tuple[Plan, ...]
    """To be carried out one after the other."""
    images: tuple[Catalogue, Store]


def with_known_file(request: InitRequest) -> InitRequest:
    """Return the request about an environment that is there, with the init file that it was made from where none was named."""
    if request.named or request.text is not None or request.init_file.is_file():
        return request
    known = Prefix.at(request.prefix).init_file
    return replace(request, init_file=Path(known[0])) if known and Path(known[0]).is_file() else request


def is_changed(request: InitRequest) -> bool:
    """Whether the init file is another than the one that the environment was last made from; without a file nothing is."""
    if request.text is None and not request.init_file.is_file():
        return request.named  # then it is missed when it is read
    known = Prefix.at(request.prefix).init_file
    return known is None or known != (str(request.init_file.absolute()), request.read())


def changes_of(kit: Kit, ctx: TaskContext, request: InitRequest) -> tuple[EnvDiff, tuple[str, ...]]:
    """Return what an init file changes in the environment that is there, and what the user must agree to lose.

    Raises:
        InitFileError: the file cannot be used.
    """
    request = with_known_file(request)
    if not is_changed(request):
        return EnvDiff(), ()
    state = kit.state(Prefix.at(request.prefix))
    catalogue, _ = kit.images()
    written = read_init_file(ctx, request, catalogue, kit.settings, kit.hosts)
    changes = diff(written, state.spec, made_from(kit, Prefix.at(request.prefix)))
    return changes, lost_by(state, changes)


def prepare_changes(kit: Kit, ctx: TaskContext, request: InitRequest, *, fetch: bool = True) -> Prepared | None:
    """Plan what brings the environment to what its changed init file says; None when the file is the one that it was made from.

    Raises:
        EngineError: it cannot be done.
    """
    request = with_known_file(request)
    if not is_changed(request):
        return None
    prefix, images = Prefix.at(request.prefix), kit.images()
    written = read_init_file(ctx, request, images[0], kit.settings, kit.hosts)
    state = kit.state(prefix)
    changes = diff(written, state.spec, made_from(kit, prefix))
    keep = keep_init_file(request, prefix.init_file)
    if changes.is_empty:
        plan = Plan("apply", "Save init file", state.ref.prefix, state.ref.uuid, state.host, (keep,))
        return Prepared(state, written, changes, state.spec, (), (plan,), images)
    provider = kit.peek(prefix)
    used = provider.used_subnets(prefix.ref) if provider is not None else frozenset()
    target = addressed(merged(written, state.spec, changes), state.ref.uuid, kit.settings, used)
    parts = new_parts(target, changes)
    facts = init_facts(ctx, request, parts, *images, uuid=state.ref.uuid, host=state.host, fetch=fetch)
    made = plan_init(parts, replace(facts, taken=frozenset(path.name for path in prefix.images.iterdir())))
    if fetch:
        require_tools(made.steps)
    target = completed(target, env_of(made).machines, changes)
    plans = (plan_apply(state, changes, target, made, keep, _apply_facts(prefix, state)), plan_cleanup(state, target))
    return Prepared(state, written, changes, target, lost_by(state, changes), plans, images)


def require_agreement(prepared: Prepared, request: InitRequest) -> None:
    """Raises: ChangeRefused: something would be lost, and the user has not agreed to that."""
    if prepared.lost and not request.agreed:
        said = "\n".join(f"  {sentence}" for sentence in prepared.lost)
        raise ChangeRefused(
            f"'{shown_path(request.init_file)}' has changed so that '{request.prefix}' would lose:\n{said}\nnothing was changed",
            hint="look at it with: lagotui --run plan; agree with: lagotui --run up -y",
        )


def made_from(kit: Kit, prefix: Prefix) -> EnvSpec | None:
    """Return what the init file said that a prefix was last made from; None when that is not known, or means nothing any more."""
    from ..initfile.load import load_init_file
    from .checking import local_facts

    known = prefix.init_file
    if known is None:
        return None
    catalogue, _ = kit.images()
    return load_init_file(Path(known[0]), known[1], local_facts(kit.settings, catalogue, kit.hosts)).spec


def _apply_facts(prefix: Prefix, state: EnvState) -> ApplyFacts:
    known_hosts = prefix.known_hosts.read_text(encoding="utf-8") if prefix.known_hosts.exists() else ""
    scripts = frozenset(str(path) for path in prefix.scripts.iterdir()) if prefix.scripts.is_dir() else frozenset()
    seeds = {name: str(path) for name in state.machines if (path := seed_path(prefix, name)).exists()}
    return ApplyFacts(_own_files(prefix, state.spec.machines), scripts, known_hosts, seeds)


def _own_files(prefix: Prefix, machines: Mapping[str, MachineSpec]) -> dict[str, tuple[str, ...]]:
    """Return the files that no other machine needs: images, seed, host keys."""
    images = {name: {*_memories(machine), *(disk.path for disk in _all_disks(machine) if disk.path)} for name, machine in machines.items()}
    owners: dict[str, int] = {}
    for paths in images.values():
        for path in paths:
            owners[path] = owners.get(path, 0) + 1
    files: dict[str, tuple[str, ...]] = {}
    for name, paths in images.items():
        own = sorted(path for path in paths if owners[path] == 1 and _is_ours(prefix, path))
        key = host_key_path(prefix, name)
        for disk in machines[name].disks:
            of_disk = {each.path for each in _all_disks(machines[name]) if each.name == disk.name}
            files[f"{name}:{disk.name}"] = tuple(path for path in own if path in of_disk)
        files[name] = (*own, *(str(path) for path in (seed_path(prefix, name), key, key.with_suffix(".pub"))))
    return files


def _is_ours(prefix: Prefix, path: str) -> bool:
    """Whether a file is an image or a memory that lagotui made."""
    return any(Path(path).is_relative_to(folder) for folder in (prefix.images, prefix.path / MEMORY_FOLDER))


def _memories(machine: MachineSpec) -> list[str]:
    """Return what its snapshots keep beside disks, and what they kept."""
    return [*machine.history.leftovers, *(note.memory for note in machine.history.notes.values() if note.memory)]


def _all_disks(machine: MachineSpec) -> list[DiskSpec]:
    return [*machine.disks, *(disk for disks in machine.snapshots.values() for disk in disks)]
