"""What a machine remembers of its snapshots beyond their disks: how they follow from each other, their memory, what can be tidied up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from .json import Json, without_none

KEY = "lagotui_snapshots"
"""Of a machine's file; the predecessor keeps it and does not read it."""


@dataclass(frozen=True, slots=True)
class SnapshotNote:
    parent: str | None = None
    """The snapshot that the machine stood on when this one was taken."""
    created_s: float | None = None
    """Seconds since the epoch; None: not known."""
    up: bool | None = None
    """Whether the machine was up."""
    checkpoint: bool = False
    """Taken with the memory of what was up: going back to it brings back who was up, and who was down."""
    memory: str | None = None
    """Absolute path of the saved memory."""

    def to_json(self) -> dict[str, Json]:
        data = {"parent": self.parent, "created": self.created_s, "up": self.up, "memory": self.memory}
        return without_none({**data, "checkpoint": self.checkpoint or None})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Self:
        created, up = data.get("created"), data.get("up")
        return cls(
            parent=data.get("parent"),
            created_s=None if created is None else float(created),
            up=None if up is None else bool(up),
            checkpoint=bool(data.get("checkpoint", False)),
            memory=data.get("memory"),
        )


@dataclass(frozen=True, slots=True)
class History:
    at: str | None = None
    """The snapshot that the machine's disks of today stand on."""
    notes: Mapping[str, SnapshotNote] = field(default_factory=dict)
    """By name; a snapshot of the predecessor's has none."""
    leftovers: tuple[str, ...] = ()
    """Absolute paths of images and memories that no snapshot names any more; images may still be stood on."""

    def note(self, name: str | None) -> SnapshotNote:
        return self.notes.get(name or "", SnapshotNote())

    def taken(self, name: str, note: SnapshotNote) -> History:
        """Return the history after a snapshot was taken; an older one of that name is forgotten."""
        clean = self.without(name)
        return replace(clean, at=name, notes={**clean.notes, name: replace(note, parent=clean.at)})

    def without(self, name: str) -> History:
        """Return the history as if there had never been a snapshot `name`: what followed from it follows from its parent."""
        parent = self.note(name).parent
        notes = {each: replace(note, parent=parent) if note.parent == name else note for each, note in self.notes.items() if each != name}
        return replace(self, at=parent if self.at == name else self.at, notes=notes)

    def with_paths(self, change: Callable[[str], str]) -> History:
        notes = {name: replace(note, memory=change(note.memory)) if note.memory else note for name, note in self.notes.items()}
        return replace(self, notes=notes, leftovers=tuple(change(path) for path in self.leftovers))

    def to_json(self) -> dict[str, Json]:
        data = {"at": self.at, "leftovers": list(self.leftovers) or None}
        return {**without_none(data), "taken": {name: note.to_json() for name, note in self.notes.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Json], snapshots: Mapping[str, object]) -> Self:
        """Read it; what it says of snapshots that are not there any more is left out: the predecessor may have worked on the machine."""
        notes = {name: SnapshotNote.from_json(note) for name, note in (data.get("taken") or {}).items() if name in snapshots}
        known = {name: replace(note, parent=note.parent if note.parent in snapshots else None) for name, note in notes.items()}
        at = data.get("at")
        return cls(at if at in snapshots else None, known, tuple(data.get("leftovers") or ()))
