"""A port of this machine that leads to a port of a guest, for programs that know nothing of the way to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from ..errors import EngineError
from .dial import Dialer

BUFFER_BYTES = 64 * 1024
BACKLOG = 128
DIAL_TIMEOUT_S = 10.0
DIALS_AT_ONCE = 32
FULL_PAUSE_S = 0.1
"""How long nobody is let in when we have no room for another connection."""
CLOSE_TIMEOUT_S = 5.0
UNPRIVILEGED = 1024
"""The first port that anybody may listen on."""

_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER without a wait: who is connected learns that the other side broke off, and does not take it for an end."""


class Forward:
    """Listens from the moment it is made until it is closed; a context manager. Connections are carried on one thread."""

    def __init__(
        self,
        dialer: Dialer,
        address: str,
        port: int,
        *,
        bind: str = "127.0.0.1",
        local_port: int = 0,
        tell: Callable[[str], None] = lambda trouble: None,
    ) -> None:
        """Open the port.

        Args:
            dialer: the way to the guest.
            address: of the guest.
            port: of the guest.
            bind: address of this machine's to listen on.
            local_port: to listen on; 0: a free one is chosen.
            tell: hears, on a thread of ours, why a connection could not be made.

        Raises:
            EngineError: the port cannot be had.
        """
        self._dialer = dialer
        self._target = address, port
        self._tell = tell
        self._listener = _listen(bind, local_port)
        self.address, self.port = self._listener.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)
        self._thread = threading.Thread(target=self._run, name=f"forward-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port and every connection through it; twice does no harm."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._listener.close()
            self._loop.close()

    async def _serve(self) -> None:
        accepting = self._loop.create_task(self._accept())
        await self._ended.wait()
        tasks = [accepting, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno in _FULL:
                    self._tell(f"no room for another connection: {error.strerror}")
                await asyncio.sleep(FULL_PAUSE_S)
                continue
            task = self._loop.create_task(self._carry(client))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _carry(self, client: socket.socket) -> None:
        with client:
            client.setblocking(False)
            try:
                guest = await self._dial()
            except OSError as error:
                address, port = self._target
                self._tell(f"{address} port {port}: {error.strerror or error or 'no answer in time'}")
                _break_off(client)
                return
            with guest:
                guest.setblocking(False)
                try:
                    async with asyncio.TaskGroup() as pumps:
                        pumps.create_task(self._pump(client, guest))
                        pumps.create_task(self._pump(guest, client))
                except* OSError:
                    _break_off(client)
                    _break_off(guest)

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry bytes one way; its end is passed on, while the other way may go on."""
        while data := await self._loop.sock_recv(source, BUFFER_BYTES):
            await self._loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)

    async def _dial(self) -> socket.socket:
        async with self._dials:
            dialled: asyncio.Future[socket.socket] = self._loop.create_future()
            threading.Thread(target=self._dial_blocking, args=(dialled,), name="forward-dial", daemon=True).start()
            return await dialled

    def _dial_blocking(self, dialled: asyncio.Future[socket.socket]) -> None:
        def done(guest: socket.socket | None, error: OSError | None) -> None:
            if dialled.cancelled():
                if guest is not None:
                    guest.close()
            elif guest is not None:
                dialled.set_result(guest)
            elif error is not None:
                dialled.set_exception(error)

        guest, failure = None, None
        try:
            guest = self._dialer.connect(*self._target, DIAL_TIMEOUT_S)
        except OSError as error:
            failure = error
        try:
            self._loop.call_soon_threadsafe(done, guest, failure)
        except RuntimeError:  # the forward was closed meanwhile
            if guest is not None:
                guest.close()


def _listen(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        listener = socket.create_server((bind, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise EngineError(f"cannot listen on {bind} port {port}: {error.strerror or error}", hint=_hint(error, bind, port)) from error
    listener.setblocking(False)
    return listener


def _hint(error: OSError, bind: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"another program has it (see: ss -ltnp 'sport = :{port}'); take another port, or 0 for a free one"
        case errno.EACCES if port < UNPRIVILEGED:
            return f"ports below {UNPRIVILEGED} are root's; take another port, or 0 for a free one"
        case _:
            return f"give an address of this machine's in place of '{bind}': 127.0.0.1, or 0.0.0.0 for all"


def _break_off(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
