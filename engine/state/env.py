"""What is known of one environment at one moment: its spec beside what its host says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..spec import EnvRef, EnvSpec, MachineSpec, MachineStatus, NetSpec


@dataclass(frozen=True, slots=True)
class MachineState:
    spec: MachineSpec
    status: MachineStatus


@dataclass(frozen=True, slots=True)
class NetState:
    spec: NetSpec
    up: bool


@dataclass(frozen=True, slots=True)
class EnvState:
    ref: EnvRef
    name: str
    """Of the prefix in its workdir."""
    host: str
    """`private`, `system` or a URI, as the prefix remembers it."""
    machines: Mapping[str, MachineState]
    nets: Mapping[str, NetState]
    workdir: str = ""
    """Absolute path of the workdir that it belongs to; "" when it stands alone."""
    pending: tuple[str, ...] = ()
    """One sentence for each run that ended without finishing: what it was, and when."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec({n: m.spec for n, m in self.machines.items()}, {n: m.spec for n, m in self.nets.items()})

    @property
    def up_count(self) -> int:
        """Machines that are up."""
        return sum(machine.status.is_up for machine in self.machines.values())
