"""The UI on an engine in memory, with a clock that stands still."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lagotui.app import LagoTuiApp
from lagotui.preferences import Preferences
from tests.tui.desk import Desk
from tests.tui.fake_engine import NOW_S, FakeEngine


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("HOME", "/home/ada")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def open_desk(tmp_path: Path) -> Callable[..., Desk]:
    """Return what makes an app on an engine in memory."""

    def make(engine: FakeEngine, env: str = "") -> Desk:
        shells: list[list[str]] = []

        def shell(argv: object) -> int:
            shells.append(list(argv))  # type: ignore[call-overload]
            return 0

        app = LagoTuiApp(lambda: engine, Preferences(tmp_path), env=env, clock=lambda: NOW_S, run_in_foreground=shell)  # type: ignore[arg-type,return-value]
        return Desk(app, engine, shells)

    return make
