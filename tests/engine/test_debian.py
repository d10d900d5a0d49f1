"""The Debian template, as far as nothing is installed: where packages come from, and how a root file system is unpacked and laid out."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import TemplateBuildFailed
from engine.images.debian import ENABLED, FILES, GUEST_DIR, LAYOUT, METADATA, TINY_FILES, lay_out
from engine.images.debian_root import Owned, find_mmdebstrap, mmdebstrap_options, parse_sources, unpack
from engine.images.tiny_disk import inode_commands

TARGETS = [
    "Debian|trixie|http://deb.debian.org/debian/|main|$(SIGNED_BY)",
    "Debian|trixie-security|http://mirror/debian-security/|main|/usr/share/keyrings/debian-archive-keyring.gpg",
    "Debian|bookworm|http://deb.debian.org/debian/|main|",
    "Google|trixie|http://dl.google.com/|main|",
]


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


def test_packages_come_from_where_this_machine_has_debian_from() -> None:
    assert parse_sources(TARGETS, "trixie").lines == (
        "deb http://deb.debian.org/debian/ trixie main",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror/debian-security/ trixie-security main",
    )


@pytest.mark.parametrize("codename", [None, "noble"])
def test_elsewhere_they_come_from_debians_own_servers(codename: str | None) -> None:
    sources = parse_sources(TARGETS, codename)
    assert (sources.suite, sources.lines) == ("stable", ())


def test_the_way_of_this_machines_apt_is_taken() -> None:
    assert '--aptopt=Acquire::http::Proxy "http://proxy:3128"' in mmdebstrap_options({"Acquire::http::Proxy": "http://proxy:3128"})


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TemplateBuildFailed, match="'mmdebstrap' is not installed") as raised:
        find_mmdebstrap()
    assert "apt-get install mmdebstrap" in raised.value.hint


def test_without_apt_another_template_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TemplateBuildFailed) as raised:
        find_mmdebstrap()
    assert "debian-13" in raised.value.hint


def archive_of(path: Path, *members: tuple[str, bytes, dict[str, object]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, kind, changes in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            content = b"text" if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            for key, value in changes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_owners_other_than_root_are_noted(ctx: TaskContext, tmp_path: Path) -> None:
    archive = archive_of(
        tmp_path / "a.tar",
        ("./etc", tarfile.DIRTYPE, {}),
        ("./etc/shadow", tarfile.REGTYPE, {"gid": 42, "mode": 0o640}),
        ("./usr", tarfile.DIRTYPE, {}),
        ("./usr/sudo", tarfile.REGTYPE, {"mode": 0o4755}),
        ("./usr/link", tarfile.SYMTYPE, {"linkname": "/etc/shadow"}),
        ("./usr/same", tarfile.LNKTYPE, {"linkname": "./usr/sudo"}),
        ("./dev/null", tarfile.CHRTYPE, {}),
        ("./var", tarfile.DIRTYPE, {"mode": 0o555}),
        ("./var/mail", tarfile.DIRTYPE, {"gid": 8, "mode": 0o2775}),
    )
    root = tmp_path / "root"
    assert unpack(ctx, archive, root) == [Owned("etc/shadow", 0, 42), Owned("var/mail", 0, 8)]
    assert (root / "usr/sudo").stat().st_mode & 0o7777 == 0o4755
    assert (root / "usr/sudo").stat().st_ino == (root / "usr/same").stat().st_ino
    assert (root / "usr/link").readlink() == Path("/etc/shadow")
    assert (root / "var/mail").stat().st_mode & 0o7777 == 0o2775
    assert not (root / "dev/null").exists()
    (root / "var").chmod(0o755)


def test_an_archive_that_leads_out_of_itself_is_refused(ctx: TaskContext, tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", ("../evil", tarfile.REGTYPE, {}))
    with pytest.raises(TemplateBuildFailed, match="outside of it"):
        unpack(ctx, archive, tmp_path / "root")
    assert not (tmp_path / "evil").exists()


def test_the_disk_is_told_whose_each_file_is(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("")
    commands = inode_commands(tmp_path, 7, {"/shadow": (0, 42)})
    assert 'set_inode_field "/shadow" gid 42\n' in commands
    assert 'set_inode_field "/" gid 0\n' in commands


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "root").mkdir(parents=True)
    (root / "etc/ssh").mkdir(parents=True)
    (root / "etc/ssh/ssh_host_rsa_key").write_text("secret")
    (root / "etc/machine-id").write_text("1234")
    lay_out(root)
    return root


def test_nothing_is_the_same_in_two_machines(laid_out: Path) -> None:
    assert (laid_out / "etc/machine-id").read_text() == ""
    assert not list((laid_out / "etc/ssh").glob("ssh_host_*"))


def test_everything_is_in_its_place(laid_out: Path) -> None:
    assert all((laid_out / path).is_file() for path in (*FILES, *TINY_FILES))
    for target, units in ENABLED.items():
        for unit in units:
            assert (laid_out / f"etc/systemd/system/{target}.wants" / unit).is_symlink()
    own = (laid_out / "etc/systemd/system/sysinit.target.wants/lagotui-seed.service").readlink()
    assert own == Path("/etc/systemd/system/lagotui-seed.service")


def test_every_file_of_the_guest_is_used() -> None:
    used = {name for name, _ in FILES.values()} | {"syslinux.cfg"}
    assert {path.name for path in GUEST_DIR.iterdir()} == used


@pytest.mark.parametrize("script", ["seed.sh", "grow-root", "host-keys"])
def test_scripts_are_right_for_the_shell(script: str) -> None:
    subprocess.run(["sh", "-n", GUEST_DIR / script], check=True, timeout=30)


def test_the_label_is_as_long_as_the_initramfs_reads() -> None:
    assert len(LAYOUT.root_label) == 8
    assert re.search(rf"LABEL={LAYOUT.root_label} / ext4", (GUEST_DIR / "fstab").read_text())


def test_it_says_that_it_takes_seeds() -> None:
    assert (METADATA["cloud-init"], METADATA["distro"], METADATA["root-partition"]) == (True, "debian", "/dev/sda2")
