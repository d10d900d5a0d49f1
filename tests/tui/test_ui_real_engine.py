"""The UI on the real engine, with a host in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import Settings
from lagotui.app import LagoTuiApp
from lagotui.preferences import Preferences
from tests.tui.desk import Desk

NETS_ONLY = "domains: {}\nnets:\n  n0: {type: nat, dhcp: {start: 100, end: 254}, management: true}\n"


@pytest.fixture
def real_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Desk]:
    from engine.api import Engine
    from engine.providers.fake import FakeHost, FakeProvider
    from engine.providers.hosts import OneHost

    for name in ("STATE", "DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LagoInitFile").write_text(NETS_ONLY)
    settings = Settings(template_store=tmp_path / "store", lease_dir=tmp_path / "subnets")
    engine = Engine(settings, hosts=OneHost(FakeProvider(FakeHost())), wait_ready=lambda ctx, scope, machine: None)

    def make(env: str = "") -> Desk:
        return Desk(LagoTuiApp(lambda: engine, Preferences(tmp_path / "config"), env=env), engine, [])  # type: ignore[arg-type]

    return make


async def test_an_environment_is_made_opened_stopped_and_destroyed(real_desk: Callable[[str], Desk], tmp_path: Path) -> None:
    async with real_desk("").open() as desk:
        await desk.press("n")
        await desk.until_screen("InputDialog")
        await desk.press("enter")
        await desk.until_toast("is up: ssh answers")
        await desk.until_rows("#environments")
        await desk.press("enter")
        await desk.until_screen("EnvironmentScreen")
        await desk.until(lambda: desk.rows("#nets") and desk.rows("#nets")[0].startswith("● n0"))
        await desk.press("X")
        await desk.until(lambda: desk.rows("#nets")[0].startswith("○ n0"))
        await desk.until(lambda: not desk.app.bridge.running)
        await desk.press("ctrl+d")
        await desk.until_screen("ConfirmDialog")
        await desk.until(lambda: str(tmp_path) in desk.lines("#text"))
        await desk.press("y")
        await desk.until_screen("HomeScreen")
        await desk.until(lambda: not (tmp_path / ".lago" / "default").exists())
