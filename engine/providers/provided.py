"""Machines whose provider is a plugin: `vm-provider` in the init file names it, the engine calls it in place of a host."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from ..context import TaskContext
from ..errors import ConfigError
from ..spec import Json, MachineSpec

PLUGIN_GROUP = "lagotui.plugins.vm_provider"
"""Entry points: name of a provider → a class that takes a `ProvidedMachine` and gives a `MachineProvider`."""


class MachineProvider(Protocol):
    """What a plugin does with one machine; `lagotui.plugins.VMProviderPlugin` says more of each."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def shutdown(self) -> None: ...

    def reboot(self) -> None: ...

    def state(self) -> str: ...

    def bootstrap(self) -> None: ...

    def destroy(self) -> None: ...

    def create_snapshot(self, name: str) -> None: ...

    def revert_snapshot(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ProvidedMachine:
    """What a plugin is told of its machine."""

    machine: MachineSpec
    prefix_path: str
    """Folder of the environment."""
    ctx: TaskContext

    def name(self) -> str:
        return self.machine.name

    def ip(self) -> str | None:
        """Return the address on the management net; None when it has none."""
        return self.machine.ip

    @property
    def spec(self) -> Mapping[str, Json]:
        """As it is saved, keys of the plugin's own included."""
        return self.machine.to_json()

    def log(self, message: str, level: int = logging.INFO) -> None:
        """Say something in the task that is under way."""
        self.ctx.log(message, level)

    def raise_if_cancelled(self) -> None:
        """Raises: Cancelled: the user asked to stop."""
        self.ctx.raise_if_cancelled()


def open_machine(ctx: TaskContext, machine: MachineSpec, prefix_path: str) -> MachineProvider:
    """Return what makes a machine run.

    Raises:
        ConfigError: no plugin has the name, or it cannot be loaded.
    """
    from importlib.metadata import entry_points

    points = entry_points(group=PLUGIN_GROUP, name=machine.vm_provider)
    for point in points:
        try:
            return cast(MachineProvider, point.load()(ProvidedMachine(machine, prefix_path, ctx)))
        except Exception as failure:  # a stranger's code
            raise ConfigError(
                f"the provider '{machine.vm_provider}' of machine '{machine.name}' cannot be loaded: {type(failure).__name__}: {failure}",
                hint=f"it comes from '{point.value}': mend or reinstall that plugin",
            ) from failure
    raise ConfigError(
        f"machine '{machine.name}': no plugin provides '{machine.vm_provider}'", hint="install it, or mend 'vm-provider' in the init file"
    )
