"""A connection, on libvirt's own test host (with real daemons: tests/live/test_connection.py)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import HostRefused, HostUnreachable
from engine.providers.libvirt.connection import Connection, HostEvent, HostEventKind
from engine.providers.libvirt.limited import limited

NET = "<network><name>n1</name><bridge name='v1'/></network>"


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection("test:///default")
    yield made
    made.close()


def test_work_runs_on_the_connection(connection: Connection) -> None:
    assert connection.call(lambda conn: conn.getType()) == "TEST"


def test_a_refusal_carries_the_words_of_libvirt(connection: Connection) -> None:
    with pytest.raises(HostRefused, match=r"no domain with matching name 'none'|Domain not found"):
        connection.call(lambda conn: conn.lookupByName("none"))


def test_a_fault_of_the_work_reaches_the_caller(connection: Connection) -> None:
    with pytest.raises(ZeroDivisionError):
        connection.call(lambda _conn: 1 / 0)


def test_work_that_takes_too_long_is_left_behind(connection: Connection) -> None:
    never = threading.Event()
    with pytest.raises(HostUnreachable, match=r"'test:///default' does not answer within 0\.05 s"):
        connection.call(lambda _conn: never.wait(60), timeout_s=0.05)
    never.set()


def test_nobody_at_the_address_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HostUnreachable, match=r"cannot connect to 'qemu\+unix:///system\?socket=/none'"):
        Connection("qemu+unix:///system?socket=/none")


def test_libvirt_prints_nothing_of_its_own(connection: Connection, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HostRefused):
        connection.call(lambda conn: conn.lookupByName("none"))
    assert capfd.readouterr() == ("", "")


def test_changes_of_domains_are_told(connection: Connection) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    connection.subscribe(heard.put)
    connection.call(lambda conn: conn.lookupByName("test").suspend())
    assert (heard.get(timeout=60).kind, connection.alive) == (HostEventKind.DOMAIN, True)


def test_changes_of_networks_are_told(connection: Connection) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    connection.subscribe(heard.put)
    connection.call(lambda conn: conn.networkCreateXML(NET).name())
    assert heard.get(timeout=60).name == "n1"


def test_a_listener_may_use_the_connection(connection: Connection) -> None:
    heard: queue.Queue[str] = queue.Queue()
    connection.subscribe(lambda _event: heard.put(connection.call(lambda conn: conn.getType())))
    connection.call(lambda conn: conn.lookupByName("test").suspend())
    assert heard.get(timeout=60) == "TEST"


def test_a_listener_that_fails_does_not_silence_the_others(connection: Connection) -> None:
    heard: queue.Queue[HostEvent] = queue.Queue()
    connection.subscribe(lambda _event: [][0])
    connection.subscribe(heard.put)
    connection.call(lambda conn: conn.lookupByName("test").suspend())
    assert heard.get(timeout=60).name == "test"


def test_a_subscription_that_was_ended_hears_nothing(connection: Connection) -> None:
    first: queue.Queue[HostEvent] = queue.Queue()
    second: queue.Queue[HostEvent] = queue.Queue()
    end = connection.subscribe(first.put)
    connection.subscribe(second.put)
    end()
    connection.call(lambda conn: conn.lookupByName("test").suspend())
    second.get(timeout=60)
    assert first.empty()


def test_a_closed_connection_says_so() -> None:
    connection = Connection("test:///default")
    connection.close()
    with pytest.raises(HostUnreachable, match="is closed"):
        connection.call(lambda conn: conn.getType())


def test_a_result_that_comes_too_late_is_handed_on() -> None:
    go_on, late = threading.Event(), queue.Queue[bool]()
    with pytest.raises(TimeoutError):
        limited(lambda: go_on.wait(60), 0.01, TimeoutError(), late.put)
    go_on.set()
    assert late.get(timeout=60) is True


def test_a_daemon_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    asked: list[bool] = []

    def restarts() -> bool:
        asked.append(len(asked) < 2)
        return asked[-1]

    with pytest.raises(HostUnreachable, match="cannot connect"):
        Connection(f"qemu+unix:///system?socket={tmp_path}/none", restarts=restarts)
    assert asked == [True, True, False]
