"""Files and folders into a machine by SFTP. A file gets its name when it is whole; what a copy that fails has begun is removed."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ..context import TaskContext
from ..errors import EngineError
from .local_tree import part_name
from .sftp import Job, Sftp, Ticket, ask, send, wait
from .sftp_wire import (
    CREATE,
    TRUNCATE,
    WRITE,
    Kind,
    Refused,
    Reply,
    Request,
    close,
    make_folder,
    make_link,
    of_path,
    open_file,
    rename,
    replace,
    set_open,
    set_path,
    write,
)
from .tally import Tally

WINDOW = 16
"""Writes of one file that are under way at once."""
CLEANING_LIMIT_S = 3.0
"""How long a machine may be silent when a copy that broke off is cleaned up."""
Part = Generator[Request | Ticket, Ticket | Reply | None, None]


@dataclass(frozen=True, slots=True)
class Item:
    """Something of this machine, and its path in the other."""

    source: bytes
    target: bytes
    about: os.stat_result


def items(source: bytes, target: bytes) -> Iterator[Item]:
    """Yield a file or a folder (a link is followed) and all that is in it (links are not), folders first.

    Raises:
        OSError: it cannot be read.
    """
    about = os.stat(source)  # noqa: PTH116 - Path takes no bytes
    yield Item(source, target, about)
    if stat.S_ISDIR(about.st_mode):
        yield from _inside(source, target)


def _inside(source: bytes, target: bytes) -> Iterator[Item]:
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        item = Item(entry.path, target.rstrip(b"/") + b"/" + entry.name, entry.stat(follow_symlinks=False))
        yield item
        if entry.is_dir(follow_symlinks=False):
            yield from _inside(item.source, item.target)


@dataclass(slots=True)
class Upload:
    """One copy."""

    sftp: Sftp
    tally: Tally
    in_place: bool = False
    """Write into the file itself: it is a device, or a pipe."""
    _parts: set[bytes] = field(default_factory=set)
    """Files in the machine that have no name yet."""
    _made: list[Item] = field(default_factory=list)
    """Folders that were not there before."""

    def run(self, ctx: TaskContext, todo: list[Item]) -> None:
        """Copy everything.

        Raises:
            GuestError: the connection broke.
            Cancelled: the user asked to stop.
        """
        self.tally.total = sum(item.about.st_size for item in todo if stat.S_ISREG(item.about.st_mode))
        try:
            self.sftp.run(ctx, (self._any(item) for item in todo))
            self.sftp.run(ctx, (self._finish_folder(item) for item in reversed(self._made)))
        except EngineError:
            self._clean(ctx)
            raise

    def _clean(self, ctx: TaskContext) -> None:
        """Remove what has no name yet; when the machine has gone, nobody can."""
        self.sftp.silence_limit_s = CLEANING_LIMIT_S
        try:
            self.sftp.run(ctx.shielded(), [self._remove(part) for part in sorted(self._parts)])
        except EngineError as failure:
            ctx.log(f"what was begun in the machine is still there: {failure.message}")

    def _any(self, item: Item) -> Job:
        mode = item.about.st_mode
        if stat.S_ISDIR(mode):
            yield from self._folder(item)
        elif stat.S_ISREG(mode):
            yield from self._file(item)
        elif stat.S_ISLNK(mode):
            yield from self._link(item)
        else:
            self.tally.skip(item.source, "it is neither a file, a folder nor a link")

    def _folder(self, item: Item) -> Part:
        reply = yield from ask(make_folder(item.target, 0o700))
        try:
            reply.require_ok()
            self._made.append(item)
        except Refused as refusal:
            there = yield from ask(of_path(Kind.STAT, item.target))
            if there.kind != Kind.ATTRS or not stat.S_ISDIR(there.about().mode):
                self.tally.fail(item.target, refusal.words)

    def _finish_folder(self, item: Item) -> Job:
        yield from ask(set_path(item.target, stat.S_IMODE(item.about.st_mode), int(item.about.st_atime), int(item.about.st_mtime)))

    def _link(self, item: Item) -> Part:
        try:
            target, part = os.readlink(item.source), _part_of(item.target)  # noqa: PTH115 - as above
            yield from ask(of_path(Kind.REMOVE, part))
            (yield from ask(make_link(part, target))).require_ok()
            self._parts.add(part)
            yield from self._name(part, item.target)
            self.tally.files += 1
        except (Refused, OSError) as failure:
            self._failed(item, failure)

    def _file(self, item: Item) -> Part:
        part = item.target if self.in_place else _part_of(item.target)
        try:
            with open(item.source, "rb", buffering=0) as content:  # noqa: PTH123 - Path takes no bytes
                handle = (yield from ask(open_file(part, WRITE | CREATE | TRUNCATE))).text(Kind.HANDLE)
                if not self.in_place:
                    self._parts.add(part)
                yield from self._content(content.fileno(), handle, item)
            if not self.in_place:
                yield from self._name(part, item.target)
            self.tally.files += 1
        except (Refused, OSError) as failure:
            self._failed(item, failure)
            if part in self._parts:
                yield from self._remove(part)

    def _content(self, source: int, handle: bytes, item: Item) -> Part:
        """Send a file's content, mode and times, and close it.

        Raises:
            Refused: one of these did not go well.
            OSError: it cannot be read.
        """
        under_way: deque[Ticket] = deque()
        refusals: list[Refused] = []
        offset = 0
        while not refusals and (data := os.pread(source, self.sftp.chunk_bytes, offset)):
            under_way.append((yield from send(write(handle, offset, data))))
            offset += len(data)
            self.tally.moved(len(data))
            if len(under_way) >= WINDOW:
                refusals += _refusals((yield from wait(under_way.popleft())))
        about = item.about
        settings = set_open(handle, stat.S_IMODE(about.st_mode), int(about.st_atime), int(about.st_mtime))
        if not self.in_place:
            under_way.append((yield from send(settings)))
        under_way.append((yield from send(close(handle))))
        while under_way:
            refusals += _refusals((yield from wait(under_way.popleft())))
        if refusals:
            raise refusals[0]

    def _name(self, part: bytes, target: bytes) -> Part:
        """Give what is whole its name, in the place of what has it."""
        if self.sftp.can_replace:
            (yield from ask(replace(part, target))).require_ok()
        else:
            yield from ask(of_path(Kind.REMOVE, target))
            (yield from ask(rename(part, target))).require_ok()
        self._parts.discard(part)

    def _remove(self, part: bytes) -> Part:
        yield from ask(of_path(Kind.REMOVE, part))
        self._parts.discard(part)

    def _failed(self, item: Item, failure: Refused | OSError) -> None:
        if isinstance(failure, Refused):
            self.tally.fail(item.target, failure.words)
        else:
            self.tally.fail(item.source, failure.strerror or str(failure))


def _part_of(target: bytes) -> bytes:
    folder, slash, name = target.rpartition(b"/")
    return folder + slash + part_name(name)


def _refusals(reply: Reply) -> list[Refused]:
    try:
        reply.require_ok()
    except Refused as refusal:
        return [refusal]
    return []
