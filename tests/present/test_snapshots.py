"""The tree of snapshots as text."""

from __future__ import annotations

from engine.api import SnapshotInfo
from lagotui.present.snapshots import tree_data, tree_text


def info(name: str, parent: str | None = None, *, current: bool = False, memory_bytes: int = 0) -> SnapshotInfo:
    return SnapshotInfo(name, parent, None, True, memory_bytes > 0, 2048, memory_bytes, current)


def test_a_tree_shows_what_follows_from_what_and_where_the_machine_is() -> None:
    infos = (info("clean"), info("app", "clean", current=True, memory_bytes=5 * 2**20), info("other", "clean"), info("deep", "other"))
    assert tree_text({"vm0": infos, "vm1": ()}).splitlines() == [
        "vm0",
        "└─ clean       time not known  2.0 KiB",
        "   ├─ app      time not known  2.0 KiB + 5.0 MiB memory",
        "   │  └─ now",
        "   └─ other    time not known  2.0 KiB",
        "      └─ deep  time not known  2.0 KiB",
        "vm1",
        "└─ now",
    ]


def test_a_machine_that_is_nowhere_stands_at_the_root() -> None:
    assert tree_text({"vm0": (info("s"),)}).splitlines()[-1] == "└─ now"


def test_the_data_names_parents() -> None:
    data = tree_data({"vm0": (info("a"), info("b", "a"))})
    assert data["vm0"]["b"]["parent"] == "a"
    assert "name" not in data["vm0"]["b"]
