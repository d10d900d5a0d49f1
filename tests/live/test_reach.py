"""Ways to machines of the private host from outside, and their way out, with one environment for all."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.providers.libvirt.private import World, end_world, ensure_world
from engine.providers.libvirt.uplink import INTERFACE, attach_uplink, has_uplink
from engine.providers.libvirt.world_facts import gather_facts
from engine.providers.libvirt.world_folders import world_paths
from tests.live.conftest import Person, _clean, _home

pytestmark = pytest.mark.timeout(300)

INIT_FILE = """
nets:
  lan: {type: nat, management: true}
  closed: {type: nat, management: true, isolated: true}
domains:
  open: &machine
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}]
  shut: {<<: *machine, nics: [{net: closed}]}
"""
WORDS = b"hello from the host\n"
NAMES = ("deb.debian.org", "pypi.org", "example.com")
LIMIT_S = 240


@pytest.fixture(scope="module")
def somebody(live_folder: Path, ordinary_user: tuple[str, tuple[str, ...]], store: Path) -> Iterator[Person]:
    name, switch = ordinary_user
    person = Person(name, _home(live_folder, f"r{time.monotonic_ns() % 10**8}", name), "private", store, switch)
    person.write("LagoInitFile", INIT_FILE)
    person.lago("up")
    yield person
    person.lago("destroy", "-y")
    _clean(person)


@pytest.fixture(scope="module")
def ssh_conf(somebody: Person) -> Path:
    path = somebody.home / "ssh.conf"
    somebody.lago("ssh-config", "--output", str(path))
    return path


def as_person(somebody: Person, *argv: str) -> subprocess.CompletedProcess[str]:
    environ = somebody.environ
    command = [*somebody.switch, *argv]
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=somebody.home, timeout=LIMIT_S, check=False)


def serve(address: str) -> Iterator[int]:
    """Say some words to whoever connects, and yield the port."""
    listener = socket.create_server((address, 0))

    def answer() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.sendall(WORDS)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    listener.close()


@pytest.fixture(scope="module")
def public_port() -> Iterator[int]:
    yield from serve("0.0.0.0")


@pytest.fixture(scope="module")
def loopback_port() -> Iterator[int]:
    yield from serve("127.0.0.1")


@pytest.fixture(scope="module")
def own_address() -> str:
    """An address of this machine's that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.77", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback's")
        return str(probe.getsockname()[0])


def heard(somebody: Person, machine: str, address: str, port: int) -> str:
    """Return what a machine hears from a server within some seconds, "" when it cannot connect."""
    return somebody.lago("shell", machine, "--", f"nc -w 5 {address} {port} </dev/null || true")


def resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 80))
    except socket.gaierror:
        return False


def gateway_of_the_world(somebody: Person) -> str:
    """Return the address that stands for this machine's loopback, for guests that are let through to it."""
    return somebody.lago("enter", "--", "ip", "-4", "route", "show", "default").split()[2]


def test_ssh_finds_machines_by_name(somebody: Person, ssh_conf: Path) -> None:
    assert as_person(somebody, "ssh", "-F", str(ssh_conf), "open", "hostname").stdout == "open\n"


def test_scp_copies_both_ways(somebody: Person, ssh_conf: Path) -> None:
    somebody.write("there", "some words\n")
    assert as_person(somebody, "scp", "-F", str(ssh_conf), "there", "open:/tmp/there").returncode == 0
    assert as_person(somebody, "scp", "-F", str(ssh_conf), "open:/tmp/there", "back").returncode == 0
    assert (somebody.home / "back").read_text() == "some words\n"


def test_ssh_refuses_a_machine_with_another_host_key(somebody: Person, ssh_conf: Path) -> None:
    (somebody.home / "other.conf").write_text(ssh_conf.read_text().replace("HostKeyAlias open", "HostKeyAlias shut"))
    assert as_person(somebody, "ssh", "-F", "other.conf", "open", "true").returncode == 255


def test_a_port_of_this_machine_leads_to_a_machine_until_ctrl_c(somebody: Person) -> None:
    with somebody.popen("--run", "-f", "json", "forward", "open", "0:22") as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "}\n")) + "}"
        address, port = next(iter(json.loads(said))).split(":")
        with socket.create_connection((address, int(port)), timeout=LIMIT_S) as connection:
            assert connection.recv(4) == b"SSH-"
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0


def test_ansibles_arguments_lead_to_the_machine(somebody: Person) -> None:
    variables = json.loads(somebody.lago("ansible_hosts", "--host", "shut"))
    key, user = variables["ansible_ssh_private_key_file"], variables["ansible_user"]
    argv = ["ssh", "-i", key, "-l", user, *shlex.split(variables["ansible_ssh_common_args"]), variables["ansible_host"], "hostname"]
    assert as_person(somebody, *argv).stdout == "shut\n"


def test_a_machine_reaches_this_machines_own_address(somebody: Person, own_address: str, public_port: int) -> None:
    assert heard(somebody, "open", own_address, public_port) == WORDS.decode()


def test_a_machine_on_an_isolated_net_reaches_nothing_outside(somebody: Person, own_address: str, public_port: int) -> None:
    assert heard(somebody, "shut", own_address, public_port) == ""


def test_a_machine_does_not_reach_this_machines_loopback(somebody: Person, loopback_port: int, public_port: int) -> None:
    gateway = gateway_of_the_world(somebody)
    assert [heard(somebody, "open", gateway, port) for port in (loopback_port, public_port)] == ["", ""]


def test_a_machine_gets_names_resolved(somebody: Person) -> None:
    name = next((each for each in NAMES if resolves(each)), None)
    if name is None:
        pytest.skip("this machine's resolver knows nobody")
    assert "Name:" in somebody.lago("shell", "open", "--", f"nslookup {name}")


# --- the uplink of a world by itself, as whoever runs the tests


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if gather_facts().blocked or shutil.which("slirp4netns") is None:
        pytest.skip("no private world with a way out here")
    with TaskContext.root(Bus(), "test", run_id="r") as ctx, ensure_world(ctx, world_paths(tmp_path)) as made:
        yield made
        if made.alive:
            end_world(ctx, made)


def attach(world: World, **options: str) -> str:
    with TaskContext.root(Bus(), "test", run_id="r") as ctx:
        return attach_uplink(ctx, world, **options)


def uplinks(pid: int) -> list[int]:
    """Return the processes that carry what the world of process `pid` sends."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if entry.read_bytes().endswith(f"\0{pid}\0{INTERFACE}\0".encode()):
                found.append(int(entry.parent.name))
    return found


def wait_until_gone(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError), os.fdopen(os.pidfd_open(pid)) as process:
            assert select.select([process], [], [], LIMIT_S)[0]


def test_an_uplink_is_there_once_and_ends_with_its_world(world: World) -> None:
    assert [attach(world), attach(world)] == ["", ""]
    carriers = uplinks(world.pid)
    assert len(carriers) == 1 and has_uplink(world.pid)
    world.kill()
    wait_until_gone(carriers)


def test_an_uplink_that_died_is_attached_again(world: World) -> None:
    attach(world)
    (carrier,) = uplinks(world.pid)
    os.kill(carrier, signal.SIGKILL)
    wait_until_gone([carrier])
    assert attach(world) == "" and uplinks(world.pid) not in ([], [carrier])


def test_a_world_without_the_program_says_what_is_missing(world: World, tmp_path: Path) -> None:
    assert "'slirp4netns' is not installed" in attach(world, path=str(tmp_path)) and not has_uplink(world.pid)
