"""Users at a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.providers.fake import FakeHost
from tests.headless.terminal_user import INIT_FILE, Lago


@pytest.fixture
def lago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lago:
    """A user in an empty folder of a machine that has never seen lagotui."""
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAGO_LEASE_DIR", str(tmp_path / "subnets"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Lago(FakeHost(), capsys, lambda ctx, scope, machine: None)


@pytest.fixture
def made(lago: Lago) -> Lago:
    """The same user, with an environment of two machines."""
    Path("LagoInitFile").write_text(INIT_FILE)
    assert lago("init").code == 0
    return lago
