"""The check of an init file against this machine: facts that are cheap and local. Nothing is started; a host that runs is asked of its
processor, and only where a file names a CPU model."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING

from ..config import Settings
from ..errors import HostError, LeaseError, TemplateError
from ..initfile import Diagnostic, Loaded, load_init_file
from ..initfile.facts import Facts, Processor
from ..spec import EXTERNAL_PROVIDER, LOCAL_PROVIDER
from ..state.leases import LeaseStore

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..providers.hosts import Hosts

CPU_MAP = Path("/usr/share/libvirt/cpu_map/index.xml")
"""Lists the CPU models that libvirt knows, one file a model."""
SYSTEM_SOCKET = Path("/run/libvirt/libvirt-sock")
MEMORY, ROUTES, INTERFACES = Path("/proc/meminfo"), Path("/proc/net/route"), Path("/sys/class/net")
PROVIDERS = (LOCAL_PROVIDER, EXTERNAL_PROVIDER)

_HERE = ("auto", "private", "system", "qemu:///system")
"""Settings of `libvirt_url` with which machines run on this machine."""
_MODEL = re.compile(r"filename=['\"]x86_([^'\"]+)\.xml['\"]")
_NO_MODELS = ("vendors", "features")


def check_file(settings: Settings, path: str | Path, text: str | None = None) -> tuple[Diagnostic, ...]:
    """Return everything that there is to say about an init file, in its order.

    Args:
        settings: which repository, where leases and environments are.
        path: the file; the diagnostics name it as it is written here.
        text: its content where it is known already (an editor's buffer).
    """
    return load_checked(settings, path, text).diagnostics


def load_checked(settings: Settings, path: str | Path, text: str | None = None) -> Loaded:
    return load_init_file(path, text, local_facts(settings))


def local_facts(settings: Settings, catalogue: Catalogue | None = None, hosts: Hosts | None = None) -> Facts:
    """Gather what this machine says, for checks and for completion.

    Args:
        settings: as above.
        catalogue: its templates; None: that of the settings, where it can be read.
        hosts: that are connected already; None: the host is connected when its processor matters, and let go again.
    """
    here = settings.libvirt_url in _HERE
    on_system = here and _runs_on_system(settings)
    bridges = _bridges()
    known = catalogue if catalogue is not None else _catalogue(settings)
    return Facts(
        templates=known.names() if known is not None else None,
        stand_ins=known.aliases() if known is not None else {},
        scripts_base=str(Path.cwd()),
        exists=_is_file,
        variables=_variables(settings),
        cpu_models=_cpu_models() if here else None,
        processor=cache(lambda: _processor(settings, hosts)) if here else None,
        vm_providers=PROVIDERS,
        plugged=_plugins,
        bridges=bridges if on_system else () if here else None,
        subnets=_subnets(frozenset(bridges)) if on_system else None,
        leases=_leases(settings),
        memory_mib=_free_memory_mib() if here else None,
        cores=len(os.sched_getaffinity(0)) if here else None,
        disk_bytes=_free_disk(settings.workdir_path or Path.cwd()) if here else None,
    )


def _plugins(kind: str) -> tuple[str, ...]:
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=f"lagotui.plugins.{kind}").names))


def _variables(settings: Settings) -> Mapping[str, str]:
    """Return what `$NAME` means in paths: our environment, and the predecessor's names for where the environment will be."""
    workdir = (settings.workdir_path or Path.cwd() / ".lago").absolute()
    name = "default" if settings.prefix_name == "current" else settings.prefix_name
    return {"LAGO_WORKDIR_PATH": str(workdir), "LAGO_PREFIX_PATH": str(workdir / name), **os.environ}


def _catalogue(settings: Settings) -> Catalogue | None:
    from ..images.catalogue import catalogue_of

    try:
        return catalogue_of(settings)
    except TemplateError:  # the verbs that need it say why; the file can be checked without
        return None


def _runs_on_system(settings: Settings) -> bool:
    return settings.libvirt_url in _HERE[2:] or (settings.libvirt_url == "auto" and os.access(SYSTEM_SOCKET, os.W_OK))


def _cpu_models(index: Path = CPU_MAP) -> tuple[str, ...] | None:
    try:
        found = _MODEL.findall(index.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return tuple(sorted({name for name in found if name not in _NO_MODELS}, key=str.lower)) or None


def _is_file(path: str) -> bool:
    """Whether there is something that can be read as an image or a script: a file, or a device."""
    try:
        return not S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def _processor(settings: Settings, hosts: Hosts | None) -> Processor | None:
    """Ask the host of new machines where it runs; it is not started for this."""
    from ..providers.hosts import RealHosts

    asked = hosts or RealHosts(settings)
    try:
        provider = asked.peek(settings.libvirt_url)
        if provider is None:
            return None
        own = provider.host_cpu()
        return Processor(own.model, own.vendor, frozenset(provider.cpu_models()))
    except HostError:  # who starts a machine is told
        return None
    finally:
        if hosts is None:
            asked.close()


def _bridges() -> tuple[str, ...]:
    try:
        return tuple(sorted(each.name for each in INTERFACES.iterdir() if (each / "bridge").is_dir()))
    except OSError:
        return ()


def _subnets(bridges: frozenset[str]) -> tuple[str, ...] | None:
    """Return the host's networks but for those of bridges: those of running environments are among them, and leases tell of these."""
    from ..providers.libvirt.capacity import subnets_in_routes

    try:
        return tuple(sorted(subnets_in_routes(ROUTES.read_text(encoding="utf-8"), bridges)))
    except OSError:
        return None


def _leases(settings: Settings) -> Mapping[int, str] | None:
    try:
        return LeaseStore(settings.lease_dir).snapshot().others("")
    except (LeaseError, OSError):  # unreadable to this user: init says so
        return None


def _free_memory_mib() -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMORY.read_text(encoding="utf-8"), re.MULTILINE)
        return int(found.group(1)) // 1024 if found else None
    return None


def _free_disk(folder: Path) -> int | None:
    existing = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir()), Path("/"))
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return None
