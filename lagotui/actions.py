"""Everything a person can do in the UI: one registry that makes the bindings, the key bar, the palette, the help and the keymap file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """Where an action works; the value is the heading in the help."""

    ENVIRONMENT = "Environment"
    HOME = "Environments"
    LISTS = "In every list"
    APP = "Everywhere"


@dataclass(frozen=True, slots=True)
class Action:
    id: str
    """`start-machines`: the name in the keymap file; the method is `action_start_machines`."""
    key: str
    """Keys as the toolkit names them, separated by commas; the first one is shown."""
    title: str
    """One or two words for the key bar."""
    help: str
    """One sentence: what happens."""
    scope: Scope
    headless: str = ""
    """The same thing in a shell; "" when there is none."""
    dangerous: bool = False
    """Asks first, saying what will be lost."""
    on_bar: bool = True

    @property
    def method(self) -> str:
        """Name of the toolkit's action."""
        return self.id.replace("-", "_")


ACTIONS: tuple[Action, ...] = (
    Action(
        "start-machines",
        "s",
        "start",
        "Start the marked machines, or the one under the cursor, and wait until ssh answers.",
        Scope.ENVIRONMENT,
        "lagotui --run start VM…",
    ),
    Action(
        "stop-machines",
        "x",
        "stop",
        "Stop the marked machines, or the one under the cursor, at once.",
        Scope.ENVIRONMENT,
        "lagotui --run stop VM…",
    ),
    Action(
        "ssh",
        "enter",
        "ssh",
        "Open a shell on the machine under the cursor; the UI comes back when you leave it.",
        Scope.ENVIRONMENT,
        "lagotui --run shell VM",
    ),
    Action(
        "snapshot",
        "p",
        "snapshot",
        "Keep the disks of all machines (or of the marked ones) as they are now, under a name.",
        Scope.ENVIRONMENT,
        "lagotui --run snapshot NAME",
    ),
    Action(
        "revert",
        "v",
        "revert",
        "Bring the disks back to a snapshot; what was written since is lost.",
        Scope.ENVIRONMENT,
        "lagotui --run revert NAME",
        dangerous=True,
    ),
    Action("start-all", "S", "start all", "Start every machine and network of the environment.", Scope.ENVIRONMENT, "lagotui --run start"),
    Action("stop-all", "X", "stop all", "Stop every machine and network of the environment.", Scope.ENVIRONMENT, "lagotui --run stop"),
    Action("copy", "y", "copy", "Choose an address or a command line about the machine under the cursor, and copy it.", Scope.ENVIRONMENT),
    Action(
        "destroy",
        "ctrl+d",
        "destroy",
        "Remove the environment, its disks and its snapshots.",
        Scope.ENVIRONMENT,
        "lagotui --run destroy",
        dangerous=True,
    ),
    Action(
        "details",
        "i",
        "details",
        "Show or hide the pane with everything known of the machine.",
        Scope.ENVIRONMENT,
        on_bar=False,
    ),
    Action(
        "recover",
        "R",
        "recover",
        "Put right what a run that died left half done.",
        Scope.ENVIRONMENT,
        "lagotui --run recover",
        on_bar=False,
    ),
    Action("open-environment", "enter", "open", "Go to the environment under the cursor.", Scope.HOME),
    Action(
        "new-environment",
        "n",
        "new",
        "Make an environment from an init file and start it.",
        Scope.HOME,
        "lagotui --run up [WORKDIR] INIT_FILE",
    ),
    Action(
        "start-environment",
        "s",
        "start",
        "Start every machine and network of the environment under the cursor.",
        Scope.HOME,
        "lagotui --run start",
    ),
    Action(
        "stop-environment",
        "x",
        "stop",
        "Stop every machine and network of the environment under the cursor.",
        Scope.HOME,
        "lagotui --run stop",
    ),
    Action(
        "destroy-environment",
        "ctrl+d",
        "destroy",
        "Remove the environment under the cursor, its disks and its snapshots.",
        Scope.HOME,
        "lagotui --run destroy",
        dangerous=True,
    ),
    Action("filter", "slash", "filter", "Show only the rows that hold some words; a leading ! shows the others.", Scope.LISTS),
    Action(
        "mark",
        "space",
        "mark",
        "Mark the row under the cursor; in the task tree: fold or unfold, down to the log lines.",
        Scope.LISTS,
        on_bar=False,
    ),
    Action(
        "panel",
        "1,2,3,4",
        "panels",
        "Go to a panel; tab goes to the next one.",
        Scope.LISTS,
        on_bar=False,
    ),
    Action(
        "refresh",
        "r,f5",
        "refresh",
        "Look at everything again.",
        Scope.LISTS,
        "lagotui --run status",
        on_bar=False,
    ),
    Action(
        "cancel-run",
        "ctrl+x",
        "cancel run",
        "Ask the newest run to stop; it takes back what it did.",
        Scope.LISTS,
        on_bar=False,
    ),
    Action(
        "back",
        "escape",
        "back",
        "Close what is open: a dialog, the filter, the marks, the screen.",
        Scope.LISTS,
        on_bar=False,
    ),
    Action("command-palette", "colon,ctrl+p", "command", "Find any action by its name, or change the theme.", Scope.APP),
    Action("help", "question_mark,f1", "help", "Show this.", Scope.APP),
    Action("quit", "q,ctrl+q", "quit", "Leave; asks only while work is going on.", Scope.APP),
)

_KEY_WORDS = {
    "enter": "⏎",
    "escape": "esc",
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "space": "space",
}


def actions_of(*scopes: Scope) -> tuple[Action, ...]:
    """Return the actions of some scopes, in the order of the registry."""
    return tuple(action for action in ACTIONS if action.scope in scopes)


def by_id(action_id: str) -> Action:
    return next(action for action in ACTIONS if action.id == action_id)


def key_text(key: str) -> str:
    """Write the first of some keys as a person reads it: `⏎`, `ctrl-d`, `S`; `1–4` for a row of digits."""
    first, _, rest = key.partition(",")
    if first.isdigit() and rest:
        return f"{first}–{rest[-1]}"
    return _KEY_WORDS.get(first, first.replace("ctrl+", "ctrl-"))
