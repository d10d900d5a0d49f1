"""The steps of an export: everything is made in a folder beside its place, and put in its place at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ..errors import ConfigError, DiskFull
from ..spec import DiskType, Json
from ..state.env import EnvState
from .disks import ISO
from .export import SIDECARS, ChainFacts, Exported, ExportedDisk, ExportFacts, ExportRequest
from .model import Inverse, Plan, Recovery, Resource, Step, StepKind


def plan_export(state: EnvState, request: ExportRequest, facts: ExportFacts, export: Exported, init_file: str) -> Plan:
    """Make everything in a folder beside its place, then put it in its place at once; a run that dies is undone.

    Args:
        state: of the environment.
        request: what is asked for.
        facts: of the folder and the images.
        export: what it consists of.
        init_file: its text.

    Raises:
        ConfigError: files that are there would be replaced, or images that environments stand on.
        DiskFull: there is too little room.
    """
    staging = _staging(facts)
    files = [
        *(name for each in export.files().values() for name in (each.name, *(f"{each.image}{suffix}" for suffix in SIDECARS))),
        *export.scripts.values(),
        request.init_file_name,
    ]
    _require_free(request, facts, files)
    _require_room(export, facts)
    made = _make_folder(facts, staging)
    disks = _disk_steps(request, facts, export, staging)
    rest = _write_files(request, export, staging, init_file)
    publish = Step(
        "publish-export",
        StepKind.PUBLISH_EXPORT,
        facts.folder,
        f"Put the files into {facts.folder}",
        args={"folder": facts.folder, "staging": staging, "files": files, "force": request.force},
        after=(*(step.id for step in disks), rest.id),
        inverse=Inverse(StepKind.UNPUBLISH_EXPORT, {"folder": facts.folder, "staging": staging, "files": files}),
    )
    steps = (made, *disks, rest, publish)
    return Plan("export", "Export", state.ref.prefix, state.ref.uuid, state.host, steps, Recovery.UNDO)


def plan_tidy(state: EnvState, facts: ExportFacts) -> Plan:
    """Throw away the folder that everything was made in, with what was replaced."""
    args = {"staging": _staging(facts), "made": []}
    step = Step("clear-export", StepKind.CLEAR_EXPORT, facts.folder, "Tidy up", args=args, resource=Resource.DISK)
    return Plan("export-tidy", "Tidy up", state.ref.prefix, state.ref.uuid, state.host, (step,), Recovery.FINISH)


def _staging(facts: ExportFacts) -> str:
    return str(PurePath(facts.folder, f".export-{facts.token}.partial"))


def _require_free(request: ExportRequest, facts: ExportFacts, files: Sequence[str]) -> None:
    there = [name for name in files if name in facts.taken]
    used = [(name, facts.in_use[path]) for name in there if (path := str(PurePath(facts.folder, name))) in facts.in_use]
    if used:
        name, environment = used[0]
        raise ConfigError(
            f"'{name}' in '{facts.folder}' cannot be replaced: environment '{environment}' stands on it",
            hint="export into another folder: -d DIR",
        )
    if there and not request.force:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise ConfigError(
            f"in '{facts.folder}' there is already {', '.join(repr(name) for name in there[:3])}{more}",
            hint="export into another folder: -d DIR; to replace what is there: --force",
        )


def _require_room(export: Exported, facts: ExportFacts) -> None:
    needed = sum(_bytes_of(disk, facts) for disk in export.files().values())
    if facts.free_bytes is not None and needed > facts.free_bytes:
        raise DiskFull(
            f"the export takes up to {_mib(needed)}, and '{facts.folder}' has room for {_mib(facts.free_bytes)}",
            hint="free some space, or export into another folder: -d DIR",
        )


def _bytes_of(disk: ExportedDisk, facts: ExportFacts) -> int:
    known = facts.chains[disk.source]
    if disk.disk.format == ISO:
        return known.own_bytes[0]
    return sum(known.own_bytes[: _own_layers(disk, known)]) if disk.parent else known.merged_bytes


def _own_layers(disk: ExportedDisk, known: ChainFacts) -> int:
    return known.paths.index(disk.parent) if disk.parent else len(known.paths)


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.0f} MiB"


def _make_folder(facts: ExportFacts, staging: str) -> Step:
    made = list(facts.missing)
    return Step(
        "make-export-folder",
        StepKind.MAKE_EXPORT_FOLDER,
        facts.folder,
        f"Make room in {facts.folder}",
        args={"staging": staging, "made": made},
        inverse=Inverse(StepKind.CLEAR_EXPORT, {"staging": staging, "made": made}),
    )


def _disk_steps(request: ExportRequest, facts: ExportFacts, export: Exported, staging: str) -> list[Step]:
    steps: list[Step] = []
    threads = max(1, facts.cores // max(1, len(export.files()))) if request.compress else 0
    for machine, disks in export.disks.items():
        for disk in disks:
            if any(step.args["target"] == f"{staging}/new/{disk.image}" for step in steps):
                continue  # another machine has the same image
            before = steps[-1].id if steps and not request.side_by_side else "make-export-folder"
            steps.append(_disk_step(machine, disk, facts, staging, threads, before))
    return steps


def _disk_step(machine: str, disk: ExportedDisk, facts: ExportFacts, staging: str, threads: int, before: str) -> Step:
    known = facts.chains[disk.source]
    return Step(
        f"export-disk:{machine}:{disk.disk.name}",
        StepKind.EXPORT_DISK,
        f"{machine}:{disk.disk.name}",
        f"Exporting disk {disk.disk.name}",
        args={
            "source": disk.source,
            "source_format": disk.disk.format,
            "target": f"{staging}/new/{disk.image}",
            "format": disk.format,
            "parent": disk.parent,
            "parent_format": known.base_format.get(disk.parent, ""),
            "parent_name": disk.parent_name if disk.parent else "",
            "own_layers": _own_layers(disk, known),
            "verbatim": disk.disk.format == ISO,
            "xz_threads": threads,
            "expected_bytes": _bytes_of(disk, facts),
            "metadata": _metadata(disk, facts),
        },
        after=(before,),
        resource=Resource.DISK,
        group=(f"Exporting disks to: {facts.folder}", f"Exporting disks of VM {machine}"),
        journaled=False,  # whatever it leaves is in the folder that the first step takes away again
    )


def _metadata(disk: ExportedDisk, facts: ExportFacts) -> dict[str, Json]:
    """Return what lies beside the image, in the predecessor's words; `base_sha1` is ours."""
    known = {**disk.disk.metadata, "name": disk.disk.name, "version": f"{facts.day}.0"}
    for stale in ("base", "base_sha1"):
        known.pop(stale, None)
    if disk.disk.type is DiskType.TEMPLATE:
        known["base"] = disk.parent_name.removeprefix("./") if disk.parent else "None"
    if disk.parent in facts.base_sha1:
        known["base_sha1"] = facts.base_sha1[disk.parent]
    return known


def _write_files(request: ExportRequest, export: Exported, staging: str, init_file: str) -> Step:
    return Step(
        "write-export",
        StepKind.WRITE_EXPORT,
        request.init_file_name,
        "Generate init file",
        args={
            "text": init_file,
            "path": f"{staging}/new/{request.init_file_name}",
            "copies": {script: f"{staging}/new/{name}" for script, name in export.scripts.items()},
        },
        after=("make-export-folder",),
        journaled=False,
    )
