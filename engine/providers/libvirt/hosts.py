"""Which libvirt the machines run on: the system's where it is open to the user, else one of the user's own."""

from __future__ import annotations

import logging
import os
import pwd
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...context import TaskContext
from ...errors import HostUnreachable

SYSTEM_URI = "qemu:///system"
SYSTEM_SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"), Path("/var/run/libvirt/libvirt-sock"))
"""Of the one daemon, and of the one that replaces it where libvirt is split up (Fedora, openSUSE)."""

ASK_TIMEOUT_S = 8.0
"""Seconds that the system's daemon has to answer; it may be started by our connection."""


class HostKind(StrEnum):
    PRIVATE = "private"
    SYSTEM = "system"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class HostChoice:
    kind: HostKind
    uri: str
    """"" for the private host: its URI is known when it runs (`World.uri`)."""
    why: str
    """One sentence for the user."""


class _Socket(StrEnum):
    OPEN = "open"
    CLOSED = "closed to you"
    ABSENT = "not running"


def choose_host(
    ctx: TaskContext,
    wanted: str,
    *,
    sockets: Sequence[Path] = SYSTEM_SOCKETS,
    ask: Callable[[str, float], str] | None = None,
    aloud: bool = False,
    replaceable: bool = True,
) -> HostChoice:
    """Choose the libvirt for a setting of `libvirt_url`; starts nothing.

    Args:
        ctx: the task it is chosen for; hears why.
        wanted: `auto`, `private`, `system` or a URI.
        sockets: where the system's daemon may listen.
        ask: connects to a URI within some seconds, returns "" or why that did not work; None for a real connection.
        aloud: tell the user when the private host takes over from the system's.
        replaceable: whether another host would do, as it would not for machines that were made there.

    Raises:
        HostUnreachable: the system's libvirt is wanted, and it is not running or closed to the user.
    """
    if wanted == HostKind.PRIVATE:
        return HostChoice(HostKind.PRIVATE, "", "your own private libvirt, as configured")
    if wanted not in ("", "auto", HostKind.SYSTEM, SYSTEM_URI):
        return HostChoice(HostKind.URI, wanted, f"'{wanted}', as configured")
    problem, fix = _system_problem(sockets, ask or _ask)
    if wanted in (HostKind.SYSTEM, SYSTEM_URI):
        if problem:
            raise HostUnreachable(
                f"cannot use '{SYSTEM_URI}': {problem}", hint=f"{fix}, or use --libvirt_url private" if replaceable else fix
            )
        return HostChoice(HostKind.SYSTEM, SYSTEM_URI, f"'{SYSTEM_URI}', as configured")
    if problem:
        choice = HostChoice(HostKind.PRIVATE, "", f"your own private libvirt, because '{SYSTEM_URI}' cannot be used: {problem}")
    else:
        choice = HostChoice(HostKind.SYSTEM, SYSTEM_URI, f"'{SYSTEM_URI}', because it is open to you")
    if aloud and problem:
        ctx.tell(f"host: {choice.why}")
    else:  # said once for each run: whoever chooses again hears the same
        ctx.log(f"host: {choice.why}", logging.INFO if aloud else logging.DEBUG)
    return choice


def _system_problem(sockets: Sequence[Path], ask: Callable[[str, float], str]) -> tuple[str, str]:
    """Return why the system's libvirt cannot be used and the fix; ("", "") when it can."""
    states = {_look(path) for path in sockets}
    if _Socket.OPEN in states:
        problem = ask(SYSTEM_URI, ASK_TIMEOUT_S)
        return (problem, "see: journalctl -u libvirtd") if problem else ("", "")
    if _Socket.CLOSED in states:
        return f"its socket is {_Socket.CLOSED}", f"sudo usermod -aG libvirt {_user_name()}, then log in again"
    return f"its daemon is {_Socket.ABSENT}", "sudo systemctl start libvirtd"


def _look(path: Path) -> _Socket:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except PermissionError:
            return _Socket.CLOSED
        except OSError:
            return _Socket.ABSENT
    return _Socket.OPEN


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _ask(uri: str, timeout_s: float) -> str:
    # imported late: nothing is lost where the private host is wanted
    from .connection import Connection

    try:
        Connection(uri, open_timeout_s=timeout_s).close()
    except HostUnreachable as error:
        return error.message
    return ""
