"""What manages services with runit."""

from __future__ import annotations

import shlex

from lagotui.plugins import ServicePlugin, ServiceState


class Runit(ServicePlugin):
    """A service below /etc/service."""

    BIN_PATH = "/usr/bin/sv"

    def state(self) -> ServiceState:
        done = self._vm.ssh(["sv", "status", shlex.quote(self._name)])
        if done.out.startswith("run:"):
            return ServiceState.ACTIVE
        return ServiceState.INACTIVE if done.out.startswith("down:") else ServiceState.MISSING

    def _request_start(self) -> bool:
        return not self._vm.ssh(["sv", "start", shlex.quote(self._name)])

    def _request_stop(self) -> bool:
        return not self._vm.ssh(["sv", "stop", shlex.quote(self._name)])
