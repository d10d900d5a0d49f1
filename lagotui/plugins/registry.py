"""Entry points → plugins, loaded when they are asked for. A bad one is a warning."""

from __future__ import annotations

import logging
from typing import Any

from . import NoSuchPluginError

logger = logging.getLogger("lagotui.plugins")


def names(group: str) -> tuple[str, ...]:
    """Return the names of the plugins of a group, sorted; none is loaded."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group).names))


def find(group: str, name: str, *, instantiate: bool = False) -> Any | None:
    """Load the plugin of that name; None when there is none, or it cannot be loaded."""
    from importlib.metadata import entry_points

    for point in entry_points(group=group, name=name):
        try:
            plugin = point.load()
            return plugin() if instantiate and isinstance(plugin, type) else plugin
        except (Exception, SystemExit) as failure:  # a stranger's code
            logger.warning("the plugin '%s' of '%s' cannot be loaded: %s: %s", name, group, type(failure).__name__, failure)
    return None


def require(group: str, name: str, base: type, own: tuple[str, ...] = ()) -> type:
    """Load a class.

    Args:
        group: of the entry points.
        name: of the plugin.
        base: what it must derive from.
        own: names that are not plugins, for the message.

    Raises:
        NoSuchPluginError: there is none of that name, it cannot be loaded, or it is something else.
    """
    plugin = find(group, name)
    if plugin is None:
        raise NoSuchPluginError(f"there is no '{name}' in '{group}'", hint=f"there are: {', '.join((*own, *names(group))) or 'none'}")
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise NoSuchPluginError(f"'{name}' of '{group}' is no {base.__name__}", hint="ask whoever made the plugin")
    return plugin


def load_all(group: str, *, instantiate: bool) -> dict[str, Any]:
    """Load every plugin of a group that can be loaded, by name."""
    found = ((name, find(group, name, instantiate=instantiate)) for name in names(group))
    return {name: plugin for name, plugin in found if plugin is not None}
