"""What every verb that changes an environment does around its plan: recovery first, then the plan, then the news."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..bus import Bus
from ..errors import DiskFull
from ..events import EnvChanged
from ..plan.model import Plan
from ..state import known
from ..state.prefix import Prefix
from .external_steps import IMPOSSIBLE, require_possible
from .preparing import Kit
from .runs import Run, RunHandle, Runs, pending_runs
from .threads import in_thread

if TYPE_CHECKING:
    from ..state.env import EnvState

T = TypeVar("T")


class Changing:
    """Base of the classes that hold the verbs of an engine, a class for each kind of verb."""

    bus: Bus
    kit: Kit
    _runs: Runs

    def _change(self, verb: str, title: str, env: Prefix, body: Callable[[Run], Awaitable[T]]) -> RunHandle[T]:
        async def recovered(run: Run) -> T:
            await self._put_right(run)
            result = await body(run)
            try:
                known.register(env.path, env.uuid, env.workdir)
            except DiskFull as failure:  # what was asked for is done
                run.ctx.log(failure.message, logging.WARNING)
            self.bus.publish(EnvChanged(env=str(env.path), exists=True))
            return result

        return self._runs.start(verb, title, env.path, recovered)

    def _plan_and_do(
        self,
        verb: str,
        title: str,
        env: Prefix,
        machines: Sequence[str],
        plan: Callable[[EnvState], Plan],
        *,
        releases: bool = False,
    ) -> RunHandle[None]:
        """Do what `plan` says of the environment as it is; with `releases` the host may end afterwards."""

        async def body(run: Run) -> None:
            state = await self._state(env, machines)
            await self._do(run, plan(state))
            if releases:
                await self._release(run, state.host)

        return self._change(verb, title, env, body)

    async def _do(self, run: Run, plan: Plan, then: Plan | None = None) -> None:
        scope = self.kit.scope_of(plan)
        if any(step.kind in IMPOSSIBLE for step in plan.steps):
            await in_thread("look", lambda: require_possible(plan, scope))
        await run.carry_out(plan, scope, then)

    async def _put_right(self, run: Run) -> list[str]:
        await in_thread("look", lambda: self.kit.require_original(Prefix.at(run.prefix)))
        dead = await in_thread("look", lambda: pending_runs(run.prefix))
        return await run.put_right(dead, self.kit.scope_of)

    async def _state(self, env: Prefix, machines: Sequence[str] = ()) -> EnvState:
        return await in_thread("look", lambda: self.kit.state(env, machines))

    async def _release(self, run: Run, host: str) -> None:
        provider = await in_thread("look", lambda: self.kit.hosts.peek(host))
        if provider is not None:
            await in_thread("release", lambda: provider.release(run.ctx))
