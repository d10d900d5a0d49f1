"""Events → the predecessor's console lines of the task tree.

Two spaces a level, an indicator that cycles with the depth, the task, and how it ended:

    @ Start Prefix:
      # Start nets:
        * Create network lago:
        * Create network lago: Success (in 0:00:01)
      # Start nets: Success (in 0:00:01)

Log lines stay hidden below their task until it fails; then they are shown, with the headers above that the depth limit had hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from engine.events import Dropped, Event, Outcome, TaskFinished, TaskLog, TaskStarted
from engine.tasktree import TaskNode, TaskTree

from .ansi import Ink, paint

INDICATORS = "@#*-~"

_ENDINGS = {
    Outcome.OK: ("Success", Ink.SUCCESS),
    Outcome.FAILED: ("ERROR", Ink.ERROR),
    Outcome.CANCELLED: ("CANCELLED", Ink.WARNING),
}


class TaskLines:
    """Takes events in their order, gives the lines that each one adds to the console."""

    def __init__(self, *, level: int = logging.INFO, depth: int = 3, colour: bool = False) -> None:
        """Take the least `level` of the log lines shown, how deep headers are shown (-1: all), and whether there is `colour`."""
        self.tree = TaskTree()
        self._level = level
        self._depth = depth
        self._colour = colour
        self._shown: set[str] = set()

    def lines(self, event: Event) -> Iterator[str]:
        """Take `event` in; yield the lines it adds."""
        if isinstance(event, Dropped):
            yield paint(f"({event.count} log lines were too fast to be kept)", Ink.FAINT, colour=self._colour)
        task_id = self.tree.apply(event)
        if task_id is None:
            return
        node = self.tree.nodes[task_id]
        match event:
            case TaskStarted() if self._is_within_depth(node) and self._level <= logging.INFO:
                yield from self._headers([node])
            case TaskLog() if event.aloud:
                node.logs.remove(event)
                yield from self._headers([*self.tree.ancestors(node), node])
                yield from self._record(node, event.message, event.level)
            case TaskLog() if event.level >= max(logging.ERROR, self._level) or node.outcome is Outcome.FAILED:
                yield from self._dump(node)
            case TaskFinished():
                yield from self._end(node)
            case _:
                pass

    def _end(self, node: TaskNode) -> Iterator[str]:
        if node.outcome is Outcome.FAILED:
            yield from self._dump(node)
            yield from self._headers([*self.tree.ancestors(node), node])
            yield from self._cause(node)
        node.logs.clear()
        if node.id in self._shown and node.outcome is not None:
            word, ink = _ENDINGS[node.outcome]
            ending = paint(f"{word} (in {clock(node.duration_s or 0.0)})", ink, colour=self._colour)
            yield f"{self._head(node)}{ending}"

    def _cause(self, node: TaskNode) -> Iterator[str]:
        """Yield why this task failed, unless a task below it has said so."""
        if not any(self.tree.nodes[child].outcome is Outcome.FAILED for child in node.children):
            yield from self._record(node, node.error, logging.ERROR)

    def _dump(self, node: TaskNode) -> Iterator[str]:
        """Yield what was kept back of this task, below the headers that lead to it."""
        kept = [log for log in node.logs if log.level >= self._level]
        node.logs.clear()
        if not kept:
            return
        yield from self._headers([*self.tree.ancestors(node), node])
        for log in kept:
            yield from self._record(node, log.message, log.level)

    def _record(self, node: TaskNode, message: str, level: int) -> Iterator[str]:
        for text in message.splitlines():
            yield f"{'  ' * node.depth}{indicator(node.depth + 1)} {paint(text, _ink(level), colour=self._colour)}"

    def _headers(self, nodes: list[TaskNode]) -> Iterator[str]:
        for node in nodes:
            if node.id not in self._shown:
                self._shown.add(node.id)
                yield self._head(node)

    def _head(self, node: TaskNode) -> str:
        name = f"{indicator(node.depth)} {node.name}"
        return f"{'  ' * (node.depth - 1)}{paint(name, Ink.HEADER, colour=self._colour)}: "

    def _is_within_depth(self, node: TaskNode) -> bool:
        return self._depth < 0 or node.depth <= self._depth


def indicator(depth: int) -> str:
    """Return the sign of a level; 1 is the outermost."""
    return INDICATORS[(depth - 1) % len(INDICATORS)]


def clock(seconds: float) -> str:
    """Return a duration as `H:MM:SS`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _ink(level: int) -> Ink:
    if level >= logging.ERROR:
        return Ink.ERROR
    return Ink.WARNING if level >= logging.WARNING else Ink.FAINT


def running_lines(tree: TaskTree, *, now_s: float, width: int, limit: int) -> list[str]:
    """Return one line for each task that runs now and waits for none below it; at most `limit`, the oldest first."""
    leaves = [node for node in tree.walk() if node.running and not any(tree.nodes[child].running for child in node.children)]
    lines = [f"… {node.name}  {clock(now_s - node.started_at_s)}{_progress(node)}"[:width] for node in leaves[:limit]]
    if len(leaves) > limit:
        lines[-1] = f"… and {len(leaves) - limit + 1} more"[:width]
    return lines


def _progress(node: TaskNode) -> str:
    progress = node.progress
    if progress is None:
        return ""
    amount = ""
    if progress.unit != "s":  # the clock says it
        amount = _amount(progress.done, progress.unit)
        if progress.total:
            amount = f"{amount} of {_amount(progress.total, progress.unit)} ({progress.done / progress.total:.0%})"
    return "".join(f"  {part}" for part in (amount, " ".join(progress.note.split())) if part)


def _amount(value: float, unit: str) -> str:
    return f"{value / 2**20:.1f} MiB" if unit == "B" else f"{value:g} {unit}".rstrip()
