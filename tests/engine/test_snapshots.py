"""Snapshots with real images on a host in memory: what is kept, what is freed, what a failure leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.errors import EngineError, HostRefused, SnapshotError
from engine.state.prefix import Prefix
from tests.engine.bench import Bench

KIB = 1024


def today(prefix: Prefix, machine: str = "vm0") -> str:
    return prefix.machine(machine).disks[0].path or ""


def write(prefix: Prefix, pattern: int, at_kib: int, length_kib: int = 64) -> None:
    """Write to the disk of the machine `vm0`, as it would."""
    io(today(prefix), f"write -P {pattern} {at_kib}k {length_kib}k")


def holds(image: str, pattern: int, at_kib: int) -> bool:
    return "failed" not in io(image, f"read -P {pattern} {at_kib}k 64k")


def io(image: str, command: str) -> str:
    return subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, image], check=True, capture_output=True, text=True).stdout


def images(prefix: Prefix) -> list[str]:
    return sorted(path.name for path in prefix.images.iterdir() if path.name.startswith("vm0_root"))


def memories(prefix: Prefix) -> list[str]:
    return sorted(str(path.relative_to(prefix.path / "memory")) for path in (prefix.path / "memory").rglob("*.mem"))


def test_some_machines_can_be_frozen_and_put_back(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "one", ["vm1"]).result(60)
    assert [list(machine.snapshots) for machine in prefix.load_env().machines.values()] == [[], ["one"]]
    before = today(prefix, "vm1")
    bench.engine.revert(prefix, "one", ["vm1"]).result(60)
    assert (today(prefix, "vm1") != before, Path(before).exists()) == (True, False)


def test_a_checkpoint_is_gone_back_to_without_a_boot(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    assert memories(prefix) == ["vm0/cp.mem", "vm1/cp.mem"]
    bench.engine.stop(prefix).result(60)
    bench.engine.revert(prefix, "cp").result(60)
    assert bench.engine.state(prefix).up_count == 2
    assert bench.host.paused == set()
    assert {net for _, net in bench.host.nets} == {"n0"}


def test_a_failed_checkpoint_leaves_everything_as_it_was(bench: Bench) -> None:
    prefix = bench.up()
    before = prefix.load_env()
    bench.host.refuse_memory = frozenset({"vm1"})
    with pytest.raises(HostRefused):
        bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    assert (prefix.load_env(), memories(prefix), bench.host.paused) == (before, [], set())
    assert images(prefix) == ["vm0_root.qcow2"]


def test_a_failed_revert_leaves_every_machine_on_its_disks(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    before, files = prefix.load_env(), images(prefix)
    bench.host.refuse_memory = frozenset({"vm1"})
    with pytest.raises(HostRefused):
        bench.engine.revert(prefix, "cp").result(60)
    assert (prefix.load_env(), images(prefix)) == (before, files)
    assert bench.engine.state(prefix).up_count == 2


@pytest.mark.parametrize("lost", ["image", "memory"])
def test_nothing_is_touched_when_something_of_one_machine_is_lost(bench: Bench, lost: str) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    frozen = prefix.machine("vm1").snapshots["cp"][0].path or ""
    Path(frozen if lost == "image" else prefix.path / "memory/vm1/cp.mem").unlink()
    running = dict(bench.host.started_at_s)
    with pytest.raises(SnapshotError, match="nothing was changed"):
        bench.engine.revert(prefix, "cp").result(60)
    assert bench.host.started_at_s == running


@pytest.mark.parametrize(("first_kib", "second_kib"), [(64, 512), (512, 64)])
def test_deleting_keeps_what_the_machine_holds_and_what_others_froze(bench: Bench, first_kib: int, second_kib: int) -> None:
    prefix = bench.init()
    write(prefix, 1, 0, first_kib)
    bench.engine.snapshot(prefix, "a", ["vm0"]).result(60)
    write(prefix, 2, 600, second_kib)
    bench.engine.snapshot(prefix, "b", ["vm0"]).result(60)
    write(prefix, 3, 0)
    bench.engine.delete_snapshot(prefix, "a").result(60)
    machine = prefix.machine("vm0")
    assert list(machine.snapshots) == ["b"]
    assert machine.history.leftovers == ()
    assert len(images(prefix)) == 2
    assert holds(today(prefix), 3, 0) and holds(today(prefix), 2, 600)
    frozen = machine.snapshots["b"][0].path or ""
    assert holds(frozen, 1, 0) and holds(frozen, 2, 600)


def test_a_layer_that_others_stand_on_stays_until_they_go(bench: Bench) -> None:
    prefix = bench.init()
    for name in ("a", "b"):
        write(prefix, ord(name), 0)
        bench.engine.snapshot(prefix, name, ["vm0"]).result(60)
    bench.engine.revert(prefix, "a", ["vm0"]).result(60)
    assert bench.engine.delete_snapshot(prefix, "a").result(60) == 0
    assert len(images(prefix)) == 3
    bench.engine.delete_snapshot(prefix, "b").result(60)
    assert len(images(prefix)) == 1
    assert holds(today(prefix), ord("a"), 0)


def test_deleting_removes_the_memory_and_says_how_much(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    (prefix.path / "memory/vm0/cp.mem").write_bytes(b"m" * 100 * KIB)
    assert bench.engine.delete_snapshot(prefix, "cp").result(60) >= 100 * KIB
    assert memories(prefix) == []


def test_a_forced_name_loses_nothing_when_the_new_one_fails(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    before = prefix.load_env()
    bench.host.refuse_memory = frozenset({"vm1"})
    with pytest.raises(EngineError):
        bench.engine.snapshot(prefix, "cp", memory=True, force=True).result(60)
    assert (prefix.load_env(), memories(prefix)) == (before, ["vm0/cp.mem", "vm1/cp.mem"])


def test_a_forced_name_is_that_of_the_new_one(bench: Bench) -> None:
    prefix = bench.init()
    write(prefix, 1, 0)
    bench.engine.snapshot(prefix, "s").result(60)
    write(prefix, 2, 0)
    bench.engine.snapshot(prefix, "s", force=True).result(60)
    write(prefix, 3, 0)
    bench.engine.revert(prefix, "s").result(60)
    assert holds(today(prefix), 2, 0)
    assert len(images(prefix)) == 2


def test_the_tree_says_where_machines_are(bench: Bench) -> None:
    prefix = bench.up()
    for name in ("a", "b"):
        bench.engine.snapshot(prefix, name, memory=name == "b").result(60)
    bench.engine.revert(prefix, "a").result(60)
    told = [(info.name, info.parent, info.memory, info.current) for info in bench.engine.snapshots(prefix)["vm0"]]
    assert told == [("a", None, False, True), ("b", "a", True, False)]


def test_a_moved_environment_goes_back_to_its_memory(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    bench.engine.stop(prefix).result(60)
    prefix.path.parent.rename(bench.folder / "moved")
    moved = Prefix.at(bench.folder / "moved" / prefix.name)
    bench.engine.revert(moved, "cp").result(60)
    assert today(moved).startswith(str(moved.path))
    assert bench.engine.state(moved).up_count == 2


def test_an_init_file_made_from_it_has_no_word_of_snapshots(bench: Bench) -> None:
    prefix = bench.up()
    before = bench.engine.generate_init(prefix)
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    assert bench.engine.generate_init(prefix) == before


def test_the_predecessor_reads_its_own_words_only(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "cp", memory=True).result(60)
    data = prefix.machine("vm0").to_json()
    assert [list(disk) for disk in data["snapshots"]["cp"]] == [list(disk) for disk in data["disks"]]
    text = (prefix.virt / "vm-vm0").read_text()
    assert '"memory": "$LAGO_PREFIX_PATH/memory/vm0/cp.mem"' in text
