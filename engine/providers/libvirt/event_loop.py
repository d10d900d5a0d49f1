"""libvirt's event loop: one for the process, in one thread, started with the first connection; and its silence on stderr."""

from __future__ import annotations

import logging
import threading

import libvirt

_started = threading.Event()
_lock = threading.Lock()
_log = logging.getLogger(__name__)


def start_event_loop() -> None:
    """Start the loop unless it runs; must come before the first `libvirt.open`, or that connection never hears of events."""
    with _lock:
        if _started.is_set():
            return
        libvirt.registerErrorHandler(_be_silent, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started.set()


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _log.warning("libvirt's event loop: %s", error)


def _be_silent(_context: object, _error: object) -> None:
    """Keep libvirt from printing errors that reach us as exceptions anyway."""
