"""Every screen as a picture, at three sizes. After a change that is meant: `pytest tests/tui --snapshot-update`, and look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from tests.tui.desk import Desk
from tests.tui.fake_engine import CI, WEB, FakeEngine, a_busy_run, an_env

SIZES = [(80, 24), (120, 40), (200, 60)]
ALL = ("db01", "web01", "web02", "cache01")
READINGS = 16

sizes = pytest.mark.parametrize("size", SIZES, ids=[f"{width}x{height}" for width, height in SIZES])


def a_desk(open_desk: Callable[..., Desk], env: str = WEB) -> Desk:
    engine = FakeEngine([an_env(), an_env(CI, "11bb", down=ALL)], hold=True)
    engine.publish(*a_busy_run())
    engine.readings_left = READINGS
    return open_desk(engine, env)


def ready(desk: Desk, *keys: str, table: str = "#machines", screen: str = "") -> Callable[[Pilot[Any]], Any]:
    """Return what brings the app to where the picture is taken."""

    async def get_ready(pilot: Pilot[Any]) -> None:
        desk.pilot = pilot
        await desk.until_rows(table)
        env = WEB if table == "#machines" else ""
        for count in range(1, READINGS + 1) if env else ():
            desk.app.bridge.look_stats(env)
            await desk.until(lambda count=count: len(desk.app.store.state.desk(env).readings.get("db01", ())) >= count)  # type: ignore[misc]
        await desk.until(lambda: all(desk.app.store.state.desk(each).state for each in desk.engine.states))
        await desk.until(lambda: not env or desk.app.store.state.desk(env).host)
        await desk.settle()  # what a dialog covers is not laid out any more
        await desk.press(*keys)
        if screen:
            await desk.until_screen(screen)
        if screen == "ConfirmDialog":
            await desk.until(lambda: not desk.app.screen.query_one("#yes", Button).disabled)
        await desk.settle()

    return get_ready


@sizes
def test_environment(snap_compare: Any, open_desk: Callable[..., Desk], size: tuple[int, int]) -> None:
    desk = a_desk(open_desk)
    assert snap_compare(desk.app, terminal_size=size, run_before=ready(desk))


@sizes
def test_home(snap_compare: Any, open_desk: Callable[..., Desk], size: tuple[int, int]) -> None:
    desk = a_desk(open_desk, "")
    assert snap_compare(desk.app, terminal_size=size, run_before=ready(desk, table="#environments"))


@sizes
def test_help(snap_compare: Any, open_desk: Callable[..., Desk], size: tuple[int, int]) -> None:
    desk = a_desk(open_desk)
    assert snap_compare(desk.app, terminal_size=size, run_before=ready(desk, "question_mark", screen="HelpScreen"))


@sizes
def test_destroy_question(snap_compare: Any, open_desk: Callable[..., Desk], size: tuple[int, int]) -> None:
    desk = a_desk(open_desk)
    assert snap_compare(desk.app, terminal_size=size, run_before=ready(desk, "ctrl+d", screen="ConfirmDialog"))


@pytest.mark.parametrize("theme", ["light", "high-contrast"])
def test_themes(snap_compare: Any, open_desk: Callable[..., Desk], theme: str) -> None:
    desk = a_desk(open_desk)

    async def in_theme(pilot: Pilot[Any]) -> None:
        await ready(desk)(pilot)
        desk.app.theme = theme
        await desk.settle()

    assert snap_compare(desk.app, terminal_size=(120, 40), run_before=in_theme)


def test_home_without_environments(snap_compare: Any, open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(FakeEngine())

    async def found_none(pilot: Pilot[Any]) -> None:
        desk.pilot = pilot
        await desk.until(lambda: desk.app.store.state.environments == ())
        await desk.settle()

    assert snap_compare(desk.app, terminal_size=(80, 24), run_before=found_none)
