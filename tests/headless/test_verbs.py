"""Each verb against the real engine, with machines in memory."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import yaml

from engine.api import Engine
from engine.config import Settings
from lagotui.headless import run
from tests.headless.terminal_user import INIT_FILE, Lago


def statuses(lago: Lago) -> dict[str, str]:
    data = json.loads(lago("-f", "json", "status").out)["Prefix"]
    return {name: vm["status"] for name, vm in data["VMs"].items()}


def test_init_makes_a_workdir_here(made: Lago) -> None:
    assert Path(".lago/default/initialized").is_file()
    assert Path(".lago/current").is_symlink()


def test_init_takes_workdir_and_init_file(lago: Lago) -> None:
    Path("mine.yaml").write_text(INIT_FILE)
    assert lago("-P", "other", "init", "work", "mine.yaml").code == 0
    assert Path("work/other/initialized").is_file()


def test_init_respects_the_workdir_option(lago: Lago) -> None:
    Path("mine.yaml").write_text(INIT_FILE)
    assert lago("-w", "work", "init", "mine.yaml").code == 0
    assert lago("-w", "work", "list").out == "default\n"


def test_init_twice_is_exit_2(made: Lago) -> None:
    outcome = made("init")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is there already" in outcome.err
    assert outcome.err.endswith("remove it with: lagotui --run -P default destroy\n")


def test_the_environment_that_is_in_the_way_is_named_not_the_current_one(made: Lago) -> None:
    Path("second.yaml").write_text(INIT_FILE.replace("210", "211"))
    words = ("-w", "my work", "-P", "two", "init", "second.yaml")
    assert made(*words).code == 0
    assert f"lagotui --run -w '{Path.cwd() / 'my work'}' -P two destroy\n" in made(*words).err


def test_init_without_an_init_file_leaves_nothing(lago: Lago) -> None:
    outcome = lago("init")
    assert outcome.code == 2
    assert "LagoInitFile" in outcome.err
    assert list(Path().iterdir()) == []


def test_too_many_paths_are_exit_2(lago: Lago) -> None:
    assert lago("init", "a", "b", "c").code == 2


def test_up_makes_and_starts(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    outcome = lago("up")
    assert (outcome.code, outcome.out) == (0, "")
    assert statuses(lago) == {"vm0": "running", "web-vm1": "running"}


def test_up_of_what_is_there_needs_no_init_file(made: Lago) -> None:
    Path("LagoInitFile").unlink()
    assert made("up").code == 0
    assert set(statuses(made).values()) == {"running"}


def test_up_means_the_current_environment(made: Lago) -> None:
    assert made("-P", "other", "init").code == 2  # the address is taken by the first one
    Path("other.yaml").write_text(INIT_FILE.replace("192.168.210.1", "192.168.211.1"))
    assert made("-P", "other", "init", "--set-current", "other.yaml").code == 0
    assert made("up", "other.yaml").code == 0
    assert set(statuses(made).values()) == {"running"}
    assert made("set-current", "default").code == 0
    assert set(statuses(made).values()) == {"down"}


def test_start_and_stop_single_machines(made: Lago) -> None:
    assert made("start", "vm0").code == 0
    assert statuses(made) == {"vm0": "running", "web-vm1": "down"}
    assert made("stop", "vm0").code == 0
    assert set(statuses(made).values()) == {"down"}


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_an_unknown_machine_is_exit_2_with_the_nearest_name(verb: str, made: Lago) -> None:
    outcome = made(verb, "vm1")
    assert outcome.code == 2
    assert "'vm1'" in outcome.err
    assert "web-vm1" in outcome.err or "vm0" in outcome.err


def test_status_writes_nothing_but_its_result(made: Lago) -> None:
    outcome = made("status")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("[Prefix]:\n    Base directory: ")


def test_status_in_all_formats_says_the_same(made: Lago) -> None:
    assert yaml.safe_load(made("-f", "yaml", "status").out) == json.loads(made("-f", "json", "status").out)
    assert "Networks/lan/gateway: 192.168.210.1\n" in made("-f", "flat", "status").out


@pytest.mark.parametrize(
    "words", [["status"], ["start"], ["stop"], ["list"], ["snapshot", "a"], ["shell", "vm0"], ["destroy", "-y"], ["recover"]]
)
def test_without_a_workdir_is_exit_2(words: list[str], lago: Lago) -> None:
    outcome = lago(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "no workdir in" in outcome.err


def test_an_unknown_environment_is_exit_2(made: Lago) -> None:
    assert made("-P", "nothere", "status").code == 2


@pytest.mark.parametrize(("out_format", "out"), [("default", "default\n"), ("flat", "default\n"), ("json", '[\n    "default"\n]\n')])
def test_list_names_the_environments(out_format: str, out: str, made: Lago) -> None:
    assert made("-f", out_format, "list").out == out


def test_list_takes_a_workdir(made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir = str(Path(".lago").absolute())
    monkeypatch.chdir("/")
    assert made("list", workdir).out == "default\n"


def test_snapshots_are_taken_listed_and_reverted(made: Lago) -> None:
    assert made("snapshot", "clean").code == 0
    listed = json.loads(made("-f", "json", "snapshot", "--list").out)
    assert list(listed["vm0"]) == ["clean"]
    assert Path(listed["vm0"]["clean"][0]["path"]).is_file()
    assert made("revert", "clean").code == 0


def test_snapshot_without_a_name_is_exit_2(made: Lago) -> None:
    assert "snapshot needs a name" in made("snapshot").err


def test_revert_to_an_unknown_snapshot_is_exit_2(made: Lago) -> None:
    outcome = made("revert", "nothere")
    assert outcome.code == 2
    assert "'nothere'" in outcome.err


def test_destroy_without_a_terminal_needs_yes(made: Lago) -> None:
    outcome = made("destroy")
    assert outcome.code == 2
    assert "lagotui --run destroy -y" in outcome.err
    assert Path(".lago/default").is_dir()


def test_destroy_leaves_nothing(made: Lago) -> None:
    made("start")
    assert made("destroy", "-y").code == 0
    assert not Path(".lago").exists()
    assert made.host.machines == {}
    assert made.host.nets == {}


def test_destroy_all_prefixes_works_from_inside_of_one(made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.yaml").write_text(INIT_FILE.replace("192.168.210.1", "192.168.211.1"))
    assert made("-P", "other", "init", "other.yaml").code == 0
    here = Path.cwd()
    monkeypatch.chdir(".lago/default")
    assert made("destroy", "-y", "--all-prefixes").code == 0
    assert not (here / ".lago").exists()


def test_recover_with_nothing_to_do_says_so_on_stderr(made: Lago) -> None:
    outcome = made("recover")
    assert (outcome.code, outcome.out) == (0, "")
    assert "nothing to recover" in outcome.err


def test_set_current_to_an_unknown_environment_is_exit_2(made: Lago) -> None:
    assert made("set-current", "nothere").code == 2


def test_the_built_in_template_is_listed(lago: Lago) -> None:
    outcome = lago("-f", "json", "template", "list")
    assert outcome.code == 0
    (version,) = json.loads(outcome.out)["tiny"].values()
    assert version["in store"] is False


def test_building_an_unknown_template_is_exit_2(lago: Lago) -> None:
    outcome = lago("template", "build", "tinny")
    assert outcome.code == 2
    assert "tiny" in outcome.err


def test_shutdown_ends_machines_and_nets(made: Lago) -> None:
    made("start")
    outcome = made("shutdown")
    assert (outcome.code, outcome.out) == (0, "")
    assert statuses(made) == {"vm0": "down", "web-vm1": "down"}
    assert made.host.nets == {}


def test_shutdown_of_one_machine_leaves_the_net_of_the_other(made: Lago) -> None:
    made("start")
    assert made("shutdown", "vm0").code == 0
    assert statuses(made) == {"vm0": "down", "web-vm1": "running"}
    assert len(made.host.nets) == 1


def test_reboot_leaves_machines_and_nets_up(made: Lago) -> None:
    made("start")
    outcome = made("shutdown", "-r")
    assert outcome.code == 0
    assert "Reboot VM vm0: Success" in outcome.err
    assert statuses(made) == {"vm0": "running", "web-vm1": "running"}


def test_shutdown_of_what_is_down_is_no_error(made: Lago) -> None:
    assert made("shutdown", "vm0").code == 0


def test_shutdown_of_an_unknown_machine_is_exit_2(made: Lago) -> None:
    outcome = made("shutdown", "vm9")
    assert (outcome.code, "no machine 'vm9'" in outcome.err) == (2, True)


def test_cleanup_stops_and_unmarks(made: Lago) -> None:
    made("start")
    outcome = made("cleanup")
    assert outcome.code == 0
    assert "Stop prefix" in outcome.err
    assert (made.host.machines, made.host.nets) == ({}, {})
    assert Path(".lago/default/images").is_dir()
    status = made("status")
    assert (status.code, "it was cleaned up" in status.err) == (2, True)


def test_cleanup_twice_and_destroy_after_it_work(made: Lago) -> None:
    assert made("cleanup").code == 0
    assert made("cleanup").code == 0
    assert made("destroy", "-y").code == 0
    assert not Path(".lago").exists()


def test_what_the_user_may_not_read_is_theirs_to_put_right(made: Lago, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(settings: Settings) -> Engine:
        raise PermissionError(errno.EACCES, "Permission denied", "/their own/store")

    assert run(["leases"], open_engine=refuse) == 2
    assert capsys.readouterr().err == (
        "error: Permission denied: '/their own/store'\n  next: the whole story: add -l debug; who may: ls -ld '/their own/store'\n"
    )
