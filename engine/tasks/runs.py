"""One run of a verb from its lock to its end: recovery first, then the plan, with a journal and a log."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..bus import Bus
from ..context import CancelToken, TaskContext, TaskLogHandler
from ..errors import EngineError
from ..plan.model import Plan, Recovery, StepKind
from ..state.home import state_home
from ..state.locks import prefix_lock
from ..state.prefix import Prefix
from ..state.workdir import CURRENT, DEFAULT_WORKDIR
from . import journal
from .runlog import RunLog
from .runner import Runner, recover
from .scope import RunScope
from .steps import performer
from .threads import LoopThread, in_thread

T = TypeVar("T")

KEPT_LOGS = 50
"""Logs of failed runs without a prefix that are kept."""

OUTLIVING_VERBS = frozenset({"init", "destroy"})
"""Verbs whose journal must not stand in the prefix that they make or remove."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the body of a verb works with."""

    ctx: TaskContext
    prefix: Path

    async def carry_out(self, plan: Plan, scope: RunScope) -> None:
        """Do a plan; a failure takes it back.

        Raises:
            EngineError: what a step raised.
        """
        for note in plan.notes:
            self.ctx.log(note)
        folder = journal_folder(plan)
        try:
            book = journal.Journal.create(folder, f"{self.ctx.run_id}-{plan.verb}", plan)
        except OSError as failure:
            raise EngineError(f"the journal '{folder}' cannot be written: {failure.strerror}", hint="nothing was changed") from failure
        try:
            await Runner(plan, self.ctx, book, performer(scope)).run()
        finally:
            _tidy(plan, book)

    async def put_right(self, runs: list[journal.DeadRun], scope_of: Callable[[Plan], RunScope]) -> list[str]:
        """Undo or finish dead runs, newest first.

        Returns:
            One sentence for each: what was done.
        """
        done: list[str] = []
        for dead in reversed(runs):
            how = "Undo" if dead.plan.recovery is Recovery.UNDO else "Finish"
            with self.ctx.child(f"{how} '{dead.plan.verb}' that ended in the middle") as task:
                await recover(dead, task, performer(scope_of(dead.plan)))
            if dead.plan.verb in OUTLIVING_VERBS:
                dead.path.unlink(missing_ok=True)
            done.append(f"'{dead.plan.verb}' that had ended in the middle was {'undone' if how == 'Undo' else 'finished'}")
        return done


class RunHandle(Generic[T]):
    """A run that goes on in the engine; wait for it, or cancel it."""

    def __init__(self, run_id: str, title: str, token: CancelToken, future: Future[T]) -> None:
        self.run_id = run_id
        self.title = title
        self._token = token
        self._future = future

    @property
    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> T:
        """Wait for the end and return what the run returned.

        Raises:
            EngineError: what the run raised.
            TimeoutError: it has not ended in time; it goes on.
        """
        return self._future.result(timeout_s)

    def cancel(self) -> None:
        """Ask the run to stop and take back what it did; wait for `result` to know that it has."""
        self._token.cancel()

    def on_done(self, call: Callable[[], None]) -> None:
        """Call `call`, from a thread of the engine's, when the run has ended."""
        self._future.add_done_callback(lambda _: call())

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        return asyncio.wrap_future(self._future).__await__()


class Runs:
    """Starts runs on the engine's loop."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._loop = LoopThread()
        self._log_handler = TaskLogHandler()

    def start(self, verb: str, title: str, prefix: Path | None, body: Callable[[Run], Awaitable[T]]) -> RunHandle[T]:
        """Begin a run and return at once.

        Args:
            verb: for the lock and the log.
            title: of the root task.
            prefix: held for the length of the run; None when the run is about no environment.
            body: does the work.
        """
        from uuid import uuid4

        if self._log_handler not in logging.getLogger().handlers:
            logging.getLogger().addHandler(self._log_handler)
        run_id = uuid4().hex[:12]
        token = CancelToken()
        future = self._loop.submit(self._drive(run_id, verb, title, prefix, token, body))
        return RunHandle(run_id, title, token, future)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self._log_handler)
        self._loop.stop()

    async def _drive(
        self, run_id: str, verb: str, title: str, prefix: Path | None, token: CancelToken, body: Callable[[Run], Awaitable[T]]
    ) -> T:
        with ExitStack() as held:
            if prefix is not None:
                await in_thread("lock", lambda: held.enter_context(prefix_lock(prefix, verb)))
            log = RunLog(self._bus, run_id, _log_path(run_id, verb, prefix))
            held.enter_context(_logged(log, prefix))
            with TaskContext.root(self._bus, title, run_id=run_id, env=str(prefix or ""), token=token) as ctx:
                return await body(Run(ctx, prefix or Path("/")))


def journal_folder(plan: Plan) -> Path:
    """Return where the journal of a plan is kept."""
    if plan.verb in OUTLIVING_VERBS:
        return state_home() / "journal" / plan.uuid
    return Path(plan.prefix) / "journal"


def pending_runs(prefix: Path) -> list[journal.DeadRun]:
    """Return the runs on a prefix that ended in the middle, oldest first. Call it while holding the prefix, or while nobody does."""
    found = journal.dead_runs(prefix / "journal")
    with contextlib.suppress(FileNotFoundError):
        for folder in (state_home() / "journal").iterdir():
            found += [run for run in journal.dead_runs(folder) if run.plan.prefix == str(prefix)]
    return sorted(found, key=lambda run: run.at_s)


def with_workdir(prefix: Prefix) -> Prefix:
    """Return the prefix with the workdir that a dead init meant it for, where the workdir itself does not show it yet."""
    if prefix.workdir is not None:
        return prefix
    steps = [step for run in pending_runs(prefix.path) for step in run.plan.steps]
    meant = [step.args["workdir"] for step in steps if step.kind is StepKind.MAKE_PREFIX]
    return replace(prefix, workdir=Path(meant[0])) if meant else prefix


def half_made(start: Path, name: str) -> Prefix | None:
    """Return the prefix that a dead init left below `start` (a workdir, or a folder with a `.lago`), before the workdir could know it."""
    with contextlib.suppress(FileNotFoundError):
        for folder in (state_home() / "journal").iterdir():
            for run in journal.dead_runs(folder):
                path = Path(run.plan.prefix)
                near = path.parent in (start, start / DEFAULT_WORKDIR)
                if run.plan.verb == "init" and near and name in (CURRENT, path.name):
                    return with_workdir(Prefix.at(path))
    return None


def forget_pending(prefix: Prefix) -> None:
    """Drop the journals of a prefix that is about to go as a whole."""
    for run in pending_runs(prefix.path):
        run.path.unlink(missing_ok=True)
    if prefix.uuid:
        shutil.rmtree(state_home() / "journal" / prefix.uuid, ignore_errors=True)


def _tidy(plan: Plan, book: journal.Journal) -> None:
    if plan.verb not in OUTLIVING_VERBS:
        journal.prune(book.path.parent)
    elif book.path.exists() and journal.read_dead_run(book.path) is None:
        book.remove()
        with contextlib.suppress(OSError):  # another journal of this environment is still there
            book.path.parent.rmdir()


def _log_path(run_id: str, verb: str, prefix: Path | None) -> Path:
    """Return where a run is logged: in its prefix, unless the prefix comes or goes with the run."""
    if prefix is not None and (prefix / "initialized").exists() and verb not in OUTLIVING_VERBS:
        return prefix / "logs" / "lago.log"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return state_home() / "logs" / f"{stamp}-{verb}-{run_id}.log"


@contextlib.contextmanager
def _logged(log: RunLog, prefix: Path | None) -> Iterator[None]:
    """Close the log at the end; one outside of its prefix goes into the prefix that was made, and stays only when the run failed."""
    failed = True
    try:
        yield
        failed = False
    finally:
        log.close()
        if log.path.is_relative_to(state_home()):
            _put_away(log.path, prefix, failed)


def _put_away(path: Path, prefix: Path | None, failed: bool) -> None:
    if prefix is not None and (prefix / "initialized").exists():
        kept = prefix / "logs" / "lago.log"
        kept.parent.mkdir(exist_ok=True)
        with kept.open("ab") as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
        path.unlink()
    elif not failed:
        path.unlink()
    _prune_logs()


def _prune_logs() -> None:
    logs = sorted((state_home() / "logs").glob("*.log"))
    for path in logs[:-KEPT_LOGS]:
        path.unlink(missing_ok=True)
