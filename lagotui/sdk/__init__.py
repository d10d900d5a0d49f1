"""The public import for programs: the engine's own names, and environments as objects for scripts.

    from lagotui import sdk

    with sdk.init("LagoInitFile", workdir="work") as env:
        env.start()
        vm = env.get_vms()["vm0"]
        print(vm.ip(), vm.ssh(["hostname"]).out)
        env.destroy()

Names are loaded when they are asked for. Those of the predecessor's exceptions (`LagoException` …) are here, too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine import errors, events
    from engine.api import Engine, EnvDiff, ExportRequest, InitRequest, LeaseInfo, PlanSummary, RunHandle, TemplateInfo
    from engine.config import Settings, load_settings
    from engine.initfile import Diagnostic
    from engine.spec import DiskSpec, EnvSpec, MachineSpec, MachineStatus, NetSpec, NicSpec, ServiceState
    from engine.state.env import EnvState, MachineState, NetState
    from engine.state.prefix import Prefix
    from engine.tasks.snapshot_verbs import SnapshotInfo
    from engine.tasktree import TaskTree

    from .asynchronous import AsyncSDK
    from .environment import SDK
    from .machine import VM, CommandStatus, Service
    from .narration import add_log_file, add_stream_logger
    from .net import Net
    from .paths import Paths
    from .tasks import LogTask, end_log_task, log_always, log_task, start_log_task

__all__ = [
    "SDK",
    "VM",
    "AsyncSDK",
    "CommandStatus",
    "Diagnostic",
    "DiskSpec",
    "Engine",
    "EnvDiff",
    "EnvSpec",
    "EnvState",
    "ExportRequest",
    "InitRequest",
    "LeaseInfo",
    "LogTask",
    "MachineSpec",
    "MachineState",
    "MachineStatus",
    "Net",
    "NetSpec",
    "NetState",
    "NicSpec",
    "Paths",
    "PlanSummary",
    "Prefix",
    "RunHandle",
    "Service",
    "ServiceState",
    "Settings",
    "SnapshotInfo",
    "TaskTree",
    "TemplateInfo",
    "add_log_file",
    "add_stream_logger",
    "check",
    "end_log_task",
    "errors",
    "events",
    "init",
    "load_env",
    "load_settings",
    "log_always",
    "log_task",
    "start_log_task",
]

_HOMES = {
    "engine.api": ("Engine", "EnvDiff", "ExportRequest", "InitRequest", "LeaseInfo", "PlanSummary", "RunHandle", "TemplateInfo"),
    "engine.config": ("Settings", "load_settings"),
    "engine.initfile": ("Diagnostic",),
    "engine.spec": ("DiskSpec", "EnvSpec", "MachineSpec", "MachineStatus", "NetSpec", "NicSpec", "ServiceState"),
    "engine.state.env": ("EnvState", "MachineState", "NetState"),
    "engine.state.prefix": ("Prefix",),
    "engine.tasks.snapshot_verbs": ("SnapshotInfo",),
    "engine.tasktree": ("TaskTree",),
    "lagotui.sdk.asynchronous": ("AsyncSDK",),
    "lagotui.sdk.environment": ("SDK",),
    "lagotui.sdk.machine": ("VM", "CommandStatus", "Service"),
    "lagotui.sdk.narration": ("add_log_file", "add_stream_logger"),
    "lagotui.sdk.net": ("Net",),
    "lagotui.sdk.paths": ("Paths",),
    "lagotui.sdk.tasks": ("LogTask", "end_log_task", "log_always", "log_task", "start_log_task"),
}

_MODULES = {"errors": "engine.errors", "events": "engine.events"}

_OLD_NAMES = "lagotui.sdk.old_names"
_FLAGS = ("skip_bootstrap", "skip_build", "set_current")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is not None:
        return getattr(import_module(home), name)
    if not name.startswith("_"):
        old = import_module(_OLD_NAMES)
        if name in old.__all__:
            return getattr(old, name)
    raise AttributeError(f"module 'lagotui.sdk' has no attribute '{name}'")


def init(
    config: str | Path | Mapping[str, Any] | IO[str],
    workdir: str | Path | None = None,
    logfile: str | Path | None = None,
    loglevel: int = logging.INFO,
    *,
    prefix_name: str = "default",
    **options: Any,
) -> SDK:
    """Make an environment.

    Args:
        config: the init file: its path, a stream of its text, or what it holds.
        workdir: where to make it; None: `.lago` in the current folder.
        logfile: where to write what every environment of this process does; each has a log of its own besides.
        loglevel: of `logfile`.
        prefix_name: its name in the workdir.
        options: `skip_bootstrap`, `skip_build`, `set_current`, `template_repo_name`, and settings by the names of the
            configuration, e.g. `template_repo_path`, `libvirt_url`. Others do nothing but make a warning.

    Raises:
        EngineError: it cannot be made; nothing is left of it.
    """
    from engine.api import Engine, InitRequest
    from engine.config import load_settings
    from engine.state.prefix import Prefix

    from .environment import SDK
    from .narration import Relay, add_log_file

    if logfile is not None:
        add_log_file(logfile, loglevel)
    file, text = _source(config)
    flags = {name: bool(options.pop(name, False)) for name in _FLAGS}
    if repo := options.pop("template_repo_name", None):
        options.setdefault("template_repo_path", f"name:{repo}")
    _warn_of_unknown(options)
    request = InitRequest(Path(workdir or ".lago").absolute(), prefix_name, file, text, **flags)
    engine = Engine(load_settings(options, verb="init"))
    relay = Relay(engine.bus)
    try:
        engine.init(request).result()
    except BaseException:
        engine.close()
        raise
    finally:
        relay.end()
    return SDK(engine, Prefix.at(request.prefix))


def load_env(
    workdir: str | Path | None = None,
    logfile: str | Path | None = None,
    loglevel: int = logging.INFO,
    *,
    prefix_name: str = "current",
    **settings: Any,
) -> SDK:
    """Open an environment that is there.

    Args:
        workdir: where the search for it begins; None: the current folder.
        logfile: as in `init`.
        loglevel: of `logfile`.
        prefix_name: its name in the workdir.
        settings: by the names of the configuration.

    Raises:
        WorkdirError: there is none.
    """
    from engine.api import Engine
    from engine.config import load_settings
    from engine.state.workdir import Workdir

    from .environment import SDK
    from .narration import add_log_file

    _warn_of_unknown(settings)
    env = Workdir.find(Path(workdir or ".")).prefix(prefix_name)
    if logfile is not None:
        add_log_file(logfile, loglevel)
    return SDK(Engine(load_settings(settings)), env)


def check(
    config: str | Path | Mapping[str, Any] | IO[str] = "LagoInitFile", text: str | None = None, **settings: Any
) -> tuple[Diagnostic, ...]:
    """Return everything there is to say about an init file, in its order: errors, warnings and infos. Nothing is made or started.

    Args:
        config: the init file: its path, a stream of its text, or what it holds.
        text: its content where it is known already; else the file is read.
        settings: by the names of the configuration, e.g. `template_repo_path`.
    """
    from engine.config import load_settings
    from engine.tasks.checking import check_file

    file, found = _source(config)
    return check_file(load_settings(settings, verb="init"), file, found if text is None else text)


def _warn_of_unknown(settings: Mapping[str, Any]) -> None:
    """Warn whoever called `init` or `load_env` of names that mean nothing; the predecessor took any."""
    import warnings
    from difflib import get_close_matches

    from engine.config import sections

    for name in sorted(settings.keys() - sections().keys()):
        near = get_close_matches(name, (*sections(), *_FLAGS), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        warnings.warn(f"there is no option '{name}'{hint}", stacklevel=3)


def _source(config: str | Path | Mapping[str, Any] | IO[str]) -> tuple[Path, str | None]:
    """Return the path of an init file, and its text where that does not come from there."""
    if isinstance(config, str | Path):
        return Path(config).absolute(), None
    if isinstance(config, Mapping):
        import json

        return Path("LagoInitFile").absolute(), json.dumps(config, indent=4)
    named = getattr(config, "name", None)
    return Path(named if isinstance(named, str) else "LagoInitFile").absolute(), config.read()
