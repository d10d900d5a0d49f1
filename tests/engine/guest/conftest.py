"""A real OpenSSH server of our own, on the loopback interface, for the tests of this folder."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from engine.guest.hostkeys import remember_host_key
from engine.guest.keys import make_host_key, make_keypair
from engine.guest.shell import SshTarget

NAME = "vm0"
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


@pytest.fixture
def ctx(token: CancelToken) -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r", token=token) as context:
        yield context


@dataclass(frozen=True)
class Sshd:
    """The server, as a machine named vm0 whose prefix is `folder`."""

    folder: Path
    program: str
    place: socket.socket
    """Holds the port for it: others of this machine look for free ones, too."""

    @property
    def port(self) -> int:
        return int(self.place.getsockname()[1])

    @property
    def target(self) -> SshTarget:
        known_hosts = self.folder / "known_hosts"
        return SshTarget(NAME, "127.0.0.1", self.port, getpass.getuser(), self.folder / "id_rsa", None, known_hosts)

    def refuse_keys(self) -> None:
        (self.folder / "authorized_keys").write_text("")

    def take_keys(self) -> None:
        (self.folder / "authorized_keys").write_text((self.folder / "id_rsa.pub").read_text())

    def start(self, sftp: bool = False) -> subprocess.Popen[bytes]:
        more = "Subsystem sftp internal-sftp\n" if sftp else ""
        (self.folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=self.folder) + more)
        return subprocess.Popen([self.program, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=subprocess.DEVNULL)

    @contextmanager
    def running(self, sftp: bool = False) -> Iterator[Self]:
        """Run the server while the block runs."""
        process = self.start(sftp)
        try:
            self.wait()
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def wait(self) -> None:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("sshd did not come up")


@pytest.fixture(scope="session")
def make_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Sshd]]:
    """Make the folder of a server, and a free port; the server itself is not started."""
    places: list[socket.socket] = []
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no sshd here: install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a server of root's locks its unprivileged half in
    client, host = make_keypair(), make_host_key(NAME)

    def make() -> Sshd:
        places.append(free_place())
        server = Sshd(tmp_path_factory.mktemp("sshd"), program, places[-1])
        for name, content in (("host_key", host.private_pem), ("id_rsa", client.private_pem)):
            (server.folder / name).write_bytes(content)
            (server.folder / name).chmod(0o600)
        (server.folder / "id_rsa.pub").write_text(client.public_line + "\n")
        server.take_keys()
        remember_host_key(server.folder / "known_hosts", (NAME, "127.0.0.1"), host.public_line)
        return server

    yield make
    for place in places:
        place.close()


@pytest.fixture(scope="session")
def shared_sshd(make_sshd: Callable[[], Sshd]) -> Iterator[Sshd]:
    """A running server; tests leave its files as they are."""
    server = make_sshd()
    with server.running():
        yield server


@pytest.fixture
def target(shared_sshd: Sshd, tmp_path: Path) -> SshTarget:
    """The running server, reached with a known_hosts file that the test may change."""
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text((shared_sshd.folder / "known_hosts").read_text())
    return replace(shared_sshd.target, known_hosts=known_hosts)


def free_place() -> socket.socket:
    """Return a socket that has a port, and neither listens nor keeps a server from doing so."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return place


@pytest.fixture
def unused_port() -> Iterator[int]:
    with free_place() as place:
        yield int(place.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, bool], int]]:
    """Make a server that says some words to each connection and then closes it, or keeps it and is silent."""
    listeners: list[socket.socket] = []
    kept: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def answer(listener: socket.socket, words: bytes, stay: bool) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            if words:
                peer.sendall(words)
            if stay:
                kept.append(peer)
            else:
                peer.close()

    def start(words: bytes, stay: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=answer, args=(listener, words, stay), daemon=True))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(60)
    for each in (*listeners, *kept):
        each.close()
