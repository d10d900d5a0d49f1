"""The live task tree. Takes the tree as it is, flattens it when its shape changes, draws it at most ten times a second."""

from __future__ import annotations

from collections.abc import Callable

from engine.tasktree import TaskTree

from ..present.cells import Line
from ..present.tasks import TaskRow, last_active_index, roots_of, row_line, summary, visible_rows
from .line_list import LineList

FRAME_S = 0.1
"""Least time between two drawings."""


class TaskPane(LineList):
    """Shows the runs of one environment, or all of them; follows the newest work until the user moves into it."""

    def __init__(self, tree: TaskTree, clock: Callable[[], float], *, env: str | None = None, id: str | None = None) -> None:
        """Show the runs of `env`; all of them for None."""
        super().__init__(id=id, title="Tasks")
        self._tree = tree
        self._clock = clock
        self._env = env
        self._rows: list[TaskRow] = []
        self._folds: dict[str, bool] = {}
        self._shape_changed = True
        self._pending = False

    @property
    def running(self) -> bool:
        """Whether a run on show is going on."""
        return any(self._tree.nodes[root].running for root in roots_of(self._tree, self._env))

    def on_mount(self) -> None:
        self.set_interval(0.25, self._tick)
        self.redraw()

    def changed(self, *, shape: bool) -> None:
        """Say that the tree changed; it is drawn soon, however often this is called."""
        self._shape_changed = self._shape_changed or shape
        if not self._pending:
            self._pending = True
            self.set_timer(FRAME_S, self.redraw)

    def redraw(self) -> None:
        self._pending = False
        if self._shape_changed or self._logs_unfolded:
            self._flatten()
        self.refresh()

    def line(self, index: int, width: int) -> Line:
        return row_line(self._rows[index], self._tree, width, self._clock())

    def action_mark(self) -> None:
        """Fold or unfold the task under the cursor."""
        if not self._rows:
            return
        row = self._rows[self.cursor]
        node = self._tree.nodes.get(row.task_id)
        if node is not None and (row.folded is not None or node.logs):
            self._folds[row.task_id] = row.folded is False
            self._flatten()

    @property
    def _logs_unfolded(self) -> bool:
        return any(not folded for folded in self._folds.values())

    def _tick(self) -> None:
        """Let clocks and spinners go on while something runs."""
        if self.running and not self._pending:
            self.refresh()

    def _flatten(self) -> None:
        self._shape_changed = False
        roots = roots_of(self._tree, self._env)
        at = self._rows[self.cursor].task_id if self.cursor < len(self._rows) else ""
        self._rows = visible_rows(self._tree, roots, self._folds)
        self.say_below(summary(self._tree, roots))
        self.set_line_count(len(self._rows))
        if self.has_focus:
            self.cursor = next((index for index, row in enumerate(self._rows) if row.task_id == at), self.cursor)
        elif self._rows:
            self.cursor = last_active_index(self._rows, self._tree)
            self.show_line(self.cursor)
