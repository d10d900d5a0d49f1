from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.errors import PrefixDamaged, PrefixExists, UnknownMachine, WorkdirError
from engine.spec import DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec, NicSpec
from engine.state.prefix import Prefix, is_prefix, new_uuid, remove_tree


@pytest.fixture
def lago_prefix(lago_workdir: Path) -> Prefix:
    return Prefix.at(lago_workdir / "default")


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix.create(tmp_path / ".lago" / "default", uuid=new_uuid(), host="private")


def env_of(prefix: Prefix) -> EnvSpec:
    disk = DiskSpec("root", DiskType.TEMPLATE, "vda", template_name="tiny", path=str(prefix.images / "vm0_root.qcow2"))
    frozen = DiskSpec("root", DiskType.TEMPLATE, "vda", path=str(prefix.images / "vm0_root.old.qcow2"))
    outside = DiskSpec("data", DiskType.FILE, "vdb", format="raw", path="/srv/data.img")
    machine = MachineSpec(
        "vm0", nics=(NicSpec("lan", "192.168.200.2"),), disks=(disk, outside), mgmt_net="lan", snapshots={"clean": (frozen,)}
    )
    return EnvSpec({"vm0": machine}, {"lan": NetSpec("lan", gw="192.168.200.1", management=True)})


def test_prefix_of_lago_knows_its_uuid_and_workdir(lago_prefix: Prefix, lago_workdir: Path) -> None:
    assert (lago_prefix.ref.scoped_name("vm0"), lago_prefix.workdir) == ("763e40cc-vm0", lago_workdir)


def test_prefix_of_lago_has_no_host(lago_prefix: Prefix) -> None:
    assert lago_prefix.host == ""


def test_prefix_without_metadata_has_no_host(lago_prefix: Prefix) -> None:
    (lago_prefix.path / "metadata").unlink()

    assert lago_prefix.host == ""


def test_machine_of_lago_is_read(lago_prefix: Prefix) -> None:
    machine = lago_prefix.machine("vm0")

    assert (machine.memory_mib, machine.ip, machine.root_password) == (1024, "192.168.200.2", "123456")


def test_image_paths_are_absolute_in_memory_also_in_snapshots(lago_prefix: Prefix) -> None:
    machine = lago_prefix.machine("vm0")

    own = str(lago_prefix.images / "vm0_root.qcow2")
    assert [disk.path for disk in (*machine.disks, *machine.snapshots["clean"])] == [own, "/srv/data.img", own]


def test_keys_of_lago_that_are_not_ours_survive_a_save(lago_prefix: Prefix) -> None:
    lago_prefix.save_env(lago_prefix.load_env())

    machine = json.loads((lago_prefix.virt / "vm-vm0").read_text())
    net = json.loads((lago_prefix.virt / "net-lan").read_text())
    assert (machine["artifacts"], machine["service_provider"], net["main_dns"]) == (["/var/log"], "systemd", True)


def test_saved_paths_are_relocatable_and_file_disks_absolute(prefix: Prefix) -> None:
    prefix.save_env(env_of(prefix))

    saved = json.loads((prefix.virt / "vm-vm0").read_text())
    assert [disk["path"] for disk in saved["disks"] + saved["snapshots"]["clean"]] == [
        "$LAGO_PREFIX_PATH/images/vm0_root.qcow2",
        "/srv/data.img",
        "$LAGO_PREFIX_PATH/images/vm0_root.old.qcow2",
    ]


def test_environment_reads_back_as_it_was_saved(prefix: Prefix) -> None:
    env = env_of(prefix)
    prefix.save_env(env)

    assert prefix.load_env() == env


def test_moved_prefix_finds_its_images(prefix: Prefix, tmp_path: Path) -> None:
    prefix.save_env(env_of(prefix))
    prefix.path.rename(tmp_path / "moved")

    moved = Prefix.at(tmp_path / "moved")
    assert moved.machine("vm0").disks[0].path == f"{tmp_path}/moved/images/vm0_root.qcow2"


def test_files_are_indented_as_lago_does(prefix: Prefix) -> None:
    prefix.save_env(env_of(prefix))

    assert (prefix.virt / "env").read_text() == '{\n    "nets": [\n        "lan"\n    ],\n    "vms": [\n        "vm0"\n    ]\n}'


def test_new_prefix_has_lagos_layout_and_ours(prefix: Prefix) -> None:
    assert sorted(entry.name for entry in prefix.path.iterdir()) == [
        "images", "journal", "logs", "metadata", "scripts", "seeds", "uuid", "virt",
    ]  # fmt: skip


def test_new_prefix_is_marked_as_lago_1_0_and_with_its_host(prefix: Prefix) -> None:
    metadata = json.loads((prefix.path / "metadata").read_text())

    assert (metadata["lago_version"], prefix.host) == ("1.0.0", "private")


def test_uuid_file_is_32_hex_digits_without_newline(prefix: Prefix) -> None:
    assert len(prefix.uuid_path.read_bytes()) == 32


def test_prefix_is_one_for_lago_only_after_its_init(prefix: Prefix) -> None:
    before = is_prefix(prefix.path)
    prefix.mark_initialized()

    assert (before, is_prefix(prefix.path)) == (False, True)


def test_creating_again_with_the_same_uuid_is_fine(prefix: Prefix) -> None:
    assert Prefix.create(prefix.path, uuid=prefix.uuid, host="private").uuid == prefix.uuid


def test_creating_over_another_prefix_is_refused(prefix: Prefix) -> None:
    with pytest.raises(PrefixExists):
        Prefix.create(prefix.path, uuid=new_uuid(), host="private")


def test_creating_over_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")

    with pytest.raises(PrefixExists):
        Prefix.create(tmp_path / "mine", uuid=new_uuid(), host="private")


def test_creating_below_a_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(WorkdirError, match=r"/file"):
        Prefix.create(tmp_path / "file" / "default", uuid=new_uuid(), host="private")


@pytest.mark.parametrize("lost", ["env", "net-lan", "vm-vm0"])
def test_missing_file_is_named(lago_prefix: Prefix, lost: str) -> None:
    (lago_prefix.virt / lost).unlink()

    with pytest.raises(PrefixDamaged, match=rf"virt/{lost}' is missing"):
        lago_prefix.load_env()


@pytest.mark.parametrize("content", ["{", "[]", "\0", '{"nets": 3, "vms": []}', '{"nets": [], "vms": ["../../etc/passwd"]}', "{}"])
def test_damaged_list_of_names_is_named(lago_prefix: Prefix, content: str) -> None:
    (lago_prefix.virt / "env").write_text(content)

    with pytest.raises(PrefixDamaged, match=r"virt/env' is damaged"):
        lago_prefix.load_env()


@pytest.mark.parametrize("content", ['{"disks": [{}]}', '{"memory": "much"}', '{"nics": 3}', '{"disks": [{"name": "a", "type": "odd"}]}'])
def test_damaged_machine_is_named(lago_prefix: Prefix, content: str) -> None:
    (lago_prefix.virt / "vm-vm0").write_text(content)

    with pytest.raises(PrefixDamaged, match=r"virt/vm-vm0' is damaged"):
        lago_prefix.machine("vm0")


def test_unknown_machine_is_answered_with_the_nearest(lago_prefix: Prefix) -> None:
    with pytest.raises(UnknownMachine) as caught:
        lago_prefix.machine("vm9")

    assert caught.value.hint == "did you mean 'vm0'?"


def test_lost_uuid_is_no_reference(lago_prefix: Prefix) -> None:
    lago_prefix.uuid_path.unlink()

    with pytest.raises(PrefixDamaged, match="uuid"):
        _ = Prefix.at(lago_prefix.path).ref


def test_removing_takes_the_whole_folder(lago_prefix: Prefix) -> None:
    remove_tree(lago_prefix)

    assert not lago_prefix.path.exists()


def test_removing_twice_is_fine(lago_prefix: Prefix) -> None:
    remove_tree(lago_prefix)
    remove_tree(lago_prefix)


def test_removing_does_not_follow_links(lago_prefix: Prefix, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (lago_prefix.images / "folder").symlink_to(outside)
    (lago_prefix.images / "file").symlink_to(outside / "precious")

    remove_tree(lago_prefix)

    assert (outside / "precious").read_text() == "x"


def test_removing_a_prefix_that_is_a_link_removes_the_link_only(lago_prefix: Prefix, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lago_prefix.path)

    remove_tree(Prefix.at(tmp_path / "link"))

    assert (lago_prefix.uuid_path.is_file(), (tmp_path / "link").is_symlink()) == (True, False)


def test_removing_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "one.txt").write_text("x")

    with pytest.raises(WorkdirError, match="does not look like an environment"):
        remove_tree(Prefix.at(tmp_path / "thesis"))


@pytest.mark.parametrize("left", [(), ("uuid",), ("virt/env",), ("images/a.qcow2",), (".uuid.1-ab.part",)])
def test_removing_a_half_made_prefix(tmp_path: Path, left: tuple[str, ...]) -> None:
    path = tmp_path / "half"
    path.mkdir()
    for name in left:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("")

    remove_tree(Prefix.at(path))

    assert not path.exists()


def test_removing_opens_closed_folders(lago_prefix: Prefix) -> None:
    lago_prefix.images.joinpath("a").write_text("")
    for folder in (lago_prefix.images, lago_prefix.virt):
        folder.chmod(0)

    remove_tree(lago_prefix)

    assert not lago_prefix.path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_creating_in_a_closed_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    with pytest.raises(WorkdirError, match="Permission denied"):
        Prefix.create(tmp_path / "closed" / "default", uuid=new_uuid(), host="private")
