"""JSON text → nodes with places. The values and the strings are those of the standard library's reader."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder

from .tree import MAX_DEPTH, MAX_VALUES, Node

_TOKEN = re.compile(r'[ \t\r\n]*(?:([{}\[\],:])|(")|(-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)|(true|false|null)\b|)')
_STANDARD = JSONDecoder()
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}


class JsonError(Exception):
    """The text is no JSON from this place on."""

    def __init__(self, message: str, index: int, *, code: str = "E003") -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.code = code


class TextMark:
    """A place in a text by its index; line and column are found when they are asked for."""

    __slots__ = ("_line_starts", "index")

    def __init__(self, index: int, line_starts: list[int]) -> None:
        self.index = index
        self._line_starts = line_starts

    @property
    def line(self) -> int:
        return bisect_right(self._line_starts, self.index) - 1

    @property
    def column(self) -> int:
        return self.index - self._line_starts[self.line]


def line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


class JsonReader:
    """Reads one JSON text; `duplicates` are the keys that were written twice."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = line_starts(text)
        self._at = 0
        self._values = 0
        self.duplicates: list[tuple[Node, Node]] = []
        """(the first, the later one)."""

    def read(self) -> Node:
        """Raises: JsonError: the text is no JSON."""
        root = self._value(0)
        kind, node = self._next()
        if kind != "end":
            raise JsonError("there is more after the end of the value", _index(node))
        return root

    def _next(self) -> tuple[str, Node]:
        """Return the next token: one of `{}[],:`, or `value`, or `end`."""
        match = _TOKEN.match(self._text, self._at)
        assert match is not None  # every part of the pattern may be empty
        sign, quote, number, fraction, exponent, word = match.groups()
        self._at = match.end()
        if sign:
            return sign, self._node(self._at - 1, self._at)
        if quote:
            return self._string(self._at - 1)
        if number:
            start = self._at - len(number)
            return "value", self._number(number, start, is_float=bool(fraction or exponent))
        if word:
            node = self._node(self._at - len(word), self._at)
            node.scalar = _WORDS[word]
            return "value", node
        if self._at == len(self._text):
            return "end", self._node(self._at, self._at)
        raise JsonError("this is no JSON value", self._at)

    def _string(self, start: int) -> tuple[str, Node]:
        try:
            value, self._at = _STANDARD.raw_decode(self._text, start)
        except JSONDecodeError as error:
            raise JsonError(error.msg.lower().removesuffix(" at"), error.pos) from error
        if _SURROGATE.search(value):
            raise JsonError("half of a character pair stands alone", start, code="E002")
        node = self._node(start, self._at)
        node.scalar = value
        return "value", node

    def _number(self, text: str, start: int, *, is_float: bool) -> Node:
        node = self._node(start, self._at)
        try:
            node.scalar = float(text) if is_float else int(text)
        except ValueError as error:
            raise JsonError("the number is too long", start, code="E006") from error
        return node

    def _value(self, depth: int, token: tuple[str, Node] | None = None) -> Node:
        kind, node = token or self._next()
        self._values += 1
        if self._values > MAX_VALUES:
            raise JsonError(f"there are more than {MAX_VALUES:,} values", _index(node), code="E007")
        if kind == "value":
            return node
        if kind not in "{[" or kind == "end":
            raise JsonError(_expected("a value", kind), _index(node))
        if depth >= MAX_DEPTH:
            raise JsonError("the values are nested too deep", _index(node), code="E007")
        node.flow = True
        if kind == "{":
            self._object(node, depth + 1)
        else:
            node.items = list(self._array(depth + 1))
        node.end = TextMark(self._at, self._starts)
        node.close()
        return node

    def _object(self, node: Node, depth: int) -> None:
        entries: dict[str, tuple[Node, Node]] = {}
        node.entries = entries
        kind, key = self._next()
        while kind != "}":
            if kind != "value" or not isinstance(key.scalar, str):
                raise JsonError(_expected("a key in double quotes", kind), _index(key))
            colon, place = self._next()
            if colon != ":":
                raise JsonError(_expected("':' after the key", colon), _index(place))
            value = self._value(depth)
            if key.scalar in entries:
                self.duplicates.append((entries[key.scalar][0], key))
            entries[key.scalar] = (key, value)
            kind, place = self._next()
            if kind == "}":
                return
            if kind != ",":
                raise JsonError(_expected("',' or '}'", kind), _index(place))
            kind, key = self._next()
            if kind == "}":
                raise JsonError("there is a ',' before the '}'", _index(place))

    def _array(self, depth: int) -> Iterator[Node]:
        token = self._next()
        while token[0] != "]":
            yield self._value(depth, token)
            kind, place = self._next()
            if kind == "]":
                return
            if kind != ",":
                raise JsonError(_expected("',' or ']'", kind), _index(place))
            token = self._next()
            if token[0] == "]":
                raise JsonError("there is a ',' before the ']'", _index(place))

    def _node(self, start: int, end: int) -> Node:
        return Node(TextMark(start, self._starts), TextMark(end, self._starts))


def _expected(wanted: str, kind: str) -> str:
    found = {"end": "the text ends", "value": "there is a value"}.get(kind, f"there is '{kind}'")
    return f"expected {wanted}, but {found}"


def _index(node: Node) -> int:
    assert isinstance(node.start, TextMark)
    return node.start.index
