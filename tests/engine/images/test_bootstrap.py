"""The shared part is done once for an image, and the machines of an init are told in one session."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import GuestfsError
from engine.images.bootstrap import MachineDisk, Preparation, bootstrap, is_prepared, layer_path, prepare
from engine.images.disks import make_overlay, probe
from engine.images.sysprep import PLACEHOLDER, Shared, Told
from tests.engine.images.fake_guestfs import FakeGuestfs

MARK = "lagotui: next\n"
FOUND = "".join(
    f"{MARK}{said}"
    for said in (
        "/dev/sda1: /\n",
        "/dev/sda1: ext4\n",
        f"{PLACEHOLDER}\n\n",
        "",
        "127.0.0.1 localhost\n\n",
        "",
        "",
        "LABEL=x / ext4 defaults 0 0\n\n",
        "root:x:0:0:root:/root:/bin/bash\n\n",
    )
)
"""What a session says of an image: mounts, file systems, the named files, fstab, passwd."""


@pytest.fixture
def image(qcow2: Path, guestfs: FakeGuestfs) -> Path:
    guestfs.answer("guestfish", FOUND)
    return qcow2


def preparation(image: Path, password: str | None = None, root: str = "/dev/sda1") -> Preparation:
    return Preparation(image, Shared("debian", has_root_password=password is not None), password, root)


def machine(ctx: TaskContext, image: Path, name: str, size: str | None = None) -> MachineDisk:
    path = image.parent / f"{name}.qcow2"
    make_overlay(ctx, path, image, "qcow2")
    told = Told(name, "debian", "ssh-rsa AAAA", ("54:52:c0:a8:c8:02",), host_key=("PRIVATE\n", "PUBLIC\n"))
    return MachineDisk(told, path, "qcow2", preparation(image), size)


def programs(guestfs: FakeGuestfs) -> list[str]:
    return [call.program for call in guestfs.calls]


def test_ten_machines_take_one_preparation_and_one_session(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    bootstrap(ctx, [machine(ctx, image, f"vm{number}") for number in range(10)])
    assert programs(guestfs) == ["virt-sysprep", "guestfish", "guestfish"]
    told = guestfs.calls[-1]
    assert [word for word in told.argv if word.endswith(".qcow2")] == [str(image.parent / f"vm{number}.qcow2") for number in range(10)]
    assert 'mount-options "" "/dev/sdj1" "/"' in told.stdin
    assert 'write "/etc/hostname" "vm9\\x0a"' in told.stdin


def test_the_next_init_takes_one_session_only(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    bootstrap(ctx, [machine(ctx, image, "vm0")])
    bootstrap(ctx, [machine(ctx, image, "vm1")])
    assert programs(guestfs) == ["virt-sysprep", "guestfish", "guestfish", "guestfish"]


def test_more_disks_than_a_session_takes_are_told_in_several(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    bootstrap(ctx, [machine(ctx, image, f"vm{number}") for number in range(17)])
    assert programs(guestfs) == ["virt-sysprep", "guestfish", "guestfish", "guestfish"]


def test_the_machines_disk_stands_on_the_image_itself(ctx: TaskContext, image: Path) -> None:
    vm = machine(ctx, image, "vm0", "20M")
    bootstrap(ctx, [vm])
    info = probe(ctx, vm.path)
    assert (info.backing, info.virtual_size) == (image, 20 * 1024**2)


def test_the_image_is_not_written(ctx: TaskContext, image: Path) -> None:
    before = image.read_bytes()
    bootstrap(ctx, [machine(ctx, image, "vm0")])
    assert image.read_bytes() == before


def test_a_disk_that_stands_alone_is_prepared_itself(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    told = Told("vm0", "debian", "ssh-rsa AAAA")
    bootstrap(ctx, [MachineDisk(told, image, "qcow2", preparation(image))])
    assert str(image) in guestfs.calls[0].argv
    assert not is_prepared(preparation(image))


def test_disks_that_cannot_be_mixed_are_told_one_by_one(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    guestfs.answer("guestfish", FOUND.replace("sda1", "vg0/root"))
    bootstrap(ctx, [machine(ctx, image, "vm0"), machine(ctx, image, "vm1")])
    sessions = [call for call in guestfs.calls if "--rw" in call.argv]
    assert [(call.argv[-1], call.argv.count("-a")) for call in sessions] == [("-i", 1), ("-i", 1)]


@pytest.mark.parametrize(
    ("root", "answer"),
    [("", FOUND), ("/dev/sda1", FOUND.replace("root:x:0", "").replace(":0:root:/root:/bin/bash", "")), ("/dev/sda1", "")],
    ids=["not named", "no system on it", "cannot be mounted"],
)
def test_the_root_is_searched_where_the_metadata_does_not_help(
    ctx: TaskContext, image: Path, guestfs: FakeGuestfs, root: str, answer: str
) -> None:
    guestfs.answer("guestfish", FOUND if not root else FOUND.replace("root:x:0:0:root:/root:/bin/bash\n", ""))
    prepare(ctx, preparation(image, root=root))
    assert guestfs.calls[-1].argv[-1] == "-i"


def test_a_separate_root_home_is_searched_for(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    guestfs.answer("guestfish", FOUND.replace("LABEL=x /", "LABEL=x /root"))
    prepare(ctx, preparation(image))
    assert guestfs.calls[-1].argv[-1] == "-i"


def test_a_password_is_in_no_command_line_and_in_no_file_that_stays(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    prepare(ctx, preparation(image, "s3cret"))
    [(word, text)] = guestfs.calls[0].files.items()
    assert text == "s3cret\n"
    assert not any("s3cret" in word for call in guestfs.calls for word in call.argv)
    assert not Path(word.removeprefix("file:")).exists()
    kept = b"".join(path.read_bytes() for path in layer_path(preparation(image, "s3cret")).parent.iterdir())
    assert b"s3cret" not in kept


def test_other_images_passwords_and_content_have_layers_of_their_own(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, "8M"], check=True, timeout=30)
    layers = {layer_path(preparation(image)), layer_path(preparation(image, "x")), layer_path(preparation(other))}
    image.with_name(f"{image.name}.hash").write_text("1234")
    assert len(layers | {layer_path(preparation(image))}) == 4


def test_a_failure_names_the_image_and_leaves_nothing(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    guestfs.answer("virt-sysprep", stderr="virt-sysprep: error: no operating systems were found in the guest image\n", code=1)
    with pytest.raises(GuestfsError) as raised:
        prepare(ctx, preparation(image))
    assert str(image) in raised.value.message and "no operating systems were found" in raised.value.message
    assert "bootstrap: false" in raised.value.hint
    assert [path.suffix for path in layer_path(preparation(image)).parent.iterdir()] == [".lock"]


def test_a_layer_whose_facts_are_lost_is_made_again(ctx: TaskContext, image: Path, guestfs: FakeGuestfs) -> None:
    layer = prepare(ctx, preparation(image))
    layer.with_suffix(".json").unlink()
    prepare(ctx, preparation(image))
    assert json.loads(layer.with_suffix(".json").read_text())["mounts"] == [["/dev/sda1", "/", "ext4"]]
    assert programs(guestfs).count("virt-sysprep") == 2
