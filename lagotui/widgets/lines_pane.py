"""Text that scrolls: the details pane, the help, what a dialog says."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..present.cells import Line
from .paint import Painter


class LinesPane(ScrollView, can_focus=True):
    """Shows lines as they are."""

    ALLOW_SELECT = False

    lines: reactive[tuple[Line, ...]] = reactive(tuple[Line, ...]())

    def __init__(self, *, id: str | None = None, title: str = "") -> None:
        super().__init__(id=id)
        self.border_title = title
        self._painter = Painter(self)

    def on_mount(self) -> None:
        self._painter.follow_theme()

    @property
    def room(self) -> int:
        """Cells for a line."""
        return max(0, self.scrollable_content_region.width)

    def watch_lines(self, lines: tuple[Line, ...]) -> None:
        self.virtual_size = Size(self.room, len(lines))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines)

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        return self._painter.strip(self.lines[index] if index < len(self.lines) else (), self.room)
