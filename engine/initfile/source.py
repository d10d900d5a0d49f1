"""Init file text → a `Document`: plain data, with line and column of every part of it. Reads YAML and JSON."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .diagnostics import FILE_START, Diagnostic, Span, quoted
from .jsontext import JsonError, JsonReader, TextMark, line_starts
from .tree import MAX_DEPTH, MAX_VALUES, Document, Mark, Node, SourceError, between, no_collection

MAX_CHARACTERS = 4_000_000

_UNPRINTABLE = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that YAML 1.1 does not allow."""

_PREFIX = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL, _MERGE = (_PREFIX + name for name in ("str", "int", "float", "bool", "null", "merge"))
_COLLECTIONS = {"map": _PREFIX + "map", "seq": _PREFIX + "seq"}
_BOOLS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z|0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
"""As in YAML 1.2: `0123` and `22:30` stay the text that was written, since nobody means 83 or 1350."""
_FLOATING = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_MAYBE_NUMBER = frozenset("-+.0123456789")
_MAYBE_WORD = frozenset("yYnNtTfFoO~")

_HINTS = {
    "mapping values are not allowed": "put a value that contains ': ' in quotes, and check the indentation of the line above",
    "could not find expected ':'": "every line of a mapping is 'key: value'",
    "did not find expected key": "check the indentation: keys of one mapping start in the same column",
    "did not find expected '-' indicator": "check the indentation: items of one list start in the same column",
    "found unexpected end of stream": "a quote is not closed",
    "found character that cannot start any token": "put a value that starts with this character in quotes",
}


def parse(text: str, file: str) -> Document:
    """Read `text`; whatever is wrong with it is in the document's problems."""
    text = text.removeprefix("\ufeff")
    try:
        _reject_unreadable(text, file)
        with no_collection():
            root, problems = _read(text, file)
            return Document(file, root, root.data(), problems)
    except SourceError as error:
        return Document(file, None, None, [error.diagnostic])


def _reject_unreadable(text: str, file: str) -> None:
    if len(text) > MAX_CHARACTERS:
        message = f"the file has {len(text):,} characters, at most {MAX_CHARACTERS:,} are read"
        raise SourceError(Diagnostic.at("E007", file, FILE_START, message))
    found = _UNPRINTABLE.search(text)
    if found:
        message = f"the character {ord(found.group()):#04x} is not allowed in an init file"
        raise SourceError(Diagnostic.at("E002", file, _span_at(text, found.start()), message, "remove it"))


def _read(text: str, file: str) -> tuple[Node, list[Diagnostic]]:
    """Read JSON where the text is JSON, else YAML; the reader that came further says what is wrong."""
    if not text.lstrip().startswith(("{", "[")):
        return _YamlReader(text, file).read()
    reader = JsonReader(text)
    try:
        root = reader.read()
    except JsonError as json_error:
        if json_error.code == "E007":
            raise SourceError(Diagnostic.at("E007", file, _span_at(text, json_error.index), json_error.message)) from json_error
        try:
            return _YamlReader(text, file).read()
        except SourceError as yaml_error:
            span = _span_at(text, json_error.index)
            found = yaml_error.diagnostic
            if found.code not in ("E003", "E004") or (span.line, span.column) < (found.line, found.column):
                raise
            message = f"cannot be read as JSON: {json_error.message}"
            raise SourceError(Diagnostic.at(json_error.code, file, span, message)) from json_error
    return root, [_written_twice(file, first, later) for first, later in reader.duplicates]


def _span_at(text: str, index: int) -> Span:
    starts = line_starts(text)
    mark = TextMark(index, starts)
    return between(mark, TextMark(index + 1, starts) if index < len(text) and text[index] != "\n" else mark)


def _written_twice(file: str, first: Node, later: Node) -> Diagnostic:
    place = first.span()
    message = f"{quoted(later.scalar)} is written twice: first at line {place.line}, column {place.column}"
    return Diagnostic.at("E005", file, later.span(), message, "keep one of them")


class _YamlReader:
    """Builds nodes from parser events with a stack of its own: libyaml's composer recurses in C and dies on deep files."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._problems: list[Diagnostic] = []
        self._anchors: dict[str, Node] = {}
        self._stack: list[Node] = []
        self._keys: list[Node | None] = []
        """For every open collection the key whose value comes next; None in sequences and before a key."""
        self._root: Node | None = None
        self._values = 0
        """Values so far, aliases followed."""

    def read(self) -> tuple[Node, list[Diagnostic]]:
        """Raises: SourceError: the text cannot be read to its end."""
        loader = yaml.CSafeLoader(self._text)
        try:
            self._read_events(loader)
        except yaml.MarkedYAMLError as error:
            raise SourceError(self._syntax(error)) from error
        finally:
            loader.dispose()
        if self._root is None:
            raise SourceError(Diagnostic.at("E010", self._file, FILE_START, "the init file is empty", "see sample_initfiles/one_vm.yaml"))
        return self._root, self._problems

    def _read_events(self, loader: yaml.CSafeLoader) -> None:
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        get_event: Any = loader.get_event
        while True:
            event = get_event()
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(event)
            elif event.__class__ is yaml.StreamEndEvent:
                return

    def _document(self, event: Any) -> None:
        if self._root is not None:
            raise self._stop("E003", event, "a second document starts here", "an init file is one document: remove the '---'")

    def _scalar(self, event: Any) -> None:
        node = Node(event.start_mark, event.end_mark)
        text = event.value
        is_key = bool(self._stack) and self._stack[-1].entries is not None and self._keys[-1] is None
        if is_key and (event.tag is None or event.tag == _STR):
            node.scalar = text
            if text == "<<" and event.implicit[0]:
                node.merges = []
        elif event.tag is None and event.implicit[0]:
            node.scalar = self._plain(text, node)
        elif event.tag is None:
            node.scalar = text
        else:
            node.scalar = self._tagged(event, node)
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._too_many(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._add(node)

    def _plain(self, text: str, node: Node) -> Any:
        first = text[:1]
        if first in _MAYBE_NUMBER:
            if _INTEGER.match(text):
                return self._integer(text, node)
            return _float(text) if _FLOATING.match(text) else text
        if first in _MAYBE_WORD:
            if text in ("~", "null", "Null", "NULL"):
                return None
            lowered = text.lower()
            return _BOOLS[lowered] if lowered in _BOOLS and text in (lowered, lowered.upper(), lowered.capitalize()) else text
        return None if first == "" else text

    def _integer(self, text: str, node: Node) -> int | None:
        try:
            return int(text, 0)
        except ValueError:
            self._problems.append(Diagnostic.at("E006", self._file, node.span(), "the number is too long"))
            return None

    def _tagged(self, event: Any, node: Node) -> Any:
        tag, text = event.tag, event.value
        if tag in (_STR, "!"):
            return text
        if tag == _NULL:
            return None
        if tag == _INT and _INTEGER.match(text):
            return self._integer(text, node)
        if tag == _FLOAT and (_FLOATING.match(text) or _INTEGER.match(text)):
            return _float(text)
        if tag == _BOOL and text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
        self._unusable_tag(event, node)
        return None

    def _unusable_tag(self, event: Any, node: Node) -> None:
        written = event.tag.replace(_PREFIX, "!!")
        message = f"the tag {quoted(written)} cannot be used for this value"
        span = between(node.start, node.end) if node.is_scalar else between(node.start, node.start)
        self._problems.append(Diagnostic.at("E006", self._file, span, message, "remove the tag: an init file holds plain values"))

    def _start(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise self._stop("E007", event, f"the values are nested more than {MAX_DEPTH} deep")
        node = Node(event.start_mark, event.end_mark)
        node.flow = bool(event.flow_style)
        node.open = True
        is_mapping = event.__class__ is yaml.MappingStartEvent
        if is_mapping:
            node.entries = {}
        else:
            node.items = []
        if event.tag not in (None, "!", _COLLECTIONS["map" if is_mapping else "seq"]):
            self._unusable_tag(event, node)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._values += 1
        self._stack.append(node)
        self._keys.append(None)

    def _end(self, event: Any) -> None:
        node = self._stack.pop()
        self._keys.pop()
        node.end = event.end_mark
        node.close()
        if node.merges:
            self._count(len(node.entries or ()), event)
        self._add(node)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            message = f"the anchor {quoted(event.anchor)} is not defined above"
            raise self._stop("E008", event, message, "anchors are written '&name' before '*name'")
        if node.open:
            raise self._stop("E008", event, f"the anchor {quoted(event.anchor)} contains itself")
        self._count(node.size, event)
        if len(self._stack) + node.height > MAX_DEPTH:
            raise self._stop("E007", event, f"the values are nested more than {MAX_DEPTH} deep")
        self._add(node)

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._too_many(event)

    def _too_many(self, event: Any) -> SourceError:
        return self._stop("E007", event, f"there are more than {MAX_VALUES:,} values, anchors followed")

    def _add(self, node: Node) -> None:
        """Put a value that is complete where it belongs."""
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        if parent.items is not None:
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(node)
        else:
            key, self._keys[-1] = self._keys[-1], None
            if key.merges is not None:
                self._merge(parent, node)
            else:
                self._enter(parent, key, node)

    def _key(self, node: Node) -> Node:
        if not node.is_scalar:
            raise SourceError(Diagnostic.at("E009", self._file, node.span(), "a key must be text, not a list or a mapping"))
        return node

    def _enter(self, parent: Node, key: Node, value: Node) -> None:
        assert parent.entries is not None
        name = key.scalar if isinstance(key.scalar, str) else str(key.scalar)
        earlier = parent.entries.get(name)
        if earlier is not None:
            self._problems.append(_written_twice(self._file, earlier[0], key))
        parent.entries[name] = (key, value)

    def _merge(self, parent: Node, value: Node) -> None:
        """Note what a `<<` brings in; of several the first wins, so it is noted last."""
        others = value.items if value.items is not None else [value]
        for other in others:
            if other.entries is None:
                message = "'<<' merges mappings only"
                self._problems.append(Diagnostic.at("E008", self._file, other.span(), message, "name the anchor of a mapping: <<: *name"))
        mappings = [other for other in others if other.entries is not None]
        parent.merges = [*(parent.merges or ()), *reversed(mappings)]

    def _stop(self, code: str, event: Any, message: str, hint: str = "") -> SourceError:
        return SourceError(Diagnostic.at(code, self._file, between(event.start_mark, event.end_mark), message, hint))

    def _syntax(self, error: yaml.MarkedYAMLError) -> Diagnostic:
        mark: Mark | None = error.problem_mark or error.context_mark
        problem = error.problem or "this is no YAML"
        if mark is None:
            return Diagnostic.at("E003", self._file, FILE_START, f"cannot be read as YAML: {problem}")
        if mark.line > self._text.count("\n"):
            return Diagnostic.at(
                "E003", self._file, _span_at(self._text, len(self._text)), f"cannot be read as YAML: {problem}", _hint(problem)
            )
        line = self._text.split("\n")[mark.line]
        if line[mark.column : mark.column + 1] == "\t" or "\t" in line[: len(line) - len(line.lstrip())]:
            column = line.index("\t") if "\t" in line[: mark.column + 1] else mark.column
            span = Span(mark.line + 1, column + 1, mark.line + 1, column + 2)
            return Diagnostic.at("E004", self._file, span, "a tab cannot be used for indentation", "indent with spaces")
        said = f"{error.context}: {problem}" if error.context else problem
        return Diagnostic.at("E003", self._file, between(mark, mark), f"cannot be read as YAML: {said}", _hint(problem))


def _hint(problem: str) -> str:
    return next((hint for words, hint in _HINTS.items() if words in problem), "")


def _float(text: str) -> float:
    lowered = text.lower()
    return float(lowered.replace(".inf", "inf").replace(".nan", "nan")) if "n" in lowered else float(text)
