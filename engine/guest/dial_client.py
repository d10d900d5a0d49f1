"""Get a connected socket out of a private world; as a program, the ProxyCommand of OpenSSH for it.

Run as `python -I -S dial_client.py SOCKET HOST PORT`. When its stdout is a socket (OpenSSH with `ProxyUseFdpass=yes`) the connection
is handed over and the program ends; when it is a pipe (any other client) it stays and carries the bytes.
Standard library only, no imports of ours: it starts in a few milliseconds and outside of the package.
"""

import os
import selectors
import socket
import stat
import sys

REPLY_SLACK_S = 2.0
"""Seconds that the answer may come after the time limit of the connection itself."""

PROGRAM_TIMEOUT_S = 20.0
"""Time limit of one connection when we are a ProxyCommand; OpenSSH has its own, ConnectTimeout, on top."""


def dial_through(socket_path: str, host: str, port: int, timeout_s: float) -> socket.socket:
    """Ask the world that serves `socket_path` to connect to a guest, and return the connected socket.

    One packet asks, `HOST PORT TIMEOUT_S`; one answers, `ok` with the descriptor or `E ERRNO TEXT`.

    Raises:
        OSError: as `connect()` would raise it; ConnectionError when nobody serves the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(timeout_s + REPLY_SLACK_S)
        try:
            peer.connect(socket_path)
        except (FileNotFoundError, ConnectionRefusedError) as gone:
            raise ConnectionError(f"the private world at '{socket_path}' is gone") from gone
        peer.send(f"{host} {port} {timeout_s:g}".encode())
        answer, descriptors, _flags, _address = socket.recv_fds(peer, 1024, 1)
    if not descriptors:
        raise _refusal(answer)
    guest = socket.socket(fileno=descriptors[0])
    guest.setblocking(True)
    return guest


def _refusal(answer: bytes) -> OSError:
    words = answer.decode(errors="replace").split(" ", 2)
    if len(words) < 3 or words[0] != "E":
        return ConnectionError("the private world ended while it connected")
    return OSError(int(words[1]), words[2])


def _relay(guest: socket.socket) -> None:
    """Carry bytes until the guest closes; the end of our stdin is passed on, as `nc -N` does."""
    with selectors.DefaultSelector() as selector:
        selector.register(guest, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                data = os.read(key.fd, 65536)
                if key.fd == 0 and data:
                    guest.sendall(data)
                elif key.fd == 0:
                    selector.unregister(0)
                    guest.shutdown(socket.SHUT_WR)
                elif data:
                    _write_all(data)
                else:
                    return


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def main(argv: list[str]) -> int:
    socket_path, host, port = argv
    try:
        with dial_through(socket_path, host, int(port), PROGRAM_TIMEOUT_S) as guest:
            if stat.S_ISSOCK(os.fstat(1).st_mode):
                with socket.socket(fileno=os.dup(1)) as asker:
                    socket.send_fds(asker, [b"\0"], [guest.fileno()])
            else:
                _relay(guest)
    except OSError as error:
        sys.stderr.write(f"cannot connect to {host} port {port}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
