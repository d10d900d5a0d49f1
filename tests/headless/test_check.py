"""check and schema at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.initfile.schema import schema
from tests.headless.terminal_user import INIT_FILE, Lago

BROKEN = "domains:\n  vm0:\n    nics: [{net: lan}]\n    memroy: 1\n    colour: red\nnets: {lan: {}}\n"


def test_good_file_says_nothing_on_stdout_and_exits_0(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    outcome = lago("check")
    assert (outcome.code, outcome.out) == (0, "")
    assert "LagoInitFile: nothing to complain about" in outcome.err


def test_text_has_a_line_for_each_and_exits_2(lago: Lago) -> None:
    Path("broken.yaml").write_text(BROKEN)
    outcome = lago("check", "broken.yaml")
    assert outcome.code == 2
    assert outcome.out.splitlines() == [
        "broken.yaml:4:5: error E103: unknown key 'memroy' of a machine (did you mean 'memory'?)",
        "broken.yaml:5:5: warning W101: unknown key 'colour' of a machine (it is only kept)",
    ]


def test_warnings_alone_exit_0(lago: Lago) -> None:
    Path("LagoInitFile").write_text(BROKEN.replace("    memroy: 1\n", ""))
    assert lago("check").code == 0


def test_json_is_an_array_of_whole_objects(lago: Lago) -> None:
    Path("LagoInitFile").write_text(BROKEN)
    outcome = lago("-f", "json", "check")
    assert outcome.code == 2
    assert json.loads(outcome.out)[0] == {
        "severity": "error",
        "code": "E103",
        "message": "unknown key 'memroy' of a machine",
        "hint": "did you mean 'memory'?",
        "file": "LagoInitFile",
        "line": 4,
        "column": 5,
        "end_line": 4,
        "end_column": 11,
    }


def test_json_of_a_good_file_is_an_empty_array(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    assert json.loads(lago("-f", "json", "check").out) == []


def test_missing_file_is_an_error_of_the_list(lago: Lago) -> None:
    outcome = lago("check", "nowhere.yaml")
    assert (outcome.code, outcome.out.split(": ")[1]) == (2, "error E001")


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("disks: [{name: a, type: template, template_name: tinny}]", "E202"),
        ("disks: [{name: a, type: file, path: gone.qcow2}]", "E216"),
        ("vm-provider: lxd", "E105"),
        ("vcpu: 1024", "W202"),
        ("memory: 60T", "W202"),
    ],
)
def test_the_world_is_asked(lago: Lago, keys: str, code: str) -> None:
    Path("LagoInitFile").write_text(f"domains:\n  vm0:\n    nics: [{{net: lan}}]\n    {keys}\nnets: {{lan: {{}}}}\n")
    assert code in lago("check").out


def test_a_repository_that_cannot_be_read_does_not_stop_the_check(lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGO__INIT__TEMPLATE_REPO_PATH", "/nowhere/repo.json")
    monkeypatch.setenv("LAGO_TEMPLATE_REPO_PATH", "/nowhere/repo.json")
    Path("LagoInitFile").write_text(INIT_FILE)
    assert lago("check").code == 0


def test_check_makes_nothing(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    lago("check")
    assert [each.name for each in Path().iterdir()] == ["LagoInitFile"]


def test_schema_is_json(lago: Lago) -> None:
    outcome = lago("schema")
    assert (outcome.code, json.loads(outcome.out)) == (0, schema())


def test_a_name_of_the_manual_is_told_with_what_it_stands_for(lago: Lago) -> None:
    disks = "[{name: root, type: template, template_name: el7-base, dev: vda}]"
    Path("LagoInitFile").write_text(f"domains: {{vm0: {{nics: [{{net: lan}}], disks: {disks}}}}}\nnets: {{lan: {{}}}}\n")
    outcome = lago("check")
    assert (outcome.code, "info I203: template 'el7-base' is 'centos-stream-9' here" in outcome.out) == (0, True), outcome
