"""How long steps took, remembered."""

from __future__ import annotations

from pathlib import Path

from engine.state import durations
from engine.state.home import state_home


def test_medians_are_those_of_everything_recorded() -> None:
    durations.record({"start": [1.0, 9.0]})
    durations.record({"start": [2.0], "stop": [4.0]})
    assert durations.medians() == {"start": 2.0, "stop": 4.0}


def test_only_the_latest_samples_stay() -> None:
    durations.record({"start": [100.0] * 50})
    durations.record({"start": [1.0] * durations.KEPT})
    assert durations.medians() == {"start": 1.0}


def test_a_damaged_file_fills_again() -> None:
    (state_home()).mkdir(parents=True)
    Path(state_home() / "durations.json").write_text("[1, 2")
    assert durations.medians() == {}
    durations.record({"start": [1.0]})
    assert durations.medians() == {"start": 1.0}


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    state_home().parent.mkdir(parents=True, exist_ok=True)
    state_home().write_text("a file")
    durations.record({"start": [1.0]})
