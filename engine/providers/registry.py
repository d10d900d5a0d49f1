"""Provider names → providers. Libraries of a provider are loaded when it is opened; plugins are looked up only for unknown names."""

from __future__ import annotations

from typing import Protocol, cast

from ..config import Settings
from ..context import TaskContext
from ..errors import ConfigError, HostUnreachable
from ..guest.dial import Dialer
from ..spec import EXTERNAL_PROVIDER
from .base import Provider

PLUGIN_GROUP = "lagotui.providers"
"""Entry points: name of a host → an `Opener`."""

PRIVATE = "private"
SYSTEM = "system"


class Opener(Protocol):
    """Opens one kind of host."""

    def __call__(self, ctx: TaskContext, host: str, settings: Settings, *, start: bool) -> Provider | None:
        """Connect; with `start` false return None when nothing of ours can be running there, instead of starting anything."""
        ...


def resolve(ctx: TaskContext, host: str, *, aloud: bool = False) -> str:
    """Return the name under which a prefix remembers a host: `private`, `system`, a URI or a plugin's name.

    Args:
        ctx: the task it is for; hears why, when the host is chosen for the user.
        host: as above, or `auto`.
        aloud: tell the user which one it is when it is not the system's.
    """
    if host in ("", "auto"):
        from .libvirt.hosts import choose_host

        return choose_host(ctx, "auto", aloud=aloud).kind.value
    return SYSTEM if host == "qemu:///system" else host


def open_provider(ctx: TaskContext, host: str, settings: Settings, *, start: bool = True) -> Provider | None:
    """Connect to a host.

    Args:
        ctx: the task it is for.
        host: what `resolve` returned.
        settings: `accel` is read.
        start: start what must be started; with False None is returned when nothing of ours can be running there.

    Raises:
        ConfigError: nobody knows that name.
        HostError: no connection.
    """
    return _opener(host)(ctx, host, settings, start=start)


def dialer_of(ctx: TaskContext, host: str, settings: Settings) -> Dialer:
    """Return the way to the guests of a host; nothing is connected or started where the host's kind already tells it.

    Args:
        ctx: the task it is for.
        host: what `resolve` returned.
        settings: as for `open_provider`.
    """
    if _is_libvirt(host):
        from .libvirt.opening import dialer_of_libvirt

        return dialer_of_libvirt(host)
    provider = open_provider(ctx, host, settings)
    assert provider is not None
    return provider.dialer()


def _is_libvirt(host: str) -> bool:
    return host in (PRIVATE, SYSTEM) or ":" in host


def _opener(host: str) -> Opener:
    if host == EXTERNAL_PROVIDER:
        return _no_host
    if _is_libvirt(host):
        from .libvirt.opening import open_libvirt

        return open_libvirt
    return _plugin(host)


def _no_host(ctx: TaskContext, host: str, settings: Settings, *, start: bool) -> Provider | None:
    """Raises: HostUnreachable: an environment of machines that exist without us is asked to start one."""
    if not start:
        return None
    raise HostUnreachable(
        "the environment has only machines that exist already, and no host that could start others",
        hint="make it anew: lagotui --run destroy, then init",
    )


def _plugin(host: str) -> Opener:
    from importlib.metadata import entry_points

    found = entry_points(group=PLUGIN_GROUP)
    for point in found:
        if point.name == host:
            return cast(Opener, point.load())
    known = ", ".join(["auto", PRIVATE, SYSTEM, *sorted(found.names)])
    raise ConfigError(
        f"there is no host '{host}'", hint=f"set libvirt_url to one of {known}, or to a URI such as qemu+ssh://me@host/system"
    )
