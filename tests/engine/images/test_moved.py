"""Chains of overlays whose folder was moved."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.images.disks import make_empty, make_overlay, probe
from engine.images.moved import backing_of, rejoin


@pytest.fixture
def chain(tmp_path: Path, ctx: TaskContext) -> Path:
    """A folder with an image and two overlays, one on the other."""
    folder = tmp_path / "old"
    folder.mkdir()
    make_empty(ctx, folder / "root.qcow2", "qcow2", "1M")
    make_overlay(ctx, folder / "root.1.qcow2", folder / "root.qcow2", "qcow2")
    make_overlay(ctx, folder / "root.2.qcow2", folder / "root.1.qcow2", "qcow2")
    return folder


def is_whole(image: Path) -> bool:
    return subprocess.run(["qemu-img", "check", image], capture_output=True, check=False).returncode == 0


def test_a_moved_chain_is_joined_again_down_to_its_end(chain: Path, ctx: TaskContext) -> None:
    new = chain.rename(chain.with_name("new"))
    assert not is_whole(new / "root.2.qcow2")
    rejoin(ctx, new / "root.2.qcow2")
    assert is_whole(new / "root.2.qcow2")
    assert probe(ctx, new / "root.1.qcow2").backing == new / "root.qcow2"
    assert probe(ctx, new / "root.1.qcow2").backing_format == "qcow2"


def test_a_chain_that_is_whole_is_not_written(chain: Path, ctx: TaskContext) -> None:
    before = {image: image.read_bytes() for image in chain.iterdir()}
    rejoin(ctx, chain / "root.2.qcow2")
    assert {image: image.read_bytes() for image in chain.iterdir()} == before


def test_an_image_that_is_gone_for_good_is_left_to_the_host(chain: Path, ctx: TaskContext) -> None:
    (chain / "root.qcow2").unlink()
    rejoin(ctx, chain / "root.2.qcow2")
    assert probe(ctx, chain / "root.1.qcow2").backing == chain / "root.qcow2"


@pytest.mark.parametrize("content", [b"", b"raw", b"QFI\xfb" + b"\xff" * 100, b"QFI\xfb" + bytes(100)])
def test_what_names_nothing_stands_on_nothing(content: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert backing_of(image) is None
    assert backing_of(tmp_path / "gone") is None
