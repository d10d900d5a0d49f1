"""A table of rows in fixed columns, with a cursor that stays on its row and marks."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message
from textual.reactive import reactive

from ..present.cells import Column, Line, Row, header_cells, lay_out, table_line
from .line_list import LineList


class Table(LineList):
    """Shows rows; which columns fit is worked out once for each width."""

    rows: reactive[tuple[Row, ...]] = reactive(tuple[Row, ...](), repaint=False)

    class MarksChanged(Message):
        """The user marked or unmarked a row."""

        def __init__(self, table: Table) -> None:
            super().__init__()
            self.table = table

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, title: str = "", head: bool = True) -> None:
        super().__init__(id=id, title=title)
        self._columns = tuple(columns)
        self._head = head
        self._widths: tuple[int, tuple[int, ...]] = (-1, ())
        self._marks: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Key of the row under the cursor; "" when there is none."""
        return self.rows[self.cursor].key if self.rows else ""

    @property
    def marks(self) -> tuple[str, ...]:
        """Keys of the marked rows on show, in their order."""
        return tuple(row.key for row in self.rows if row.key in self._marks)

    def clear_marks(self) -> None:
        self._marks = frozenset()
        self.refresh()

    def go_to(self, key: str) -> None:
        """Put the cursor on a row; nothing happens when it is not on show."""
        index = next((index for index, row in enumerate(self.rows) if row.key == key), None)
        if index is not None:
            self.cursor = index

    def watch_rows(self, old: tuple[Row, ...], new: tuple[Row, ...]) -> None:
        if [row.key for row in old] == [row.key for row in new]:
            self._repaint(*(index for index, row in enumerate(new) if row != old[index]))
            return
        key = old[self.cursor].key if self.cursor < len(old) else ""
        self.set_line_count(len(new))
        self.go_to(key)
        self.post_message(self.Highlighted(self, self.cursor))

    def header(self, width: int) -> Line | None:
        return table_line(self._columns, self._layout(width), header_cells(self._columns)) if self._head else None

    def line(self, index: int, width: int) -> Line:
        return table_line(self._columns, self._layout(width), self.rows[index].cells)

    def marked(self, index: int) -> bool:
        return self.rows[index].key in self._marks

    def action_mark(self) -> None:
        if self.rows:
            self._marks = self._marks ^ {self.key}
            self.post_message(self.MarksChanged(self))
            self.refresh()
            self.cursor += 1

    def _layout(self, width: int) -> tuple[int, ...]:
        if self._widths[0] != width:
            self._widths = (width, lay_out(self._columns, width))
        return self._widths[1]
