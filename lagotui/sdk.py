"""The public import for programs: the engine's own names, and environments as objects for scripts.

    from lagotui import sdk

    with sdk.init("LagoInitFile", workdir="work") as env:
        env.start()
        vm = env.get_vms()["vm0"]
        print(vm.ip(), vm.ssh(["hostname"]).out)
        env.destroy()

Everything else that is listed in `__all__` is the engine's, loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from engine import errors, events
    from engine.api import Engine, EnvDiff, InitRequest, LeaseInfo, PlanSummary, RunHandle, TemplateInfo
    from engine.config import Settings, load_settings
    from engine.initfile import Diagnostic
    from engine.spec import DiskSpec, EnvSpec, MachineSpec, MachineStatus, NetSpec, NicSpec
    from engine.state.env import EnvState, MachineState, NetState
    from engine.state.prefix import Prefix
    from engine.tasktree import TaskTree

__all__ = [
    "SDK",
    "VM",
    "CommandStatus",
    "Diagnostic",
    "DiskSpec",
    "Engine",
    "EnvDiff",
    "EnvSpec",
    "EnvState",
    "InitRequest",
    "LeaseInfo",
    "MachineSpec",
    "MachineState",
    "MachineStatus",
    "Net",
    "NetSpec",
    "NetState",
    "NicSpec",
    "PlanSummary",
    "Prefix",
    "RunHandle",
    "Settings",
    "TaskTree",
    "TemplateInfo",
    "check",
    "errors",
    "events",
    "init",
    "load_env",
    "load_settings",
]

_HOMES = {
    "engine.api": ("Engine", "EnvDiff", "InitRequest", "LeaseInfo", "PlanSummary", "RunHandle", "TemplateInfo"),
    "engine.config": ("Settings", "load_settings"),
    "engine.initfile": ("Diagnostic",),
    "engine.spec": ("DiskSpec", "EnvSpec", "MachineSpec", "MachineStatus", "NetSpec", "NicSpec"),
    "engine.state.env": ("EnvState", "MachineState", "NetState"),
    "engine.state.prefix": ("Prefix",),
    "engine.tasktree": ("TaskTree",),
}

_MODULES = {"errors": "engine.errors", "events": "engine.events"}

_SSH_TIMEOUT_S = 600.0


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'lagotui.sdk' has no attribute '{name}'")
    return getattr(import_module(home), name)


def init(
    config: str | Path,
    workdir: str | Path | None = None,
    *,
    prefix_name: str = "default",
    skip_bootstrap: bool = False,
    **settings: object,
) -> SDK:
    """Make an environment.

    Args:
        config: the init file.
        workdir: where to make it; None: `.lago` in the current folder.
        prefix_name: its name in the workdir.
        skip_bootstrap: leave the guests' disks as the template has them.
        settings: by the names of the configuration, e.g. `template_repo_path`, `libvirt_url`.

    Raises:
        EngineError: it cannot be made; nothing is left of it.
    """
    from engine.api import Engine, InitRequest
    from engine.config import load_settings
    from engine.state.prefix import Prefix

    request = InitRequest(
        workdir=Path(workdir or ".lago").absolute(),
        prefix_name=prefix_name,
        init_file=Path(config).absolute(),
        skip_bootstrap=skip_bootstrap,
    )
    engine = Engine(load_settings(settings, verb="init"))
    try:
        engine.init(request).result()
    except BaseException:
        engine.close()
        raise
    return SDK(engine, Prefix.at(request.prefix))


def check(config: str | Path = "LagoInitFile", text: str | None = None, **settings: object) -> tuple[Diagnostic, ...]:
    """Return everything there is to say about an init file, in its order: errors, warnings and infos. Nothing is made or started.

    Args:
        config: the init file.
        text: its content where it is known already; else the file is read.
        settings: by the names of the configuration, e.g. `template_repo_path`.
    """
    from engine.config import load_settings
    from engine.tasks.checking import check_file

    return check_file(load_settings(settings, verb="init"), config, text)


def load_env(workdir: str | Path | None = None, *, prefix_name: str = "current", **settings: object) -> SDK:
    """Open an environment that is there.

    Args:
        workdir: where the search for it begins; None: the current folder.
        prefix_name: its name in the workdir.
        settings: by the names of the configuration.

    Raises:
        WorkdirError: there is none.
    """
    from engine.api import Engine
    from engine.config import load_settings
    from engine.state.workdir import Workdir

    env = Workdir.find(Path(workdir or ".")).prefix(prefix_name)
    return SDK(Engine(load_settings(settings)), env)


class SDK:
    """One environment. Close it when it is no longer needed, or use it in a `with`; its machines run on."""

    def __init__(self, engine: Engine, prefix: Prefix) -> None:
        self.engine = engine
        self.prefix = prefix

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def start(self, vm_names: Sequence[str] | None = None) -> None:
        """Start machines and their nets; all of them without names. Does not wait for ssh."""
        self.engine.start(self.prefix, vm_names or ()).result()

    def stop(self, vm_names: Sequence[str] | None = None) -> None:
        """Stop machines at once; all of them, and all nets, without names."""
        self.engine.stop(self.prefix, vm_names or ()).result()

    def snapshot(self, name: str) -> None:
        """Freeze the disks of all machines under a name."""
        self.engine.snapshot(self.prefix, name).result()

    def revert(self, name: str) -> None:
        """Go back to a snapshot."""
        self.engine.revert(self.prefix, name).result()

    def destroy(self) -> None:
        """Destroy every environment of the workdir."""
        from engine.state.workdir import Workdir

        workdir = self.prefix.workdir
        for prefix in Workdir.at(workdir).prefixes if workdir else (self.prefix,):
            self.engine.destroy(prefix).result()

    def state(self) -> EnvState:
        """Return the whole environment as it is now."""
        return self.engine.state(self.prefix)

    def get_vms(self) -> dict[str, VM]:
        """Return the machines by name."""
        return {name: VM(self, name) for name in self.prefix.load_env().machines}

    def get_nets(self) -> dict[str, Net]:
        """Return the nets by name."""
        return {name: Net(self, name) for name in self.prefix.load_env().nets}


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """How a command in a machine ended."""

    code: int
    out: bytes
    err: bytes

    def __bool__(self) -> bool:
        """True when it failed, as shells count."""
        return self.code != 0


class VM:
    """One machine of an environment."""

    def __init__(self, env: SDK, name: str) -> None:
        self._env = env
        self._name = name

    @property
    def spec(self) -> MachineSpec:
        """What it is made of, read anew each time."""
        return self._env.prefix.machine(self._name)

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.spec.metadata

    @property
    def groups(self) -> tuple[str, ...]:
        return self.spec.groups

    def name(self) -> str:
        return self._name

    def ip(self) -> str | None:
        """Return the address on the management net, None when it has none."""
        return self.spec.ip

    def all_ips(self) -> list[str]:
        return [nic.ip for nic in self.spec.nics if nic.ip]

    def nets(self) -> list[str]:
        return [nic.net for nic in self.spec.nics]

    def state(self) -> str:
        """Return its state in the predecessor's words."""
        return self._env.state().machines[self._name].status.value

    def running(self) -> bool:
        return self.state() == "running"

    def start(self) -> None:
        self._env.start([self._name])

    def stop(self) -> None:
        self._env.stop([self._name])

    def wait_for_ssh(self) -> None:
        """Wait until ssh answers.

        Raises:
            SshTimeout: it did not; the error says what is known of the machine.
        """
        self._env.engine.wait_ssh(self._env.prefix, self._name).result()

    def ssh(self, command: Sequence[str], *, data: bytes = b"", timeout_s: float = _SSH_TIMEOUT_S) -> CommandStatus:
        """Run a command, its words joined by spaces as a shell in the machine reads them.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        import subprocess

        argv = self._env.engine.ssh_command(self._env.prefix, self._name, command)
        done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout_s, check=False)
        return CommandStatus(done.returncode, done.stdout, done.stderr)


class Net:
    """One net of an environment."""

    def __init__(self, env: SDK, name: str) -> None:
        self._env = env
        self._name = name

    @cached_property
    def spec(self) -> NetSpec:
        return self._env.prefix.load_env().nets[self._name]

    def name(self) -> str:
        return self._name

    def gw(self) -> str | None:
        return self.spec.gw

    def is_management(self) -> bool:
        return self.spec.management

    def mapping(self) -> Mapping[str, str]:
        """Return DNS name → address."""
        return self.spec.mapping

    def alive(self) -> bool:
        return self._env.state().nets[self._name].up
