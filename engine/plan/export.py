"""What an export consists of: disks of machines that are off, or frozen in a snapshot, under names of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import PurePath

from ..errors import MachineStateError, SnapshotError
from ..spec import DiskSpec, DiskType, MachineSpec
from ..state.env import EnvState, MachineState
from ..state.prefix import nearest_hint
from .disks import ISO
from .names import Names
from .scripts import KEY as SCRIPTS_KEY

DEFAULT_INIT_FILE = "LagoInitFile"
SKIP = "skip-export"
PACKED = ".xz"
SIDECARS = (".hash", ".metadata")
SCRIPTS_FOLDER = "scripts"
_COUNTER = re.compile(r"\.\d+(?=\.qcow2$)")
"""In the name of an overlay that a snapshot made."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What `export` is asked for."""

    folder: str = "."
    machines: Sequence[str] = ()
    """None: all."""
    standalone: bool = False
    """Merge disks with the templates that they stand on."""
    compress: bool = False
    """Pack every image with xz."""
    init_file_name: str = DEFAULT_INIT_FILE
    snapshot: str = ""
    """Export the disks as they are frozen there; "": as they are now."""
    exact: bool = False
    """Keep addresses and passwords in the init file, though it then clashes with the original where that still exists."""
    force: bool = False
    """Replace files that are there."""
    side_by_side: bool = True
    """Disks are made ready side by side, or one after another."""


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """A disk's image and what it stands on."""

    paths: tuple[str, ...]
    """The image itself first."""
    own_bytes: tuple[int, ...]
    """What each takes on the disk."""
    merged_bytes: int
    """What they take at most as one."""
    base_format: Mapping[str, str] = field(default_factory=dict)
    """Of images of the template store."""


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What planning an export must know from outside."""

    folder: str
    """Absolute, without symbolic links."""
    missing: tuple[str, ...] = ()
    """Folders that must be made, outermost first."""
    taken: Collection[str] = ()
    """What is in the folder, relative to it."""
    free_bytes: int | None = None
    chains: Mapping[str, ChainFacts] = field(default_factory=dict)
    """By the path of the disk."""
    base_sha1: Mapping[str, str] = field(default_factory=dict)
    """Image of the store → its sha1."""
    in_use: Mapping[str, str] = field(default_factory=dict)
    """Image → the environment that stands on it."""
    script_names: Mapping[str, str] = field(default_factory=dict)
    """Deploy script in the prefix → the name that the user gave it."""
    cores: int = 1
    day: str = ""
    """Of today: `20250131`."""
    token: str = ""
    """In the name of the folder where everything is made."""


@dataclass(frozen=True, slots=True)
class ExportedDisk:
    disk: DiskSpec
    """As the prefix has it."""
    source: str
    image: str
    """Name of its file, unpacked."""
    format: str
    packed: bool = False
    parent: str = ""
    """Image of the store that it goes on standing on."""

    @property
    def name(self) -> str:
        """Of the file in the end."""
        return f"{self.image}{PACKED}" if self.packed else self.image

    @property
    def parent_name(self) -> str:
        """How the image names its parent: `./<template>:<version>`."""
        return f"./{PurePath(self.parent).name.split(':', 1)[1]}"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export consists of."""

    machines: tuple[MachineSpec, ...]
    disks: Mapping[str, tuple[ExportedDisk, ...]]
    """By machine."""
    scripts: Mapping[str, str]
    """Deploy script in the prefix → its path in the folder."""

    def files(self) -> dict[str, ExportedDisk]:
        """Return every file that is made of a disk, by its name; several machines may share one."""
        return {each.name: each for disks in self.disks.values() for each in disks}


def sources(state: EnvState, machines: Sequence[str] = (), snapshot: str = "") -> dict[str, list[str]]:
    """Return the images that an export would be made of.

    Raises:
        MachineStateError: a machine is up.
        SnapshotError: a machine does not have the snapshot.
    """
    return {
        machine.name: [disk.path for disk in wanted_disks(machine, snapshot) if disk.path] for machine in chosen(state, machines, snapshot)
    }


def chosen(state: EnvState, machines: Sequence[str], snapshot: str) -> list[MachineSpec]:
    """Return the machines that an export is about: those that `skip-export` leaves out are not.

    Raises:
        MachineStateError: one is up, or there is none.
        SnapshotError: one does not have the snapshot.
    """
    named = list(dict.fromkeys(machines)) or list(state.machines)
    wanted = [state.machines[name] for name in named if not state.machines[name].spec.extra.get(SKIP)]
    if not wanted:
        raise MachineStateError("there is nothing to export: skip-export leaves out every machine", hint="take it out of the init file")
    if snapshot:
        _require_snapshot(wanted, snapshot)
    else:
        _require_off(wanted)
    return [machine.spec for machine in wanted]


def exported(machines: Sequence[MachineSpec], request: ExportRequest, facts: ExportFacts) -> Exported:
    """Give every disk and script of an export its name."""
    naming = _Naming(request, facts)
    disks = {machine.name: tuple(naming.placed(machine, disk) for disk in wanted_disks(machine, request.snapshot)) for machine in machines}
    return Exported(tuple(machines), disks, naming.scripts(machines))


def _require_off(machines: Sequence[MachineState]) -> None:
    up = [machine.spec.name for machine in machines if machine.status.is_up]
    if up:
        raise MachineStateError(
            f"machines must be off to be exported, and {_listed(up)} up",
            hint=f"lagotui --run stop {' '.join(up)}; or, while they go on: lagotui --run snapshot NAME, then export --snapshot NAME",
        )


def _require_snapshot(machines: Sequence[MachineState], snapshot: str) -> None:
    lacking = [machine.spec.name for machine in machines if snapshot not in machine.spec.snapshots]
    if lacking:
        known = {name for machine in machines for name in machine.spec.snapshots}
        raise SnapshotError(f"{', '.join(lacking)}: no snapshot '{snapshot}'", hint=nearest_hint(snapshot, sorted(known)))


def _listed(names: Sequence[str]) -> str:
    return f"'{names[0]}' is" if len(names) == 1 else f"{', '.join(repr(name) for name in names)} are"


def wanted_disks(machine: MachineSpec, snapshot: str) -> list[DiskSpec]:
    """Return the disks that are exported, as they are now or frozen."""
    frozen = {disk.name: disk for disk in machine.snapshots[snapshot]} if snapshot else {}
    return [frozen.get(disk.name, disk) for disk in machine.disks if not disk.extra.get(SKIP)]


class _Naming:
    """Gives each disk its file; what is used by several machines is exported once."""

    def __init__(self, request: ExportRequest, facts: ExportFacts) -> None:
        self._request = request
        self._facts = facts
        self._taken = {request.init_file_name, SCRIPTS_FOLDER}
        self._by_source: dict[str, ExportedDisk] = {}

    def placed(self, machine: MachineSpec, disk: DiskSpec) -> ExportedDisk:
        assert disk.path is not None
        known = self._by_source.get(disk.path)
        if known is None:
            known = self._by_source[disk.path] = self._new(machine, disk, disk.path)
        return replace(known, disk=disk)

    def scripts(self, machines: Sequence[MachineSpec]) -> dict[str, str]:
        names = Names()
        found: dict[str, str] = {}
        for machine in machines:
            for script in machine.metadata.get(SCRIPTS_KEY) or ():
                if script not in found:
                    name = self._facts.script_names.get(script, PurePath(script).name)
                    found[script] = f"{SCRIPTS_FOLDER}/{names.claim(name)}"
        return found

    def _new(self, machine: MachineSpec, disk: DiskSpec, source: str) -> ExportedDisk:
        parent = "" if self._request.standalone or disk.format == ISO else self._template_of(disk, source)
        return ExportedDisk(disk, source, self._name(machine, source), disk.format, self._request.compress, parent)

    def _template_of(self, disk: DiskSpec, source: str) -> str:
        """Return the image of the store that a template disk stands on; "" when there is none."""
        if disk.type is not DiskType.TEMPLATE:
            return ""
        return next((path for path in self._facts.chains[source].paths[1:] if is_of_store(path)), "")

    def _name(self, machine: MachineSpec, source: str) -> str:
        """Return the source's own name; where that is taken, with the machine's before it."""
        plain = _COUNTER.sub("", PurePath(source).name)
        other = f"{machine.name}_{plain}"
        numbered = (f"{PurePath(other).stem}-{number}{PurePath(other).suffix}" for number in count(2))
        name = next(each for each in chain((plain, other), numbered) if self._taken.isdisjoint(files_of(each)))
        self._taken.update(files_of(name))
        return name


def is_of_store(path: str) -> bool:
    """Whether an image is named as stores name theirs: `<repo>:<template>:<version>`."""
    return PurePath(path).name.count(":") >= 2


def files_of(image: str) -> tuple[str, ...]:
    """Return all names that belong to an image."""
    return (image, f"{image}{PACKED}", *(f"{image}{suffix}" for suffix in SIDECARS))
