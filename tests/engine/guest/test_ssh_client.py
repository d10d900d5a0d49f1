"""Logging in and running commands, against a real OpenSSH server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, GuestError, HostKeyChanged, SshRefused
from engine.guest.dial import DirectDialer
from engine.guest.hostkeys import remember_host_key
from engine.guest.keys import make_host_key, make_keypair
from engine.guest.shell import SshTarget
from engine.guest.ssh import CommandStatus, NotAnswering, connect, hang_up, run

PATIENCE_S = 60.0
SOON_S = 20.0
"""Far below what is waited for, far above what it takes: machines that run tests are busy."""


def run_once(ctx: TaskContext, target: SshTarget, command: str, stdin: bytes = b"", timeout_s: float = PATIENCE_S) -> CommandStatus:
    client = connect(ctx, target, DirectDialer(), PATIENCE_S)
    try:
        return run(ctx, client, command, stdin, timeout_s)
    finally:
        hang_up(client)


def test_a_command_gives_its_code_and_both_outputs(ctx: TaskContext, target: SshTarget) -> None:
    assert run_once(ctx, target, "echo out; echo err >&2; exit 7") == CommandStatus(7, b"out\n", b"err\n")


def test_stdin_larger_than_every_window_comes_back(ctx: TaskContext, target: SshTarget) -> None:
    data = bytes(range(256)) * 20_000
    assert run_once(ctx, target, "cat", data).out == data


def test_a_command_that_reads_no_stdin_still_ends(ctx: TaskContext, target: SshTarget) -> None:
    assert run_once(ctx, target, "exit 3", b"x" * 5_000_000).code == 3


def test_a_command_ended_by_a_signal_counts_as_255(ctx: TaskContext, target: SshTarget) -> None:
    assert run_once(ctx, target, "kill -9 $$").code == 255


def test_one_client_runs_many_commands(ctx: TaskContext, target: SshTarget) -> None:
    client = connect(ctx, target, DirectDialer(), PATIENCE_S)
    codes = [run(ctx, client, f"exit {code}").code for code in range(5)]
    hang_up(client)
    assert codes == [0, 1, 2, 3, 4]


def test_a_command_that_takes_too_long_is_named(ctx: TaskContext, target: SshTarget) -> None:
    with pytest.raises(GuestError, match="'sleep 5' did not end in time"):
        run_once(ctx, target, "sleep 5", timeout_s=0.2)


def test_a_cancel_ends_a_command_at_once(ctx: TaskContext, token: CancelToken, target: SshTarget) -> None:
    client = connect(ctx, target, DirectDialer(), PATIENCE_S)
    threading.Timer(0.1, token.cancel).start()
    started_s = time.monotonic()
    with pytest.raises(Cancelled):
        run(ctx, client, f"sleep {PATIENCE_S:g}")
    assert time.monotonic() - started_s < SOON_S
    hang_up(client)


def test_a_broken_connection_is_told(ctx: TaskContext, target: SshTarget) -> None:
    client = connect(ctx, target, DirectDialer(), PATIENCE_S)
    with pytest.raises(NotAnswering, match="the connection broke while 'kill -9 \\$PPID' ran"):
        run(ctx, client, "kill -9 $PPID")
    hang_up(client)


def test_a_changed_host_key_is_refused_with_both_fingerprints(ctx: TaskContext, target: SshTarget) -> None:
    remember_host_key(target.known_hosts, [target.name], make_host_key("other").public_line)
    with pytest.raises(HostKeyChanged, match=r"'vm0' at 127.0.0.1 .* expected ssh-ed25519 SHA256:\S+, it shows ssh-ed25519 SHA256:\S+"):
        connect(ctx, target, DirectDialer(), PATIENCE_S)


def test_a_host_key_of_another_type_is_refused(ctx: TaskContext, target: SshTarget) -> None:
    remember_host_key(target.known_hosts, [target.name], make_keypair().public_line)
    with pytest.raises(HostKeyChanged, match="only keys of other types"):
        connect(ctx, target, DirectDialer(), PATIENCE_S)


def test_an_unknown_host_key_is_refused_before_anything_is_sent(ctx: TaskContext, target: SshTarget) -> None:
    target.known_hosts.write_text("")
    with pytest.raises(HostKeyChanged, match="no host key is recorded"):
        connect(ctx, target, DirectDialer(), PATIENCE_S)


def test_a_first_contact_records_the_key_and_checks_it_from_then_on(ctx: TaskContext, target: SshTarget) -> None:
    real = target.known_hosts.read_bytes()
    target.known_hosts.unlink()
    stranger = replace(target, first_contact=True)
    assert run_once(ctx, stranger, "true").code == 0
    assert target.known_hosts.read_bytes().split()[1:3] == real.split()[1:3]
    remember_host_key(target.known_hosts, [target.name, target.address], make_host_key("other").public_line)
    with pytest.raises(HostKeyChanged):
        run_once(ctx, stranger, "true")


def test_a_refused_key_names_user_and_next_step(ctx: TaskContext, target: SshTarget, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.write_bytes(make_keypair().private_pem)
    with pytest.raises(SshRefused, match=r"'vm0' at 127.0.0.1 refuses user .* with key '.*stranger'") as caught:
        connect(ctx, replace(target, key_file=stranger), DirectDialer(), PATIENCE_S)
    assert "ssh-user" in caught.value.hint


def test_a_password_is_offered_after_the_key(ctx: TaskContext, target: SshTarget, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.write_bytes(make_keypair().private_pem)
    with pytest.raises(SshRefused, match="and password"):
        connect(ctx, replace(target, key_file=stranger, password="secret"), DirectDialer(), PATIENCE_S)


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_a_key_file_that_cannot_be_used_is_named(ctx: TaskContext, target: SshTarget, tmp_path: Path, content: str | None) -> None:
    key_file = tmp_path / "id_rsa"
    if content is not None:
        key_file.write_text(content)
    with pytest.raises(SshRefused, match=r"private key '.*id_rsa' cannot be used"):
        connect(ctx, replace(target, key_file=key_file), DirectDialer(), PATIENCE_S)


def test_a_closed_port_is_named_with_its_reason(ctx: TaskContext, target: SshTarget, unused_port: int) -> None:
    with pytest.raises(NotAnswering, match=f"'vm0' at 127.0.0.1 port {unused_port} does not answer ssh: Connection refused"):
        connect(ctx, replace(target, port=unused_port), DirectDialer(), PATIENCE_S)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"", "it closed the connection at once"),
        (b"HTTP/1.1 400\r\n", "instead of speaking ssh"),
        (b"SSH-2.0-half\r\n", "does not answer ssh"),
    ],
)
def test_a_server_that_is_no_ssh_server_is_told(
    ctx: TaskContext, target: SshTarget, serve: Callable[[bytes, bool], int], words: bytes, reason: str
) -> None:
    with pytest.raises(NotAnswering, match=reason):
        connect(ctx, replace(target, port=serve(words, False)), DirectDialer(), PATIENCE_S)


def test_a_silent_server_is_given_up_in_time(ctx: TaskContext, target: SshTarget, serve: Callable[[bytes, bool], int]) -> None:
    with pytest.raises(NotAnswering, match=r"connected, but silent for 1.5 s"):
        connect(ctx, replace(target, port=serve(b"", True)), DirectDialer(), 1.5)


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-half\r\n"])
def test_a_cancel_ends_a_login_soon(
    ctx: TaskContext, token: CancelToken, target: SshTarget, serve: Callable[[bytes, bool], int], words: bytes
) -> None:
    port = serve(words, True)
    cancelled_at: list[float] = []
    threading.Timer(0.2, lambda: (cancelled_at.append(time.monotonic()), token.cancel())).start()
    with pytest.raises(Cancelled):
        connect(ctx, replace(target, port=port), DirectDialer(), PATIENCE_S)
    assert time.monotonic() - cancelled_at[0] < SOON_S


def test_a_cancel_does_not_wait_for_a_dial_that_hangs(ctx: TaskContext, token: CancelToken, target: SshTarget) -> None:
    end = threading.Event()
    late = socket.socket()

    class Hanging(DirectDialer):
        def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
            end.wait(PATIENCE_S)
            return late

    threading.Timer(0.05, token.cancel).start()
    with pytest.raises(Cancelled):
        connect(ctx, target, Hanging(), PATIENCE_S)
    end.set()
    deadline_s = time.monotonic() + PATIENCE_S
    while late.fileno() >= 0 and time.monotonic() < deadline_s:
        threading.Event().wait(0.01)
    assert late.fileno() < 0
