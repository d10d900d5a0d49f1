"""Every environment that this machine knows."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from ..actions import Scope
from ..present.cells import Line, filter_rows
from ..present.environments import COLUMNS, rows
from ..present.header import home_header
from ..present.help import paragraph, teaching_lines
from ..runs import RunRequest, Verb
from ..store import Changes
from ..widgets.bars import TopBar
from ..widgets.table import Table
from ..widgets.task_pane import TaskPane
from .desk import DeskScreen, bindings_of
from .destroy import ask_destroy
from .dialogs import TEXT_WIDTH, InputDialog


class HomeScreen(DeskScreen):
    """The environments, and everything that runs."""

    SCOPES = (Scope.HOME, Scope.LISTS)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of(Scope.HOME, Scope.LISTS)]

    class Opened(Message):
        """The user wants to see an environment."""

        def __init__(self, env: str) -> None:
            super().__init__()
            self.env = env

    def compose_panels(self) -> ComposeResult:
        yield Table(COLUMNS, id="environments", title="Environments")
        yield TaskPane(self.tools.store.tasks, self.tools.clock, id="runs")

    def panels(self) -> list[Widget]:
        return [self.query_one("#environments"), self.query_one("#runs")]

    def on_mount(self) -> None:
        self.query_one("#environments").focus()
        self.tools.bridge.look_environments()

    def takes(self, changes: Changes) -> bool:
        return changes.environments or bool(changes.envs)

    def draw(self) -> None:
        state = self.tools.store.state
        table = self.query_one("#environments", Table)
        every = rows(state, self.tools.clock(), os.environ.get("HOME", ""))
        table.empty = self._teach(table.room, filtered=bool(every))
        table.rows = filter_rows(every, self.pattern)
        table.say_below(f"/{self.pattern}" if self.pattern else "")
        self.query_one("#top", TopBar).make_line = self._header

    def show_environment(self, env: str) -> None:
        """Put the cursor on an environment."""
        self.query_one("#environments", Table).go_to(env)

    @on(Table.Chosen, "#environments")
    def _chosen(self) -> None:
        self.action_open_environment()

    def action_open_environment(self) -> None:
        runs = self.query_one(TaskPane)
        if self.focused is runs:
            runs.action_mark()
            return
        env = self._env()
        if env:
            self.post_message(self.Opened(env))

    def action_new_environment(self) -> None:
        here = os.path.abspath(".")  # noqa: PTH100 - resolve() would follow links, and the names are the user's
        fields = (("Init file", f"{here}/LagoInitFile"), ("Workdir (made if it is not there)", f"{here}/.lago"))
        text = paragraph("Its machines and networks are made as the file says, started, and waited for until ssh answers.", TEXT_WIDTH)
        self.app.push_screen(InputDialog("New environment", text, fields, _check_new), self._make_new)

    def action_start_environment(self) -> None:
        env = self._env()
        if env:
            self.submit(RunRequest(Verb.START, env))

    def action_stop_environment(self) -> None:
        env = self._env()
        if env:
            self.submit(RunRequest(Verb.STOP, env))

    def action_destroy_environment(self) -> None:
        env = self._env()
        if env:
            ask_destroy(self, env)

    def action_refresh(self) -> None:
        self.tools.bridge.look_environments()

    def _make_new(self, answer: tuple[str, ...] | None) -> None:
        if answer:
            init_file, workdir = (os.path.abspath(Path(value).expanduser()) for value in answer)  # noqa: PTH100 - as above
            self.submit(RunRequest(Verb.UP, f"{workdir}/default", init_file=init_file))

    def _env(self) -> str:
        env = self.query_one("#environments", Table).key
        if not env:
            self.say("n makes an environment from an init file.", "There is no environment")
        return env

    def _header(self, width: int) -> Line:
        environments = self.tools.store.state.environments
        return home_header(None if environments is None else len(environments), self.running, self.tools.clock(), width)

    def _teach(self, width: int, *, filtered: bool) -> tuple[Line, ...]:
        state = self.tools.store.state
        teach = partial(teaching_lines, width=width)
        if state.environments is None:
            return teach("Looking for environments…", (), ())
        if state.environments_problem:
            return teach("The list of environments cannot be read", (state.environments_problem,), (("r", "try again"),))
        if filtered:
            return teach(f"No environment has '{self.pattern}'", (), (("esc", "drop the filter"),))
        return teach("No environments yet", _EMPTY_TEXT, (("n", "make one from an init file"), ("?", "see every key")))


_EMPTY_TEXT = (
    "An environment is some machines and the networks between them, made from an init file in seconds and thrown away as easily.",
    "In a shell: lagotui --run up sample_initfiles/hello.yaml",
)


def _check_new(values: tuple[str, ...]) -> str:
    init_file, workdir = values
    if not workdir:
        return "name the workdir"
    if not Path(init_file).expanduser().is_file():
        return f"'{init_file}' is no file"
    return ""
