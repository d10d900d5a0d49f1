"""Which images nobody needs any more once snapshots are gone, and which two become one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from ..spec import Json, MachineSpec
from ..state.env import EnvState
from .model import Plan, Recovery, Resource, Step, StepKind

_GROUP = ("Tidy up layers",)


@dataclass(frozen=True, slots=True)
class Layer:
    """An image of a machine that is there."""

    backing: str | None
    """What it stands on."""
    format: str
    size_bytes: int
    """On disk."""


Layers = Mapping[str, Layer]
"""Images of a machine that are there, by path."""


def plan_tidy(state: EnvState, layers: Mapping[str, Layers], *, merge: bool = True) -> Plan:
    """Remove what nobody names and nothing stands on; merge an unnamed image with the one image that stands on it.

    Args:
        state: of the environment.
        layers: by machine; only these are looked at.
        merge: false leaves images alone that something stands on.
    """
    steps = [step for name, found in layers.items() for step in _Tidying(state, name, found).steps(merge)]
    return Plan("tidy", "Tidy up layers", state.ref.prefix, state.ref.uuid, state.host, tuple(steps), Recovery.FINISH)


class _Tidying:
    """The images of one machine, and what becomes of them."""

    def __init__(self, state: EnvState, name: str, layers: Layers) -> None:
        machine = state.machines[name]
        self._spec = machine.spec
        self._is_up = machine.status.is_up
        self._layers = dict(layers)
        own = PurePath(state.ref.prefix)
        self._loose = [path for path in machine.spec.history.leftovers if path in layers and PurePath(path).is_relative_to(own)]

    def steps(self, merge: bool) -> Iterator[Step]:
        name = self._spec.name
        no_images = [path for path in self._spec.history.leftovers if path not in self._layers]
        paths = [*self._fall(), *no_images]
        last: tuple[str, ...] = ()
        if paths:
            title = f"Remove what VM {name} needs no more"
            kind = StepKind.REMOVE_LEFTOVERS
            step = Step(f"{kind.value}:{name}", kind, name, title, args={"paths": paths}, resource=Resource.DISK, group=_GROUP)
            yield step
            last = (step.id,)
        for number, args in enumerate(self._merges() if merge else ()):
            step = Step(
                f"merge-layer:{name}:{number}",
                StepKind.MERGE_LAYER,
                name,
                f"Merge two layers of VM {name}",
                args=args,
                after=last,
                resource=Resource.DISK,
                group=_GROUP,
            )
            yield step
            last = (step.id,)

    def _fall(self) -> list[str]:
        """Take out the loose images that nothing stands on, and those that stood below these only."""
        fallen: list[str] = []
        while leaves := [path for path in self._loose if not self._above(path)]:
            fallen += leaves
            self._loose = [path for path in self._loose if path not in leaves]
            for path in leaves:
                del self._layers[path]
        return fallen

    def _merges(self) -> Iterator[dict[str, Json]]:
        while pair := next(((path, self._above(path)[0]) for path in self._loose if len(self._above(path)) == 1), None):
            base, top = pair
            args: dict[str, Json] = {"dev": self._dev(top), "base": base, "top": top, "others": self._above(top)}
            if self._is_moved_up(base, top):
                yield {**args, "way": "up"}
                self._layers[top] = replace(self._layers[top], backing=self._layers[base].backing)
                self._loose.remove(base)
                del self._layers[base]
            else:
                yield {**args, "way": "down"}
                self._take_place(base, top)

    def _is_moved_up(self, base: str, top: str) -> bool:
        """Whether to copy the lower image into the upper one: the smaller one is moved, but a running machine reads its middle layers."""
        smaller = self._layers[base].size_bytes < self._layers[top].size_bytes and self._layers[top].format == "qcow2"
        return smaller and not (self._is_up and top in self._open() and self._above(top))

    def _take_place(self, base: str, top: str) -> None:
        """Let `base`, with all that `top` holds, be what `top` was."""
        size = self._layers[base].size_bytes + self._layers[top].size_bytes
        for path in self._above(top):
            self._layers[path] = replace(self._layers[path], backing=base)
        self._spec = renamed(self._spec, top, base, self._layers[base].format)
        self._layers[base] = replace(self._layers[base], size_bytes=size)
        del self._layers[top]
        self._loose = [path for path in self._loose if path not in (base, top)] + ([base] if top in self._loose else [])

    def _above(self, path: str) -> list[str]:
        return [each for each, layer in self._layers.items() if layer.backing == path]

    def _open(self) -> set[str]:
        """Return what the disks of today stand on, and these."""
        found: set[str] = set()
        for disk in self._spec.disks:
            path = disk.path
            while path in self._layers and path not in found:
                found.add(path)
                path = self._layers[path].backing
        return found

    def _dev(self, path: str) -> str:
        """Return the name in the guest of the disk that an image belongs to."""
        for disk in self._spec.disks:
            here, seen = disk.path, set[str]()
            while here in self._layers and here not in seen:
                if here == path:
                    return disk.dev
                seen.add(here)
                here = self._layers[here].backing
        return ""


def renamed(spec: MachineSpec, old: str, new: str, image_format: str) -> MachineSpec:
    """Return a machine whose image `old` is `new` from now on."""
    disks = {
        name: tuple(replace(disk, path=new, format=image_format) if disk.path == old else disk for disk in group)
        for name, group in (("", spec.disks), *spec.snapshots.items())
    }
    named = {disk.path for group in disks.values() for disk in group}
    left = tuple(path for path in spec.history.leftovers if path != old and path not in named)
    today = disks.pop("")
    return replace(spec, disks=today, snapshots=disks, history=replace(spec.history, leftovers=left))
