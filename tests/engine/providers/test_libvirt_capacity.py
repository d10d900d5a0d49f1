from __future__ import annotations

import os
import pwd
import shlex
import struct
from pathlib import Path

import pytest

from engine.providers.libvirt.capacity import command_to_let_in, qemu_user, subnets_in_routes

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
virbr0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
lt24d6ae9e2224\t00C8A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_routes_are_told_as_networks_without_the_default_route() -> None:
    assert subnets_in_routes(ROUTES, frozenset()) == {"192.0.2.0/24", "192.168.122.0/24", "192.168.0.0/16", "192.168.200.0/24"}


def test_our_own_bridges_are_not_in_the_way() -> None:
    assert "192.168.200.0/24" not in subnets_in_routes(ROUTES, frozenset({"lt24d6ae9e2224"}))


@pytest.fixture
def nobody() -> str:
    if os.geteuid() == pwd.getpwnam("nobody").pw_uid:
        pytest.skip("runs as nobody")
    return "nobody"


def closed_below(top: Path, command: str) -> list[str]:
    """Return the folders that a command opens, without those above `top`: they are the machine's."""
    return [word for word in shlex.split(command) if word.startswith(f"{top}/")]


def test_folder_that_all_may_pass_is_left_alone(tmp_path: Path, nobody: str) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert closed_below(tmp_path, command_to_let_in(tmp_path / "open", nobody)) == []


def test_command_names_each_closed_folder(tmp_path: Path, nobody: str) -> None:
    inner = tmp_path / "home" / "my images"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    inner.chmod(0o700)
    assert closed_below(tmp_path, command_to_let_in(inner, nobody)) == [str(inner.parent), str(inner)]


def test_command_gives_only_the_right_to_pass(tmp_path: Path, nobody: str) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    assert command_to_let_in(tmp_path / "home", nobody).startswith("setfacl -m u:nobody:x ")


def test_folders_that_are_not_made_yet_do_not_count(tmp_path: Path, nobody: str) -> None:
    assert closed_below(tmp_path, command_to_let_in(tmp_path / "not" / "yet", nobody)) == []


def test_user_named_in_the_acl_may_pass(tmp_path: Path, nobody: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    no_id, uid = 0xFFFFFFFF, pwd.getpwnam(nobody).pw_uid
    entries = [(0x01, 7, no_id), (0x02, 1, uid), (0x04, 0, no_id), (0x10, 1, no_id), (0x20, 0, no_id)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(closed, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("the temporary folder's file system has no ACLs")
    assert closed_below(tmp_path, command_to_let_in(closed, nobody)) == []


@pytest.mark.parametrize("user", ["root", "no-such-user", ""])
def test_root_and_unknown_users_need_no_command(user: str, tmp_path: Path) -> None:
    assert command_to_let_in(tmp_path, user) == ""


@pytest.mark.parametrize(("line", "user"), [('user = "qemu"', "qemu"), ('user = "+107"', "107")])
def test_qemu_user_is_what_the_configuration_says(line: str, user: str, tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text(f'# user = "root"\n{line}\n')
    assert qemu_user(conf) == user
