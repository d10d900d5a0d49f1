"""Waiting for ssh: when it ends well, when it stops early, and what it says when it gives up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, HostKeyChanged, MachineStateError, SshRefused, SshTimeout
from engine.events import TaskProgress
from engine.guest.dial import DirectDialer
from engine.guest.hostkeys import remember_host_key
from engine.guest.keys import make_host_key
from engine.guest.readiness import Evidence, wait_ssh
from engine.guest.shell import SshTarget
from engine.spec import MachineStatus

RUNNING = Evidence(MachineStatus.RUNNING, "192.168.200.2", ("[    0.000000] Linux version 6.1", "vm0 login: "))
STARTING = Evidence(MachineStatus.RUNNING)
PATIENCE_S = 60.0
SOON_S = 20.0
"""Far below what is waited for, far above what it takes: machines that run tests are busy."""


def wait(
    ctx: TaskContext,
    target: SshTarget,
    deadline_s: float = PATIENCE_S,
    evidence: Callable[[], Evidence] = lambda: RUNNING,
    installing_s: float = PATIENCE_S,
) -> float:
    return wait_ssh(ctx, target, DirectDialer(), deadline_s=deadline_s, evidence=evidence, installing_s=installing_s)


def test_a_machine_that_serves_is_ready_at_once(ctx: TaskContext, target: SshTarget) -> None:
    assert wait(ctx, target) < SOON_S


def test_a_machine_is_seen_soon_after_it_starts_to_serve(ctx: TaskContext, make_sshd: Callable[[], Any]) -> None:
    server = make_sshd()
    ready_s: list[float] = []

    def boot() -> None:
        with server.running():
            ready_s.append(time.monotonic())
            done.wait(PATIENCE_S)

    done = threading.Event()
    booting = threading.Timer(0.5, boot)
    booting.start()
    try:
        wait(ctx, server.target)
        seen_s = time.monotonic()
    finally:
        done.set()
        booting.join(PATIENCE_S)
    assert seen_s - ready_s[0] < SOON_S


def test_a_forwarded_port_that_swallows_the_first_connection_is_tried_again(
    ctx: TaskContext, target: SshTarget, serve: Callable[[bytes, bool], int]
) -> None:
    ports = [serve(b"", True)]

    class Forwarded(DirectDialer):
        def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
            return DirectDialer().connect(host, ports.pop() if ports else port, timeout_s)

    assert wait_ssh(ctx, target, Forwarded(), deadline_s=PATIENCE_S, evidence=lambda: RUNNING) < SOON_S


def test_keys_that_are_installed_late_are_waited_for(ctx: TaskContext, make_sshd: Callable[[], Any]) -> None:
    server = make_sshd()
    server.refuse_keys()
    refused: list[str] = []

    class Installing(DirectDialer):
        def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
            if len(refused) == 1:
                server.take_keys()
            refused.append(host)
            return DirectDialer().connect(host, port, timeout_s)

    with server.running():
        wait_ssh(ctx, server.target, Installing(), deadline_s=PATIENCE_S, evidence=lambda: RUNNING, installing_s=PATIENCE_S)
    assert len(refused) > 1


def test_refused_keys_are_told_after_some_patience(ctx: TaskContext, make_sshd: Callable[[], Any]) -> None:
    server = make_sshd()
    server.refuse_keys()
    with server.running(), pytest.raises(SshRefused):
        wait(ctx, server.target, installing_s=0.3)


def test_a_wrong_host_key_is_told_after_some_patience(ctx: TaskContext, target: SshTarget) -> None:
    remember_host_key(target.known_hosts, [target.name], make_host_key("other").public_line)
    with pytest.raises(HostKeyChanged):
        wait(ctx, target, installing_s=0.3)


@pytest.mark.parametrize("status", [MachineStatus.DOWN, MachineStatus.CRASHED, MachineStatus.PAUSED, MachineStatus.SHUT_OFF])
def test_a_machine_that_stopped_ends_the_wait_early(ctx: TaskContext, target: SshTarget, unused_port: int, status: MachineStatus) -> None:
    answers = iter([RUNNING, replace(RUNNING, status=status, serial=("Kernel panic",))])
    with pytest.raises(MachineStateError, match=rf"(?s)'vm0' is {status.value}, .*Kernel panic"):
        wait(ctx, replace(target, port=unused_port), evidence=lambda: next(answers))


def test_a_timeout_says_all_that_is_known(ctx: TaskContext, target: SshTarget, unused_port: int) -> None:
    with pytest.raises(SshTimeout) as caught:
        wait(ctx, replace(target, port=unused_port), 1.5)
    message = str(caught.value)
    facts = ["'vm0'", "1.5 s", "'running'", "192.168.200.2", "Connection refused", "    vm0 login:", "boot_time_sec"]
    assert [fact for fact in facts if fact not in message] == []


def test_a_timeout_says_that_there_was_no_lease(ctx: TaskContext, target: SshTarget, unused_port: int) -> None:
    with pytest.raises(SshTimeout, match="it got no address by DHCP"):
        wait(ctx, replace(target, port=unused_port), 0.1, lambda: STARTING)


def test_progress_carries_the_last_serial_line(ctx: TaskContext, target: SshTarget) -> None:
    events = ctx.bus.subscribe()
    wait(ctx, target)
    notes = [event.note for event in events.take() if isinstance(event, TaskProgress)]
    assert notes[0] == "has address 192.168.200.2; vm0 login:"


def test_progress_without_a_console_carries_the_last_error(ctx: TaskContext, target: SshTarget) -> None:
    events = ctx.bus.subscribe()
    wait(ctx, target, evidence=lambda: STARTING)
    notes = [event.note for event in events.take() if isinstance(event, TaskProgress)]
    assert notes[0] == "no DHCP lease yet; no attempt yet"


@pytest.mark.parametrize("speaks", ["nobody", "silence", "half a server"])
def test_a_cancel_ends_the_wait_soon(
    ctx: TaskContext, token: CancelToken, target: SshTarget, unused_port: int, serve: Callable[[bytes, bool], int], speaks: str
) -> None:
    words = {"silence": b"", "half a server": b"SSH-2.0-half\r\n"}
    port = unused_port if speaks == "nobody" else serve(words[speaks], True)
    cancelled_at: list[float] = []
    threading.Timer(0.3, lambda: (cancelled_at.append(time.monotonic()), token.cancel())).start()
    with pytest.raises(Cancelled):
        wait(ctx, replace(target, port=port))
    assert time.monotonic() - cancelled_at[0] < SOON_S
