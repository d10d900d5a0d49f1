"""The part of a libvirt host that freezes machines and brings them back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ...context import TaskContext
from ...spec import EnvRef, MachineSpec
from ..base import DiskOverlay
from . import memory as memories
from . import merging, snapshot
from .chain import chains_of
from .domain import find
from .metadata import Tag, domain_uuid
from .session import Session

SNAPSHOT_TIMEOUT_S = 300.0
MEMORY_TIMEOUT_S = 3600.0
MERGE_TIMEOUT_S = 6 * 3600.0
"""A backstop: a merge that moves nothing is given up long before."""


class LibvirtSnapshots:
    """`Snapshots` and `Memories` of providers/base.py."""

    _session: Session
    _ours: dict[str, Tag]

    def snapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], sync: Callable[[], bool]) -> None:
        self._session.call(lambda conn: snapshot.snapshot(conn, ctx, env, machine, overlays, sync), timeout_s=SNAPSHOT_TIMEOUT_S)

    def unsnapshot(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...]) -> None:
        self._session.call(lambda conn: merging.unsnapshot(conn, ctx, env, machine, overlays), timeout_s=MERGE_TIMEOUT_S)

    def open_images(self, env: EnvRef, machine: str) -> frozenset[str]:
        return self._session.look(lambda conn: merging.open_images(conn, env, machine)) or frozenset()

    def commit_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, top: str, base: str) -> None:
        self._session.call(lambda conn: merging.commit_layer(conn, ctx, env, machine, dev, top, base), timeout_s=MERGE_TIMEOUT_S)

    def pull_layer(self, ctx: TaskContext, env: EnvRef, machine: str, dev: str, layer: str, below: str | None) -> None:
        self._session.call(lambda conn: merging.pull_layer(conn, ctx, env, machine, dev, layer, below), timeout_s=MERGE_TIMEOUT_S)

    def pause(self, ctx: TaskContext, env: EnvRef, machine: str) -> None:
        ctx.raise_if_cancelled()
        self._session.call(lambda conn: memories.pause(conn, env, machine))

    def resume(self, ctx: TaskContext, env: EnvRef, machine: str) -> None:
        if not self._session.look(lambda conn: memories.resume(conn, env, machine)):
            ctx.log(f"machine '{machine}' is not paused")

    def checkpoint(self, ctx: TaskContext, env: EnvRef, machine: str, overlays: tuple[DiskOverlay, ...], memory: Path) -> None:
        ctx.raise_if_cancelled()
        self._session.call(lambda conn: snapshot.checkpoint(conn, ctx, env, machine, overlays, memory), timeout_s=MEMORY_TIMEOUT_S)

    def check_memory(self, ctx: TaskContext, memory: Path) -> None:
        self._session.connect(ctx).call(lambda conn: memories.check_memory(conn, memory))

    def restore(self, ctx: TaskContext, env: EnvRef, machine: MachineSpec, memory: Path, seed: Path | None) -> None:
        ctx.raise_if_cancelled()
        self._ours[domain_uuid(env, machine.name)] = Tag(env.uuid, env.prefix, machine.name)
        connection, chains = self._session.connect(ctx), chains_of(ctx, machine)
        done = connection.call(lambda conn: memories.restore(conn, env, machine, memory, seed, chains), timeout_s=MEMORY_TIMEOUT_S)
        if not done:
            ctx.log(f"machine '{machine.name}' is up already")

    def set_clock(self, ctx: TaskContext, env: EnvRef, machine: str) -> bool:
        def by_agent(conn: object) -> bool:
            domain = find(conn, env, machine)
            return domain is not None and snapshot.set_clock(domain, time.time())

        return self._session.look(by_agent) or False
