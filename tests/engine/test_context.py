"""Tasks: their place in the tree, their logs, and cancel."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext, current_task, hear_logging
from engine.errors import Cancelled, HostRefused
from engine.events import Outcome, TaskLog
from engine.tasktree import TaskNode, TaskTree


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def tree(bus: Bus) -> Iterator[TaskTree]:
    reader = bus.subscribe()
    tree = TaskTree()

    class Filling(TaskTree):
        def walk(self, roots: list[str] | None = None) -> Iterator[TaskNode]:
            for event in reader.take():
                self.apply(event)
            return super().walk(roots)

    tree = Filling()
    yield tree
    reader.close()


def test_children_stand_below_their_parent(bus: Bus, tree: TaskTree) -> None:
    with TaskContext.root(bus, "root", run_id="r") as root, root.child("child") as child, child.child("grandchild"):
        pass
    assert [(node.name, node.depth, node.outcome) for node in tree.walk()] == [
        ("root", 1, Outcome.OK),
        ("child", 2, Outcome.OK),
        ("grandchild", 3, Outcome.OK),
    ]


def test_a_failure_ends_every_task_it_passes_through(bus: Bus, tree: TaskTree) -> None:
    with pytest.raises(HostRefused), TaskContext.root(bus, "root", run_id="r") as root, root.child("child"):
        raise HostRefused("no", hint="try again")
    assert [(node.outcome, node.error) for node in tree.walk()] == [(Outcome.FAILED, "no (try again)")] * 2


def test_cancelled_tasks_are_not_failures(bus: Bus, tree: TaskTree) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled), TaskContext.root(bus, "root", run_id="r", token=token) as root:
        root.sleep(60)
    assert [node.outcome for node in tree.walk()] == [Outcome.CANCELLED]


def test_standard_log_records_land_in_the_task_they_happened_in(bus: Bus, tree: TaskTree) -> None:
    hear_logging()
    hear_logging()
    with TaskContext.root(bus, "root", run_id="r") as root, root.child("child"):
        logging.getLogger("someone.else").warning("careful: %s", "edge")
    logs = {node.name: [log.message for log in node.logs] for node in tree.walk()}
    assert logs == {"root": [], "child": ["careful: edge"]}


def test_there_is_no_task_outside_of_a_run(bus: Bus) -> None:
    with TaskContext.root(bus, "root", run_id="r") as root:
        assert current_task() is root
    assert current_task() is None


def test_a_shielded_task_goes_on_after_a_cancel(bus: Bus) -> None:
    with TaskContext.root(bus, "root", run_id="r") as root:
        root.token.cancel()
        shielded = root.shielded()
        shielded.log("rolling back")
        assert not shielded.cancelled


def test_the_tree_keeps_a_bounded_number_of_log_lines(bus: Bus, tree: TaskTree) -> None:
    with TaskContext.root(bus, "root", run_id="r") as root:
        for number in range(2500):
            root.log(str(number))
    (node,) = tree.walk()
    assert len(node.logs) == 2000
    assert isinstance(node.logs[-1], TaskLog)
    assert node.logs[-1].message == "2499"


def test_a_forgotten_run_is_gone_from_the_tree(bus: Bus, tree: TaskTree) -> None:
    with TaskContext.root(bus, "root", run_id="r") as root, root.child("child"):
        pass
    list(tree.walk())
    tree.forget(root.task_id)
    assert (tree.nodes, tree.roots) == ({}, [])


def test_a_child_token_is_cancelled_with_its_parent() -> None:
    parent = CancelToken()
    child = parent.child()
    parent.cancel()
    assert child.cancelled
    assert parent.child().cancelled


def test_a_parent_goes_on_without_a_cancelled_child() -> None:
    parent = CancelToken()
    parent.child().cancel()
    assert not parent.cancelled
