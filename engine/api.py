"""The only door to the engine: verbs that return at once with a RunHandle, and looks that block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .bus import Bus
from .errors import SubnetTaken
from .events import EnvChanged
from .guest.forward import Forward
from .plan.destroy import plan_destroy
from .plan.diff import Change, EnvDiff, Fate, ItemDiff
from .plan.export import ExportRequest
from .plan.running import plan_stop, plan_up, plan_wait
from .plan.summary import DiskSummary, MachineSummary, Need, NetSummary, PlanSummary, TemplateSummary
from .providers.hosts import RealHosts
from .spec import EnvRef, ServiceState
from .state import known
from .state.prefix import Prefix, is_prefix
from .tasks.applying import prepare_changes, require_agreement
from .tasks.export_verbs import ExportVerbs
from .tasks.facts import InitRequest, read_remains
from .tasks.guest_verbs import GuestVerbs
from .tasks.looking import LeaseInfo, Looks, TemplateInfo
from .tasks.power_verbs import PowerVerbs
from .tasks.preparing import Kit, prepare_init
from .tasks.reach_verbs import ReachVerbs, SshWay
from .tasks.runs import Run, RunHandle, Runs, forget_pending, with_workdir
from .tasks.scope import WaitReady
from .tasks.snapshot_verbs import SnapshotInfo, SnapshotVerbs
from .tasks.targets import wait_until_ssh_answers
from .tasks.template_runs import TemplateRuns
from .tasks.threads import in_thread

if TYPE_CHECKING:
    from .config import Settings
    from .providers.hosts import Hosts

__all__ = [
    "Change",
    "DiskSummary",
    "Engine",
    "EnvDiff",
    "ExportRequest",
    "Fate",
    "Forward",
    "InitRequest",
    "ItemDiff",
    "LeaseInfo",
    "MachineSummary",
    "Need",
    "NetSummary",
    "PlanSummary",
    "RunHandle",
    "ServiceState",
    "SnapshotInfo",
    "SshWay",
    "TemplateInfo",
    "TemplateSummary",
]

LOST_RACES = 3
"""How often a lost race for a subnet is planned anew."""


class Engine(Looks, GuestVerbs, ExportVerbs, PowerVerbs, ReachVerbs, SnapshotVerbs):
    """Builds, runs and throws away environments. Making one opens nothing and starts nothing."""

    def __init__(self, settings: Settings, *, hosts: Hosts | None = None, wait_ready: WaitReady | None = None) -> None:
        """Prepare.

        Args:
            settings: of everything below.
            hosts: where machines run; None: real hosts, as the settings say.
            wait_ready: waits until a machine answers; None: until its ssh does.
        """
        self.settings = settings
        self.bus = Bus()
        self._runs = Runs(self.bus)
        self.kit = Kit(settings, hosts or RealHosts(settings), wait_ready or wait_until_ssh_answers)
        self._monitors: dict[str, Callable[[], None]] = {}
        self.images = TemplateRuns(self._runs, settings)
        """What is done with templates."""

    # --- verbs -------------------------------------------------------------------------------------------------

    def init(self, request: InitRequest) -> RunHandle[EnvRef]:
        """Make the prefix that an init file describes."""
        return self._runs.start("init", "Initialize and populate prefix", request.prefix, lambda run: self._init(run, request))

    def up(self, request: InitRequest) -> RunHandle[EnvRef]:
        """Make the prefix, or bring it to what a changed init file says; start everything, wait until it is ready."""

        async def body(run: Run) -> EnvRef:
            await self._put_right(run)
            if not is_prefix(request.prefix):
                with run.ctx.child("Initialize and populate prefix") as task:
                    await self._init(Run(task, run.prefix), request)
            else:
                await self._apply(run, request)
            prefix = Prefix.at(request.prefix)
            with run.ctx.child("Start Prefix") as task:
                await self._start(Run(task, run.prefix), prefix, (), wait_ssh=True)
            known.register(prefix.path, prefix.uuid, prefix.workdir)
            self.bus.publish(EnvChanged(env=str(prefix.path), exists=True))
            return prefix.ref

        return self._runs.start("up", "Bring up environment", request.prefix, body)

    def start(self, env: Prefix, machines: Sequence[str] = (), *, wait_ssh: bool = False) -> RunHandle[None]:
        """Start machines and the nets they use; all of them when none is named."""
        title = "Start specified VMs" if machines else "Start Prefix"
        return self._change("start", title, env, lambda run: self._start(run, env, machines, wait_ssh=wait_ssh))

    def stop(self, env: Prefix, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Stop machines at once; all of them, and all nets, when none is named."""
        title = "Stop specified VMs" if machines else "Stop prefix"
        return self._plan_and_do("stop", title, env, machines, lambda state: plan_stop(state, machines), releases=True)

    def wait_ssh(self, env: Prefix, machine: str) -> RunHandle[None]:
        """Wait until ssh answers on a machine."""

        async def body(run: Run) -> None:
            await self._do(run, plan_wait(await self._state(env, (machine,)), (machine,)))

        return self._runs.start("wait", f"Wait for ssh connectivity on {machine}", None, body)

    def destroy(self, env: Prefix) -> RunHandle[None]:
        """Throw the environment away; the caller has asked the user."""

        async def body(run: Run) -> None:
            whole = await in_thread("look", lambda: known.recalled(with_workdir(env), self.kit.leases))
            state = await in_thread("look", lambda: read_remains(whole, self.kit.hosts.peek, self.settings.libvirt_url))
            await in_thread("forget", lambda: forget_pending(whole))  # a destroy takes back everything anyway
            await self._do(run, plan_destroy(state))
            self.bus.publish(EnvChanged(env=str(env.path), exists=False))
            await self._release(run, state.host)

        return self._runs.start("destroy", "Destroy prefix", env.path, body)

    def recover(self, env: Prefix) -> RunHandle[list[str]]:
        """Put right what runs left that ended in the middle; return one sentence for each."""
        return self._runs.start("recover", "Recover", env.path, self._put_right)

    def build_template(self, name: str) -> RunHandle[Path]:
        """Put a template of the catalogue into the store."""

        async def body(run: Run) -> Path:
            catalogue, store = await in_thread("catalogue", self.kit.images)
            return await in_thread("build", lambda: store.fetch(run.ctx, catalogue.find(name)))

        return self._runs.start("template", f"Build template {name}", None, body)

    def watch(self, env: Prefix) -> None:
        """Push changes of the environment's machines and nets on the bus from now on."""
        from .monitor import monitor

        provider = self.kit.peek(env)
        key = str(env.path)
        if provider is not None and key not in self._monitors:
            self._monitors[key] = monitor(provider, env.ref, self.bus)

    def close(self) -> None:
        """Let go of hosts and threads; runs that still go on are left to `recover`."""
        for stop in self._monitors.values():
            stop()
        self._monitors.clear()
        self.kit.hosts.close()
        self._runs.stop()

    # --- inside --------------------------------------------------------------------------------------------------

    async def _init(self, run: Run, request: InitRequest) -> EnvRef:
        await self._put_right(run)
        for attempt in range(1, LOST_RACES + 1):
            plan, scope = await in_thread("plan", lambda: prepare_init(self.kit, run.ctx, request))
            try:
                await run.carry_out(plan, scope)
                break
            except SubnetTaken as lost:
                if attempt == LOST_RACES:
                    raise
                run.ctx.log(f"another environment was faster: {lost.message}; planning anew")
        self.bus.publish(EnvChanged(env=plan.prefix, exists=True))
        return EnvRef(plan.prefix, plan.uuid)

    async def _apply(self, run: Run, request: InitRequest) -> None:
        prepared = await in_thread("plan", lambda: prepare_changes(self.kit, run.ctx, request))
        if prepared is None:
            return
        require_agreement(prepared, request)
        with run.ctx.child("Apply changed init file") as task:
            for plan in prepared.plans:
                scope = self.kit.scope_of(plan)
                scope.catalogue, scope.store = prepared.images
                await Run(task, run.prefix).carry_out(plan, scope)

    async def _start(self, run: Run, env: Prefix, machines: Sequence[str], *, wait_ssh: bool) -> None:
        state = await self._state(env, machines)
        for plan in plan_up(state, machines, wait=wait_ssh):
            await self._do(run, plan)
