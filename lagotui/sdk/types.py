"""What plugins make of the machines and services of scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .machine import VM

if TYPE_CHECKING:
    from ..plugins.service import ServicePlugin

DEFAULT = "default"
OWN_SERVICES = ("systemd", "sysvinit", "systemdcontainer")


def machine_class(vm_type: str) -> type[VM]:
    """Return the class of machines of a type.

    Raises:
        NoSuchPluginError: no plugin has that type.
    """
    if vm_type == DEFAULT:
        return VM
    from ..plugins import PLUGIN_ENTRY_POINTS
    from ..plugins.registry import require

    return cast(type[VM], require(PLUGIN_ENTRY_POINTS["vm"], vm_type, VM, (DEFAULT,)))


def service_of(vm: VM, provider: str, name: str) -> ServicePlugin:
    """Return a service that a plugin manages.

    Raises:
        NoSuchPluginError: no plugin has that name.
    """
    from ..plugins import PLUGIN_ENTRY_POINTS
    from ..plugins.registry import require
    from ..plugins.service import ServicePlugin

    found = cast(type[ServicePlugin], require(PLUGIN_ENTRY_POINTS["vm-service"], provider, ServicePlugin, OWN_SERVICES))
    return found(vm, name)
