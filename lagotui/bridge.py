"""Between the engine and the screens: the only reader of the bus in the UI, and the only place where the UI waits for anything.

Everything that may block runs on daemon threads of our own; what they find comes back as a message. Events travel in batches by time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from textual import on
from textual.message import Message

from engine.errors import EngineError, PrefixNotFound
from engine.events import Event, MachineChanged, NetChanged

from .runs import RunRequest, Verb
from .store import EnvEntry, EnvironmentsLoaded, HostLoaded, Loaded, LookFailed, StateLoaded, StatsLoaded

if TYPE_CHECKING:
    from textual.app import App

    from engine.api import Engine, RunHandle
    from engine.state.prefix import Prefix

A = TypeVar("A", bound="App[Any]")
M = TypeVar("M", bound=Message)

BATCHES_PER_S = 30.0
EVENTS_PER_MESSAGE = 1000
"""More events than these come in several messages, so that keys are answered in between."""

logger = logging.getLogger(__name__)


class Happened(Message):
    """Events of the engine, or what a look found."""

    def __init__(self, events: Sequence[Event | Loaded]) -> None:
        super().__init__()
        self.events = events


class RunEnded(Message):
    """A request came to its end."""

    def __init__(self, request: RunRequest, error: EngineError | None, result: Any = None) -> None:
        super().__init__()
        self.request = request
        self.error = error
        self.result = result


class Answered(Message):
    """The answer to a question of a screen; what to do with it comes along."""

    def __init__(self, then: Callable[[Any], None], answer: Any) -> None:
        super().__init__()
        self.then = then
        self.answer = answer


class Refused(Message):
    """A question of a screen has no answer."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self.error = error


def heard(kind: type[M]) -> Callable[[Callable[[A, M], None]], Callable[[A, M], None]]:
    """Have a method of the app hear one of the messages above, as long as there are screens: some come in while those are taken down."""

    def decorate(method: Callable[[A, M], None]) -> Callable[[A, M], None]:
        @on(kind)
        @wraps(method)
        def hear(app: A, message: M) -> None:
            if app.is_running:
                method(app, message)

        return hear

    return decorate


class Bridge:
    """Owns the engine on behalf of the UI. Every method returns at once."""

    def __init__(self, open_engine: Callable[[], Engine], post: Callable[[Message], object]) -> None:
        self._open_engine = open_engine
        self._post = post
        self._engine: Engine | None = None
        self._engine_lock = threading.Lock()
        self._closing = threading.Event()
        self._flowing = threading.Event()
        self._flowing.set()
        self._looking: set[str] = set()
        self._wanted_again: set[str] = set()
        self._lock = threading.Lock()
        self._runs: list[tuple[RunRequest, RunHandle[Any]]] = []

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read the bus; opens the engine."""
        self._thread("bus", self._read_bus)

    def close(self, patience_s: float = 0.0) -> None:
        """Let go of the engine; runs that were cancelled have `patience_s` to take back what they did."""
        until_s = time.monotonic() + patience_s
        while self.running and time.monotonic() < until_s:
            time.sleep(0.05)
        self._closing.set()
        self._flowing.set()
        if self._engine is not None:
            self._engine.close()

    def hold(self) -> None:
        """Let events wait on the bus, while the terminal belongs to another program."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    # Looks ---------------------------------------------------------------------------------------------------------

    def look_environments(self) -> None:
        """Find the known environments, then the state of each."""
        self._look("environments", "", self._find_environments)

    def look_state(self, env: str) -> None:
        self._look(_state_key(env), env, lambda engine: StateLoaded(env, engine.state(_prefix(env))))

    def look_host(self, env: str) -> None:
        """Find out what host the environment is on, and have its changes pushed from now on."""
        self._look(f"host {env}", env, lambda engine: self._find_host(engine, env))

    def look_stats(self, env: str) -> None:
        self._look(f"stats {env}", env, lambda engine: StatsLoaded(env, engine.stats(_prefix(env))))

    def ask(self, question: Callable[[Engine], Any], then: Callable[[Any], None]) -> None:
        """Call `question` beside the UI, and `then` on its answer, in the UI."""

        def answer() -> None:
            try:
                self._post(Answered(then, question(self.engine())))
            except EngineError as error:
                self._post(Refused(error))
            except Exception as error:  # a stranger's mistake must not end the UI
                logger.exception("a look failed")
                self._post(Refused(_wrapped(error)))

        self._thread("ask", answer)

    def ask_losses(self, env: str, then: Callable[[list[str]], None]) -> None:
        self.ask(lambda engine: engine.losses(_prefix(env)), then)

    def ask_ssh(self, env: str, machine: str, then: Callable[[list[str]], None]) -> None:
        """Ask for the command line that opens a shell on a machine."""
        self.ask(lambda engine: engine.ssh_command(_prefix(env), machine, tty=True), then)

    # Runs ----------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> tuple[RunRequest, ...]:
        """What is going on, oldest first."""
        with self._lock:
            return tuple(request for request, handle in self._runs if not handle.done)

    def submit(self, request: RunRequest) -> None:
        """Have the engine do it; the bus tells its story, RunEnded its end."""
        self._thread(f"run {request.verb}", lambda: self._run(request))

    def cancel(self, request: RunRequest) -> None:
        """Ask a run to stop; it takes back what it did."""
        with self._lock:
            handles = [handle for each, handle in self._runs if each is request]
        for handle in handles:
            handle.cancel()

    def engine(self) -> Engine:
        """Return the engine; the first call opens it."""
        with self._engine_lock:
            if self._engine is None:
                self._engine = self._open_engine()
            return self._engine

    # On threads ----------------------------------------------------------------------------------------------------

    def _read_bus(self) -> None:
        subscription = self.engine().bus.subscribe(since=0)
        for batch in subscription.batches(per_second=BATCHES_PER_S, until=self._closing.is_set):
            self._outdate_looks(batch)
            for first in range(0, len(batch), EVENTS_PER_MESSAGE):
                self._post(Happened(batch[first : first + EVENTS_PER_MESSAGE]))
            self._flowing.wait()
        subscription.close()

    def _outdate_looks(self, events: Iterable[Event]) -> None:
        """Have looks that are going on done once more: what they bring may be from before these events, and is shown after them."""
        outdated = {_state_key(event.env) for event in events if isinstance(event, MachineChanged | NetChanged)}
        with self._lock:
            self._wanted_again |= outdated & self._looking

    def _run(self, request: RunRequest) -> None:
        entry: tuple[RunRequest, RunHandle[Any]] | None = None
        try:
            handle = start_run(self.engine(), request)
            entry = (request, handle)
            with self._lock:
                self._runs.append(entry)
            self._post(RunEnded(request, None, handle.result()))
        except EngineError as error:
            self._post(RunEnded(request, error))
        except Exception as error:  # a mistake in a run must not end the UI
            logger.exception("the run '%s' failed", request.title)
            self._post(RunEnded(request, _wrapped(error)))
        finally:
            with self._lock:
                self._runs = [each for each in self._runs if each is not entry]

    def _find_environments(self, engine: Engine) -> EnvironmentsLoaded:
        entries = tuple(EnvEntry(str(known.path), known.last_used) for known in engine.environments() if known.is_there)
        for entry in entries:
            self.look_state(entry.path)
        return EnvironmentsLoaded(entries)

    def _find_host(self, engine: Engine, env: str) -> HostLoaded:
        engine.watch(_prefix(env))
        return HostLoaded(env, engine.host_info(_prefix(env)))

    def _look(self, key: str, env: str, find: Callable[[Engine], Loaded]) -> None:
        """Look once more when the same look is going on already, but never twice at a time."""
        with self._lock:
            if key in self._looking:
                self._wanted_again.add(key)
                return
            self._looking.add(key)
        self._thread(key, lambda: self._look_until_done(key, env, find))

    def _look_until_done(self, key: str, env: str, find: Callable[[Engine], Loaded]) -> None:
        while not self._closing.is_set():
            self._post(Happened([self._found(env, find)]))
            with self._lock:
                if key not in self._wanted_again:
                    self._looking.discard(key)
                    return
                self._wanted_again.discard(key)

    def _found(self, env: str, find: Callable[[Engine], Loaded]) -> Loaded:
        try:
            return find(self.engine())
        except EngineError as error:
            return LookFailed(env, str(error), gone=isinstance(error, PrefixNotFound))
        except Exception as error:  # a stranger's mistake must not end the UI
            logger.exception("a look failed")
            return LookFailed(env, str(_wrapped(error)))

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"ui {name}", daemon=True).start()


def start_run(engine: Engine, request: RunRequest) -> RunHandle[Any]:
    """Hand a request to the engine."""
    env = _prefix(request.env)
    match request.verb:
        case Verb.UP:
            from engine.api import InitRequest

            path = Path(request.env)
            return engine.up(InitRequest(workdir=path.parent, prefix_name=path.name, init_file=Path(request.init_file)))
        case Verb.START:
            return engine.start(env, request.machines, wait_ssh=True)
        case Verb.STOP:
            return engine.stop(env, request.machines)
        case Verb.SNAPSHOT:
            return engine.snapshot(env, request.name, request.machines)
        case Verb.REVERT:
            return engine.revert(env, request.name, request.machines)
        case Verb.DESTROY:
            return engine.destroy(env)
        case Verb.RECOVER:
            return engine.recover(env)


def _state_key(env: str) -> str:
    return f"state {env}"


def _prefix(env: str) -> Prefix:
    from engine.state.prefix import Prefix

    return Prefix.at(Path(env))


def _wrapped(error: Exception) -> EngineError:
    return EngineError(f"unexpected {type(error).__name__}: {error}")
