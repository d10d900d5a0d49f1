from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.providers.libvirt.chain import Layer, chains_of
from engine.spec import DiskSpec, DiskType, MachineSpec


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


def image(path: Path, form: str, *backing: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", form, *backing, path, "1M"], check=True)
    return path


def on(path: Path, form: str = "qcow2") -> MachineSpec:
    return MachineSpec("vm0", disks=(DiskSpec("root", DiskType.TEMPLATE, "vda", form, path=str(path)),))


def test_everything_below_a_disk_is_told_from_the_top_down(ctx: TaskContext, tmp_path: Path) -> None:
    bottom = image(tmp_path / "bottom", "raw")
    middle = image(tmp_path / "middle", "qcow2", "-b", str(bottom), "-F", "raw")
    top = image(tmp_path / "top", "qcow2", "-b", str(middle), "-F", "qcow2")
    assert chains_of(ctx, on(top)) == {"vda": (Layer(str(middle), "qcow2"), Layer(str(bottom), "raw"))}


def test_image_that_stands_alone_has_nothing_below(ctx: TaskContext, tmp_path: Path) -> None:
    assert chains_of(ctx, on(image(tmp_path / "alone", "qcow2"))) == {"vda": ()}


def test_raw_images_are_not_looked_into(ctx: TaskContext, tmp_path: Path) -> None:
    hostile = image(tmp_path / "hostile", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw")
    top = image(tmp_path / "top", "qcow2", "-b", str(hostile), "-F", "raw")
    assert chains_of(ctx, on(top)) == {"vda": (Layer(str(hostile), "raw"),)}


@pytest.mark.parametrize("form", ["qcow2", "raw", "iso"])
def test_image_that_is_missing_is_left_to_libvirt(form: str, ctx: TaskContext, tmp_path: Path) -> None:
    assert chains_of(ctx, on(tmp_path / "missing", form)) == {}


def test_image_that_stands_on_itself_is_left_to_libvirt(ctx: TaskContext, tmp_path: Path) -> None:
    first = image(tmp_path / "first", "qcow2")
    second = image(tmp_path / "second", "qcow2", "-b", str(first), "-F", "qcow2")
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", second, "-F", "qcow2", first], check=True)
    assert chains_of(ctx, on(first)) == {}
