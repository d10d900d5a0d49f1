"""Images that users bring become templates: described as far as can be found out, and no further."""

from __future__ import annotations

import hashlib
import lzma
import subprocess
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import HashMismatch, TemplateError
from engine.images.catalogue import load_catalogue
from engine.images.importing import ImportRequest, import_image
from engine.images.store import Store
from tests.engine.images.web_server import Served

OS_RELEASE = b'PRETTY_NAME="AlmaLinux 9.4"\nNAME="AlmaLinux"\nVERSION_ID="9.4"\nID="almalinux"\n'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def cloud_image(tmp_path: Path) -> Path:
    """A raw image with what a folder of cloud-init and an os-release look like on a disk."""
    path = tmp_path / "cloud.raw"
    path.write_bytes(bytes(1024 * 1024) + b"\x0ccloud.cfg.d\0" + bytes(4083) + OS_RELEASE.ljust(4096, b"\0"))
    return path


def qcow2_of(raw: Path) -> Path:
    path = raw.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-c", raw, path], check=True, timeout=30)
    return path


@pytest.mark.parametrize("as_qcow2", [False, True])
def test_cloud_init_and_distro_are_found(ctx: TaskContext, store: Store, cloud_image: Path, as_qcow2: bool) -> None:
    image = qcow2_of(cloud_image) if as_qcow2 else cloud_image
    imported = import_image(ctx, store, ImportRequest(str(image), "mine"))
    assert (imported.cloud_init, imported.metadata["distro"], imported.format) == (True, "el9", "qcow2" if as_qcow2 else "raw")


def test_what_is_not_found_is_unknown(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    imported = import_image(ctx, store, ImportRequest(str(qcow2), "mine"))
    assert (imported.cloud_init, dict(imported.metadata)) == (None, {})


def test_what_the_user_says_counts(ctx: TaskContext, store: Store, cloud_image: Path) -> None:
    imported = import_image(ctx, store, ImportRequest(str(cloud_image), "mine", distro="el8", cloud_init=False))
    assert dict(imported.metadata) == {"distro": "el8", "cloud-init": False}


def test_metadata_beside_the_image_counts(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    qcow2.with_name(qcow2.name + ".metadata").write_text('{"distro": "arch", "cloud-init": true}')
    assert import_image(ctx, store, ImportRequest(str(qcow2), "mine")).cloud_init is True


def test_an_import_is_a_template(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    imported = import_image(ctx, store, ImportRequest(str(qcow2), "mine", version="7"))
    ref = load_catalogue(store=store.root).find("mine")
    assert (ref.repo, ref.version, store.fetch(ctx, ref)) == ("local", "7", imported.path)


def test_nothing_but_the_image_and_its_sidecars_is_left(ctx: TaskContext, store: Store, cloud_image: Path) -> None:
    import_image(ctx, store, ImportRequest(str(qcow2_of(cloud_image)), "mine"))
    assert sorted(path.name for path in store.root.iterdir()) == [f"local:mine:1{suffix}" for suffix in ("", ".hash", ".lock", ".metadata")]


def test_a_version_that_is_there_is_not_replaced(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    import_image(ctx, store, ImportRequest(str(qcow2), "mine"))
    with pytest.raises(TemplateError, match="has a version '1' already") as caught:
        import_image(ctx, store, ImportRequest(str(qcow2), "mine"))
    assert "--version 2" in caught.value.hint


@pytest.mark.parametrize(("name", "version"), [("a/b", "1"), ("", "1"), ("a:b", "1"), ("a", "1.hash"), ("a", ".."), ("a\0", "1")])
def test_names_that_are_no_file_names_are_refused(ctx: TaskContext, store: Store, qcow2: Path, name: str, version: str) -> None:
    with pytest.raises(TemplateError, match="cannot be a name"):
        import_image(ctx, store, ImportRequest(str(qcow2), name, version=version))


def test_what_is_no_image_is_refused(ctx: TaskContext, store: Store, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(TemplateError, match="is no disk image"):
        import_image(ctx, store, ImportRequest(str(tmp_path / "page.html"), "mine"))
    assert [path.name for path in store.root.iterdir()] == ["local:mine:1.lock"]


def test_other_formats_come_with_the_command_that_converts(ctx: TaskContext, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "1M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match="has format 'vmdk'") as caught:
        import_image(ctx, store, ImportRequest(str(path), "mine"))
    assert "qemu-img convert" in caught.value.hint


def test_an_image_that_stands_on_another_is_refused_unread(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    overlay = qcow2.with_name("overlay")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", overlay, "8M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match="stands on another file"):
        import_image(ctx, store, ImportRequest(str(overlay), "mine"))


def test_a_missing_file_is_told(ctx: TaskContext, store: Store, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="is not there, or is no file"):
        import_image(ctx, store, ImportRequest(str(tmp_path / "none"), "mine"))


def test_a_packed_file_is_unpacked(ctx: TaskContext, store: Store, cloud_image: Path, tmp_path: Path) -> None:
    packed = tmp_path / "cloud.raw.xz"
    packed.write_bytes(lzma.compress(cloud_image.read_bytes()))
    request = ImportRequest(str(packed), "mine", checksum=hashlib.sha256(packed.read_bytes()).hexdigest())
    imported = import_image(ctx, store, request)
    assert (imported.path.read_bytes() == cloud_image.read_bytes(), imported.is_checked) == (True, True)


@pytest.mark.parametrize("checksum", ["0" * 64, "sha1:" + "0" * 40])
def test_a_wrong_checksum_keeps_nothing(ctx: TaskContext, store: Store, qcow2: Path, checksum: str) -> None:
    with pytest.raises(HashMismatch):
        import_image(ctx, store, ImportRequest(str(qcow2), "mine", checksum=checksum))
    assert [path.name for path in store.root.iterdir()] == ["local:mine:1.lock"]


@pytest.mark.parametrize("checksum", ["abc", "md5:" + "0" * 32, "sha256:" + "0" * 40, "0" * 63])
def test_a_checksum_that_is_none_is_told(ctx: TaskContext, store: Store, qcow2: Path, checksum: str) -> None:
    with pytest.raises(TemplateError, match="is no checksum"):
        import_image(ctx, store, ImportRequest(str(qcow2), "mine", checksum=checksum))


def test_an_image_from_the_web_is_imported(ctx: TaskContext, store: Store, web: Served, qcow2: Path) -> None:
    imported = import_image(ctx, store, ImportRequest(web.add("a.qcow2", qcow2.read_bytes()), "mine"))
    assert (imported.path.read_bytes() == qcow2.read_bytes(), imported.is_checked) == (True, True)


def test_an_image_that_nothing_vouches_for_is_said_to_be_so(ctx: TaskContext, store: Store, web: Served, qcow2: Path) -> None:
    imported = import_image(ctx, store, ImportRequest(web.add("a.qcow2", qcow2.read_bytes(), hashed=False), "mine"))
    assert imported.is_checked is False


def test_a_packed_image_from_the_web_is_checked_as_it_is_published(ctx: TaskContext, store: Store, web: Served, qcow2: Path) -> None:
    packed = lzma.compress(qcow2.read_bytes())
    url = web.add("a.qcow2.xz", packed, hashed=False)
    web.files["/SHA256SUMS"] = f"{hashlib.sha256(packed).hexdigest()} *a.qcow2.xz\n{'0' * 64} *b\n".encode()
    imported = import_image(ctx, store, ImportRequest(url, "mine", checksum=web.url("SHA256SUMS")))
    assert (imported.path.read_bytes() == qcow2.read_bytes(), imported.is_checked) == (True, True)


def test_a_list_of_checksums_counts_for_a_file_too(ctx: TaskContext, store: Store, qcow2: Path, web: Served) -> None:
    web.files["/SUMS"] = f"{hashlib.sha256(qcow2.read_bytes()).hexdigest()}  {qcow2.name}\n{'0' * 64}  other\n".encode()
    assert import_image(ctx, store, ImportRequest(str(qcow2), "mine", checksum=web.url("SUMS"))).is_checked


def test_a_file_may_be_named_by_its_url(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    assert import_image(ctx, store, ImportRequest(f"file://localhost{qcow2}", "mine")).format == "qcow2"


def test_what_is_unfit_is_refused_before_it_is_copied(ctx: TaskContext, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "1M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match=rf"image '{path}' has format 'vmdk'"):
        import_image(ctx, store, ImportRequest(str(path), "mine"))
