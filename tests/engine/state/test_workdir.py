from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import PrefixNotFound, WorkdirError, WorkdirNotFound
from engine.state.prefix import Prefix, new_uuid
from engine.state.workdir import Workdir, is_workdir, remove_prefix, resolve


def make_prefix(workdir: Path, name: str) -> Prefix:
    prefix = Prefix.create(workdir / name, uuid=new_uuid(), host="private", workdir=workdir)
    prefix.mark_initialized()
    return prefix


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    """A workdir of three prefixes; `default` is the current one."""
    workdir = Workdir.at(tmp_path / "project" / ".lago")
    for name in ("default", "alpha", "beta"):
        make_prefix(workdir.path, name)
        workdir.adopt(name)
    return workdir


def test_workdir_of_lago_opens(lago_workdir: Path) -> None:
    assert Workdir.open(lago_workdir).current == "default"


def test_first_prefix_becomes_current(workdir: Workdir) -> None:
    assert str((workdir.path / "current").readlink()) == "default"


def test_adopting_can_set_current(workdir: Workdir) -> None:
    workdir.adopt("beta", set_current=True)

    assert workdir.current == "beta"


def test_every_folder_is_a_prefix_but_ours_and_current(workdir: Workdir) -> None:
    (workdir.path / "cleaned").mkdir()
    (workdir.path / ".lagotui-trash").mkdir()
    (workdir.path / "notes.txt").write_text("x")

    assert workdir.names == ("alpha", "beta", "cleaned", "default")


def test_current_that_names_no_prefix_falls_back_to_default(workdir: Workdir, tmp_path: Path) -> None:
    (workdir.path / "current").unlink()
    (workdir.path / "current").symlink_to(tmp_path)

    assert workdir.current == "default"


def test_without_default_the_last_name_is_current(lago_workdir: Path) -> None:
    for name in ("a", "b"):
        make_prefix(lago_workdir, name)
    workdir = Workdir.at(lago_workdir)
    workdir.remove("default")

    assert workdir.current == "b"


def test_dangling_current_is_damage_with_a_way_out(workdir: Workdir) -> None:
    (workdir.path / "current").unlink()
    (workdir.path / "current").symlink_to("gone")

    with pytest.raises(WorkdirError, match="'gone', where no folder is") as caught:
        Workdir.open(workdir.path)
    assert caught.value.hint.startswith("ln -sfn default ")


def test_current_that_is_a_folder_is_damage(workdir: Workdir) -> None:
    (workdir.path / "current").unlink()
    (workdir.path / "current").mkdir()

    with pytest.raises(WorkdirError, match="is no link"):
        Workdir.open(workdir.path)


def test_opening_a_plain_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkdirNotFound):
        Workdir.open(tmp_path)


def test_unknown_prefix_is_answered_with_the_nearest(workdir: Workdir) -> None:
    with pytest.raises(PrefixNotFound) as caught:
        workdir.prefix("alhpa")

    assert caught.value.hint == "did you mean 'alpha'?"


@pytest.mark.parametrize("below", ["", ".lago", "src", "src/deep", ".lago/alpha"])
def test_search_finds_the_workdir_here_or_above(workdir: Workdir, below: str) -> None:
    start = workdir.path.parent / below
    start.mkdir(parents=True, exist_ok=True)

    assert Workdir.find(start) == workdir


def test_search_lists_workdirs_nearby(workdir: Workdir, tmp_path: Path) -> None:
    with pytest.raises(WorkdirNotFound, match=r"there are some in: project"):
        Workdir.find(tmp_path)


def test_search_says_what_is_wrong_with_a_damaged_workdir(workdir: Workdir) -> None:
    (workdir.path / "current").unlink()
    (workdir.path / "current").symlink_to("gone")

    with pytest.raises(WorkdirError, match="damaged"):
        Workdir.find(workdir.path.parent)


def test_search_passes_by_a_plain_file_named_current(tmp_path: Path) -> None:
    (tmp_path / "current").write_text("x")

    with pytest.raises(WorkdirNotFound):
        Workdir.find(tmp_path)


def test_removing_the_current_prefix_moves_the_link(workdir: Workdir) -> None:
    workdir.set_current("alpha")

    workdir.remove("alpha")

    assert (workdir.names, workdir.current) == (("beta", "default"), "default")


def test_removing_another_prefix_leaves_the_link(workdir: Workdir) -> None:
    workdir.set_current("alpha")

    workdir.remove("beta")

    assert workdir.current == "alpha"


def test_removing_the_last_prefix_takes_the_workdir_along(workdir: Workdir) -> None:
    for prefix in workdir.prefixes:
        remove_prefix(prefix)

    assert not workdir.path.exists()


def test_files_of_the_user_keep_the_workdir(lago_workdir: Path) -> None:
    (lago_workdir / "notes.txt").write_text("x")

    Workdir.at(lago_workdir).remove("default")

    assert [entry.name for entry in lago_workdir.iterdir()] == ["notes.txt"]


def test_removing_a_prefix_that_is_gone_finishes_the_workdir(lago_workdir: Path) -> None:
    workdir = Workdir.at(lago_workdir)
    (lago_workdir / "default").rename(lago_workdir.parent / "elsewhere")

    workdir.remove("default")

    assert not lago_workdir.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".lagotui-x", "x" * 256, "ü" * 128])
def test_names_that_no_prefix_can_have(workdir: Workdir, name: str) -> None:
    with pytest.raises(WorkdirError):
        workdir.new_prefix_path(name)
    with pytest.raises(WorkdirError):
        workdir.remove(name)


def test_new_prefix_named_current_is_called_default(tmp_path: Path) -> None:
    assert Workdir.at(tmp_path).new_prefix_path("current") == tmp_path / "default"


def test_adopting_repairs_a_dangling_current(workdir: Workdir) -> None:
    (workdir.path / "current").unlink()
    (workdir.path / "current").symlink_to("gone")

    workdir.adopt("beta")

    assert is_workdir(workdir.path)


def test_command_means_the_current_prefix_of_the_workdir_found(workdir: Workdir) -> None:
    assert resolve(cwd=workdir.path.parent).name == "default"


def test_command_means_the_named_prefix(workdir: Workdir) -> None:
    assert resolve(prefix_name="alpha", cwd=workdir.path.parent).name == "alpha"


def test_command_in_a_prefix_means_that_prefix(workdir: Workdir) -> None:
    prefix = resolve(cwd=workdir.path / "beta")

    assert (prefix.name, prefix.workdir) == ("beta", workdir.path)


def test_command_in_a_prefix_with_a_workdir_path_means_the_workdir(workdir: Workdir) -> None:
    assert resolve(workdir_path="..", cwd=workdir.path / "beta").name == "default"


def test_prefix_path_wins(workdir: Workdir, tmp_path: Path) -> None:
    assert resolve(workdir_path=workdir.path, prefix_path="project/.lago/beta", cwd=tmp_path).name == "beta"


def test_prefix_path_auto_is_the_current_directory(workdir: Workdir) -> None:
    assert resolve(prefix_path="auto", cwd=workdir.path / "beta").name == "beta"


def test_prefix_path_finds_a_dot_lago_that_is_a_prefix(tmp_path: Path) -> None:
    make_prefix(tmp_path, ".lago")
    (tmp_path / "deep").mkdir()

    assert resolve(prefix_path=tmp_path / "deep").path == tmp_path / ".lago"


def test_prefix_path_to_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PrefixNotFound):
        resolve(prefix_path=tmp_path)


def test_half_made_prefix_can_be_meant(workdir: Workdir, tmp_path: Path) -> None:
    half = Prefix.create(workdir.path / "half", uuid=new_uuid(), host="private")

    assert resolve(prefix_path=half.path) == resolve(prefix_name="half", cwd=tmp_path / "project")
