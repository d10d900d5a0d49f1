"""The hosts that one engine works with: chosen once, connected once, let go together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..config import Settings
from ..context import TaskContext, detached_task
from ..errors import HostError
from ..guest.dial import Dialer
from .base import Provider


@dataclass(frozen=True, slots=True)
class ChosenHost:
    """Where a new environment will live."""

    name: str
    """As the prefix remembers it: `private`, `system` or a URI."""
    used_subnets: frozenset[str]
    """That its interfaces have already."""


class Hosts(Protocol):
    def choose(self, ctx: TaskContext, prefix: Path) -> ChosenHost:
        """Choose the host of a new environment whose images will be below `prefix`.

        Raises:
            HostError: there is none, or it cannot read images there.
        """
        ...

    def open(self, host: str) -> Provider:
        """Connect to a host by name, starting what must be started."""
        ...

    def peek(self, host: str) -> Provider | None:
        """Connect to a host by name if it is there; None when nothing of ours can be running on it."""
        ...

    def dialer(self, host: str) -> Dialer:
        """Return the way to the guests of a host, without connecting to it where that is not needed."""
        ...

    def close(self) -> None: ...


class RealHosts:
    """Hosts of the registry, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._open: dict[str, Provider] = {}

    def choose(self, ctx: TaskContext, prefix: Path) -> ChosenHost:
        from . import registry

        name = self.resolve(ctx, self._settings.libvirt_url)
        provider = self.peek(name)
        if provider is None:
            return ChosenHost(name, frozenset())
        command = provider.can_read_images(prefix)
        if command and self._settings.libvirt_url in ("", "auto"):
            uri = provider.info().uri
            ctx.log(f"host: your own private libvirt, because '{uri}' cannot read images below '{prefix}' (allowed by: {command})")
            return ChosenHost(registry.PRIVATE, frozenset())
        if command:
            raise HostError(
                f"machines of '{provider.info().uri}' cannot read images below '{prefix}'",
                hint=f"allow it with: {command}; or use your own private host: --libvirt_url private",
            )
        return ChosenHost(name, provider.used_subnets())

    def resolve(self, ctx: TaskContext, host: str) -> str:
        """Return the name under which a prefix remembers a host; says why it was chosen."""
        from . import registry

        return registry.resolve(ctx, host, aloud=True)

    def open(self, host: str) -> Provider:
        provider = self._get(host, start=True)
        assert provider is not None
        return provider

    def peek(self, host: str) -> Provider | None:
        return self._get(host, start=False)

    def dialer(self, host: str) -> Dialer:
        from . import registry

        with detached_task() as ctx:
            return registry.dialer_of(ctx, registry.resolve(ctx, host), self._settings)

    def close(self) -> None:
        with self._lock:
            for provider in self._open.values():
                provider.close()
            self._open.clear()

    def _get(self, host: str, *, start: bool) -> Provider | None:
        from . import registry

        with self._lock, detached_task() as ctx:
            name = registry.resolve(ctx, host)
            provider = self._open.get(name)
            if provider is None:
                provider = registry.open_provider(ctx, name, self._settings, start=start)
                if provider is not None:
                    self._open[name] = provider
            return provider


@dataclass(frozen=True, slots=True)
class OneHost:
    """Always the same provider: for the host in memory."""

    provider: Provider

    def choose(self, ctx: TaskContext, prefix: Path) -> ChosenHost:
        return ChosenHost("fake", self.provider.used_subnets())

    def open(self, host: str) -> Provider:
        return self.provider

    def peek(self, host: str) -> Provider | None:
        return self.provider

    def dialer(self, host: str) -> Dialer:
        return self.provider.dialer()

    def close(self) -> None:
        self.provider.close()
