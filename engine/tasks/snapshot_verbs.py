"""Snapshots, as runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..context import TaskContext
from ..errors import EngineError
from ..plan.layers import Layer, plan_tidy
from ..plan.snapshots import SnapshotRequest, plan_forget, plan_revert, plan_snapshot
from ..spec import MachineSpec
from ..state.prefix import Prefix
from .changing import Changing
from .runs import Run, RunHandle
from .threads import in_thread

_BLOCK_BYTES = 512
"""What `st_blocks` counts. (stat(2))"""


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot of one machine."""

    name: str
    parent: str | None
    """None: it stands on no other, or the predecessor took it and did not say."""
    created_s: float | None
    up: bool | None
    """Whether the machine was up; None: not known."""
    memory: bool
    """Going back to it brings the machine back as it ran."""
    disk_bytes: int
    """On disk, of its own layers: what the machine wrote between the snapshot before and this one."""
    memory_bytes: int
    current: bool
    """The machine's disks of today stand on it."""


class SnapshotVerbs(Changing):
    """Freezes machines under a name, and puts them back."""

    def snapshot(
        self, env: Prefix, name: str, machines: Sequence[str] = (), *, memory: bool = False, force: bool = False
    ) -> RunHandle[None]:
        """Freeze the disks of machines under a name; all of them when none is named.

        Args:
            env: the environment.
            name: of the snapshot.
            machines: by name.
            memory: keep the memory of what is up, too, of all machines at one moment: `revert` then brings back running machines.
            force: let an older snapshot of that name go once the new one is there.
        """

        async def body(run: Run) -> None:
            state = await self._state(env, machines)
            request = SnapshotRequest(name, tuple(machines), memory, force, time.time())
            replaced = [each for each in machines or state.machines if name in state.machines[each].spec.snapshots]
            await self._do(run, plan_snapshot(state, request))
            if replaced:
                await self._tidy(run, env, replaced)

        return self._change("snapshot", f"Create snapshot {name}", env, body)

    def revert(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Go back to a snapshot; what was written since is lost. A failure leaves every machine on the disks that it had."""

        async def body(run: Run) -> None:
            state = await self._state(env, machines)
            await self._do(run, plan_revert(state, name, machines))
            done = Run(run.ctx.shielded(), run.prefix)  # it has happened: what is left is to throw the old overlays away
            await self._tidy(done, env, machines or tuple(state.machines), merge=False)

        return self._change("revert", f"Revert to snapshot {name}", env, body)

    def delete_snapshot(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[int]:
        """Forget a snapshot, of machines that have it; nothing of what machines are now, or of other snapshots, is lost.

        Returns:
            Bytes that became free.
        """

        async def body(run: Run) -> int:
            state = await self._state(env, machines)
            plan = plan_forget(state, name, machines)
            names = [step.subject for step in plan.steps]
            before = await in_thread("sizes", lambda: _bytes_of(env, names))
            await self._do(run, plan)
            await self._tidy(run, env, names)
            freed = before - await in_thread("sizes", lambda: _bytes_of(env, names))
            run.ctx.tell(f"there is no way back to '{name}' of {', '.join(names)} any more; {max(0, freed) / 1024**2:.1f} MiB became free")
            return freed

        return self._change("snapshot", f"Delete snapshot {name}", env, body)

    def snapshots(self, env: Prefix) -> Mapping[str, tuple[SnapshotInfo, ...]]:
        """Return the snapshots of every machine, oldest first. A look: it blocks, call it from a thread."""
        return {name: _infos(machine) for name, machine in env.load_env().machines.items()}

    async def _tidy(self, run: Run, env: Prefix, machines: Collection[str], *, merge: bool = True) -> None:
        """Remove and merge what snapshots that are gone left behind; failing at that is no failure of the verb."""
        state = await self._state(env)
        try:
            layers = await in_thread("layers", lambda: {name: _layers(run.ctx, env, env.machine(name)) for name in machines})
        except EngineError as failure:
            run.ctx.log(f"nothing is tidied up: {failure.message}", logging.WARNING)
            return
        plan = plan_tidy(state, layers, merge=merge)
        if plan.steps:
            await self._do(run, plan)


def _layers(ctx: TaskContext, env: Prefix, machine: MachineSpec) -> dict[str, Layer]:
    """Look at the images of a machine that are there."""
    from ..images.disks import format_of
    from ..images.moved import backing_of, rejoin

    found: dict[str, Layer] = {}
    for path in _images(env, machine):
        if path.exists():
            rejoin(ctx, path)
            backing = backing_of(path)
            found[str(path)] = Layer(str(backing) if backing else None, format_of(ctx, path), _size(path))
    return found


def _images(env: Prefix, machine: MachineSpec) -> list[Path]:
    disks = (disk for group in (machine.disks, *machine.snapshots.values()) for disk in group if disk.path and disk.format != "iso")
    paths = [*(disk.path or "" for disk in disks), *(path for path in machine.history.leftovers if not path.endswith(".mem"))]
    return [Path(path) for path in dict.fromkeys(paths) if Path(path).is_relative_to(env.path)]


def _bytes_of(env: Prefix, machines: Collection[str]) -> int:
    specs = [env.machine(name) for name in machines]
    images = [path for spec in specs for path in _images(env, spec)]
    memories = [Path(note.memory) for spec in specs for note in spec.history.notes.values() if note.memory]
    rest = [Path(path) for spec in specs for path in spec.history.leftovers]
    return sum(_size(path) for path in {*images, *memories, *rest})


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * _BLOCK_BYTES
    except OSError:  # it is gone: that is told where it is needed
        return 0


def _infos(machine: MachineSpec) -> tuple[SnapshotInfo, ...]:
    infos = [_info(machine, name) for name in machine.snapshots]
    return tuple(sorted(infos, key=lambda info: info.created_s or 0.0))


def _info(machine: MachineSpec, name: str) -> SnapshotInfo:
    note = machine.history.note(name)
    return SnapshotInfo(
        name=name,
        parent=note.parent,
        created_s=note.created_s,
        up=note.up,
        memory=note.memory is not None,
        disk_bytes=sum(_size(Path(disk.path)) for disk in machine.snapshots[name] if disk.path),
        memory_bytes=_size(Path(note.memory)) if note.memory else 0,
        current=machine.history.at == name,
    )
