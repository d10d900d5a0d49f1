"""One environment on disk, laid out as the predecessor lays it out, with our own `known_hosts`, `seeds/` and `journal/` beside.

Paths of images are kept as `$LAGO_PREFIX_PATH/images/…`, so that a prefix can be moved; in memory they are absolute.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from ..errors import DiskFull, PrefixDamaged, PrefixExists, UnknownMachine, WorkdirError
from ..spec import DiskSpec, EnvRef, EnvSpec, Json, MachineSpec, NetSpec
from .atomic import FULL, write_json, write_text

T = TypeVar("T")

LAGO_VERSION = "1.0.0"
"""Version of the layout, as the predecessor counts."""
PATH_VARIABLE = "$LAGO_PREFIX_PATH"
UUID = re.compile(r"[0-9A-Za-z-]{8,64}")
OWN_MARKS = ("uuid", "initialized", "metadata", "virt", "images")
"""A folder with none of these is not ours to remove."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Names one environment on disk. Making one reads nothing; `at` reads the uuid."""

    path: Path
    """Absolute."""
    uuid: str
    """32 hex digits; "" in a prefix that has lost it."""
    workdir: Path | None = None
    """Folder of the workdir that it belongs to; None when it stands alone."""

    @classmethod
    def at(cls, path: Path, workdir: Path | None = None) -> Self:
        """Return the prefix in a folder, however damaged; without `workdir` the parent is looked at."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and the name is the user's
        if workdir is None and (path.parent / "current").is_symlink():
            workdir = path.parent
        try:
            uuid = (path / "uuid").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # half-made or damaged: still there to be destroyed
            uuid = ""
        return cls(path, uuid if UUID.fullmatch(uuid) else "", workdir)

    @classmethod
    def create(cls, path: Path, *, uuid: str, host: str, workdir: Path | None = None) -> Self:
        """Make the folders, the uuid and the metadata of a new prefix; doing it again with the same uuid changes nothing.

        Args:
            path: its folder; made with its parents.
            uuid: from `new_uuid`.
            host: of its machines: `private`, `system` or a URI.
            workdir: folder of the workdir that it will belong to.

        Raises:
            PrefixExists: another prefix, or something else, is there.
            DiskFull: there is no room.
            WorkdirError: the folder cannot be made.
        """
        prefix = cls(Path(os.path.abspath(path)), uuid, workdir)  # noqa: PTH100 - as in `at`
        try:
            prefix.path.mkdir(parents=True, exist_ok=True)
            if any(prefix.path.iterdir()) and cls.at(path).uuid != uuid:
                raise PrefixExists(f"'{prefix.path}' is there already")
            write_text(prefix.uuid_path, uuid)  # first: from here on the folder is known as ours
            for folder in (prefix.images, prefix.scripts, prefix.seeds, prefix.journal, prefix.log_file.parent, prefix.virt):
                folder.mkdir(exist_ok=True)
            write_json(prefix.path / "metadata", {"lago_version": LAGO_VERSION, "lagotui_version": _version(), "lagotui_host": host})
        except FileExistsError as taken:
            raise PrefixExists(f"'{taken.filename}' is there and is no folder") from taken
        except OSError as failure:
            raise _explained(failure, f"the prefix '{prefix.path}' cannot be made") from failure
        return prefix

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def ref(self) -> EnvRef:
        """How providers know it.

        Raises:
            PrefixDamaged: it has lost its uuid, so that its machines cannot be told from others.
        """
        if not self.uuid:
            raise PrefixDamaged(f"'{self.uuid_path}' is missing or damaged")
        return EnvRef(str(self.path), self.uuid)

    @property
    def uuid_path(self) -> Path:
        return self.path / "uuid"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def scripts(self) -> Path:
        return self.path / "scripts"

    @property
    def seeds(self) -> Path:
        return self.path / "seeds"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def virt(self) -> Path:
        return self.path / "virt"

    @property
    def log_file(self) -> Path:
        return self.path / "logs" / "lago.log"

    @property
    def private_key(self) -> Path:
        return self.path / "id_rsa"

    @property
    def public_key(self) -> Path:
        return self.path / "id_rsa.pub"

    @property
    def known_hosts(self) -> Path:
        return self.path / "known_hosts"

    @property
    def init_file(self) -> tuple[str, str] | None:
        """Path and text of the init file that it was last made from; None when that is not known."""
        try:
            text = (self.path / "LagoInitFile").read_text(encoding="utf-8")
            path = _read_json(self.path / "metadata").get("lagotui_init_file", "")
        except (OSError, ValueError, PrefixDamaged):  # made by the predecessor, or damaged
            return None
        return str(path), text

    def keep_init_file(self, path: str, text: str) -> None:
        """Remember the init file that it was made from; it may hold passwords."""
        metadata = dict(_read_json(self.path / "metadata"))
        write_text(self.path / "LagoInitFile", text, mode=0o600)
        write_json(self.path / "metadata", {**metadata, "lagotui_init_file": path})

    @property
    def is_initialized(self) -> bool:
        """Whether its init came to its end."""
        return (self.path / "initialized").is_file()

    @property
    def metadata(self) -> Mapping[str, Json]:
        """What the prefix says of itself: versions, host; nothing when that is lost."""
        try:
            return _read_json(self.path / "metadata")
        except PrefixDamaged:  # old prefixes have none
            return {}

    @property
    def host(self) -> str:
        """`private`, `system` or a URI; "" when the predecessor made it, or its metadata is lost."""
        try:
            host = _read_json(self.path / "metadata").get("lagotui_host", "")
        except PrefixDamaged:  # old prefixes have no metadata at all
            return ""
        return host if isinstance(host, str) else ""

    def mark_initialized(self) -> None:
        """Say that its init came to its end."""
        write_text(self.path / "initialized", "")

    def unmark_initialized(self) -> None:
        """Say that it is no environment any more; what is in it stays."""
        (self.path / "initialized").unlink(missing_ok=True)

    def load_env(self) -> EnvSpec:
        """Read the whole environment.

        Raises:
            PrefixDamaged: a file of it is missing or is not what it should be.
        """
        machines, nets = self._names()
        return EnvSpec({name: self._load_machine(name) for name in machines}, {name: self._load_net(name) for name in nets})

    def machine(self, name: str) -> MachineSpec:
        """Read one machine.

        Raises:
            UnknownMachine: the environment has no machine of that name.
            PrefixDamaged: its file is missing or is not what it should be.
        """
        machines, _ = self._names()
        if name not in machines:
            raise UnknownMachine(f"no machine '{name}' in environment '{self.path}'", hint=nearest_hint(name, machines))
        return self._load_machine(name)

    def save_env(self, env: EnvSpec) -> None:
        """Write the whole environment; the list of names comes last, so that it never names a file that is not there."""
        self.virt.mkdir(exist_ok=True)
        for net in env.nets.values():
            write_json(self.virt / f"net-{net.name}", net.to_json())
        for machine in env.machines.values():
            self.save_machine(machine)
        write_json(self.virt / "env", {"nets": list(env.nets), "vms": list(env.machines)})

    def save_machine(self, machine: MachineSpec) -> None:
        """Write one machine."""
        write_json(self.virt / f"vm-{machine.name}", _with_paths(machine, self._relative).to_json())

    def _names(self) -> tuple[list[str], list[str]]:
        return self._read_spec("env", lambda data: (_texts(data["vms"]), _texts(data["nets"])))

    def _load_machine(self, name: str) -> MachineSpec:
        machine = self._read_spec(f"vm-{name}", lambda data: MachineSpec.from_json({"name": name, **data}))
        return _with_paths(machine, self._absolute)

    def _load_net(self, name: str) -> NetSpec:
        return self._read_spec(f"net-{name}", lambda data: NetSpec.from_json({"name": name, **data}))

    def _read_spec(self, name: str, build: Callable[[Mapping[str, Json]], T]) -> T:
        path = self.virt / name
        data = _read_json(path)
        try:
            return build(data)
        except KeyError as missing:
            raise PrefixDamaged(f"'{path}' is damaged: {missing} is missing") from missing
        except (TypeError, ValueError, AttributeError) as wrong:
            raise PrefixDamaged(f"'{path}' is damaged: {wrong}") from wrong

    def _absolute(self, path: str) -> str:
        for variable in (PATH_VARIABLE, "${LAGO_PREFIX_PATH}"):
            if path.startswith(f"{variable}/"):
                return f"{self.path}{path.removeprefix(variable)}"
        return path

    def _relative(self, path: str) -> str:
        inside = path.removeprefix(f"{self.path}/")
        return path if inside == path else f"{PATH_VARIABLE}/{inside}"


def is_prefix(path: Path) -> bool:
    """Whether a folder is an initialized prefix, in the predecessor's sense."""
    return os.path.isfile(path / "initialized")  # noqa: PTH113 - Path.is_file raises where we may not look


def new_uuid() -> str:
    """Return a uuid for a new prefix, of the predecessor's kind."""
    from uuid import uuid1

    return uuid1().hex


def nearest_hint(name: str, names: Iterable[str]) -> str:
    """Return a hint with the nearest of the names that there are."""
    from difflib import get_close_matches

    known = list(names)
    near = get_close_matches(name, known, 1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"there are: {', '.join(known)}" if known else "there is none"


def remove_tree(prefix: Prefix) -> None:
    """Remove the folder of a prefix, whole, half-made or damaged. Links are removed, never followed; this holds for the folder itself too.

    `initialized` goes first, so that nobody takes what is left for an environment; the uuid last, so that doing it again works.

    Raises:
        WorkdirError: the folder is not a prefix, or something in it cannot be removed.
    """
    path = prefix.path
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            _remove_folder(str(path), None, _refuse_foreign)
    except OSError as failure:
        raise _explained(failure, f"'{path}' cannot be removed") from failure


def _refuse_foreign(folder: str, names: list[str]) -> None:
    if names and not any(name in OWN_MARKS or name.startswith(".uuid.") for name in names):
        raise WorkdirError(f"'{folder}' does not look like an environment: it was left alone", hint=f"look into it; then: rm -r '{folder}'")


def _removal_order(name: str) -> int:
    return {"initialized": 0, "uuid": 2}.get(name, 1)


def _remove_folder(name: str, parent: int | None, check: Callable[[str, list[str]], None] | None = None) -> None:
    """Remove a folder through descriptors: a link put in its place meanwhile is not followed. What is write-protected is opened first."""
    descriptor = _open_folder(name, parent)
    try:
        entries = sorted(os.listdir(descriptor), key=_removal_order)  # noqa: PTH208 - Path knows no descriptors
        if check is not None:
            check(name, entries)
        for entry in entries:
            if stat.S_ISDIR(os.stat(entry, dir_fd=descriptor, follow_symlinks=False).st_mode):
                _remove_folder(entry, descriptor)
            else:
                os.unlink(entry, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=parent)


def _open_folder(name: str, parent: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, flags, dir_fd=parent)
    about = os.fstat(descriptor)
    if about.st_uid == os.geteuid() and about.st_mode & 0o700 != 0o700:
        os.fchmod(descriptor, 0o700)
    return descriptor


def _with_paths(machine: MachineSpec, change: Callable[[str], str]) -> MachineSpec:
    """Return the machine with the paths of its images and deploy scripts changed."""

    def changed(disks: tuple[DiskSpec, ...]) -> tuple[DiskSpec, ...]:
        return tuple(replace(disk, path=change(disk.path)) if disk.path else disk for disk in disks)

    scripts = machine.metadata.get("deploy-scripts")
    metadata = machine.metadata
    if isinstance(scripts, list):
        metadata = {**metadata, "deploy-scripts": [change(script) if isinstance(script, str) else script for script in scripts]}
    snapshots = {name: changed(disks) for name, disks in machine.snapshots.items()}
    history = machine.history.with_paths(change)
    return replace(machine, disks=changed(machine.disks), snapshots=snapshots, metadata=metadata, history=history)


def _read_json(path: Path) -> Mapping[str, Json]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as missing:
        raise PrefixDamaged(f"'{path}' is missing") from missing
    except OSError as failure:
        closed = failure.errno in (errno.EACCES, errno.EPERM)
        hint = f"chmod -R u+rwX {shlex.quote(str(path.parent))}" if closed else None
        raise PrefixDamaged(f"'{path}' cannot be read: {failure.strerror}", hint=hint) from failure
    except ValueError as wrong:
        raise PrefixDamaged(f"'{path}' is damaged: {wrong}") from wrong
    if not isinstance(data, dict):
        raise PrefixDamaged(f"'{path}' is damaged: it is no JSON object")
    return data


def _texts(values: Iterable[Json]) -> list[str]:
    def checked() -> Iterator[str]:
        for value in values:
            if not isinstance(value, str) or "/" in value:
                raise ValueError(f"{value!r} is no name")
            yield value

    return list(checked())


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lagotui")
    except PackageNotFoundError:  # run from a bare checkout
        return ""


def _explained(failure: OSError, what: str) -> DiskFull | WorkdirError:
    reason = f"{what}: {failure.strerror or failure}" + (f" ('{failure.filename}')" if failure.filename else "")
    return DiskFull(reason) if failure.errno in FULL else WorkdirError(reason)
