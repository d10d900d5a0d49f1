"""Themes, screens, keys, bridge: wiring only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.theme import Theme

from engine.config import load_settings
from engine.errors import EngineError

from .actions import Scope
from .bridge import Answered, Bridge, Happened, Refused, RunEnded, heard
from .exit_codes import ExitCode
from .foreground import run_in_terminal
from .keymap import load_keymap
from .opening import config_folder, env_here, open_engine
from .palette import ActionProvider
from .preferences import Preferences
from .runs import Verb
from .screens.desk import DeskScreen, Tools, bindings_of
from .screens.environment import EnvironmentScreen
from .screens.help import HelpScreen
from .screens.home import HomeScreen
from .screens.leaving import QuitDialog
from .store import Changes, Store
from .terminal_watch import watch_terminal
from .themes import SHIPPED, load_themes

if TYPE_CHECKING:
    from engine.api import Engine
    from engine.config import Settings

DEFAULT_THEME = "dark"
LAST_WORDS_S = 10.0
"""How long cancelled runs may take back what they did when the terminal is gone."""


class LagoTuiApp(App[int]):
    """The workstation."""

    TITLE = "lagotui"
    CSS_PATH = ["styles/base.tcss", "styles/screens.tcss", "styles/dialogs.tcss"]  # noqa: RUF012 - the toolkit's own declaration
    COMMANDS = {ActionProvider, *App.COMMANDS}  # noqa: RUF012 - the toolkit's own declaration
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of(Scope.APP)]

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        preferences: Preferences,
        *,
        env: str = "",
        clock: Callable[[], float] = time.time,
        run_in_foreground: Callable[[Sequence[str]], int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            env: path of the prefix to open on; "" opens on the list of environments.
            run_in_foreground: runs a program instead of doing so in the terminal, for tests.
        """
        shipped, self._problems = load_themes(SHIPPED)
        self._own_themes = {theme.name: theme for theme in shipped}
        self._ours_only = False
        super().__init__()
        for theme in shipped:
            self.register_theme(theme)
        self.theme = DEFAULT_THEME
        self._ours_only = True
        self._preferences = preferences
        self._env = env
        self._run_in_foreground = run_in_foreground
        self.bridge = Bridge(open_engine, self.post_message)
        self.store = Store()
        self.tools = Tools(self.bridge, self.store, clock, {})

    # Life ----------------------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        return HomeScreen(self.tools)

    def on_mount(self) -> None:
        chosen = self._preferences.theme
        if chosen in self._own_themes:
            self.theme = chosen
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        if self._env:
            self.push_screen(EnvironmentScreen(self.tools, self._env))
        self.call_after_refresh(self._begin)
        if not self.is_headless:
            watch_terminal(self, self._end_by_signal)

    def _begin(self) -> None:
        """Do what can wait until the first picture stands."""
        self.bridge.start()
        user_themes, theme_problems = load_themes(self._preferences.themes_folder)
        self._own_themes.update({theme.name: theme for theme in user_themes})
        for theme in user_themes:
            self.register_theme(theme)
        chosen = self._preferences.theme
        if chosen in self._own_themes and chosen != self.theme:
            self.theme = chosen
        keymap, key_problems = load_keymap(self._preferences.keymap_file)
        self.tools.keymap.update(keymap)
        self.set_keymap(keymap)
        for screen in self._desks():
            screen.draw_keys()
        for problem in (*self._problems, *theme_problems, *key_problems):
            self.notify(problem, title="A file of yours cannot be used", severity="warning", timeout=10, markup=False)

    # Themes and keys -----------------------------------------------------------------------------------------------

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._own_themes[DEFAULT_THEME].variables

    @property
    def available_themes(self) -> dict[str, Theme]:
        return self._own_themes if self._ours_only else super().available_themes

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield SystemCommand("Theme", "Change the colours; yours are read from the config folder.", self.action_change_theme)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        names = ", ".join(sorted(binding.id or binding.description for binding in clashed_bindings))
        self.notify(f"Another action took the key of: {names}", title="keymap.yaml", severity="warning", timeout=10, markup=False)

    def _remember_theme(self, theme: Theme) -> None:
        if theme.name == self._preferences.theme:
            return
        try:
            self._preferences.save_theme(theme.name)
        except OSError as error:
            self.notify(str(error), title="The theme cannot be remembered", severity="warning", markup=False)

    def action_help(self) -> None:
        screen = self.screen
        scopes = screen.SCOPES if isinstance(screen, DeskScreen) else ()
        self.push_screen(HelpScreen((*scopes, Scope.APP), self.tools.keymap))

    # What comes from the bridge ------------------------------------------------------------------------------------

    @heard(Happened)
    def _take_in(self, message: Happened) -> None:
        changes = self.store.apply(message.events)
        self._desks()[-1].sync(changes)  # those below draw everything when they come back
        self._follow(changes)

    def _follow(self, changes: Changes) -> None:
        for env in changes.stale:
            self.bridge.look_state(env)
            self.bridge.look_host(env)
        if changes.listing_stale:
            self.bridge.look_environments()
        screen = self.screen
        if isinstance(screen, EnvironmentScreen) and self.store.state.desk(screen.env).gone:
            screen.leave_gone()

    @heard(RunEnded)
    def _run_ended(self, message: RunEnded) -> None:
        request, error = message.request, message.error
        if error is not None:
            self.notify(error.hint, title=error.message, severity="error", timeout=12, markup=False)
        elif request.ending:
            self.notify(request.name, title=request.ending, timeout=5, markup=False)
        self.bridge.look_state(request.env)
        self.bridge.look_host(request.env)
        if request.verb is Verb.UP and isinstance(self.screen, HomeScreen) and self.screen.laid_out:
            self.screen.show_environment(request.env)

    @heard(Answered)
    def _answer(self, message: Answered) -> None:
        message.then(message.answer)

    @heard(Refused)
    def _refuse(self, message: Refused) -> None:
        self.notify(message.error.hint, title=message.error.message, severity="error", timeout=12, markup=False)

    # What comes from the screens -----------------------------------------------------------------------------------

    @on(HomeScreen.Opened)
    def _open_environment(self, message: HomeScreen.Opened) -> None:
        self.push_screen(EnvironmentScreen(self.tools, message.env))

    @on(EnvironmentScreen.ShellWanted)
    def _open_shell(self, message: EnvironmentScreen.ShellWanted) -> None:
        self.bridge.ask_ssh(message.env, message.machine, self._stand_aside)

    def _stand_aside(self, argv: Sequence[str]) -> None:
        """Give the terminal to another program until it ends."""
        if self._run_in_foreground is not None:
            self._run_in_foreground(argv)
            return
        self.bridge.hold()
        try:
            with self.suspend():
                run_in_terminal(argv)
        finally:
            self.bridge.flow()
        self.refresh()

    # Leaving -------------------------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        if isinstance(self.screen, QuitDialog):
            return
        if not self.bridge.running:
            self.exit(ExitCode.OK)
            return
        self.push_screen(QuitDialog(lambda: self.bridge.running, self.bridge.cancel), self._quit_answered)

    def _quit_answered(self, over: bool | None) -> None:
        if over:
            self.exit(ExitCode.OK)

    def _end_by_signal(self, signum: int) -> None:
        for request in self.bridge.running:
            self.bridge.cancel(request)
        self.exit(ExitCode.SIGNAL + signum)

    def _desks(self) -> list[DeskScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, DeskScreen)]


def run_app(settings: Settings | None = None, env: str | None = None) -> int:
    """Open the UI on the environment that is found from the current folder, else on the list of them; return the exit code.

    Args:
        settings: None: load them.
        env: path of the prefix to open on, "" for the list; None: find it.
    """
    try:
        settings = settings or load_settings({})
        here = env_here(settings) if env is None else env
    except EngineError as error:
        sys.stderr.write(f"lagotui: {error}\n")
        return error.exit_code
    app = LagoTuiApp(partial(open_engine, settings), Preferences(config_folder()), env=here)
    code = app.run()
    app.bridge.close(LAST_WORDS_S)
    return ExitCode.UNEXPECTED if code is None else code
