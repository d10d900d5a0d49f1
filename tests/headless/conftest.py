"""The headless door in front of the real engine, whose machines live in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.api import Engine
from engine.config import Settings
from engine.context import TaskContext
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import OneHost
from engine.tasks.scope import RunScope
from lagotui.headless import run

INIT_FILE = """
domains:
  vm0: &vm
    memory: 64
    disks: [{name: root, type: empty, dev: vda, size: 1M, format: qcow2}]
    nics: [{net: lan}]
  web-vm1: *vm
nets:
  lan: {type: nat, management: true, gw: 192.168.210.1}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


@dataclass(slots=True)
class Lago:
    """One user at one terminal."""

    host: FakeHost
    capture: pytest.CaptureFixture[str]
    wait_ready: Callable[[TaskContext, RunScope, str], None]

    def __call__(self, *words: str, events_json: bool = False) -> Outcome:
        code = run(words, events_json=events_json, open_engine=self.open_engine)
        out, err = self.capture.readouterr()
        return Outcome(code, out, err)

    def open_engine(self, settings: Settings) -> Engine:
        return Engine(settings, hosts=OneHost(FakeProvider(self.host)), wait_ready=self.wait_ready)


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
