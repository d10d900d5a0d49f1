"""Images from the web: gone on with where an earlier try or run stopped, unpacked and hashed while they come in.

Beside the store's lock, `<image>.part` holds the bytes as the server sent them, and `<image>.resume` what they are of.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..context import TaskContext
from ..errors import HashMismatch, TemplateError
from ..state.atomic import write_json
from .copying import created
from .hashes import Beside, Checksum, Digests
from .trouble import WebTrouble, plain, shown
from .unpacking import unpacking
from .web import DEFAULT_LIMITS, Answer, Head, Limits, Patience, get, require_no_page
from .writing import WriteBehind, write_all
from .xz import NotPacked

PROGRESS_PERIOD_S = 0.1
KEPT_PIECE_BYTES = 4 * 1024 * 1024
"""Read at once of what an earlier try left."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image on the web, and what is promised of it."""

    url: str
    packed: bool
    """Whether it is xz."""
    sent: Sequence[Checksum] = ()
    """Of the bytes that the server sends."""
    image: Sequence[Checksum] = ()
    """Of the image itself, unpacked."""
    size_bytes: int | None = None
    """Of the image itself, where it is declared; it may not become larger."""
    limits: Limits = DEFAULT_LIMITS


def download(ctx: TaskContext, wanted: Wanted, out: Path, part: Path) -> Digests:
    """Fetch an image into the new file `out`.

    Args:
        ctx: hears the bytes and the rate.
        wanted: what is fetched.
        out: appears with the last byte; checked, but not yet on the disk for good.
        part: what has come in so far; kept when the download stops in the middle, removed when it is of no use.

    Returns:
        sha1, and what else was promised, of the image.

    Raises:
        HashMismatch: it is not what was promised; nothing is kept.
        NotThere: the server has no such thing.
        TemplateError: the server cannot be reached, is too slow, breaks off, or sends what is no image.
        DiskFull: there is no room.
        Cancelled: the user asked to stop.
    """
    try:
        with _opened(part) as fd:
            digests = _Transfer(ctx, wanted, out, part, fd).run()
    except BaseException as failure:
        if isinstance(failure, HashMismatch | NotPacked) or not _can_go_on(part):
            forget(part)
        raise
    if not wanted.packed:
        part.replace(out)
    forget(part)
    return digests


def forget(part: Path) -> None:
    """Remove what a download left."""
    part.unlink(missing_ok=True)
    resume_file(part).unlink(missing_ok=True)


def resume_file(part: Path) -> Path:
    """Return the file that says what `part` is of."""
    return part.with_suffix(".resume")


def _can_go_on(part: Path) -> bool:
    return resume_file(part).exists() and part.exists() and part.stat().st_size > 0


@dataclass(frozen=True, slots=True)
class _Mark:
    """What tells whether the server still has the same thing."""

    url: str
    validator: str
    """Strong ETag or Last-Modified; "": it cannot be told."""
    total: int | None

    @classmethod
    def of(cls, url: str, head: Head) -> _Mark:
        etag = head.headers.get("etag", "")
        validator = etag if etag and not etag.startswith("W/") else head.headers.get("last-modified", "")
        return cls(url, validator, head.length)

    @classmethod
    def read(cls, part: Path) -> _Mark | None:
        try:
            data = json.loads(resume_file(part).read_bytes())
            return cls(str(data["url"]), str(data["validator"]), None if data["total"] is None else int(data["total"]))
        except (OSError, ValueError, KeyError, TypeError):  # nothing, or nothing that could be relied on: from the beginning
            return None


@dataclass(slots=True)
class _Transfer:
    """One download, through as many connections as it takes."""

    ctx: TaskContext
    wanted: Wanted
    out: Path
    part: Path
    fd: int
    mark: _Mark | None = None
    done: int = 0
    """Bytes of `part` that are good."""
    sent: Digests = field(init=False)
    meter: _RateMeter = field(init=False)

    def run(self) -> Digests:
        self.meter = _RateMeter(self.ctx)
        mark = _Mark.read(self.part)
        if mark is not None and mark.url == shown(self.wanted.url) and mark.validator:
            self.mark, self.done = mark, os.fstat(self.fd).st_size
        patience = Patience(self.ctx, self.wanted.limits)
        most = self.done
        while True:
            try:
                return self._try()
            except WebTrouble as trouble:
                if self.done >= most + self.wanted.limits.worth_bytes:
                    most = self.done
                    patience.begin()
                patience.wait_after(trouble)

    def _try(self) -> Digests:
        """Fetch what is missing, then look at the whole. What is there already is hashed while the server is asked for the rest."""
        with self._asked() as answer, _taking(self) as (image, beside):
            head = answer.head()
            self._settle(head)
            for piece in self._kept():
                beside.put(piece)
            if head.status != 416:
                self._receive(answer, beside)
        what = f"'{shown(self.wanted.url)}'"
        try:
            self.sent.verify(self.wanted.sent, what)
            image.verify(self.wanted.image, what)
        except HashMismatch:
            self.out.unlink(missing_ok=True)
            raise
        return image

    def _asked(self) -> Answer:
        headers = {}
        if self.done and self.mark is not None:
            headers = {"Range": f"bytes={self.done}-", "If-Range": self.mark.validator}
            self.ctx.log(f"going on after {self.done / 2**20:.1f} MiB that are here already")
        return get(self.ctx, self.wanted.url, headers, self.wanted.limits)

    def _settle(self, head: Head) -> None:
        """Find out where the answer begins, and drop what is here when it does not go on from there."""
        if head.headers.get("content-encoding", "identity") not in ("identity", "x-xz", "xz", ""):
            packing = plain(head.headers["content-encoding"])
            raise TemplateError(f"'{shown(self.wanted.url)}' comes packed as '{packing}', which was not asked for")
        require_no_page(head, self.wanted.url)
        known = self.mark
        if head.status == 206 and known is not None and _goes_on(head, self.done, known.total):
            return
        if head.status == 416 and known is not None and known.total in (None, self.done) and self.done:
            return
        if head.status != 200:
            self._restart(None)
            raise WebTrouble(f"'{shown(self.wanted.url)}': the server answers {head.status} with another part than was asked for")
        self._restart(_Mark.of(shown(self.wanted.url), head))

    def _restart(self, mark: _Mark | None) -> None:
        self.mark, self.done = mark, 0
        resume_file(self.part).unlink(missing_ok=True)
        os.ftruncate(self.fd, 0)
        if mark is not None and mark.validator:
            write_json(resume_file(self.part), asdict(mark))

    def _kept(self) -> Iterator[bytes]:
        offset = 0
        while offset < self.done:
            self.ctx.raise_if_cancelled()
            piece = os.pread(self.fd, min(KEPT_PIECE_BYTES, self.done - offset), offset)
            if not piece:
                raise TemplateError(f"'{self.part}' became shorter while it was read", hint="run the same command again")
            yield piece
            offset += len(piece)

    def _receive(self, answer: Answer, beside: Beside) -> None:
        total = self.mark.total if self.mark is not None else None
        self.meter.begin(self.done, total)
        behind = WriteBehind(self.fd, self.done)
        for chunk in answer.chunks():
            write_all(self.fd, chunk, self.done)
            self.done += len(chunk)
            behind.at(self.done)
            beside.put(chunk)
            self.meter.at(self.done)
        if total is not None and self.done != total:
            raise WebTrouble(f"'{shown(self.wanted.url)}' was cut off after {self.done} of {total} bytes")
        self.meter.end(self.done)


@contextmanager
def _taking(transfer: _Transfer) -> Iterator[tuple[Digests, Beside]]:
    """Yield the digests of the image, and what takes the bytes that come in; new ones for each try, fed from the first byte."""
    wanted = transfer.wanted
    image = Digests({"sha1"} | {checksum.algorithm for checksum in wanted.image} | _same(wanted))
    if not wanted.packed:
        transfer.sent = image
        with Beside(*image.lanes()) as beside:
            yield image, beside
        return
    transfer.sent = Digests({checksum.algorithm for checksum in wanted.sent})
    transfer.out.unlink(missing_ok=True)
    with created(transfer.out) as fd, unpacking(transfer.ctx, fd, image, _limit(wanted), f"'{shown(wanted.url)}'") as unpacks:
        with Beside(unpacks.feed, *transfer.sent.lanes()) as beside:
            yield image, beside
        unpacks.finish()


class _RateMeter:
    """Reports bytes and rate, at most ten times a second."""

    def __init__(self, ctx: TaskContext) -> None:
        self._ctx = ctx

    def begin(self, done: int, total: int | None) -> None:
        self._total = total
        self._from, self._from_s = done, time.monotonic()
        self._next_s = 0.0

    def at(self, done: int) -> None:
        if time.monotonic() >= self._next_s:
            self.end(done)

    def end(self, done: int) -> None:
        now_s = time.monotonic()
        self._next_s = now_s + PROGRESS_PERIOD_S
        rate = (done - self._from) / max(now_s - self._from_s, 1e-6) / 1e6
        self._ctx.progress(done, self._total, unit="B", note=f"{rate:.1f} MB/s")


def _limit(wanted: Wanted) -> int:
    """Return how large the image may become; what is declared is what a guest sees, to which a qcow2 adds its tables."""
    size = wanted.size_bytes
    return wanted.limits.image_bytes if size is None or size <= 0 else size + size // 16 + 2**24


def _same(wanted: Wanted) -> set[str]:
    """Return the algorithms of the bytes sent that are those of the image too, since it comes as it is."""
    return set() if wanted.packed else {checksum.algorithm for checksum in wanted.sent}


def _goes_on(head: Head, done: int, total: int | None) -> bool:
    """Whether a partial answer begins where we stopped, in a file of the size that it had: `bytes 100-199/200`."""
    unit, _, rest = head.headers.get("content-range", "").partition(" ")
    span, _, size = rest.partition("/")
    return unit == "bytes" and span.partition("-")[0] == str(done) and (total is None or size in ("*", str(total)))


@contextmanager
def _opened(part: Path) -> Iterator[int]:
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)
