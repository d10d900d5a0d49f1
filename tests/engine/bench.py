"""An engine on a host in memory, with one template and a place for environments."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.api import Engine, InitRequest
from engine.config import Settings
from engine.context import TaskContext
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import OneHost
from engine.state.prefix import Prefix
from engine.tasks.scope import RunScope

HELLO = """
domains:
  vm0: {memory: 128, vcpu: 1, nics: [{net: n0}], disks: [{template_name: small, type: template, name: root, dev: vda}]}
  vm1: {memory: 128, vcpu: 1, nics: [{net: n0}], disks: [{template_name: small, type: template, name: root, dev: vda}]}
nets:
  n0: {type: nat, dhcp: {start: 100, end: 254}, management: true}
"""


@dataclass
class Bench:
    """An engine on a host in memory, with one template and a place for environments."""

    folder: Path
    host: FakeHost
    engine: Engine
    waited: list[str] = field(default_factory=list)

    def request(self, text: str = HELLO, name: str = "default") -> InitRequest:
        return InitRequest(workdir=self.folder / "work", prefix_name=name, init_file=self.folder / "LagoInitFile", text=text)

    def init(self, text: str = HELLO, name: str = "default") -> Prefix:
        request = self.request(text, name)
        self.engine.init(request).result(60)
        return Prefix.at(request.prefix)

    def up(self, text: str = HELLO) -> Prefix:
        request = self.request(text)
        self.engine.up(request).result(60)
        return Prefix.at(request.prefix)

    def again(self, **changes: Any) -> Bench:
        """Return a second engine on the same host and folders, as another process would have."""
        return make_bench(self.folder, self.host, **changes)


def make_bench(folder: Path, host: FakeHost, **changes: Any) -> Bench:
    settings = Settings(
        template_repo_path=str(folder / "repo" / "repo.json"),
        template_store=folder / "store",
        lease_dir=folder / "subnets",
        **changes,
    )
    waited: list[str] = []

    def wait_ready(ctx: TaskContext, scope: RunScope, machine: str) -> None:
        waited.append(machine)

    return Bench(folder, host, Engine(settings, hosts=OneHost(FakeProvider(host)), wait_ready=wait_ready), waited)
