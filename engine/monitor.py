"""What a host pushes, as events: a change of a machine or a net of an environment that is watched."""

from __future__ import annotations

from collections.abc import Callable

from .bus import Bus
from .events import MachineChanged, NetChanged
from .providers.base import StatusChange, Watches
from .spec import EnvRef


def monitor(host: Watches, env: EnvRef, bus: Bus) -> Callable[[], None]:
    """Publish what happens to `env` on its host; return what ends it."""

    def tell(change: StatusChange) -> None:
        if change.uuid != env.uuid:
            return
        if change.machine:
            bus.publish(MachineChanged(env=env.prefix, machine=change.machine, status=change.status.value))
        if change.net:
            bus.publish(NetChanged(env=env.prefix, net=change.net, up=change.net_up))

    return host.watch(tell)
