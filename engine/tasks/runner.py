"""Runs a plan: independent steps side by side within the limits of each resource, journaled, rolled back on failure."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..context import TaskContext, outcome_of
from ..errors import Cancelled, DiskFull, EngineError, RecoveryFailed
from ..events import Outcome
from ..plan.model import Inverse, Plan, Recovery, Resource, Step, StepKind
from ..spec import Json
from .journal import DeadRun, Journal
from .threads import in_thread

Perform = Callable[[TaskContext, StepKind, str, Mapping[str, Json]], None]
"""Does one step, or the inverse of one: `(task, kind, subject, args)`. Blocking; runs on a thread of its own."""


def default_limits() -> Mapping[Resource, int]:
    """Return how many steps may share each resource on this machine."""
    cores = os.cpu_count() or 1
    return {
        Resource.DISK: max(4, cores),
        Resource.NETWORK: 4,
        Resource.HYPERVISOR: max(4, 2 * cores),
        Resource.GUEST: 64,
        Resource.APPLIANCE: max(1, min(cores, 8)),
        Resource.NONE: 64,
    }


@dataclass(slots=True)
class _Group:
    """A task of the tree that only holds steps."""

    context: TaskContext
    started_s: float
    outcome: Outcome = Outcome.OK
    error: str = ""


class Runner:
    """Runs one plan once."""

    def __init__(
        self,
        plan: Plan,
        ctx: TaskContext,
        journal: Journal,
        perform: Perform,
        *,
        limits: Mapping[Resource, int] | None = None,
        skip: frozenset[str] = frozenset(),
        resumed: bool = False,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            plan: what to do.
            ctx: the root task of the run; its token stops everything.
            journal: where every step is written before and after.
            perform: does a step.
            limits: how many steps may share a resource.
            skip: ids of steps that an earlier process has done.
            resumed: this finishes a dead run: a failure takes nothing back and leaves the journal open for another try.
            settle: called when all is done and the journal does not say so yet.
        """
        self._plan = plan
        self._ctx = ctx.contained()
        self._journal = journal
        self._perform = perform
        self._resumed = resumed
        self._settle = settle
        self._slots = {resource: asyncio.Semaphore(count) for resource, count in (limits or default_limits()).items()}
        self._steps = [step for step in plan.steps if step.id not in skip]
        self._ended = {step.id: asyncio.Event() for step in self._steps}
        self._ok = set(skip)
        self._began: list[Step] = []
        self._first_failure: BaseException | None = None
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._members_left = Counter(path for step in self._steps for path in _group_paths(step))

    async def run(self) -> None:
        """Do every step; on failure or cancel take back what began, last first, and raise what happened.

        Raises:
            EngineError: a step failed; the prefix is as it was before.
            Cancelled: the user asked to stop; the prefix is as it was before.
            RecoveryFailed: a step failed, and taking something back failed as well; the journal stays for `recover`.
        """
        await asyncio.gather(*(self._run_step(step) for step in self._steps))
        if self._ctx.cancelled and self._first_failure is None and self._plan.recovery is Recovery.UNDO:
            self._first_failure = Cancelled()  # asked for during a step that could not stop on the way
        if self._first_failure is None:
            self._settle()
            self._journal.end(Outcome.OK)
            return
        if self._resumed:
            self._journal.close()
            raise self._first_failure
        failures = await undo(self._plan, self._ctx, self._journal, self._perform, self._began)
        if failures:
            self._journal.close()
            raise RecoveryFailed(
                f"{_text(self._first_failure)}; taking it back failed too: {'; '.join(failures)}",
                hint="put the cause right, then: lagotui --run recover",
            ) from self._first_failure
        self._journal.end(outcome_of(self._first_failure)[0])
        if isinstance(self._first_failure, Cancelled) and any(step.inverse for step in self._began):
            raise Cancelled(taken_back=True) from self._first_failure
        raise self._first_failure

    async def _run_step(self, step: Step) -> None:
        try:
            for needed in step.after:
                if needed in self._ended:
                    await self._ended[needed].wait()
            if not all(needed in self._ok for needed in step.after):
                return
            async with self._slots[step.resource]:
                if self._first_failure is None:
                    await self._attempt(step)
        finally:
            self._leave_groups(step)
            self._ended[step.id].set()

    async def _attempt(self, step: Step) -> None:
        parent = self._enter_groups(step)
        try:
            self._ctx.raise_if_cancelled()
            self._began.append(step)
            await in_thread(step.id, lambda: self._do(parent, step))
        except BaseException as failure:  # kept and raised by run() once every other step has come to rest
            if self._first_failure is None:
                self._first_failure = failure
            self._ctx.token.cancel()
            for path in _group_paths(step):
                self._groups[path].outcome, self._groups[path].error = outcome_of(failure)
        else:
            self._ok.add(step.id)

    def _do(self, parent: TaskContext, step: Step) -> None:
        if step.journaled:
            self._journal.begin(step)
        with parent.child(step.title) as task:
            self._perform(task, step.kind, step.subject, step.args)
        if step.journaled:
            self._journal.done(step)

    def _enter_groups(self, step: Step) -> TaskContext:
        context = self._ctx
        for path in _group_paths(step):
            if path not in self._groups:
                self._groups[path] = _Group(context.opened(path[-1]), time.monotonic())
            context = self._groups[path].context
        return context

    def _leave_groups(self, step: Step) -> None:
        for path in reversed(_group_paths(step)):
            self._members_left[path] -= 1
            group = self._groups.get(path)
            if group is not None and self._members_left[path] == 0:
                group.context.closed(group.outcome, time.monotonic() - group.started_s, group.error)


async def undo(plan: Plan, ctx: TaskContext, journal: Journal, perform: Perform, began: Sequence[Step]) -> list[str]:
    """Take back steps, last first, going on past failures.

    Returns:
        One sentence for each step that could not be taken back.
    """
    backwards = [step for step in reversed(began) if step.inverse is not None]
    if not backwards:
        return []
    failures: list[str] = []
    with ctx.shielded().child(f"Roll back {plan.verb}") as task:
        for step in backwards:
            inverse = step.inverse
            assert inverse is not None
            try:
                await in_thread(f"undo-{step.id}", lambda step=step, inverse=inverse: _undo_one(task, perform, step, inverse))  # type: ignore[misc]
            except Exception as failure:  # the rest must still be taken back; the journal keeps what is left
                task.log(f"taking back '{step.title}' failed: {_text(failure)}", logging.ERROR)
                failures.append(f"'{step.title}': {_text(failure)}")
            else:
                if step.journaled:
                    _note_undone(task, journal, step)
    return failures


def _note_undone(task: TaskContext, journal: Journal, step: Step) -> None:
    try:
        journal.undone(step)
    except DiskFull as failure:  # what comes next must be taken back all the same; to take this back twice does no harm
        task.log(failure.message, logging.WARNING)


async def recover(run: DeadRun, ctx: TaskContext, perform: Perform) -> None:
    """Put right what a dead run left: undo it or finish it, as its plan says.

    Raises:
        RecoveryFailed: something could not be put right; the journal stays.
    """
    journal = Journal.reopen(run.path)
    steps = {step.id: step for step in run.plan.steps}
    if run.plan.recovery is Recovery.FINISH:
        await Runner(run.plan, ctx, journal, perform, skip=run.done, resumed=True).run()
        return
    failures = await undo(run.plan, ctx, journal, perform, [steps[step_id] for step_id in run.begun if step_id in steps])
    if failures:
        journal.close()
        raise RecoveryFailed(
            f"'{run.plan.verb}' could not be undone: {'; '.join(failures)}", hint="put the cause right, then: lagotui --run recover"
        )
    journal.end(Outcome.CANCELLED)


def _undo_one(task: TaskContext, perform: Perform, step: Step, inverse: Inverse) -> None:
    with task.child(f"Undo: {step.title}") as child:
        perform(child, inverse.kind, step.subject, inverse.args)


def _text(failure: BaseException) -> str:
    return str(failure) if isinstance(failure, EngineError | Cancelled) else f"{type(failure).__name__}: {failure}"


def _group_paths(step: Step) -> list[tuple[str, ...]]:
    """Return the groups of a step, outermost first."""
    return [step.group[:depth] for depth in range(1, len(step.group) + 1)]
