"""Images that no machine can stand on."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import TemplateError
from engine.images.fitness import fit_image

MIB = 1024 * 1024


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A qcow2 image with some data at several places."""
    raw = tmp_path / "raw"
    with raw.open("wb") as image:
        for place in (0, 3, 700):
            image.seek(place * MIB)
            image.write(random.Random(place).randbytes(200_000))
        image.truncate(1024 * MIB)
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True, timeout=60)
    return path


@pytest.mark.parametrize("magic", [b"\xfd7zXZ\0", b"\x1f\x8b\x08", b"BZh9", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"])
def test_a_packed_image_is_not_taken_for_a_raw_one(ctx: TaskContext, tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "x").write_bytes(magic + bytes(1024))
    with pytest.raises(TemplateError, match=r"'http://h/x'.* is packed with"):
        fit_image(ctx, tmp_path / "x", "http://h/x")


def test_an_empty_image_is_refused(ctx: TaskContext, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(TemplateError, match="is empty"):
        fit_image(ctx, tmp_path / "x", "x")


def test_the_image_is_named_as_the_user_knows_it(ctx: TaskContext, tmp_path: Path) -> None:
    path = tmp_path / "local:x:1.tmp"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "1M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match=r"image '/home/me/disk.vmdk' has format 'vmdk'") as caught:
        fit_image(ctx, path, "/home/me/disk.vmdk")
    assert caught.value.hint.startswith("convert it first: qemu-img convert -O qcow2 /home/me/disk.vmdk")


@pytest.mark.parametrize("options", [[], ["-c"], ["-o", "cluster_size=512"], ["-o", "cluster_size=2M"], ["-o", "compat=0.10"]])
def test_whole_images_are_fit(ctx: TaskContext, filled: Path, tmp_path: Path, options: list[str]) -> None:
    again = tmp_path / "again.qcow2"
    subprocess.run(["qemu-img", "convert", *options, "-O", "qcow2", filled, again], check=True, timeout=60)
    assert fit_image(ctx, again, "x").virtual_size == 1024 * MIB


@pytest.mark.parametrize("preallocation", ["off", "metadata", "falloc"])
def test_preallocated_images_are_fit(ctx: TaskContext, tmp_path: Path, preallocation: str) -> None:
    path = tmp_path / "x.qcow2"
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"preallocation={preallocation}", path, "8M"]
    subprocess.run(make, check=True, timeout=60)
    assert fit_image(ctx, path, "x").format == "qcow2"


def test_images_with_small_pieces_are_fit(ctx: TaskContext, filled: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.qcow2"
    subprocess.run(["qemu-img", "convert", "-o", "extended_l2=on", "-O", "qcow2", filled, again], check=True, timeout=60)
    assert fit_image(ctx, again, "x").format == "qcow2"


@pytest.mark.parametrize("kept", [0.8, 0.5, 0.1])
def test_an_image_that_was_cut_off_is_refused(ctx: TaskContext, filled: Path, kept: float) -> None:
    os.truncate(filled, int(filled.stat().st_size * kept))
    with pytest.raises(TemplateError, match=r"'x' was cut off: at least \d+ bytes of it are missing"):
        fit_image(ctx, filled, "x")


def test_tables_that_point_anywhere_cost_no_time(ctx: TaskContext, filled: Path) -> None:
    with filled.open("r+b") as image:
        l1_offset = struct.unpack_from(">Q", image.read(48), 40)[0]
        image.seek(l1_offset)
        image.write(struct.pack(">QQ", 1 << 40, 1 << 41))
    with pytest.raises(TemplateError, match="was cut off"):
        fit_image(ctx, filled, "x")
