"""What the steps of one run work with, opened when first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Settings
from ..context import TaskContext
from ..providers.base import Provider
from ..spec import EnvRef
from ..state.prefix import Prefix

if TYPE_CHECKING:
    from ..images.catalogue import Catalogue
    from ..images.store import Store

OpenProvider = Callable[[str], Provider]
"""Connects to a host by its name, starting what must be started."""

PeekProvider = Callable[[str], Provider | None]
"""Connects to a host by its name if it is there; None when nothing of ours can be running on it."""

WaitReady = Callable[[TaskContext, "RunScope", str], None]
"""Blocks until ssh answers on a machine."""


@dataclass(slots=True)
class RunScope:
    """Everything that the steps of one run share. Steps run side by side: each part is opened once."""

    prefix: Path
    uuid: str
    host: str
    settings: Settings
    open_provider: OpenProvider
    peek_provider: PeekProvider
    wait_ready: WaitReady
    catalogue: Catalogue | None = None
    """Only where templates are fetched."""
    store: Store | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def ref(self) -> EnvRef:
        return EnvRef(str(self.prefix), self.uuid)

    def open_prefix(self) -> Prefix:
        """Return the prefix as it is on disk now."""
        return Prefix.at(self.prefix)

    def provider(self) -> Provider:
        """Return the connected host; start what must be started.

        Raises:
            HostError: there is no way to it.
        """
        return self.open_provider(self.host)

    def running_provider(self) -> Provider | None:
        """Return the connected host, or None when nothing of ours can be running there."""
        return self.peek_provider(self.host)
