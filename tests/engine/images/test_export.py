"""Disks on their way out: merged, layered, packed; real images, real tools."""

from __future__ import annotations

import hashlib
import json
import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, CommandFailed, MachineStateError
from engine.images.disks import probe
from engine.images.export import DiskExport, export_disk, measure

MIB = 1024 * 1024


def qemu(*words: str | Path) -> str:
    return subprocess.run([*words], check=True, capture_output=True, text=True, timeout=60).stdout


def write(image: Path, pattern: int, offset: str, length: str = "1M") -> None:
    qemu("qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {offset} {length}", image)


def holds(image: Path, pattern: int, offset: str, length: str = "1M") -> bool:
    return "Pattern verification failed" not in qemu("qemu-io", "-r", "-c", f"read -P {pattern} {offset} {length}", image)


@pytest.fixture
def base(tmp_path: Path, qcow2: Path) -> Path:
    """An image as the store has it, with 1 at its begin."""
    path = qcow2.rename(tmp_path / "here:small:v1")
    write(path, 1, "0")
    return path


@pytest.fixture
def disk(tmp_path: Path, base: Path) -> Path:
    """A machine's disk on it, with 2 behind that."""
    return overlay(tmp_path / "vm0_root.qcow2", base, 2, "1M")


def overlay(path: Path, backing: Path, pattern: int, offset: str) -> Path:
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", path)
    write(path, pattern, offset)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_merged_it_stands_alone_and_holds_everything(ctx: TaskContext, disk: Path, out: Path) -> None:
    target = out / "vm0_root.qcow2"
    export_disk(ctx, DiskExport(disk, "qcow2", target, "qcow2"), {})
    assert probe(ctx, target).backing is None
    assert holds(target, 1, "0") and holds(target, 2, "1M") and holds(target, 0, "2M", "6M")


def test_sidecars_say_what_it_is(ctx: TaskContext, disk: Path, out: Path) -> None:
    target = out / "vm0_root.qcow2"
    export_disk(ctx, DiskExport(disk, "qcow2", target, "qcow2"), {"distro": "el7"})
    sha1 = hashlib.sha1(target.read_bytes()).hexdigest()
    assert (out / "vm0_root.qcow2.hash").read_text() == sha1
    known = json.loads((out / "vm0_root.qcow2.metadata").read_text())
    assert known == {"distro": "el7", "sha1": sha1, "size": target.stat().st_size}


def layered(source: Path, target: Path, base: Path, own_layers: int = 1) -> DiskExport:
    name = f"./{base.name.split(':', 1)[1]}"
    return DiskExport(source, "qcow2", target, "qcow2", parent=base, parent_format="qcow2", parent_name=name, own_layers=own_layers)


def test_a_layer_names_its_template_and_takes_its_own_data_only(ctx: TaskContext, disk: Path, base: Path, out: Path) -> None:
    target = out / "vm0_root.qcow2"
    export_disk(ctx, layered(disk, target, base), {})
    info = json.loads(qemu("qemu-img", "info", "--output=json", target))
    assert (info["backing-filename"], info["backing-filename-format"]) == ("./small:v1", "qcow2")
    base.rename(out / "small:v1")
    assert holds(target, 1, "0") and holds(target, 2, "1M")
    assert target.stat().st_blocks * 512 < 2 * MIB


def test_a_layer_takes_in_what_is_between_it_and_its_template(ctx: TaskContext, tmp_path: Path, disk: Path, base: Path, out: Path) -> None:
    top = overlay(tmp_path / "vm0_root.1.qcow2", disk, 3, "2M")
    target = out / "vm0_root.qcow2"
    export_disk(ctx, layered(top, target, base, own_layers=2), {})
    base.rename(out / "small:v1")
    assert [holds(target, pattern, f"{pattern - 1}M") for pattern in (1, 2, 3)] == [True, True, True]


def test_packed_only_the_packed_image_is_left_and_its_hash_is_of_the_image(ctx: TaskContext, disk: Path, out: Path) -> None:
    target = out / "vm0_root.qcow2"
    export_disk(ctx, DiskExport(disk, "qcow2", target, "qcow2", xz_threads=1), {})
    assert sorted(path.name for path in out.iterdir()) == [f"vm0_root.qcow2{suffix}" for suffix in (".hash", ".metadata", ".xz")]
    image = lzma.decompress((out / "vm0_root.qcow2.xz").read_bytes())
    assert (out / "vm0_root.qcow2.hash").read_text() == hashlib.sha1(image).hexdigest()
    assert json.loads((out / "vm0_root.qcow2.metadata").read_text())["size"] == len(image)


def test_a_raw_disk_stays_sparse(ctx: TaskContext, sparse_image: Path, out: Path) -> None:
    target = out / "data.raw"
    export_disk(ctx, DiskExport(sparse_image, "raw", target, "raw"), {})
    assert target.read_bytes() == sparse_image.read_bytes()
    assert target.stat().st_blocks * 512 < 2 * MIB


def test_a_cd_is_copied_as_it_is(ctx: TaskContext, tmp_path: Path, out: Path) -> None:
    (tmp_path / "my.iso").write_bytes(b"cd" * 3000)
    export_disk(ctx, DiskExport(tmp_path / "my.iso", "iso", out / "my.iso", "iso", verbatim=True), {})
    assert (out / "my.iso").read_bytes() == b"cd" * 3000
    assert (out / "my.iso.hash").read_text() == hashlib.sha1(b"cd" * 3000).hexdigest()


def test_a_disk_that_something_writes_to_is_refused(ctx: TaskContext, disk: Path, out: Path) -> None:
    with subprocess.Popen(["qemu-io", "-f", "qcow2", disk], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdin.write(b"length\n")
        writer.stdin.flush()
        writer.stdout.readline()  # it has opened the image
        with pytest.raises(MachineStateError, match="in use"):
            export_disk(ctx, DiskExport(disk, "qcow2", out / "x.qcow2", "qcow2"), {})
        writer.kill()


def test_a_cancel_ends_it(ctx: TaskContext, token: CancelToken, disk: Path, out: Path) -> None:
    token.cancel()
    with pytest.raises(Cancelled):
        export_disk(ctx, DiskExport(disk, "qcow2", out / "x.qcow2", "qcow2"), {})


def test_what_is_measured_is_enough(ctx: TaskContext, disk: Path, out: Path) -> None:
    export_disk(ctx, DiskExport(disk, "qcow2", out / "x.qcow2", "qcow2"), {})
    assert (out / "x.qcow2").stat().st_size <= measure(ctx, disk, "qcow2", "qcow2") < 8 * MIB


def test_a_missing_xz_says_what_to_install(
    ctx: TaskContext, disk: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "qemu-img").symlink_to("/usr/bin/qemu-img")
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(CommandFailed, match="install 'xz'"):
        export_disk(ctx, DiskExport(disk, "qcow2", out / "x.qcow2", "qcow2", xz_threads=1), {})


FULL_DISK = """
import sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import DiskFull
from engine.images.export import DiskExport, export_disk
with TaskContext.root(Bus(), "t", run_id="r") as ctx:
    try:
        export_disk(ctx, DiskExport(Path(sys.argv[1]), "qcow2", Path("x.qcow2").absolute(), "qcow2"), {})
    except DiskFull as full:
        print(full.message)
"""


def test_a_full_disk_is_named(run_on_small_disk: Callable[..., subprocess.CompletedProcess[str]], disk: Path) -> None:
    done = run_on_small_disk(FULL_DISK, disk)
    assert "is full: 'x.qcow2' does not fit" in done.stdout, done.stderr
