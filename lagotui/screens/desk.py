"""What the home screen and the environment screen share: bars, filter, panels, and the way to submit work."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widget import Widget

from ..actions import Scope, actions_of, by_id, key_text
from ..runs import RunRequest
from ..store import Changes, Store
from ..widgets.bars import KeyBar, TopBar
from ..widgets.filter_bar import FilterBar
from ..widgets.table import Table
from ..widgets.task_pane import TaskPane
from .closing import ClosingOnce

if TYPE_CHECKING:
    from ..bridge import Bridge


@dataclass(frozen=True, slots=True)
class Tools:
    """What every screen is given."""

    bridge: Bridge
    store: Store
    clock: Callable[[], float]
    """Seconds since the epoch."""
    keymap: dict[str, str]
    """The user's own keys, by action id."""


def bindings_of(*scopes: Scope) -> list[Binding]:
    """Return the bindings of the actions of some scopes."""
    bindings: list[Binding] = []
    for action in actions_of(*scopes):
        if action.id == "panel":
            bindings += [Binding(key, f"panel({key})", show=False, id=f"panel-{key}") for key in action.key.split(",")]
        else:
            bindings.append(Binding(action.key, action.method, action.title, show=False, id=action.id, tooltip=action.help))
    return bindings


class DeskScreen(ClosingOnce[None]):
    """A screen with tables, the task tree, a filter and the key bar."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-normal"), (170, "-wide")]  # noqa: RUF012 - the toolkit's own declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012 - the toolkit's own declaration
    SCOPES: ClassVar[tuple[Scope, ...]] = ()
    """Whose actions work here."""

    def __init__(self, tools: Tools) -> None:
        super().__init__()
        self.tools = tools
        self.laid_out = False
        """Whether its widgets are there: a screen may be resumed, and be told of changes, before they are."""
        self._pattern = ""

    # What subclasses say -------------------------------------------------------------------------------------------

    @abstractmethod
    def panels(self) -> list[Widget]:
        """Return the panels, in the order of their number keys."""

    @abstractmethod
    def compose_panels(self) -> ComposeResult: ...

    @abstractmethod
    def draw(self) -> None:
        """Show what the store knows now."""

    @abstractmethod
    def takes(self, changes: Changes) -> bool:
        """Whether `changes` are about what is on show."""

    # Life ----------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield TopBar(id="top")
        yield from self.compose_panels()
        yield FilterBar()
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.laid_out = True
        self.draw_keys()
        self.draw()
        self.set_interval(10.0, self.query_one("#top", TopBar).refresh)

    def on_screen_resume(self) -> None:
        if self.laid_out:
            self.draw()
            self.query_one(TaskPane).changed(shape=True)

    def sync(self, changes: Changes) -> None:
        """Take in what a batch changed."""
        if not self.laid_out:
            return
        if changes.tasks:
            self.query_one(TaskPane).changed(shape=changes.tasks_shape)
        if self.takes(changes):
            self.draw()
        elif changes.tasks_shape:
            self.query_one("#top", TopBar).refresh()

    def draw_keys(self) -> None:
        """Show the keys of this screen, the user's own where there are some."""
        scopes = (*self.SCOPES, Scope.APP)
        self.query_one(KeyBar).keys = tuple(
            (action.id, key_text(self.tools.keymap.get(action.id, action.key)), action.title)
            for action in actions_of(*scopes)
            if action.on_bar
        )

    @property
    def running(self) -> int:
        return sum(self.tools.store.tasks.nodes[root].running for root in self.tools.store.tasks.roots)

    @property
    def pattern(self) -> str:
        """What the rows are filtered by."""
        return self._pattern

    def submit(self, request: RunRequest) -> None:
        """Hand work to the engine, and say so with its headless form."""
        self.tools.bridge.submit(request)
        words = request.headless
        self.app.notify(f"$ {words}" if words else "", title=request.title, timeout=4, markup=False)

    def say(self, message: str, title: str = "") -> None:
        """Tell the user why nothing happened, and what would."""
        self.app.notify(message, title=title, severity="warning", timeout=5, markup=False)

    # Keys ----------------------------------------------------------------------------------------------------------

    @on(KeyBar.Pressed)
    async def _key_clicked(self, event: KeyBar.Pressed) -> None:
        method = by_id(event.action_id).method
        owner = self if hasattr(self, f"action_{method}") else self.app
        await self.app.run_action(method, owner)

    @on(FilterBar.Changed)
    def _filtered(self, event: FilterBar.Changed) -> None:
        self._pattern = event.pattern
        self.draw()

    @on(FilterBar.Closed)
    def _filter_closed(self) -> None:
        self.panels()[0].focus()

    def action_filter(self) -> None:
        self.query_one(FilterBar).open()

    def action_panel(self, number: int) -> None:
        panels = self.panels()
        if number <= len(panels) and panels[number - 1].display:
            panels[number - 1].focus()

    def action_mark(self) -> None:
        focused = self.focused
        if isinstance(focused, Table | TaskPane):
            focused.action_mark()

    def action_back(self) -> None:
        if self._pattern:
            self.query_one(FilterBar).drop()
        elif not self._cleared_marks(self.query(Table)):
            self.leave()

    def action_cancel_run(self) -> None:
        running = self.tools.bridge.running
        if not running:
            self.say("Nothing is running.")
            return
        self.tools.bridge.cancel(running[-1])
        self.app.notify("It takes back what it did.", title=f"Cancelling: {running[-1].title}", markup=False)

    def leave(self) -> None:
        """Go back to where one came from."""

    @staticmethod
    def _cleared_marks(tables: Iterable[Table]) -> bool:
        marked = [table for table in tables if table.marks]
        for table in marked:
            table.clear_marks()
        return bool(marked)
