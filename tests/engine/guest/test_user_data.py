"""What the init file says to cloud-init, merged into what every seed says."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from engine.guest.keys import make_host_key
from engine.guest.seed import Seed, seed_files

OUR_KEY = "ssh-rsa AAAA ours"


def told(user_data: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return the `#cloud-config` of a seed with the user's part in it."""
    seed = Seed(**{"hostname": "vm1", "instance_id": "iid-1", "authorized_keys": (OUR_KEY,), "user_data": user_data, **values})
    loaded = yaml.safe_load(seed_files(seed)["user-data"])
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("key", ["hostname", "fqdn", "disable_root", "prefer_fqdn_over_hostname"])
def test_the_name_and_the_login_are_ours(key: str) -> None:
    assert told({key: "theirs"})[key] == told({})[key]


def test_host_keys_are_ours_as_a_whole() -> None:
    key = make_host_key("vm1")
    told_keys = told({"ssh_keys": {"rsa_private": "theirs"}, "ssh_deletekeys": False}, host_key=key)
    assert told_keys["ssh_keys"] == {"ed25519_private": key.private_pem.decode(), "ed25519_public": key.public_line}
    assert told_keys["ssh_deletekeys"] is True


def test_what_we_do_not_speak_of_is_theirs() -> None:
    said = {"packages": ["vim"], "package_update": True, "write_files": [{"path": "/x", "content": "y"}], "timezone": "UTC"}
    assert said.items() <= told(said).items()


def test_lists_are_joined_ours_first() -> None:
    assert told({"runcmd": ["theirs", ["a", "b c"]]}, runcmd=("ours",))["runcmd"] == ["ours", "theirs", ["a", "b c"]]


def test_a_user_of_both_is_theirs_with_our_key_first() -> None:
    users = told({"users": [{"name": "root", "shell": "/bin/zsh", "ssh_authorized_keys": ["ssh-rsa BBBB", OUR_KEY]}]})["users"]
    assert users == [{"name": "root", "lock_passwd": True, "ssh_authorized_keys": [OUR_KEY, "ssh-rsa BBBB"], "shell": "/bin/zsh"}]


@pytest.mark.parametrize("key", ["ssh_authorized_keys", "users"])
def test_a_list_of_one_may_stand_without_brackets(key: str) -> None:
    user = {"name": "root", "ssh_authorized_keys": "ssh-rsa BBBB"}
    said: Any = {"users": user} if key == "users" else {"users": [user]}
    assert told(said)["users"][0]["ssh_authorized_keys"] == [OUR_KEY, "ssh-rsa BBBB"]


def test_further_users_follow_ours() -> None:
    users = told({"users": ["default", {"name": "ann"}, "root"]}, ssh_user="lago")["users"]
    assert [user if isinstance(user, str) else user["name"] for user in users] == ["root", "lago", "default", "ann"]


def test_the_init_files_own_password_wins() -> None:
    said = {"chpasswd": {"expire": True, "users": [{"name": "root", "password": "theirs"}, {"name": "ann", "password": "x"}]}}
    passwords = told(said, root_password="ours")["chpasswd"]
    assert passwords == {
        "expire": True,
        "users": [{"name": "root", "password": "ours", "type": "text"}, {"name": "ann", "password": "x"}],
    }


@pytest.mark.parametrize(("ours", "theirs", "told_so"), [(True, False, True), (False, True, True), (False, False, False)])
def test_password_logins_are_on_when_either_wants_them(ours: bool, theirs: bool, told_so: bool) -> None:
    assert told({"ssh_pwauth": theirs}, ssh_password=ours)["ssh_pwauth"] is told_so


def test_a_default_of_ours_gives_way() -> None:
    assert told({"manage_etc_hosts": False})["manage_etc_hosts"] is False


def test_the_network_config_takes_the_place_of_ours() -> None:
    config = {"version": 2, "ethernets": {"eth0": {"dhcp4": True}}}
    seed = Seed("vm1", "iid-1", macs=("54:52:c0:a8:c8:02",), network_config=config)
    assert yaml.safe_load(seed_files(seed)["network-config"]) == config


def test_a_part_that_is_used_twice_is_written_out_twice() -> None:
    shared = {"path": "/x", "content": "y"}
    seed = Seed("vm1", "iid-1", user_data={"write_files": [shared, shared]})
    assert b"&id" not in seed_files(seed)["user-data"]
