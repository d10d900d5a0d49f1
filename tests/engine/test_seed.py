from __future__ import annotations

import shlex
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from pycdlib import PyCdlib

from engine.guest.keys import make_host_key
from engine.guest.seed import SEED_LABEL, Seed, seed_files, write_seed
from engine.images.tiny_tree import GUEST_DIR

ODD_VALUES = (
    "plain",
    'it\'s "quoted" `here` $(there) ${too}',
    "# no comment: nor a key",
    "- no list",
    "{no: map, [no: list]}",
    "back\\slash \\n and a tab\tand ü 😀 \x85 \u2028 end",
    "two\nlines\n\nand a blank one\n",
    "  spaces at both ends  ",
    "y" * 500 + " " + "z" * 500,
    "|",
    "&anchor *alias !tag %x @y",
    "null",
    "0123",
    "\x07bell and \x7f delete",
)

PARSERS = [["busybox", "awk"], ["mawk"]]


def seed(**values: object) -> Seed:
    return Seed(**{"hostname": "vm1", "instance_id": "iid-1", **values})  # type: ignore[arg-type]


def user_data(of: Seed) -> dict[str, object]:
    loaded = yaml.safe_load(seed_files(of)["user-data"])
    assert isinstance(loaded, dict)
    return loaded


def read_image(path: Path, **where: str) -> bytes:
    iso = PyCdlib()
    iso.open(str(path))
    content = BytesIO()
    iso.get_file_from_iso_fp(content, **where)
    iso.close()
    return content.getvalue()


@pytest.mark.parametrize("names", ["rr_path", "joliet_path"])
def test_image_holds_the_files_under_their_real_names(tmp_path: Path, names: str) -> None:
    one = seed(macs=("54:52:c0:a8:c8:02",))
    write_seed(tmp_path / "seed.iso", one)
    for name, content in seed_files(one).items():
        assert read_image(tmp_path / "seed.iso", **{names: f"/{name}"}) == content


def test_nics_are_taken_in_at_the_first_boot_only_unless_they_changed() -> None:
    assert "updates" not in user_data(seed())
    assert user_data(seed(renew_network=True))["updates"] == {"network": {"when": ["boot-new-instance", "boot"]}}


def test_image_is_labelled_for_cloud_init(tmp_path: Path) -> None:
    write_seed(tmp_path / "seed.iso", seed())
    assert (tmp_path / "seed.iso").read_bytes()[32808:32840].decode().strip() == SEED_LABEL


def test_image_is_for_its_owner_only(tmp_path: Path) -> None:
    write_seed(tmp_path / "seed.iso", seed())
    assert (tmp_path / "seed.iso").stat().st_mode & 0o777 == 0o600


def test_writing_again_replaces_the_image_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_seed(tmp_path / "seed.iso", seed())
    write_seed(tmp_path / "seed.iso", seed(hostname="vm2"))
    assert b"vm2" in read_image(tmp_path / "seed.iso", rr_path="/meta-data")
    assert [file.name for file in tmp_path.iterdir()] == ["seed.iso"]


def test_user_data_says_what_it_is_in_its_first_line() -> None:
    assert seed_files(seed())["user-data"].startswith(b"#cloud-config\n")


def test_root_and_the_ssh_user_get_the_keys() -> None:
    users = user_data(seed(ssh_user="lago", authorized_keys=("ssh-rsa AAAA",)))["users"]
    assert isinstance(users, list)
    assert [(user["name"], user["ssh_authorized_keys"]) for user in users] == [("root", ["ssh-rsa AAAA"]), ("lago", ["ssh-rsa AAAA"])]


def test_root_as_the_ssh_user_is_named_once() -> None:
    users = user_data(seed())["users"]
    assert isinstance(users, list)
    assert [user["name"] for user in users] == ["root"]


def test_there_is_no_password_unless_one_is_given() -> None:
    data = user_data(seed())
    assert "chpasswd" not in data
    assert data["ssh_pwauth"] is False
    assert user_data(seed(root_password="x"))["chpasswd"] == {
        "expire": False,
        "users": [{"name": "root", "password": "x", "type": "text"}],
    }


def test_host_key_is_ours_alone() -> None:
    host_key = make_host_key("vm1")
    data = user_data(seed(host_key=host_key))
    assert data["ssh_keys"] == {"ed25519_private": host_key.private_pem.decode(), "ed25519_public": host_key.public_line}
    assert data["ssh_deletekeys"] is True


def test_every_nic_asks_dhcp_and_only_the_first_is_waited_for() -> None:
    config = yaml.safe_load(seed_files(seed(macs=("54:52:C0:A8:C8:02", "54:52:c0:a8:c9:02")))["network-config"])
    first, second = config["ethernets"].values()
    assert first == {"match": {"macaddress": "54:52:c0:a8:c8:02"}, "dhcp4": True}
    assert second["dhcp4"] is True
    assert second["optional"] is True


def test_fqdn_has_the_domain_when_there_is_one() -> None:
    assert user_data(seed(domain="lago.local"))["fqdn"] == "vm1.lago.local"
    assert user_data(seed())["fqdn"] == "vm1"


@pytest.mark.parametrize("value", ODD_VALUES)
def test_yaml_readers_get_odd_values_back(value: str) -> None:
    data = user_data(seed(root_password=value, runcmd=(value, ("echo", value))))
    assert data["runcmd"] == [value, ["echo", value]]
    assert data["chpasswd"]["users"][0]["password"] == value  # type: ignore[index]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser[0])
def parser(request: pytest.FixtureRequest) -> list[str]:
    argv: list[str] = request.param
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not here")
    return argv


def guest_calls(parser: list[str], tmp_path: Path, user: bytes, meta: bytes = b"instance-id: i\n") -> list[list[str]]:
    """Run the guest's own reader; return the calls that it prints, in words."""
    (tmp_path / "meta-data").write_bytes(meta)
    (tmp_path / "user-data").write_bytes(user)
    argv: list[str | Path] = [*parser, "-f", GUEST_DIR / "seed.awk", tmp_path / "meta-data", tmp_path / "user-data"]
    printed = subprocess.run(argv, check=True, capture_output=True, timeout=20, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout
    words = shlex.split(printed.decode().replace("\nseed_", "\n; seed_"))
    calls: list[list[str]] = [[]]
    for word in words:
        calls.append([]) if word == ";" else calls[-1].append(word)
    return calls


@pytest.mark.parametrize("value", ODD_VALUES)
def test_guest_gets_odd_values_back(parser: list[str], tmp_path: Path, value: str) -> None:
    files = seed_files(seed(root_password="p", runcmd=(("echo", value),)))
    calls = guest_calls(parser, tmp_path, files["user-data"], files["meta-data"])
    script = next(call[1] for call in calls if call[0] == "seed_runcmd")
    assert shlex.split(script) == ["echo", value]


def test_guest_takes_name_keys_and_host_key(parser: list[str], tmp_path: Path) -> None:
    host_key = make_host_key("vm1")
    one = seed(domain="lago.local", ssh_user="lago", authorized_keys=("ssh-rsa AAAA x",), host_key=host_key)
    files = seed_files(one)
    calls = guest_calls(parser, tmp_path, files["user-data"], files["meta-data"])
    assert ["seed_hostname", "vm1", "vm1.lago.local"] in calls
    assert ["seed_user", "lago", "/bin/bash"] in calls
    assert ["seed_authorized_key", "root", "ssh-rsa AAAA x"] in calls
    assert ["seed_authorized_key", "lago", "ssh-rsa AAAA x"] in calls
    assert ["seed_host_key", "ed25519", host_key.private_pem.decode().rstrip()] in calls
    assert ["seed_ssh_passwords", "false"] in calls


HAND_WRITTEN = rb"""#cloud-config
# as people write them
hostname: 'it''s'
users:
  - default
  - name: bob
    ssh_authorized_keys: [ "ssh-rsa AAA b@c", ssh-ed25519 BBB d ]
    plain_text_passwd: p#w d # comment
  - {name: eve, shell: /bin/sh, ssh_authorized_keys: [
     "k1",
     k2 ]}
ssh_pwauth: yes
write_files:
- path: /etc/x
  content: |
    a 'b'
      c

    d
  permissions: '0755'
- path: /etc/y
  content: aGk=
  encoding: b64
chpasswd:
  list: |
    root:secret
    bob:$6$abc$def
runcmd:
- [ ls, -l, "/a b" ]
- "echo \"q\" \u00fc \ud83d\ude00 $HOME"
- - touch
  - /tmp/x y
- |
  if true; then
    echo multi
  fi
- echo long
  continued
"""


@pytest.mark.parametrize(
    "call",
    [
        ["seed_hostname", "its", ""],
        ["seed_user", "bob", "/bin/bash"],
        ["seed_user", "eve", "/bin/sh"],
        ["seed_authorized_key", "bob", "ssh-rsa AAA b@c"],
        ["seed_authorized_key", "bob", "ssh-ed25519 BBB d"],
        ["seed_authorized_key", "eve", "k1"],
        ["seed_authorized_key", "eve", "k2"],
        ["seed_password", "bob", "text", "p#w d"],
        ["seed_password", "root", "text", "secret"],
        ["seed_password", "bob", "hash", "$6$abc$def"],
        ["seed_ssh_passwords", "true"],
        ["seed_file", "/etc/x", "0755", "plain", "write", "a 'b'\n  c\n\nd\n"],
        ["seed_file", "/etc/y", "0644", "base64", "write", "aGk="],
        [
            "seed_runcmd",
            "'ls' '-l' '/a b'\necho \"q\" ü 😀 $HOME\n'touch' '/tmp/x y'\nif true; then\n  echo multi\nfi\n\necho long continued\n",
        ],
    ],
    ids=lambda call: "-".join(call[:2]),
)
def test_guest_reads_hand_written_seeds(parser: list[str], tmp_path: Path, call: list[str]) -> None:
    assert call in guest_calls(parser, tmp_path, HAND_WRITTEN)


@pytest.mark.parametrize(
    "user",
    [
        b'#cloud-config\n{"hostname": "vm1", "runcmd": [["a", "b c"]]}\n',
        b"#cloud-config\r\nhostname: vm1\r\nruncmd:\r\n  - [a, 'b c']\r\n",
    ],
    ids=["json", "crlf"],
)
def test_guest_reads_other_notations(parser: list[str], tmp_path: Path, user: bytes) -> None:
    calls = guest_calls(parser, tmp_path, user)
    assert ["seed_hostname", "vm1", ""] in calls
    assert ["seed_runcmd", "'a' 'b c'\n"] in calls


@pytest.mark.parametrize(
    "broken",
    [b"", b"#cloud-config\n", b"#cloud-config\nusers: [", b'#cloud-config\nhostname: "x', b"#cloud-config\n- - - -\n", b"\0\xff\n"],
)
def test_guest_ends_on_broken_seeds_with_root_alone(parser: list[str], tmp_path: Path, broken: bytes) -> None:
    calls = guest_calls(parser, tmp_path, broken)
    assert ["seed_user", "root", "/bin/bash"] in calls


@pytest.mark.parametrize("name", ["a:b", "../x", "-x", "a b", "x\ny", ""])
def test_guest_makes_no_user_of_an_impossible_name(parser: list[str], tmp_path: Path, name: str) -> None:
    calls = guest_calls(parser, tmp_path, seed_files(seed(ssh_user=name))["user-data"])
    assert [call[1] for call in calls if call[0] == "seed_user"] == ["root"]
