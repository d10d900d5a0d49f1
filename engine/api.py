"""The only door to the engine: verbs that return at once with a RunHandle, and looks that block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .bus import Bus
from .errors import PrefixDamaged, PrefixExists, PrefixNotFound, SubnetTaken, UnknownMachine, WorkdirNotFound
from .events import EnvChanged
from .plan.destroy import losses, plan_destroy
from .plan.init import plan_init
from .plan.model import Plan
from .plan.running import plan_start, plan_stop, plan_wait
from .plan.snapshots import plan_revert, plan_snapshot
from .spec import EnvRef
from .state import known
from .state.locks import lock_holder
from .state.prefix import Prefix, is_prefix, nearest_hint, new_uuid
from .state.workdir import resolve
from .tasks.facts import InitRequest, addressed, init_facts, read_init_file, read_remains, read_state
from .tasks.runs import Run, RunHandle, Runs, forget_pending, half_made, pending_runs, with_workdir
from .tasks.scope import RunScope, WaitReady
from .tasks.threads import in_thread

if TYPE_CHECKING:
    from .config import Settings
    from .images.catalogue import Catalogue
    from .images.store import Store
    from .providers.base import ConsoleStream, HostInfo, MachineStats, Provider
    from .providers.hosts import Hosts
    from .spec import Json
    from .state.env import EnvState
    from .state.known import KnownEnv

__all__ = ["Engine", "InitRequest", "RunHandle", "TemplateInfo"]

T = TypeVar("T")

LOST_RACES = 3
"""How often a lost race for a subnet is planned anew."""


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    repo: str
    name: str
    version: str
    in_store: bool
    size_bytes: int
    """In the store; 0 while it is not there."""
    metadata: Mapping[str, Json]


class Engine:
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
        self._made_hosts = hosts
        self._wait_ready = wait_ready
        self._monitors: dict[str, Callable[[], None]] = {}

    # --- verbs -------------------------------------------------------------------------------------------------

    def init(self, request: InitRequest) -> RunHandle[EnvRef]:
        """Make the prefix that an init file describes."""
        return self._runs.start("init", "Initialize and populate prefix", request.prefix, lambda run: self._init(run, request))

    def up(self, request: InitRequest) -> RunHandle[EnvRef]:
        """Make the prefix if it is not there, start everything, wait until ssh answers."""

        async def body(run: Run) -> EnvRef:
            await self._put_right(run)
            if not is_prefix(request.prefix):
                with run.ctx.child("Initialize and populate prefix") as task:
                    await self._init(Run(task, run.prefix), request)
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
        return self._plan_and_do("stop", title, env, machines, lambda state: plan_stop(state, machines))

    def wait_ssh(self, env: Prefix, machine: str) -> RunHandle[None]:
        """Wait until ssh answers on a machine."""

        async def body(run: Run) -> None:
            await self._do(run, plan_wait(await self._known_state(env, (machine,)), (machine,)))

        return self._runs.start("wait", f"Wait for ssh connectivity on {machine}", None, body)

    def snapshot(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Freeze the disks of machines under a name; all of them when none is named."""
        return self._plan_and_do("snapshot", f"Create snapshot {name}", env, machines, lambda state: plan_snapshot(state, name, machines))

    def revert(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Go back to a snapshot; what was written since is lost."""
        title = f"Revert to snapshot {name}"
        return self._plan_and_do("revert", title, env, machines, lambda state: plan_revert(state, name, machines))

    def destroy(self, env: Prefix) -> RunHandle[None]:
        """Throw the environment away; the caller has asked the user."""

        async def body(run: Run) -> None:
            whole = await in_thread("look", lambda: with_workdir(env))
            state = await in_thread("look", lambda: read_remains(whole, self._hosts.peek, self._default_host))
            await in_thread("forget", lambda: forget_pending(env))  # a destroy takes back everything anyway
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
            catalogue, store = await in_thread("catalogue", self._images)
            return await in_thread("build", lambda: store.fetch(run.ctx, catalogue.find(name)))

        return self._runs.start("template", f"Build template {name}", None, body)

    # --- looks: they block, call them from a thread ----------------------------------------------------------------

    def find(self) -> Prefix:
        """Return the environment that the settings and the current folder point at, also one whose init died in the middle.

        Raises:
            WorkdirError: there is none.
        """
        settings = self.settings
        try:
            return resolve(settings.workdir_path, settings.prefix_path, settings.prefix_name)
        except (WorkdirNotFound, PrefixNotFound):
            found = half_made(Path.cwd() / (settings.workdir_path or ""), settings.prefix_name)
            if found is None:
                raise
            return found

    def environments(self) -> list[KnownEnv]:
        """Return the environments known on this machine, the last used first."""
        return known.known_environments()

    def state(self, env: Prefix) -> EnvState:
        """Return an environment as it is now.

        Raises:
            PrefixDamaged: its files cannot be read, or its init died in the middle.
        """
        if not is_prefix(env.path) and (pending := self.pending(env)):
            raise PrefixDamaged(f"'{env.path}' is half made: {pending[0]}", hint="lagotui --run recover")
        return read_state(env, self._hosts.peek, self._default_host, pending=tuple(self.pending(env)), lenient=True)

    def pending(self, env: Prefix) -> list[str]:
        """Return one sentence for each run that ended in the middle; none while a run holds the environment."""
        runs = pending_runs(env.path)
        return [run.sentence for run in runs] if runs and lock_holder(env.path) is None else []

    def stats(self, env: Prefix) -> Mapping[str, MachineStats]:
        """Read the load of all machines that are up, at once."""
        provider = self._peek(env)
        return provider.stats(env.ref) if provider is not None else {}

    def host_info(self, env: Prefix) -> HostInfo | None:
        """Say what the environment runs on; None while its private world is not running."""
        provider = self._peek(env)
        return provider.info() if provider is not None else None

    def watch(self, env: Prefix) -> None:
        """Push changes of the environment's machines and nets on the bus from now on."""
        from .monitor import monitor

        provider = self._peek(env)
        key = str(env.path)
        if provider is not None and key not in self._monitors:
            self._monitors[key] = monitor(provider, env.ref, self.bus)

    def losses(self, env: Prefix) -> list[str]:
        """Say what a destroy would lose, one sentence each."""
        return list(losses(read_remains(env, self._hosts.peek, self._default_host)))

    def console(self, env: Prefix, machine: str) -> AbstractContextManager[ConsoleStream]:
        """Open the serial console of a machine."""
        env.machine(machine)
        return self._hosts.open(env.host or self._default_host).console(env.ref, machine)

    def ssh_command(self, env: Prefix, machine: str, words: Sequence[str] = (), *, tty: bool = False) -> list[str]:
        """Return the OpenSSH command line to a machine: host keys checked, through the host's way to its guests."""
        from .guest.shell import ssh_command
        from .tasks.targets import ssh_target

        dialer = self._hosts.open(env.host or self._default_host).dialer()
        return ssh_command(ssh_target(env, env.machine(machine), self.settings), dialer.proxy_command(), list(words), tty=tty)

    def enter_command(self, env: Prefix | None, words: Sequence[str]) -> list[str]:
        """Return the command line that runs `words` in the network of the guests."""
        host = env.host if env is not None and env.host else self._default_host
        return list(self._hosts.open(host).enter_command(tuple(words)))

    def templates(self) -> list[TemplateInfo]:
        """Return the templates of the catalogue, and what of them is in the store."""
        catalogue, store = self._images()
        stored = {(image.repo, image.name, image.version): image for image in store.listing()}
        infos = []
        for ref in catalogue.templates():
            image = stored.get((ref.repo, ref.name, ref.version))
            metadata = image.metadata if image else ref.source.metadata()
            infos.append(TemplateInfo(ref.repo, ref.name, ref.version, image is not None, image.size_bytes if image else 0, metadata))
        return infos

    def close(self) -> None:
        """Let go of hosts and threads; runs that still go on are left to `recover`."""
        for stop in self._monitors.values():
            stop()
        self._monitors.clear()
        if self._made_hosts is not None:
            self._made_hosts.close()
        self._runs.stop()

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def _hosts(self) -> Hosts:
        if self._made_hosts is None:
            from .providers.hosts import RealHosts

            self._made_hosts = RealHosts(self.settings)
        return self._made_hosts

    @property
    def _default_host(self) -> str:
        return self.settings.libvirt_url

    def _peek(self, env: Prefix) -> Provider | None:
        return self._hosts.peek(env.host or self._default_host)

    def _images(self) -> tuple[Catalogue, Store]:
        from .images.catalogue import load_catalogue
        from .images.store import Store

        return load_catalogue(self.settings.template_repo_path), Store(self.settings.template_store)

    def _change(self, verb: str, title: str, env: Prefix, body: Callable[[Run], Awaitable[T]]) -> RunHandle[T]:
        async def recovered(run: Run) -> T:
            await self._put_right(run)
            result = await body(run)
            known.register(env.path, env.uuid, env.workdir)
            self.bus.publish(EnvChanged(env=str(env.path), exists=True))
            return result

        return self._runs.start(verb, title, env.path, recovered)

    def _plan_and_do(
        self, verb: str, title: str, env: Prefix, machines: Sequence[str], plan: Callable[[EnvState], Plan]
    ) -> RunHandle[None]:
        async def body(run: Run) -> None:
            state = await self._known_state(env, machines)
            await self._do(run, plan(state))
            if verb == "stop":
                await self._release(run, state.host)

        return self._change(verb, title, env, body)

    async def _init(self, run: Run, request: InitRequest) -> EnvRef:
        await self._put_right(run)
        for attempt in range(1, LOST_RACES + 1):
            plan, scope = await in_thread("plan", lambda: self._plan_init(run, request))
            try:
                await run.carry_out(plan, scope)
                break
            except SubnetTaken as lost:
                if attempt == LOST_RACES:
                    raise
                run.ctx.log(f"another environment was faster: {lost.message}; planning anew")
        self.bus.publish(EnvChanged(env=plan.prefix, exists=True))
        return EnvRef(plan.prefix, plan.uuid)

    def _plan_init(self, run: Run, request: InitRequest) -> tuple[Plan, RunScope]:
        if is_prefix(request.prefix):
            raise PrefixExists(f"'{request.prefix}' is there already")
        catalogue, store = self._images()
        spec = read_init_file(run.ctx, request, catalogue)
        uuid = new_uuid()
        host = self._hosts.choose(run.ctx, request.prefix)
        spec = addressed(spec, uuid, self.settings, host.used_subnets)
        facts = init_facts(run.ctx, request, spec, catalogue, store, uuid=uuid, host=host.name)
        scope = self._scope(request.prefix, uuid, host.name)
        scope.catalogue, scope.store = catalogue, store
        return plan_init(spec, facts), scope

    async def _start(self, run: Run, env: Prefix, machines: Sequence[str], *, wait_ssh: bool) -> None:
        state = await self._known_state(env, machines)
        await self._do(run, plan_start(state, machines))
        if wait_ssh:
            await self._do(run, plan_wait(state, machines))

    async def _do(self, run: Run, plan: Plan) -> None:
        await run.carry_out(plan, self._scope(Path(plan.prefix), plan.uuid, plan.host))

    async def _put_right(self, run: Run) -> list[str]:
        dead = await in_thread("look", lambda: pending_runs(run.prefix))
        return await run.put_right(dead, lambda plan: self._scope(Path(plan.prefix), plan.uuid, plan.host))

    async def _known_state(self, env: Prefix, machines: Sequence[str]) -> EnvState:
        if not is_prefix(env.path):
            raise PrefixNotFound(f"'{env.path}' is no environment")
        state = await in_thread("look", lambda: read_state(env, self._hosts.peek, self._default_host))
        unknown = [name for name in machines if name not in state.machines]
        if unknown:
            raise UnknownMachine(f"no machine '{unknown[0]}' in '{env.path}'", hint=nearest_hint(unknown[0], state.machines))
        return state

    async def _release(self, run: Run, host: str) -> None:
        provider = await in_thread("look", lambda: self._hosts.peek(host))
        if provider is not None:
            await in_thread("release", lambda: provider.release(run.ctx))

    def _scope(self, prefix: Path, uuid: str, host: str) -> RunScope:
        from .tasks.targets import wait_until_ssh_answers

        wait = self._wait_ready or wait_until_ssh_answers
        return RunScope(prefix, uuid, host, self.settings, self._hosts.open, self._hosts.peek, wait)
