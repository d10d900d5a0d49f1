from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from engine.errors import DiskFull
from engine.state.atomic import write_bytes, write_json, write_text


def test_json_is_indented_by_four(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1})

    assert (tmp_path / "a").read_text() == '{\n    "b": 1\n}'


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "two")

    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "two")]


def test_mode_is_given(tmp_path: Path) -> None:
    write_bytes(tmp_path / "key", b"secret", mode=0o600)

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_umask_is_honoured(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
    finally:
        os.umask(before)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_link_is_replaced_and_its_target_left(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")

    write_text(tmp_path / "link", "new")

    assert ((tmp_path / "target").read_text(), (tmp_path / "link").is_symlink()) == ("old", False)


def test_failure_keeps_the_old_content(tmp_path: Path) -> None:
    write_json(tmp_path / "a", 1)

    with pytest.raises(TypeError):
        write_json(tmp_path / "a", object())

    assert json.loads((tmp_path / "a").read_text()) == 1


def test_target_that_is_a_folder_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "a", "x")

    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(DiskFull, match=r"'.*/a' cannot be written"):
        write_text(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []
