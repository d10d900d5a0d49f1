"""An SFTP client that keeps many requests of many files under way at once. Import this module lazily.

Work on files is written as jobs: generators that yield a `Request` and are given its ticket at once, and that yield a ticket and are given
the `Reply` when it is there. While one job waits, the others go on; a server works requests off in the order in which they came.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import GuestError
from .sftp_wire import LIMITS, POSIX_RENAME, Kind, Reply, Request, number_at

if TYPE_CHECKING:
    import paramiko

CHUNK_BYTES = 32 * 1024
"""Of one read or write: what every server takes."""
LARGE_CHUNK_BYTES = 128 * 1024
"""Of one read or write where the server has OpenSSH's `limits` extension, with which it takes up to 255 KiB."""
JOBS = 32
"""Jobs that are under way at once; a server may have few descriptors."""
REQUESTS = 48
"""Requests that are under way at once; either they or their replies are short, so that neither side ever waits for the other to read."""
SILENCE_LIMIT_S = 60.0
LOOK_S = 0.25
"""How often a silent server is given up for a look at the rest of the world; also the time that a cancel takes."""
SEND_BYTES = 64 * 1024
LONGEST_PACKET = 300 * 1024
"""OpenSSH's own limit is 256 KiB; what claims to be longer is no SFTP."""
VERSION = 3
NONSENSE = "the machine's SFTP server talks nonsense"


class NoSftp(GuestError):
    """The machine has no SFTP server."""


Ticket = int
Job = Generator["Request | Ticket", "Ticket | Reply | None", None]


def send(request: Request) -> Generator[Request | Ticket, Ticket | Reply | None, Ticket]:
    """Send a request; return its ticket at once."""
    ticket = yield request
    assert isinstance(ticket, int)
    return ticket


def wait(ticket: Ticket) -> Generator[Request | Ticket, Ticket | Reply | None, Reply]:
    """Wait for the reply to what has been sent."""
    reply = yield ticket
    assert isinstance(reply, Reply)
    return reply


def ask(request: Request) -> Generator[Request | Ticket, Ticket | Reply | None, Reply]:
    """Send a request and wait for the reply."""
    return (yield from wait((yield from send(request))))


@dataclass(slots=True)
class Sftp:
    """One conversation with a server; for one thread."""

    channel: paramiko.Channel
    watch: Callable[[], None]
    """Called while nothing comes; raises when nothing will."""
    can_replace: bool = False
    """Whether it renames over what is there."""
    chunk_bytes: int = CHUNK_BYTES
    """Of one read or write."""
    silence_limit_s: float = SILENCE_LIMIT_S
    _inbox: bytearray = field(default_factory=bytearray)
    _outbox: bytearray = field(default_factory=bytearray)
    _todo: deque[Job] = field(default_factory=deque)
    _last_ticket: int = 0
    _under_way: int = 0
    """Requests without a reply."""
    _active: int = 0
    _answers: dict[int, Reply] = field(default_factory=dict)
    """That nobody has waited for yet."""
    _waiting: dict[int, Job] = field(default_factory=dict)
    _stalled: deque[tuple[Job, Request]] = field(default_factory=deque)
    """Jobs that want to send while too much is under way."""
    _heard_s: float = field(default_factory=time.monotonic)

    def greet(self, ctx: TaskContext) -> None:
        """Agree on the protocol.

        Raises:
            NoSftp: there is no server at the other end.
        """
        try:
            self._send(ctx, struct.pack(">IBI", 5, Kind.INIT, VERSION))
            kind, body = self._packet(ctx)
        except (_Ended, OSError) as failure:
            raise NoSftp("there is no SFTP server") from failure
        if kind != Kind.VERSION or number_at(body, 0) < VERSION:
            raise NoSftp("what answers is no SFTP server")
        self.can_replace = POSIX_RENAME in body
        if LIMITS in body:
            self.chunk_bytes = LARGE_CHUNK_BYTES

    def spawn(self, job: Job) -> None:
        """Add a job; it begins before those that were added earlier."""
        self._todo.appendleft(job)

    def run(self, ctx: TaskContext, jobs: Iterable[Job]) -> None:
        """Do jobs to their end, with all that they spawn.

        Raises:
            GuestError: the connection ended or fell silent; or what a job raised.
            Cancelled: the user asked to stop.
        """
        self._todo.extend(jobs)
        self._heard_s = time.monotonic()
        try:
            while self._todo or self._active:
                self._start_some(ctx)
                if self._active:
                    self._flush(ctx)
                    self._take(*self._packet(ctx))
                    self._go_on(ctx)
        except struct.error as nonsense:
            raise GuestError(NONSENSE) from nonsense
        except (_Ended, OSError) as failure:
            self.watch()
            raise GuestError("the connection broke while files were copied") from failure
        finally:
            self._forget()

    def answer(self, ctx: TaskContext, request: Request) -> Reply:
        """Ask one question while nothing else is under way."""
        replies: list[Reply] = []

        def job() -> Job:
            replies.append((yield from ask(request)))

        self.run(ctx, [job()])
        return replies[0]

    def _start_some(self, ctx: TaskContext) -> None:
        while self._todo and self._active < JOBS and not self._stalled:
            self._active += 1
            self._advance(self._todo.popleft(), None)
            if len(self._outbox) >= SEND_BYTES:
                self._flush(ctx)

    def _advance(self, job: Job, value: Ticket | Reply | None) -> None:
        """Let a job go on until it must wait."""
        try:
            while True:
                wish = job.send(value)
                if isinstance(wish, Request):
                    if self._under_way >= REQUESTS:
                        self._stalled.append((job, wish))
                        return
                    value = self._put(wish)
                elif wish in self._answers:
                    value = self._answers.pop(wish)
                else:
                    self._waiting[wish] = job
                    return
        except StopIteration:
            self._active -= 1

    def _go_on(self, ctx: TaskContext) -> None:
        while self._stalled and self._under_way < REQUESTS:
            job, request = self._stalled.popleft()
            self._advance(job, self._put(request))
        if len(self._outbox) >= SEND_BYTES:
            self._flush(ctx)

    def _put(self, request: Request) -> Ticket:
        self._last_ticket = (self._last_ticket + 1) % 2**32
        self._outbox += struct.pack(">IBI", len(request.body) + 5, request.kind, self._last_ticket)
        self._outbox += request.body
        self._under_way += 1
        return self._last_ticket

    def _take(self, kind: int, body: bytes) -> None:
        if len(body) < 4:
            raise GuestError(NONSENSE)
        ticket, reply = number_at(body, 0), Reply(kind, body[4:])
        self._under_way -= 1
        job = self._waiting.pop(ticket, None)
        if job is None:
            self._answers[ticket] = reply
        else:
            self._advance(job, reply)

    def _forget(self) -> None:
        """End what is left of a run that broke off; each job cleans up on this side."""
        jobs = [*self._waiting.values(), *(job for job, _ in self._stalled)]
        self._waiting.clear()
        self._stalled.clear()
        self._todo.clear()
        for job in jobs:
            job.close()
        self._active = 0

    def _flush(self, ctx: TaskContext) -> None:
        data = bytes(self._outbox)
        self._outbox.clear()
        self._send(ctx, data)

    def _send(self, ctx: TaskContext, data: bytes) -> None:
        rest = memoryview(data)
        self.channel.settimeout(LOOK_S)
        while rest:
            try:
                rest = rest[self.channel.send(rest[:SEND_BYTES].tobytes()) :]
                self._heard_s = time.monotonic()
            except TimeoutError:
                self._look_around(ctx)
        ctx.raise_if_cancelled()

    def _packet(self, ctx: TaskContext) -> tuple[int, bytes]:
        """Return the type and the rest of the next packet."""
        while True:
            if len(self._inbox) >= 5:
                length = number_at(self._inbox, 0)
                if not 0 < length <= LONGEST_PACKET:
                    raise GuestError(f"{NONSENSE}: does something in its start-up files print text?")
                if len(self._inbox) >= length + 4:
                    packet = bytes(self._inbox[4 : length + 4])
                    del self._inbox[: length + 4]
                    return packet[0], packet[1:]
            self._inbox += self._some(ctx)

    def _some(self, ctx: TaskContext) -> bytes:
        self.channel.settimeout(LOOK_S)
        while True:
            ctx.raise_if_cancelled()
            try:
                data = self.channel.recv(256 * 1024)
            except TimeoutError:
                self._look_around(ctx)
                continue
            if not data:
                raise _Ended
            self._heard_s = time.monotonic()
            return data

    def _look_around(self, ctx: TaskContext) -> None:
        ctx.raise_if_cancelled()
        self.watch()
        if time.monotonic() - self._heard_s > self.silence_limit_s:
            raise GuestError(f"the machine was silent for {self.silence_limit_s:g} s while files were copied")


class _Ended(Exception):
    """The other end closed the channel."""
