"""The home screen, the help, the palette, quitting: by keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lagotui.present.cells import text_of
from lagotui.widgets.table import Table
from tests.tui.desk import Desk
from tests.tui.fake_engine import CI, WEB, FakeEngine, an_env

Open = Callable[..., Desk]
ALL = ("db01", "web01", "web02", "cache01")


@pytest.fixture
def desk(open_desk: Open) -> Desk:
    return open_desk(FakeEngine([an_env(), an_env(CI, "11bb", down=ALL)]))


async def test_lists_environments_with_how_much_is_up(desk: Desk) -> None:
    async with desk.open():
        await desk.until(lambda: len(desk.rows("#environments")) == 2 and "…" not in " ".join(desk.rows("#environments")))
        first, second = desk.rows("#environments")
        assert first.startswith("◐ web-cluster default 3/4 up")
        assert second.startswith("○ ci nightly down")
        assert first.endswith("10 min ~/web-cluster/.lago")


async def test_without_environments_it_teaches_how_to_begin(open_desk: Open) -> None:
    async with open_desk(FakeEngine()).open() as desk:
        table = desk.app.screen.query_one("#environments", Table)
        await desk.until(lambda: any("make one from an init file" in text_of(line) for line in table.empty))


async def test_enter_opens_the_environment_and_escape_leads_back(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#environments")
        await desk.press("enter")
        await desk.until_screen("EnvironmentScreen")
        await desk.press("escape")
        await desk.until_screen("HomeScreen")


@pytest.mark.parametrize(("key", "verb"), [("s", "start"), ("x", "stop")])
async def test_start_and_stop_take_the_environment_under_the_cursor(desk: Desk, key: str, verb: str) -> None:
    async with desk.open():
        await desk.until_rows("#environments")
        await desk.press("down", key)
        run = await desk.until_run()
        assert (run.verb, run.env) == (verb, CI)


async def test_new_brings_up_the_init_file(open_desk: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("LagoInitFile").write_text("domains: {}\n")
    async with open_desk(FakeEngine()).open() as desk:
        await desk.press("n")
        await desk.until_screen("InputDialog")
        await desk.press("enter")
        run = await desk.until_run()
        assert (run.verb, run.env) == ("up", f"{os.getcwd()}/.lago/default")  # noqa: PTH109 - what the shell calls it
        await desk.until_rows("#environments")


async def test_new_with_a_file_that_is_not_there_says_so(open_desk: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_desk(FakeEngine()).open() as desk:
        await desk.press("n")
        await desk.until_screen("InputDialog")
        await desk.press("enter")
        await desk.until(lambda: "is no file" in str(desk.app.screen.query_one("#problem").render()))
        assert not desk.engine.handles


async def test_destroy_takes_the_environment_under_the_cursor(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#environments")
        await desk.press("ctrl+d")
        await desk.until_screen("ConfirmDialog")
        await desk.until(lambda: "4 machines" in desk.lines("#text"))
        await desk.press("y")
        assert (await desk.until_run()).env == WEB
        await desk.until(lambda: len(desk.rows("#environments")) == 1)


async def test_help_lists_the_keys_of_the_screen_and_their_headless_forms(desk: Desk) -> None:
    async with desk.open():
        await desk.press("question_mark")
        await desk.until_screen("HelpScreen")
        await desk.until(lambda: "lagotui --run up [WORKDIR] INIT_FILE" in desk.lines("#lines"))


async def test_help_is_searched_by_typing(desk: Desk) -> None:
    async with desk.open():
        await desk.press("question_mark")
        await desk.until_screen("HelpScreen")
        await desk.press(*"destroy")
        await desk.until(lambda: "ctrl-d" in desk.lines("#lines") and "filter" not in desk.lines("#lines"))
        await desk.press("escape")
        await desk.until_screen("HomeScreen")


async def test_the_palette_runs_an_action(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#environments")
        await desk.press("colon")
        await desk.until_screen("CommandPalette")
        await desk.press(*"stop every")
        await desk.until(lambda: not any(worker.is_running for worker in desk.app.workers), "the end of the search")
        await desk.press("down", "enter")
        run = await desk.until_run()
        assert (run.verb, run.env) == ("stop", WEB)


async def test_a_click_on_the_key_bar_does_what_the_key_does(desk: Desk) -> None:
    async with desk.open():
        await desk.until_rows("#environments")
        assert desk.pilot is not None
        await desk.pilot.click("#keys", offset=(2, 0))
        await desk.until_screen("EnvironmentScreen")


async def test_q_leaves_at_once_when_nothing_runs(desk: Desk) -> None:
    async with desk.open():
        await desk.press("q")
        await desk.until(lambda: desk.app._exit)
        assert desk.app.return_value == 0


async def test_q_while_work_runs_asks_and_escape_stays(open_desk: Open) -> None:
    async with open_desk(FakeEngine([an_env()], hold=True)).open() as desk:
        await _begin(desk)
        await desk.press("q")
        await desk.until_screen("QuitDialog")
        assert "Stopping web-cluster" in desk.lines("#text")
        await desk.press("escape")
        await desk.until_screen("HomeScreen")


async def test_quit_and_wait_leaves_when_the_run_has_ended(open_desk: Open) -> None:
    async with open_desk(FakeEngine([an_env()], hold=True)).open() as desk:
        await _begin(desk)
        await desk.press("q")
        await desk.until_screen("QuitDialog")
        await desk.press("w")
        assert not desk.app._exit
        desk.engine.handles[0].end()
        await desk.until(lambda: desk.app._exit)
        assert not desk.engine.handles[0].cancelled


async def test_quit_and_cancel_cancels_the_run_and_leaves(open_desk: Open) -> None:
    async with open_desk(FakeEngine([an_env()], hold=True)).open() as desk:
        await _begin(desk)
        await desk.press("q")
        await desk.until_screen("QuitDialog")
        await desk.press("c")
        await desk.until(lambda: desk.app._exit)
        assert desk.engine.handles[0].cancelled


async def test_a_user_theme_is_offered_and_remembered(desk: Desk, tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "themes" / "dark.yaml").read_text()
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "mine.yaml").write_text(shipped)
    async with desk.open():
        await desk.until(lambda: "mine" in desk.app.available_themes)
        desk.app.theme = "mine"
        await desk.until(lambda: (tmp_path / "theme").is_file())
        assert (tmp_path / "theme").read_text() == "mine\n"


async def test_a_bad_user_theme_is_a_toast(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "odd.yaml").write_text("colours: {vm-runing: red}\nbase: {}\n")
    async with desk.open():
        await desk.until_toast("odd.yaml")


async def test_a_key_of_the_users_own_works_and_shows(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "keymap.yaml").write_text("stop-environment: f9\nno-such-thing: f8\n")
    async with desk.open():
        await desk.until_rows("#environments")
        await desk.until_toast("no action 'no-such-thing'")
        await desk.press("f9")
        assert (await desk.until_run()).verb == "stop"


async def _begin(desk: Desk) -> None:
    await desk.until_rows("#environments")
    await desk.press("x")
    await desk.until(lambda: desk.app.bridge.running)
