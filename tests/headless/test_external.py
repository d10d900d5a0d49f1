"""Machines that exist already, reached by ssh: a server of our own stands for them, alone and beside machines of a host in memory."""

from __future__ import annotations

import getpass
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.config import load_settings
from engine.errors import MachineStateError
from engine.state.prefix import Prefix
from engine.tasks.targets import wait_until_ssh_answers
from tests.engine.guest.conftest import Sshd, make_sshd, unused_port
from tests.headless.terminal_user import Lago

__all__ = ["make_sshd", "unused_port"]

BESIDE = """
  vm0:
    memory: 64
    disks: [{name: root, type: empty, dev: vda, size: 1M, format: qcow2}]
    nics: [{net: lan}]
nets:
  lan: {type: nat, management: true, gw: 192.168.210.1}
"""


@pytest.fixture(scope="module")
def sshd(make_sshd: Callable[[], Sshd]) -> Iterator[Sshd]:
    server = make_sshd()
    with server.running(sftp=True):
        yield server


@pytest.fixture
def user(lago: Lago) -> Lago:
    """A user whose waits are real: there is somebody to wait for."""
    lago.wait_ready = wait_until_ssh_answers
    return lago


def external(port: int, key: Path, boot_time_s: int = 20) -> str:
    return f"""
domains:
  there:
    vm-provider: ssh
    ssh-user: {getpass.getuser()}
    boot_time_sec: {boot_time_s}
    groups: [outside]
    ssh: {{address: 127.0.0.1, port: {port}, keys: ["{key}"]}}
"""


@pytest.fixture
def alone(user: Lago, sshd: Sshd) -> Lago:
    """The same user, with an environment of the one machine that exists already."""
    Path("LagoInitFile").write_text(external(sshd.port, sshd.folder / "id_rsa"))
    assert user("up").code == 0
    return user


@pytest.fixture
def mixed(user: Lago, sshd: Sshd) -> Lago:
    Path("LagoInitFile").write_text(external(sshd.port, sshd.folder / "id_rsa") + BESIDE.lstrip("\n"))
    assert user("init").code == 0
    return user


def states(lago: Lago) -> dict[str, str]:
    machines = json.loads(lago("-f", "json", "status").out)["Prefix"]["VMs"]
    return {name: machine["status"] for name, machine in machines.items()}


def test_it_runs_while_its_ssh_answers(alone: Lago) -> None:
    assert states(alone) == {"there": "running"}


def test_it_is_down_when_its_ssh_does_not_answer(user: Lago, sshd: Sshd, unused_port: int) -> None:
    Path("LagoInitFile").write_text(external(unused_port, sshd.folder / "id_rsa"))
    assert user("init").code == 0
    assert states(user) == {"there": "down"}


def test_a_start_that_waits_in_vain_says_what_to_do(user: Lago, sshd: Sshd, unused_port: int) -> None:
    Path("LagoInitFile").write_text(external(unused_port, sshd.folder / "id_rsa", boot_time_s=1))
    assert user("init").code == 0
    outcome = user("start")
    assert outcome.code == 2 and "did not answer ssh within 1 s" in outcome.err and "switch it on" in outcome.err


def test_files_go_there_and_come_back(alone: Lago, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("some words\n")
    there, back = tmp_path / "there", tmp_path / "back"
    outcomes = [alone("copy-to-vm", "there", str(tmp_path / "words"), str(there)), alone("copy-from-vm", "there", str(there), str(back))]
    assert [(each.code, each.err) for each in outcomes if each.code] == []
    assert back.read_text() == "some words\n"


def test_its_deploy_scripts_are_run(user: Lago, sshd: Sshd, tmp_path: Path) -> None:
    Path("deploy.sh").write_text(f"touch {tmp_path}/deployed\n")
    scripts = "    metadata: {deploy-scripts: [deploy.sh]}\n"
    Path("LagoInitFile").write_text(external(sshd.port, sshd.folder / "id_rsa") + scripts)
    assert user("up").code == 0
    outcome = user("deploy")
    assert (tmp_path / "deployed").exists(), outcome.err


def test_its_host_key_is_recorded_on_first_contact(alone: Lago, sshd: Sshd) -> None:
    recorded = Path(".lago/default/known_hosts").read_text()
    assert (sshd.folder / "known_hosts").read_text().split()[2] in recorded


def test_a_stop_leaves_it_as_it_is_and_says_so(alone: Lago) -> None:
    outcome = alone("stop")
    assert outcome.code == 0 and "'there' is left as it is" in outcome.err
    assert states(alone) == {"there": "running"}


def test_a_destroy_loses_nothing_of_it(alone: Lago) -> None:
    outcome = alone("destroy", "-y")
    assert outcome.code == 0 and not Path(".lago").exists()


def test_it_has_no_snapshots_and_the_others_can_be_named(mixed: Lago) -> None:
    outcome = mixed("snapshot", "before")
    assert outcome.code == 2
    assert "machine 'there' exists without lagotui" in outcome.err and "vm0" in outcome.err
    assert "before" not in mixed("snapshot", "--list").out


def test_it_has_no_console(alone: Lago) -> None:
    engine = alone.open_engine(load_settings({}))
    with pytest.raises(MachineStateError, match="has no console here"):
        engine.console(Prefix.at(Path(".lago/default")), "there")


def test_beside_machines_of_a_host_each_has_its_own_state(mixed: Lago) -> None:
    assert states(mixed) == {"there": "running", "vm0": "down"}


def test_it_needs_no_host(alone: Lago) -> None:
    assert json.loads(Path(".lago/default/metadata").read_text())["lagotui_host"] == "ssh"


def test_it_is_in_the_inventory_with_its_port_and_key(alone: Lago, sshd: Sshd) -> None:
    variables = json.loads(alone("ansible_hosts", "--host", "there").out)
    assert (variables["ansible_host"], variables["ansible_port"]) == ("127.0.0.1", sshd.port)
    assert variables["ansible_ssh_private_key_file"] == str(sshd.folder / "id_rsa")
    assert "[outside]" in alone("ansible_hosts").out


def test_ssh_finds_it_by_name(alone: Lago, tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("no OpenSSH here")
    config = tmp_path / "ssh.conf"
    assert alone("ssh-config", "--output", str(config)).code == 0
    done = subprocess.run(["ssh", "-F", config, "there", "echo", "hello"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_a_port_of_it_is_forwarded_until_the_program_is_told_to_end(alone: Lago, sshd: Sshd, unused_port: int) -> None:
    heard: list[bytes] = []
    user_thread = threading.get_ident()

    def connect_then_end() -> None:
        while not heard:
            with suppress(OSError), socket.create_connection(("127.0.0.1", unused_port), timeout=1) as client:
                heard.append(client.recv(4))
        signal.pthread_kill(user_thread, signal.SIGINT)

    threading.Thread(target=connect_then_end, daemon=True).start()
    outcome = alone("forward", "there", f"{unused_port}:{sshd.port}")
    assert (outcome.code, outcome.out, heard) == (0, f"127.0.0.1:{unused_port}: there:{sshd.port}\n", [b"SSH-"])


def test_a_port_of_a_machine_that_is_down_is_not_forwarded(mixed: Lago) -> None:
    outcome = mixed("forward", "vm0", "0:80")
    assert outcome.code == 2 and "machine 'vm0' is down" in outcome.err


def test_a_changed_way_to_it_counts_from_the_next_up(alone: Lago, sshd: Sshd) -> None:
    text = external(sshd.port, sshd.folder / "id_rsa").replace("127.0.0.1", "localhost")
    Path("LagoInitFile").write_text(text)
    assert json.loads(alone("-f", "json", "plan").out)["changes"][0]["fate"] == "change"
    assert alone("up").code == 0
    assert "HostName localhost" in alone("ssh-config").out


def test_a_net_that_becomes_isolated_is_made_so_by_the_next_up(mixed: Lago) -> None:
    file = Path("LagoInitFile")
    file.write_text(file.read_text().replace("gw: 192.168.210.1", "gw: 192.168.210.1, isolated: true"))
    mixed.wait_ready = lambda ctx, scope, machine: None  # the machine in memory has no ssh
    assert mixed("up").code == 0
    assert json.loads(Path(".lago/default/virt/net-lan").read_text())["isolated"] is True


def test_plan_shows_it_and_asks_for_no_memory(user: Lago, sshd: Sshd) -> None:
    Path("LagoInitFile").write_text(external(sshd.port, sshd.folder / "id_rsa"))
    data = json.loads(user("-f", "json", "plan").out)
    assert data["memory_mib"]["needed"] == 0
