"""The protocol of scp on a channel, for guests without an SFTP server. It carries no links: a guest's arrive as what they lead to."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import CopyFailed, DiskFull, EngineError, GuestError, PathNotFound
from ..state.atomic import FULL
from .local_tree import LocalTree, NewFile, Parts, is_name, part_name
from .session import Session
from .sftp import LOOK_S
from .ssh import BUFFER_BYTES, open_channel
from .tally import Tally, shown
from .upload import CLEANING_LIMIT_S, Item

if TYPE_CHECKING:
    import paramiko

START_LIMIT_S = 30.0
LONGEST_LINE = 8192
DEEPEST = 256
"""Folders in folders: a guest could send them for ever."""


@dataclass(slots=True)
class _Wire:
    """A channel with scp at its other end."""

    ctx: TaskContext
    session: Session
    channel: paramiko.Channel
    _inbox: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.channel.send(rest[:BUFFER_BYTES].tobytes()) :]
            except TimeoutError:
                self._look_around()
            except OSError as failure:
                raise self._ended() from failure

    def some(self, most: int) -> bytes:
        """Return some of what comes."""
        while not self._inbox:
            try:
                data = self.channel.recv(BUFFER_BYTES)
            except TimeoutError:
                self._look_around()
                continue
            if not data:
                raise self._ended()
            self._inbox += data
        found = bytes(self._inbox[:most])
        del self._inbox[:most]
        return found

    def line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self.some(1)
            if len(line) > LONGEST_LINE:
                raise GuestError("the machine's scp talks nonsense")
        return bytes(line[:-1])

    def require_ok(self) -> None:
        """Raises: CopyFailed: the other end says no."""
        answer = self.some(1)
        if answer != b"\0":
            raise CopyFailed(f"the machine's scp says: {self.line().decode(errors='replace')}")

    def _look_around(self) -> None:
        self.ctx.raise_if_cancelled()
        self.session.watch()

    def _ended(self) -> GuestError:
        said = self.channel.recv_stderr(BUFFER_BYTES) if self.channel.recv_stderr_ready() else b""
        words = said.decode(errors="replace").strip() or "it ended"
        return CopyFailed(f"there is no SFTP server in '{self.session.way.target.name}', and its scp fails: {words}")


def _wire(ctx: TaskContext, session: Session, option: str, path: bytes) -> _Wire:
    command = shlex.join(["scp", "-r", "-p", option, "--", _word(path)]).encode(errors="surrogateescape")
    channel = open_channel(ctx, session.client, lambda channel: channel.exec_command(command), START_LIMIT_S)
    channel.settimeout(LOOK_S)
    return _Wire(ctx, session, channel)


# --- to a guest --------------------------------------------------------------------------------------------------


def copy_to_by_scp(ctx: TaskContext, session: Session, todo: list[Item], name: bytes, remote: str) -> Tally:
    """Copy files beside where they belong, then move them there. Raises what `files.copy_to` raises."""
    tally = Tally(ctx, total=sum(item.about.st_size for item in todo if stat.S_ISREG(item.about.st_mode)))
    target = os.fsencode(remote.removeprefix("~/") if remote not in ("", "~") else ".")
    if _is_folder(ctx, session, target) and name:
        target = target.rstrip(b"/") + b"/" + name
    target = target.rstrip(b"/") or b"/"
    folder, slash, last = target.rpartition(b"/")
    part = folder + slash + part_name(last)
    ctx.log(f"'{session.way.target.name}' has no SFTP server: copying by scp")
    try:
        wire = _wire(ctx, session, "-t", part)
        with closing(wire.channel):
            wire.require_ok()
            _Sending(wire, tally).all_of(todo)
        _move(ctx, session, todo, part, target)
    except EngineError:
        with contextlib.suppress(EngineError):  # a machine that has gone is told by what is raised
            session.run(ctx.shielded(), shlex.join(["rm", "-rf", "--", _word(part)]), timeout_s=CLEANING_LIMIT_S)
        raise
    tally.require_all("not everything could be copied")
    return tally


def _move(ctx: TaskContext, session: Session, todo: list[Item], part: bytes, target: bytes) -> None:
    """Make the links that scp does not carry, and give the whole its name; what is in a folder that is there stays."""
    links = ((item, os.readlink(item.source)) for item in todo if stat.S_ISLNK(item.about.st_mode))  # noqa: PTH115 - Path takes no bytes
    lines = [f"ln -s -- {_quoted(leads_to)} {_quoted(part + item.target)} || exit 1" for item, leads_to in links]
    old, new = _quoted(part), _quoted(target)
    if stat.S_ISDIR(todo[0].about.st_mode):
        lines.append(f"if [ -d {new} ]; then cp -a -- {old}/. {new}/ && rm -rf -- {old}; else mv -- {old} {new}; fi")
    else:
        lines.append(f"if [ -d {new} ]; then echo {new} is a folder >&2; exit 1; else mv -f -- {old} {new}; fi")
    status = session.run(ctx, "sh -s", "\n".join(lines).encode(errors="surrogateescape"), START_LIMIT_S * 10)
    if status.code != 0:
        raise CopyFailed(f"{shown(target)} in the machine: {status.err.decode(errors='replace').strip()}")


@dataclass(slots=True)
class _Sending:
    wire: _Wire
    tally: Tally

    def all_of(self, todo: Iterable[Item]) -> None:
        open_folders: list[bytes] = []
        for item in todo:
            while open_folders and not item.target.startswith(open_folders[-1] + b"/"):
                self._say(b"E\n")
                open_folders.pop()
            mode = item.about.st_mode
            if stat.S_ISDIR(mode):
                self._announce(item, b"D", 0)
                open_folders.append(item.target)
            elif stat.S_ISREG(mode):
                self._file(item)
            elif not stat.S_ISLNK(mode):
                self.tally.skip(item.source, "it is neither a file, a folder nor a link")
        for _ in open_folders:
            self._say(b"E\n")

    def _file(self, item: Item) -> None:
        try:
            content = open(item.source, "rb", buffering=0)  # noqa: PTH123, SIM115 - Path takes no bytes
        except OSError as failure:
            self.tally.fail(item.source, failure.strerror or str(failure))
            return
        with content:
            left = os.fstat(content.fileno()).st_size
            self._announce(item, b"C", left)
            while left and (data := content.read(min(left, BUFFER_BYTES))):
                left -= len(data)
                self.wire.send(data)
                self.tally.moved(len(data))
            while left:  # it became shorter meanwhile, and its length is promised
                self.wire.send(bytes(min(left, BUFFER_BYTES)))
                left -= min(left, BUFFER_BYTES)
        self._say(b"\0")
        self.tally.files += 1

    def _announce(self, item: Item, kind: bytes, size: int) -> None:
        about, name = item.about, item.target.rpartition(b"/")[2] or b"x"
        if b"\n" in name:
            raise CopyFailed(f"{shown(item.source)}: scp cannot carry a name of two lines, and there is no SFTP server")
        self._say(b"T%d 0 %d 0\n" % (about.st_mtime, about.st_atime))
        self._say(kind + b"%04o %d %s\n" % (stat.S_IMODE(about.st_mode), size, name))

    def _say(self, data: bytes) -> None:
        self.wire.send(data)
        self.wire.require_ok()


# --- from a guest ------------------------------------------------------------------------------------------------


def copy_from_by_scp(ctx: TaskContext, session: Session, remote: str, local: Path, *, onto: bool) -> Tally:
    """Copy out of a guest. Raises what `files.copy_from` raises."""
    from .files import destination

    path = os.fsencode(remote.removeprefix("~/") if remote not in ("", "~") else ".")
    if session.run(ctx, shlex.join(["test", "-e", _word(path)])).code != 0:
        raise PathNotFound(f"there is no {shown(path)} in '{session.way.target.name}'")
    is_folder = _is_folder(ctx, session, path)
    name = path.rstrip(b"/").rpartition(b"/")[2]
    folder, name = (local.parent, os.fsencode(local.name)) if onto else destination(local, name, is_folder=is_folder)
    tally = Tally(ctx)
    ctx.log(f"'{session.way.target.name}' has no SFTP server: copying by scp; links arrive as what they lead to")
    wire = _wire(ctx, session, "-f", path)
    with closing(wire.channel), LocalTree(folder) as tree, tree.taking_shape(name, is_folder=is_folder) as top:
        _Receiving(wire, tree, tally).all_to(top)
    tally.require_all(f"not everything of '{remote}' could be copied")
    return tally


@dataclass(slots=True)
class _Receiving:
    wire: _Wire
    tree: LocalTree
    tally: Tally

    def all_to(self, top: Parts) -> None:
        """Take what is sent; the first thing is called `top`, whatever the guest calls it."""
        folders: list[tuple[Parts, int, tuple[int, int], bool]] = []
        times = (0, 0)
        while True:
            self.wire.send(b"\0")
            try:
                kind = self.wire.some(1)
            except CopyFailed:
                if folders or not (self.tally.files or self.tally.failures):
                    raise
                return
            line = self.wire.line()
            if kind == b"T":
                times = _times(line)
            elif kind == b"E" and folders:
                parts, mode, was, made = folders.pop()
                if made:
                    self.tree.finish_folder(parts, mode, *was)
                if not folders:
                    self.wire.send(b"\0")
                    return
            elif kind in (b"C", b"D") and len(folders) < DEEPEST:
                mode, size, name = _header(line)
                parts = (*folders[-1][0], name) if folders else top
                if kind == b"D":
                    folders.append((parts, mode, times, self.tree.make_folder(parts)))
                else:
                    self._file(parts, size, mode, times)
                    if not folders:
                        return
            elif kind in (b"\1", b"\2"):
                self.tally.fail(b"/".join(folders[-1][0]) if folders else b"/".join(top), line.decode(errors="replace"))
                if kind == b"\2" or not folders:
                    return
            else:
                raise GuestError("the machine's scp talks nonsense")

    def _file(self, parts: Parts, size: int, mode: int, times: tuple[int, int]) -> None:
        self.wire.send(b"\0")
        left = size
        try:
            with self.tree.new_file(parts) as new:
                while left:
                    left -= self._piece(new, left)
                self.wire.require_ok()
                new.finish(mode, *times)
        except OSError as failure:
            if failure.errno in FULL:
                raise DiskFull(f"no room here for what comes from the machine: {failure.strerror}") from failure
            raise CopyFailed(f"{shown(parts[-1])} cannot be written here: {failure.strerror}") from failure
        self.tally.files += 1

    def _piece(self, new: NewFile, most: int) -> int:
        data = self.wire.some(min(most, BUFFER_BYTES))
        new.write(data)
        self.tally.moved(len(data))
        return len(data)


def _times(line: bytes) -> tuple[int, int]:
    """Return atime and mtime."""
    words = line.split()
    if len(words) != 4 or not all(word.isdigit() and len(word) < 12 for word in words):
        raise GuestError("the machine's scp talks nonsense")
    return int(words[2]), int(words[0])


def _header(line: bytes) -> tuple[int, int, bytes]:
    """Return mode, size and name of what comes."""
    words = line.split(b" ", 2)
    if len(words) != 3 or not words[0].isdigit() or not words[1].isdigit() or len(words[0]) > 5 or not is_name(words[2]):
        raise GuestError(f"the machine's scp talks nonsense: {shown(line)}")
    return int(words[0], 8), int(words[1]), words[2]


def _is_folder(ctx: TaskContext, session: Session, path: bytes) -> bool:
    return session.run(ctx, shlex.join(["test", "-d", _word(path)])).code == 0


def _quoted(path: bytes) -> str:
    """Return a path as a word of a shell's line."""
    return shlex.quote(_word(path))


def _word(path: bytes) -> str:
    """Return a path as an argument; one that begins with a dash is no option."""
    return os.fsdecode(b"./" + path if path.startswith(b"-") else path)
