"""From the name of a host to a connected provider."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...config import Settings, xdg_dir
from ...context import TaskContext
from ...guest.dial import Dialer, DirectDialer, WorldDialer
from .accel import probe_accel
from .hosts import SYSTEM_URI, HostChoice, HostKind, choose_host
from .world_folders import WorldPaths, world_paths

if TYPE_CHECKING:
    from .provider import LibvirtProvider
    from .session import Session


def open_libvirt(ctx: TaskContext, host: str, settings: Settings, *, start: bool) -> LibvirtProvider | None:
    """Connect to `private`, `system` or a URI; None when the private world is not running and must not be started.

    Raises:
        HostUnreachable: the daemon does not answer.
        HostRefused: KVM is configured, and cannot be used.
        WorldUnavailable: the private world cannot be made here.
    """
    choice = _choice(ctx, host, settings)
    if not start and _is_surely_down(choice):
        return None
    from .provider import LibvirtProvider

    session = _session(choice, settings)
    if start:
        session.connect(ctx)
    elif session.peek() is None:
        return None
    return LibvirtProvider(session, choice, probe_accel(settings.accel))


def dialer_of_libvirt(host: str) -> Dialer:
    """Return the way to the guests of a libvirt host, which need not run, and is not asked."""
    return WorldDialer(str(_world_paths().dial_socket)) if host == HostKind.PRIVATE else DirectDialer()


def _is_surely_down(choice: HostChoice) -> bool:
    """Whether there is no private world, seen without loading libvirt: that takes longer than all the rest of a short command."""
    return choice.kind is HostKind.PRIVATE and not _world_paths().dial_socket.exists()


def _choice(ctx: TaskContext, host: str, settings: Settings) -> HostChoice:
    """Return the host again with its reason; the daemon is not asked, since we are about to connect to it."""
    wanted = settings.libvirt_url if settings.libvirt_url in ("", "auto") else host
    made_elsewhere = settings.libvirt_url not in ("", "auto", host)
    chosen = choose_host(ctx, wanted, ask=lambda _uri, _timeout_s: "", replaceable=not made_elsewhere)
    if host in (chosen.kind.value, chosen.uri):
        return chosen
    return choose_host(ctx, host, ask=lambda _uri, _timeout_s: "", replaceable=False)


def _session(choice: HostChoice, settings: Settings) -> Session:
    from .login import Login
    from .session import Session

    if choice.kind is HostKind.PRIVATE:
        paths = _world_paths()
        return Session(paths.uri, paths, outside=settings.private_outside == "auto")
    login = Login(settings.libvirt_username, settings.libvirt_password, settings.ask)
    return Session(choice.uri or SYSTEM_URI, login=login)


def _world_paths() -> WorldPaths:
    return world_paths(xdg_dir("XDG_STATE_HOME", ".local/state", os.environ))
