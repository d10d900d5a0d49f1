"""What is generated of the parsers and settings: completions, the man page, the configuration file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lagotui.verbs import VERBS
from tests.generate_docs import DOCS, key_page, man_page
from tests.headless.terminal_user import Lago

ASK_BASH = """
source completions.bash
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
if [ "$1" = lagotui ]; then _lagotui_doors; else _shtab_lago; fi
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(lago: Lago, *words: str) -> list[str]:
    Path("completions.bash").write_text(lago("completions", "bash").out)
    done = subprocess.run(["bash", "-c", ASK_BASH, "bash", *words], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("lago", "st"), ["start", "stop", "status"]),
        (("lago", "-f", "js"), ["json"]),
        (("lago", "destroy", "--a"), ["--all-prefixes"]),
        (("lagotui", "--r"), ["--run"]),
        (("lagotui", "--run", "sna"), ["snapshot"]),
        (("lago", "check", "comp"), ["completions.bash"]),
    ],
)
def test_bash_completes(lago: Lago, words: tuple[str, ...], found: list[str]) -> None:
    assert completed(lago, *words) == found


@pytest.mark.parametrize("words", [("lago", "start", ""), ("lagotui", "--run", "shell", "")])
def test_bash_completes_machines_of_the_environment(made: Lago, words: tuple[str, ...]) -> None:
    assert completed(made, *words) == ["vm0", "web-vm1"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_completions(lago: Lago, shell: str) -> None:
    outcome = lago("completions", shell)
    assert all(verb in outcome.out for verb in VERBS)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=outcome.out, text=True, timeout=60, check=True)


def test_unknown_shells_are_exit_2(lago: Lago) -> None:
    assert lago("completions", "cmd").code == 2


def test_the_man_page_is_that_of_the_parsers() -> None:
    assert (DOCS / "lagotui.1").read_text(encoding="utf-8") == man_page(), "make it anew with: make docs"


def test_the_page_of_keys_is_that_of_the_model() -> None:
    assert (DOCS / "init-file.md").read_text(encoding="utf-8") == key_page(), "make it anew with: make docs"


def test_generate_config_is_a_file_that_can_be_read_back(lago: Lago, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "lagotui"
    folder.mkdir(parents=True)
    (folder / "lagotui.conf").write_text(lago("--ssh-tries", "7", "generate-config").out)
    assert "# from: " + str(folder / "lagotui.conf") + " [lago]\nssh_tries = 7\n" in lago("generate-config", "--verbose").out


def test_generate_config_leaves_out_what_is_not_set(lago: Lago) -> None:
    assert "libvirt_username" not in lago("generate-config").out
    assert "\n#libvirt_username = None\n" in lago("generate-config", "--verbose").out


def test_generate_config_says_where_values_come_from(lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGO__START__WAIT_SUSPEND", "1.5")
    out = lago("generate-config", "--verbose").out
    assert "# from: env LAGO__START__WAIT_SUSPEND\nwait_suspend = 1.5\n" in out.partition("[start]")[2]


def test_generate_config_shows_no_password(lago: Lago) -> None:
    out = lago("--ssh-password", "geheim", "generate-config").out
    assert "geheim" not in out
    assert "#ssh_password = (set, and not shown)" in out
