"""A user of the headless door, in front of the real engine, whose machines live in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
