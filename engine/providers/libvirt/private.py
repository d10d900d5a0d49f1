"""The private world: a libvirt of the user's own, in namespaces, without root and without a change to the host.

One world a user (a state folder, to be exact). It is started on demand, outlives us, is found again by its dial socket, and ends when
nobody uses it. Its inside is `world_init.py`. Two facts carry the design: who is connected to the dial socket cannot mistake a dead
world for a live one, nor its process id for somebody else's (SO_PEERCRED); and a world does not end itself while somebody holds it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from ...context import TaskContext
from ...errors import HostUnreachable, WorldUnavailable
from ...guest.dial import WorldDialer
from . import world_init
from .world_facts import WorldFacts, explain, gather_facts, search_path
from .world_folders import WorldPaths, make_folders, remove_dead, remove_run

HALF_DEAD_S = 8.0
"""A world whose process 1 takes longer to say that it is there is taken for dead."""

GONE_S = 15.0
POLL_S = 0.02
LOG_TAIL_BYTES = 4096


class World:
    """A private world that runs, held: it does not end itself before `close`."""

    def __init__(self, paths: WorldPaths, link: socket.socket) -> None:
        self.paths = paths
        self.pid, _uid, _gid = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        self._link = link
        self._lock = threading.Lock()
        # The link proves that this process id is the world's now; the descriptor keeps it so.
        self._process = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        return self.paths.uri

    @property
    def alive(self) -> bool:
        with self._lock:
            return self._process >= 0 and not select.select([self._process], [], [], 0)[0]

    def dialer(self) -> WorldDialer:
        """Return the way to the world's guests."""
        return WorldDialer(str(self.paths.dial_socket))

    def enter_command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the command line that runs `argv` in the network of the guests, on the host's files."""
        user = () if os.geteuid() == 0 else ("-U", "--preserve-credentials")
        return ("nsenter", "-t", str(self.pid), *user, "-n", "--", *argv)

    def routes(self) -> str:
        """Return the IPv4 routes inside, as the kernel lists them; "" when the world has just ended."""
        try:
            return Path(f"/proc/{self.pid}/net/route").read_text()
        except OSError:
            return ""

    def close(self) -> None:
        """Let go of the world; it ends by itself soon if it is unused by then."""
        with self._lock:
            self._link.close()
            if self._process >= 0:
                os.close(self._process)
                self._process = -1

    def hears(self, word: str, timeout_s: float) -> bool:
        """Read the world's next word; false when it is another, or the world is gone.

        Raises:
            TimeoutError: it said nothing.
        """
        self._link.settimeout(timeout_s)
        try:
            return self._link.recv(64) == word.encode()
        except ConnectionError:
            return False

    def ask_to_end(self, timeout_s: float) -> bool:
        """Ask the world to end if it is unused; returns false when it is used."""
        self._link.settimeout(timeout_s)
        try:
            self._link.send(b"END")
            return self._link.recv(64) != b"busy"
        except ConnectionError:
            return True

    def kill(self) -> None:
        """End the world and everything in it at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait_until_gone(self, ctx: TaskContext) -> None:
        """Wait for the end of the world; its process 1 is the last to go.

        Raises:
            HostUnreachable: it does not end.
        """
        deadline_s = time.monotonic() + GONE_S
        while self.alive:
            if time.monotonic() > deadline_s:
                raise HostUnreachable(f"the private host does not end: process {self.pid} is still there", hint=f"kill -9 {self.pid}")
            ctx.sleep(POLL_S)


def find_world(paths: WorldPaths, timeout_s: float = HALF_DEAD_S) -> World | None:
    """Return the world if it runs, held; None when there is none, or one that does not answer."""
    world = _hold(paths, timeout_s)
    if world is None:
        return None
    with suppress(TimeoutError):
        if world.hears("held", timeout_s) and world.hears("ready", timeout_s):
            return world
    world.close()
    return None


def ensure_world(
    ctx: TaskContext,
    paths: WorldPaths,
    timeout_s: float = 60.0,
    *,
    namespaces: Sequence[str] | None = None,
    facts: Callable[[], WorldFacts] = gather_facts,
) -> World:
    """Return the world, held; it is started when it does not run.

    Args:
        ctx: the task it is needed for.
        paths: where it lives.
        timeout_s: seconds for everything.
        namespaces: the command that makes the namespaces and runs its arguments in them; None for the right one.
        facts: reads what could be in the way.

    Raises:
        WorldUnavailable: it cannot be made here; the hint is the fix.
        Cancelled: the user asked to stop.
    """
    deadline_s = time.monotonic() + timeout_s
    make_folders(paths)
    with _start_lock(ctx, paths, deadline_s):
        world = _running_world(ctx, paths)
        if world is None:
            remove_dead(paths)
            known = facts()
            if known.blocked:
                raise explain(known, "", paths.log)
            _start(ctx, paths, namespaces or _namespaces(), deadline_s, known)
            world = _running_world(ctx, paths)
            if world is None:
                raise explain(known, _last_words(paths), paths.log)
    try:
        _wait_until_ready(ctx, world, deadline_s)
    except BaseException:
        world.close()
        raise
    return world


def end_world(ctx: TaskContext, world: World) -> None:
    """End the world and everything in it, used or not; returns when it is gone."""
    with _start_lock(ctx, world.paths, time.monotonic() + GONE_S):
        world.kill()
        world.wait_until_gone(ctx)
        remove_run(world.paths)
    world.close()


def end_if_idle(ctx: TaskContext, world: World) -> bool:
    """End the world unless it has an active domain or network, or another process holds it; true when it is gone.

    The decision is process 1's, which also counts the holders, so that nobody who was told "held" loses the world.
    A world that is kept for another holder ends by itself when that one is gone. On true the world is closed, and
    connections to its libvirt break: close them first.
    """
    with _start_lock(ctx, world.paths, time.monotonic() + GONE_S):
        try:
            if not world.ask_to_end(HALF_DEAD_S):
                return False
        except TimeoutError:
            world.kill()
        world.wait_until_gone(ctx)
        remove_run(world.paths)
    world.close()
    return True


def _namespaces() -> tuple[str, ...]:
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user", "--map-auto")
    # "slave": disks that the host mounts later appear inside, and are not kept busy when it unmounts them
    return ("unshare", *user, "--net", "--mount", "--propagation", "slave", "--pid", "--fork", "--mount-proc")


@contextmanager
def _start_lock(ctx: TaskContext, paths: WorldPaths, deadline_s: float) -> Iterator[None]:
    """Hold the right to start or end the world; the kernel takes it back from a holder that dies."""
    descriptor = os.open(paths.folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise WorldUnavailable(
                        "another lagotui has been starting the private host for too long", hint="end it, and try again"
                    ) from None
                ctx.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _hold(paths: WorldPaths, timeout_s: float) -> World | None:
    """Connect to the world and ask to hold it; None when nobody serves the socket."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.settimeout(timeout_s)
    try:
        link.connect(str(paths.dial_socket))
        link.send(b"HOLD")
        return World(paths, link)
    except OSError:
        link.close()
        return None


def _running_world(ctx: TaskContext, paths: WorldPaths) -> World | None:
    """Return the world that runs, held; one that is ending is waited for, one that does not answer is killed."""
    world = _hold(paths, HALF_DEAD_S)
    if world is None:
        return None
    try:
        if world.hears("held", HALF_DEAD_S):
            return world
        ctx.log("the private host is just ending: a new one is started")
    except TimeoutError:
        ctx.log(f"the private host (process {world.pid}) does not answer: it is ended and started again")
        world.kill()
    try:
        world.wait_until_gone(ctx)
    finally:
        world.close()
    return None


def _start(ctx: TaskContext, paths: WorldPaths, namespaces: Sequence[str], deadline_s: float, facts: WorldFacts) -> None:
    """Start a world and wait until its libvirt serves; it has a session of its own, so neither our end nor Ctrl-C reaches it."""
    ctx.log("starting the private host")
    ready, tell_ready = os.pipe()
    try:
        init = (sys.executable, "-I", "-S", world_init.__file__, str(paths.folder), str(paths.run), str(tell_ready))
        try:
            process = _spawn([*namespaces, *init], paths, tell_ready)
        finally:
            os.close(tell_ready)
        try:
            while process.poll() is None and not select.select([ready], [], [], POLL_S)[0]:
                ctx.raise_if_cancelled()
                _raise_if_late(paths, deadline_s)
            if process.poll() is not None or not os.read(ready, 16):
                raise explain(facts, _last_words(paths), paths.log)
        except BaseException:
            _end_group(process)
            remove_run(paths)
            raise
    finally:
        os.close(ready)
    threading.Thread(target=process.wait, name="world-reaper", daemon=True).start()


def _spawn(argv: Sequence[str], paths: WorldPaths, keep: int) -> subprocess.Popen[bytes]:
    with paths.log.open("wb") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": search_path(), "HOME": str(Path.home()), "LC_ALL": "C"},
            pass_fds=[keep],
            start_new_session=True,
        )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a failed start left: `unshare` forks a helper that waits for ever when its parent fails."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(GONE_S)


def _wait_until_ready(ctx: TaskContext, world: World, deadline_s: float) -> None:
    while True:
        try:
            if world.hears("ready", POLL_S):
                return
        except TimeoutError:
            ctx.raise_if_cancelled()
            _raise_if_late(world.paths, deadline_s)
        else:
            raise WorldUnavailable(f"the private host ended while it started: {_last_words(world.paths)}", hint=f"see {world.paths.log}")


def _raise_if_late(paths: WorldPaths, deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise WorldUnavailable(f"the private host did not start in time: {_last_words(paths)}", hint=f"see {paths.log}, and try again")


def _last_words(paths: WorldPaths) -> str:
    try:
        lines = paths.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
