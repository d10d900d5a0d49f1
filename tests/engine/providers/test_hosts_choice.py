"""Where a new environment goes when the host that was chosen cannot read its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.config import Settings
from engine.context import TaskContext
from engine.errors import HostError
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import RealHosts


class Closed(FakeProvider):
    """A system host that cannot pass our home."""

    def can_read_images(self, folder: Path) -> str:
        return f"setfacl -m u:qemu:x {folder}"


class OnSystem(RealHosts):
    """Real choices, with a host in memory in the place of the system's."""

    def resolve(self, ctx: TaskContext, host: str) -> str:
        return "system" if host == "auto" else host

    def peek(self, host: str) -> FakeProvider:
        return Closed(FakeHost())


@pytest.fixture
def ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


def test_auto_falls_back_to_the_private_host(ctx: TaskContext, tmp_path: Path) -> None:
    assert OnSystem(Settings(libvirt_url="auto")).choose(ctx, tmp_path).name == "private"


def test_a_host_asked_for_is_refused_with_the_command_that_opens_it(ctx: TaskContext, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="setfacl -m u:qemu:x"):
        OnSystem(Settings(libvirt_url="system")).choose(ctx, tmp_path)
