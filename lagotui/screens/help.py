"""Every key that works here, searchable, made from the registry of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from ..actions import Scope
from ..present.help import help_lines
from ..widgets.lines_pane import LinesPane
from .closing import ClosingOnce


class HelpScreen(ModalScreen[None], ClosingOnce[None]):
    """Type to search; Escape closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1", "close", show=False),
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-15)", show=False),
        Binding("pagedown", "scroll(15)", show=False),
    ]

    def __init__(self, scopes: Sequence[Scope], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._scopes = tuple(scopes)
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Help"
            box.border_subtitle = "↑ ↓ scroll   esc close"
            yield Input(placeholder="type to search: a key, a word, a command", id="search", compact=True)
            pane = LinesPane(id="lines")
            pane.can_focus = False
            yield pane

    def on_mount(self) -> None:
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    @on(Input.Changed)
    def _search(self) -> None:
        self._draw()

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(LinesPane).scroll_relative(y=lines, animate=False)

    def _draw(self) -> None:
        pane = self.query_one(LinesPane)
        pane.lines = help_lines(self._scopes, self._keymap, self.query_one(Input).value, pane.room)
