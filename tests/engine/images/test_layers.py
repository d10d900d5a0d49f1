"""Images that stand on a template by its name: what is trusted below them, and how a missing base is put in its place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import TemplateError
from engine.images.disks import probe
from engine.images.layers import copy_onto, look_at_layer, read_sidecar

MIB = 1024 * 1024


def layer_on(folder: Path, backing: str, name: str = "layer.qcow2", backing_format: str | None = "qcow2") -> Path:
    """Make a layer that names `backing`, which need not be there."""
    format_words = ["-F", backing_format] if backing_format else []
    path = folder / name
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, *format_words, path, "8M"], check=True, timeout=30)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exported").mkdir()
    return tmp_path / "exported"


@pytest.fixture
def store(tmp_path: Path, qcow2: Path) -> Path:
    """A store with one template in it."""
    (tmp_path / "store").mkdir()
    qcow2.rename(tmp_path / "store" / "repo:el7:v1")
    return tmp_path / "store"


@pytest.mark.parametrize("backing", ["el7:v1", "./el7:v1", "/old/store/repo:el7:v1", "/old/el7:v1"])
def test_a_missing_base_is_known_by_its_name(ctx: TaskContext, folder: Path, store: Path, backing: str) -> None:
    assert look_at_layer(ctx, layer_on(folder, backing), store).missing == ("el7", "v1")


@pytest.mark.parametrize("backing", ["base.qcow2", "a:b:c:d", ":v1", "el7:", "/gone/base.raw", "nbd://host/x", 'json:{"driver":"null-co"}'])
def test_a_missing_base_of_another_name_is_refused(ctx: TaskContext, folder: Path, store: Path, backing: str) -> None:
    with pytest.raises(TemplateError):
        look_at_layer(ctx, layer_on(folder, backing), store)


def test_a_base_in_the_store_is_stood_upon(ctx: TaskContext, folder: Path, store: Path) -> None:
    assert look_at_layer(ctx, layer_on(folder, str(store / "repo:el7:v1")), store).missing is None


def test_a_link_beside_the_layer_to_the_store_is_followed(ctx: TaskContext, folder: Path, store: Path) -> None:
    (folder / "el7:v1").symlink_to(store / "repo:el7:v1")
    assert look_at_layer(ctx, layer_on(folder, "el7:v1"), store).missing is None


def test_images_beside_the_layer_are_stood_upon_however_many(ctx: TaskContext, folder: Path, store: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", folder / "base.raw", "8M"], check=True, timeout=30)
    layer_on(folder, "base.raw", "middle.qcow2", "raw")
    assert look_at_layer(ctx, layer_on(folder, "middle.qcow2"), store).missing is None


def test_an_image_that_stands_alone_is_fine(ctx: TaskContext, store: Path) -> None:
    assert look_at_layer(ctx, store / "repo:el7:v1", store).missing is None


@pytest.mark.parametrize("backing", ["layer.qcow2", "other.qcow2"])
def test_a_circle_is_refused(ctx: TaskContext, folder: Path, store: Path, backing: str) -> None:
    layer = layer_on(folder, backing)
    if backing == "other.qcow2":
        layer_on(folder, "layer.qcow2", "other.qcow2")
    with pytest.raises(TemplateError, match="stands on itself"):
        look_at_layer(ctx, layer, store)


def test_files_that_do_not_look_like_images_are_not_opened(ctx: TaskContext, folder: Path, store: Path) -> None:
    (folder / "id_rsa").write_bytes(b"secret" * 1000)
    with pytest.raises(TemplateError, match="does not know"):
        look_at_layer(ctx, layer_on(folder, "id_rsa", backing_format="raw"), store)


@pytest.mark.parametrize("backing", ["/etc/passwd", "../secret.raw", "below/base.raw"])
def test_files_elsewhere_are_not_opened(ctx: TaskContext, folder: Path, store: Path, backing: str) -> None:
    (folder / "below").mkdir()
    for path in (folder.parent / "secret.raw", folder / "below" / "base.raw"):
        path.write_bytes(bytes(MIB))
    with pytest.raises(TemplateError, match="does not know"):
        look_at_layer(ctx, layer_on(folder, backing, backing_format="raw"), store)


def test_a_link_beside_the_layer_to_a_file_elsewhere_is_not_followed(ctx: TaskContext, folder: Path, store: Path) -> None:
    (folder.parent / "secret").write_bytes(bytes(MIB))
    (folder / "below.raw").symlink_to(folder.parent / "secret")
    (folder / "base.raw").symlink_to("/etc/passwd")
    with pytest.raises(TemplateError):
        look_at_layer(ctx, layer_on(folder, "base.raw", backing_format="raw"), store)


def test_a_copy_stands_on_the_store_and_the_users_layer_is_as_it_was(ctx: TaskContext, folder: Path, store: Path, tmp_path: Path) -> None:
    layer = layer_on(folder, "el7:v1", backing_format="raw")
    before = layer.read_bytes()
    copy_onto(ctx, layer, tmp_path / "disk.qcow2", store / "repo:el7:v1")
    info = probe(ctx, tmp_path / "disk.qcow2")
    assert (info.backing, info.backing_format) == (store / "repo:el7:v1", "qcow2")
    assert layer.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["layer.qcow2"]


def test_a_copy_shows_what_the_layer_and_its_template_hold(ctx: TaskContext, folder: Path, store: Path, tmp_path: Path) -> None:
    base = store / "repo:el7:v1"
    layer = layer_on(folder, str(base))
    for image, place, letter in ((base, "0", "0x11"), (layer, "1M", "0x22")):
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", f"write -P {letter} {place} 64k", image], check=True, capture_output=True, timeout=30
        )
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "el7:v1", "-F", "raw", layer], check=True, timeout=30)
    copy_onto(ctx, layer, tmp_path / "disk.qcow2", base)
    read = ["-c", "read -P 0x11 0 64k", "-c", "read -P 0x22 1M 64k"]
    seen = subprocess.run(["qemu-io", "-f", "qcow2", *read, tmp_path / "disk.qcow2"], capture_output=True, text=True, timeout=30)
    assert "verification failed" not in seen.stdout + seen.stderr
    assert seen.returncode == 0


def test_a_base_may_be_missing_below_layers_beside_each_other(ctx: TaskContext, folder: Path, store: Path) -> None:
    lowest, middle = layer_on(folder, "el7:v1", "lowest.qcow2"), layer_on(folder, "lowest.qcow2", "middle.qcow2")
    found = look_at_layer(ctx, layer_on(folder, "middle.qcow2"), store)
    assert (found.missing, found.between) == (("el7", "v1"), (middle, lowest))


def test_a_base_of_another_name_may_not_be_missing_below_layers(ctx: TaskContext, folder: Path, store: Path) -> None:
    layer_on(folder, "gone.raw", "middle.qcow2")
    with pytest.raises(TemplateError, match=r"middle\.qcow2' stands on '.*gone\.raw', which is not there"):
        look_at_layer(ctx, layer_on(folder, "middle.qcow2"), store)


def test_a_copy_of_layers_is_one_that_holds_what_all_of_them_hold(ctx: TaskContext, folder: Path, store: Path, tmp_path: Path) -> None:
    base = store / "repo:el7:v1"
    lowest = layer_on(folder, str(base), "lowest.qcow2")
    middle = layer_on(folder, "lowest.qcow2", "middle.qcow2")
    top = layer_on(folder, "middle.qcow2")
    for image, place, letter in (
        (base, "0", "0x11"),
        (lowest, "1M", "0x22"),
        (middle, "1M", "0x33"),
        (middle, "2M", "0x44"),
        (top, "3M", "0x55"),
    ):
        write = ["qemu-io", "-f", "qcow2", "-c", f"write -P {letter} {place} 64k", image]
        subprocess.run(write, check=True, capture_output=True, timeout=30)
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "el7:v1", "-F", "raw", lowest], check=True, timeout=30)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = look_at_layer(ctx, top, store)
    (tmp_path / "images").mkdir()
    copy_onto(ctx, top, tmp_path / "images" / "disk.qcow2", base, found.between)
    read = [
        word
        for place, letter in (("0", "0x11"), ("1M", "0x33"), ("2M", "0x44"), ("3M", "0x55"))
        for word in ("-c", f"read -P {letter} {place} 64k")
    ]
    seen = subprocess.run(["qemu-io", "-f", "qcow2", *read, tmp_path / "images" / "disk.qcow2"], capture_output=True, text=True, timeout=30)
    assert ("verification failed" in seen.stdout + seen.stderr, seen.returncode) == (False, 0)
    assert probe(ctx, tmp_path / "images" / "disk.qcow2").backing == base
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["disk.qcow2"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_sidecar_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.qcow2.metadata").write_text(json.dumps({"distro": "el7"}))
    assert read_sidecar(tmp_path / "a.qcow2") == {"distro": "el7"}


def test_without_a_sidecar_nothing_is_known(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "a.qcow2") == {}


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000, " " * (2 * MIB) + "{}"])
def test_a_sidecar_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.metadata").write_text(text, encoding="latin-1")
    with pytest.raises(TemplateError, match=r"a\.metadata"):
        read_sidecar(tmp_path / "a")
