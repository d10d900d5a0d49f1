"""What is done in one machine of an environment, on a thread of its own: the way to it, collecting, deploying."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import CopyFailed, DeployFailed, GuestError, MachineStateError, PathNotFound, PrefixBusy
from ..plan.scripts import KEY
from ..spec import MachineSpec, MachineStatus
from ..state.locks import prefix_lock
from ..state.prefix import Prefix
from .preparing import Kit
from .targets import ssh_target

if TYPE_CHECKING:
    from ..guest.services import Service
    from ..guest.session import Session, Way

COLLECT_PATIENCE_S = 15.0
"""How long `collect` waits for a machine that does not answer, before it looks at its disk."""
OLD_KEY = "ovirt-scripts"


@dataclass(frozen=True, slots=True)
class Guest:
    """One machine of an environment, as something to get into."""

    kit: Kit
    env: Prefix
    spec: MachineSpec

    @property
    def status(self) -> MachineStatus:
        if self.spec.is_external:
            from ..providers.external.reaching import states

            return states([self.spec])[self.spec.name]
        provider = self.kit.peek(self.env)
        return provider.machine_states(self.env.ref).get(self.spec.name, MachineStatus.DOWN) if provider else MachineStatus.DOWN

    def way(self) -> Way:
        from ..guest.session import Way

        target = ssh_target(self.env, self.spec, self.kit.settings)
        return Way(target, self.kit.dialer(self.env, self.spec), lambda: self.status)

    def session(self, ctx: TaskContext, tries: int | None = None, patience_s: float | None = None) -> AbstractContextManager[Session]:
        """Log in; a machine that is still coming up is waited for."""
        from ..guest.session import session

        settings = self.kit.settings
        return session(
            ctx,
            self.way(),
            tries=tries or settings.ssh_tries,
            timeout_s=settings.ssh_timeout,
            patience_s=patience_s or self.spec.boot_time_s,
        )

    @property
    def scripts(self) -> tuple[Path, ...]:
        """Deploy scripts in this prefix, in their order."""
        return tuple(Path(script) for script in self.spec.metadata.get(KEY) or self.spec.metadata.get(OLD_KEY) or ())

    @property
    def secrets(self) -> tuple[str, ...]:
        settings, spec = self.kit.settings, self.spec
        given = (spec.root_password, spec.ssh_password, settings.root_password, settings.ssh_password)
        return tuple(secret for secret in given if secret)

    @property
    def artifacts(self) -> tuple[str, ...]:
        return tuple(self.spec.extra.get("artifacts") or ())

    def service(self, ctx: TaskContext, session: Session, name: str) -> Service:
        """Return a service; what manages them is found out once, and kept."""
        from ..guest.services import PROVIDERS, Service, find_provider

        provider = self.spec.extra.get("service_provider")
        if provider not in PROVIDERS:
            provider = find_provider(ctx, session)
            self.remember({"service_provider": provider})
        return Service(session, str(provider), name)

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep what was found out about the machine; while another run holds the environment, the next one finds it out again."""
        with contextlib.suppress(PrefixBusy), prefix_lock(self.env.path, "service"):
            spec = self.env.machine(self.spec.name)
            self.env.save_machine(replace(spec, extra={**spec.extra, **facts}))


# --- deploy ------------------------------------------------------------------------------------------------------


def deploy_machine(ctx: TaskContext, guest: Guest) -> None:
    """Run the deploy scripts of a machine, one after the other; the first that fails is the last.

    Raises:
        DeployFailed: a script ended with an error, or is not in the prefix.
        MachineStateError: the machine went down meanwhile.
        GuestError: it does not answer, or does not let us in.
    """
    from ..guest.scripts import run_script

    name = guest.spec.name
    contents = [(script, _read(name, script)) for script in guest.scripts]
    with contextlib.ExitStack() as held:
        with ctx.child("Wait for ssh connectivity") as task:
            session = held.enter_context(guest.session(task))
        for script, content in contents:
            with ctx.child(f"Run script {script.name}") as task:
                end = run_script(task, session, content, guest.secrets)
                if end.code != 0:
                    said = "\n".join(f"    {line}" for line in end.last_lines) or "    (nothing)"
                    raise DeployFailed(f"'{name}': script '{script.name}' ended with exit code {end.code}; it said last:\n{said}")


def _read(machine: str, script: Path) -> bytes:
    try:
        return script.read_bytes()
    except OSError as failure:
        raise DeployFailed(f"'{machine}': script '{script}' cannot be read: {failure.strerror}") from failure


# --- collect -----------------------------------------------------------------------------------------------------


def collect_machine(ctx: TaskContext, guest: Guest, folder: Path, *, skip_missing: bool) -> None:
    """Fetch the artifacts of a machine into a folder. Raises: as `extract`."""
    folder.mkdir(parents=True, exist_ok=True)
    extract(ctx, guest, artifact_names(guest.artifacts), folder, skip_missing=skip_missing)


def extract(ctx: TaskContext, guest: Guest, names: Mapping[str, str], folder: Path, *, skip_missing: bool) -> None:
    """Fetch files and folders of a machine, by ssh, or from the disk of a machine that is down.

    Args:
        ctx: of the task.
        guest: the machine.
        names: path there → name in `folder`.
        folder: it is there.
        skip_missing: what is not there is left out.

    Raises:
        PathNotFound: one is not there, and `skip_missing` is not set.
        CopyFailed: some of it could not be copied, and `skip_missing` is not set.
        MachineStateError: the machine runs and does not let us in: nobody reads the disk of a running machine.
    """
    if not names:
        return
    missing = _collect(ctx, guest, names, folder, strict=not skip_missing)
    for path in missing:
        ctx.log(f"there is no '{path}' in '{guest.spec.name}': left out")
    if missing and not skip_missing:
        raise PathNotFound(f"there is no '{missing[0]}' in '{guest.spec.name}'", hint="without --no-skip it is left out")


def artifact_names(paths: Sequence[str]) -> dict[str, str]:
    """Return path in the guest → its name in the folder of the machine: `_` for `/`."""
    return {path: path.replace("/", "_") for path in paths if path.strip("/.")}


def _collect(ctx: TaskContext, guest: Guest, names: Mapping[str, str], folder: Path, *, strict: bool) -> list[str]:
    from ..guest.files import fetch

    is_up = guest.status.is_up
    if is_up and not guest.spec.ip:
        raise MachineStateError(f"'{guest.spec.name}' runs and has no address for ssh; nobody can read the disk of a running machine")
    if is_up:
        try:
            with guest.session(ctx, patience_s=COLLECT_PATIENCE_S) as session:
                return fetch(ctx, session, names, folder, strict=strict)
        except (CopyFailed, MachineStateError) as failure:
            if isinstance(failure, CopyFailed) or guest.status.is_up:
                raise
            ctx.log(f"{failure.message}; its disk is read instead")
        except GuestError as failure:
            if guest.status.is_up:
                raise MachineStateError(
                    f"{failure.message}; and nobody can read the disk of a running machine",
                    hint=f"stop it and collect again: lagotui --run stop {guest.spec.name}",
                ) from failure
    return _collect_offline(ctx, guest, names, folder)


def _collect_offline(ctx: TaskContext, guest: Guest, names: Mapping[str, str], folder: Path) -> list[str]:
    from ..images.guestfs import GuestDisk, copy_out

    disk = next((disk for disk in guest.spec.disks if disk.path), None)
    if disk is None or disk.path is None:
        raise MachineStateError(f"'{guest.spec.name}' is down and has no disk to look at")
    ctx.log(f"'{guest.spec.name}' is down: reading its disk '{disk.path}'")
    with tempfile.TemporaryDirectory(prefix=".lagotui-", dir=folder) as scratch:
        root = str(disk.metadata.get("root-partition") or "")
        found = copy_out(ctx, GuestDisk(Path(disk.path), disk.format), list(names), Path(scratch), root)
        for path, place in found.items():
            _put(place, folder / names[path])
    return [path for path in names if path not in found]


def _put(found: Path, place: Path) -> None:
    """Move what was fetched to its place; half of it may be there from a machine that went down meanwhile."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    found.replace(place)
