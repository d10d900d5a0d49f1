"""Workdirs: folders of several prefixes with a `current` link, found and read by the predecessor's rules."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import PrefixNotFound, WorkdirError, WorkdirNotFound
from .locks import file_lock, lock_path
from .prefix import Prefix, is_prefix, nearest_hint, remove_tree

CURRENT = "current"
DEFAULT_WORKDIR = ".lago"
DEFAULT_PREFIX = "default"
OWN_FOLDER = ".lagotui"
"""Names that begin so are ours: never a prefix."""
LONGEST_NAME = 255
"""Bytes, of a folder."""


@dataclass(frozen=True, slots=True)
class Workdir:
    """Names one workdir; `open` and `find` look whether it is one, `at` does not."""

    path: Path
    """Absolute."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the workdir in a folder that may not be one yet."""
        return cls(_absolute(path))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the workdir in a folder.

        Raises:
            WorkdirNotFound: there is none.
            WorkdirError: there is one, but its `current` is not what it should be.
        """
        workdir = cls.at(path)
        flaw = workdir.flaw()
        if flaw:
            raise WorkdirError(f"the workdir '{workdir.path}' is damaged: {flaw}", hint=workdir._repair_hint())
        if not is_workdir(workdir.path):
            raise WorkdirNotFound(f"'{workdir.path}' is no workdir")
        return workdir

    @classmethod
    def find(cls, start: Path, *, damaged: bool = False) -> Self:
        """Return the workdir in a folder, in its `.lago`, or in the nearest `.lago` above. `/.lago` is never taken.

        Args:
            start: where to look first.
            damaged: one whose `current` is missing or wrong will do: to destroy what is in it.

        Raises:
            WorkdirNotFound: there is none; the message lists those that lie in folders of `start`.
            WorkdirError: there is one, but its `current` is not what it should be.
        """
        found = _search_up(_absolute(start), is_workdir)
        if found is None and damaged:
            found = _search_up(_absolute(start), _holds_prefixes)
        if found is not None:
            return cls(found)
        for candidate in (_absolute(start), _absolute(start) / DEFAULT_WORKDIR):
            meant = candidate.name == DEFAULT_WORKDIR or (candidate / CURRENT).is_symlink() or _holds_prefixes(candidate)
            if meant and cls(candidate).flaw():
                return cls.open(candidate)  # raises, and says what is wrong with it
        near = nearby_workdirs(_absolute(start))
        listed = f"; there are some in: {', '.join(near)}" if near else ""
        raise WorkdirNotFound(
            f"no workdir in '{_absolute(start)}' or above{listed}", hint=f"lagotui --run -w {near[0]} …" if near else None
        )

    def flaw(self) -> str:
        """Say what is wrong with `current`; "" when nothing is, and when there is nothing that it could lead to."""
        link = self.path / CURRENT
        if not link.is_symlink():
            if link.exists():
                return f"'{link}' is no link"
            return f"'{link}' is missing" if _holds_prefixes(self.path) else ""
        return "" if link.is_dir() else f"'{link}' leads to '{link.readlink()}', where no folder is"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the prefixes, sorted; every folder is one, whatever is in it."""
        try:
            with os.scandir(self.path) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_dir() and _may_be_prefix(entry.name)))
        except OSError:  # gone, or never made
            return ()

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        return tuple(Prefix.at(self.path / name, self.path) for name in self.names)

    @property
    def current(self) -> str:
        """Name of the current prefix: what the link says, else `default`, else the last one; "" when there is none."""
        link = self.path / CURRENT
        named = link.readlink().name if link.is_symlink() else ""
        names = self.names
        if named in names:
            return named
        if DEFAULT_PREFIX in names:
            return DEFAULT_PREFIX
        return names[-1] if names else ""

    def prefix(self, name: str = CURRENT) -> Prefix:
        """Return a prefix by name, `current` for the current one.

        Raises:
            PrefixNotFound: there is none of that name.
        """
        wanted = self.current if name == CURRENT else name
        if name == CURRENT and len(self.names) > 1 and (flaw := self.flaw()):
            raise WorkdirError(f"which environment is meant cannot be told: {flaw}", hint=f"name one: -P {' | '.join(self.names)}")
        if not wanted:
            raise PrefixNotFound(f"the workdir '{self.path}' has no prefix")
        if wanted not in self.names:
            raise PrefixNotFound(f"no prefix '{name}' in workdir '{self.path}'", hint=nearest_hint(name, self.names))
        return Prefix.at(self.path / wanted, self.path)

    def new_prefix_path(self, name: str = CURRENT) -> Path:
        """Return where a new prefix of that name belongs; `current` stands for `default`.

        Raises:
            WorkdirError: no prefix can have that name.
        """
        wanted = DEFAULT_PREFIX if name == CURRENT else name
        if not _may_be_prefix(wanted):
            raise WorkdirError(f"no prefix can have the name '{wanted}'", hint="choose another with --prefix-name")
        path = self.path / wanted
        if not _can_be_told(path):
            raise WorkdirError(f"no environment can be in {str(path)!r}: libvirt cannot be told such a path", hint="choose another folder")
        return path

    def set_current(self, name: str) -> None:
        """Make a prefix the current one, in one step.

        Raises:
            PrefixNotFound: there is none of that name.
        """
        self._link(self.prefix(name).name)

    def adopt(self, name: str, *, set_current: bool = False) -> None:
        """Take a prefix folder in: the first one of a workdir becomes the current one."""
        with self._changing():
            if set_current or not is_workdir(self.path):
                self.set_current(name)

    def remove(self, name: str) -> None:
        """Remove a prefix with its folder; `current` goes to another, and the last one takes the workdir along. It may be gone already.

        Raises:
            WorkdirError: something in it cannot be removed.
        """
        if not _may_be_prefix(name):
            raise PrefixNotFound(f"no prefix can have the name '{name}'")
        with self._changing():
            left = tuple(other for other in self.names if other != name)
            link = self.path / CURRENT
            if left and link.is_symlink() and (link.readlink().name == name or self.flaw()):
                self._link(DEFAULT_PREFIX if DEFAULT_PREFIX in left else left[-1])
            remove_tree(Prefix.at(self.path / name, self.path))
            if not left:
                self._vanish()

    def _vanish(self) -> None:
        link = self.path / CURRENT
        if link.is_symlink():
            link.unlink()
        try:
            self.path.rmdir()
        except OSError as kept:
            if kept.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):  # files of the user's stay, with their folder
                raise WorkdirError(f"the workdir '{self.path}' cannot be removed: {kept.strerror}") from kept

    def _link(self, name: str) -> None:
        part = self.path / f"{OWN_FOLDER}-{CURRENT}-{os.urandom(4).hex()}"
        try:
            part.symlink_to(name)
            part.replace(self.path / CURRENT)
        except OSError as failure:
            part.unlink(missing_ok=True)
            raise WorkdirError(f"'{self.path / CURRENT}' cannot be set to '{name}': {failure.strerror}") from failure

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with file_lock(lock_path("workdir", self.path)):
            yield

    def _repair_hint(self) -> str | None:
        link = shlex.quote(str(self.path / CURRENT))
        if not self.names:
            return None
        away = "" if (self.path / CURRENT).is_symlink() or not (self.path / CURRENT).exists() else f"mv {link} {link}.old; "
        return f"{away}ln -sfn {shlex.quote(self.current)} {link}, or: lagotui --run destroy"


def is_workdir(path: Path) -> bool:
    """Whether a folder has a `current` that is a link to a folder."""
    link = path / CURRENT
    return link.is_symlink() and link.is_dir()


def resolve(
    workdir_path: Path | str | None = None,
    prefix_path: Path | str | None = None,
    prefix_name: str = CURRENT,
    cwd: Path | None = None,
    *,
    damaged: bool = False,
) -> Prefix:
    """Return the prefix that a command means.

    With `prefix_path`, or standing in a prefix with no `workdir_path`, it is that prefix; else the one named `prefix_name` in the workdir
    that is found from `workdir_path` or the current directory. It may be half-made or damaged: reading it says so. With `damaged`
    the workdir may be so, too.

    Raises:
        WorkdirNotFound: there is no workdir.
        WorkdirError: the workdir is damaged.
        PrefixNotFound: there is no such prefix.
    """
    here = _absolute(cwd or Path())
    if prefix_path:
        return _resolve_prefix(here if str(prefix_path) == "auto" else here / prefix_path)
    if not workdir_path and is_prefix(here):
        return Prefix.at(here)
    start = here if str(workdir_path or "auto") == "auto" else here / str(workdir_path)
    return Workdir.find(start, damaged=damaged).prefix(prefix_name)


def remove_prefix(prefix: Prefix) -> None:
    """Remove a prefix from disk and from its workdir, if it has one. It may be half-made, damaged, or gone already.

    Raises:
        WorkdirError: something in it cannot be removed.
    """
    if prefix.workdir is None:
        remove_tree(prefix)
    else:
        Workdir.at(prefix.workdir).remove(prefix.name)


def nearby_workdirs(start: Path) -> list[str]:
    """Return the names of the folders of `start` that are a workdir or have one in their `.lago`."""
    try:
        names = sorted(entry.name for entry in os.scandir(start) if entry.is_dir())
    except OSError:  # a folder that is not there, or not for us, has nothing near
        return []
    return [name for name in names if any(_looks_used(start / name / below) for below in ("", DEFAULT_WORKDIR))]


def _holds_prefixes(path: Path) -> bool:
    """Whether a folder holds an environment, though no `current` says that it is a workdir."""
    try:
        with os.scandir(path) as entries:
            return any(is_prefix(Path(entry.path)) and os.path.isfile(Path(entry.path, "uuid")) for entry in entries)  # noqa: PTH113
    except OSError:  # no folder, or not for us
        return False


def _can_be_told(path: Path) -> bool:
    """Whether a path survives XML: it is UTF-8, and has no character that XML changes or lacks."""
    text = str(path)
    return not any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in text)


def _looks_used(workdir: Path) -> bool:
    return all((workdir / CURRENT / mark).is_file() for mark in ("initialized", "uuid"))


def _resolve_prefix(start: Path) -> Prefix:
    start = _absolute(start)
    if os.path.isfile(start / "uuid"):  # noqa: PTH113 - also one whose init never ended: it can be destroyed
        return Prefix.at(start)
    found = _search_up(start, is_prefix)
    if found is None:
        raise PrefixNotFound(f"no prefix in '{start}' or above", hint="name a workdir with -w, or make one with: lagotui --run init")
    return Prefix.at(found)


def _search_up(start: Path, accepts: Callable[[Path], bool]) -> Path | None:
    if accepts(start):
        return start
    for folder in (start, *start.parents):
        candidate = folder / DEFAULT_WORKDIR
        if os.path.realpath(candidate) != f"/{DEFAULT_WORKDIR}" and accepts(candidate):
            return candidate
    return None


def _may_be_prefix(name: str) -> bool:
    if name in ("", ".", "..", CURRENT) or name.startswith(OWN_FOLDER) or len(os.fsencode(name)) > LONGEST_NAME:
        return False
    return "/" not in name and "\0" not in name


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, and the names are the user's
