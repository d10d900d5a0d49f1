"""Questions: a name, a choice, yes or no. Each one ends with its answer, or with None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from ..present.cells import Column, Line, Row
from ..widgets.line_list import LineList
from ..widgets.lines_pane import LinesPane
from ..widgets.table import Table
from .closing import ClosingOnce

T = TypeVar("T")

TEXT_WIDTH = 68
"""Cells for a line of text; on narrower screens it is cut, so sentences are short."""


class Dialog(ModalScreen[T], ClosingOnce[T]):
    """A box in the middle with a title, some lines, and what the subclass adds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "close", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line] = (), *, danger: bool = False) -> None:
        super().__init__(classes="-danger" if danger else "")
        self._title = title
        self._lines = tuple(lines)

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = self._title
            text = LinesPane(id="text")
            text.can_focus = False
            text.display = bool(self._lines)
            text.set_reactive(LinesPane.lines, self._lines)
            yield text
            yield from self.compose_answer()

    def compose_answer(self) -> ComposeResult:
        """Yield what the question is answered with."""
        yield from ()

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Say something else."""
        text = self.query_one("#text", LinesPane)
        text.display = bool(lines)
        text.lines = tuple(lines)
        text.refresh(layout=True)

    def action_give_up(self) -> None:
        self.dismiss(None)


class ConfirmDialog(Dialog[bool]):
    """Yes or no; no is the default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", show=False),
        Binding("n", "answer(False)", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, yes: str, danger: bool = False, ready: bool = True) -> None:
        """Ask.

        Args:
            yes: what happens, in a word: `destroy`.
            ready: False: "yes" cannot be said before `set_ready`.
        """
        super().__init__(title, lines, danger=danger)
        self._yes = yes
        self._ready = ready

    def compose_answer(self) -> ComposeResult:
        with Horizontal(id="buttons"):
            yield Button("No (n)", id="no", compact=True)
            yield Button(f"Yes, {self._yes} (y)", id="yes", compact=True, disabled=not self._ready)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def set_ready(self, lines: Sequence[Line]) -> None:
        """Say what there is to say, and let "yes" be said."""
        self.set_lines(lines)
        self._ready = True
        self.query_one("#yes", Button).disabled = False

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        if self._ready or not yes:
            self.dismiss(yes)


class InputDialog(Dialog[tuple[str, ...]]):
    """One or more lines to type; the answer is what was typed."""

    def __init__(
        self,
        title: str,
        lines: Sequence[Line],
        fields: Sequence[tuple[str, str]],
        check: Callable[[tuple[str, ...]], str],
    ) -> None:
        """Ask.

        Args:
            fields: label and first value of each line.
            check: says what is wrong with the values; "" when nothing is.
        """
        super().__init__(title, lines)
        self._fields = tuple(fields)
        self._check = check

    def compose_answer(self) -> ComposeResult:
        for index, (label, value) in enumerate(self._fields):
            yield Label(label, classes="field")
            yield Input(value, id=f"field-{index}", compact=True, select_on_focus=True)
        yield Label("", id="problem", markup=False)
        with Horizontal(id="buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button("OK (⏎)", id="ok", compact=True)

    def on_mount(self) -> None:
        self.query_one("#field-0", Input).focus()

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(field.value.strip() for field in self.query(Input))

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#problem", Label).update("")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._finish()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            self._finish()
        else:
            self.dismiss(None)

    def _finish(self) -> None:
        problem = self._check(self.values)
        if problem:
            self.query_one("#problem", Label).update(problem)
        else:
            self.dismiss(self.values)


class ChooseDialog(Dialog[str]):
    """One of some rows; the answer is its key."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", show=False)]

    def __init__(self, title: str, lines: Sequence[Line], columns: Sequence[Column], rows: Sequence[Row], *, danger: bool = False) -> None:
        super().__init__(title, lines, danger=danger)
        self._columns = tuple(columns)
        self._rows = tuple(rows)

    def compose_answer(self) -> ComposeResult:
        yield Table(self._columns, id="choices", head=False)
        yield Label("⏎ choose   esc close", classes="field")

    def on_mount(self) -> None:
        table = self.query_one(Table)
        table.styles.height = len(self._rows)
        table.rows = self._rows
        table.focus()

    @on(LineList.Chosen)
    def _chosen(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.dismiss(self.query_one(Table).key)
