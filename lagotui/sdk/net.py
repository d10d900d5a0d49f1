"""One net of an environment, as an object."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.spec import NetSpec

    from .environment import SDK


class Net:
    """One net; what it says is read anew each time."""

    def __init__(self, env: SDK, name: str) -> None:
        self._env = env
        self._name = name

    def __repr__(self) -> str:
        return f"Net({self._name!r})"

    @property
    def net_spec(self) -> NetSpec:
        """What it is made of, typed."""
        return self._env.prefix.load_env().nets[self._name]

    @property
    def spec(self) -> dict[str, Any]:
        """The same as its file has it; a copy."""
        return deepcopy(self.net_spec.to_json())

    def name(self) -> str:
        return self._name

    def gw(self) -> str | None:
        """Return the address of its gateway; None of a bridge net."""
        return self.net_spec.gw

    def mtu(self) -> int:
        return self.net_spec.mtu

    def is_management(self) -> bool:
        return self.net_spec.management

    def alive(self) -> bool:
        """Whether it is up."""
        return self._env.state().nets[self._name].up

    def start(self) -> None:
        """Bring it up, unless it is."""
        self._env.engine.switch_nets(self._env.prefix, (self._name,), up=True).result()

    def stop(self) -> None:
        """Take it down.

        Raises:
            MachineStateError: a machine that runs uses it.
        """
        self._env.engine.switch_nets(self._env.prefix, (self._name,), up=False).result()

    def save(self) -> None:
        """Do nothing: what a net is made of is saved with every change. For old scripts."""

    def mapping(self) -> Mapping[str, str]:
        """Return DNS name → address."""
        return self.net_spec.mapping

    def resolve(self, name: str) -> str:
        """Return the address of a DNS name of the net.

        Raises:
            KeyError: it has none of that name.
        """
        return self.net_spec.mapping[name]
