"""The main desk: the machines and networks of one environment, and what is being done to them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget

from engine.state.env import EnvState, MachineState

from ..actions import Scope
from ..present import machines, nets
from ..present.cells import Line, filter_rows
from ..present.choices import CHOICE_COLUMNS, copy_rows, snapshot_problem, snapshot_rows
from ..present.header import env_header, pending_line
from ..present.help import paragraph, teaching_lines
from ..runs import RunRequest, Verb, env_label
from ..store import Changes, EnvDesk
from ..widgets.bars import TopBar
from ..widgets.line_list import LineList
from ..widgets.lines_pane import LinesPane
from ..widgets.table import Table
from ..widgets.task_pane import TaskPane
from .desk import DeskScreen, Tools, bindings_of
from .destroy import ask_destroy
from .dialogs import TEXT_WIDTH, ChooseDialog, InputDialog

STATS_EVERY_S = 2.0
LOOK_EVERY_TICKS = 5
"""While nothing runs nothing is pushed: another lagotui may have started it."""


class EnvironmentScreen(DeskScreen):
    """One environment."""

    SCOPES = (Scope.ENVIRONMENT, Scope.LISTS)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of(Scope.ENVIRONMENT, Scope.LISTS)]

    class ShellWanted(Message):
        """The user wants a shell on a machine."""

        def __init__(self, env: str, machine: str) -> None:
            super().__init__()
            self.env = env
            self.machine = machine

    def __init__(self, tools: Tools, env: str) -> None:
        super().__init__(tools)
        self.env = env
        self._ticks = 0

    def compose_panels(self) -> ComposeResult:
        yield TopBar(id="notice")
        with Horizontal(id="desk"):
            with Vertical(id="left"):
                yield Table(machines.COLUMNS, id="machines", title="Machines")
                yield Table(nets.COLUMNS, id="nets", title="Networks", head=False)
            yield LinesPane(id="details")
        yield TaskPane(self.tools.store.tasks, self.tools.clock, env=self.env, id="tasks")

    def panels(self) -> list[Widget]:
        return [self.query_one(name) for name in ("#machines", "#nets", "#tasks", "#details")]

    def on_mount(self) -> None:
        self._machines.focus()
        self.action_refresh()
        self.set_interval(STATS_EVERY_S, self._tick)

    def takes(self, changes: Changes) -> bool:
        return self.env in changes.envs

    def draw(self) -> None:
        desk = self._desk
        state = desk.state
        every = machines.rows(state, desk.readings) if state else ()
        self._machines.empty = self._teach(desk, self._machines.room)
        self._machines.rows = filter_rows(every, self.pattern)
        self._machines.say_below(f"/{self.pattern}" if self.pattern else "")
        table = self.query_one("#nets", Table)
        table.rows = nets.rows(state) if state else ()
        self.query_one("#top", TopBar).make_line = self._header
        self._draw_notice(state.pending if state else ())
        self._draw_details()

    def _draw_notice(self, pending: tuple[str, ...]) -> None:
        notice = self.query_one("#notice", TopBar)
        notice.display = bool(pending)
        notice.make_line = partial(pending_line, pending)

    @on(LineList.Highlighted, "#machines")
    def _draw_details(self) -> None:
        pane = self.query_one("#details", LinesPane)
        machine = self._machine
        name = machine.spec.name if machine else ""
        if pane.border_title != name:
            pane.border_title = name
        pane.lines = machines.detail_lines(machine, self._desk.readings.get(machine.spec.name, ()), pane.room) if machine else ()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw_details)

    @on(LineList.Chosen, "#machines")
    def _chosen(self) -> None:
        self.action_ssh()

    # Actions -------------------------------------------------------------------------------------------------------

    def action_start_machines(self) -> None:
        self._submit_chosen(Verb.START, up=False, done="up already")

    def action_stop_machines(self) -> None:
        self._submit_chosen(Verb.STOP, up=True, done="down already")

    def action_start_all(self) -> None:
        self.submit(RunRequest(Verb.START, self.env))

    def action_stop_all(self) -> None:
        self.submit(RunRequest(Verb.STOP, self.env))

    def action_ssh(self) -> None:
        tasks = self.query_one(TaskPane)
        machine = self._machine
        if self.focused is tasks:
            tasks.action_mark()
        elif machine is None:
            self.say("There is no machine under the cursor.")
        elif not machine.status.is_up:
            self.say("s starts it; then ⏎ opens a shell.", f"{machine.spec.name} is {machine.status.value}")
        else:
            self.post_message(self.ShellWanted(self.env, machine.spec.name))

    def action_snapshot(self) -> None:
        state = self._known_state()
        if state is None:
            return
        marks = self._machines.marks
        chosen = [state.machines[name].spec for name in marks or state.machines]
        name = f"snap-{datetime.fromtimestamp(self.tools.clock()):%Y%m%d-%H%M}"
        text = paragraph(f"The disks of {', '.join(marks) or 'all machines'} are kept as they are now.", TEXT_WIDTH)
        dialog = InputDialog("Snapshot", text, (("Name", name),), lambda values: snapshot_problem(values[0], chosen))
        self.app.push_screen(dialog, lambda answer: self._take_snapshot(answer, marks))

    def action_revert(self) -> None:
        state = self._known_state()
        if state is None:
            return
        marks = self._machines.marks
        chosen = [state.machines[name].spec for name in marks or state.machines]
        rows = snapshot_rows(chosen)
        if not rows:
            self.say("p takes one.", "There is no snapshot to go back to")
            return
        sentence = "What was written to the disks since then is lost. Machines that are up are stopped and started again."
        text = paragraph(sentence, TEXT_WIDTH)
        dialog = ChooseDialog(f"Revert {', '.join(marks) or env_label(self.env)} to", text, CHOICE_COLUMNS, rows, danger=True)
        self.app.push_screen(dialog, lambda name: self._revert(name, marks))

    def action_destroy(self) -> None:
        ask_destroy(self, self.env)

    def action_recover(self) -> None:
        self.submit(RunRequest(Verb.RECOVER, self.env))

    def action_copy(self) -> None:
        rows = copy_rows(self.env, self._machine.spec if self._machine else None)
        self.app.push_screen(ChooseDialog("Copy", (), CHOICE_COLUMNS, rows), self._copy)

    def action_details(self) -> None:
        if self.has_class("-narrow"):
            self.toggle_class("-details")
        else:
            self.toggle_class("-no-details")
        self.call_after_refresh(self._draw_details)

    def action_refresh(self) -> None:
        self.tools.bridge.look_state(self.env)
        self.tools.bridge.look_host(self.env)

    def leave_gone(self) -> None:
        """Go: there is nothing left to show."""
        self.dismiss(None)

    def leave(self) -> None:
        if self.has_class("-details"):
            self.action_details()
            self._machines.focus()
        else:
            self.dismiss(None)

    # Inside --------------------------------------------------------------------------------------------------------

    @property
    def _machines(self) -> Table:
        return self.query_one("#machines", Table)

    @property
    def _desk(self) -> EnvDesk:
        return self.tools.store.state.desk(self.env)

    @property
    def _machine(self) -> MachineState | None:
        """The machine under the cursor."""
        state = self._desk.state
        return state.machines.get(self._machines.key) if state else None

    def _known_state(self) -> EnvState | None:
        state = self._desk.state
        if state is None or not state.machines:
            self.say("r looks at it again.", "The machines are not known yet")
            return None
        return state

    def _submit_chosen(self, verb: Verb, *, up: bool, done: str) -> None:
        state = self._known_state()
        names = self._machines.marks or ((self._machines.key,) if self._machines.key else ())
        if state is None or not names:
            return
        chosen = tuple(name for name in names if state.machines[name].status.is_up is up)
        if not chosen:
            self.say(f"It is {done}." if len(names) == 1 else f"They are {done}.", ", ".join(names))
            return
        self._machines.clear_marks()
        self.submit(RunRequest(verb, self.env, chosen))

    def _take_snapshot(self, answer: tuple[str, ...] | None, marks: tuple[str, ...]) -> None:
        if answer:
            self.submit(RunRequest(Verb.SNAPSHOT, self.env, marks, answer[0]))

    def _revert(self, name: str | None, marks: tuple[str, ...]) -> None:
        state = self._desk.state
        if not name or state is None:
            return
        holders = tuple(each for each in marks or state.machines if name in state.machines[each].spec.snapshots)
        self.submit(RunRequest(Verb.REVERT, self.env, () if len(holders) == len(state.machines) else holders, name))

    def _copy(self, text: str | None) -> None:
        if text:
            self.app.copy_to_clipboard(text)
            self.app.notify(text, title="Copied", timeout=3, markup=False)

    def _tick(self) -> None:
        self._ticks += 1
        state = self._desk.state
        if state is not None and state.up_count:
            self.tools.bridge.look_stats(self.env)
        elif self._ticks % LOOK_EVERY_TICKS == 0:
            self.action_refresh()

    def _header(self, width: int) -> Line:
        return env_header(self.env, self._desk, self.running, self.tools.clock(), width)

    def _teach(self, desk: EnvDesk, width: int) -> tuple[Line, ...]:
        teach = partial(teaching_lines, width=width)
        if desk.problem:
            return teach("This environment cannot be read", (desk.problem,), (("r", "try again"), ("esc", "back to all environments")))
        if desk.state is None:
            return teach("Reading the environment…", (), ())
        if desk.state.machines:
            return teach(f"No machine has '{self.pattern}'", (), (("esc", "drop the filter"),))
        return teach("No machines", ("The init file of this environment has none.",), (("esc", "back to all environments"),))
