"""What is done inside machines, as runs: copying, collecting, deploying, commands, services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..context import TaskContext
from ..errors import Cancelled, CopyFailed, EngineError, GuestError, HostError, MachineStateError
from ..spec import ServiceState
from ..state.prefix import Prefix
from .changing import Changing
from .guest_steps import Guest, collect_machine, deploy_machine, extract
from .runs import Run, RunHandle
from .targets import ssh_target
from .threads import in_thread

if TYPE_CHECKING:
    from ..config import Settings
    from ..guest.services import Service
    from ..guest.session import Session
    from ..guest.ssh import CommandStatus

T = TypeVar("T")

SIDE_BY_SIDE = 16
"""Machines that are worked in at once."""
COMMAND_LIMIT_S = 24 * 3600.0
GREETING_TIMEOUTS_S = (0.3, 0.7)
"""For the connection, and for the first words."""


class GuestVerbs(Changing):
    """Works in machines that run. None of this changes the environment, and all of it may be done twice: there is nothing to take back."""

    settings: Settings

    def copy_to(self, env: Prefix, machine: str, local: Path, remote: str) -> RunHandle[None]:
        """Copy a file or a folder into a machine; into `remote`, where that is a folder."""

        def work(ctx: TaskContext, session: Session) -> None:
            from ..guest.files import copy_to

            copy_to(ctx, session, local, remote)

        return self._in_machine("copy-to-vm", f"Copy {local} to {machine}:{remote}", env, machine, work)

    def copy_from(self, env: Prefix, machine: str, remote: str, local: Path) -> RunHandle[None]:
        """Copy a file or a folder out of a machine; into `local`, where that is a folder."""

        def work(ctx: TaskContext, session: Session) -> None:
            from ..guest.files import copy_from

            copy_from(ctx, session, remote, local)

        return self._in_machine("copy-from-vm", f"Copy {machine}:{remote} to {local}", env, machine, work)

    def extract(self, env: Prefix, machine: str, paths: Mapping[str, Path], *, skip_missing: bool = False) -> RunHandle[None]:
        """Fetch files and folders of a machine, also of one that is down.

        Args:
            env: the environment.
            machine: of it.
            paths: path there → place here; the folder of the place must be there.
            skip_missing: what is not there is left out.
        """

        def work(ctx: TaskContext) -> None:
            guest = Guest(self.kit, env, env.machine(machine))
            for folder in dict.fromkeys(place.parent for place in paths.values()):
                names = {path: place.name for path, place in paths.items() if place.parent == folder}
                extract(ctx, guest, names, folder, skip_missing=skip_missing)

        async def body(run: Run) -> None:
            await in_thread("extract", lambda: work(run.ctx))

        return self._runs.start("extract", f"Extract paths of {machine}", None, body)

    def collect(self, env: Prefix, output: Path, machines: Sequence[str] = (), *, skip_missing: bool = True) -> RunHandle[None]:
        """Fetch what the init file lists as `artifacts` of machines to `output/<machine>/`, also from machines that are down.

        Args:
            env: the environment.
            output: made; what has the name already is renamed.
            machines: by name; all of them when none is named.
            skip_missing: an artifact that is not there is left out, and one of which not everything can be read is told.
        """

        async def body(run: Run) -> None:
            guests = await self._guests(env, machines)
            await in_thread("make", lambda: _make_output(run.ctx, output, env.path))

            def work(ctx: TaskContext, guest: Guest) -> None:
                collect_machine(ctx, guest, output / guest.spec.name, skip_missing=skip_missing)

            await _side_by_side(run.ctx, guests, lambda guest: f"Collect artifacts from {guest.spec.name}", work)

        return self._change("collect", "Collect artifacts", env, body)

    def deploy(self, env: Prefix, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Run the deploy scripts of machines, by default of all that have some; every machine goes on when another one fails."""

        async def body(run: Run) -> None:
            guests = [guest for guest in await self._guests(env, machines) if guest.scripts]
            down = await in_thread("look", lambda: [guest.spec.name for guest in guests if not guest.status.is_up])
            if down:
                raise MachineStateError(f"not running: {', '.join(down)}", hint=f"start with: lagotui --run start {' '.join(down)}")
            await _side_by_side(run.ctx, guests, lambda guest: f"Deploy VM {guest.spec.name}", deploy_machine)

        return self._change("deploy", "Deploy environment", env, body)

    def run_command(self, env: Prefix, machine: str, words: Sequence[str], data: bytes = b"") -> RunHandle[CommandStatus]:
        """Run a command in a machine; its words are joined by spaces, and read by the machine's shell."""
        command = " ".join(words)
        return self._in_machine(
            "command", f"Run {command}", env, machine, lambda ctx, session: session.run(ctx, command, data, COMMAND_LIMIT_S)
        )

    def run_script(self, env: Prefix, machine: str, script: Path) -> RunHandle[CommandStatus]:
        """Let a machine's bash read a script of this machine."""

        def work(ctx: TaskContext, session: Session) -> CommandStatus:
            try:
                content = script.read_bytes()
            except OSError as failure:
                raise CopyFailed(f"script '{script}' cannot be read: {failure.strerror}") from failure
            return session.run(ctx, "bash -s", content, COMMAND_LIMIT_S)

        return self._in_machine("script", f"Run script {script.name}", env, machine, work)

    def ssh_reachable(self, env: Prefix, machine: str, tries: int = 1) -> RunHandle[bool]:
        """Whether a machine lets us in by ssh."""

        def work(ctx: TaskContext) -> bool:
            try:
                with Guest(self.kit, env, env.machine(machine)).session(ctx, tries=tries):
                    return True
            except (GuestError, MachineStateError) as failure:
                ctx.log(failure.message)
                return False

        async def body(run: Run) -> bool:
            return await in_thread("reach", lambda: work(run.ctx))

        return self._runs.start("reach", f"Try ssh of {machine}", None, body)

    def speaks_ssh(self, env: Prefix, machine: str) -> bool:
        """Whether a machine's ssh server answers at once; whether it lets us in, nobody asks. Blocks for a second at most."""
        from ..guest.dial import speaks_ssh

        spec = env.machine(machine)
        target = ssh_target(env, spec, self.settings)
        try:
            return speaks_ssh(self.kit.dialer(env, spec), target.address, target.port, *GREETING_TIMEOUTS_S)
        except HostError:  # its host does not run: the caller goes the long way, which says so
            return False

    def service_state(self, env: Prefix, machine: str, name: str) -> RunHandle[ServiceState]:
        """Return whether a service of a machine is there, and whether it runs."""
        return self._with_service(f"Look at service {name} of {machine}", env, machine, name, lambda ctx, service: service.state(ctx))

    def service_start(self, env: Prefix, machine: str, name: str) -> RunHandle[None]:
        """Start a service of a machine, unless it runs."""
        return self._with_service(f"Start service {name} of {machine}", env, machine, name, lambda ctx, service: service.start(ctx))

    def service_stop(self, env: Prefix, machine: str, name: str) -> RunHandle[None]:
        """Stop a service of a machine, unless it does not run."""
        return self._with_service(f"Stop service {name} of {machine}", env, machine, name, lambda ctx, service: service.stop(ctx))

    def guest_agent(self, env: Prefix, machine: str) -> RunHandle[str]:
        """Return the name of the guest agent's service; "" when the machine has none."""

        def work(ctx: TaskContext, session: Session) -> str:
            from ..guest.services import find_guest_agent

            guest = Guest(self.kit, env, env.machine(machine))
            named = str(guest.spec.extra.get("guest-agent") or "")
            provider = guest.service(ctx, session, named or "qemu-guest-agent").provider
            return find_guest_agent(ctx, session, provider, named)

        return self._in_machine("service", f"Look for the guest agent of {machine}", env, machine, work)

    def distro(self, env: Prefix, machine: str) -> RunHandle[str]:
        """Return the distribution of a machine: what its spec says, else what it says itself, which is then kept."""

        def work(ctx: TaskContext, session: Session) -> str:
            from ..guest.services import find_distro

            guest = Guest(self.kit, env, env.machine(machine))
            return guest.spec.distro or find_distro(ctx, session)

        return self._in_machine("distro", f"Look at the distribution of {machine}", env, machine, work)

    def _with_service(self, title: str, env: Prefix, machine: str, name: str, work: Callable[[TaskContext, Service], T]) -> RunHandle[T]:
        def found(ctx: TaskContext, session: Session) -> T:
            return work(ctx, Guest(self.kit, env, env.machine(machine)).service(ctx, session, name))

        return self._in_machine("service", title, env, machine, found)

    def _in_machine(self, verb: str, title: str, env: Prefix, machine: str, work: Callable[[TaskContext, Session], T]) -> RunHandle[T]:
        """Log in to a machine that runs, and do something there; other runs may work on the environment meanwhile."""

        def logged_in(ctx: TaskContext) -> T:
            with Guest(self.kit, env, env.machine(machine)).session(ctx) as session:
                return work(ctx, session)

        async def body(run: Run) -> T:
            return await in_thread(verb, lambda: logged_in(run.ctx))

        return self._runs.start(verb, title, None, body)

    async def _guests(self, env: Prefix, machines: Sequence[str] = ()) -> list[Guest]:
        state = await self._state(env, machines)
        return [Guest(self.kit, env, state.machines[name].spec) for name in (machines or state.machines)]


async def _side_by_side(
    ctx: TaskContext, guests: Sequence[Guest], title: Callable[[Guest], str], work: Callable[[TaskContext, Guest], None]
) -> None:
    """Work in machines at once; one that fails holds up no other.

    Raises:
        EngineError: of the one that failed; of several, one that has all that they say.
    """
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    def one(guest: Guest) -> None:
        with ctx.child(title(guest)) as task:
            work(task, guest)

    async def bounded(guest: Guest) -> None:
        async with slots:
            ctx.raise_if_cancelled()
            await in_thread(guest.spec.name, lambda: one(guest))

    tasks: list[Coroutine[None, None, None]] = [bounded(guest) for guest in guests]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        if isinstance(failure, Cancelled) or not isinstance(failure, EngineError):
            raise failure
    if len(failures) == 1:
        raise failures[0]
    told = [failure for failure in failures if isinstance(failure, EngineError)]
    if told:
        kind = type(told[0]) if len({type(failure) for failure in told}) == 1 else GuestError
        hints = dict.fromkeys(failure.hint for failure in told if failure.hint)
        raise kind("; ".join(failure.message for failure in told), hint="; ".join(hints)) from told[0]


def _make_output(ctx: TaskContext, output: Path, env: Path) -> None:
    """Make the folder that artifacts go to; what was there before gets the time behind its name.

    Raises:
        CopyFailed: it cannot be made, or what would be renamed holds the environment or the current folder.
    """
    if not output.is_symlink() and any(place.is_relative_to(output.resolve()) for place in (env.resolve(), Path.cwd())):
        raise CopyFailed(f"'{output}' cannot be made anew: you, or the environment, are in it", hint="choose another with --output")
    try:
        if output.is_symlink() or output.exists():
            old = output.with_name(f"{output.name}.{time.strftime('%Y-%m-%d_%H:%M:%S')}")
            output.rename(old)
            ctx.log(f"'{output}' was there already: it is '{old}' now")
        output.mkdir(parents=True)
    except OSError as failure:
        raise CopyFailed(f"folder '{output}' cannot be made: {failure.strerror}", hint="choose another with --output") from failure
