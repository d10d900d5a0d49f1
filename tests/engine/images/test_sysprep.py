"""What each distribution is told from outside: command lines and command files, word for word."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from engine.images.guestfs import line_of
from engine.images.sysprep import PLACEHOLDER, GuestFacts, Shared, Told, machine_commands, machine_files, sysprep_options

GOLDEN = Path(__file__).parent / "golden"
DISTROS = ("base", "el6", "el7", "fc24", "fc26", "debian", "cirros")
FACTS = GuestFacts(
    mounts=(("/dev/sda2", "/", "xfs"), ("/dev/sda1", "/boot", "ext4"), ("/dev/sda3", "/root", "ext4")),
    named={"/etc/hostname": f"{PLACEHOLDER}\n", "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {PLACEHOLDER}\n"},
    passwd="root:x:0:0:root:/root:/bin/bash\njoe:x:1001:1002::/srv/joe:/bin/bash\n",
)
TOLD = Told(
    "vm0", "base", "ssh-rsa AAAA lagotui", ("54:52:c0:a8:c8:02", "54:52:c0:a8:c9:02"), host_key=("PRIVATE\n", "ssh-ed25519 BBBB vm0")
)


def golden(name: str, text: str) -> None:
    """Compare with what was found right; a file that is not there is written, to be looked at."""
    path = GOLDEN / name
    if not path.exists():
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("distro", DISTROS)
def test_shared_part(distro: str) -> None:
    options = sysprep_options(Shared(distro, nics=2))
    golden(f"sysprep-{distro}.txt", "".join(f"{word}\n" for word in options))


@pytest.mark.parametrize("distro", DISTROS)
def test_part_of_a_machine(distro: str) -> None:
    commands = machine_commands(replace(TOLD, distro=distro), FACTS, "/dev/sdb")
    golden(f"guestfish-{distro}.txt", "".join(f"{line_of(words)}\n" for words in commands))


@pytest.mark.parametrize("distro", [None, "", "fc28", "ubuntu16.04", "base; reboot"])
def test_a_distribution_that_is_not_known_is_as_any(distro: str | None) -> None:
    assert sysprep_options(Shared(distro or "")) == sysprep_options(Shared("base"))
    assert machine_files(replace(TOLD, distro=distro), FACTS) == machine_files(TOLD, FACTS)


def test_without_a_password_root_has_none() -> None:
    assert "--root-password" not in sysprep_options(Shared("base"))


def test_a_password_is_handed_over_in_a_file() -> None:
    assert sysprep_options(Shared("base", has_root_password=True), "/tmp/x")[2:4] == ["--root-password", "file:/tmp/x"]


@pytest.mark.parametrize("distro", DISTROS)
def test_every_file_of_a_machine_is_there_before_labels_are_set(distro: str) -> None:
    """Else SELinux would find files that nobody has labelled."""
    options = sysprep_options(Shared(distro, nics=2))
    made = {option for flag, option in pairwise(options) if flag == "--touch"}
    assert set(machine_files(replace(TOLD, distro=distro), FACTS)) - set(FACTS.named) <= made
    assert options[-1] == "--selinux-relabel"


def test_only_what_the_files_are_on_is_mounted() -> None:
    mounts = [words for words in machine_commands(TOLD, FACTS, "/dev/sdc") if words[0] == "mount-options"]
    assert mounts == [["mount-options", "nouuid", "/dev/sdc2", "/"], ["mount-options", "", "/dev/sdc3", "/root"]]


def test_another_user_gets_the_key_too() -> None:
    commands = machine_commands(replace(TOLD, ssh_user="joe"), FACTS, None)
    assert ["write", "/srv/joe/.ssh/authorized_keys", "ssh-rsa AAAA lagotui\n"] in commands
    assert ["chown", "1001", "1002", "/srv/joe/.ssh/authorized_keys"] in commands


@pytest.mark.parametrize("name", ["", "joe; reboot", "$(reboot)", "a b", "-x", "Joe", "joe\n"])
def test_what_is_no_name_of_a_user_reaches_no_shell(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a user"):
        sysprep_options(Shared("base", ssh_user=name))


@pytest.mark.parametrize(
    ("mounts", "mixes"),
    [
        ((("/dev/sda1", "/", "ext4"),), True),
        ((("/dev/sda", "/", "xfs"),), True),
        ((("/dev/sda2", "/", "btrfs"),), False),
        ((("/dev/vg0/root", "/", "ext4"),), False),
        ((("/dev/sda1", "/", "ext4"), ("/dev/mapper/luks", "/root", "ext4")), False),
        ((), False),
    ],
)
def test_disks_that_name_their_volumes_by_an_id_are_not_mixed(mounts: tuple[tuple[str, str, str], ...], mixes: bool) -> None:
    assert GuestFacts(mounts).mixes is mixes
