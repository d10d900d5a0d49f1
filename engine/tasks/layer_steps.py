"""How layers that nobody names any more go away. What cannot be merged now stays, and is tried again with the next removal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..context import TaskContext
from ..errors import CommandFailed, DiskFull, HostRefused, MachineStateError, TemplateError
from ..images.moved import backing_of
from ..plan.layers import renamed
from ..spec import Json
from .scope import RunScope
from .snapshot_steps import save_spec


def remove_leftovers(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    """Remove files, and forget them; one that cannot be removed is left to the next time, since all else is done."""
    for path in (Path(each) for each in args["paths"]):
        try:
            if path.is_relative_to(scope.prefix) and ".." not in path.parts:
                path.unlink(missing_ok=True)
        except OSError as failure:
            ctx.log(f"'{path}' cannot be removed: {failure.strerror}", logging.WARNING)
        else:
            _forget(ctx, scope, subject, str(path))


def merge_layer(ctx: TaskContext, scope: RunScope, subject: str, args: Mapping[str, Json]) -> None:
    base, top = Path(args["base"]), Path(args["top"])
    try:
        if args["way"] == "up":
            _move_up(ctx, scope, subject, args["dev"], base, top)
        else:
            _move_down(ctx, scope, subject, args["dev"], base, top)
            _take_place(ctx, scope, subject, base, top, [Path(path) for path in args["others"]])
    except (HostRefused, CommandFailed, DiskFull, MachineStateError, TemplateError) as failure:
        ctx.log(f"'{base}' stays, with nothing lost: {failure.message}", logging.WARNING)


def _move_up(ctx: TaskContext, scope: RunScope, machine: str, dev: str, base: Path, top: Path) -> None:
    """Copy what `base` holds into `top`, and remove `base`."""
    from ..images.disks import probe
    from ..images.merging import pull

    if base.exists():
        below = probe(ctx, base)
        provider = scope.running_provider()
        if provider is not None and str(base) in provider.open_images(scope.ref, machine):
            provider.pull_layer(ctx, scope.ref, machine, dev, str(base), str(below.backing) if below.backing else None)
        elif backing_of(top) == base:
            pull(ctx, top, below.backing, below.backing_format)
        base.unlink()
    _forget(ctx, scope, machine, str(base))


def _move_down(ctx: TaskContext, scope: RunScope, machine: str, dev: str, base: Path, top: Path) -> None:
    """Write what `top` holds into `base`; done again after a crash, there may be nothing left to do."""
    from ..images.merging import commit

    if not top.exists():
        return
    provider = scope.running_provider()
    opened = provider.open_images(scope.ref, machine) if provider is not None else frozenset[str]()
    if provider is not None and str(top) in opened:
        provider.commit_layer(ctx, scope.ref, machine, dev, str(top), str(base))
    elif str(base) not in opened:
        commit(ctx, top)


def _take_place(ctx: TaskContext, scope: RunScope, machine: str, base: Path, top: Path, others: list[Path]) -> None:
    """Let `base` be what `top` was: for what stood on it, and for who names it."""
    from ..images.disks import format_of
    from ..images.merging import repoint

    base_format = format_of(ctx, base)
    for other in others:
        if backing_of(other) == top:
            repoint(ctx, other, base, base_format)
    save_spec(ctx, scope, renamed(scope.open_prefix().machine(machine), str(top), str(base), base_format))
    top.unlink(missing_ok=True)


def _forget(ctx: TaskContext, scope: RunScope, machine: str, path: str) -> None:
    spec = scope.open_prefix().machine(machine)
    left = tuple(each for each in spec.history.leftovers if each != path)
    if left != spec.history.leftovers:
        save_spec(ctx, scope, replace(spec, history=replace(spec.history, leftovers=left)))
