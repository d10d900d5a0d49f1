"""Where a private world lives: its folder in the state folder, and one for its sockets, whose paths must be short."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ...errors import WorldUnavailable
from . import world_init

SOCKET_PATH_MAX = 107
"""Bytes of a unix socket's path, from unix(7): 108 with the final zero."""

LONGEST_SOCKET = "libvirt-admin-sock"
TMP = Path("/tmp")


@dataclass(frozen=True, slots=True)
class WorldPaths:
    folder: Path
    """What libvirt has under /etc, /var/lib, /var/log and /var/cache."""
    run: Path
    """Sockets; short enough for the kernel."""
    tmp: Path = TMP
    """Where the sockets of worlds are whose own folder has too long a path."""

    @property
    def dial_socket(self) -> Path:
        return self.run / "dial.sock"

    @property
    def log(self) -> Path:
        return self.folder / "world.log"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={quote(str(self.run / 'libvirt-sock'))}"


def world_paths(state_home: Path, tmp: Path = TMP) -> WorldPaths:
    """Return where the world of this user lives; nothing is made.

    Args:
        state_home: XDG_STATE_HOME.
        tmp: where the sockets go when their paths would be too long for the kernel.
    """
    folder = Path(os.path.abspath(state_home)) / "lagotui" / "private"  # noqa: PTH100 - resolve() would follow links that may change
    run = folder / "run"
    if len(os.fsencode(run / LONGEST_SOCKET)) > SOCKET_PATH_MAX:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        run = tmp / f"lagotui-{os.geteuid()}-{name}"
    return WorldPaths(folder, run, tmp)


def make_folders(paths: WorldPaths) -> None:
    """Make the folders of a world, for this user alone.

    Raises:
        WorldUnavailable: they cannot be made, or belong to somebody else.
    """
    try:
        paths.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.run.mkdir(mode=0o700, exist_ok=True)
        for name in world_init.BINDS:
            (paths.folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise WorldUnavailable(f"cannot make '{error.filename}' for the private host: {error.strerror}", hint="") from error
    for folder in (paths.folder, paths.run):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise WorldUnavailable(f"'{folder}' is not a folder of yours: the private host would not be safe in it", hint=f"rm -r {folder}")
        if found.st_mode & 0o077:
            folder.chmod(0o700)


def remove_run(paths: WorldPaths) -> None:
    """Remove the sockets' folder of a world that is gone, where it had to stand outside of our own."""
    if not paths.run.is_relative_to(paths.folder):
        _remove_if_dead(paths.run)


def remove_dead(paths: WorldPaths) -> None:
    """Remove what worlds of this user left that were killed: the folders of their sockets, which living ones hold locked."""
    ours = re.compile(rf"lagotui-{os.geteuid()}-[0-9a-f]{{12}}")
    with suppress(OSError):
        for folder in paths.tmp.iterdir():
            if ours.fullmatch(folder.name) and folder != paths.run:
                _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    with suppress(OSError):  # it is locked, or not ours, or just gone
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
