"""Services of a machine: by systemd, by sysvinit, or by systemd in a container."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..context import TaskContext
from ..errors import ServiceFailed
from ..spec import ServiceState

if TYPE_CHECKING:
    from .session import Session
    from .ssh import CommandStatus

SYSTEMD, SYSVINIT, CONTAINER = "systemd", "sysvinit", "systemdcontainer"
PROVIDERS = (SYSTEMD, SYSVINIT, CONTAINER)
CONTAINER_NAME = "vdsmc"
"""Of the container whose systemd is asked, as the predecessor has it."""
GUEST_AGENTS = ("qemu-guest-agent", "qemu-ga")
START_TIMEOUT_S = 300.0
_NAME = re.compile(r"[A-Za-z0-9_.@:\\][A-Za-z0-9_.@:\\-]*")
_LSB_STOPPED = 3
"""Exit code of `status` for what is there and does not run. (LSB, init script actions)"""
_ENGINES = "for engine in podman docker; do command -v $engine >/dev/null 2>&1 && break; done; "
"""Leaves the name of what runs containers in `$engine`."""
_DETECT = f"""\
PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
for engine in podman docker; do
  if command -v $engine >/dev/null 2>&1 && $engine exec {CONTAINER_NAME} true >/dev/null 2>&1; then echo {CONTAINER}; exit; fi
done
if test -e /usr/bin/systemctl || test -e /bin/systemctl; then echo {SYSTEMD}; exit; fi
if test -e /sbin/service || test -e /usr/sbin/service; then echo {SYSVINIT}; exit; fi
"""


def find_provider(ctx: TaskContext, session: Session) -> str:
    """Return what manages the services of a machine.

    Raises:
        ServiceFailed: nothing that we know.
    """
    found = session.run(ctx, "sh -s", _DETECT.encode()).out.decode(errors="replace").strip()
    if found not in PROVIDERS:
        raise ServiceFailed(
            f"'{session.way.target.name}' has neither systemctl nor service, so its services cannot be managed",
            hint="name what manages them as 'service_provider' of the machine in the init file",
        )
    return found


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a machine that we are logged in to."""

    session: Session
    provider: str
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ServiceFailed(f"{self.name!r} is no name of a service")

    def state(self, ctx: TaskContext) -> ServiceState:
        for provider in self._providers():
            found = self._state(ctx, provider)
            if found is not ServiceState.MISSING:
                return found
        return ServiceState.MISSING

    def exists(self, ctx: TaskContext) -> bool:
        return self.state(ctx) is not ServiceState.MISSING

    def alive(self, ctx: TaskContext) -> bool:
        return self.state(ctx) is ServiceState.ACTIVE

    def start(self, ctx: TaskContext) -> None:
        """Start the service, unless it runs.

        Raises:
            ServiceFailed: it is not there, or does not start.
        """
        self._bring(ctx, ServiceState.ACTIVE, "start")

    def stop(self, ctx: TaskContext) -> None:
        """Stop the service, unless it does not run.

        Raises:
            ServiceFailed: it is not there, or does not stop.
        """
        self._bring(ctx, ServiceState.INACTIVE, "stop")

    def _bring(self, ctx: TaskContext, wanted: ServiceState, action: str) -> None:
        machine = self.session.way.target.name
        for provider in self._providers():
            found = self._state(ctx, provider)
            if found is wanted:
                return
            if found is ServiceState.MISSING:
                continue
            status = self._run(ctx, provider, action, START_TIMEOUT_S)
            if status.code != 0:
                said = (status.err or status.out).decode(errors="replace").strip()
                raise ServiceFailed(f"'{machine}': service '{self.name}' did not {action}: exit code {status.code}: {said}")
            return
        raise ServiceFailed(f"'{machine}' has no service '{self.name}'")

    def _providers(self) -> Sequence[str]:
        """Return who is asked: what the container does not have may be the machine's own."""
        return (CONTAINER, SYSTEMD) if self.provider == CONTAINER else (self.provider,)

    def _state(self, ctx: TaskContext, provider: str) -> ServiceState:
        status = self._run(ctx, provider, "status")
        if status.code == 0:
            return ServiceState.ACTIVE
        out = status.out.decode(errors="replace")
        if provider == SYSVINIT:
            is_there = status.code == _LSB_STOPPED or out.strip().endswith("is stopped")
        else:
            loaded = re.search(r"^\s*Loaded:\s+(\S+)", out, re.MULTILINE)
            is_there = loaded is not None and loaded[1] == "loaded"
        return ServiceState.INACTIVE if is_there else ServiceState.MISSING

    def _run(self, ctx: TaskContext, provider: str, action: str, timeout_s: float = 60.0) -> CommandStatus:
        return self.session.run(ctx, command(provider, self.name, action, self.session.way.target.user), timeout_s=timeout_s)


def command(provider: str, name: str, action: str, user: str) -> str:
    """Return the line for the machine's shell that does something to a service."""
    sudo = "" if user == "root" or action == "status" else "sudo -n "
    if provider == SYSVINIT:
        return f"PATH=$PATH:/sbin:/usr/sbin {sudo}service {shlex.quote(name)} {action}"
    lines = " --lines=0 --no-pager" if action == "status" else ""
    systemctl = f"systemctl {action}{lines} {shlex.quote(name)}"
    return f"{_ENGINES}{sudo}$engine exec {CONTAINER_NAME} {systemctl}" if provider == CONTAINER else f"{sudo}{systemctl}"


def find_guest_agent(ctx: TaskContext, session: Session, provider: str, named: str = "") -> str:
    """Return the name of the guest agent's service; "" when there is none."""
    for name in (named,) if named else GUEST_AGENTS:
        if Service(session, provider, name).exists(ctx):
            return name
    return ""


def find_distro(ctx: TaskContext, session: Session) -> str:
    """Return the distribution of a machine, as the predecessor writes them: el9, fc44, debian; "" when it does not say."""
    return distro_of(session.run(ctx, "cat /etc/os-release /usr/lib/os-release 2>/dev/null").out.decode(errors="replace"))


def distro_of(os_release: str) -> str:
    """Return the distribution that an `os-release` names; "" when it names none."""
    found = dict(line.split("=", 1) for line in reversed(os_release.splitlines()) if "=" in line)
    name = found.get("ID", "").strip("\"'")
    major = found.get("VERSION_ID", "").strip("\"'").partition(".")[0]
    if name in ("rhel", "centos", "almalinux", "rocky", "ol"):
        return f"el{major}"
    return f"fc{major}" if name == "fedora" else name
