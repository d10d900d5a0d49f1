"""The line on top, and the keys at the bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ..present.cells import Line, Span, line_len
from .paint import Painter


class TopBar(Widget):
    """One line, made for the width that there is."""

    make_line: reactive[Callable[[int], Line]] = reactive[Callable[[int], Line]](lambda: _no_line, always_update=True)
    """Takes a width, gives the line."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painter = Painter(self)

    def on_mount(self) -> None:
        self._painter.follow_theme()

    def render_line(self, y: int) -> Strip:
        return self._painter.strip(self.make_line(self.size.width), self.size.width)


class KeyBar(Widget):
    """Keys and what they do, as many as fit; a click does the same."""

    keys: reactive[tuple[tuple[str, str, str], ...]] = reactive(tuple[tuple[str, str, str], ...]())
    """Action id, key, title."""

    class Pressed(Message):
        """A key was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painter = Painter(self)

    def on_mount(self) -> None:
        self._painter.follow_theme()

    def render_line(self, y: int) -> Strip:
        spans = [span for _, line in fitting(self.keys, self.size.width) for span in line]
        return self._painter.strip(tuple(spans), self.size.width)

    def on_click(self, event: Click) -> None:
        end = 0
        for action_id, line in fitting(self.keys, self.size.width):
            end += line_len(line)
            if event.x < end:
                self.post_message(self.Pressed(action_id))
                return


def fitting(keys: Sequence[tuple[str, str, str]], width: int) -> list[tuple[str, Line]]:
    """Return action id and spans of the keys that fit; the last three (`: command`, `? help`, `q quit`) always stay."""
    parts = [(action_id, (Span(f" {key}", "key", bold=True), Span(f" {title} ", "dim"))) for action_id, key, title in keys]
    kept = parts[-3:]
    room = width - sum(line_len(line) for _, line in kept)
    first: list[tuple[str, Line]] = []
    for action_id, line in parts[:-3]:
        room -= line_len(line)
        if room < 0:
            break
        first.append((action_id, line))
    return [*first, *kept]


def _no_line(width: int) -> Line:
    return ()
