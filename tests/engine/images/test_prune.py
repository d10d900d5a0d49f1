"""Pruning the store: what an environment stands on stays, and so does everything that might be needed by one we cannot read."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import TemplateError
from engine.images.importing import ImportRequest, import_image
from engine.images.prune import Pruned, prune
from engine.images.store import Store
from engine.spec import DiskSpec, DiskType, EnvSpec, MachineSpec
from engine.state import known
from engine.state.home import data_home, state_home
from engine.state.prefix import Prefix, new_uuid


@pytest.fixture
def store() -> Store:
    root = data_home() / "store"
    root.mkdir(parents=True)
    return Store(root)


def put(store: Store, name: str, at_s: float = 1.0) -> Path:
    """Put an image into the store; the higher `at_s`, the newer it is."""
    path = store.root / name
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True, timeout=30)
    for suffix in (".hash", ".metadata"):
        path.with_name(name + suffix).write_text("{}")
    os.utime(path, (at_s, at_s))
    return path


def overlay(path: Path, backing: Path) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", path], check=True, timeout=30)
    return path


@pytest.fixture
def env(tmp_path: Path) -> Prefix:
    """A known environment without machines."""
    prefix = Prefix.create(tmp_path / "w" / "default", uuid=new_uuid(), host="private")
    prefix.save_env(EnvSpec({}, {}))
    prefix.mark_initialized()
    known.register(prefix.path, prefix.uuid, None)
    return prefix


def with_disk(env: Prefix, disk: Path, frozen: Path | None = None) -> None:
    def spec(path: Path) -> DiskSpec:
        return DiskSpec("root", DiskType.FILE, "vda", path=str(path))

    snapshots = {"s": (spec(frozen),)} if frozen else {}
    env.save_env(EnvSpec({"vm0": MachineSpec("vm0", disks=(spec(disk),), snapshots=snapshots)}, {}))


def removed(pruned: Pruned) -> list[str]:
    return [path.name for path in pruned.removed]


def reasons(pruned: Pruned) -> str:
    return " | ".join(kept.reason for kept in pruned.kept)


def test_older_versions_go_and_the_newest_stays(ctx: TaskContext, store: Store) -> None:
    put(store, "repo:el7:1", at_s=1)
    put(store, "repo:el7:2", at_s=2)
    pruned = prune(ctx, store)
    assert (removed(pruned), [path.name for path in store.root.iterdir() if path.suffix == ""]) == (["repo:el7:1"], ["repo:el7:2"])


def test_sidecars_go_along(ctx: TaskContext, store: Store) -> None:
    put(store, "repo:el7:1")
    prune(ctx, store, all_unused=True)
    assert [path.name for path in store.root.iterdir()] == ["repo:el7:1.lock"]


def test_what_was_freed_is_counted(ctx: TaskContext, store: Store) -> None:
    size = put(store, "repo:el7:1").stat().st_blocks * 512
    assert prune(ctx, store, all_unused=True).freed_bytes == size


def test_a_dry_run_removes_nothing(ctx: TaskContext, store: Store) -> None:
    path = put(store, "repo:el7:1")
    assert (removed(prune(ctx, store, dry_run=True, all_unused=True)), path.is_file()) == (["repo:el7:1"], True)


def test_imported_images_go_only_when_all_go(ctx: TaskContext, store: Store, qcow2: Path) -> None:
    import_image(ctx, store, ImportRequest(str(qcow2), "mine"))
    assert (removed(prune(ctx, store)), removed(prune(ctx, store, all_unused=True))) == ([], ["local:mine:1"])


def test_what_a_disk_stands_on_stays(ctx: TaskContext, store: Store, env: Prefix) -> None:
    with_disk(env, overlay(env.images / "vm0_root.qcow2", put(store, "repo:el7:1")))
    pruned = prune(ctx, store, all_unused=True)
    assert (removed(pruned), f"environment '{env.path}' stands on it" in reasons(pruned)) == ([], True)


def test_what_a_disk_stands_on_through_others_stays(ctx: TaskContext, store: Store, env: Prefix, tmp_path: Path) -> None:
    middle = overlay(tmp_path / "elsewhere.qcow2", put(store, "repo:el7:1"))
    with_disk(env, overlay(env.images / "vm0_root.qcow2", middle))
    assert removed(prune(ctx, store, all_unused=True)) == []


def test_what_only_a_snapshot_stands_on_stays(ctx: TaskContext, store: Store, env: Prefix, tmp_path: Path) -> None:
    frozen = overlay(tmp_path / "frozen.qcow2", put(store, "repo:el7:1"))
    with_disk(env, put(store, "repo:el7:2"), frozen)
    assert removed(prune(ctx, store, all_unused=True)) == []


def test_what_an_image_that_no_machine_names_stands_on_stays(ctx: TaskContext, store: Store, env: Prefix) -> None:
    overlay(env.images / "forgotten.qcow2", put(store, "repo:el7:1"))
    assert removed(prune(ctx, store, all_unused=True)) == []


def test_a_link_to_an_image_keeps_it(ctx: TaskContext, store: Store, env: Prefix, tmp_path: Path) -> None:
    link = tmp_path / "el7:1"
    link.symlink_to(put(store, "repo:el7:1"))
    with_disk(env, overlay(env.images / "vm0_root.qcow2", link))
    assert removed(prune(ctx, store, all_unused=True)) == []


@pytest.mark.parametrize("damage", ["virt/env", "virt/vm-vm0"])
def test_a_damaged_environment_keeps_everything(ctx: TaskContext, store: Store, env: Prefix, damage: str) -> None:
    put(store, "repo:el7:1")
    with_disk(env, env.images / "gone.qcow2")
    (env.path / damage).write_text("{")
    pruned = prune(ctx, store, all_unused=True)
    assert (removed(pruned), str(env.path) in reasons(pruned), "cannot be read" in reasons(pruned)) == ([], True, True)


def test_an_image_that_cannot_be_followed_keeps_everything(ctx: TaskContext, store: Store, env: Prefix) -> None:
    base = put(store, "repo:el7:1")
    name = f'json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{base}"}}}}'
    image = env.images / "vm0_root.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", name, "-F", "qcow2", image], check=True, timeout=30)
    assert "json:" in reasons(prune(ctx, store, all_unused=True))


def test_a_damaged_entry_of_the_list_keeps_everything(ctx: TaskContext, store: Store) -> None:
    put(store, "repo:el7:1")
    folder = state_home() / "environments"
    folder.mkdir(parents=True)
    (folder / "abc.json").write_text("{")
    assert removed(prune(ctx, store, all_unused=True)) == []


def test_an_environment_that_was_deleted_keeps_nothing(ctx: TaskContext, store: Store, env: Prefix) -> None:
    put(store, "repo:el7:1")
    subprocess.run(["rm", "-r", env.path], check=True, timeout=30)
    assert removed(prune(ctx, store, all_unused=True)) == ["repo:el7:1"]


def test_what_an_init_that_is_under_way_names_stays(ctx: TaskContext, store: Store) -> None:
    path = put(store, "repo:el7:1")
    journal = state_home() / "journal" / "abc" / "run-init.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text(f'{{"run":{{"source":"{path}"}}}}\n')
    assert "has not ended" in reasons(prune(ctx, store, all_unused=True))


def test_an_image_that_another_run_works_on_stays(ctx: TaskContext, store: Store) -> None:
    import fcntl

    put(store, "repo:el7:1")
    with (store.root / "repo:el7:1.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert reasons(prune(ctx, store, all_unused=True)) == "another run works on it"


def test_what_downloads_left_goes(ctx: TaskContext, store: Store) -> None:
    for suffix in (".part", ".resume", ".tmp"):
        (store.root / f"repo:el7:1{suffix}").write_bytes(b"half")
    prune(ctx, store)
    assert [path.name for path in store.root.iterdir()] == ["repo:el7:1.lock"]


def test_other_files_are_left_alone(ctx: TaskContext, store: Store) -> None:
    (store.root / "notes.part").write_text("mine")
    prune(ctx, store, all_unused=True)
    assert (store.root / "notes.part").is_file()


def test_a_shared_store_is_not_pruned_unasked(ctx: TaskContext, tmp_path: Path) -> None:
    shared = Store(tmp_path / "shared")
    shared.root.mkdir()
    shared.root.chmod(0o775)
    put(shared, "repo:el7:1")
    with pytest.raises(TemplateError, match="is shared with other people") as caught:
        prune(ctx, shared, all_unused=True)
    assert ("--shared" in caught.value.hint, removed(prune(ctx, shared, all_unused=True, shared=True))) == (True, ["repo:el7:1"])


@pytest.mark.parametrize(("mode", "above", "is_shared"), [(0o755, 0o755, True), (0o700, 0o755, False), (0o755, 0o700, False)])
def test_a_store_that_others_can_read_is_shared(ctx: TaskContext, tmp_path: Path, mode: int, above: int, is_shared: bool) -> None:
    """Its folder is below one that is open to all: the tests' own is not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        store = Store(Path(name) / "store")
        store.root.mkdir()
        store.root.chmod(mode)
        Path(name).chmod(above)
        put(store, "repo:el7:1")
        try:
            gone = removed(prune(ctx, store, all_unused=True))
        except TemplateError:
            gone = []
        assert gone == ([] if is_shared else ["repo:el7:1"])


def test_what_is_set_aside_keeps_its_image(ctx: TaskContext, store: Store, env: Prefix) -> None:
    (env.path / "aside" / "vm0").mkdir(parents=True)
    overlay(env.path / "aside" / "vm0" / "vm0_root.qcow2", put(store, "repo:el7:1"))
    assert removed(prune(ctx, store, all_unused=True)) == []


def test_what_a_machine_that_nobody_knows_runs_on_stays(ctx: TaskContext, store: Store) -> None:
    path = put(store, "repo:el7:1")
    holder = subprocess.Popen(["qemu-io", "-r", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdout.read(1)  # its prompt: the image is open
    try:
        assert reasons(prune(ctx, store, all_unused=True)) == "a machine that is running stands on it"
    finally:
        holder.communicate(b"quit\n", timeout=30)
    assert removed(prune(ctx, store, all_unused=True)) == ["repo:el7:1"]


def test_an_empty_store_is_pruned_of_nothing(ctx: TaskContext, tmp_path: Path) -> None:
    assert removed(prune(ctx, Store(tmp_path / "none"))) == []


def test_a_machine_made_meanwhile_keeps_its_image(ctx: TaskContext, store: Store, env: Prefix) -> None:
    image = put(store, "repo:el7:1")
    seen = threading.Event()

    def still() -> bool:
        seen.set()
        return False

    assert (store.remove(image, still), seen.is_set(), image.is_file()) == (False, True, True)
