"""A host with IPv6 routes that it learned from a router: libvirt would not start an IPv6 net there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import HostRefused
from engine.events import TaskLog
from engine.providers.libvirt.accel import probe_accel
from engine.providers.libvirt.hosts import HostChoice, HostKind
from engine.providers.libvirt.provider import LibvirtProvider
from engine.providers.libvirt.session import Session
from engine.providers.libvirt.world_folders import world_paths
from engine.spec import EnvRef, NetSpec

ADVERTISE = str(Path(__file__).with_name("advertise.py"))


@pytest.fixture
def task() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "test", run_id="r") as context:
        yield context


@pytest.fixture
def provider(live_folder: Path, task: TaskContext) -> Iterator[LibvirtProvider]:
    """A private world beside a router; its first net would turn forwarding on."""
    paths = world_paths(live_folder / "ra", tmp=live_folder)
    session = Session(paths.uri, paths)
    session.connect(task)
    command = session.enter_command((sys.executable, "-I", ADVERTISE))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as router:
        assert router.stdout is not None and router.stdout.readline() == b"learned\n"
        made = LibvirtProvider(session, HostChoice(HostKind.PRIVATE, "", ""), probe_accel())
        yield made
        assert router.stdin is not None
        router.stdin.close()
    made.release(task)
    made.close()


def test_net_goes_without_ipv6_unless_it_insists(provider: LibvirtProvider, task: TaskContext, live_folder: Path) -> None:
    env = EnvRef(str(live_folder / "env-ra"), os.urandom(16).hex())
    with pytest.raises(HostRefused, match="accept_ra"):
        provider.start_net(task, env, NetSpec("six", gw="192.168.201.1", ipv6=True), {})
    with closing(task.bus.subscribe()) as events:
        provider.start_net(task, env, NetSpec("plain", gw="192.168.200.1"), {})
        said = [event.message for event in events.take() if isinstance(event, TaskLog)]
    provider.stop_net(task, env, "plain")
    assert [message for message in said if message.startswith("net 'plain' has no IPv6: ")]
