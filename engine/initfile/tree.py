"""Values with their places: what the YAML and JSON readers make, and what everything after them looks places up in."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .diagnostics import FILE_START, Diagnostic, Path, Span

MAX_DEPTH = 64
"""Collections inside each other; an init file needs nine."""

MAX_VALUES = 200_000
"""Values after every alias is followed; a file of a thousand machines has about 20,000."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold back the cyclic garbage collector: nothing here makes cycles, and its walks over the nodes cost more than reading them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def size_of(value: Any) -> int:
    """Return how many values are in a plain one, itself counted."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(size_of, inner))


class Mark(Protocol):
    """A place in the text, counted from 0."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class SourceError(Exception):
    """The text ends being read here; carries the one diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(str(diagnostic))
        self.diagnostic = diagnostic


class Node:
    """One value. Aliases are the same node again."""

    __slots__ = ("end", "entries", "flow", "height", "items", "merges", "open", "scalar", "size", "start")

    def __init__(self, start: Mark, end: Mark) -> None:
        self.start = start
        self.end = end
        self.scalar: Any = None
        self.entries: dict[str, tuple[Node, Node]] | None = None
        """Mapping: key → (key node, value node), merge keys followed."""
        self.items: list[Node] | None = None
        """Sequence."""
        self.merges: list[Node] | None = None
        """Mappings to merge in when this one is closed."""
        self.flow = False
        """Written in brackets."""
        self.open = False
        """Still being read."""
        self.height = 0
        self.size = 1

    def close(self) -> None:
        """Follow the merge keys, and measure."""
        self.open = False
        if self.merges:
            merged: dict[str, tuple[Node, Node]] = {}
            for other in self.merges:
                merged.update(other.entries or {})
            self.entries = {**merged, **(self.entries or {})}
        children = self.items if self.items is not None else [value for _, value in (self.entries or {}).values()]
        if children:
            self.height = 1 + max([child.height for child in children])
            self.size = 1 + sum([child.size for child in children])

    def data(self) -> Any:
        """Return the plain value; no part of it is shared with another place of the file."""
        if self.entries is not None:
            return {key: (node.scalar if node.height == 0 and node.is_scalar else node.data()) for key, (_, node) in self.entries.items()}
        if self.items is not None:
            return [node.data() for node in self.items]
        return self.scalar

    @property
    def is_scalar(self) -> bool:
        return self.entries is None and self.items is None

    def span(self) -> Span:
        if self.flow or self.is_scalar:
            return between(self.start, self.end)
        if self.entries:
            first_key, _ = next(iter(self.entries.values()))
            return first_key.span()
        line, column, _, _ = between(self.start, self.start)
        return Span(line, column, line, column + 1)


def between(start: Mark, end: Mark) -> Span:
    return Span(start.line + 1, start.column + 1, end.line + 1, end.column + 1)


class Document:
    """An init file that was read: plain data, and where each part of it is written."""

    def __init__(self, file: str, root: Node | None, data: Any, problems: list[Diagnostic]) -> None:
        self.file = file
        self.data = data
        """None when the text could not be read to its end."""
        self.problems = problems
        self._root = root
        self._moved: dict[Path, Path] = {}

    def inherit(self, path: Path, source: Path) -> None:
        """Tell that the value at `path` is not written there but at `source`."""
        self._moved[path] = source

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Return where the value at `path` is written; where it is missing, the key of what should hold it.

        Args:
            path: keys and indexes from the top.
            key: the place of the key instead of its value.
        """
        node, key_node = self._root, None
        for part in self._written_at(path):
            found = _step(node, part)
            if found is None:
                key = True
                break
            key_node, node = found
        if node is None:
            return FILE_START
        if key_node is not None and (key or not _shows(node)):
            return key_node.span()
        return node.span()

    def report(self, code: str, path: Path, message: str, hint: str = "", *, key: bool = False) -> Diagnostic:
        """Make a diagnostic about the value (or the key) at `path`."""
        return Diagnostic.at(code, self.file, self.span(path, key=key), message, hint)

    def line_of(self, path: Path) -> int:
        return self.span(path).line

    def _written_at(self, path: Path) -> Path:
        if self._moved:
            for length in range(len(path), 0, -1):
                source = self._moved.get(path[:length])
                if source is not None:
                    return self._written_at((*source, *path[length:]))
        return path


def _step(node: Node | None, part: str | int) -> tuple[Node | None, Node] | None:
    if node is None:
        return None
    if node.entries is not None:
        return node.entries.get(str(part))
    if node.items is not None and isinstance(part, int) and part < len(node.items):
        return None, node.items[part]
    return None


def _shows(node: Node) -> bool:
    """Whether the value itself can be pointed at: bracketed, or a scalar with at least one character."""
    if node.is_scalar:
        return (node.start.line, node.start.column) != (node.end.line, node.end.column)
    return node.flow
