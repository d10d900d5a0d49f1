"""What other programs are told of the machines: ssh_config and Ansible inventories."""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.headless.terminal_user import Lago

PREFIX = ".lago/default"


def resolved(config: Path, host: str) -> dict[str, str]:
    """Return what OpenSSH makes of a configuration for a host."""
    if shutil.which("ssh") is None:
        pytest.skip("no OpenSSH here")
    done = subprocess.run(["ssh", "-G", "-F", config, host], capture_output=True, text=True, timeout=20, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_config_names_every_machine(made: Lago) -> None:
    outcome = made("ssh-config")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line for line in outcome.out.splitlines() if line.startswith("Host ")] == ["Host vm0", "Host web-vm1"]


def test_ssh_config_is_what_openssh_reads(made: Lago, tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "ssh.conf"
    path.parent.mkdir()
    assert made("ssh-config", "vm0", "--output", str(path)).code == 0
    options = resolved(path, "vm0")
    assert (options["hostname"], options["user"], options["port"]) == ("192.168.210.2", "root", "22")
    assert options["hostkeyalias"] == "vm0"
    assert options["identityfile"] == str(Path(PREFIX).absolute() / "id_rsa")
    assert options["userknownhostsfile"] == str(Path(PREFIX).absolute() / "known_hosts")


def test_a_file_of_ssh_config_is_for_its_owner_only_and_replaces_what_was_there(made: Lago, tmp_path: Path) -> None:
    path = tmp_path / "ssh.conf"
    path.write_text("old")
    outcome = made("ssh-config", "-o", str(path))
    assert outcome.out == "" and "Host vm0" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_ssh_config_that_cannot_be_written_is_an_error_with_the_next_step(made: Lago) -> None:
    outcome = made("ssh-config", "-o", "nowhere/ssh.conf")
    assert outcome.code == 2
    assert outcome.err.endswith("choose another with --output\n")


def test_ssh_config_of_a_machine_that_is_not_there_is_refused(made: Lago) -> None:
    outcome = made("ssh-config", "vm7")
    assert (outcome.code, outcome.out) == (2, "") and "no machine 'vm7'" in outcome.err


def test_a_file_that_cannot_be_written_is_said(made: Lago, tmp_path: Path) -> None:
    outcome = made("ssh-config", "-o", str(tmp_path / "nowhere" / "ssh.conf"))
    assert outcome.code != 0 and "nowhere" in outcome.err


def test_an_inventory_begins_each_line_as_the_predecessor_did(made: Lago) -> None:
    lines = made("ansible_hosts").out.splitlines()
    key = Path(PREFIX).absolute() / "id_rsa"
    start = f"vm0 ansible_host=192.168.210.2 ansible_ssh_private_key_file={key} "
    assert lines[0] == "[vm-type=default]" and lines[1].startswith(start)
    assert [line for line in lines if line.startswith("[")] == ["[vm-type=default]", "[vm-provider=local-libvirt]"]


def test_an_inventory_is_grouped_by_the_keys_that_are_given(made: Lago) -> None:
    lines = made("ansible_hosts", "--keys", "disks/0/name", "nothing").out.splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[disks/0/name=root]"]


def test_ansible_checks_host_keys_by_the_machines_names(made: Lago) -> None:
    arguments = json.loads(made("ansible_hosts", "--host", "vm0").out)["ansible_ssh_common_args"]
    assert "HostKeyAlias=vm0" in shlex.split(arguments)
    assert f"UserKnownHostsFile={Path(PREFIX).absolute() / 'known_hosts'}" in shlex.split(arguments)


def test_ansible_is_answered_as_by_a_program(made: Lago) -> None:
    data = json.loads(made("ansible_hosts", "--list").out)
    assert data["all"]["hosts"] == ["vm0", "web-vm1"]
    assert data["_meta"]["hostvars"]["vm0"] == json.loads(made("ansible_hosts", "--host", "vm0").out)


def test_ansible_is_told_of_an_unknown_machine(made: Lago) -> None:
    outcome = made("ansible_hosts", "--host", "vm7")
    assert (outcome.code, outcome.out) == (2, "")
