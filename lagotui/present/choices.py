"""Rows to choose from: snapshots to go back to, texts to copy; and what is wrong with a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.spec import MachineSpec

from ..runs import common_snapshots, verb_line
from .cells import Column, Line, Row, Span, count_text

CHOICE_COLUMNS = (Column("", 16, 0, 22), Column("", 20, 0, 120))

_NAME = re.compile(r"\w[^/\x00-\x1f\x7f]*")


def snapshot_rows(machines: Sequence[MachineSpec]) -> tuple[Row, ...]:
    """Return one row a snapshot name, the newest first."""
    found = reversed(common_snapshots([tuple(machine.snapshots) for machine in machines]))
    return tuple(_row(name, name, _holders(count, len(machines))) for name, count in found)


def copy_rows(env: str, machine: MachineSpec | None) -> tuple[Row, ...]:
    """Return what can be copied about an environment and the machine under the cursor; a row's key is the text."""
    texts: list[tuple[str, str]] = []
    if machine is not None:
        texts += [("address", machine.ip)] if machine.ip else []
        texts += [(f"{verb} {machine.name}", verb_line(env, verb, machine.name)) for verb in ("shell", "start", "stop")]
    texts += [(verb, verb_line(env, verb)) for verb in ("status", "start", "stop", "destroy")]
    texts += [("snapshot", verb_line(env, "snapshot", "NAME")), ("folder", env)]
    return tuple(_row(text, label, text) for label, text in texts)


def snapshot_problem(name: str, machines: Sequence[MachineSpec]) -> str:
    """Say what is wrong with the name of a new snapshot; "" when nothing is."""
    if not _NAME.fullmatch(name):
        return "begin with a letter or digit, and use no '/' and no control characters"
    taken = [machine.name for machine in machines if name in machine.snapshots]
    return f"{', '.join(taken)}: '{name}' is there already" if taken else ""


def _holders(count: int, total: int) -> str:
    return "all machines" if count == total else f"{count_text(count, 'machine')} of {total}"


def _row(key: str, label: str, text: str) -> Row:
    cells: tuple[Line, ...] = ((Span(label, bold=True),), (Span(text, "dim"),))
    return Row(key, cells, f"{label} {text}")
