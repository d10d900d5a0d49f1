"""Copying between this machine and a guest: SFTP, or scp where a guest has no SFTP server. Import this module lazily.

Always recursive, and the destination is meant as scp means it: what goes to a folder that is there goes into it. Links stay links (the
one that is named is followed), modes and times are kept, a file gets its name when it is whole.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ..context import TaskContext
from ..errors import CopyFailed, PathNotFound
from .download import Download
from .local_tree import LocalTree, is_name
from .session import Session
from .sftp import NoSftp, Sftp
from .sftp_wire import NO_SUCH_FILE, About, Kind, Refused, of_path
from .tally import Tally, shown
from .upload import Item, Upload, items


def copy_to(ctx: TaskContext, session: Session, local: Path, remote: str) -> Tally:
    """Copy a file or a folder of this machine into a guest.

    Raises:
        PathNotFound: it is not there, or the folder that it should go to is not.
        CopyFailed: some of it could not be copied; the rest was.
        GuestError: the machine went down, or the connection broke.
        Cancelled: the user asked to stop.
    """
    name = os.fsencode(Path(os.path.abspath(local)).name)  # noqa: PTH100 - a link keeps its name
    todo = _readable(local)
    try:
        sftp = session.sftp(ctx)
    except NoSftp:
        from .scp import copy_to_by_scp

        return copy_to_by_scp(ctx, session, todo, name, remote)
    tally = Tally(ctx)
    with closing(sftp.channel):
        target, in_place = _place(ctx, sftp, _remote(remote), name, todo[0])
        moved = [Item(item.source, target + item.target, item.about) for item in todo]
        Upload(sftp, tally, in_place).run(ctx, moved)
    tally.require_all(f"not everything of '{local}' could be copied to '{session.way.target.name}'")
    return tally


def copy_from(ctx: TaskContext, session: Session, remote: str, local: Path, *, onto: bool = False) -> Tally:
    """Copy a file or a folder of a guest to this machine; names and links of the guest lead nowhere else.

    Args:
        ctx: the task it belongs to.
        session: logged in.
        remote: in the guest; relative to the home of its user.
        local: of this machine.
        onto: `local` is what it becomes, also where a folder of that name is there.

    Raises:
        PathNotFound: it is not there, or the folder that it should go to is not.
        CopyFailed: some of it could not be copied; the rest was.
        DiskFull: this machine's disk is.
        GuestError: the machine went down, or the connection broke.
        Cancelled: the user asked to stop.
    """
    try:
        sftp = session.sftp(ctx)
    except NoSftp:
        from .scp import copy_from_by_scp

        return copy_from_by_scp(ctx, session, remote, local, onto=onto)
    tally = Tally(ctx)
    with closing(sftp.channel):
        path = _remote(remote)
        about = _about(ctx, sftp, Kind.STAT, path)
        if about is None:
            raise PathNotFound(f"there is no {shown(path)} in '{session.way.target.name}'")
        name = path.rstrip(b"/").rpartition(b"/")[2]
        is_folder = stat.S_ISDIR(about.mode)
        folder, name = (local.parent, os.fsencode(local.name)) if onto else destination(local, name, is_folder=is_folder)
        tally.total = about.size if stat.S_ISREG(about.mode) else 0
        with LocalTree(folder) as tree, tree.taking_shape(name, is_folder=is_folder) as top:
            Download(sftp, tree, tally).run(ctx, path, top, about)
    tally.require_all(f"not everything of '{remote}' of '{session.way.target.name}' could be copied")
    return tally


def fetch(ctx: TaskContext, session: Session, names: Mapping[str, str], folder: Path, *, strict: bool) -> list[str]:
    """Copy files and folders of a guest into a folder of this machine, each under a name that is given.

    Args:
        ctx: the task it belongs to.
        session: logged in.
        names: path in the guest → its name in the folder.
        folder: is there.
        strict: what cannot be copied is an error; else it is only told.

    Returns:
        The paths that are not in the guest.

    Raises: as `copy_from`, but PathNotFound.
    """
    missing = []
    for path, name in names.items():
        with ctx.child(f"Copy {path}") as task:
            try:
                copy_from(task, session, path, folder / name, onto=True)
            except PathNotFound:
                missing.append(path)
            except CopyFailed as failure:
                if strict:
                    raise
                task.log(failure.message, logging.WARNING)
    return missing


def destination(local: Path, name: bytes, *, is_folder: bool) -> tuple[Path, bytes]:
    """Return the folder of this machine that something goes to, and its name in there; b"" means what is in it, not itself.

    Raises:
        PathNotFound: there is no such folder.
        CopyFailed: a folder cannot take the place of a file.
    """
    if local.is_dir():
        return local, name if is_name(name) else b""
    if not local.parent.is_dir() or (str(local).endswith("/") and not is_folder):
        raise PathNotFound(f"there is no folder '{local.parent}' here")
    if is_folder and os.path.lexists(local):
        raise CopyFailed(f"'{local}' is there and is no folder")
    if local.is_symlink():
        local = local.resolve()
    return local.parent, os.fsencode(local.name)


def _readable(local: Path) -> list[Item]:
    """Return all that is to be copied, with targets below that of the whole."""
    try:
        return list(items(os.fsencode(local), b""))
    except FileNotFoundError as missing:
        raise PathNotFound(f"there is no '{os.fsdecode(missing.filename)}' here") from missing
    except OSError as failure:
        where = os.fsdecode(failure.filename) if failure.filename else str(local)
        raise CopyFailed(f"'{where}' cannot be read: {failure.strerror}", hint="nothing was copied") from failure


def _remote(path: str) -> bytes:
    """Return a path of the guest as its SFTP server takes it, which begins in the user's home."""
    if path in ("", "~", "~/"):
        return b"."
    return os.fsencode(path.removeprefix("~/"))


def _about(ctx: TaskContext, sftp: Sftp, kind: Kind, path: bytes) -> About | None:
    """Return what a path of the guest is; None when it is not there."""
    try:
        return sftp.answer(ctx, of_path(kind, path)).about()
    except Refused as refusal:
        if refusal.code == NO_SUCH_FILE:
            return None
        raise CopyFailed(f"{shown(path)} in the machine: {refusal.words}") from refusal


def _place(ctx: TaskContext, sftp: Sftp, target: bytes, name: bytes, item: Item) -> tuple[bytes, bool]:
    """Return where something goes in the guest, and whether it must be written in place, being no file there."""
    is_folder = stat.S_ISDIR(item.about.st_mode)
    there = _about(ctx, sftp, Kind.STAT, target)
    if there is not None and stat.S_ISDIR(there.mode):
        if name:
            target = target.rstrip(b"/") + b"/" + name
        there = _about(ctx, sftp, Kind.STAT, target)
    elif target.endswith(b"/") and not is_folder:
        raise PathNotFound(f"there is no folder {shown(target)} in the machine")
    if there is None:
        return target.rstrip(b"/") or b"/", False
    if stat.S_ISDIR(there.mode) != is_folder:
        raise CopyFailed(f"{shown(target)} is there in the machine and is {'a' if stat.S_ISDIR(there.mode) else 'no'} folder")
    if is_folder:
        return target, False
    real = sftp.answer(ctx, of_path(Kind.REALPATH, target))  # a link stays: what it leads to is replaced
    return (real.text(Kind.NAME) if real.kind == Kind.NAME else target), not stat.S_ISREG(there.mode)
