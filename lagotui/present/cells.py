"""Coloured text without a toolkit: spans, lines, columns that fit a width, meters, and how numbers are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPARKS = "▁▂▃▄▅▆▇█"
BAR_EIGHTHS = " ▏▎▍▌▋▊▉"
GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    colour: str = ""
    """Semantic colour name of the theme (`vm-running`); "" is ordinary text."""
    bold: bool = False


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    width: int
    """Narrowest useful width, in cells."""
    rank: int = 0
    """Columns with the highest rank go first when the room is small; 0 always stays."""
    max_width: int = 0
    """Width that it may grow to when there is room; 0: it keeps its width."""
    right: bool = False
    """Align to the right."""


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    """Names the thing shown; the cursor stays on it when rows move."""
    cells: tuple[Line, ...]
    """One for each column of the table."""
    words: str = ""
    """What the filter looks at."""


def span_len(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_char_len(char) for char in text)


def line_len(line: Line) -> int:
    return sum(span_len(span.text) for span in line)


def text_of(line: Line) -> str:
    """Return the bare text of `line`."""
    return "".join(span.text for span in line)


def clean(text: str) -> str:
    """Make text of strangers (serial lines, log lines) safe to draw: one line, no control characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text.expandtabs(4))


def fit(line: Line, width: int, *, right: bool = False) -> Line:
    """Cut or pad `line` to exactly `width` cells; what is cut shows as `…`."""
    if width <= 0:
        return ()
    missing = width - line_len(line)
    if missing >= 0:
        pad = (Span(" " * missing),) if missing else ()
        return (*pad, *line) if right else (*line, *pad)
    kept: list[Span] = []
    room = width - 1
    for span in line:
        text = _cut(span.text, room)
        kept.append(Span(text, span.colour, span.bold))
        room -= span_len(text)
        if text != span.text:
            break
    kept.append(Span("…" + " " * room, "dim"))
    return tuple(kept)


def lay_out(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """Return a width for each column, 0 for those that do not fit; spare room goes to those that can grow."""
    widths = [column.width for column in columns]
    by_rank = sorted(range(len(columns)), key=lambda index: (-columns[index].rank, -index))
    for index in by_rank:
        if _total(widths) <= width or columns[index].rank == 0:
            break
        widths[index] = 0
    spare = width - _total(widths)
    growers = [index for index, column in enumerate(columns) if widths[index] and column.max_width > column.width]
    while spare > 0 and growers:
        for index in list(growers):
            if spare <= 0:
                break
            widths[index] += 1
            spare -= 1
            if widths[index] >= columns[index].max_width:
                growers.remove(index)
    return tuple(widths)


def table_line(columns: Sequence[Column], widths: Sequence[int], cells: Iterable[Line]) -> Line:
    """Join the cells of one row, each fitted to its column."""
    spans: list[Span] = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        if not width:
            continue
        if spans:
            spans.append(Span(" " * GAP))
        spans.extend(fit(cell, width, right=column.right))
    return tuple(spans)


def header_cells(columns: Sequence[Column]) -> tuple[Line, ...]:
    return tuple((Span(column.title, "dim"),) for column in columns)


def filter_rows(rows: Sequence[Row], pattern: str) -> tuple[Row, ...]:
    """Keep the rows that hold every word of `pattern`; a leading `!` keeps the others."""
    inverse = pattern.startswith("!")
    words = pattern.lstrip("!").casefold().split()
    if not words:
        return tuple(rows)
    return tuple(row for row in rows if all(word in row.words.casefold() for word in words) is not inverse)


def sparkline(percents: Sequence[float], width: int) -> str:
    """Draw the last `width` readings of 0 to 100, oldest left; missing ones are blank."""
    last = percents[-width:] if width > 0 else []
    marks = "".join(SPARKS[min(len(SPARKS) - 1, max(0, int(value / 100 * len(SPARKS))))] for value in last)
    return marks.rjust(width)


def meter(share: float, width: int, colour: str = "meter-low") -> Line:
    """Draw a bar of `width` cells, filled up to `share` (0 to 1)."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    tip = BAR_EIGHTHS[rest] if rest else ""
    return (Span("█" * full + tip, colour), Span("░" * (width - full - len(tip)), "meter-rest"))


def load_colour(percent: float) -> str:
    """Return the colour of a load of 0 to 100."""
    if percent >= 85:
        return "meter-high"
    return "meter-mid" if percent >= 50 else "meter-low"


def size_text(count: float, unit: str = "B") -> str:
    """Write a byte count in powers of 1024: `38.2 MiB`."""
    for prefix in ("", "Ki", "Mi", "Gi"):
        if abs(count) < 1024:
            digits = 0 if not prefix or count >= 100 else 1
            return f"{count:.{digits}f} {prefix}{unit}"
        count /= 1024
    return f"{count:.1f} Ti{unit}"


def duration_text(seconds: float) -> str:
    """Write how long something took or takes: `4.2 s`, `1:05`, `2:00:09`."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def age_text(seconds: float) -> str:
    """Write how long ago something was, in its largest unit: `just now`, `5 min`, `3 h`, `12 d`."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} d"


def count_text(count: int, thing: str) -> str:
    """Write `1 machine`, `3 machines`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + GAP * max(0, len(shown) - 1)


def _char_len(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, room: int) -> str:
    if text.isascii():
        return text[: max(0, room)]
    for index, char in enumerate(text):
        room -= _char_len(char)
        if room < 0:
            return text[:index]
    return text
