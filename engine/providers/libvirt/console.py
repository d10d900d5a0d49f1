"""Serial consoles: a live stream, and the last lines of what was printed since start."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import libvirt

from ...errors import HostUnreachable
from ...spec import EnvRef
from .domain import running
from .refusals import refused

WAKE_S = 1.0
"""A reader looks at least this often whether its console was closed."""
SEND_TIMEOUT_S = 10.0
SEND_RETRY_S = 0.01
_WOULD_BLOCK = -2
_ENDED = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP


class LibvirtConsole:
    """A libvirt stream on a serial console, for one reading and one writing thread."""

    def __init__(self, stream: libvirt.virStream) -> None:
        self._stream = stream
        self._readable = threading.Event()
        self._closed = threading.Event()
        stream.eventAddCallback(_ENDED | libvirt.VIR_STREAM_EVENT_READABLE, self._on_event, None)

    def recv(self, size: int) -> bytes:
        """Wait for output of the guest; b"" when the console is closed, by either side."""
        while not self._closed.is_set():
            try:
                data = self._stream.recv(size)
            except libvirt.libvirtError:
                return b""
            if isinstance(data, bytes):
                return data
            self._wait_readable()
        return b""

    def send(self, data: bytes) -> int:
        """Type into the guest; returns how many bytes it took.

        Raises:
            HostUnreachable: the console is closed, or took nothing for ten seconds.
        """
        deadline_s = time.monotonic() + SEND_TIMEOUT_S
        while True:
            try:
                sent = int(self._stream.send(data))
            except libvirt.libvirtError as error:
                raise HostUnreachable(f"the console is closed: {error.get_error_message()}") from error
            if sent != _WOULD_BLOCK:
                return sent
            if self._closed.wait(SEND_RETRY_S) or time.monotonic() > deadline_s:
                raise HostUnreachable("the console takes no input")

    def close(self) -> None:
        """End the session; a waiting `recv` returns b""."""
        self._closed.set()
        self._readable.set()
        # A stream that the host ended first has nothing left to end.
        with suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
        with suppress(libvirt.libvirtError):
            self._stream.abort()

    def _wait_readable(self) -> None:
        self._readable.clear()
        with suppress(libvirt.libvirtError):
            self._stream.eventUpdateCallback(_ENDED | libvirt.VIR_STREAM_EVENT_READABLE)
        self._readable.wait(WAKE_S)

    def _on_event(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        # Readable is told again and again until it is read: silence it until the reader asks for more.
        with suppress(libvirt.libvirtError):
            stream.eventUpdateCallback(0 if events & _ENDED else _ENDED)
        self._readable.set()


def open_console(conn: libvirt.virConnect, env: EnvRef, machine: str) -> LibvirtConsole:
    """Open a machine's serial console; anybody else's session on it ends. To be closed.

    Raises:
        MachineStateError: the machine is down.
        HostRefused: the host cannot open it.
    """
    domain = running(conn, env, machine)
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    try:
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    except libvirt.libvirtError as error:
        raise refused(f"cannot open the console of machine '{machine}'", error) from error
    return LibvirtConsole(stream)
