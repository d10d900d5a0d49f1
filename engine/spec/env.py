"""A whole environment, and its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .machines import MachineSpec
from .nets import NetSpec


@dataclass(frozen=True, slots=True)
class EnvRef:
    """Names one environment to a provider."""

    prefix: str
    """Absolute path of the prefix directory."""
    uuid: str
    """32 hex digits."""

    def serial_log(self, machine: str) -> Path:
        """Return the file that keeps what the serial console of a machine printed since start."""
        return Path(self.prefix) / "logs" / f"serial-{machine}.log"

    def scoped_name(self, name: str) -> str:
        """Return the name of a machine on its host: `763e40cc-vm1`."""
        return f"{self.uuid[:8]}-{name}"

    def scoped_net_name(self, name: str) -> str:
        """Return the name of a network on its host, at most 15 characters: `763e-lago`; long names become a hash."""
        from hashlib import sha1

        room = 15 - 4 - 1
        short = name if len(name) <= room else sha1(name.encode()).hexdigest()[:room]
        return f"{self.uuid[:4]}-{short}"


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """A whole environment; both maps are in file order."""

    machines: Mapping[str, MachineSpec]
    nets: Mapping[str, NetSpec]
