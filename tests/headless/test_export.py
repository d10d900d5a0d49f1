"""export, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.headless.terminal_user import Lago


def test_export_fills_a_folder_and_says_nothing_on_stdout(made: Lago) -> None:
    outcome = made("export", "--dst-dir", "out")
    assert (outcome.code, outcome.out) == (0, "")
    assert "lagotui --run init" in outcome.err
    assert yaml.safe_load(Path("out/LagoInitFile").read_text())["domains"].keys() == {"vm0", "web-vm1"}


@pytest.mark.parametrize("words", [("-n", "vm0", "-sc"), ("--vm", "vm0", "--stand", "--comp", "--without")])
def test_export_takes_the_predecessors_options_also_abbreviated(made: Lago, words: tuple[str, ...]) -> None:
    assert made("export", "-d", "out", *words, "--init-file-name", "env.yaml").code == 0
    assert {path.name for path in Path("out").iterdir()} == {f"vm0_root.qcow2{end}" for end in (".xz", ".hash", ".metadata")} | {"env.yaml"}


def test_export_lists_what_it_would_export(made: Lago) -> None:
    outcome = made("-f", "json", "export", "--collect-only", "-n", "vm0")
    assert json.loads(outcome.out) == {"vm0": [str(Path(".lago/default/images/vm0_root.qcow2").absolute())]}


def test_the_format_of_the_init_file_may_be_chosen(made: Lago) -> None:
    assert made("-f", "json", "export", "-d", "out").code == 0
    assert json.loads(Path("out/LagoInitFile").read_text())["nets"].keys() == {"lan"}
    assert made("-f", "flat", "export", "-d", "flat").code == 0
    assert "domains/vm0/disks/0/type: file" in Path("flat/LagoInitFile").read_text()


def test_what_was_exported_passes_check_and_init_beside_the_original(made: Lago) -> None:
    assert made("export", "-d", "out").code == 0
    checked = made("check", "out/LagoInitFile")
    assert (checked.code, "nothing to complain about" in checked.out + checked.err) == (0, True)
    assert made("-P", "again", "init", "out/LagoInitFile").code == 0
    assert made("list").out == "again\ndefault\n"


def test_an_export_here_does_not_replace_the_init_file(made: Lago) -> None:
    before = Path("LagoInitFile").read_text()
    outcome = made("export")
    assert (outcome.code, Path("LagoInitFile").read_text()) == (2, before)
    assert "--force" in outcome.err


def test_running_machines_are_exit_2(made: Lago) -> None:
    assert made("start", "vm0").code == 0
    outcome = made("export", "-d", "out")
    assert (outcome.code, Path("out").exists()) == (2, False)
    assert "lagotui --run stop vm0" in outcome.err
    assert made("snapshot", "now").code == 0
    assert made("export", "-d", "out", "--snapshot", "now").code == 0


def test_an_unknown_machine_is_exit_2_with_the_nearest(made: Lago) -> None:
    outcome = made("export", "-n", "vm1", "-d", "out")
    assert (outcome.code, "did you mean" in outcome.err) == (2, True)
