"""The question before quitting while work is going on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button

from ..present.cells import Line, Span, count_text
from ..runs import RunRequest
from .dialogs import Dialog

LOOK_EVERY_S = 0.2


class Leaving(Enum):
    WAIT = "wait"
    CANCEL = "cancel"


class QuitDialog(Dialog[bool]):
    """Wait, cancel, or stay; ends with True when nothing runs any more."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "leave('wait')", show=False),
        Binding("c", "leave('cancel')", show=False),
        Binding("s", "give_up", show=False),
    ]

    def __init__(self, running: Callable[[], Sequence[RunRequest]], cancel: Callable[[RunRequest], None]) -> None:
        """Ask; `running` says what still goes on."""
        super().__init__("Work is going on", quit_lines(running(), None))
        self._still_running = running
        self._cancel = cancel
        self._leaving: Leaving | None = None

    def compose_answer(self) -> ComposeResult:
        with Horizontal(id="buttons"):
            yield Button("Stay (esc)", id="stay", compact=True)
            yield Button("Wait (w)", id="wait", compact=True)
            yield Button("Cancel it (c)", id="cancel", compact=True)

    def on_mount(self) -> None:
        self.query_one("#stay", Button).focus()
        self.set_interval(LOOK_EVERY_S, self._look)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "stay":
            self.dismiss(False)
        else:
            self.action_leave(str(event.button.id))

    def action_leave(self, how: str) -> None:
        self._leaving = Leaving(how)
        if self._leaving is Leaving.CANCEL:
            for request in self._still_running():
                self._cancel(request)
        self._look()

    def _look(self) -> None:
        running = self._still_running()
        if running:
            self.set_lines(quit_lines(running, self._leaving))
        elif self._leaving is not None:
            self.dismiss(True)
        else:
            self.set_lines(((Span("Everything is done now."),),))
            self.dismiss(True)


def quit_lines(running: Sequence[RunRequest], leaving: Leaving | None) -> tuple[Line, ...]:
    """Return what the dialog says."""
    lines: list[Line] = [(Span("◐ ", "task-running"), Span(request.title)) for request in running]
    sentence = {
        None: "wait: leave when it is done.  cancel: take back what it did, then leave.",
        Leaving.WAIT: f"Waiting for {count_text(len(running), 'run')}; lagotui leaves then. esc stays.",
        Leaving.CANCEL: "Cancelling: what was done is taken back; lagotui leaves then.",
    }[leaving]
    return (*lines, (), (Span(sentence, "dim"),))
