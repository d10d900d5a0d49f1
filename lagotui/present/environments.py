"""Known environments → rows of the home screen."""

from __future__ import annotations

from pathlib import PurePath

from ..runs import workdir_label
from ..store import AppState, EnvDesk, EnvEntry
from .cells import Column, Line, Row, Span, age_text

COLUMNS = (
    Column("  Name", 14, 0, 28),
    Column("Prefix", 9, 2, 16),
    Column("State", 10, 0),
    Column("Machines", 18, 4, 44),
    Column("Host", 8, 5, 20),
    Column("Used", 8, 1, right=True),
    Column("Workdir", 22, 3, 60),
)


def rows(state: AppState, now_s: float, home: str) -> tuple[Row, ...]:
    """Return one row an environment, recent first; the user's `home` folder is written `~`."""
    there = [entry for entry in state.environments or () if not state.desk(entry.path).gone]
    return tuple(_row(entry, state.desk(entry.path), now_s, home) for entry in there)


def short_path(path: str, home: str) -> str:
    """Write a path below `home` with `~`."""
    inside = home not in ("", "/") and (path == home or path.startswith(f"{home}/"))
    return f"~{path[len(home) :]}" if inside else path


def state_cell(desk: EnvDesk) -> Line:
    """Say how much of an environment is up: `3/4 up`."""
    if desk.problem:
        return (Span("unreadable", "vm-failed"),)
    if desk.state is None:
        return (Span("…", "dim"),)
    total, up = len(desk.state.machines), desk.state.up_count
    if not up:
        return (Span("down", "vm-down"),)
    return (Span(f"{up}/{total} up", "vm-running" if up == total else "vm-changing"),)


def _row(entry: EnvEntry, desk: EnvDesk, now_s: float, home: str) -> Row:
    path = PurePath(entry.path)
    name = workdir_label(entry.path)
    machines = " ".join(desk.state.machines) if desk.state else ""
    host = desk.state.host if desk.state else ""
    cells: tuple[Line, ...] = (
        (_symbol(desk), Span(f" {name}", bold=True)),
        (Span(path.name),),
        state_cell(desk),
        (Span(machines, "dim"),),
        (Span(host, "dim"),),
        (Span(age_text(now_s - entry.used_at_s) if entry.used_at_s else "—", "dim"),),
        (Span(short_path(str(path.parent), home), "dim"),),
    )
    return Row(entry.path, cells, f"{entry.path} {name} {machines} {host} {''.join(span.text for span in state_cell(desk))}")


def _symbol(desk: EnvDesk) -> Span:
    if desk.problem:
        return Span("✖", "vm-failed")
    if desk.state is None or not desk.state.up_count:
        return Span("○", "vm-down")
    if desk.state.up_count == len(desk.state.machines):
        return Span("●", "vm-running")
    return Span("◐", "vm-changing")
