"""What every verb is given: settings, the engine, where the result goes, and how a run is followed to its end."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from engine.config import Settings, load_settings
from engine.errors import Cancelled, EngineError

from ..exit_codes import ExitCode
from ..present.lago_formats import FORMATS, dump
from ..streams import mute
from .asking import Asker, asker
from .narration import Narrator

if TYPE_CHECKING:
    from engine.api import Engine, RunHandle
    from engine.state.prefix import Prefix
    from engine.state.workdir import Workdir

    OpenEngine = Callable[[Settings], Engine]

T = TypeVar("T")

TICK_S = 0.1
"""How often a run without news is looked at; also the time that Ctrl-C takes to reach it."""


class Interrupted(Exception):
    """A signal ended the verb; what had to be rolled back has been."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = ExitCode.SIGNAL + signum


@dataclass(slots=True)
class _Signals:
    """What came in while a run was followed."""

    first: int = 0
    count: int = 0

    def take(self, signum: int, _frame: FrameType | None) -> None:
        self.first = self.first or signum
        self.count += 1


@dataclass(kw_only=True)
class Session:
    """One verb's run, from its settings to its result."""

    settings: Settings
    voice: Narrator
    open_engine: OpenEngine
    out: TextIO = field(default_factory=lambda: sys.stdout)

    @classmethod
    def open(cls, options: Mapping[str, str], verb: str, voice: Narrator, open_engine: OpenEngine | None = None) -> Session:
        """Gather the settings; nothing else is opened yet.

        Raises:
            ConfigError: a setting has a value that cannot be used.
        """
        settings = replace(load_settings(options, verb=verb), ask=asker())
        voice.set_limits(settings.loglevel, settings.logdepth)
        return cls(settings=settings, voice=voice, open_engine=open_engine or _open_engine)

    @cached_property
    def engine(self) -> Engine:
        return self.open_engine(self.settings)

    def env(self, *, damaged: bool = False) -> Prefix:
        """Return the environment that the settings point at; with `damaged` that of a damaged workdir, too.

        Raises:
            WorkdirError: there is none.
        """
        return self.engine.find(damaged=damaged)

    def workdir(self, start: Path | None = None, *, damaged: bool = False) -> Workdir:
        """Return the workdir, damaged or not, that is found from `start`, by default from where the settings point at.

        Raises:
            WorkdirError: there is none.
        """
        from engine.state.workdir import Workdir

        return Workdir.find(start or self.settings.workdir_path or Path(), damaged=damaged)

    def show(self, data: Any) -> None:
        """Write the verb's result in the format that is asked for. Raises: as `write`."""
        out_format = self.settings.out_format
        if out_format in FORMATS:
            self.write(dump(data, out_format))
        else:
            from .plugged import plugged_text

            self.write(plugged_text(data, out_format))

    def write(self, text: str) -> None:
        """Write the verb's result, which has a format of its own.

        Raises:
            BrokenPipeError: nobody reads it any more.
            EngineError: it cannot be written.
        """
        try:
            self.out.write(text)
            self.out.flush()
        except BrokenPipeError:
            raise
        except OSError as failure:
            mute(self.out)
            raise EngineError(f"the result cannot be written: {failure.strerror}") from failure

    def follow(self, start: Callable[[Engine], RunHandle[T]], *, quiet: bool = False) -> T:
        """Start a run, tell its story until it ends, return its result.

        Args:
            start: called with the engine.
            quiet: tell nothing.

        Raises:
            EngineError: what the run raised.
            Interrupted: Ctrl-C, SIGTERM or SIGHUP came, and what had to be rolled back has been.
        """
        events = self.engine.bus.subscribe()
        with _watched() as signals:
            try:
                handle = start(self.engine)
                heard = 0
                while not handle.done:
                    if self._is_asking():
                        time.sleep(TICK_S)
                    else:
                        self._tell(events.take(TICK_S), quiet)
                    if signals.count > heard:
                        self._cancel(handle, signals, again=heard > 0)
                        heard = signals.count
                self._tell(events.take(), quiet)
            finally:
                events.close()
            return _result(handle, signals)

    def close(self) -> None:
        """Let go of the engine, if it was needed at all."""
        if "engine" in self.__dict__:
            self.engine.close()

    def _tell(self, events: list[Any], quiet: bool) -> None:
        self.voice.tell([] if quiet else events)

    def _is_asking(self) -> bool:
        """Whether the terminal is the user's, who is asked for a secret."""
        return isinstance(self.settings.ask, Asker) and self.settings.ask.has_terminal(self.voice.close)

    def _cancel(self, handle: RunHandle[Any], signals: _Signals, *, again: bool) -> None:
        name = "Ctrl-C" if signals.first == signal.SIGINT else signal.Signals(signals.first).name
        if again:
            self.voice.note(f"{name}: still coming to an end; if this run is killed, 'lagotui --run recover' puts things right")
        else:
            self.voice.note(f"{name}: cancelling")
            handle.cancel()


def _open_engine(settings: Settings) -> Engine:
    from engine.api import Engine

    return Engine(settings)


def _result(handle: RunHandle[T], signals: _Signals) -> T:
    try:
        result = handle.result()
    except Cancelled as cancelled:
        if not signals.first:
            raise
        done = "unfinished work was rolled back" if cancelled.taken_back else "what had been done before stays"
        raise Interrupted(signals.first, f"cancelled; {done}") from cancelled
    if signals.first:
        raise Interrupted(signals.first, "the cancel came too late: the run had come to its end")
    return result


@contextmanager
def _watched() -> Iterator[_Signals]:
    """Collect the signals that ask for an end, so that no lock is held by whoever acts on them."""
    signals = _Signals()
    before = {signum: signal.signal(signum, signals.take) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
