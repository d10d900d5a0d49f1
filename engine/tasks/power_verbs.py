"""Shutdown, reboot and cleanup, as runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plan.power import plan_cleanup, plan_reboot, plan_shutdown
from ..plan.running import plan_nets
from ..state.prefix import Prefix
from .changing import Changing
from .facts import read_remains
from .runs import Run, RunHandle
from .threads import in_thread

if TYPE_CHECKING:
    from ..config import Settings


class PowerVerbs(Changing):
    """Asks machines to go, instead of ending them."""

    settings: Settings

    def shutdown(self, env: Prefix, machines: Sequence[str] = (), *, reboot: bool = False) -> RunHandle[None]:
        """Let machines shut themselves down and wait until they are off; all of them, and all nets, when none is named.

        Args:
            env: the environment.
            machines: by name.
            reboot: let them restart instead; nobody waits for them, and nets stay.
        """
        if reboot:
            title = "Reboot specified VMs" if machines else "Reboot prefix"
            return self._plan_and_do("reboot", title, env, machines, lambda state: plan_reboot(state, machines))
        title = "Shutdown specified VMs" if machines else "Shutdown prefix"
        return self._plan_and_do("shutdown", title, env, machines, lambda state: plan_shutdown(state, machines), releases=True)

    def switch_nets(self, env: Prefix, nets: Sequence[str], *, up: bool) -> RunHandle[None]:
        """Start nets, or stop nets that no running machine uses, by name."""
        verb, title = ("start", "Start nets") if up else ("stop", "Stop nets")
        return self._plan_and_do(verb, title, env, (), lambda state: plan_nets(state, nets, up=up), releases=not up)

    def cleanup(self, env: Prefix) -> RunHandle[None]:
        """Stop everything, and mark the environment as not initialized; its files stay until it is destroyed."""

        async def body(run: Run) -> None:
            await self._put_right(run)
            state = await in_thread("look", lambda: read_remains(env, self.kit.hosts.peek, self.settings.libvirt_url))
            await self._do(run, plan_cleanup(state))
            await self._release(run, state.host)

        return self._runs.start("cleanup", "Cleanup prefix", env.path, body)
