"""Events → the tree of tasks that a person sees. Pure: no clock, no I/O; shared by the UI, headless and the log file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from .events import Event, Outcome, TaskFinished, TaskLog, TaskProgress, TaskStarted

LOGS_PER_TASK = 2000
"""Log lines kept of each task; the oldest go first."""


@dataclass(slots=True)
class TaskNode:
    id: str
    parent_id: str | None
    name: str
    run_id: str
    env: str
    depth: int
    """1 for the root task of a run."""
    started_at_s: float
    outcome: Outcome | None = None
    """None while it runs."""
    duration_s: float | None = None
    error: str = ""
    progress: TaskProgress | None = None
    children: list[str] = field(default_factory=list)
    logs: deque[TaskLog] = field(default_factory=lambda: deque(maxlen=LOGS_PER_TASK))

    @property
    def running(self) -> bool:
        return self.outcome is None


class TaskTree:
    """All tasks seen so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, TaskNode] = {}
        self.roots: list[str] = []

    def apply(self, event: Event) -> str | None:
        """Take one event in; return the id of the task it changed, None when it is about no task known here."""
        match event:
            case TaskStarted():
                self._start(event)
                return event.task_id
            case TaskProgress() | TaskLog() | TaskFinished():
                node = self.nodes.get(event.task_id)
                if node is None:
                    return None
                self._update(node, event)
                return node.id
            case _:
                return None

    def walk(self, roots: list[str] | None = None) -> Iterator[TaskNode]:
        """Yield tasks in display order, parents first."""
        stack = list(reversed(self.roots if roots is None else roots))
        while stack:
            node = self.nodes[stack.pop()]
            yield node
            stack.extend(reversed(node.children))

    def ancestors(self, node: TaskNode) -> list[TaskNode]:
        """Return the tasks above `node`, outermost first."""
        above: list[TaskNode] = []
        while node.parent_id is not None and node.parent_id in self.nodes:
            node = self.nodes[node.parent_id]
            above.insert(0, node)
        return above

    def forget(self, root_id: str) -> None:
        """Drop a finished run."""
        for node in list(self.walk([root_id])):
            del self.nodes[node.id]
        self.roots.remove(root_id)

    def _start(self, event: TaskStarted) -> None:
        parent = self.nodes.get(event.parent_id) if event.parent_id else None
        node = TaskNode(event.task_id, event.parent_id, event.name, event.run_id, event.env, parent.depth + 1 if parent else 1, event.at_s)
        self.nodes[node.id] = node
        if parent is None:
            self.roots.append(node.id)
        else:
            parent.children.append(node.id)

    @staticmethod
    def _update(node: TaskNode, event: TaskProgress | TaskLog | TaskFinished) -> None:
        match event:
            case TaskProgress():
                node.progress = event
            case TaskLog():
                node.logs.append(event)
            case TaskFinished():
                node.outcome, node.duration_s, node.error = event.outcome, event.duration_s, event.error
