"""How a command line is understood, before anything is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lagotui import __version__
from lagotui.cli import main
from lagotui.verbs import VERBS
from lagotui.verbs.options import parse_run
from tests.headless.terminal_user import Lago

REPO = Path(__file__).resolve().parents[2]


def test_version_is_told() -> None:
    assert main(["--version"]) == 0


@pytest.mark.parametrize("words", [["--version"], ["--run", "--version"]])
def test_both_doors_tell_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"lagotui {__version__}\n"


def test_help_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--run" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["-wrongoption"], ["-f", "json"]])
def test_no_verb_is_help_on_stdout_and_exit_1(words: list[str], lago: Lago) -> None:
    outcome = lago(*words)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out.startswith("usage:")


def test_help_of_run_names_every_verb(lago: Lago) -> None:
    outcome = lago("--help")
    assert outcome.code == 0
    assert all(verb in outcome.out for verb in VERBS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself_with_an_example(verb: str, lago: Lago) -> None:
    outcome = lago(verb, "-h")
    assert outcome.code == 0
    assert f"lagotui --run {VERBS[verb].example}" in outcome.out


def test_an_unknown_verb_gets_the_nearest_one(lago: Lago) -> None:
    outcome = lago("statsu")
    assert outcome.code == 2
    assert "did you mean 'status'?" in outcome.err


@pytest.mark.parametrize("words", [["-f", "xml", "status"], ["--nothing", "status"], ["revert"], ["status", "--nothing"]])
def test_a_wrong_command_line_is_exit_2(words: list[str], lago: Lago) -> None:
    outcome = lago(*words)
    assert (outcome.code, outcome.out) == (2, "")


@pytest.mark.parametrize("words", [["status", "-f", "json"], ["list", "--loglevel=debug"]])
def test_a_global_option_behind_the_verb_is_sent_to_its_place(words: list[str], lago: Lago) -> None:
    assert "it goes before the verb" in lago(*words).err


def test_optional_machines_are_not_said_to_be_required(lago: Lago) -> None:
    assert lago("revert").err.endswith("the following arguments are required: NAME\n")


def test_options_may_be_abbreviated() -> None:
    assert parse_run(["--workdir", "/x", "status"]).settings == {"workdir_path": "/x"}


def test_only_what_was_given_is_a_setting() -> None:
    assert parse_run(["status"]).settings == {}


def test_what_follows_the_verb_is_left_alone() -> None:
    options = parse_run(["-l", "debug", "shell", "vm", "-h", "--", "ls", "-l"])
    assert (options.verb, options.rest) == ("shell", ["vm", "-h", "--", "ls", "-l"])
    assert options.settings == {"loglevel": "debug"}


@pytest.mark.parametrize("words", [["snapshot", "--li"], ["destroy", "--a"], ["up", "--acc"], ["status", "-f"], ["shell", "--version"]])
def test_abbreviations_behind_the_verb_are_the_verbs(words: list[str]) -> None:
    options = parse_run(words)
    assert (options.verb, options.rest, options.settings) == (words[0], words[1:], {})


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["-P", "status", "list"], "list"),
        (["--prefix-name=status", "list"], "list"),
        (["-l", "debug", "--logdepth", "-1", "status"], "status"),
        (["-wstatus"], None),
        (["-P", "status"], None),
    ],
)
def test_the_value_of_an_option_is_no_verb(words: list[str], verb: str | None) -> None:
    assert parse_run(words).verb == verb


def test_events_json_is_no_setting() -> None:
    options = parse_run(["--events", "json", "up"])
    assert options.events_json
    assert options.settings == {}


def test_prefix_path_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="--prefix-path"):
        parse_run(["-p", "/x", "status"])


def test_a_verb_without_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 2
    assert "a verb goes behind --run" in capsys.readouterr().err


def test_only_events_may_stand_before_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fast", "--run", "status"]) == 2
    assert "--events json" in capsys.readouterr().err


def test_the_ui_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "the UI needs a terminal" in capsys.readouterr().err


INTERRUPTED_IN_AN_IMPORT = """
import signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "lagotui.headless":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from lagotui.cli import main
sys.exit(main(["--run", "list"]))
"""


def test_ctrl_c_before_the_verb_has_begun_is_told_in_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_AN_IMPORT], cwd=REPO, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_a_setting_that_cannot_be_used_is_exit_2(lago: Lago) -> None:
    outcome = lago("--ssh-tries", "many", "status")
    assert outcome.code == 2
    assert "ssh_tries" in outcome.err
