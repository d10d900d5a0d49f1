"""Events of libvirt → changes of machines and nets of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import libvirt

from ...spec import MachineStatus
from ..base import StatusChange
from .connection import HostEvent, HostEventKind
from .domain import STATUS_OF_STATE
from .metadata import Tag, read_tag
from .session import Session

STATUS_AFTER = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: MachineStatus.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: MachineStatus.RUNNING,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: MachineStatus.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: MachineStatus.STOPPING,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: MachineStatus.DOWN,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: MachineStatus.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: MachineStatus.CRASHED,
}
NET_UP_AFTER = {libvirt.VIR_NETWORK_EVENT_STARTED: True, libvirt.VIR_NETWORK_EVENT_STOPPED: False}


@dataclass(frozen=True, slots=True)
class _Known:
    """A machine or net of ours, as last heard of."""

    tag: Tag
    status: MachineStatus | bool

    def change(self) -> StatusChange:
        if isinstance(self.status, MachineStatus):
            return StatusChange(uuid=self.tag.uuid, machine=self.tag.name, status=self.status)
        return StatusChange(uuid=self.tag.uuid, net=self.tag.name, net_up=self.status)


class Watch:
    """One watcher of a host.

    Whose a domain is stands in its metadata, which cannot be read any more when it is gone: so it is remembered from before.
    """

    def __init__(self, session: Session, ours: Mapping[str, Tag], on_change: Callable[[StatusChange], None]) -> None:
        """Begin to watch.

        Args:
            session: the host.
            ours: libvirt's UUID → whose it is, as far as the provider knows; it grows.
            on_change: called on a thread of the host's.
        """
        self._session = session
        self._ours = ours
        self._on_change = on_change
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        """libvirt's UUID → what it is."""
        self.end = session.subscribe(self._hear)
        self._note(session.look(_list_all) or {})

    def _hear(self, event: HostEvent) -> None:
        if event.kind is HostEventKind.BACK:
            self._catch_up()
            return
        status = _status_after(event)
        if status is not None:
            self._tell(event, status)

    def _tell(self, event: HostEvent, status: MachineStatus | bool) -> None:
        known = self._known.get(event.uuid)
        tag = known.tag if known is not None else self._ours.get(event.uuid) or self._session.look(lambda conn: _tag_of(conn, event))
        if tag is not None:
            self._note({event.uuid: _Known(tag, status)}, tell=True)

    def _catch_up(self) -> None:
        """Tell what changed while the connection was gone."""
        now = self._session.look(_list_all) or {}
        gone = {
            uuid: _Known(known.tag, MachineStatus.DOWN if isinstance(known.status, MachineStatus) else False)
            for uuid, known in dict(self._known).items()
            if uuid not in now
        }
        self._note({**gone, **now}, tell=True)

    def _note(self, found: dict[str, _Known], *, tell: bool = False) -> None:
        with self._lock:
            news = [known for uuid, known in found.items() if self._known.get(uuid) != known]
            self._known.update(found)
        for known in news if tell else ():
            self._on_change(known.change())


def _status_after(event: HostEvent) -> MachineStatus | bool | None:
    """Return what a machine or net is after an event; None for events that say nothing of it."""
    if event.kind is HostEventKind.DOMAIN:
        return STATUS_AFTER.get(event.event)
    return NET_UP_AFTER.get(event.event) if event.kind is HostEventKind.NETWORK else None


def _list_all(conn: libvirt.virConnect) -> dict[str, _Known]:
    found: dict[str, _Known] = {}
    for domain in conn.listAllDomains():
        tag = _tag(domain)
        if tag is not None:
            found[domain.UUIDString()] = _Known(tag, STATUS_OF_STATE.get(domain.state()[0], MachineStatus.UNKNOWN))
    for network in conn.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
        tag = _tag(network)
        if tag is not None:
            found[network.UUIDString()] = _Known(tag, True)
    return found


def _tag_of(conn: libvirt.virConnect, event: HostEvent) -> Tag | None:
    try:
        thing = conn.lookupByUUIDString(event.uuid) if event.kind is HostEventKind.DOMAIN else conn.networkLookupByUUIDString(event.uuid)
    except libvirt.libvirtError:
        return None
    return _tag(thing)


def _tag(thing: libvirt.virDomain | libvirt.virNetwork) -> Tag | None:
    """Return whose it is; None also when it ended while we looked."""
    try:
        return read_tag(thing.XMLDesc())
    except libvirt.libvirtError:
        return None
