"""The environments that are known on this machine: a small file for each, by uuid, below the state folder."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .atomic import write_json
from .home import state_home
from .leases import LeaseStore
from .locks import file_lock
from .prefix import Prefix


@dataclass(frozen=True, slots=True)
class KnownEnv:
    path: Path
    """Of the prefix."""
    uuid: str
    name: str
    """Of the prefix in its workdir."""
    workdir: Path | None
    last_used: float
    """Seconds since 1970, when a changing verb last ran on it."""

    @property
    def prefix(self) -> Prefix:
        return Prefix(self.path, self.uuid, self.workdir)

    @property
    def is_there(self) -> bool:
        """Whether its folder still is that environment."""
        return Prefix.at(self.path, self.workdir).uuid == self.uuid


def register(prefix: Path, uuid: str, workdir: Path | None) -> None:
    """Remember an environment, or that it was used now.

    Raises:
        DiskFull: there is no room for it.
        WorkdirError: the list is locked for too long.
    """
    with file_lock(_lock()):
        _folder().mkdir(parents=True, exist_ok=True)
        entry = {"path": str(prefix), "workdir": str(workdir) if workdir else None, "last_used": time.time()}
        write_json(_file(uuid), entry)


def forget(uuid: str) -> None:
    """Drop an environment from the list; it may be gone already."""
    _file(uuid).unlink(missing_ok=True)


def original_of(prefix: Prefix, leases: LeaseStore) -> Path | None:
    """Return the prefix that this one is a copy of (`cp -a`) and that is there still; both would have the same machines and subnets."""
    entry = _read(_file(prefix.uuid)) if prefix.uuid else None
    holders = [Path(lease.uuid_path).parent for lease in leases.all().values() if prefix.uuid and lease.uuid == prefix.uuid]
    for path in [*([entry.path] if entry else []), *holders]:
        if path != prefix.path and Prefix.at(path).uuid == prefix.uuid and not _same_folder(path, prefix.path):
            return path
    return None


def recalled(prefix: Prefix, leases: LeaseStore) -> Prefix:
    """Return a prefix with the uuid that machines of its own know it by, for ending them.

    One that lost its uuid gets that which it was last known by; a copy of another has no machines, and no uuid.
    """
    if original_of(prefix, leases):
        return replace(prefix, uuid="")
    if prefix.uuid:
        return prefix
    entries = [env for env in _read_all() if env.path == prefix.path]
    return replace(prefix, uuid=max(entries, key=lambda env: env.last_used).uuid) if entries else prefix


def vanished(folder: Path, name: str = "") -> Prefix | None:
    """Return an environment of a workdir that was deleted with its folder, though its machines may still run.

    Args:
        folder: the workdir, or one with a `.lago` in it.
        name: of the prefix; "" when any will do.
    """
    gone = [
        env for env in _read_all() if env.path.parent in (folder, folder / ".lago") and name in ("", env.name) and not env.path.exists()
    ]
    return max(gone, key=lambda env: env.last_used).prefix if gone else None


def known_environments() -> list[KnownEnv]:
    """Return the environments that are there, the last used one first; those that vanished are dropped from the list."""
    known = _read_all()
    vanished = [env for env in known if not env.is_there]
    if vanished:
        _prune(vanished)
    return sorted((env for env in known if env not in vanished), key=lambda env: env.last_used, reverse=True)


def remembered() -> tuple[list[KnownEnv], list[Path]]:
    """Return every entry as it is, also of environments that are not there right now, and the entries that cannot be read."""
    entries = {path: _read(path) for path in sorted(_folder().glob("*.json")) if not path.name.startswith(".")}
    return [env for env in entries.values() if env is not None], [path for path, env in entries.items() if env is None]


def _prune(vanished: list[KnownEnv]) -> None:
    with file_lock(_lock()):
        for env in vanished:
            again = _read(_file(env.uuid))  # it may have been made anew since
            if again is not None and not again.is_there:
                forget(env.uuid)


def _read_all() -> list[KnownEnv]:
    return [env for path in sorted(_folder().glob("*.json")) if not path.name.startswith(".") and (env := _read(path)) is not None]


def _read(path: Path) -> KnownEnv | None:
    """Return one entry; None when it is gone or damaged: the environment comes back to the list when it is next used."""
    try:
        data = json.loads(path.read_bytes())
        prefix, workdir = Path(data["path"]), data["workdir"]
        return KnownEnv(prefix, path.stem, prefix.name, Path(workdir) if workdir else None, float(data["last_used"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _same_folder(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them has gone meanwhile
        return False


def _folder() -> Path:
    return state_home() / "environments"


def _file(uuid: str) -> Path:
    return _folder() / f"{uuid}.json"


def _lock() -> Path:
    return state_home() / "locks" / "environments.lock"
