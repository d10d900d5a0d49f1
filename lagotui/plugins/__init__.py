"""Plugins: what other distributions add to lagotui, by entry points.

    [project.entry-points."lagotui.plugins.cli"]            a verb: a `CLIPlugin`, or a function made one by a decorator
    [project.entry-points."lagotui.plugins.output"]         an output format: an `OutFormatPlugin`
    [project.entry-points."lagotui.plugins.vm"]             a type of machine (`vm-type`): a `VMPlugin`
    [project.entry-points."lagotui.plugins.vm_provider"]    where machines run (`vm-provider`): a `VMProviderPlugin`
    [project.entry-points."lagotui.plugins.vm_service"]     what manages services (`service_provider`): a `ServicePlugin`

Hosts of a wholly different kind are in the group `lagotui.providers`, kinds of template sources in `lagotui.template_sources`.
They are looked up when a name is met that is none of ours, and for help. One that cannot be loaded is told as a warning, and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError

if TYPE_CHECKING:
    from .cli import CLIPlugin, cli_plugin, cli_plugin_add_argument, cli_plugin_add_help
    from .output import OutFormatPlugin
    from .service import ServicePlugin, ServiceState
    from .vm import VMPlugin, VMProviderPlugin

__all__ = [
    "PLUGIN_ENTRY_POINTS",
    "CLIPlugin",
    "NoSuchPluginError",
    "OutFormatPlugin",
    "Plugin",
    "PluginError",
    "ServicePlugin",
    "ServiceState",
    "VMPlugin",
    "VMProviderPlugin",
    "cli_plugin",
    "cli_plugin_add_argument",
    "cli_plugin_add_help",
    "load_plugins",
]

PLUGIN_ENTRY_POINTS: Mapping[str, str] = {
    "cli": "lagotui.plugins.cli",
    "out": "lagotui.plugins.output",
    "vm": "lagotui.plugins.vm",
    "vm-provider": "lagotui.plugins.vm_provider",
    "vm-service": "lagotui.plugins.vm_service",
}
"""Kind of plugin → group of its entry points."""

_HOMES = {
    "cli": ("CLIPlugin", "cli_plugin", "cli_plugin_add_argument", "cli_plugin_add_help"),
    "output": ("OutFormatPlugin",),
    "service": ("ServicePlugin", "ServiceState"),
    "vm": ("VMPlugin", "VMProviderPlugin"),
}


class PluginError(EngineError):
    """A plugin that cannot be used."""


class NoSuchPluginError(PluginError):
    """A name that no plugin has."""


class Plugin:
    """Base of every kind of plugin."""


def load_plugins(namespace: str, instantiate: bool = True) -> dict[str, Any]:
    """Load every plugin of a group of entry points; those that cannot be loaded are told as warnings.

    Args:
        namespace: the group, e.g. `lagotui.plugins.cli`.
        instantiate: make an object of each class, without arguments.

    Returns:
        Name → plugin.
    """
    from .registry import load_all

    return load_all(namespace, instantiate=instantiate)


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'lagotui.plugins' has no attribute '{name}'")
    return getattr(import_module(f".{home}", __name__), name)
