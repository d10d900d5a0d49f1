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
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..bus import Bus
from ..context import CancelToken, TaskContext, hear_logging
from ..errors import DiskFull, EngineError
from ..plan.model import Plan, Recovery, StepKind
from ..state import durations
from ..state.home import state_home
from ..state.locks import lock_holder, prefix_lock
from ..state.prefix import Prefix, is_prefix
from ..state.workdir import CURRENT, DEFAULT_WORKDIR
from . import journal
from .runlog import RunLog
from .runner import Runner, recover
from .scope import RunScope
from .steps import performer, timed
from .threads import LoopThread, in_thread

T = TypeVar("T")

KEPT_LOGS = 50
"""Logs of failed runs without a prefix that are kept."""

ROOM_MAKING_VERBS = frozenset({"destroy", "stop", "wait", "export-tidy"})
"""Verbs that must be possible on a full disk: what they did is done, and they may be run again, whatever is known of the first time."""

OUTLIVING_VERBS = frozenset({"init", "destroy"})
"""Verbs whose journal must not stand in the prefix that they make or remove."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the body of a verb works with."""

    ctx: TaskContext
    prefix: Path

    async def carry_out(self, plan: Plan, scope: RunScope, then: Plan | None = None) -> None:
        """Do a plan, and `then` another of the same scope; a failure takes back the one that failed.

        The journal of the second is begun before that of the first ends: whoever dies between them leaves it to be done.

        Raises:
            EngineError: what a step raised.
        """
        book = _open_journal(self.ctx, plan)
        if then is None:
            await self._carry_out(plan, scope, book)
            return
        next_books: list[journal.Journal] = []
        await self._carry_out(plan, scope, book, lambda: next_books.append(_open_journal(self.ctx, then)))
        await self._carry_out(then, scope, next_books[0])

    async def _carry_out(self, plan: Plan, scope: RunScope, book: journal.Journal, settle: Callable[[], None] = lambda: None) -> None:
        for note in plan.notes:
            self.ctx.log(note)
        took_s: dict[str, list[float]] = {}
        try:
            await Runner(plan, self.ctx, book, timed(performer(scope), took_s), settle=settle).run()
        finally:
            _tidy(plan, book)
            await in_thread("durations", lambda: durations.record(took_s))

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
                _forget(dead.path)
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

    def start(self, verb: str, title: str, prefix: Path | None, body: Callable[[Run], Awaitable[T]]) -> RunHandle[T]:
        """Begin a run and return at once.

        Args:
            verb: for the lock and the log.
            title: of the root task.
            prefix: held for the length of the run; None when the run is about no environment.
            body: does the work.
        """
        from uuid import uuid4

        hear_logging()
        run_id = uuid4().hex[:12]
        token = CancelToken()
        future = self._loop.submit(self._drive(run_id, verb, title, prefix, token, body))
        return RunHandle(run_id, title, token, future)

    def stop(self) -> None:
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
                if log.trouble:
                    ctx.log(log.trouble, logging.WARNING)
                return await body(Run(ctx, prefix or Path("/")))


def journal_folder(plan: Plan) -> Path:
    """Return where the journal of a plan is kept."""
    if plan.verb in OUTLIVING_VERBS:
        return state_home() / "journal" / (plan.uuid or "lost")
    return Path(plan.prefix) / "journal"


def _open_journal(ctx: TaskContext, plan: Plan) -> journal.Journal:
    """Return the journal of a plan.

    Raises:
        DiskFull: there is no room for it. Few verbs do without.
        EngineError: it cannot be written for another reason.
    """
    folder, stem = journal_folder(plan), f"{ctx.run_id}-{plan.verb}"
    names = (f"{stem}-{number}" if number > 1 else stem for number in count(1))  # a run may hold several plans of one verb
    run_id = next(name for name in names if not (folder / f"{name}{journal.SUFFIX}").exists())
    try:
        return journal.Journal.create(folder, run_id, plan)
    except DiskFull as failure:
        if plan.verb not in ROOM_MAKING_VERBS:
            raise
        ctx.log(f"{failure.message}; if this run is killed, run {plan.verb} again", logging.WARNING)
        return journal.Journal.unkept(folder / f"{run_id}{journal.SUFFIX}")
    except OSError as failure:
        raise EngineError(f"the journal '{folder}' cannot be written: {failure.strerror}", hint="nothing was changed") from failure


def pending_runs(prefix: Path) -> list[journal.DeadRun]:
    """Return the runs on a prefix that ended in the middle, oldest first. Call it while holding the prefix, or while nobody does."""
    found = [ours for run in journal.dead_runs(prefix / "journal") if (ours := _moved_along(run, prefix)) is not None]
    with contextlib.suppress(FileNotFoundError):
        for folder in (state_home() / "journal").iterdir():
            found += [run for run in journal.dead_runs(folder) if run.plan.prefix == str(prefix)]
    return sorted(found, key=lambda run: run.at_s)


def _moved_along(run: journal.DeadRun, prefix: Path) -> journal.DeadRun | None:
    """Return a run that a prefix holds with paths of today; None when it came here with a copy, and is the original's."""
    if run.plan.prefix == str(prefix):
        return run
    there = Path(run.plan.prefix)
    if run.plan.uuid and Prefix.at(there).uuid == run.plan.uuid and not there.samefile(prefix):
        return None
    return replace(run, plan=run.plan.moved(str(prefix)))


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
        _forget(run.path)
    if prefix.uuid:
        shutil.rmtree(state_home() / "journal" / prefix.uuid, ignore_errors=True)


def _tidy(plan: Plan, book: journal.Journal) -> None:
    if plan.verb not in OUTLIVING_VERBS:
        journal.prune(book.path.parent)
        return
    if book.path.exists() and journal.read_dead_run(book.path) is None:
        book.close()
        _forget(book.path)
    _sweep(Path(plan.prefix))


def _forget(path: Path) -> None:
    """Remove a journal, and its folder where that is not the prefix's."""
    path.unlink(missing_ok=True)
    if path.parent.parent == state_home() / "journal":
        with contextlib.suppress(OSError):  # others are still in it
            path.parent.rmdir()


def _sweep(ours: Path) -> None:
    """Remove journals of runs that came to their end, but were killed before they could remove them; `ours` is the prefix we hold."""
    folders = state_home() / "journal"
    for path in [path for folder in (folders.iterdir() if folders.is_dir() else ()) for path in journal.journals(folder)]:
        prefix = journal.ended_on(path)
        if prefix is not None and (prefix == ours or lock_holder(prefix) is None):
            _forget(path)


def _log_path(run_id: str, verb: str, prefix: Path | None) -> Path:
    """Return where a run is logged: in its prefix, unless the prefix comes or goes with the run."""
    if prefix is not None and is_prefix(prefix) and verb not in OUTLIVING_VERBS:
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
    with contextlib.suppress(OSError):  # no room or no right to write in the prefix, or nothing was logged: what is there stays
        if prefix is not None and is_prefix(prefix):
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
