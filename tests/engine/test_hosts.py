"""Which libvirt is taken for a setting of `libvirt_url`."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import HostUnreachable
from engine.events import TaskLog
from engine.providers.libvirt.hosts import HostKind, choose_host


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """The socket of a daemon that lets us in."""
    path = tmp_path / "l.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def answers(_uri: str, _timeout_s: float) -> str:
    return ""


def hangs(_uri: str, _timeout_s: float) -> str:
    return "it does not answer"


@pytest.mark.parametrize("wanted", ["auto", "system", "qemu:///system", ""])
def test_an_open_system_daemon_is_taken(ctx: TaskContext, daemon: Path, wanted: str) -> None:
    choice = choose_host(ctx, wanted, sockets=[daemon], ask=answers)
    assert (choice.kind, choice.uri) == (HostKind.SYSTEM, "qemu:///system")


def test_auto_takes_private_where_no_daemon_runs_and_says_so(ctx: TaskContext, tmp_path: Path) -> None:
    choice = choose_host(ctx, "auto", sockets=[tmp_path / "none"], ask=answers)
    assert (choice.kind, choice.why) == (
        HostKind.PRIVATE,
        "your own private libvirt, because 'qemu:///system' cannot be used: its daemon is not running",
    )


def test_auto_takes_private_where_the_daemon_does_not_answer(ctx: TaskContext, daemon: Path) -> None:
    assert choose_host(ctx, "auto", sockets=[daemon], ask=hangs).kind is HostKind.PRIVATE


def test_auto_tells_the_task_what_it_chose(ctx: TaskContext, tmp_path: Path) -> None:
    subscription = ctx.bus.subscribe()
    choose_host(ctx, "auto", sockets=[tmp_path / "none"], ask=answers)
    assert any("private" in getattr(event, "message", "") for event in subscription.take(timeout_s=1))


def test_who_chooses_again_is_not_told_again(ctx: TaskContext, tmp_path: Path) -> None:
    subscription = ctx.bus.subscribe()
    choose_host(ctx, "auto", sockets=[tmp_path / "none"], ask=answers, aloud=True)
    choose_host(ctx, "auto", sockets=[tmp_path / "none"], ask=answers)
    levels = [(event.level, event.aloud) for event in subscription.take(timeout_s=1) if isinstance(event, TaskLog)]
    assert levels == [(logging.INFO, True), (logging.DEBUG, False)]


def test_no_other_host_is_offered_for_machines_that_were_made_on_this_one(ctx: TaskContext, tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable) as failure:
        choose_host(ctx, "system", sockets=[tmp_path / "none"], ask=answers, replaceable=False)
    assert failure.value.hint == "sudo systemctl start libvirtd"


def test_system_that_does_not_run_is_an_error_with_the_fix(ctx: TaskContext, tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match=r"not running.*systemctl start libvirtd.*private"):
        choose_host(ctx, "system", sockets=[tmp_path / "none"], ask=answers)


def test_system_that_does_not_answer_is_an_error(ctx: TaskContext, daemon: Path) -> None:
    with pytest.raises(HostUnreachable, match="it does not answer"):
        choose_host(ctx, "qemu:///system", sockets=[daemon], ask=hangs)


def test_private_asks_nobody(ctx: TaskContext, daemon: Path) -> None:
    choice = choose_host(ctx, "private", sockets=[daemon], ask=lambda *_: pytest.fail("it asked"))
    assert choice.kind is HostKind.PRIVATE


def test_any_other_uri_is_taken_as_it_is(ctx: TaskContext) -> None:
    choice = choose_host(ctx, "qemu+ssh://there/system", sockets=[])
    assert (choice.kind, choice.uri) == (HostKind.URI, "qemu+ssh://there/system")


@pytest.mark.parametrize("aloud", [True, False])
def test_private_taking_over_is_told_aloud_where_an_environment_is_made(ctx: TaskContext, tmp_path: Path, aloud: bool) -> None:
    subscription = ctx.bus.subscribe()
    choose_host(ctx, "auto", sockets=[tmp_path / "none"], ask=answers, aloud=aloud)
    assert [event.aloud for event in subscription.take(timeout_s=1) if isinstance(event, TaskLog)] == [aloud]


def test_the_system_being_chosen_is_nothing_to_tell_aloud(ctx: TaskContext, daemon: Path) -> None:
    subscription = ctx.bus.subscribe()
    choose_host(ctx, "auto", sockets=[daemon], ask=answers, aloud=True)
    assert [event.aloud for event in subscription.take(timeout_s=1) if isinstance(event, TaskLog)] == [False]
