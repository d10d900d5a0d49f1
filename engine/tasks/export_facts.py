"""What planning an export must know from outside: the folder, the images and what they stand on, who else stands on what is replaced."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import ConfigError, EngineError, MachineStateError
from ..plan.disks import ISO
from ..plan.export import ChainFacts, ExportFacts, ExportRequest, chosen, exported, is_of_store, wanted_disks
from ..plan.exported_file import exported_file, left_out
from ..plan.exporting import plan_export, plan_tidy
from ..plan.model import Plan
from ..plan.scripts import KEY as SCRIPTS_KEY
from ..spec import DiskSpec, Json, MachineSpec
from ..state import known
from ..state.env import EnvState
from ..state.prefix import Prefix
from .preparing import Kit

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOKS_AT_ONCE = 4
_STAT_BLOCK_BYTES = 512
"""Unit of `st_blocks`. (stat(2))"""

Dump = Callable[[Mapping[str, Json]], str]


@dataclass(frozen=True, slots=True)
class PreparedExport:
    plan: Plan
    tidy: Plan
    """What follows when all went well."""
    disks: Mapping[str, list[str]]
    """Machine → the files that its disks become."""
    init_file: str


def prepare_export(kit: Kit, ctx: TaskContext, env: Prefix, state: EnvState, request: ExportRequest, dump: Dump) -> PreparedExport:
    """Plan an export.

    Raises:
        MachineStateError: a machine is up, or an image of it is gone.
        SnapshotError: a machine does not have the snapshot.
        ConfigError: the folder cannot be used, or holds files that would be replaced.
        DiskFull: there is too little room.
    """
    machines = chosen(state, request.machines, request.snapshot)
    folder = _usable_folder(env, request)
    facts = _facts(kit, ctx, env, folder, machines, request)
    export = exported(machines, request, facts)
    text = dump(exported_file(state.spec, export, exact=request.exact))
    plan = plan_export(state, request, facts, export, text)
    if not request.exact and (secret := left_out(export)):
        ctx.tell(f"the init file leaves out the passwords of {', '.join(secret)}; --exact keeps them")
    disks = {name: [f"{folder}/{disk.name}" for disk in disks] for name, disks in export.disks.items()}
    return PreparedExport(plan, plan_tidy(state, facts), disks, f"{folder}/{request.init_file_name}")


def _usable_folder(env: Prefix, request: ExportRequest) -> Path:
    """Raises: ConfigError: nothing can be exported there."""
    name = request.init_file_name
    if not name or "/" in name or name in (".", ".."):
        raise ConfigError(f"'{name}' cannot be the name of the init file: it must be a file name, without a folder")
    folder = Path(os.path.realpath(request.folder))
    inside = next((each for each in (env.path, env.path.resolve()) if folder.is_relative_to(each)), None)
    if inside is not None:
        raise ConfigError(
            f"'{folder}' is in the environment itself: destroy would take the export along", hint="export into another folder: -d DIR"
        )
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise ConfigError(f"'{there}' is no folder: nothing can be exported to '{folder}'")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"'{there}' cannot be written: nothing can be exported to '{folder}'", hint="export into another folder: -d DIR")
    return folder


def _facts(kit: Kit, ctx: TaskContext, env: Prefix, folder: Path, machines: Sequence[MachineSpec], request: ExportRequest) -> ExportFacts:
    from uuid import uuid4

    missing = [str(each) for each in (folder, *folder.parents) if not each.exists()]
    room = os.statvfs(next(each for each in (folder, *folder.parents) if each.exists()))
    chains = _chains(ctx, machines, request)
    bases = {path for each in chains.values() for path in each.paths[1:] if is_of_store(path)}
    return ExportFacts(
        folder=str(folder),
        missing=tuple(reversed(missing)),
        taken=_names_in(folder),
        free_bytes=room.f_bavail * room.f_frsize,
        chains=chains,
        base_sha1={path: sha1 for path in bases if (sha1 := _sha1_of(Path(path)))},
        in_use=_in_use(env) if request.force else {},
        script_names=_script_names(kit, env, machines),
        cores=os.cpu_count() or 1,
        day=time.strftime("%Y%m%d"),
        token=uuid4().hex[:8],
    )


def _names_in(folder: Path) -> frozenset[str]:
    found: set[str] = set()
    for below in ("", "scripts"):
        try:
            found.update(os.path.normpath(f"{below}/{name}").lstrip("/") for name in os.listdir(folder / below))  # noqa: PTH208 - names only
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as closed:
            raise ConfigError(f"'{folder}' cannot be read: {closed.strerror}") from closed
    return frozenset(found)


# images


def _chains(ctx: TaskContext, machines: Sequence[MachineSpec], request: ExportRequest) -> dict[str, ChainFacts]:
    disks = {disk.path: (machine.name, disk) for machine in machines for disk in wanted_disks(machine, request.snapshot) if disk.path}

    def look(item: tuple[str, DiskSpec]) -> ChainFacts:
        return _chain(ctx, *item, standalone=request.standalone)

    with ThreadPoolExecutor(LOOKS_AT_ONCE, "look") as pool:
        return dict(zip(disks, pool.map(look, disks.values()), strict=True))


def _chain(ctx: TaskContext, machine: str, disk: DiskSpec, *, standalone: bool) -> ChainFacts:
    from ..images.disks import format_of
    from ..images.export import measure
    from ..images.moved import backing_of, rejoin

    assert disk.path is not None
    image = Path(disk.path)
    if disk.format == "qcow2" and image.exists():
        rejoin(ctx, image)
    paths: list[str] = []
    here: Path | None = image
    while here is not None and str(here) not in paths:
        _require_image(machine, disk, here)
        paths.append(str(here))
        here = backing_of(here) if disk.format == "qcow2" else None
    bases = {path: format_of(ctx, Path(path)) for path in paths[1:] if is_of_store(path)}
    merged = 0 if disk.format == ISO or (bases and not standalone) else measure(ctx, image, disk.format, disk.format)
    own = tuple(Path(path).stat().st_blocks * _STAT_BLOCK_BYTES for path in paths)
    return ChainFacts(tuple(paths), own, merged, bases)


def _require_image(machine: str, disk: DiskSpec, image: Path) -> None:
    """Raises: MachineStateError: an image is gone, or not ours to read."""
    if not image.exists():
        raise MachineStateError(
            f"machine '{machine}': the image '{image}' of disk '{disk.name}' is gone",
            hint="put it back, or leave the machine out: export -n OTHER…",
        )
    if not os.access(image, os.R_OK):
        raise MachineStateError(f"machine '{machine}': the image '{image}' of disk '{disk.name}' cannot be read by you")


def _sha1_of(image: Path) -> str:
    try:
        return image.with_name(f"{image.name}.hash").read_text(errors="replace").strip()[:40]
    except OSError:  # a store that somebody else filled need not have it
        return ""


def _in_use(env: Prefix) -> dict[str, str]:
    """Return image → environment that stands on it, of all environments that are known."""
    from ..images.prune import chain

    users: dict[str, str] = {}
    for prefix in (env, *(each.prefix for each in known.remembered()[0])):
        try:
            for path in _images_of(prefix):
                users.update(dict.fromkeys((str(each.resolve()) for each in chain(path)), str(prefix.path)))
        except (EngineError, OSError):  # destroyed, damaged, or not ours to read: it is not known what it stands on
            continue
    return users


def _images_of(prefix: Prefix) -> Iterable[Path]:
    for machine in prefix.load_env().machines.values():
        for disks in (machine.disks, *machine.snapshots.values()):
            yield from (Path(disk.path) for disk in disks if disk.path)


def _script_names(kit: Kit, env: Prefix, machines: Sequence[MachineSpec]) -> dict[str, str]:
    """Return deploy script in the prefix → the name that it had in the init file, where that is known."""
    from .applying import made_from

    if not any(machine.metadata.get(SCRIPTS_KEY) for machine in machines):
        return {}
    before = made_from(kit, env)
    names: dict[str, str] = {}
    for machine in machines:
        was = before.machines.get(machine.name) if before else None
        then, now = (was.metadata.get(SCRIPTS_KEY) or [] if was else []), machine.metadata.get(SCRIPTS_KEY) or []
        if len(then) == len(now):
            names.update({script: Path(old).name for script, old in zip(now, then, strict=True)})
    return names
