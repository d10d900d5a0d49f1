"""Actions, requests, keymap and themes: data that must fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from lagotui.actions import ACTIONS, Scope, actions_of, key_text
from lagotui.app import LagoTuiApp
from lagotui.keymap import load_keymap
from lagotui.present.cells import text_of
from lagotui.present.help import help_lines
from lagotui.runs import RunRequest, Verb, env_label
from lagotui.screens.environment import EnvironmentScreen
from lagotui.screens.home import HomeScreen
from lagotui.themes import BASE_COLOURS, SEMANTIC_COLOURS, SHIPPED, ThemeFileError, load_theme, load_themes
from tests.tui.fake_engine import WEB

OWNERS = {
    Scope.ENVIRONMENT: (EnvironmentScreen,),
    Scope.HOME: (HomeScreen,),
    Scope.LISTS: (EnvironmentScreen, HomeScreen),
    Scope.APP: (LagoTuiApp,),
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_is_there_where_it_works(action) -> None:  # type: ignore[no-untyped-def]
    assert all(hasattr(owner, f"action_{action.method}") for owner in OWNERS[action.scope])


@pytest.mark.parametrize("scopes", [(Scope.ENVIRONMENT, Scope.LISTS, Scope.APP), (Scope.HOME, Scope.LISTS, Scope.APP)])
def test_no_two_actions_of_a_screen_share_a_key(scopes: tuple[Scope, ...]) -> None:
    keys = [key for action in actions_of(*scopes) for key in action.key.split(",")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("key", "text"), [("ctrl+d", "ctrl-d"), ("slash", "/"), ("r,f5", "r"), ("1,2,3,4", "1–4"), ("S", "S")])
def test_keys_are_written_as_people_read_them(key: str, text: str) -> None:
    assert key_text(key) == text


def test_help_shows_the_users_own_keys() -> None:
    lines = [text_of(line) for line in help_lines((Scope.HOME,), {"new-environment": "f9"}, "init file", 80)]
    assert any(line.strip().startswith("f9  new") for line in lines)


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (RunRequest(Verb.START, WEB, ("db01", "web01")), "-w /home/ada/web-cluster/.lago -P default start db01 web01"),
        (RunRequest(Verb.SNAPSHOT, WEB, name="a b"), "-w /home/ada/web-cluster/.lago -P default snapshot 'a b'"),
        (RunRequest(Verb.UP, WEB, init_file="/x/LagoInitFile"), "up /home/ada/web-cluster/.lago /x/LagoInitFile"),
    ],
)
def test_headless_form(request_: RunRequest, line: str) -> None:
    assert request_.headless == f"lagotui --run {line}"


def test_a_snapshot_of_some_machines_has_no_headless_form() -> None:
    assert RunRequest(Verb.SNAPSHOT, WEB, ("db01",), "a").headless == ""


@pytest.mark.parametrize(
    ("env", "label"), [("/h/web/.lago/default", "web"), ("/h/web/.lago/nightly", "web/nightly"), ("/h/wd/default", "wd")]
)
def test_an_environment_is_called_by_its_folder(env: str, label: str) -> None:
    assert env_label(env) == label


def test_a_keymap_with_mistakes_keeps_what_is_right(tmp_path: Path) -> None:
    file = tmp_path / "keymap.yaml"
    file.write_text("ssh: f2\nnonsense: f3\nquit: 7\n")
    keymap, problems = load_keymap(file)
    assert keymap == {"ssh": "f2"}
    assert [("nonsense" in problem, "quit" in problem) for problem in problems] == [(True, False), (False, True)]


def test_every_shipped_theme_names_every_colour() -> None:
    themes, problems = load_themes(SHIPPED)
    assert not problems
    assert {theme.name for theme in themes} == {"dark", "light", "high-contrast"}
    assert all(set(SEMANTIC_COLOURS) <= set(theme.variables) for theme in themes)


GOOD_BASE = "base: {" + ", ".join(f"{name}: '#123456'" for name in BASE_COLOURS) + "}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "must be a mapping"),
        ("dark: [\n", "cannot be read"),
        ("bas: {}\n", "unknown key 'bas'"),
        ("base: {}\n", "lacks the base colour 'primary'"),
        (GOOD_BASE + "colours: {vm-runing: '#111111'}\n", "unknown colour 'vm-runing'"),
        (GOOD_BASE + "colours: {vm-running: greenish}\n", "'greenish' is no colour"),
    ],
)
def test_a_theme_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ThemeFileError, match=words):
        load_theme(file)


def test_colours_that_a_theme_leaves_out_are_made_from_its_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD_BASE)
    assert load_theme(file).variables["vm-running"] == "#123456"
