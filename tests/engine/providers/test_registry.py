from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.config import Settings
from engine.context import TaskContext
from engine.errors import ConfigError, HostUnreachable
from engine.providers import registry


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(accel="tcg", lease_dir=tmp_path, template_store=tmp_path, template_repos=tmp_path)


@pytest.mark.parametrize(
    ("host", "name"),
    [("private", "private"), ("system", "system"), ("qemu:///system", "system"), ("qemu+ssh://h/system", "qemu+ssh://h/system")],
)
def test_hosts_are_remembered_by_one_name(host: str, name: str, ctx: TaskContext) -> None:
    assert registry.resolve(ctx, host) == name


def test_uri_opens_libvirt(ctx: TaskContext, settings: Settings) -> None:
    provider = registry.open_provider(ctx, "test:///default", settings)
    assert provider is not None
    assert provider.info().kind == "uri"
    provider.close()


def test_private_world_that_does_not_run_is_not_started_by_a_look(
    ctx: TaskContext, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert registry.open_provider(ctx, "private", settings, start=False) is None


def test_unknown_host_is_refused_with_the_known_ones(ctx: TaskContext, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"no host .privat.*auto, private, system"):
        registry.open_provider(ctx, "privat", settings)


def test_unreachable_uri_is_told(ctx: TaskContext, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="cannot connect"):
        registry.open_provider(ctx, f"qemu+unix:///system?socket={tmp_path}/none", settings)
