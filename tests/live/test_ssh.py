"""Our ssh client and OpenSSH's against the tiny guest (dropbear), booted by plain qemu on an overlay of the stored template."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, HostKeyChanged, MachineStateError, SshRefused
from engine.guest.dial import DirectDialer
from engine.guest.hostkeys import remember_host_key
from engine.guest.keys import make_host_key, make_keypair
from engine.guest.readiness import Evidence, wait_ssh
from engine.guest.seed import Seed, write_seed
from engine.guest.shell import SshTarget, ssh_command
from engine.guest.ssh import CommandStatus, connect, hang_up, run
from engine.images.catalogue import load_catalogue
from engine.images.disks import make_overlay, probe
from engine.images.store import Store
from engine.spec import MachineStatus

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

BOOT_LIMIT_S = 240.0


@dataclass(frozen=True)
class Guest:
    process: subprocess.Popen[bytes]
    target: SshTarget
    serial_log: Path
    waited_s: float

    def evidence(self) -> Evidence:
        return look(self.process, self.serial_log)


def look(process: subprocess.Popen[bytes], serial_log: Path) -> Evidence:
    status = MachineStatus.RUNNING if process.poll() is None else MachineStatus.DOWN
    lines = serial_log.read_text(errors="replace").splitlines() if serial_log.exists() else []
    return Evidence(status, "10.0.2.15", tuple(lines[-5:]))


@pytest.fixture(scope="module")
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="live-ssh") as context:
        yield context


@pytest.fixture(scope="module")
def guest(ctx: TaskContext, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine that booted while we waited for its ssh, with host keys and a client key of ours."""
    folder = tmp_path_factory.mktemp("guest")
    client, host = make_keypair(), make_host_key("vm0")
    (folder / "id_rsa").write_bytes(client.private_pem)
    (folder / "id_rsa").chmod(0o600)
    remember_host_key(folder / "known_hosts", ("vm0", "127.0.0.1"), host.public_line)
    write_seed(folder / "seed.iso", Seed("vm0", "iid-0", authorized_keys=(client.public_line,), host_key=host))
    template = Store(store).fetch(ctx, load_catalogue().find("tiny"))
    make_overlay(ctx, folder / "disk.qcow2", template, probe(ctx, template).format)
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = int(probe_socket.getsockname()[1])
    process = subprocess.Popen(qemu(folder, port))
    target = SshTarget("vm0", "127.0.0.1", port, "root", folder / "id_rsa", None, folder / "known_hosts")
    serial = folder / "serial.log"
    try:
        waited_s = wait_ssh(ctx, target, DirectDialer(), deadline_s=BOOT_LIMIT_S, evidence=lambda: look(process, serial))
        yield Guest(process, target, serial, waited_s)
    finally:
        process.kill()
        process.wait(10)


def qemu(folder: Path, port: int) -> list[str]:
    argv = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "256", "-display", "none", "-monitor", "none"]
    argv += ["-serial", f"file:{folder / 'serial.log'}", "-device", "virtio-rng-pci"]
    argv += ["-drive", f"file={folder / 'disk.qcow2'},if=virtio,format=qcow2,cache=unsafe"]
    argv += ["-drive", f"file={folder / 'seed.iso'},if=virtio,format=raw,readonly=on"]
    return [*argv, "-netdev", f"user,id=first,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=first"]


def openssh(target: SshTarget, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(ssh_command(target, (), words, False), input=stdin, capture_output=True, timeout=240, check=False)


def test_a_boot_is_waited_for(guest: Guest) -> None:
    assert 0 < guest.waited_s < BOOT_LIMIT_S


def test_our_client_runs_commands(ctx: TaskContext, guest: Guest) -> None:
    client = connect(ctx, guest.target, DirectDialer(), 30.0)
    try:
        assert run(ctx, client, "hostname; cat; echo err >&2; exit 3", b"from stdin\n") == CommandStatus(3, b"vm0\nfrom stdin\n", b"err\n")
    finally:
        hang_up(client)


def test_our_client_carries_megabytes_both_ways(ctx: TaskContext, guest: Guest) -> None:
    data = bytes(range(256)) * 8192
    client = connect(ctx, guest.target, DirectDialer(), 30.0)
    try:
        assert run(ctx, client, "cat", data, timeout_s=240.0).out == data
    finally:
        hang_up(client)


def test_a_cancel_ends_a_command(ctx: TaskContext, guest: Guest) -> None:
    token = CancelToken()
    with TaskContext.root(Bus(), "test", run_id="cancelled", token=token) as cancellable:
        client = connect(ctx, guest.target, DirectDialer(), 30.0)
        threading.Timer(0.2, token.cancel).start()
        started_s = time.monotonic()
        try:
            with pytest.raises(Cancelled):
                run(cancellable, client, "sleep 60")
        finally:
            hang_up(client)
    assert time.monotonic() - started_s < 30.0


def test_openssh_runs_commands_with_our_arguments(guest: Guest) -> None:
    done = openssh(guest.target, "echo", "$(hostname);", "exit", "5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"vm0\n", b"")


def test_openssh_runs_a_script_with_our_arguments(guest: Guest, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"echo $0 on $(hostname)\n")
    assert openssh(guest.target, str(script), stdin=script.read_bytes()).stdout == b"bash on vm0\n"


def test_a_changed_host_key_is_refused_by_both_clients(ctx: TaskContext, guest: Guest, tmp_path: Path) -> None:
    remember_host_key(tmp_path / "known_hosts", ["vm0"], make_host_key("other").public_line)
    stranger = replace(guest.target, known_hosts=tmp_path / "known_hosts")
    with pytest.raises(HostKeyChanged, match="expected ssh-ed25519 SHA256:"):
        connect(ctx, stranger, DirectDialer(), 30.0)
    assert openssh(stranger, "true").returncode == 255


def test_a_strangers_key_is_refused(ctx: TaskContext, guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "stranger").write_bytes(make_keypair().private_pem)
    with pytest.raises(SshRefused):
        connect(ctx, replace(guest.target, key_file=tmp_path / "stranger"), DirectDialer(), 30.0)


def test_a_machine_that_goes_down_ends_the_wait(ctx: TaskContext, guest: Guest) -> None:
    client = connect(ctx, guest.target, DirectDialer(), 30.0)
    run(ctx, client, "poweroff -f &")
    hang_up(client)
    guest.process.wait(30)
    with pytest.raises(MachineStateError, match="'vm0' is down"):
        wait_ssh(ctx, guest.target, DirectDialer(), deadline_s=BOOT_LIMIT_S, evidence=guest.evidence)
