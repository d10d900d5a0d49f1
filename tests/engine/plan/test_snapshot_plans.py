"""Snapshots, checkpoints, ways back and layers as plans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import MachineStateError, SnapshotError
from engine.plan.layers import Layer, plan_tidy
from engine.plan.model import Plan, Recovery
from engine.plan.snapshots import SnapshotRequest, forgotten, overlay_path, plan_forget, plan_revert, plan_snapshot
from engine.spec import DiskSpec, History, MachineSpec, MachineStatus, SnapshotNote
from engine.state.env import EnvState
from tests.engine.plan.test_plans import PREFIX, machine, order, state, step_of

IMAGES = f"{PREFIX}/images"


def image(number: int) -> str:
    return f"{IMAGES}/a_root.{number}.qcow2" if number else f"{IMAGES}/a_root.qcow2"


def on(spec: MachineSpec, number: int) -> tuple[DiskSpec, ...]:
    return (replace(spec.disks[0], path=image(number)),)


def grown(at: str | None, today: int, leftovers: tuple[int, ...] = (), **taken: tuple[int, str | None]) -> MachineSpec:
    """Return machine `a` with snapshots: name → number of its frozen image, and its parent."""
    spec = machine("a", "n1")
    notes = {name: SnapshotNote(parent=parent, created_s=1.0) for name, (_, parent) in taken.items()}
    snapshots = {name: on(spec, number) for name, (number, _) in taken.items()}
    history = History(at, notes, tuple(image(number) for number in leftovers))
    return replace(spec, disks=on(spec, today), snapshots=snapshots, history=history)


def after(plan: Plan, step_id: str) -> MachineSpec:
    step = step_of(plan, step_id)
    return MachineSpec.from_json(step.args.get("after") or step.args["machine"])


def kinds(plan: Plan) -> list[str]:
    return [step.kind.value for step in plan.steps]


def take(env: EnvState, name: str, *machines: str, memory: bool = False, force: bool = False) -> Plan:
    return plan_snapshot(env, SnapshotRequest(name, machines, memory, force, 7.0))


# --- taking ------------------------------------------------------------------------------------------------------


def test_a_snapshot_freezes_every_disk_and_names_new_overlays() -> None:
    saved = after(take(state(a=machine("a", "n1")), "clean"), "snapshot-machine:a")
    assert saved.disks[0].path == image(1)
    assert saved.snapshots["clean"][0].path == image(0)
    assert saved.history == History("clean", {"clean": SnapshotNote(created_s=7.0, up=False)})


def test_a_snapshot_follows_from_the_one_that_the_machine_stands_on() -> None:
    saved = after(take(state(a=grown("one", 1, one=(0, None))), "two"), "snapshot-machine:a")
    assert (saved.history.at, saved.history.note("two").parent) == ("two", "one")


@pytest.mark.parametrize("user", ["snapshot", "leftover"])
def test_an_overlay_never_takes_the_name_of_one_in_use(user: str) -> None:
    spec = grown("s", 0, s=(1, None)) if user == "snapshot" else grown(None, 0, leftovers=(1,))
    assert overlay_path(spec, spec.disks[0]) == image(2)


@pytest.mark.parametrize("name", ["", "-x", " x", "a/b", "../x", "x\n", "a\x1bb"])
def test_a_snapshot_name_that_would_harm_paths_or_terminals_is_refused(name: str) -> None:
    with pytest.raises(SnapshotError):
        take(state(a=machine("a", "n1")), name)


@pytest.mark.parametrize("name", ["after install: 1+1", "schön", "Fri Nov 20 20:45:03 UTC"])
def test_names_of_old_scripts_are_taken_and_their_files_have_plain_ones(name: str) -> None:
    frozen = after(take(state("a", a=machine("a", "n1")), name, memory=True), "checkpoint-machine:a")
    assert list(frozen.snapshots) == [name]
    memory = frozen.history.note(name).memory
    assert memory is not None
    assert re.fullmatch(r"[A-Za-z0-9._-]+", Path(memory).name)


def test_a_disk_used_in_place_cannot_be_frozen() -> None:
    spec = machine("a", "n1")
    with pytest.raises(MachineStateError, match="in_place"):
        take(state(a=replace(spec, disks=(replace(spec.disks[0], in_place=True),))), "s")


def test_a_name_that_is_taken_is_refused_with_the_way_out() -> None:
    with pytest.raises(SnapshotError, match="--force"):
        take(state(a=grown("one", 1, one=(0, None))), "one")


def test_a_forced_name_lets_the_old_snapshot_go_and_keeps_the_tree() -> None:
    spec = grown("two", 2, one=(0, None), two=(1, "one"), other=(5, "one"))
    saved = after(take(state(a=spec), "one", force=True), "snapshot-machine:a")
    assert {name: note.parent for name, note in saved.history.notes.items()} == {"one": "two", "two": None, "other": None}
    assert saved.history.leftovers == (image(0),)
    assert saved.snapshots["one"][0].path == image(2)


# --- with memory -------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_of_one_moment() -> None:
    plan = take(state("a", "b", a=machine("a", "n1"), b=machine("b", "n1"), c=machine("c", "n1")), "cp", memory=True)
    steps = order(plan)
    paused, saved = {"pause-machine:a", "pause-machine:b"}, {"checkpoint-machine:a", "checkpoint-machine:b", "snapshot-machine:c"}
    assert all(set(steps[step]) == paused for step in saved)
    assert all(set(steps[f"resume-machine:{name}"]) == saved for name in "ab")
    assert "resume-machine:c" not in steps
    assert plan.recovery is Recovery.UNDO


def test_a_machine_that_its_user_holds_is_not_let_go() -> None:
    env = state("a", a=machine("a", "n1"))
    held = replace(env, machines={"a": replace(env.machines["a"], status=MachineStatus.PAUSED)})
    assert kinds(take(held, "cp", memory=True)) == ["checkpoint-machine"]


def test_memories_have_files_of_their_own() -> None:
    first = after(take(state("a", a=machine("a", "n1")), "cp", memory=True), "checkpoint-machine:a")
    again = after(take(state("a", a=first), "cp", memory=True, force=True), "checkpoint-machine:a")
    assert first.history.note("cp").memory == f"{PREFIX}/memory/a/cp.mem"
    assert again.history.note("cp").memory == f"{PREFIX}/memory/a/cp.2.mem"
    assert set(again.history.leftovers) == {f"{PREFIX}/memory/a/cp.mem", image(0)}


# --- back --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        (("a", "n1"), ["check-snapshot", "make-overlays", "stop-machine", "save-machine", "start-machine"]),
        ((), ["check-snapshot", "make-overlays", "save-machine"]),
    ],
)
def test_going_back_to_disks_stops_and_starts_only_what_was_up(up: tuple[str, ...], expected: list[str]) -> None:
    assert kinds(plan_revert(state(*up, a=grown("s", 1, s=(0, None))), "s")) == expected


def test_going_back_to_a_checkpoint_brings_back_who_was_up_and_who_was_down() -> None:
    env = state("a", "b", a=machine("a", "n1"), b=machine("b", "n1"))
    up = after(take(env, "cp", memory=True), "checkpoint-machine:a")
    down = after(take(state(b=machine("b", "n1")), "cp", memory=True), "snapshot-machine:b")
    now_down, now_up = state("b", a=up, b=down), plan_revert(state("b", a=up, b=down), "cp")
    assert now_down.nets["n1"].up is False
    steps = order(now_up)
    assert {"start-net:n1", "restore-machine:a", "resume-machine:a", "set-clock:a", "stop-machine:b"} <= steps.keys()
    assert not {"start-machine:a", "start-machine:b", "restore-machine:b"} & steps.keys()


def test_nothing_stops_before_everything_was_looked_at_and_made() -> None:
    plan = plan_revert(state("a", "b", "n1", a=grown("s", 1, s=(0, None)), b=replace(grown("s", 1, s=(0, None)), name="b")), "s")
    steps = order(plan)
    assert {"make-overlays:a", "make-overlays:b"} <= set(steps["stop-machine:a"])
    assert set(steps["make-overlays:a"]) == {"check-snapshot:a", "check-snapshot:b"}


def test_the_overlay_left_behind_is_remembered() -> None:
    saved = after(plan_revert(state(a=grown("two", 2, one=(0, None), two=(1, "one"))), "one"), "save-machine:a")
    assert (saved.disks[0].path, saved.history.at, saved.history.leftovers) == (image(3), "one", (image(2),))


def test_going_back_names_the_machines_that_can() -> None:
    with pytest.raises(SnapshotError, match="revert s a"):
        plan_revert(state(a=grown("s", 1, s=(0, None)), b=machine("b", "n1")), "s")


# --- letting go --------------------------------------------------------------------------------------------------


def test_forgetting_asks_only_those_who_have_it() -> None:
    plan = plan_forget(state(a=grown("s", 1, s=(0, None)), b=machine("b", "n1")), "s")
    assert list(order(plan)) == ["save-machine:a"]
    with pytest.raises(SnapshotError):
        plan_forget(state(a=grown("s", 1, s=(0, None)), b=machine("b", "n1")), "s", ["b"])


def test_what_followed_from_a_forgotten_snapshot_follows_from_its_parent() -> None:
    spec = forgotten(grown("two", 2, one=(0, None), two=(1, "one"), three=(5, "two")), "two")
    assert (spec.history.at, spec.history.note("three").parent) == ("one", "one")
    assert spec.history.leftovers == (image(1),)


def tidied(spec: MachineSpec, layers: Mapping[int, tuple[int | None, int]], *, up: bool = False) -> list[tuple[str, ...]]:
    """Return what is done to images: number → what it stands on, and its size."""
    found = {image(n): Layer(image(below) if below is not None else "/store/tiny", "qcow2", size) for n, (below, size) in layers.items()}
    plan = plan_tidy(state("a", a=spec) if up else state(a=spec), {"a": found})
    said: list[tuple[str, ...]] = []
    for step in plan.steps:
        args = step.args
        said.append(("remove", *args["paths"]) if "paths" in args else (args["way"], args["base"], args["top"]))
    return said


def test_an_image_that_nobody_names_and_nothing_stands_on_goes() -> None:
    assert tidied(grown(None, 0, leftovers=(3, 2)), {0: (None, 9), 2: (0, 9), 3: (2, 9)}) == [("remove", image(3), image(2))]


def test_an_image_that_two_stand_on_stays() -> None:
    assert tidied(grown("b", 2, leftovers=(0,), b=(1, None)), {0: (None, 9), 1: (0, 9), 2: (0, 9)}) == []


@pytest.mark.parametrize(("base", "top", "way"), [(9, 1, "down"), (1, 9, "up")])
def test_of_two_images_the_smaller_one_is_moved(base: int, top: int, way: str) -> None:
    assert tidied(grown(None, 1, leftovers=(0,)), {0: (None, base), 1: (0, top)}) == [(way, image(0), image(1))]


def test_the_middle_of_what_a_machine_runs_on_moves_down_only() -> None:
    spec, layers = grown("b", 2, leftovers=(0,), b=(1, None)), {0: (None, 1), 1: (0, 9), 2: (1, 1)}
    assert tidied(spec, layers, up=True) == [("down", image(0), image(1))]
    assert tidied(spec, layers) == [("up", image(0), image(1))]


def test_two_images_that_nobody_names_end_as_one() -> None:
    done = tidied(grown(None, 2, leftovers=(0, 1)), {0: (None, 9), 1: (0, 8), 2: (1, 1)})
    assert done == [("down", image(0), image(1)), ("down", image(0), image(2))]


def test_images_outside_of_the_prefix_are_never_touched() -> None:
    spec = machine("a", "n1")
    own = replace(spec, history=History(leftovers=("/srv/mine.qcow2",)))
    plan = plan_tidy(state(a=own), {"a": {"/srv/mine.qcow2": Layer(None, "raw", 1), image(0): Layer("/srv/mine.qcow2", "qcow2", 1)}})
    assert plan.steps == ()


# --- what is remembered ------------------------------------------------------------------------------------------


def test_a_history_survives_its_file() -> None:
    spec = after(take(state("a", a=grown("one", 1, (7,), one=(0, None))), "cp", memory=True), "checkpoint-machine:a")
    assert MachineSpec.from_json(spec.to_json()) == spec


def test_a_machine_without_snapshots_has_no_word_of_ours() -> None:
    assert "lagotui_snapshots" not in machine("a", "n1").to_json()


def test_what_the_predecessor_removed_is_no_longer_remembered() -> None:
    data = grown("two", 2, one=(0, None), two=(1, "one")).to_json()
    del data["snapshots"]["one"]
    assert MachineSpec.from_json(data).history == History("two", {"two": SnapshotNote(created_s=1.0)})
