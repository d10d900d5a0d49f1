"""The ways to machines that other programs are told: ssh, scp, rsync, Ansible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .preparing import Kit

if TYPE_CHECKING:
    from ..config import Settings
    from ..guest.shell import SshTarget
    from ..spec import MachineSpec
    from ..state.prefix import Prefix


@dataclass(frozen=True, slots=True)
class SshWay:
    """How one machine is reached by OpenSSH."""

    machine: MachineSpec
    target: SshTarget
    proxy_command: tuple[str, ...]
    """With OpenSSH's `%h` and `%p` in it; () when none is needed."""

    def options(self) -> list[tuple[str, str]]:
        """Return the options of an ssh_config, but for the address."""
        from ..guest.shell import ssh_options

        return ssh_options(self.target, self.proxy_command)


class ReachVerbs:
    """Looks that connect to nothing: they also work for machines that are down, and start no host."""

    settings: Settings
    kit: Kit

    def ssh_ways(self, env: Prefix, machines: Sequence[str] = ()) -> dict[str, SshWay]:
        """Return how machines are reached: of all of them, when none is named, those that have an address.

        Raises:
            UnknownMachine: the environment has no machine of that name.
            MachineStateError: a named machine has no address.
        """
        from .targets import ssh_target

        chosen = [env.machine(name) for name in machines] if machines else [m for m in env.load_env().machines.values() if m.ip]
        return {
            machine.name: SshWay(machine, ssh_target(env, machine, self.settings), self.kit.dialer(env, machine).proxy_command())
            for machine in chosen
        }

    def ssh_config(self, env: Prefix, machines: Sequence[str] = ()) -> str:
        """Return the text of an ssh_config with which ssh, scp and rsync find the machines by name, host keys checked.

        Raises: as `ssh_ways`.
        """
        from ..guest.shell import ssh_config_block

        ways = self.ssh_ways(env, machines)
        return "\n".join(ssh_config_block(way.target, way.proxy_command) for way in ways.values())
