"""One connection to a libvirt daemon that lasts: it opens within a time limit, heals after the daemon's restart, and tells of events."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import libvirt

from ...errors import EngineError, HostError, HostUnreachable
from .event_loop import start_event_loop
from .limited import limited
from .login import Login
from .refusals import refused

T = TypeVar("T")

OPEN_TIMEOUT_S = 15.0
CALL_TIMEOUT_S = 120.0
KEEPALIVE_S = 5
KEEPALIVE_MISSES = 5
"""A daemon that is silent for KEEPALIVE_S times this is taken for lost."""

RESTART_S = 5.0
"""Seconds that a daemon may take to be started again; a tenth of that is usual."""
RESTART_POLL_S = 0.1
CLOSE_TIMEOUT_S = 3.0
LOGIN_HINT = "give --libvirt-user, and --libvirt-password or LAGO_LIBVIRT_PASSWORD; at a terminal the password is asked for"
RECONNECT_FIRST_S = 0.2
RECONNECT_MOST_S = 5.0

_log = logging.getLogger(__name__)


class HostEventKind(StrEnum):
    DOMAIN = "domain"
    NETWORK = "network"
    LOST = "lost"
    """The connection broke: what is known may be old."""
    BACK = "back"
    """It is there again: list everything anew, events in between are lost."""


@dataclass(frozen=True, slots=True)
class HostEvent:
    kind: HostEventKind
    name: str = ""
    """Of the domain or network."""
    uuid: str = ""
    event: int = -1
    """`VIR_DOMAIN_EVENT_*` (its lifecycle) or `VIR_NETWORK_EVENT_*`."""
    detail: int = -1


Listener = Callable[[HostEvent], None]
Undo = tuple[Callable[[], object], ...]


class Connection:
    """A connection to `uri`; open when made. Thread-safe.

    Raises:
        HostUnreachable: nobody answers within `open_timeout_s`, or we are not let in.
    """

    def __init__(
        self,
        uri: str,
        *,
        login: Login | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        restarts: Callable[[], bool] = lambda: False,
    ) -> None:
        """Connect.

        Args:
            uri: of the daemon.
            login: who we are, for daemons that ask.
            open_timeout_s: how long it may take to answer.
            restarts: says whether a daemon that refuses us is being started again; then it is waited for.
        """
        self.uri = uri
        self._login = login or Login()
        self._restarts = restarts
        self._open_timeout_s = open_timeout_s
        self._lock = threading.Lock()
        self._healing = threading.Lock()
        self._closed = threading.Event()
        self._lost = False
        self._listeners: tuple[Listener, ...] = ()
        self._events: queue.SimpleQueue[HostEvent | None] = queue.SimpleQueue()
        self._dispatcher: threading.Thread | None = None
        start_event_loop()
        self._conn = self._open()
        self._callbacks = self._prepare(self._conn)

    def call(self, work: Callable[[libvirt.virConnect], T], *, timeout_s: float = CALL_TIMEOUT_S, retry: bool = True) -> T:
        """Run `work` on the connection; libvirt objects must not leave it, they die with the connection.

        Args:
            work: what to do; it is done again, once, on a new connection when this one turns out to be broken.
            timeout_s: seconds until we give up waiting; the daemon may go on with it.
            retry: false when `work` must not be done twice.

        Raises:
            HostUnreachable: the daemon does not answer.
            HostRefused: it answered no.
        """
        conn = self._healthy()
        try:
            return self._limited(lambda: work(conn), timeout_s)
        except (libvirt.libvirtError, HostError) as error:
            if not retry or _is_alive(conn):
                raise self._in_our_voice(conn, error) from error
            self._note_lost(conn)
        conn = self._healthy()
        try:
            return self._limited(lambda: work(conn), timeout_s)
        except libvirt.libvirtError as error:
            raise self._in_our_voice(conn, error) from error

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event, on a thread where it may use the connection; returns what ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            if self._dispatcher is None:
                self._dispatcher = threading.Thread(target=self._dispatch, name="libvirt-listeners", daemon=True)
                self._dispatcher.start()

        def end() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return end

    @property
    def alive(self) -> bool:
        with self._lock:
            return not self._closed.is_set() and not self._lost and _is_alive(self._conn)

    def close(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            conn, callbacks = self._conn, self._callbacks
        self._events.put(None)
        with suppress(TimeoutError):
            limited(lambda: _discard(conn, callbacks), CLOSE_TIMEOUT_S, TimeoutError())

    def _healthy(self) -> libvirt.virConnect:
        """Return a connection that works as far as is known; a lost one is replaced."""
        with self._healing:
            with self._lock:
                old, callbacks, lost = self._conn, self._callbacks, self._lost
            if self._closed.is_set():
                raise HostUnreachable(f"the connection to '{self.uri}' is closed")
            if not lost and _is_alive(old):
                return old
            self._note_lost(old)
            conn = self._open()
            callbacks_of_new = self._prepare(conn)
            with self._lock:
                self._conn, self._callbacks, self._lost = conn, callbacks_of_new, False
                closed = self._closed.is_set()
        # what waits for a daemon that may hang goes to a thread
        threading.Thread(target=_discard, args=(old, callbacks), daemon=True).start()
        if closed:
            _discard(conn, callbacks_of_new)
            raise HostUnreachable(f"the connection to '{self.uri}' is closed")
        self._tell(HostEvent(HostEventKind.BACK))
        return conn

    def _open(self) -> libvirt.virConnect:
        deadline_s = time.monotonic() + RESTART_S
        while True:
            try:
                return self._open_once()
            except HostUnreachable:
                if time.monotonic() > deadline_s or not self._restarts():
                    raise
            if self._closed.wait(RESTART_POLL_S):
                raise HostUnreachable(f"the connection to '{self.uri}' is closed")

    def _open_once(self) -> libvirt.virConnect:
        try:
            return self._limited(lambda: self._login.open(self.uri), self._open_timeout_s, lambda late: late.close())
        except libvirt.libvirtError as error:
            if self._login.ask_user(self.uri):
                return self._open_once()
            words = " ".join((error.get_error_message() or str(error)).split())
            if self._login.is_refusal(error):
                message = f"'{self.uri}' does not let '{self._login.username}' in: {words}"
                raise HostUnreachable(message, hint=LOGIN_HINT) from error
            raise HostUnreachable(f"cannot connect to '{self.uri}': {words}", hint=_open_hint(self.uri)) from error

    def _prepare(self, conn: libvirt.virConnect) -> Undo:
        """Ask for keepalive and events, and return what undoes it; drivers without them (the test host) go without."""
        undo: list[Callable[[], object]] = []
        with suppress(libvirt.libvirtError):
            conn.setKeepAlive(KEEPALIVE_S, KEEPALIVE_MISSES)
        with suppress(libvirt.libvirtError):
            conn.registerCloseCallback(self._on_close, None)
            undo.append(conn.unregisterCloseCallback)
        with suppress(libvirt.libvirtError):
            domains = conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_domain, None)
            undo.append(lambda: conn.domainEventDeregisterAny(domains))
        with suppress(libvirt.libvirtError):
            nets = conn.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, self._on_network, None)
            undo.append(lambda: conn.networkEventDeregisterAny(nets))
        return tuple(undo)

    def _limited(self, work: Callable[[], T], timeout_s: float, on_late: Callable[[T], object] | None = None) -> T:
        late = HostUnreachable(f"'{self.uri}' does not answer within {timeout_s:g} s", hint=_open_hint(self.uri))
        return limited(work, timeout_s, late, on_late)

    def _in_our_voice(self, conn: libvirt.virConnect, error: Exception) -> EngineError:
        if isinstance(error, EngineError):
            return error
        if _is_alive(conn):
            return refused(f"'{self.uri}' refused", error)
        return HostUnreachable(f"the connection to '{self.uri}' broke: {error}", hint="try again")

    def _note_lost(self, conn: libvirt.virConnect) -> None:
        with self._lock:
            if self._closed.is_set() or self._lost or conn is not self._conn:
                return
            self._lost = True
        self._tell(HostEvent(HostEventKind.LOST))

    def _heal(self) -> None:
        """Reconnect until it works or we are closed, so that listeners hear of events again though nobody calls."""
        pause_s = RECONNECT_FIRST_S
        while not self._closed.wait(pause_s):
            try:
                self._healthy()
            except HostUnreachable:
                pause_s = min(2 * pause_s, RECONNECT_MOST_S)
            else:
                return

    def _on_close(self, conn: libvirt.virConnect, _reason: int, _opaque: object) -> None:
        # on libvirt's event thread: nothing here may wait for that thread
        self._note_lost(conn)
        if not self._closed.is_set():
            threading.Thread(target=self._heal, name="libvirt-heal", daemon=True).start()

    def _on_domain(self, _conn: object, domain: libvirt.virDomain, event: int, detail: int, _opaque: object) -> None:
        self._tell(HostEvent(HostEventKind.DOMAIN, domain.name(), domain.UUIDString(), event, detail))

    def _on_network(self, _conn: object, network: libvirt.virNetwork, event: int, detail: int, _opaque: object) -> None:
        self._tell(HostEvent(HostEventKind.NETWORK, network.name(), network.UUIDString(), event, detail))

    def _tell(self, event: HostEvent) -> None:
        if self._dispatcher is not None:
            self._events.put(event)

    def _dispatch(self) -> None:
        while (event := self._events.get()) is not None:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:  # boundary: the fault of one listener must not silence the others
                    _log.exception("a listener of '%s' failed", self.uri)


def _is_alive(conn: libvirt.virConnect) -> bool:
    try:
        return bool(conn.isAlive() == 1)
    except libvirt.libvirtError:
        return False


def _discard(conn: libvirt.virConnect, undo: Undo) -> None:
    for step in (*undo, conn.close):
        with suppress(libvirt.libvirtError):
            step()


def _open_hint(uri: str) -> str:
    if "/lagotui" in uri and "socket=" in uri:
        return "see world.log in the folder above that socket's"
    if uri.startswith("qemu:///system"):
        return "sudo systemctl restart libvirtd, or use --libvirt_url private"
    return f"try: virsh -c '{uri}' version"
