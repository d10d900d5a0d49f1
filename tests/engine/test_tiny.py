from __future__ import annotations

import gzip
import lzma
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import TemplateBuildFailed
from engine.images.tiny_disk import Partition, inode_commands, master_boot_record
from engine.images.tiny_initramfs import KernelModules, initramfs, module_depends
from engine.images.tiny_packages import parse_packages
from engine.images.tiny_tools import find_tools
from engine.images.tiny_tree import GUEST_DIR, GUEST_FILES, Tree

SHOWN = """\
Package: openssh-client
Version: 1:9.2p1-2
Architecture: amd64
Section: net
Size: 993532
Depends: adduser, libc6 (>= 2.36), default-x | libx11-6:any, zlib1g (>= 1:1.1.4)
Description: client
 with Depends: in its text

Package: libc6
Version: 2.36-9
Architecture: amd64
Section: libs

Package: libc6
Version: 2.35
Architecture: amd64
"""


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="test") as context:
        yield context


def test_missing_programs_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    for name in ("apt-cache", "apt-get", "dpkg-deb", "mke2fs", "debugfs", "qemu-img", "syslinux"):
        (tmp_path / name).touch(0o755)
    with pytest.raises(TemplateBuildFailed, match=r"'mformat', 'mcopy'.* not installed") as failure:
        find_tools(str(tmp_path))
    assert failure.value.hint.startswith("sudo apt-get install mtools")


def test_machine_without_apt_is_told_to_build_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(TemplateBuildFailed, match="Debian packages") as failure:
        find_tools(str(tmp_path))
    assert "template repository" in failure.value.hint


def test_packages_are_read_with_their_alternatives() -> None:
    client = parse_packages(SHOWN)["openssh-client"]
    assert client.depends == (("adduser",), ("libc6",), ("default-x", "libx11-6"), ("zlib1g",))
    assert (client.section, client.size_bytes) == ("net", 993532)


def test_package_file_is_named_as_apt_names_it() -> None:
    assert parse_packages(SHOWN)["openssh-client"].file_name == "openssh-client_1%3a9.2p1-2_amd64.deb"


def test_first_version_of_a_package_counts() -> None:
    assert parse_packages(SHOWN)["libc6"].version == "2.36-9"


def fake_module(folder: Path, name: str, depends: str) -> bytes:
    code = b"\x7fELF license=GPL\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0"
    (folder / f"{name}.ko").write_bytes(code)
    return code


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    modules = tmp_path / "lib/modules/6.1.0"
    (modules / "kernel").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1.0").touch()
    (modules / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    fake_module(modules / "kernel", "virtio", "")
    fake_module(modules / "kernel", "virtio-pci", "virtio")
    fake_module(modules / "kernel", "virtio_net", "virtio,virtio_pci")
    return tmp_path


def test_modules_come_after_what_they_depend_on(ctx: TaskContext, kernel: Path) -> None:
    assert list(KernelModules(kernel).load_order(ctx, ["virtio_net", "ext4"])) == ["virtio", "virtio_pci", "virtio_net"]


def test_compressed_modules_are_unpacked(ctx: TaskContext, kernel: Path) -> None:
    plain = kernel / "lib/modules/6.1.0/kernel/virtio.ko"
    code = plain.read_bytes()
    plain.with_suffix(".ko.xz").write_bytes(lzma.compress(code))
    plain.unlink()
    assert KernelModules(kernel).load_order(ctx, ["virtio"]) == {"virtio": code}


def test_unknown_module_is_an_error(ctx: TaskContext, kernel: Path) -> None:
    with pytest.raises(TemplateBuildFailed, match="no module 'isofs'"):
        KernelModules(kernel).load_order(ctx, ["isofs"])


def test_module_dependencies_are_read_from_its_text() -> None:
    assert module_depends(b"x\0depends=virtio,virtio-ring\0y") == ["virtio", "virtio_ring"]
    assert module_depends(b"x\0depends=\0y") == []


def test_initramfs_unpacks_to_what_went_in(tmp_path: Path) -> None:
    archive = initramfs(b"busybox!", b"#!init", {"virtio": b"one", "virtio_blk": b"two2"})
    listing = newc_entries(gzip.decompress(archive))
    assert {name: content for name, (mode, content) in listing.items() if stat.S_ISREG(mode)} == {
        "bin/busybox": b"busybox!",
        "init": b"#!init",
        "modules/00-virtio.ko": b"one",
        "modules/01-virtio_blk.ko": b"two2",
    }


def test_initramfs_is_the_same_for_the_same_parts() -> None:
    assert initramfs(b"b", b"i", {"m": b"c"}) == initramfs(b"b", b"i", {"m": b"c"})


def newc_entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    entries: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        content_at = at + 110 + fields[11] + -(at + 110 + fields[11]) % 4
        if name == "TRAILER!!!":
            return entries
        entries[name] = (fields[1], archive[content_at : content_at + fields[6]])
        at = content_at + fields[6] + -(content_at + fields[6]) % 4


def test_boot_record_holds_code_table_and_signature() -> None:
    record = master_boot_record(b"C" * 512, (Partition(1, 19, 0x0E, bootable=True), Partition(20, 236, 0x83)))
    assert len(record) == 512
    assert record[:440] == b"C" * 440
    assert record[510:] == b"\x55\xaa"
    first = struct.unpack("<B3xB3xII", record[446:462])
    second = struct.unpack("<B3xB3xII", record[462:478])
    assert first == (0x80, 0x0E, 2048, 19 * 2048)
    assert second == (0, 0x83, 20 * 2048, 236 * 2048)


def test_tree_has_exact_modes_whatever_the_umask(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    tree.put("etc/init.d/rcS", b"", 0o755)
    tree.directory("tmp", 0o1777)
    modes = {path: stat.S_IMODE((tmp_path / "root" / path).stat().st_mode) for path in ("etc", "etc/init.d", "etc/init.d/rcS", "tmp")}
    assert modes == {"etc": 0o755, "etc/init.d": 0o755, "etc/init.d/rcS": 0o755, "tmp": 0o1777}


def test_every_inode_is_given_to_root(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/[").symlink_to("busybox")
    lines = inode_commands(tmp_path, 7).splitlines()
    assert 'set_inode_field "/bin/[" uid 0' in lines
    assert 'set_inode_field "/bin/[" gid 0' in lines
    assert 'set_inode_field "/" ctime @7' in lines


def test_guest_files_are_all_there() -> None:
    missing = [name for name, _ in GUEST_FILES.values() if not (GUEST_DIR / name).is_file()]
    assert missing == []


def test_guest_has_no_password_and_no_host_key() -> None:
    assert [line.split(":")[1] for line in (GUEST_DIR / "shadow").read_text().splitlines()] == ["*", "*"]
    assert [path for path in GUEST_FILES if "host_key" in path] == []


@pytest.mark.parametrize(
    "name", sorted(path.name for path in GUEST_DIR.iterdir() if path.read_bytes()[:2] == b"#!" or path.suffix == ".sh")
)
def test_guest_scripts_are_sound_shell(name: str) -> None:
    checked = subprocess.run(["dash", "-n", GUEST_DIR / name], capture_output=True, text=True)
    assert checked.stderr == ""
