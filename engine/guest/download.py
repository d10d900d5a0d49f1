"""Files and folders out of a machine by SFTP. Names and links of the machine are not trusted: see `local_tree`."""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from ..context import TaskContext
from ..errors import DiskFull
from ..state.atomic import FULL
from .local_tree import LocalTree, NewFile, Parts, is_name
from .sftp import Job, Sftp, Ticket, ask, send, wait
from .sftp_wire import READ, About, Kind, Refused, Reply, Request, close, of_path, open_file, read
from .tally import Tally

WINDOW = 16
"""Reads of one file that are under way at once."""
Part = Generator[Request | Ticket, Ticket | Reply | None, None]
Work = Callable[[], None]


@dataclass(slots=True)
class Download:
    """One copy."""

    sftp: Sftp
    tree: LocalTree
    tally: Tally
    _folders: list[tuple[Parts, About]] = field(default_factory=list)

    def run(self, ctx: TaskContext, path: bytes, parts: Parts, about: About) -> None:
        """Copy what `path` is, with all that is in it, to `parts` of the tree.

        Raises:
            DiskFull: this machine's disk is.
            GuestError: the connection broke.
            Cancelled: the user asked to stop.
        """
        self.sftp.run(ctx, [self._any(path, parts, about)])
        for folder, was in reversed(self._folders):
            self._local(path, lambda folder=folder, was=was: self.tree.finish_folder(folder, was.mode, was.atime, was.mtime))  # type: ignore[misc]

    def _any(self, path: bytes, parts: Parts, about: About) -> Job:
        if not about.mode:
            reply = yield from ask(of_path(Kind.LSTAT, path))
            try:
                about = reply.about()
            except Refused as refusal:
                self.tally.fail(path, refusal.words)
                return
        if stat.S_ISDIR(about.mode):
            yield from self._folder(path, parts, about)
        elif stat.S_ISREG(about.mode):
            yield from self._file(path, parts, about)
        elif stat.S_ISLNK(about.mode):
            yield from self._link(path, parts)
        else:
            self.tally.skip(path, "it is neither a file, a folder nor a link")

    def _folder(self, path: bytes, parts: Parts, about: About) -> Part:
        made: list[bool] = []
        if not self._local(path, lambda: made.append(self.tree.make_folder(parts))):
            return
        if any(made):
            self._folders.append((parts, about))
        try:
            handle = (yield from ask(of_path(Kind.OPENDIR, path))).text(Kind.HANDLE)
        except Refused as refusal:
            self.tally.fail(path, refusal.words)
            return
        found: list[tuple[bytes, About]] = []
        while not (reply := (yield from ask(of_path(Kind.READDIR, handle)))).is_eof:
            try:
                found += reply.entries()
            except Refused as refusal:
                self.tally.fail(path, refusal.words)
                break
        yield from ask(close(handle))
        for name, inner in reversed(found):
            if is_name(name):
                self.tally.total += inner.size if stat.S_ISREG(inner.mode) else 0
                self.sftp.spawn(self._any(_joined(path, name), (*parts, name), inner))
            elif name not in (b".", b".."):
                self.tally.skip(_joined(path, name), "it has a name that leads elsewhere")

    def _link(self, path: bytes, parts: Parts) -> Part:
        reply = yield from ask(of_path(Kind.READLINK, path))
        try:
            target = reply.text(Kind.NAME)
        except Refused as refusal:
            self.tally.fail(path, refusal.words)
            return
        if self._local(path, lambda: self.tree.make_link(parts, target)):
            self.tally.files += 1

    def _file(self, path: bytes, parts: Parts, about: About) -> Part:
        try:
            handle = (yield from ask(open_file(path, READ))).text(Kind.HANDLE)
        except Refused as refusal:
            self.tally.fail(path, refusal.words)
            return
        try:
            with self.tree.new_file(parts) as new:
                yield from self._content(handle, new, about.size)
                new.finish(about.mode, about.atime, about.mtime)
            self.tally.files += 1
        except Refused as refusal:
            self.tally.fail(path, refusal.words)
        except OSError as failure:
            self._refused_here(path, failure)
        yield from ask(close(handle))

    def _content(self, handle: bytes, new: NewFile, size: int) -> Part:
        """Copy what is in a file; of one that grows meanwhile, as much as it had. A size of 0 may mean that nobody knows it."""
        if size == 0:
            offset = 0
            while data := _data((yield from ask(read(handle, offset, self.sftp.chunk_bytes)))):
                offset += len(data)
                self._write(new, data)
            return
        under_way: deque[tuple[Ticket, int, int]] = deque()
        try:
            for offset in range(0, size, self.sftp.chunk_bytes):
                length = min(self.sftp.chunk_bytes, size - offset)
                under_way.append(((yield from send(read(handle, offset, length))), offset, length))
                if len(under_way) >= WINDOW and not (yield from self._piece(handle, new, *under_way.popleft())):
                    break
            else:
                while under_way and (yield from self._piece(handle, new, *under_way.popleft())):
                    pass
        except (Refused, OSError):
            yield from _drained(under_way)
            raise
        yield from _drained(under_way)

    def _piece(
        self, handle: bytes, new: NewFile, ticket: Ticket, offset: int, length: int
    ) -> Generator[Request | Ticket, Ticket | Reply | None, bool]:
        """Write one piece; return whether there may be more: False at the end of a file that became shorter."""
        data = _data((yield from wait(ticket)))
        while data:
            self._write(new, data)
            offset, length = offset + len(data), length - len(data)
            if length <= 0:
                return True
            data = _data((yield from ask(read(handle, offset, length))))
        return False

    def _write(self, new: NewFile, data: bytes) -> None:
        new.write(data)
        self.tally.moved(len(data))

    def _local(self, path: bytes, work: Work) -> bool:
        """Do something on this machine's disk; return whether it could be done."""
        try:
            work()
        except OSError as failure:
            self._refused_here(path, failure)
            return False
        return True

    def _refused_here(self, path: bytes, failure: OSError) -> None:
        if failure.errno in FULL:
            raise DiskFull(f"no room here for what comes from the machine: {failure.strerror}") from failure
        self.tally.fail(path, f"it cannot be written here: {failure.strerror or failure}")


def _data(reply: Reply) -> bytes:
    return b"" if reply.is_eof else reply.text(Kind.DATA)


def _drained(under_way: deque[tuple[Ticket, int, int]]) -> Part:
    """Wait for replies that nobody needs any more."""
    for ticket, _, _ in under_way:
        yield from wait(ticket)
    under_way.clear()


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/" + name
