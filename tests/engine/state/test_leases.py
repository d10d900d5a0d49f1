from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from engine.errors import LeaseError, SubnetOutOfRange, SubnetTaken
from engine.state.leases import LeaseStore


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path / "var" / "subnets")


def uuid_file(tmp_path: Path, uuid: str) -> Path:
    path = tmp_path / uuid / "uuid"
    path.parent.mkdir(exist_ok=True)
    path.write_text(uuid)
    return path


def test_empty_store_leases_nothing(store: LeaseStore) -> None:
    assert store.snapshot().holders == {}


def test_lease_is_written_as_lago_writes_it(store: LeaseStore, tmp_path: Path) -> None:
    path = uuid_file(tmp_path, "aaaa")

    store.claim(path, "aaaa", [200])

    assert (store.directory / "200.lease").read_text() == json.dumps([str(path), "aaaa"], indent=4)


def test_lease_of_lago_is_honoured(store: LeaseStore, tmp_path: Path) -> None:
    store.directory.mkdir(parents=True)
    (store.directory / "201.lease").write_text(json.dumps([str(uuid_file(tmp_path, "lago")), "lago"], indent=4))

    with pytest.raises(SubnetTaken, match=r"192\.168\.201\.0/24 is leased to '.*/lago'"):
        store.claim(uuid_file(tmp_path, "ours"), "ours", [201])


def test_claiming_again_is_fine(store: LeaseStore, tmp_path: Path) -> None:
    path = uuid_file(tmp_path, "aaaa")
    store.claim(path, "aaaa", [200])

    store.claim(path, "aaaa", [200, 201])

    assert sorted(store.snapshot().holders) == [200, 201]


def test_lost_race_claims_nothing(store: LeaseStore, tmp_path: Path) -> None:
    store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", [201])

    with pytest.raises(SubnetTaken):
        store.claim(uuid_file(tmp_path, "bbbb"), "bbbb", [200, 201])

    assert sorted(store.snapshot().holders) == [201]


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_stale_lease_is_taken_over(store: LeaseStore, tmp_path: Path, change: str) -> None:
    old = uuid_file(tmp_path, "aaaa")
    store.claim(old, "aaaa", [200])
    old.unlink() if change == "removed" else old.write_text("other")

    store.claim(uuid_file(tmp_path, "bbbb"), "bbbb", [200])

    assert store.snapshot().holders[200].uuid == "bbbb"


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '["a"]', "[1, 2]", '["\\u0000", "x"]', '["/", "x"]', "null"])
def test_damaged_lease_is_no_lease(store: LeaseStore, tmp_path: Path, content: str) -> None:
    store.directory.mkdir(parents=True)
    (store.directory / "200.lease").write_text(content)
    before = store.snapshot().holders

    store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", [200])

    assert (before, sorted(store.snapshot().holders)) == ({}, [200])


@pytest.mark.parametrize("octet", [199, 256, 0])
def test_range_ends(store: LeaseStore, tmp_path: Path, octet: int) -> None:
    with pytest.raises(SubnetOutOfRange):
        store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", [octet])


def test_all_56_can_be_leased(store: LeaseStore, tmp_path: Path) -> None:
    store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", range(200, 256))

    assert len(store.snapshot().holders) == 56


def test_release_of_some(store: LeaseStore, tmp_path: Path) -> None:
    path = uuid_file(tmp_path, "aaaa")
    store.claim(path, "aaaa", [200, 201, 202])

    store.release(path, [200, 202])

    assert sorted(store.snapshot().holders) == [201]


def test_release_of_all_leaves_those_of_others(store: LeaseStore, tmp_path: Path) -> None:
    store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", [200, 202])
    store.claim(uuid_file(tmp_path, "bbbb"), "bbbb", [201])

    store.release(tmp_path / "aaaa" / "uuid")

    assert sorted(store.snapshot().holders) == [201]


def test_release_of_anothers_does_nothing(store: LeaseStore, tmp_path: Path) -> None:
    store.claim(uuid_file(tmp_path, "bbbb"), "bbbb", [201])

    store.release(tmp_path / "aaaa" / "uuid", [201])

    assert sorted(store.snapshot().holders) == [201]


def test_release_makes_no_store(store: LeaseStore, tmp_path: Path) -> None:
    store.release(tmp_path / "aaaa" / "uuid")

    assert not store.directory.exists()


def test_snapshot_tells_others_from_us(store: LeaseStore, tmp_path: Path) -> None:
    store.claim(uuid_file(tmp_path, "aaaa"), "aaaa", [200])
    store.claim(uuid_file(tmp_path, "bbbb"), "bbbb", [201])

    assert store.snapshot().others("aaaa") == {201: str(tmp_path / "bbbb")}


def test_of_many_claims_at_once_one_wins(store: LeaseStore, tmp_path: Path) -> None:
    outcomes: list[str] = []

    def claim(uuid: str) -> None:
        try:
            store.claim(uuid_file(tmp_path, uuid), uuid, [200])
            outcomes.append("won")
        except SubnetTaken:
            outcomes.append("lost")

    threads = [threading.Thread(target=claim, args=(f"uuid{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_store_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(LeaseError, match="cannot be used"):
        LeaseStore(tmp_path / "file" / "subnets").claim(uuid_file(tmp_path, "aaaa"), "aaaa", [200])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_closed_store_says_how_to_open_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)

    with pytest.raises(LeaseError) as caught:
        LeaseStore(tmp_path / "closed").claim(uuid_file(tmp_path, "aaaa"), "aaaa", [200])
    assert "LAGO_LEASE_DIR" in caught.value.hint
