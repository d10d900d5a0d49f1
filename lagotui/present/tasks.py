"""The task tree → visible rows → lines. Rows are made when the shape changes; lines only for what is on screen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from engine.events import Outcome, TaskLog, TaskProgress
from engine.tasktree import TaskNode, TaskTree

from .cells import Line, Span, clean, duration_text, fit, line_len, meter, size_text

LOG_ROWS = 200
"""Last log lines of a task that unfolding it shows."""

SPINNER = "◐◓◑◒"
BAR_WIDTH = 12
_SYMBOLS = {
    Outcome.OK: Span("✔", "task-done"),
    Outcome.FAILED: Span("✖", "task-failed"),
    Outcome.CANCELLED: Span("⊘", "task-cancelled"),
}


class RowKind(Enum):
    TASK = "task"
    LOG = "log"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class TaskRow:
    kind: RowKind
    task_id: str
    depth: int
    text: str = ""
    """Of log and error rows."""
    level: int = 0
    """Of log rows: a level of `logging`."""
    folded: bool | None = None
    """None: there is nothing to unfold."""


def roots_of(tree: TaskTree, env: str | None) -> list[str]:
    """Return the runs on `env`, oldest first; all runs for None."""
    return [root for root in tree.roots if env is None or tree.nodes[root].env == env]


def visible_rows(tree: TaskTree, roots: Sequence[str], folds: Mapping[str, bool]) -> list[TaskRow]:
    """Flatten what is unfolded.

    Args:
        folds: what the user folded (True) or unfolded (False); the other tasks fold when they end well, the last run excepted.
    """
    rows: list[TaskRow] = []
    for root in roots:
        _add(rows, tree, tree.nodes[root], folds, root == roots[-1])
    return rows


def row_line(row: TaskRow, tree: TaskTree, width: int, now_s: float) -> Line:
    """Draw one row in `width` cells."""
    indent = "  " * row.depth
    if row.kind is RowKind.LOG:
        return fit((Span(f"{indent}  │ ", "dim"), Span(row.text, _log_colour(row.level))), width)
    if row.kind is RowKind.ERROR:
        return fit((Span(f"{indent}  └ ", "task-failed"), Span(row.text, "task-failed")), width)
    node = tree.nodes.get(row.task_id)
    return () if node is None else _task_line(node, row, indent, width, now_s)


def summary(tree: TaskTree, roots: Sequence[str]) -> str:
    """Return the state of the runs in a few words: `1 running`, `last one failed`."""
    running = sum(tree.nodes[root].running for root in roots)
    if running:
        return f"{running} running"
    if not roots:
        return ""
    return {Outcome.OK: "done", Outcome.FAILED: "failed", Outcome.CANCELLED: "cancelled"}[tree.nodes[roots[-1]].outcome or Outcome.OK]


def last_active_index(rows: Sequence[TaskRow], tree: TaskTree) -> int:
    """Return the row to keep in sight: the last one that runs or failed, else the last one."""
    for index in range(len(rows) - 1, -1, -1):
        node = tree.nodes.get(rows[index].task_id)
        if node is not None and (node.running or rows[index].kind is RowKind.ERROR):
            return index
    return max(0, len(rows) - 1)


def _add(rows: list[TaskRow], tree: TaskTree, node: TaskNode, folds: Mapping[str, bool], in_last_run: bool) -> None:
    foldable = bool(node.children or node.logs)
    folded = folds.get(node.id, _folds_itself(node, in_last_run)) if foldable else None
    rows.append(TaskRow(RowKind.TASK, node.id, node.depth - 1, folded=folded))
    if folded is False:
        for child in node.children:
            _add(rows, tree, tree.nodes[child], folds, in_last_run)
        if not node.children or folds.get(node.id) is False:
            rows.extend(_log_rows(node))
    if node.error and node.outcome is Outcome.FAILED and not _told_below(tree, node):
        rows.append(TaskRow(RowKind.ERROR, node.id, node.depth - 1, clean(node.error)))


def _folds_itself(node: TaskNode, in_last_run: bool) -> bool:
    if not node.children:
        return True
    return node.outcome in (Outcome.OK, Outcome.CANCELLED) and not in_last_run


def _told_below(tree: TaskTree, node: TaskNode) -> bool:
    """Whether a child carries the same error: it travels up with the exception."""
    return any(tree.nodes[child].error == node.error for child in node.children)


def _log_rows(node: TaskNode) -> list[TaskRow]:
    skipped = max(0, len(node.logs) - LOG_ROWS)
    rows = [_log_row(node, log) for log in islice(node.logs, skipped, None)]
    if skipped:
        rows.insert(0, TaskRow(RowKind.LOG, node.id, node.depth - 1, f"… {skipped} earlier lines", logging.DEBUG))
    return rows


def _log_row(node: TaskNode, log: TaskLog) -> TaskRow:
    return TaskRow(RowKind.LOG, node.id, node.depth - 1, clean(log.message), log.level)


def _task_line(node: TaskNode, row: TaskRow, indent: str, width: int, now_s: float) -> Line:
    fold = "  " if row.folded is None else "▸ " if row.folded else "▾ "
    right = _right_side(node, now_s)
    left: list[Span] = [Span(indent), Span(fold, "dim"), _symbol(node, now_s), Span(f" {clean(node.name)}", bold=node.depth == 1)]
    note = _note(node)
    if note:
        left.append(Span(f"  {note}", "dim"))
    return (*fit(tuple(left), max(0, width - line_len(right) - 1)), Span(" "), *right)


def _symbol(node: TaskNode, now_s: float) -> Span:
    if node.outcome is not None:
        return _SYMBOLS[node.outcome]
    return Span(SPINNER[int(now_s * 4) % len(SPINNER)], "task-running")


def _note(node: TaskNode) -> str:
    if not node.running:
        return ""
    if node.progress is not None and node.progress.note:
        return clean(node.progress.note)
    return clean(node.logs[-1].message) if node.logs and not node.children else ""


def _right_side(node: TaskNode, now_s: float) -> Line:
    elapsed_s = node.duration_s if node.duration_s is not None else now_s - node.started_at_s
    time_span = Span(f"{duration_text(elapsed_s):>8}", "dim" if node.outcome else "task-running")
    if node.running and node.progress is not None and node.progress.total:
        return (*_progress(node.progress, node.progress.total), time_span)
    return (time_span,)


def _progress(progress: TaskProgress, total: float) -> Line:
    if progress.unit == "B":
        words = f"{size_text(progress.done)} of {size_text(total)}"
    else:
        words = f"{progress.done:.0f}/{total:.0f} {progress.unit}".rstrip()
    return (*meter(progress.done / total, BAR_WIDTH, "task-running"), Span(f" {words}", "dim"))


def _log_colour(level: int) -> str:
    if level >= logging.ERROR:
        return "log-error"
    if level >= logging.WARNING:
        return "log-warning"
    return "log-info" if level >= logging.INFO else "log-debug"
