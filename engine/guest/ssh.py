"""ssh connections of our own, by paramiko: host keys are checked strictly, and every wait can be cancelled. Import this module lazily."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import paramiko

from ..context import TaskContext
from ..errors import GuestError, HostKeyChanged, SshRefused
from .dial import Dialer, DirectDialer
from .hostkeys import HostKey, host_keys_of, remember_host_key
from .identities import identities
from .shell import SshTarget

T = TypeVar("T")

Hear = Callable[[bytes, bool], None]
"""Gets output as it comes, and whether it is of stderr."""

CANCEL_POLL_S = 0.03
"""The time that a cancel takes to reach a wait."""
IDLE_POLL_S = (0.002, 0.05)
"""How often a running command is looked at: at first, and after it was silent for a while."""
BUFFER_BYTES = 64 * 1024
SIGNALLED_CODE = 255
"""Exit code of a command that ended without one, as OpenSSH reports it."""
ANSWER_S = 15.0
"""That the machine has to say what it thinks of one key."""
WIRE_LOGGER = "engine.guest.ssh.wire"
_REFUSED_HINT = "check 'ssh-user' of the machine, and that its template takes keys (cloud-init), or give 'ssh-password'"
_BANNER_START = b"SSH-"
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""Key type → what the server is asked for; the others are asked for by their own name."""


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """How a command in a machine ended."""

    code: int
    out: bytes
    err: bytes


class NotAnswering(GuestError):
    """Nobody serves ssh there, or not yet, or the connection broke."""


class ChannelRefused(GuestError):
    """The machine is logged in to, but does not do what a channel is for."""


def connect(ctx: TaskContext, target: SshTarget, dialer: Dialer, timeout_s: float) -> paramiko.Transport:
    """Log in, once. Whoever gets the client ends it with `hang_up`.

    Raises:
        NotAnswering: no connection, or it broke.
        HostKeyChanged: the machine shows another host key than the prefix knows, or the prefix knows none.
        SshRefused: the machine lets neither our key nor the password in.
        Cancelled: the user asked to stop.
    """
    deadline_s = time.monotonic() + timeout_s
    return log_in(ctx, target, greet(ctx, target, dialer, timeout_s, timeout_s), deadline_s - time.monotonic())


def greet(ctx: TaskContext, target: SshTarget, dialer: Dialer, dial_timeout_s: float, banner_timeout_s: float) -> socket.socket:
    """Connect and wait until the server says that it speaks ssh; its words are still to be read from the socket.

    Raises:
        NotAnswering: no connection in time, or nobody who speaks ssh.
        Cancelled: the user asked to stop.
    """

    way = DirectDialer() if target.own is not None else dialer

    def dial() -> socket.socket:
        return way.connect(target.address, target.port, dial_timeout_s)

    try:
        guest = _interruptible(ctx, dial, socket.socket.close)
    except OSError as error:
        raise _not_answering(target, _reason(error)) from error
    try:
        _await_banner(ctx, target, guest, banner_timeout_s)
    except BaseException:
        guest.close()
        raise
    return guest


def log_in(ctx: TaskContext, target: SshTarget, guest: socket.socket, timeout_s: float) -> paramiko.Transport:
    """Make the connected socket a client that is logged in. Raises what `connect` raises; the socket is then closed."""
    deadline_s = time.monotonic() + timeout_s
    client: paramiko.Transport | None = None
    try:
        known = host_keys_of(target.known_hosts, target.name)
        if not known and not target.first_contact:
            raise HostKeyChanged(
                f"'{target.name}': no host key is recorded in '{target.known_hosts}', so it cannot be told from another",
                hint="the record was removed or the machine was made elsewhere: make the environment again",
            )
        client = paramiko.Transport(guest)
        _quieten(client)
        _shake_hands(ctx, target, client, known, deadline_s)
        _authenticate(ctx, target, client, deadline_s)
    except BaseException:
        _hang_up(guest, client)
        raise
    return client


def run(
    ctx: TaskContext,
    client: paramiko.Transport,
    command: str,
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    *,
    hear: Hear | None = None,
    watch: Callable[[], None] | None = None,
) -> CommandStatus:
    """Run a command line in the machine's shell, to its end.

    Args:
        ctx: the task it belongs to.
        client: logged in.
        command: for the shell.
        stdin: of the command.
        timeout_s: for all of it.
        hear: gets what it prints as it comes; the status then carries nothing of it.
        watch: called while nothing comes; raises when nothing will.

    Raises:
        GuestError: it took too long, or the connection broke.
        Cancelled: the user asked to stop; the command's channel is closed.
    """
    deadline_s = time.monotonic() + timeout_s

    def start() -> paramiko.Channel:
        channel = client.open_session(timeout=timeout_s)
        channel.settimeout(timeout_s)
        channel.exec_command(command.encode(errors="surrogateescape"))
        return channel

    try:
        channel = _interruptible(ctx, start, paramiko.Channel.close)
        with contextlib.closing(channel):
            return _pump(ctx, _Talk(channel, command, deadline_s, hear, watch), stdin)
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise NotAnswering(f"the connection broke while '{command}' ran: {_reason(error)}") from error


def open_channel(
    ctx: TaskContext, client: paramiko.Transport, begin: Callable[[paramiko.Channel], None], timeout_s: float
) -> paramiko.Channel:
    """Open a channel and begin something on it: a command, a subsystem.

    Raises:
        NotAnswering: the connection broke.
        ChannelRefused: the machine does not do that.
        Cancelled: the user asked to stop.
    """

    def start() -> paramiko.Channel:
        channel = client.open_session(timeout=timeout_s)
        channel.settimeout(timeout_s)
        try:
            begin(channel)
        except BaseException:
            channel.close()
            raise
        return channel

    try:
        return _interruptible(ctx, start, paramiko.Channel.close)
    except (OSError, EOFError, paramiko.SSHException) as error:
        if not client.is_active():
            raise NotAnswering(f"the connection broke: {_reason(error)}") from error
        raise ChannelRefused(_reason(error)) from error


def hang_up(client: paramiko.Transport) -> None:
    """End a connection at once."""
    _hang_up(client.sock, client)


def _await_banner(ctx: TaskContext, target: SshTarget, guest: socket.socket, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    guest.settimeout(CANCEL_POLL_S)
    while True:
        ctx.raise_if_cancelled()
        try:
            start = guest.recv(len(_BANNER_START), socket.MSG_PEEK)
        except TimeoutError:
            start = None
        except OSError as error:
            raise _not_answering(target, _reason(error)) from error
        if start is not None and not _BANNER_START.startswith(start):
            raise _not_answering(target, f"it says {start!r} instead of speaking ssh")
        if start == b"":
            raise _not_answering(target, "it closed the connection at once")
        if start == _BANNER_START:
            return
        if time.monotonic() > deadline_s:
            raise _not_answering(target, f"connected, but silent for {timeout_s:g} s")


def _shake_hands(ctx: TaskContext, target: SshTarget, client: paramiko.Transport, known: tuple[HostKey, ...], deadline_s: float) -> None:
    options = client.get_security_options()
    wanted = [name for key in known for name in _SIGNATURES.get(key.type, (key.type,))]
    usable = [name for name in dict.fromkeys(wanted) if name in options.key_types]
    if usable:
        options.key_types = usable
    event = threading.Event()
    client.start_client(event=event)
    _await(ctx, target, client, event, deadline_s, "agree on a session")
    shown_key = client.get_remote_server_key()
    shown = HostKey(shown_key.get_name(), shown_key.get_base64())
    if not known:
        remember_host_key(target.known_hosts, (target.name, target.address), f"{shown.type} {shown.data}")
        ctx.log(f"'{target.name}' shows host key {shown.type} {shown.fingerprint} for the first time: recorded", logging.WARNING)
    elif shown not in known:
        expected = " or ".join(f"{key.type} {key.fingerprint}" for key in known)
        raise _changed(target, expected, f"{shown.type} {shown.fingerprint}")


def _authenticate(ctx: TaskContext, target: SshTarget, client: paramiko.Transport, deadline_s: float) -> None:
    tried: list[str] = []
    with identities(target) as keys:
        for shown, key in keys:
            tried.append(shown)
            # more time: the user may have been asked for a passphrase
            if _let_in(ctx, target, client, partial(client.auth_publickey, target.user, key), max(deadline_s, time.monotonic() + ANSWER_S)):
                return
    if target.password is not None:
        tried.append("password")
        if _let_in(ctx, target, client, partial(client.auth_password, target.user, target.password), deadline_s):
            return
    raise SshRefused(
        f"'{target.name}' at {target.address} refuses user '{target.user}' with {' and '.join(tried) or 'nothing to offer'}",
        hint=_REFUSED_HINT if target.own is None else "check 'ssh-user' and 'keys' of the machine, or see what the agent has: ssh-add -l",
    )


def _let_in(
    ctx: TaskContext, target: SshTarget, client: paramiko.Transport, offer: Callable[[threading.Event], object], deadline_s: float
) -> bool:
    try:
        offer(event := threading.Event())
    except paramiko.SSHException as error:
        raise _not_answering(target, _reason(error)) from error
    _await(ctx, target, client, event, deadline_s, "log in")
    return client.is_authenticated()


def _await(ctx: TaskContext, target: SshTarget, client: paramiko.Transport, event: threading.Event, deadline_s: float, what: str) -> None:
    """Wait for paramiko's thread to get on with it."""
    while not event.wait(CANCEL_POLL_S):
        ctx.raise_if_cancelled()
        if time.monotonic() > deadline_s:
            raise _not_answering(target, f"it took too long to {what}")
    if not client.is_active():
        error = client.get_exception()
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer) and "host key" in str(error):
            raise _changed(target, "one of the recorded types", "only keys of other types")
        raise _not_answering(target, _reason(error) if error else f"it closed the connection before we could {what}")


@dataclass(frozen=True, slots=True)
class _Talk:
    """One running command."""

    channel: paramiko.Channel
    command: str
    deadline_s: float
    hear: Hear | None
    watch: Callable[[], None] | None

    def look_around(self) -> None:
        if self.watch is not None:
            self.watch()
        if time.monotonic() > self.deadline_s:
            raise GuestError(f"'{self.command}' did not end in time")


def _pump(ctx: TaskContext, talk: _Talk, stdin: bytes) -> CommandStatus:
    channel, out, err = talk.channel, bytearray(), bytearray()
    hear = talk.hear or (lambda data, is_err: (err if is_err else out).extend(data))
    rest = _feed(channel, memoryview(stdin))
    idle_s = IDLE_POLL_S[0]
    while True:
        left = len(rest)
        moved = False
        while channel.recv_ready() and (data := channel.recv(BUFFER_BYTES)):
            hear(data, False)
            moved = True
        while channel.recv_stderr_ready() and (data := channel.recv_stderr(BUFFER_BYTES)):
            hear(data, True)
            moved = True
        if rest and channel.send_ready():
            rest = _feed(channel, rest)
        moved = moved or left != len(rest)
        if not moved and channel.exit_status_ready() and (channel.eof_received or channel.closed):
            return _status(channel, bytes(out), bytes(err))
        talk.look_around()
        idle_s = IDLE_POLL_S[0] if moved else min(idle_s * 1.2, IDLE_POLL_S[1])
        ctx.sleep(0 if moved else idle_s)


def _feed(channel: paramiko.Channel, rest: memoryview) -> memoryview:
    """Send some of the command's stdin, and its end after the last byte; return what is left."""
    try:
        if rest:
            rest = rest[channel.send(rest[:BUFFER_BYTES].tobytes()) :]
        if not rest:
            channel.shutdown_write()
    except OSError:
        if not channel.closed:
            raise
        return rest[:0]  # the command ended without reading it all
    return rest


def _status(channel: paramiko.Channel, out: bytes, err: bytes) -> CommandStatus:
    code = channel.recv_exit_status()
    if code < 0 and not channel.get_transport().is_active():
        raise EOFError("the machine closed it")
    return CommandStatus(code if code >= 0 else SIGNALLED_CODE, out, err)


def _interruptible(ctx: TaskContext, work: Callable[[], T], discard: Callable[[T], object]) -> T:
    """Do what cannot be interrupted in a thread of its own; on a cancel its late result is thrown away there."""
    future: Future[T] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except (OSError, EOFError, paramiko.SSHException) as failure:
            future.set_exception(failure)

    def drop(late: Future[T]) -> None:
        if late.exception() is None:
            discard(late.result())

    thread = threading.Thread(target=body, name="ssh-wait", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(CANCEL_POLL_S)
        if ctx.cancelled:
            future.add_done_callback(drop)
            ctx.raise_if_cancelled()
    if not future.done():
        raise GuestError("a helper thread ended without a result; the log has its traceback")
    return future.result()


def _quieten(client: paramiko.Transport) -> None:
    """What paramiko's thread logs, with tracebacks for every broken connection, reaches us as exceptions already."""
    client.set_log_channel(WIRE_LOGGER)
    logger = logging.getLogger(WIRE_LOGGER)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _hang_up(guest: socket.socket | paramiko.Channel, client: paramiko.Transport | None) -> None:
    with contextlib.suppress(OSError):  # the other side may have gone first
        guest.shutdown(socket.SHUT_RDWR)  # wakes paramiko's reader, so that close() need not wait for it
    if client is not None:
        client.close()
    guest.close()


def _not_answering(target: SshTarget, reason: str) -> NotAnswering:
    return NotAnswering(f"'{target.name}' at {target.address} port {target.port} does not answer ssh: {reason}")


def _changed(target: SshTarget, expected: str, shown: str) -> HostKeyChanged:
    return HostKeyChanged(
        f"'{target.name}' at {target.address} shows another host key: expected {expected}, it shows {shown}",
        hint=f"another machine may have taken its address; when you changed the key yourself, put it into '{target.known_hosts}'",
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
