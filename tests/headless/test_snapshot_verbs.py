"""snapshot and revert as a user types them."""

from __future__ import annotations

import json

import pytest

from tests.headless.terminal_user import Lago


def listed(lago: Lago) -> dict[str, list[str]]:
    return {machine: list(snapshots) for machine, snapshots in json.loads(lago("-f", "json", "snapshot", "-l").out).items()}


def test_machines_may_be_named(made: Lago) -> None:
    assert made("snapshot", "clean", "web-vm1").code == 0
    assert listed(made) == {"vm0": [], "web-vm1": ["clean"]}
    assert made("revert", "clean", "web-vm1").code == 0
    assert "revert clean web-vm1" in made("revert", "clean").err


def test_a_tree_is_text_or_data(made: Lago) -> None:
    made("start")
    made("snapshot", "--memory", "clean")
    assert made("snapshot", "--tree").out.splitlines()[0] == "vm0"
    assert json.loads(made("-f", "json", "snapshot", "--tree").out)["web-vm1"]["clean"]["memory"] is True


def test_a_deleted_snapshot_is_gone_and_what_became_free_is_said(made: Lago) -> None:
    made("snapshot", "clean")
    done = made("snapshot", "--delete", "clean")
    assert (done.code, done.out) == (0, "")
    assert "MiB became free" in done.err
    assert listed(made) == {"vm0": [], "web-vm1": []}
    assert "no snapshot 'clean'" in made("snapshot", "--delete", "clean").err


@pytest.mark.parametrize("words", [["--delete", "--memory", "a"], ["--delete", "--tree", "a"], ["--delete"]])
def test_options_that_do_not_go_together_are_exit_2(made: Lago, words: list[str]) -> None:
    assert made("snapshot", *words).code == 2


def test_a_name_is_taken_until_it_is_forced(made: Lago) -> None:
    made("snapshot", "clean")
    assert "--force" in made("snapshot", "clean").err
    assert made("snapshot", "--force", "clean").code == 0
