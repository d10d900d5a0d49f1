"""Environments that somebody laid hands on: what is said of them, and that destroy removes them, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.state.home import state_home
from tests.headless.terminal_user import INIT_FILE, Lago

PREFIX = Path(".lago/default")


def left_behind(lago: Lago) -> list[str]:
    """Return everything of an environment that can be found anywhere."""
    prefixes = [str(path) for path in Path(".lago").rglob("*")]
    leases = [path.name for path in (Path.cwd().parent / "subnets").glob("*.lease")]
    ours = [str(path) for folder in ("journal", "environments") for path in (state_home() / folder).rglob("*")]
    return [*prefixes, *leases, *ours, *map(str, lago.host.machines), *map(str, lago.host.nets)]


def write(name: str, content: bytes) -> Callable[[], object]:
    return lambda: (PREFIX / name).write_bytes(content)


def remove(name: str) -> Callable[[], object]:
    return lambda: shutil.rmtree(PREFIX / name) if (PREFIX / name).is_dir() else (PREFIX / name).unlink()


DAMAGES = {
    "no uuid": remove("uuid"),
    "empty uuid": write("uuid", b""),
    "garbage for a uuid": write("uuid", b"\0\xff\x1b" * 20),
    "no list of machines": remove("virt/env"),
    "no specs": remove("virt"),
    "garbage for the list": write("virt/env", b"garbage"),
    "a list for a machine": write("virt/vm-vm0", b"[]"),
    "a number for a net": write("virt/net-lan", b"1"),
    "a name that leads out": write("virt/env", b'{"vms": ["../../x"], "nets": []}'),
    "not initialized": remove("initialized"),
    "closed": lambda: (PREFIX / "virt").chmod(0),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_environment_is_told_and_destroyed_with_what_runs_of_it(damage: Callable[[], object], made: Lago) -> None:
    made("start")
    damage()
    if os.geteuid() != 0 or damage is not DAMAGES["closed"]:
        status = made("status")
        assert (status.code, status.out) == (2, "")
        assert "  next: " in status.err
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []


@pytest.mark.parametrize("name", ["metadata", "logs", "journal", "seeds", "id_rsa", "images"])
def test_destroy_needs_none_of_the_other_files(name: str, made: Lago) -> None:
    made("start")
    remove(name)()
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []


@pytest.mark.parametrize("name", ["images", "virt", "logs"])
def test_destroy_follows_no_link_out_of_the_prefix(name: str, made: Lago) -> None:
    outside = Path("outside")
    outside.mkdir()
    (outside / "kept").touch()
    remove(name)()
    (PREFIX / name).symlink_to(outside.absolute())
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []
    assert (outside / "kept").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
@pytest.mark.parametrize("mode", [0o500, 0])
def test_destroy_opens_what_is_write_protected(mode: int, made: Lago) -> None:
    made("start")
    for folder in (PREFIX / "images", PREFIX / "virt", PREFIX):
        folder.chmod(mode)
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []


def no_current() -> None:
    Path(".lago/current").unlink()


def current_to_nowhere() -> None:
    no_current()
    Path(".lago/current").symlink_to("nowhere")


def current_is_a_file() -> None:
    no_current()
    Path(".lago/current").touch()


FLAWS = [no_current, current_to_nowhere, current_is_a_file]


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_wrong_current_is_told_with_the_command_that_puts_it_right(flaw: Callable[[], None], made: Lago) -> None:
    flaw()
    status = made("status")
    assert status.code == 2
    assert "ln -sfn default" in status.err
    assert "no workdir" not in status.err


@pytest.mark.parametrize("words", [("destroy", "-y"), ("destroy", "-y", "--all-prefixes"), ("-P", "default", "destroy", "-y")])
@pytest.mark.parametrize("flaw", FLAWS)
def test_destroy_needs_no_current(flaw: Callable[[], None], words: tuple[str, ...], made: Lago) -> None:
    made("start")
    flaw()
    assert made(*words).code == 0
    assert made.host.machines == {}
    assert not PREFIX.exists()


def test_destroy_does_not_guess_which_of_two_is_meant(made: Lago) -> None:
    Path("other.yaml").write_text(INIT_FILE.replace("192.168.210.1", "192.168.211.1"))
    assert made("-P", "other", "init", "other.yaml").code == 0
    no_current()
    outcome = made("destroy", "-y")
    assert outcome.code == 2
    assert "name one: -P default | other" in outcome.err
    assert PREFIX.exists()
    assert made("-P", "other", "destroy", "-y").code == 0
    assert PREFIX.exists()


def test_machines_outlive_a_deleted_folder_only_until_destroy(made: Lago) -> None:
    made("start")
    shutil.rmtree(".lago")
    assert made("status").code == 2
    assert made("destroy", "-y").code == 0
    assert left_behind(made) == []


def test_nothing_is_made_where_a_deleted_environment_still_runs(made: Lago) -> None:
    made("start")
    shutil.rmtree(".lago")
    outcome = made("init")
    assert outcome.code == 2
    assert "still runs: vm0, web-vm1, net lan" in outcome.err
    assert "next: end it with: lagotui --run -P default destroy" in outcome.err
    assert made("-P", "default", "destroy", "-y").code == 0
    assert made("init").code == 0


def test_a_moved_environment_takes_its_subnet_along(made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    subnets = Path.cwd().parent / "subnets"
    Path("moved").mkdir()
    Path(".lago").rename("moved/.lago")
    monkeypatch.chdir("moved")
    assert made("start").code == 0
    assert str(Path.cwd() / ".lago/default/uuid") in (subnets / "210.lease").read_text()


def test_a_moved_environment_whose_subnet_was_taken_is_told_so(made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("moved").mkdir()
    Path(".lago").rename("moved/.lago")
    assert made("init").code == 0
    monkeypatch.chdir("moved")
    outcome = made("start")
    assert outcome.code == 2
    assert "192.168.210.0/24 is leased to" in outcome.err
    assert made.host.machines == {}


def test_a_moved_environment_starts_from_its_snapshots(made: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    made("snapshot", "s1")
    made("snapshot", "s2")
    Path("moved").mkdir()
    Path(".lago").rename("moved/.lago")
    monkeypatch.chdir("moved")
    assert made("start").code == 0
    assert made("revert", "s1").code == 0
