"""Waiting for what an init file calls ready, with hosts and guests that are scripted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import MachineStateError, NotReady
from engine.guest.dial import DirectDialer
from engine.guest.ready import Probes, wait_ready
from engine.guest.shell import SshTarget
from engine.spec import MachineStatus, Readiness


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "wait", run_id="r") as context:
        yield context


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def probes(*serial: str, status: MachineStatus = MachineStatus.RUNNING) -> Probes:
    target = SshTarget("vm0", "127.0.0.1", 22, "root", Path("/nowhere"), None, Path("/nowhere"), False)
    return Probes("vm0", target, DirectDialer(), lambda: status, lambda: list(serial))


def test_a_line_on_the_console_is_enough(ctx: TaskContext) -> None:
    wait_ready(ctx, Readiness(log=r"login:$", timeout_s=0), probes("booting", "vm0 login:"))


def test_a_port_that_takes_connections_is_enough(ctx: TaskContext, port: int) -> None:
    wait_ready(ctx, Readiness(tcp=port, timeout_s=0), probes())


def test_everything_that_is_asked_for_must_hold(ctx: TaskContext, port: int) -> None:
    with pytest.raises(NotReady, match="console shows /never/: no"):
        wait_ready(ctx, Readiness(tcp=port, log="never", timeout_s=0), probes("booting"))


def test_it_is_waited_for(ctx: TaskContext) -> None:
    lines: list[str] = []

    def serial() -> list[str]:
        lines.append(f"line {len(lines)}")
        return lines

    wait_ready(ctx, Readiness(log="line 1", timeout_s=30), replace(probes(), serial=serial))
    assert lines[:2] == ["line 0", "line 1"]


def test_what_is_known_is_said_when_the_time_is_over(ctx: TaskContext, unused_port: int) -> None:
    number = unused_port
    with pytest.raises(NotReady) as late:
        wait_ready(ctx, Readiness(tcp=number, timeout_s=0), probes("Kernel panic"))
    assert f"port {number}: Connection refused" in late.value.message
    assert "Kernel panic" in late.value.message
    assert "timeout_sec" in late.value.hint


def test_a_machine_that_is_gone_is_not_waited_for(ctx: TaskContext) -> None:
    with pytest.raises(MachineStateError, match="'vm0' is down"):
        wait_ready(ctx, Readiness(log="x", timeout_s=30), probes(status=MachineStatus.DOWN))


def test_a_machine_without_an_address_has_no_ports(ctx: TaskContext) -> None:
    with pytest.raises(NotReady, match="no address"):
        wait_ready(ctx, Readiness(tcp=80, timeout_s=0), replace(probes(), target=None))
