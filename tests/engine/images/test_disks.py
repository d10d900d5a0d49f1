"""Disk images: looking at them, and making overlays, empty disks and copies."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, CommandFailed, EngineError, TemplateError
from engine.images.disks import copy_image, make_empty, make_overlay, parse_size, probe, trusted_chain

MIB = 1024 * 1024

FILL_UP = """
import sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import DiskFull
from engine.images.disks import copy_image, make_empty
with TaskContext.root(Bus(), "test", run_id="r") as ctx:
    try:
        if len(sys.argv) > 1:
            copy_image(ctx, Path(sys.argv[1]), Path("copy"))
        else:
            Path("filler").write_bytes(bytes(1024 * 1024 - 8192))
            make_empty(ctx, Path("disk.qcow2"), "qcow2", "8M")
    except DiskFull as full:
        print(full.message, sorted(path.name for path in Path().iterdir()))
"""


def create(path: Path, *words: str | Path) -> Path:
    subprocess.run(["qemu-img", "create", "-q", *words[:-1], path, *words[-1:]], check=True, timeout=30)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_qcow2_is_known_by_its_content(ctx: TaskContext, qcow2: Path) -> None:
    image = qcow2.rename(qcow2.with_name("disguised.raw"))
    info = probe(ctx, image)
    assert (info.format, info.virtual_size, info.backing) == ("qcow2", 8 * MIB, None)


def test_a_raw_image_is_raw(ctx: TaskContext, sparse_image: Path) -> None:
    assert (probe(ctx, sparse_image).format, probe(ctx, sparse_image).virtual_size) == ("raw", 16 * MIB)


def test_a_backing_image_is_found_with_its_format(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    layer = create(tmp_path / "layers" / "layer", "-f", "qcow2", "-b", "../base.qcow2", "-F", "qcow2", "8M")
    info = probe(ctx, layer)
    assert info.backing is not None
    assert (info.backing.resolve(), info.backing_format) == (qcow2, "qcow2")


def test_odd_names_are_no_protocols(ctx: TaskContext, qcow2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(qcow2.parent)
    qcow2.rename(qcow2.parent / "nbd:here:1,size=2")
    assert probe(ctx, Path("nbd:here:1,size=2")).virtual_size == 8 * MIB


def test_a_missing_image_is_named(ctx: TaskContext, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"'.*absent' cannot be read: No such file or directory"):
        probe(ctx, tmp_path / "absent")


def test_a_pipe_is_no_image(ctx: TaskContext, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TemplateError, match="neither a file nor a block device"):
        probe(ctx, tmp_path / "pipe")


def test_an_unknown_format_says_how_to_convert(ctx: TaskContext, tmp_path: Path) -> None:
    image = create(tmp_path / "disk.vmdk", "-f", "vmdk", "8M")
    with pytest.raises(TemplateError, match="format 'vmdk'") as caught:
        probe(ctx, image)
    assert caught.value.hint.startswith("convert it first: qemu-img convert -O qcow2 ")


def test_a_damaged_image_is_named(ctx: TaskContext, tmp_path: Path) -> None:
    image = tmp_path / "damaged"
    image.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(1000))
    with pytest.raises(TemplateError, match="damaged' is no disk image that can be used"):
        probe(ctx, image)


def test_a_missing_qemu_img_says_what_to_install(ctx: TaskContext, qcow2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandFailed, match="install 'qemu-img'"):
        probe(ctx, qcow2)


def test_data_in_another_file_is_refused(ctx: TaskContext, tmp_path: Path) -> None:
    image = create(tmp_path / "image", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'},data_file_raw=on", "8M")
    with pytest.raises(TemplateError, match="keeps its data in another file"):
        probe(ctx, image)


def test_a_chain_in_known_folders_is_trusted(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    layer = create(tmp_path / "layer", "-f", "qcow2", "-b", qcow2, "-F", "qcow2", "8M")
    top = create(tmp_path / "top", "-f", "qcow2", "-b", layer, "-F", "qcow2", "8M")
    assert [info.path.name for info in trusted_chain(ctx, top, [tmp_path])] == ["top", "layer", "base.qcow2"]


@pytest.mark.parametrize("way", ["direct", "dots", "link"])
def test_a_backing_file_that_nobody_meant_is_refused(ctx: TaskContext, qcow2: Path, tmp_path: Path, way: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(qcow2)
    backing = {"direct": qcow2, "dots": tmp_path / "store" / ".." / qcow2.name, "link": tmp_path / "store" / "link"}[way]
    stranger = create(tmp_path / "stranger", "-f", "qcow2", "-b", backing, "-F", "raw", "8M")
    with pytest.raises(TemplateError, match="a file that lagotui does not know; it is not opened"):
        trusted_chain(ctx, stranger, [tmp_path / "store"])


def test_a_chain_that_bites_its_tail_ends(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    layer = create(tmp_path / "layer", "-f", "qcow2", "-b", qcow2, "-F", "qcow2", "8M")
    qcow2.unlink()
    qcow2.symlink_to(layer)
    with pytest.raises(TemplateError, match="stands on itself"):
        trusted_chain(ctx, layer, [tmp_path])


def test_an_overlay_records_its_backing_image_and_format(ctx: TaskContext, sparse_image: Path, tmp_path: Path) -> None:
    make_overlay(ctx, tmp_path / "overlay", sparse_image, "raw")
    info = probe(ctx, tmp_path / "overlay")
    assert (info.format, info.virtual_size, info.backing, info.backing_format) == ("qcow2", 16 * MIB, sparse_image, "raw")


def test_an_overlay_has_lazy_refcounts(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    make_overlay(ctx, tmp_path / "overlay", qcow2, "qcow2")
    printed = subprocess.run(
        ["qemu-img", "info", "--output=json", tmp_path / "overlay"], capture_output=True, check=True, timeout=30
    ).stdout
    assert json.loads(printed)["format-specific"]["data"]["lazy-refcounts"] is True


def test_an_overlay_on_a_name_with_colons_works(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    stored = qcow2.rename(tmp_path / "repo:el7,a=b:v1")
    make_overlay(ctx, tmp_path / "overlay", stored, "qcow2")
    assert trusted_chain(ctx, tmp_path / "overlay", [tmp_path])[1].path == stored


def test_an_overlay_may_be_larger(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    make_overlay(ctx, tmp_path / "overlay", qcow2, "qcow2", "1G")
    assert probe(ctx, tmp_path / "overlay").virtual_size == 1024 * MIB


def test_an_overlay_never_cuts_its_backing_image_off(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="would be 1M, smaller than its backing image"):
        make_overlay(ctx, tmp_path / "overlay", qcow2, "qcow2", "1M")
    assert names(tmp_path) == ["base.qcow2"]


def test_a_new_overlay_replaces_the_old_one(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay").write_text("old")
    make_overlay(ctx, tmp_path / "overlay", qcow2, "qcow2")
    assert probe(ctx, tmp_path / "overlay").format == "qcow2"


def test_a_failed_overlay_leaves_the_old_one_alone(ctx: TaskContext, tmp_path: Path) -> None:
    (tmp_path / "overlay").write_text("old")
    with pytest.raises(CommandFailed):
        make_overlay(ctx, tmp_path / "overlay", tmp_path / "absent", "qcow2")
    assert (names(tmp_path), (tmp_path / "overlay").read_text()) == (["overlay"], "old")


def test_a_missing_folder_is_named(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="absent"):
        make_overlay(ctx, tmp_path / "absent" / "overlay", qcow2, "qcow2")


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_an_empty_disk_is_large_but_takes_no_room(ctx: TaskContext, tmp_path: Path, format: str) -> None:
    make_empty(ctx, tmp_path / "disk", format, "101G")
    info = probe(ctx, tmp_path / "disk")
    assert (info.format, info.virtual_size) == (format, 101 * 1024 * MIB)
    assert (tmp_path / "disk").stat().st_blocks * 512 < MIB


def test_there_is_no_empty_iso(ctx: TaskContext, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no empty disks of format 'iso'"):
        make_empty(ctx, tmp_path / "disk", "iso", "1G")


def test_a_copy_has_the_same_bytes_and_holes(ctx: TaskContext, sparse_image: Path, tmp_path: Path) -> None:
    copy_image(ctx, sparse_image, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == sparse_image.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks <= sparse_image.stat().st_blocks


def test_a_copy_of_a_read_only_image_can_be_written(ctx: TaskContext, qcow2: Path, tmp_path: Path) -> None:
    qcow2.chmod(0o444)
    copy_image(ctx, qcow2, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o200


def test_a_cancelled_copy_leaves_nothing(ctx: TaskContext, token: CancelToken, sparse_image: Path, tmp_path: Path) -> None:
    token.cancel()
    with pytest.raises(Cancelled):
        copy_image(ctx, sparse_image, tmp_path / "copy")
    assert names(tmp_path) == ["sparse.raw"]


def test_what_a_killed_run_left_is_in_nobodys_way(ctx: TaskContext, sparse_image: Path, tmp_path: Path) -> None:
    (tmp_path / ".copy.new").write_text("half")
    copy_image(ctx, sparse_image, tmp_path / "copy")
    assert names(tmp_path) == ["copy", "sparse.raw"]


def test_copies_at_once_do_not_meet(ctx: TaskContext, sparse_image: Path, tmp_path: Path) -> None:
    threads = [threading.Thread(target=copy_image, args=(ctx, sparse_image, tmp_path / f"copy{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(tmp_path / f"copy{number}").stat().st_size for number in range(4)} == {16 * MIB}


def test_a_full_disk_keeps_no_half_copy(run_on_small_disk: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 3 * MIB)
    done = run_on_small_disk(FILL_UP, large)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the disk is full: ")
    assert done.stdout.endswith(" []\n")


def test_a_full_disk_keeps_no_half_disk(run_on_small_disk: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run_on_small_disk(FILL_UP)
    assert (done.returncode, done.stderr) == (0, "")
    assert "found the disk full" in done.stdout
    assert done.stdout.endswith(" ['filler']\n")


@pytest.mark.parametrize(
    ("text", "size"), [("101G", 101 << 30), ("512m", 512 << 20), ("1.5T", 3 << 39), ("4096", 4096), ("10 GiB", 10 << 30), ("64K", 65536)]
)
def test_sizes_are_read_as_qemu_img_reads_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1G", "0", "1X", "9999999P", "1G;"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="is no size of a disk"):
        parse_size(text)
