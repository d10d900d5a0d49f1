"""From a request to a plan and the scope that it is carried out in. Blocking: run it on a thread."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Settings
from ..context import TaskContext
from ..errors import PrefixDamaged, PrefixExists, PrefixNotFound, UnknownMachine, WorkdirError
from ..guest.dial import Dialer, DirectDialer
from ..plan.init import plan_init
from ..plan.model import Inverse, Plan, Step, StepKind
from ..providers.base import Provider
from ..providers.hosts import ChosenHost, Hosts
from ..spec import EXTERNAL_PROVIDER, EnvSpec, MachineSpec, NetSpec
from ..state import known
from ..state.env import EnvState
from ..state.leases import LeaseStore
from ..state.prefix import Prefix, is_prefix, nearest_hint, new_uuid
from ..state.workdir import DEFAULT_WORKDIR
from .bootstrap_steps import require_tools
from .facts import InitRequest, addressed, read_init_file, read_state
from .init_facts import init_facts
from .scope import RunScope, WaitReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..images.catalogue import Catalogue
    from ..images.store import Store


@dataclass(frozen=True, slots=True)
class Kit:
    """What every plan of one engine is made with."""

    settings: Settings
    hosts: Hosts
    wait_ready: WaitReady

    def images(self) -> tuple[Catalogue, Store]:
        from ..images.catalogue import catalogue_of
        from ..images.store import Store

        return catalogue_of(self.settings), Store(self.settings.template_store)

    def scope(self, prefix: Path, uuid: str, host: str) -> RunScope:
        return RunScope(prefix, uuid, host, self.settings, self.hosts.open, self.hosts.peek, self.wait_ready)

    def scope_of(self, plan: Plan) -> RunScope:
        return self.scope(Path(plan.prefix), plan.uuid, plan.host)

    def host_of(self, env: Prefix | None) -> str:
        """Return the name of the host that an environment is on, or that a new one would be on.

        Raises:
            WorkdirError: it is a copy of another.
        """
        if env is not None:
            self.require_original(env)
        return (env.host if env is not None else "") or self.settings.libvirt_url

    def require_original(self, env: Prefix) -> None:
        """Raises: WorkdirError: the environment is a copy of one that is there still."""
        original = known.original_of(env, self.leases)
        if original is not None:
            raise WorkdirError(
                f"'{env.path}' is a copy of '{original}', whose machines and subnets it would take",
                hint=f"work in the original: lagotui --run -p {shlex.quote(str(original))} status; "
                "destroy ends this copy, and touches no machine; for a second environment, export the original and init from that",
            )

    @property
    def leases(self) -> LeaseStore:
        return LeaseStore(self.settings.lease_dir)

    def peek(self, env: Prefix) -> Provider | None:
        return self.hosts.peek(self.host_of(env))

    def dialer(self, env: Prefix, machine: MachineSpec) -> Dialer:
        """Return the way to a machine; its host need not run."""
        if machine.is_external:
            return DirectDialer()
        return self.hosts.dialer(self.host_of(env))

    def state(self, env: Prefix, machines: Sequence[str] = ()) -> EnvState:
        """Return an environment as it is now.

        Raises:
            PrefixNotFound: it is not there.
            PrefixDamaged: its init did not come to its end.
            UnknownMachine: it has no machine of one of these names.
            WorkdirError: it is a copy of another.
            HostError: its host cannot be reached.
        """
        self.require_original(env)
        require_initialized(env)
        state = read_state(env, self.hosts.peek, self.settings.libvirt_url)
        unknown = [name for name in machines if name not in state.machines]
        if unknown:
            raise UnknownMachine(f"no machine '{unknown[0]}' in '{env.path}'", hint=nearest_hint(unknown[0], state.machines))
        return state


def require_initialized(env: Prefix) -> None:
    """Raises: PrefixNotFound: there is nothing; PrefixDamaged: what is there is not initialized."""
    if not env.path.is_dir():
        raise PrefixNotFound(f"'{env.path}' is no environment")
    if not is_prefix(env.path):
        raise PrefixDamaged(
            f"'{env.path}' is not initialized: it was cleaned up, its init did not come to its end, or its file 'initialized' is gone"
        )


def refuse_remains(prefix: Path, provider: Provider | None) -> None:
    """Raises: PrefixExists: the folder of an environment was deleted here while it ran, and what ran of it still does."""
    gone = known.vanished(prefix.parent, prefix.name)
    if gone is None or provider is None:
        return
    left = [*sorted(provider.machine_states(gone.ref)), *(f"net {name}" for name in sorted(provider.active_nets(gone.ref)))]
    if left:
        raise PrefixExists(
            f"an environment was deleted from '{prefix}' while it ran, and still runs: {', '.join(left)}",
            hint=f"end it with: {_destroying(prefix)}",
        )


def _destroying(prefix: Path) -> str:
    """Return the command line that destroys this one: without its name it would be another one's."""
    workdir = [] if prefix.parent == Path.cwd() / DEFAULT_WORKDIR else ["-w", str(prefix.parent)]
    return shlex.join(["lagotui", "--run", *workdir, "-P", prefix.name, "destroy"])


def prepare_init(kit: Kit, ctx: TaskContext, request: InitRequest) -> tuple[Plan, RunScope]:
    """Plan a new prefix on the leases of this moment.

    Raises:
        PrefixExists: it is there already.
        EngineError: the init file, a template, an image or the host is not what is needed.
    """
    if is_prefix(request.prefix):
        raise PrefixExists(
            f"'{request.prefix}' is there already",
            hint=f"choose another with --prefix-name, or remove it with: {_destroying(request.prefix)}",
        )
    catalogue, store = kit.images()
    spec = read_init_file(ctx, request, catalogue, kit.settings, kit.hosts)
    host = chosen_host(kit, ctx, request, spec)
    refuse_remains(request.prefix, kit.hosts.peek(host.name))
    plan = init_plan(kit, ctx, request, spec, host, (catalogue, store), fetch=True)
    require_tools(plan.steps)
    scope = kit.scope_of(plan)
    scope.catalogue, scope.store = catalogue, store
    return plan, scope


def chosen_host(kit: Kit, ctx: TaskContext, request: InitRequest, spec: EnvSpec) -> ChosenHost:
    """Choose the host of a new environment; machines that exist without us need none.

    Raises:
        HostError: there is none, or it cannot read images there.
    """
    if spec.machines and not spec.nets and all(machine.is_external for machine in spec.machines.values()):
        return ChosenHost(EXTERNAL_PROVIDER, frozenset())
    return kit.hosts.choose(ctx, request.prefix)


def init_plan(
    kit: Kit,
    ctx: TaskContext,
    request: InitRequest,
    spec: EnvSpec,
    host: ChosenHost,
    images: tuple[Catalogue, Store],
    *,
    fetch: bool = False,
) -> Plan:
    """Plan a new prefix for what an init file says; claims nothing. Archives of machines are downloaded with `fetch` only."""
    uuid = new_uuid()
    spec = addressed(spec, uuid, kit.settings, host.used_subnets)
    facts = init_facts(ctx, request, spec, *images, uuid=uuid, host=host.name, fetch=fetch)
    return _remembering(plan_init(spec, facts), request)


def _remembering(plan: Plan, request: InitRequest) -> Plan:
    """Return the plan with a step that keeps the init file in the prefix, before its last one."""
    *steps, finish = plan.steps
    keep = keep_init_file(request, None, after=("make-prefix",))
    return replace(plan, steps=(*steps, keep, replace(finish, after=(*finish.after, keep.id))))


def env_of(plan: Plan) -> EnvSpec:
    """Return the environment that a plan of an init will have made."""
    saved = next(step.args for step in plan.steps if step.kind is StepKind.SAVE_ENV)
    machines = (MachineSpec.from_json(machine) for machine in saved["machines"])
    nets = (NetSpec.from_json(net) for net in saved["nets"])
    return EnvSpec({machine.name: machine for machine in machines}, {net.name: net for net in nets})


def keep_init_file(request: InitRequest, before: tuple[str, str] | None, after: tuple[str, ...] = ()) -> Step:
    """Return the step that remembers what a prefix was made from; `before` are the path and the text that it remembers now."""
    args = {"path": str(request.init_file.absolute()), "text": request.read()}
    inverse = Inverse(StepKind.KEEP_INIT_FILE, {"path": before[0], "text": before[1]}) if before else None
    return Step(
        "keep-init-file", StepKind.KEEP_INIT_FILE, request.init_file.name, "Save init file", args=args, after=after, inverse=inverse
    )
