"""A connected host that may go and come back: the private world ends with its last machine, and is started anew for the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import libvirt

from ...context import TaskContext
from ...errors import HostUnreachable
from ...guest.dial import Dialer, DirectDialer, WorldDialer
from .capacity import ROUTES
from .connection import CALL_TIMEOUT_S, Connection, HostEvent, Listener
from .login import Login
from .private import World, end_if_idle, ensure_world, find_world
from .uplink import attach_uplink
from .world_folders import WorldPaths

T = TypeVar("T")


class Session:
    """The connection to one libvirt, and the private world behind it where there is one. Thread-safe."""

    def __init__(self, uri: str, paths: WorldPaths | None = None, *, outside: bool = True, login: Login | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            uri: of the daemon.
            paths: of the private world that the daemon lives in; None: the daemon is not ours to start.
            outside: the private world is given a way out.
            login: who we are, for daemons that ask.
        """
        self.uri = uri
        self._paths = paths
        self._outside = outside
        self._login = login
        self._lock = threading.RLock()
        self._world: World | None = None
        self._connection: Connection | None = None
        self._listeners: tuple[Listener, ...] = ()

    def connect(self, ctx: TaskContext) -> Connection:
        """Return the connection; the private world is started when it does not run.

        Raises:
            HostUnreachable: the daemon does not answer.
            WorldUnavailable: the private world cannot be made.
            Cancelled: the user asked to stop.
        """
        with self._lock:
            found = self.peek()
            if found is None and self._paths is not None:
                self._world = ensure_world(ctx, self._paths)
            self._attach(ctx, aloud=found is None)
            return found or self._open()

    def _attach(self, ctx: TaskContext, *, aloud: bool) -> None:
        """Give the private world its way out, and say what it is without; `aloud` once in its life, when it has just been started."""
        if self._world is None or not self._outside:
            return
        missing = attach_uplink(ctx, self._world)
        if missing:
            (ctx.tell if aloud else ctx.log)(f"machines of your private host cannot reach outside: {missing}")

    def peek(self) -> Connection | None:
        """Return the connection, None while the private world does not run."""
        with self._lock:
            if self._paths is not None and (self._world is None or not self._world.alive):
                self._let_go()
                self._world = find_world(self._paths)
                if self._world is None:
                    return None
            return self._connection or self._open()

    def call(self, work: Callable[[libvirt.virConnect], T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Do something on the host as it is.

        Raises:
            HostUnreachable: it is not there.
            HostRefused: it said no.
        """
        connection = self.peek()
        if connection is None:
            raise HostUnreachable("your private host is not running", hint="start a machine on it: lagotui --run start")
        return connection.call(work, timeout_s=timeout_s)

    def look(self, work: Callable[[libvirt.virConnect], T]) -> T | None:
        """Look at the host; None while the private world does not run."""
        connection = self.peek()
        return None if connection is None else connection.call(work)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event of the host, also after it was gone; returns what ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return end

    def dialer(self) -> Dialer:
        """Return the way to the host's guests."""
        return DirectDialer() if self._paths is None else WorldDialer(str(self._paths.dial_socket))

    def enter_command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that runs `argv` in the network of the guests.

        Raises:
            HostUnreachable: the private world does not run.
        """
        if self._paths is None:
            return argv
        with self._lock:
            if self.peek() is None or self._world is None:
                raise HostUnreachable("your private host is not running", hint="start a machine on it: lagotui --run start")
            return self._world.enter_command(argv)

    def routes(self) -> str | None:
        """Return the IPv4 routes of the guests' host, as the kernel lists them; None while the private world does not run."""
        if self._paths is None:
            return ROUTES.read_text()
        with self._lock:
            return None if self.peek() is None or self._world is None else self._world.routes()

    def release(self, ctx: TaskContext) -> None:
        """End the private world if nothing runs in it."""
        with self._lock:
            if self._world is None or not self._world.alive:
                return
            self._close_connection()
            if end_if_idle(ctx, self._world):
                self._world = None

    def close(self) -> None:
        """Let go of everything; a private world with machines runs on."""
        with self._lock:
            self._let_go()

    def _open(self) -> Connection:
        connection = Connection(self.uri, login=self._login, restarts=self._restarts)
        connection.subscribe(self._pass_on)
        self._connection = connection
        return connection

    def _restarts(self) -> bool:
        """Whether a daemon that does not answer is being started again: process 1 of a private world does that."""
        world = self._world
        return world is not None and world.alive

    def _pass_on(self, event: HostEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _let_go(self) -> None:
        self._close_connection()
        if self._world is not None:
            self._world.close()
            self._world = None

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
