"""The way to a guest: directly, and out of a private world by descriptor passing."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.guest.dial import DirectDialer, WorldDialer
from engine.providers.libvirt import world_init


@pytest.fixture
def guest() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that stays closed, and nobody else's."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[WorldDialer]:
    """The dialer of a world whose dial server runs here, in a thread."""
    path = tmp_path / "d.sock"
    listener = world_init.listen(path)
    server = world_init.DialServer(listener, world_init.Daemons())

    def serve() -> None:
        with suppress(OSError):
            server.serve_for_ever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield WorldDialer(str(path))
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    listener.close()


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def program(world: WorldDialer, port: int) -> list[str]:
    return [word.replace("%h", "127.0.0.1").replace("%p", str(port)) for word in world.proxy_command()]


def greet(guest: socket.socket, connection: socket.socket) -> bytes:
    peer, _address = guest.accept()
    with peer, connection:
        peer.sendall(b"hello")
        return connection.recv(16)


def test_a_direct_connection_is_blocking(guest: socket.socket) -> None:
    with DirectDialer().connect("127.0.0.1", port_of(guest), 60) as connection:
        assert connection.gettimeout() is None


def test_a_direct_host_needs_no_proxy_command() -> None:
    assert DirectDialer().proxy_command() == ()


def test_a_world_hands_over_a_connected_socket(world: WorldDialer, guest: socket.socket) -> None:
    assert greet(guest, world.connect("127.0.0.1", port_of(guest), 60)) == b"hello"


def test_a_connection_out_of_a_world_is_blocking(world: WorldDialer, guest: socket.socket) -> None:
    with world.connect("127.0.0.1", port_of(guest), 60) as connection:
        assert connection.gettimeout() is None


def test_a_refusal_in_a_world_is_the_error_of_connect(world: WorldDialer, closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        world.connect("127.0.0.1", closed_port, 60)


def test_nonsense_is_an_os_error(world: WorldDialer) -> None:
    with pytest.raises(OSError):
        world.connect("127.0.0.1", 70000, 60)


@pytest.mark.parametrize("left", [True, False], ids=["dead socket", "no socket"])
def test_a_world_that_is_gone_is_said_so(tmp_path: Path, left: bool) -> None:
    path = tmp_path / "d.sock"
    if left:
        world_init.listen(path).close()
    with pytest.raises(ConnectionError, match="is gone"):
        WorldDialer(str(path)).connect("127.0.0.1", 22, 60)


def test_the_proxy_command_carries_bytes_through_pipes(world: WorldDialer, guest: socket.socket) -> None:
    with subprocess.Popen(program(world, port_of(guest)), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
        peer, _address = guest.accept()
        with peer:
            assert relay.stdin is not None
            relay.stdin.write(b"to the guest")
            relay.stdin.close()
            assert peer.makefile("rb").read() == b"to the guest"
            peer.sendall(b"from the guest")
        assert relay.stdout is not None
        assert relay.stdout.read() == b"from the guest"


def test_the_proxy_command_hands_the_connection_to_openssh(world: WorldDialer, guest: socket.socket) -> None:
    ours, its_stdout = socket.socketpair()
    with ours, its_stdout:
        ours.settimeout(60)
        assert subprocess.run(program(world, port_of(guest)), stdout=its_stdout, timeout=60).returncode == 0
        _byte, descriptors, _flags, _address = socket.recv_fds(ours, 1, 1)
        assert greet(guest, socket.socket(fileno=descriptors[0])) == b"hello"


def test_the_proxy_command_says_why_it_cannot_connect(world: WorldDialer, closed_port: int) -> None:
    done = subprocess.run(program(world, closed_port), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"cannot connect to 127.0.0.1 port {closed_port}: Connection refused\n")


def test_a_percent_sign_in_our_path_is_doubled_for_openssh() -> None:
    assert "/home/100%%/d.sock" in WorldDialer("/home/100%/d.sock").proxy_command()
