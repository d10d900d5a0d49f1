"""Ports of this machine that lead to ports of guests; a server of this machine's stands for a guest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from engine.errors import EngineError
from engine.guest.dial import DirectDialer
from engine.guest.forward import Forward

LIMIT_S = 30


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve every connection on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threads: list[threading.Thread] = []

    def serve(peer: socket.socket) -> None:
        with peer:
            answer(peer)

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(peer,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(LIMIT_S)


def upper(peer: socket.socket) -> None:
    """Wait for the end of what is said, then say it in capitals."""
    peer.sendall(read_all(peer).upper())


def echo(peer: socket.socket) -> None:
    while data := peer.recv(65536):
        peer.sendall(data)


def read_all(peer: socket.socket) -> bytes:
    said = bytearray()
    while data := peer.recv(65536):
        said += data
    return bytes(said)


def forward(port: int, **options: object) -> Forward:
    return Forward(DirectDialer(), "127.0.0.1", port, **options)  # type: ignore[arg-type]


def dial(way: Forward) -> socket.socket:
    return socket.create_connection((way.address, way.port), timeout=LIMIT_S)


def threads_of_forwards() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("forward-")]


def test_what_is_said_at_one_end_is_heard_at_the_other_and_ends_are_passed_on() -> None:
    with server(upper) as port, forward(port) as way, dial(way) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"HELLO"


def test_megabytes_pass_both_ways_at_once() -> None:
    data = bytes(range(256)) * 16384
    with server(echo) as port, forward(port) as way, dial(way) as client:
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        assert read_all(client) == data
        sender.join(LIMIT_S)


def test_many_connections_are_carried_at_once_on_one_thread() -> None:
    with server(echo) as port, forward(port) as way:
        clients = [dial(way) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(f"{number:03}".encode())
        assert [client.recv(3) for client in clients] == [f"{number:03}".encode() for number in range(100)]
        assert threads_of_forwards() == [f"forward-{way.port}"]
        for client in clients:
            client.close()


def test_closing_ends_every_connection_and_leaves_no_thread() -> None:
    with server(echo) as port:
        way = forward(port)
        with dial(way) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            way.close()
            way.close()
            assert read_all_or_reset(client) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(way)
    assert threads_of_forwards() == []


def read_all_or_reset(peer: socket.socket) -> bytes:
    try:
        return read_all(peer)
    except ConnectionResetError:
        return b""


def test_a_port_that_nobody_serves_is_told_and_breaks_the_connection(unused_port: int) -> None:
    heard: list[str] = []
    told = threading.Event()

    def tell(trouble: str) -> None:
        heard.append(trouble)
        told.set()

    with forward(unused_port, tell=tell) as way, dial(way) as client:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert told.wait(LIMIT_S)
    assert heard == [f"127.0.0.1 port {unused_port}: Connection refused"]


def test_a_guest_that_breaks_off_breaks_the_connection() -> None:
    def slam(peer: socket.socket) -> None:
        peer.recv(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with server(slam) as port, forward(port) as way, dial(way) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            read_all(client)


def test_a_port_may_be_chosen(unused_port: int) -> None:
    with server(echo) as port, forward(port, local_port=unused_port) as way:
        assert (way.address, way.port) == ("127.0.0.1", unused_port)


def test_a_port_that_is_taken_is_refused() -> None:
    with server(echo) as port, pytest.raises(EngineError, match="cannot listen on") as refused:
        forward(port, local_port=port)
    assert "0 for a free one" in (refused.value.hint or "")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(EngineError, match=r"cannot listen on 192\.0\.2\.77 port 0"):
        forward(1, bind="192.0.2.77")
