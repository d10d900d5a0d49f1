"""Snapshots → the tree that `snapshot --tree` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .cells import size_text

if TYPE_CHECKING:
    from engine.api import SnapshotInfo

NOW = "now"
"""Stands for the machine as it is."""


def tree_data(snapshots: Mapping[str, Sequence[SnapshotInfo]]) -> dict[str, Any]:
    """Return the tree as data: machine → snapshot → what is known of it, `parent` being what it follows from."""
    return {
        machine: {info.name: {key: value for key, value in asdict(info).items() if key != "name"} for info in infos}
        for machine, infos in snapshots.items()
    }


def tree_text(snapshots: Mapping[str, Sequence[SnapshotInfo]]) -> str:
    """Return the tree as text, a line a snapshot."""
    return "".join(f"{line}\n" for machine, infos in snapshots.items() for line in _machine(machine, infos))


def _machine(machine: str, infos: Sequence[SnapshotInfo]) -> Iterator[str]:
    yield machine
    rows = list(_rows(infos, None, ""))
    width = max((len(label) for label, _ in rows), default=0)
    for label, about in rows:
        yield f"{label:<{width}}  {about}".rstrip()


def _rows(infos: Sequence[SnapshotInfo], parent: str | None, indent: str) -> Iterator[tuple[str, str]]:
    """Yield a line for each snapshot below `parent`, and what is known of it."""
    below = [info for info in infos if info.parent == parent]
    is_here = any(info.current for info in infos if info.name == parent) if parent else not any(info.current for info in infos)
    for number, info in enumerate(below, start=1):
        is_last = number == len(below) and not is_here
        yield f"{indent}{'└─' if is_last else '├─'} {info.name}", _about(info)
        yield from _rows(infos, info.name, f"{indent}{'   ' if is_last else '│  '}")
    if is_here:
        yield f"{indent}└─ {NOW}", ""


def _about(info: SnapshotInfo) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info.created_s)) if info.created_s else "time not known"
    memory = f" + {size_text(info.memory_bytes)} memory" if info.memory else ""
    return f"{when}  {size_text(info.disk_bytes)}{memory}"
