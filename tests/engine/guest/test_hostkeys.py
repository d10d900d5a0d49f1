"""The known_hosts file of a prefix."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from engine.errors import PrefixDamaged
from engine.guest.hostkeys import HostKey, host_keys_of, remember_host_key

ONE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmTOHAqAz8DkSUSGVI7QdvhcmN7MC2vvhDfdzKgqVdz"
TWO = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM3HpJ0NGNGJpxLSHcYmKf5DPZ6XQ9jXfQFkEBn5hA1u"


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def test_a_key_is_found_under_each_name(known_hosts: Path) -> None:
    remember_host_key(known_hosts, ("vm0", "192.168.200.2"), f"{ONE} comment")
    assert [host_keys_of(known_hosts, name) for name in ("vm0", "192.168.200.2")] == [(HostKey(*ONE.split()),)] * 2


def test_a_name_nobody_recorded_has_no_key(known_hosts: Path) -> None:
    remember_host_key(known_hosts, ("vm0",), ONE)
    assert host_keys_of(known_hosts, "vm") == ()


def test_a_new_key_replaces_the_old_one(known_hosts: Path) -> None:
    remember_host_key(known_hosts, ("vm0", "192.168.200.2"), ONE)
    remember_host_key(known_hosts, ("vm0", "192.168.200.2"), TWO)
    assert known_hosts.read_text() == f"vm0 {TWO}\n192.168.200.2 {TWO}\n"


def test_lines_of_others_stay(known_hosts: Path) -> None:
    known_hosts.write_text(f"# mine\nvm1,vm1.lago.local {ONE}\n")
    remember_host_key(known_hosts, ("vm0",), TWO)
    assert known_hosts.read_text() == f"# mine\nvm1,vm1.lago.local {ONE}\nvm0 {TWO}\n"


def test_machines_recorded_at_once_are_all_there(known_hosts: Path) -> None:
    names = [f"vm{number}" for number in range(16)]
    threads = [threading.Thread(target=remember_host_key, args=(known_hosts, (name,), ONE)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name in names if not host_keys_of(known_hosts, name)] == []


def test_the_fingerprint_is_the_one_ssh_keygen_prints(tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text(ONE)
    printed = subprocess.run(["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True, timeout=10).stdout
    assert printed.split()[1] == HostKey(*ONE.split()).fingerprint


def test_a_file_that_cannot_be_read_is_named(known_hosts: Path) -> None:
    known_hosts.write_bytes(b"\xff\xfe")
    with pytest.raises(PrefixDamaged, match="known_hosts"):
        host_keys_of(known_hosts, "vm0")
