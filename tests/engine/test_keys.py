from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from engine.guest.keys import KeyPair, known_hosts_lines, make_host_key, make_keypair


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return make_keypair(1024 * 2)


def test_client_key_is_traditional_pem(pair: KeyPair) -> None:
    assert pair.private_pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert pair.private_pem.endswith(b"-----END RSA PRIVATE KEY-----\n")
    load_pem_private_key(pair.private_pem, password=None)


def test_public_line_is_one_line_with_a_comment(pair: KeyPair) -> None:
    key_type, data, comment = pair.public_line.split(" ")
    assert (key_type, comment) == ("ssh-rsa", "lagotui")
    assert data.startswith("AAAA")


def test_host_key_is_openssh_ed25519() -> None:
    host_key = make_host_key("vm1")
    load_ssh_private_key(host_key.private_pem, password=None)
    assert host_key.private_pem.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert host_key.public_line.startswith("ssh-ed25519 AAAA")
    assert host_key.public_line.endswith(" vm1")


def test_two_host_keys_differ() -> None:
    assert make_host_key("vm1").private_pem != make_host_key("vm1").private_pem


@pytest.mark.parametrize("make", [make_keypair, lambda: make_host_key("vm1")])
def test_openssh_derives_the_same_public_key(make: object, tmp_path: Path) -> None:
    assert callable(make)
    pair = make()
    file = tmp_path / "key"
    file.touch(stat.S_IRUSR | stat.S_IWUSR)
    file.write_bytes(pair.private_pem)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", file], check=True, capture_output=True, text=True).stdout
    assert derived.split()[:2] == pair.public_line.split()[:2]


def test_known_hosts_has_a_line_for_each_name() -> None:
    lines = known_hosts_lines(["vm1", "192.168.200.2", "vm1"], "ssh-ed25519 AAAA a comment")
    assert lines == ["vm1 ssh-ed25519 AAAA", "192.168.200.2 ssh-ed25519 AAAA"]
