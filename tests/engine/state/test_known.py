from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.state.home import state_home
from engine.state.known import forget, known_environments, recalled, register, vanished
from engine.state.leases import LeaseStore
from engine.state.prefix import Prefix, new_uuid, remove_tree


def make(tmp_path: Path, name: str) -> Prefix:
    prefix = Prefix.create(tmp_path / name / ".lago" / "default", uuid=new_uuid(), host="private")
    register(prefix.path, prefix.uuid, prefix.path.parent)
    return prefix


def test_nothing_is_known_at_first() -> None:
    assert known_environments() == []


def test_the_last_used_comes_first(tmp_path: Path) -> None:
    first, second = make(tmp_path, "first"), make(tmp_path, "second")
    register(first.path, first.uuid, first.path.parent)

    assert [env.path for env in known_environments()] == [first.path, second.path]


def test_an_entry_says_what_it_is(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")

    (env,) = known_environments()

    assert (env.uuid, env.name, env.workdir) == (prefix.uuid, "default", prefix.path.parent)


def test_forgotten_is_not_known(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")

    forget(prefix.uuid)
    forget(prefix.uuid)

    assert known_environments() == []


def test_vanished_is_dropped_for_good(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")
    remove_tree(prefix)

    assert (known_environments(), list((state_home() / "environments").glob("*.json"))) == ([], [])


def test_another_environment_at_the_same_path_is_not_it(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")
    prefix.uuid_path.write_text(new_uuid())

    assert known_environments() == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"path": 3}'])
def test_damaged_entry_is_passed_by(tmp_path: Path, content: str) -> None:
    prefix = make(tmp_path, "project")
    (state_home() / "environments" / "bad.json").write_text(content)

    assert [env.path for env in known_environments()] == [prefix.path]


def test_many_register_at_once(tmp_path: Path) -> None:
    threads = [threading.Thread(target=make, args=(tmp_path, f"p{number}")) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(known_environments()) == 10


def test_a_lost_uuid_is_recalled(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")
    make(tmp_path, "other")
    prefix.uuid_path.unlink()
    assert recalled(Prefix.at(prefix.path), LeaseStore(tmp_path / "subnets")).uuid == prefix.uuid


def test_a_uuid_that_was_never_known_stays_lost(tmp_path: Path) -> None:
    assert recalled(Prefix.at(tmp_path), LeaseStore(tmp_path / "subnets")).uuid == ""


def test_an_environment_that_vanished_is_found_from_its_workdir_and_above(tmp_path: Path) -> None:
    prefix = make(tmp_path, "project")
    make(tmp_path, "other")
    assert vanished(tmp_path / "project") is None
    remove_tree(prefix)
    found = [vanished(folder) for folder in (tmp_path / "project", tmp_path / "project" / ".lago")]
    assert [(each.path, each.uuid) for each in found if each is not None] == [(prefix.path, prefix.uuid)] * 2
    assert vanished(tmp_path / "project", "second") is None
