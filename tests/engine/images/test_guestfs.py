"""libguestfs's commands: what they are given, what their failures are called, what is missing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, DiskFull, GuestfsError, GuestfsMissing
from engine.images import guestfs as fs
from engine.images.guestfs import GuestDisk, copy_out, environment, find_root, guestfish, line_of, run_tool, tools_missing
from tests.engine.images.fake_guestfs import FakeGuestfs

DISK = GuestDisk(Path("/images/vm0.qcow2"), "qcow2")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "run"),
        (["write", "/a b", "x"], 'write "/a b" "x"'),
        (["write", "/a", 'say "hi" \\ $HOME `id` | cat > x'], 'write "/a" "say \\"hi\\" \\\\ $HOME `id` | cat > x"'),
        (["write", "/a", "one\ntwo\t\x01\x7f"], 'write "/a" "one\\x0atwo\\x09\\x01\\x7f"'),
        (["-cat", "é~!#"], '-cat "é~!#"'),
    ],
)
def test_words_are_data(words: list[str], line: str) -> None:
    assert line_of(words) == line


def test_a_nul_is_refused() -> None:
    with pytest.raises(GuestfsError, match="NUL"):
        line_of(["write", "/a", "x\0y"])


def test_a_session_names_every_disk_with_its_format(ctx: TaskContext, guestfs: FakeGuestfs) -> None:
    guestfs.answer("guestfish", "said")
    assert guestfish(ctx, [DISK, GuestDisk(Path("/images/b"), "raw")], [["ls", "/"]], read_only=True) == "said"
    call = guestfs.calls[0]
    assert call.argv[1:] == ["--no-progress-bars", "--ro", "--format=qcow2", "-a", "/images/vm0.qcow2", "--format=raw", "-a", "/images/b"]
    assert call.stdin == 'run\nls "/"\n'


def test_a_session_may_find_the_system_itself(ctx: TaskContext, guestfs: FakeGuestfs) -> None:
    guestfish(ctx, [DISK], [], read_only=False, inspect=True)
    assert (guestfs.calls[0].argv[-1], guestfs.calls[0].stdin, "--rw" in guestfs.calls[0].argv) == ("-i", "", True)


def test_what_the_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBGUESTFS_BACKEND", "libvirt")
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "x")
    assert not {"LIBGUESTFS_BACKEND", "LIBGUESTFS_BACKEND_SETTINGS"} & environment().keys()


def test_without_kvm_the_appliance_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LIBGUESTFS_BACKEND", raising=False)
    monkeypatch.delenv("LIBGUESTFS_BACKEND_SETTINGS", raising=False)
    monkeypatch.setattr(fs, "_KVM", tmp_path / "none")
    assert environment()["LIBGUESTFS_BACKEND"] == "direct"
    assert environment()["LIBGUESTFS_BACKEND_SETTINGS"] == "force_tcg"


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("noise\nlibguestfs: error: mount: no such device\n", "'guestfish' failed: mount: no such device"),
        (
            "virt-sysprep: error: no operating systems were found\n\nIf reporting bugs\n",
            "'guestfish' failed: no operating systems were found",
        ),
        ("something else\n\n", "'guestfish' failed: something else"),
        ("", "'guestfish' failed: it said nothing"),
    ],
)
def test_a_failure_says_what_went_wrong(ctx: TaskContext, guestfs: FakeGuestfs, stderr: str, message: str) -> None:
    guestfs.answer("guestfish", stderr=stderr, code=1)
    with pytest.raises(GuestfsError) as raised:
        run_tool(ctx, ["guestfish"], 10.0)
    assert (raised.value.message, raised.value.stderr) == (message, stderr)


def test_a_full_disk_is_told_as_such(ctx: TaskContext, guestfs: FakeGuestfs) -> None:
    guestfs.answer("guestfish", stderr="libguestfs: error: write: No space left on device", code=1)
    with pytest.raises(DiskFull):
        run_tool(ctx, ["guestfish"], 10.0)


def test_a_cancel_ends_it(ctx: TaskContext, token: CancelToken, guestfs: FakeGuestfs) -> None:
    (guestfs.folder / "bin/guestfish").write_text("#!/bin/sh\nexec sleep 60\n")
    timer = threading.Timer(0.2, token.cancel)
    timer.start()
    started_s = time.monotonic()
    with pytest.raises(Cancelled):
        run_tool(ctx, ["guestfish"], 60.0)
    assert time.monotonic() - started_s < 30


def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ctx: TaskContext) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools_missing("virt-sysprep", "guestfish") == "libguestfs is not installed: there is no 'virt-sysprep' and 'guestfish'"
    with pytest.raises(GuestfsMissing) as raised:
        run_tool(ctx, ["virt-sysprep"], 10.0)
    assert "install libguestfs-tools" in raised.value.hint


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guestfs: FakeGuestfs) -> Path:
    """An empty /boot."""
    for name in ("SUPERMIN_KERNEL", "LIBGUESTFS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fs, "KERNEL_FOLDERS", (str(tmp_path / "boot"), str(tmp_path / "modules")))
    (tmp_path / "boot").mkdir()
    return tmp_path / "boot"


def test_a_kernel_is_asked_for(kernels: Path) -> None:
    assert "needs a Linux kernel in /boot" in tools_missing("guestfish")
    assert "linux-image-" in fs.install_hint("guestfish") or "kernel-core" in fs.install_hint("guestfish")


def test_a_kernel_that_is_there_is_enough(kernels: Path) -> None:
    (kernels / "vmlinuz-6.1").write_bytes(b"")
    assert tools_missing("guestfish") == ""


def test_a_kernel_that_only_root_reads_is_named(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernels / "vmlinuz-6.8.0-generic"
    kernel.write_bytes(b"")
    monkeypatch.setattr(fs.os, "access", lambda path, mode: str(path) != str(kernel))
    assert f"'{kernel}' is closed to this user" in tools_missing("guestfish")
    assert fs.install_hint("guestfish").startswith(f"sudo chmod 0644 {kernel}")


@pytest.mark.parametrize(
    ("named", "root"),
    [("/dev/sda2", "/dev/sda2"), ("sda1", "/dev/sda1"), ("vg", "/dev/vg/home"), ("/dev/sdb1", None), ("", None)],
)
def test_root_partition(named: str, root: str | None) -> None:
    found = {"/dev/vg/root": "xfs", "/dev/vg/home": "xfs", "/dev/sda2": "ext4", "/dev/sda1": "vfat"}
    assert find_root(found, named) == root


def test_what_is_not_in_the_guest_is_left_out(ctx: TaskContext, guestfs: FakeGuestfs, tmp_path: Path) -> None:
    guestfs.answer("guestfish", "lagotui: answer\n")
    assert copy_out(ctx, DISK, ["/nope"], tmp_path / "out") == {}
    assert list((tmp_path / "out").iterdir()) == []


def test_an_image_without_a_system_needs_a_root_partition(ctx: TaskContext, guestfs: FakeGuestfs, tmp_path: Path) -> None:
    guestfs.answer("guestfish", "/dev/sda1: ext4\n", "guestfish: no operating system was found on this disk\n", 1)
    with pytest.raises(GuestfsError):
        copy_out(ctx, DISK, ["/x"], tmp_path / "out", "/dev/sda7")
