"""What can be seen of environments, templates and this machine, without changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import detached_task
from ..errors import MachineStateError, PrefixDamaged, WorkdirError
from ..plan.destroy import losses
from ..state import known
from ..state.leases import LeaseStore
from ..state.locks import lock_holder
from ..state.prefix import Prefix, is_prefix
from ..state.workdir import CURRENT, resolve
from .facts import InitRequest, read_remains, read_state
from .preparing import Kit, require_initialized
from .runs import half_made, pending_runs

if TYPE_CHECKING:
    from ..config import Settings
    from ..plan.diff import EnvDiff
    from ..plan.summary import PlanSummary
    from ..providers.base import ConsoleStream, HostCpu, HostInfo, MachineStats
    from ..spec import Json
    from ..state.env import EnvState
    from ..state.known import KnownEnv


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    repo: str
    name: str
    version: str
    in_store: bool
    size_bytes: int
    """In the store; 0 while it is not there."""
    metadata: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    subnet: str
    prefix: str
    """Path of the environment that holds it."""
    uuid: str
    valid: bool
    """False: the environment is gone, and whoever needs the subnet takes it."""


class Looks:
    """The looks of an engine; they block: call them from a thread."""

    settings: Settings
    kit: Kit

    def find(self, *, damaged: bool = False) -> Prefix:
        """Return the environment that the settings and the current folder point at, also one whose init died in the middle.

        Args:
            damaged: take it from a damaged workdir, too, or one that was deleted while its machines may still run.

        Raises:
            WorkdirError: there is none.
        """
        settings = self.settings
        try:
            return resolve(settings.workdir_path, settings.prefix_path, settings.prefix_name, damaged=damaged)
        except WorkdirError:
            start = Path.cwd() / (settings.workdir_path or "")
            found = half_made(start, settings.prefix_name)
            if found is None and damaged:
                found = known.vanished(start, "" if settings.prefix_name == CURRENT else settings.prefix_name)
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
            WorkdirError: it is a copy of another.
        """
        self.kit.require_original(env)
        if not is_prefix(env.path) and (pending := self.pending(env)):
            raise PrefixDamaged(f"'{env.path}' is half made: {pending[0]}", hint="lagotui --run recover")
        state = read_state(env, self.kit.hosts.peek, self.settings.libvirt_url, pending=tuple(self.pending(env)), lenient=True)
        require_initialized(env)
        return state

    def pending(self, env: Prefix) -> list[str]:
        """Return one sentence for each run that ended in the middle; none while a run holds the environment."""
        runs = pending_runs(env.path)
        return [run.sentence for run in runs] if runs and lock_holder(env.path) is None else []

    def stats(self, env: Prefix) -> Mapping[str, MachineStats]:
        """Read the load of all machines that are up, at once."""
        provider = self.kit.peek(env)
        return provider.stats(env.ref) if provider is not None else {}

    def host_info(self, env: Prefix) -> HostInfo | None:
        """Say what the environment runs on; None while its private world is not running."""
        provider = self.kit.peek(env)
        return provider.info() if provider is not None else None

    def host_cpu(self, env: Prefix) -> HostCpu:
        """Return the processor of the environment's host; unknown while its private world is not running."""
        from ..providers.base import HostCpu

        provider = self.kit.peek(env)
        return provider.host_cpu() if provider is not None else HostCpu("", "")

    def losses(self, env: Prefix) -> list[str]:
        """Say what a destroy would lose, one sentence each."""
        return list(losses(read_remains(known.recalled(env, self.kit.leases), self.kit.hosts.peek, self.settings.libvirt_url)))

    def console(self, env: Prefix, machine: str) -> AbstractContextManager[ConsoleStream]:
        """Open the serial console of a machine.

        Raises:
            MachineStateError: it does not run, or it exists without us.
        """
        if env.machine(machine).is_external:
            raise MachineStateError(
                f"machine '{machine}' exists without lagotui: it has no console here", hint=f"lagotui --run shell {machine}"
            )
        return self.kit.hosts.open(self.kit.host_of(env)).console(env.ref, machine)

    def ssh_command(self, env: Prefix, machine: str, words: Sequence[str] = (), *, tty: bool = False) -> list[str]:
        """Return the OpenSSH command line to a machine: host keys checked, through the host's way to its guests."""
        from ..guest.shell import ssh_command
        from .targets import ssh_target

        spec = env.machine(machine)
        proxy_command = self.kit.dialer(env, spec).proxy_command()
        return ssh_command(ssh_target(env, spec, self.settings), proxy_command, list(words), tty=tty)

    def enter_command(self, env: Prefix | None, words: Sequence[str]) -> list[str]:
        """Return the command line that runs `words` in the network of the guests."""
        return list(self.kit.hosts.open(self.kit.host_of(env)).enter_command(tuple(words)))

    def templates(self) -> list[TemplateInfo]:
        """Return the templates of the catalogue, and what of them is in the store."""
        catalogue, store = self.kit.images()
        stored = {(image.repo, image.name, image.version): image for image in store.listing()}
        infos = []
        for ref in catalogue.templates():
            image = stored.get((ref.repo, ref.name, ref.version))
            metadata = image.metadata if image else ref.source.known()
            infos.append(TemplateInfo(ref.repo, ref.name, ref.version, image is not None, image.size_bytes if image else 0, metadata))
        return infos

    def plan(self, request: InitRequest) -> PlanSummary:
        """Say what `up` would do; nothing is claimed, started or written.

        Raises:
            EngineError: it could not be done.
        """
        from .planning import plan_summary

        with detached_task() as ctx:
            return plan_summary(self.kit, ctx, request)

    def changes(self, request: InitRequest) -> tuple[EnvDiff, tuple[str, ...]]:
        """Return what an init file changes in the environment that is there, and what the user must agree to lose.

        Raises:
            EngineError: the file, or the environment, cannot be used.
        """
        from .applying import changes_of

        with detached_task() as ctx:
            return changes_of(self.kit, ctx, request)

    def generate_init(self, env: Prefix, without: Sequence[str] = ()) -> dict[str, Json]:
        """Return what an init file of the environment holds; what init fills in is left out.

        Args:
            env: the environment.
            without: paths of what else is left out: `domains/*/metadata`.

        Raises:
            InitFileError: a path leads nowhere.
        """
        from ..plan.generating import init_file, without_paths
        from .applying import made_from

        data = init_file(env.load_env(), made_from(self.kit, env))
        return without_paths(data, without)

    def leases(self) -> list[LeaseInfo]:
        """Return who holds which subnets, by subnet."""
        held = LeaseStore(self.settings.lease_dir).all()
        return [
            LeaseInfo(f"192.168.{octet}.0/24", str(Path(lease.uuid_path).parent), lease.uuid, lease.is_valid)
            for octet, lease in held.items()
        ]
