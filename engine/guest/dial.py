"""The one way to a guest: whoever connects to one asks its host's Dialer for a connected socket."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import dial_client

SSH_BANNER = b"SSH-"
"""What every server says first. (RFC 4253, section 4.2)"""


class Dialer(Protocol):
    """Connects to guests of one host."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Return a blocking socket connected to `host` (an address), `port`.

        Raises:
            OSError: ConnectionRefusedError, TimeoutError and so on, exactly as a connection of our own would raise them.
        """
        ...

    def proxy_command(self) -> tuple[str, ...]:
        """Return the argv of a ProxyCommand, with OpenSSH's `%h` and `%p` in it; () when none is needed.

        Join it with `shlex.join` for OpenSSH. Give `ProxyUseFdpass=yes` with it: the connection is then handed to ssh and no process
        stays in between. Clients that cannot take descriptors (paramiko, Ansible's paramiko transport) use the same command
        through pipes. A `%` of our own in it is doubled already.
        """
        ...


@dataclass(frozen=True, slots=True)
class DirectDialer:
    """Guests that this machine reaches itself."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        guest = socket.create_connection((host, port), timeout=timeout_s)
        guest.setblocking(True)
        return guest

    def proxy_command(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class WorldDialer:
    """Guests in a private world: its process 1 connects inside and passes the socket out."""

    socket_path: str
    """Of the world's dial server."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        return dial_client.dial_through(self.socket_path, host, port, timeout_s)

    def proxy_command(self) -> tuple[str, ...]:
        program = str(Path(dial_client.__file__).resolve())
        ours = (sys.executable, "-I", "-S", program, self.socket_path)
        return (*(word.replace("%", "%%") for word in ours), "%h", "%p")


def speaks_ssh(dialer: Dialer, address: str, port: int, dial_timeout_s: float, banner_timeout_s: float) -> bool:
    """Whether a server says at once that it speaks ssh. Costs a few milliseconds: no login, no library."""
    try:
        with dialer.connect(address, port, dial_timeout_s) as server:
            server.settimeout(banner_timeout_s)
            return server.recv(len(SSH_BANNER), socket.MSG_WAITALL) == SSH_BANNER
    except OSError:
        return False
