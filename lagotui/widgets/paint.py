"""Lines of spans → strips in the colours of the theme."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from ..present.cells import Line


class Painter:
    """Resolves semantic colour names for one widget; forgets its styles when the theme changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._variables: dict[str, str] = {}
        self._styles: dict[tuple[str, bool, str], Style] = {}

    def follow_theme(self) -> None:
        """Draw the widget again whenever the theme changes; call it once the widget is mounted."""
        self._widget.app.theme_changed_signal.subscribe(self._widget, lambda _: self._widget.refresh())

    def style(self, colour: str, *, bold: bool = False, background: str = "") -> Style:
        """Return the style for semantic names; "" takes the widget's own colour."""
        if self._widget.app.theme_variables is not self._variables:
            self._variables = self._widget.app.theme_variables
            self._styles.clear()
        key = (colour, bold, background)
        found = self._styles.get(key)
        if found is None:
            found = self._styles[key] = Style(color=self._resolve(colour), bgcolor=self._resolve(background), bold=bold or None)
        return found

    def strip(self, line: Line, width: int, *, background: str = "", bold: bool = False) -> Strip:
        """Draw `line` on exactly `width` cells."""
        base = self._widget.rich_style
        if background:
            base += self.style("", background=background)
        segments = [Segment(span.text, base + self.style(span.colour, bold=span.bold or bold)) for span in line]
        return Strip(segments).adjust_cell_length(width, base)

    def _resolve(self, name: str) -> str | None:
        if not name:
            return None
        return Color.parse(self._variables[name]).hex6
