"""The line on top: where you are, what host it is on, how much is up, what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath

from ..runs import workdir_label
from ..store import EnvDesk
from .cells import Line, Span, fit, line_len


def home_header(environments: int | None, running: int, now_s: float, width: int) -> Line:
    """Return the top line of the home screen; `environments` is None until they are known."""
    count = "" if environments is None else f"{environments} environment{'' if environments == 1 else 's'}"
    right = (*_running(running), Span(f"{count}  ", "dim"), _clock(now_s))
    return _joined((Span(" lagotui", "title", bold=True), Span(" ▸ ", "dim"), Span("environments")), right, width)


def env_header(env: str, desk: EnvDesk, running: int, now_s: float, width: int) -> Line:
    """Return the top line of an environment."""
    left = (
        Span(" lagotui", "title", bold=True),
        Span(" ▸ ", "dim"),
        Span(workdir_label(env), bold=True),
        Span(" ▸ ", "dim"),
        Span(PurePath(env).name),
    )
    host = _host(desk)
    right = (*_running(running), *host, *_up(desk), _clock(now_s))
    if line_len(left) + line_len(right) + 2 > width:
        right = (*_running(running), *_up(desk), _clock(now_s))
    return _joined(left, right, width)


def pending_line(pending: Sequence[str], width: int) -> Line:
    """Return the line that says that a run ended in the middle."""
    more = f" (and {len(pending) - 1} more)" if len(pending) > 1 else ""
    left = (Span(" ⚠ ", "vm-changing", bold=True), Span(f"{''.join(pending[:1])}{more}"))
    right = (Span("  R", "key", bold=True), Span(" puts it right ", "dim"))
    return _joined(left, right, width)


def _joined(left: Line, right: Line, width: int) -> Line:
    room = width - line_len(right)
    return (*fit(left, room), *right) if room >= 12 else fit(left, width)


def _host(desk: EnvDesk) -> Line:
    if desk.problem:
        return (Span("✖ ", "vm-failed"), Span("host does not answer   ", "vm-failed"))
    if desk.state is None:
        return ()
    if desk.host is None:
        return (Span("○ ", "dim"), Span(f"{desk.state.host} host   ", "dim"))
    words = f"{desk.host.kind} {desk.host.version} ({desk.host.accel.value.upper()})"
    return (Span("● ", "vm-running"), Span(f"{words}   ", "dim"))


def _up(desk: EnvDesk) -> Line:
    if desk.state is None:
        return ()
    up, total = desk.state.up_count, len(desk.state.machines)
    return (Span(f"{up}/{total} up   ", "vm-running" if up and up == total else "vm-changing" if up else "vm-down"),)


def _running(running: int) -> Line:
    return (Span(f"◐ {running} running   ", "task-running"),) if running else ()


def _clock(now_s: float) -> Span:
    return Span(f"{datetime.fromtimestamp(now_s):%H:%M} ", "dim")
