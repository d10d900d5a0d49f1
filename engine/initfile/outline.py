"""A half-written init file, read as far as it makes sense: where keys, items and values are, and where the cursor is among them.

The readers of `source` stop at the first fault, and a file that is being typed in always has one. This one never fails: it goes by
indentation and brackets, knows no tags or merges, and takes the rest as it comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from .diagnostics import Path
from .tree import MAX_DEPTH

MAX_COLUMNS = 50_000
"""Characters of a line that are looked at."""

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"[ \t]*|'[^']*'[ \t]*|(?:[^\s#&*!|>'"{}\[\],%@`:-]|-(?=[^\s#]))[^#\n:]*(?::(?=\S)[^#\n:]*)*):(?=\s|$)"""
)
_BEGUN_KEY = re.compile(r"- |[\w-]+$")
_PLAIN_IN_FLOW = re.compile(r"(?:[^,\[\]{}:#\s]|:(?![\s,\[\]{}]|$)|(?<!\s)#|[ \t]+(?![\s,\[\]{}:#]|$))+")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'[^']*'?""")
_MARKS = re.compile(r"(?:[&!]\S*\s+)*")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


class Spot(StrEnum):
    """What stands, or is about to stand, at the cursor."""

    KEY = "key"
    VALUE = "value"
    NOTHING = "nothing"
    """A comment or free text."""


@dataclass(slots=True)
class Entry:
    """A key or a list item; places count from 1."""

    line: int
    column: int
    end_column: int
    value: str = ""
    """Its scalar, without quotes; "" for none."""
    value_line: int = 0
    value_column: int = 0
    value_end_column: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cursor is."""

    spot: Spot
    path: Path
    """For a key the mapping that it is in, for a value the value's own path."""
    typed: str = ""
    """What is written of it before the cursor, quotes included."""


@dataclass(slots=True)
class _Frame:
    path: Path
    is_list: bool
    indent: int = 0
    """Column of its keys or dashes, from 0."""
    index: int = -1
    key: str | None = None

    def child(self) -> Path:
        """Return the path of what is being written in it."""
        return (*self.path, max(self.index, 0)) if self.is_list else (*self.path, self.key or "")


@dataclass(slots=True)
class Outline:
    entries: dict[Path, Entry] = field(default_factory=dict)
    children: dict[Path, list[str]] = field(default_factory=dict)
    """Mapping → its keys."""

    def keys(self, path: Path) -> list[str]:
        return self.children.get(path, [])

    def value(self, path: Path) -> str:
        entry = self.entries.get(path)
        return entry.value if entry else ""


def read_outline(text: str) -> Outline:
    scanner = _Scanner()
    for number, line in enumerate(text.split("\n"), 1):
        scanner.feed(number, line[:MAX_COLUMNS].rstrip("\r"))
    return scanner.outline


def place_of(text: str, line: int, column: int) -> Place:
    """Return what the cursor stands in; lines and columns count from 1, and outside of the text they mean its end."""
    lines = text.split("\n")
    line = min(max(line, 1), len(lines))
    scanner = _Scanner()
    for number, each in enumerate(lines[: line - 1], 1):
        scanner.feed(number, each[:MAX_COLUMNS].rstrip("\r"))
    if column > MAX_COLUMNS:
        return Place(Spot.NOTHING, ())
    return scanner.place(line, lines[line - 1][: max(column - 1, 0)].rstrip("\r"))


class _Scanner:
    def __init__(self) -> None:
        self.outline = Outline()
        self._frames: list[_Frame] = []
        self._flow: list[_Frame] = []
        self._flow_indent = -1
        self._text_indent: int | None = None
        """Indentation of the key that a block of text belongs to."""
        self._token = ("", False)
        """The last token of a line in brackets if it ends with the line, and whether it is a key."""

    def feed(self, number: int, text: str) -> None:
        """Read one line."""
        stripped = text.lstrip(" ")
        indent = len(text) - len(stripped)
        if self._flow and not self._ends_flow(stripped, indent):
            self._read_flow(number, text, 0)
            return
        self._flow = []
        if self._text_indent is not None:
            if not stripped or indent > self._text_indent:
                return
            self._text_indent = None
        if not stripped or stripped[0] == "#" or (indent == 0 and stripped.startswith(("---", "...", "%"))):
            return
        at = self._dashes(number, text, indent)
        if at == len(text) or text[at] == "#":
            return
        key = _KEY.match(text, at)
        if key:
            path = self._enter(number, key)
            self._value(number, text, key.end(), path)
        elif self._frames or text[at] in "{[":
            self._value(number, text, at, self._frames[-1].child() if self._frames else ())

    def place(self, number: int, text: str) -> Place:
        """Say where the end of `text` is, the part of its line before the cursor."""
        stripped = text.lstrip(" ")
        indent = len(text) - len(stripped)
        if self._flow and not self._ends_flow(stripped, indent):
            self._read_flow(number, text, 0)
            return self._place_in_flow(text)
        self._flow = []
        if self._text_indent is not None and (not stripped or indent > self._text_indent):
            return Place(Spot.NOTHING, ())
        if _is_comment(text):
            return Place(Spot.NOTHING, ())
        at = self._dashes(number, text, indent)
        key = _KEY.match(text, at)
        if key is None:
            if text[at : at + 1] in ("{", "["):
                self._value(number, text, at, self._container(at))
                return self._place_in_flow(text)
            return Place(Spot.KEY, self._container(at), text[at:])
        path = self._enter(number, key)
        rest = text[key.end() :].lstrip()
        if rest[:1] in ("{", "["):
            self._value(number, text, key.end(), path)
            return self._place_in_flow(text)
        return Place(Spot.VALUE, path, rest) if text[key.end() :] else Place(Spot.NOTHING, ())

    # blocks

    def _dashes(self, number: int, text: str, at: int) -> int:
        """Read the dashes at the start of a line; return where what follows begins."""
        while text[at : at + 1] == "-" and text[at + 1 : at + 2] in ("", " ") and len(self._frames) < MAX_DEPTH:
            self._leave(at)
            if not (self._frames and self._frames[-1].is_list and self._frames[-1].indent == at):
                self._frames.append(_Frame(self._container(at + 1), True, at))
            frame = self._frames[-1]
            frame.index += 1
            self.outline.entries[frame.child()] = Entry(number, at + 1, at + 2)
            at = _after_spaces(text, at + 1)
        return at

    def _enter(self, number: int, key: re.Match[str]) -> Path:
        """Note a key of a block; return its path."""
        at = key.start()
        path = self._container(at)
        if not self._frames or self._frames[-1].is_list or self._frames[-1].indent != at:
            self._frames.append(_Frame(path, False, at))
        written = key.group(1).rstrip()
        self._frames[-1].key = name = _unquoted(written)
        return self._note(path, name, number, at, at + len(written))

    def _container(self, at: int) -> Path:
        """Return the path of the mapping that a key in column `at` belongs to; deeper blocks are left."""
        self._leave(at)
        if self._frames and self._frames[-1].is_list and self._frames[-1].indent == at:
            self._frames.pop()
        if not self._frames:
            return ()
        top = self._frames[-1]
        return top.path if not top.is_list and top.indent == at else top.child()

    def _leave(self, at: int) -> None:
        while self._frames and self._frames[-1].indent > at:
            self._frames.pop()

    def _note(self, path: Path, name: str, number: int, start: int, end: int) -> Path:
        full = (*path, name)
        if full not in self.outline.entries:
            self.outline.children.setdefault(path, []).append(name)
        self.outline.entries[full] = Entry(number, start + 1, end + 1)
        return full

    def _value(self, number: int, text: str, at: int, path: Path) -> None:
        at = _after_spaces(text, at)
        marks = _MARKS.match(text, at)
        at = marks.end() if marks else at
        first = text[at : at + 1]
        if first in ("{", "["):
            self._flow_indent = self._frames[-1].indent if self._frames else -1
            self._flow = [_Frame(path, first == "[", index=0)]
            self._read_flow(number, text, at + 1)
        elif first in ("|", ">"):
            self._text_indent = self._frames[-1].indent if self._frames else 0
        elif first and first != "#":
            written = _COMMENT.sub("", text[at:]).rstrip()
            self._set(path, number, at, written)

    def _set(self, path: Path, number: int, at: int, written: str) -> None:
        entry = self.outline.entries.get(path)
        if entry is not None:
            entry.value, entry.value_line = _unquoted(written), number
            entry.value_column, entry.value_end_column = at + 1, at + 1 + len(written)

    # brackets

    def _ends_flow(self, stripped: str, indent: int) -> bool:
        """Whether a line shows that brackets above it were never closed."""
        if self._flow_indent < 0 or not stripped or indent > self._flow_indent:
            return False
        return stripped[0] not in "]}" and (_BEGUN_KEY.match(stripped) is not None or _KEY.match(stripped) is not None)

    def _read_flow(self, number: int, text: str, at: int) -> None:
        self._token = ("", False)
        while self._flow and at < len(text):
            sign, frame = text[at], self._flow[-1]
            if sign in " \t:":
                at += 1
            elif sign == ",":
                frame.index, frame.key, at = frame.index + 1, None, at + 1
            elif sign in "{[":
                if len(self._flow) == MAX_DEPTH:
                    return
                self._flow.append(_Frame(frame.child(), sign == "[", index=0))
                self.outline.entries.setdefault(frame.child(), Entry(number, at + 1, at + 2))
                at += 1
            elif sign in "}]":
                self._flow.pop()
                at += 1
            elif sign == "#":
                return
            else:
                at = self._read_token(number, text, at, frame)

    def _read_token(self, number: int, text: str, at: int, frame: _Frame) -> int:
        match = (_QUOTED if text[at] in "\"'" else _PLAIN_IN_FLOW).match(text, at)
        end = match.end() if match and match.end() > at else at + 1
        written = text[at:end]
        is_key = not frame.is_list and frame.key is None
        if is_key:
            frame.key = _unquoted(written)
            if end < len(text):
                self._note(frame.path, frame.key, number, at, end)
        else:
            if frame.is_list:
                self.outline.entries.setdefault(frame.child(), Entry(number, at + 1, end + 1))
            self._set(frame.child(), number, at, written)
        if end == len(text):
            self._token = (written, is_key)
        return end

    def _place_in_flow(self, text: str) -> Place:
        if not self._flow or _is_comment(text):
            return Place(Spot.NOTHING, ())
        frame, (typed, is_key) = self._flow[-1], self._token
        if not frame.is_list and (frame.key is None or is_key):
            return Place(Spot.KEY, frame.path, typed)
        return Place(Spot.VALUE, frame.child(), typed)


def _after_spaces(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at


def _is_comment(text: str) -> bool:
    found = text.rfind("#")
    return found >= 0 and (found == 0 or text[found - 1] in " \t") and text[:found].count('"') % 2 == 0 and text[:found].count("'") % 2 == 0


def _unquoted(written: str) -> str:
    if written[:1] in ("'", '"'):
        return written[1:].removesuffix(written[0])
    return written
