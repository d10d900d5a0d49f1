"""What manages the services of a machine, by plugins: named as `service_provider` of a machine in the init file."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from engine.errors import ServiceFailed
from engine.spec import ServiceState

from . import Plugin

if TYPE_CHECKING:
    from ..sdk import VM

__all__ = ["ServicePlugin", "ServiceState"]


class ServicePlugin(Plugin, ABC):
    """One service of one machine."""

    BIN_PATH: str = ""
    """Of the program in the machine that manages services; where it is, this plugin can be used."""

    def __init__(self, vm: VM, name: str) -> None:
        self._vm = vm
        self._name = name

    @abstractmethod
    def state(self) -> ServiceState:
        """Return whether the service is there, and whether it runs."""

    @abstractmethod
    def _request_start(self) -> bool:
        """Ask for its start; whether that was done."""

    @abstractmethod
    def _request_stop(self) -> bool:
        """Ask for its stop; whether that was done."""

    @classmethod
    def is_supported(cls, vm: VM) -> bool:
        """Whether the machine has what this plugin needs."""
        return not vm.ssh(["test", "-e", shlex.quote(cls.BIN_PATH)])

    def exists(self) -> bool:
        return self.state() is not ServiceState.MISSING

    def alive(self) -> bool:
        return self.state() is ServiceState.ACTIVE

    def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            ServiceFailed: it is not there, or does not start.
        """
        found = self.state()
        if found is ServiceState.MISSING:
            raise ServiceFailed(f"'{self._vm.name()}' has no service '{self._name}'")
        if found is not ServiceState.ACTIVE and not self._request_start():
            raise ServiceFailed(f"'{self._vm.name()}': service '{self._name}' did not start")

    def stop(self) -> None:
        """Stop it, unless it does not run. Raises: as `start`."""
        found = self.state()
        if found is ServiceState.MISSING:
            raise ServiceFailed(f"'{self._vm.name()}' has no service '{self._name}'")
        if found is ServiceState.ACTIVE and not self._request_stop():
            raise ServiceFailed(f"'{self._vm.name()}': service '{self._name}' did not stop")
