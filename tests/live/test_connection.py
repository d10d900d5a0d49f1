"""A connection to a real daemon that goes away and comes back."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import libvirt
import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import HostUnreachable
from engine.providers.libvirt.connection import Connection, HostEvent, HostEventKind
from engine.providers.libvirt.private import World, end_world, ensure_world
from engine.providers.libvirt.world_facts import gather_facts
from engine.providers.libvirt.world_folders import world_paths

pytestmark = pytest.mark.live

NET = "<network><name>n1</name><bridge stp='off'/></network>"


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def world(ctx: TaskContext, tmp_path: Path) -> Iterator[World]:
    if gather_facts().blocked:
        pytest.skip(f"no private world here: {gather_facts()}")
    with ensure_world(ctx, world_paths(tmp_path)) as made:
        yield made
        if made.alive:
            end_world(ctx, made)


@pytest.fixture
def connection(world: World) -> Iterator[Connection]:
    made = Connection(world.uri, open_timeout_s=10)
    yield made
    made.close()


@pytest.fixture
def heard(connection: Connection) -> queue.Queue[HostEvent]:
    events: queue.Queue[HostEvent] = queue.Queue()
    connection.subscribe(events.put)
    return events


def daemon_of(world: World) -> int:
    """Return the process id of the world's libvirtd: a child of its process 1."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _paren, tail = stat.read_text().rpartition(")")
            if head.endswith("(libvirtd") and int(tail.split()[1]) == world.pid:
                return int(stat.parent.name)
    raise AssertionError("the world has no libvirtd")


def start_net(conn: libvirt.virConnect) -> str:
    name: str = conn.networkCreateXML(NET).name()
    return name


def test_changes_in_a_world_are_pushed(connection: Connection, heard: queue.Queue[HostEvent]) -> None:
    connection.call(start_net)
    assert heard.get(timeout=60).name == "n1"


def test_work_goes_on_after_the_daemon_was_restarted(world: World, connection: Connection) -> None:
    os.kill(daemon_of(world), signal.SIGKILL)
    connection_again = False
    while not connection_again:
        with suppress(HostUnreachable):
            connection_again = connection.call(start_net) == "n1"
    assert connection.alive


def test_events_come_again_after_the_daemon_was_restarted(world: World, connection: Connection, heard: queue.Queue[HostEvent]) -> None:
    os.kill(daemon_of(world), signal.SIGKILL)
    kinds = [heard.get(timeout=60).kind for _ in range(2)]
    connection.call(start_net)
    assert (kinds, heard.get(timeout=60).name) == ([HostEventKind.LOST, HostEventKind.BACK], "n1")


def test_a_daemon_that_hangs_is_told_within_the_time_limit(world: World, connection: Connection) -> None:
    daemon = daemon_of(world)
    os.kill(daemon, signal.SIGSTOP)
    try:
        with pytest.raises(HostUnreachable, match="does not answer within 1 s"):
            connection.call(start_net, timeout_s=1)
        with pytest.raises(HostUnreachable, match="does not answer within 1 s"):
            Connection(world.uri, open_timeout_s=1)
    finally:
        os.kill(daemon, signal.SIGCONT)


def test_a_daemon_that_is_gone_is_unreachable(world: World, connection: Connection, ctx: TaskContext) -> None:
    end_world(ctx, world)
    with pytest.raises(HostUnreachable, match="cannot connect to"):
        connection.call(start_net)
