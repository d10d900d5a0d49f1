"""The private world for real, as whoever runs the tests: root or an ordinary user."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import libvirt
import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import Cancelled
from engine.providers.libvirt.private import World, end_if_idle, end_world, ensure_world, find_world
from engine.providers.libvirt.world_facts import gather_facts
from engine.providers.libvirt.world_folders import WorldPaths, world_paths

pytestmark = pytest.mark.live

NET = """<network><name>n1</name><forward mode='nat'/><bridge stp='off'/><ip address='192.168.200.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.200.2' end='192.168.200.254'/></dhcp></ip></network>"""
DOMAIN = """<domain type='qemu'><name>d1</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><interface type='network'><source network='n1'/></interface></devices></domain>"""
START = """
import signal, sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import Cancelled
from engine.providers.libvirt.private import ensure_world
from engine.providers.libvirt.world_folders import world_paths
with TaskContext.root(Bus(), "start", run_id="r") as ctx:
    world = ensure_world(ctx, world_paths(Path(sys.argv[1])))
    sys.stdout.write(f"{world.pid}\\n")
    sys.stdout.flush()
    signal.pause()
"""


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def paths(tmp_path: Path, ctx: TaskContext) -> Iterator[WorldPaths]:
    if gather_facts().blocked:
        pytest.skip(f"no private world here: {gather_facts()}")
    made = world_paths(tmp_path)
    yield made
    left = find_world(made)
    if left is not None:
        end_world(ctx, left)


@pytest.fixture
def world(ctx: TaskContext, paths: WorldPaths) -> Iterator[World]:
    with ensure_world(ctx, paths) as made:
        yield made


@pytest.fixture
def conn(world: World) -> Iterator[libvirt.virConnect]:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    made = libvirt.open(world.uri)
    yield made
    with suppress(libvirt.libvirtError):
        made.close()


def children_of(pid: int) -> dict[int, str]:
    """Return the processes below `pid` with their names, by the fourth field of /proc/PID/stat."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _paren, tail = stat.read_text().rpartition(")")
            parents.setdefault(int(tail.split()[1]), []).append((int(stat.parent.name), head.partition("(")[2]))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child, name in parents.get(waiting.pop(), []):
            found[child] = name
            waiting.append(child)
    return found


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_a_nat_network_and_a_guest_run_inside_and_the_host_sees_nothing(world: World, conn: libvirt.virConnect) -> None:
    before = interfaces()
    conn.networkCreateXML(NET)
    conn.createXML(DOMAIN)
    assert {"dnsmasq", "libvirtd", "virtlogd", "qemu-system-x86"} <= set(children_of(world.pid).values())
    assert interfaces() == before


def test_an_address_inside_is_dialled_from_outside(world: World, conn: libvirt.virConnect) -> None:
    conn.networkCreateXML(NET)
    with world.dialer().connect("192.168.200.1", 53, 5) as connection:
        assert connection.getpeername() == ("192.168.200.1", 53)


def test_a_command_enters_the_network_of_the_guests(world: World, conn: libvirt.virConnect) -> None:
    conn.networkCreateXML(NET)
    done = subprocess.run(world.enter_command(["cat", "/proc/net/fib_trie"]), capture_output=True, text=True, timeout=60)
    assert "192.168.200.1" in done.stdout, done.stderr


def test_a_running_world_is_found_again(world: World, paths: WorldPaths) -> None:
    found = find_world(paths)
    assert found is not None
    with found:
        assert found.pid == world.pid


def test_two_starters_at_once_get_one_world(paths: WorldPaths, ctx: TaskContext) -> None:
    pids: list[int] = []

    def start() -> None:
        with ensure_world(ctx, paths) as world:
            pids.append(world.pid)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(pids) == 3 and len(set(pids)) == 1


def test_a_world_outlives_a_starter_that_is_killed(paths: WorldPaths, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", START, tmp_path], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    found = find_world(paths)
    assert found is not None
    with found:
        assert found.pid == pid


def test_a_world_is_in_no_session_of_ours(world: World) -> None:
    assert os.getsid(world.pid) not in (os.getsid(0), 0)


def test_a_dead_world_is_started_again(world: World, paths: WorldPaths, ctx: TaskContext) -> None:
    os.kill(world.pid, signal.SIGKILL)
    world.wait_until_gone(ctx)
    with ensure_world(ctx, paths) as again:
        assert again.pid != world.pid and again.alive


def test_a_world_that_does_not_answer_is_replaced(world: World, paths: WorldPaths, ctx: TaskContext) -> None:
    os.kill(world.pid, signal.SIGSTOP)
    with ensure_world(ctx, paths) as again:
        assert again.pid != world.pid and not world.alive


def test_the_end_takes_everything_with_it(world: World, conn: libvirt.virConnect, ctx: TaskContext) -> None:
    conn.networkCreateXML(NET)
    conn.createXML(DOMAIN)
    inside = children_of(world.pid)
    end_world(ctx, world)
    assert not [name for pid, name in inside.items() if Path(f"/proc/{pid}").exists()]


def test_a_world_with_a_guest_is_not_idle(world: World, conn: libvirt.virConnect, ctx: TaskContext) -> None:
    conn.createXML(DOMAIN.replace("type='network'><source network='n1'/>", "type='user'>"))
    assert not end_if_idle(ctx, world) and world.alive


def test_a_world_with_a_network_is_not_idle(world: World, conn: libvirt.virConnect, ctx: TaskContext) -> None:
    conn.networkCreateXML(NET)
    assert not end_if_idle(ctx, world) and world.alive


def test_a_world_that_somebody_else_holds_is_not_idle(world: World, paths: WorldPaths, ctx: TaskContext) -> None:
    other = find_world(paths)
    assert other is not None
    with other:
        assert not end_if_idle(ctx, world) and world.alive


def test_a_world_ends_with_its_last_guest(world: World, conn: libvirt.virConnect, paths: WorldPaths, ctx: TaskContext) -> None:
    net = conn.networkCreateXML(NET)
    conn.createXML(DOMAIN).destroy()
    net.destroy()
    conn.close()
    assert end_if_idle(ctx, world) and find_world(paths) is None


def test_a_world_that_nobody_uses_ends_itself(paths: WorldPaths, ctx: TaskContext) -> None:
    with ensure_world(ctx, paths) as world:
        process = os.pidfd_open(world.pid)
    with os.fdopen(process):
        assert select.select([process], [], [], 120)[0]


@pytest.fixture
def short(tmp_path: Path, paths: WorldPaths) -> Iterator[WorldPaths]:
    """A world whose sockets are in another folder, since the path of its own is too long."""
    with TemporaryDirectory(prefix="lt-", dir="/tmp") as tmp:
        yield world_paths(tmp_path / ("x" * 90), Path(tmp))


def test_a_world_that_is_asked_to_end_leaves_no_sockets(short: WorldPaths, ctx: TaskContext) -> None:
    with ensure_world(ctx, short) as world:
        assert short.dial_socket.exists()
        os.kill(world.pid, signal.SIGTERM)
        world.wait_until_gone(ctx)
    assert list(short.tmp.iterdir()) == []


def test_the_sockets_of_a_killed_world_go_with_the_next_start(short: WorldPaths, tmp_path: Path, ctx: TaskContext) -> None:
    with ensure_world(ctx, short) as world:
        world.kill()
        world.wait_until_gone(ctx)
    other = world_paths(tmp_path / ("y" * 90), short.tmp)
    with ensure_world(ctx, other) as world:
        assert list(short.tmp.iterdir()) == [other.run]
        end_world(ctx, world)


def test_a_daemon_that_dies_is_started_again_and_guests_live_on(world: World, conn: libvirt.virConnect, ctx: TaskContext) -> None:
    conn.networkCreateXML(NET)
    conn.createXML(DOMAIN)
    daemon = next(pid for pid, name in children_of(world.pid).items() if name == "libvirtd")
    os.kill(daemon, signal.SIGKILL)
    while "libvirtd" not in children_of(world.pid).values() or daemon in children_of(world.pid):
        ctx.sleep(0.05)
    again = None
    while again is None:
        with suppress(libvirt.libvirtError):
            again = libvirt.open(world.uri)
        ctx.sleep(0.05)
    names = [domain.name() for domain in again.listAllDomains()]
    again.close()
    assert names == ["d1"]


def test_a_cancelled_start_leaves_nothing(paths: WorldPaths, ctx: TaskContext) -> None:
    ctx.token.cancel()
    with pytest.raises(Cancelled):
        ensure_world(ctx, paths)
    assert find_world(paths) is None
