"""Types of machines, and where machines run, by plugins.

A type (`vm-type` in the init file) is the class of the objects that scripts and verbs of plugins work with: derive from `VMPlugin`, add
methods, override others. A provider (`vm-provider`) makes a machine run: the engine calls it in place of libvirt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..sdk.machine import VM
from . import Plugin

if TYPE_CHECKING:
    from engine.providers.provided import ProvidedMachine


class VMPlugin(VM, Plugin):
    """Base of the classes of a `vm-type`."""


class VMProviderPlugin(Plugin, ABC):
    """Makes one machine run. Its methods may take their time, are called on threads of the engine, and may be called again
    after a run was killed: each leaves alone what is as it should be."""

    def __init__(self, vm: ProvidedMachine) -> None:
        self.vm = vm
        """What is known of the machine: `name()`, `ip()`, `spec` (as in the prefix), `prefix_path`, `log(message)`."""

    def name(self) -> str:
        return self.vm.name()

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None:
        """End the machine at once."""

    @abstractmethod
    def state(self) -> str:
        """Return its state in the predecessor's words: `running`, `down`, `paused` …"""

    def running(self) -> bool:
        return self.state() == "running"

    def shutdown(self) -> None:
        """Let the machine shut itself down, and wait for it; without one of its own it is ended at once."""
        self.stop()

    def reboot(self) -> None:
        """Let the machine restart; without one of its own it is stopped and started."""
        self.stop()
        self.start()

    def bootstrap(self) -> None:
        """Called once, when the environment is made."""
        return

    def destroy(self) -> None:
        """Called once, when the environment is thrown away, after `stop`; what is left of the machine goes."""
        return

    def create_snapshot(self, name: str) -> None:
        """Freeze the machine under a name.

        Raises:
            NotImplementedError: this provider has no snapshots.
        """
        raise NotImplementedError(name)

    def revert_snapshot(self, name: str) -> None:
        """Go back to a snapshot. Raises: as `create_snapshot`."""
        raise NotImplementedError(name)
