"""A list of lines with a cursor, drawn line by line: only what is on screen costs anything."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..present.cells import Line, Span
from .paint import Painter


class LineList(ScrollView, can_focus=True):
    """Base of the tables and of the task tree: subclasses say how many lines there are and what is on them."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "up", show=False),
        Binding("down,j", "cursor(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "cursor_to(0)", "first", show=False),
        Binding("end,G", "cursor_to(-1)", "last", show=False),
    ]

    class Chosen(Message):
        """The user pressed Enter on a line, or clicked it twice."""

        def __init__(self, lines: LineList, index: int) -> None:
            super().__init__()
            self.lines = lines
            self.index = index

        @property
        def control(self) -> LineList:
            return self.lines

    class Highlighted(Message):
        """The cursor came to another line."""

        def __init__(self, lines: LineList, index: int) -> None:
            super().__init__()
            self.lines = lines
            self.index = index

        @property
        def control(self) -> LineList:
            return self.lines

    cursor: reactive[int] = reactive(0, repaint=False)
    empty: reactive[tuple[Line, ...]] = reactive(tuple[Line, ...]())
    """What to show while there is no line at all."""

    def __init__(self, *, id: str | None = None, title: str = "") -> None:
        super().__init__(id=id)
        self.border_title = title
        self._painter = Painter(self)
        self._line_count = 0

    def on_mount(self) -> None:
        self._painter.follow_theme()

    # What subclasses say -------------------------------------------------------------------------------------------

    def header(self, width: int) -> Line | None:
        """Return the line that stays on top; None for none."""
        return None

    def line(self, index: int, width: int) -> Line:
        """Return one line of the list."""
        raise NotImplementedError

    def marked(self, index: int) -> bool:
        return False

    # Drawing -------------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Cells for a line, beside the two for cursor and mark."""
        return max(0, self.scrollable_content_region.width - 2)

    @property
    def line_count(self) -> int:
        return self._line_count

    def set_line_count(self, count: int) -> None:
        """Say how many lines there are now; draws them again."""
        self._line_count = count
        self.virtual_size = Size(self.scrollable_content_region.width, count + self._head_lines)
        if self.cursor >= count:
            self.cursor = max(0, count - 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if not self._line_count:
            line = self.empty[y] if y < len(self.empty) else ()
            return self._painter.strip(line, width)
        head = self.header(self.room)
        if head is not None and y == 0:
            return self._painter.strip((Span("  "), *head), width)
        index = y - self._head_lines + self.scroll_offset.y
        if not 0 <= index < self._line_count:
            return self._painter.strip((), width)
        return self._row_strip(index, width)

    def say_below(self, text: str) -> None:
        """Write into the lower border; the toolkit draws everything again even when it is the same."""
        if self.border_subtitle != text:
            self.border_subtitle = text

    def show_line(self, index: int) -> None:
        """Scroll so that a line is in sight."""
        if self.size.height:
            region = Region(0, index, 1, 1 + self._head_lines)
            self.scroll_to_region(region, animate=False, force=True, x_axis=False)

    def _row_strip(self, index: int, width: int) -> Strip:
        at_cursor = index == self.cursor
        return Strip(
            [
                *self._painter.strip(self._gutter(index, at_cursor), 2, background=self._background(at_cursor)),
                *self._painter.strip(self.line(index, width - 2), width - 2, background=self._background(at_cursor)),
            ],
            width,
        )

    def _gutter(self, index: int, at_cursor: bool) -> Line:
        bar = Span("▌", "line-focus") if at_cursor and self.has_focus else Span(" ")
        return (bar, Span("✓" if self.marked(index) else " ", "mark", bold=True))

    def _background(self, at_cursor: bool) -> str:
        if not at_cursor:
            return ""
        return "cursor" if self.has_focus else "cursor-blurred"

    @property
    def _head_lines(self) -> int:
        return 0 if self.header(10) is None else 1

    # Keys and mouse ------------------------------------------------------------------------------------------------

    def validate_cursor(self, index: int) -> int:
        return max(0, min(index, self._line_count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        if old != new:
            self._repaint(old, new)
            self.show_line(new)
            self.post_message(self.Highlighted(self, new))

    def watch_has_focus(self, focused: bool) -> None:
        super().watch_has_focus(focused)
        self._repaint(self.cursor)

    def action_cursor(self, step: int) -> None:
        self.cursor += step

    def action_cursor_to(self, index: int) -> None:
        self.cursor = index if index >= 0 else self._line_count - 1

    def action_page(self, step: int) -> None:
        self.cursor += step * max(1, self.scrollable_content_region.height - self._head_lines - 1)

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y - self._head_lines + self.scroll_offset.y
        if not 0 <= index < self._line_count:
            return
        self.cursor = index
        if event.chain == 2:
            self.post_message(self.Chosen(self, index))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.scroll_relative(y=3, animate=False)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.scroll_relative(y=-3, animate=False)

    def _repaint(self, *indices: int) -> None:
        """Draw some lines again; those that are not on screen cost nothing."""
        height = self.size.height
        for index in indices:
            if -1 <= index - self.scroll_offset.y < height:
                self.refresh(Region(0, index + self._head_lines - self.scroll_offset.y, self.size.width, 1))
